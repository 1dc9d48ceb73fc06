//! What is said on stderr: colours only where it is a terminal that shows
//! them, which `anstream` finds out.

use clap::builder::styling::{AnsiColor, Style};
use std::borrow::Cow;
use std::fmt::Write as _;
use std::process::ExitCode;
use wasmc::Setting;
#[cfg(any(feature = "run", feature = "wast"))]
use wasmc_loader::{Engine, InstantiationStrategy};

const ERROR: Style = AnsiColor::Red.on_default().bold();

/// Reports why the command failed, and gives the exit code for it.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        usage.exit();
    }
    anstream::eprintln!("{ERROR}error{ERROR:#}: {}", chain(error));
    #[cfg(feature = "init")]
    if let Some(backtrace) = error.downcast_ref::<wasmc::init::Error>().and_then(wasmc::init::Error::backtrace) {
        anstream::eprint!("{}", crate::backtrace::frames(backtrace.frames()));
    }
    let usage = error.chain().any(|cause| {
        matches!(
            cause.downcast_ref::<wasmc::Error>(),
            Some(wasmc::Error::UnknownName { .. } | wasmc::Error::Options(_))
        )
    });
    ExitCode::from(if usage { 2 } else { 1 })
}

/// Text in which what a terminal would take for orders is shown and not obeyed:
/// names are the guest's, and so may be anything. What is in `but` stays.
pub(crate) fn plain<'a>(text: &'a str, but: &str) -> Cow<'a, str> {
    // The latter change the direction in which all else is shown.
    let is_order = |c: char| {
        c.is_control() || matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let is_order = |c: char| is_order(c) && !but.contains(c);
    if !text.contains(is_order) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len() + 16);
    for c in text.chars() {
        if is_order(c) { plain.extend(c.escape_default()) } else { plain.push(c) }
    }
    Cow::Owned(plain)
}

/// A function's name as people write it, if it is one of Rust's or C++'s.
pub(crate) fn demangled(name: &str) -> String {
    plain(&written(name), "").into_owned()
}

fn written(name: &str) -> String {
    if let Ok(name) = rustc_demangle::try_demangle(name) {
        return format!("{name:#}");
    }
    // Without its prefix a mangled name is that of a type, such as `f`.
    if !name.starts_with("_Z") {
        return name.to_owned();
    }
    let cpp = cpp_demangle::Symbol::new(name).ok().and_then(|symbol| symbol.demangle().ok());
    cpp.unwrap_or_else(|| name.to_owned())
}

/// An error and its causes, one line each. A cause that the message above
/// already contains is left out.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for cause in error.chain() {
        let message = message(&said(cause));
        if text.is_empty() {
            text.clone_from(&message);
        } else if !last.contains(&message) {
            // Writing to a string cannot fail.
            let _ = write!(text, "\n  caused by: {message}");
        }
        last = message;
    }
    text
}

/// What an error says, with the switches of the command as the way out.
fn said(error: &(dyn std::error::Error + 'static)) -> String {
    #[cfg(feature = "init")]
    if let Some(error) = error.downcast_ref::<wasmc::init::Error>() {
        return error.message(switch);
    }
    match error.downcast_ref::<wasmc::Error>() {
        Some(error) => error.message(switch),
        None => error.to_string(),
    }
}

/// The switch for a setting.
fn switch(setting: Setting) -> String {
    match setting {
        Setting::Proposal(name) => format!("`--wasm-features {name}`"),
        Setting::InitExport => "`--init=EXPORT`".to_owned(),
        Setting::InitTimeout => "`--init-timeout DURATION`".to_owned(),
        Setting::InitMemory => "`--init-memory BYTES`".to_owned(),
        // What the command has no switch for is a field of the library's.
        other => format!("`{other:?}`"),
    }
}

/// A message as it is printed. The text format's parser draws the place that
/// it speaks of, of which only the position is kept; other messages of several
/// lines are lists.
fn message(text: &str) -> String {
    let text = text.trim_end();
    let mut lines = text.lines().map(str::trim);
    let first = lines.next().unwrap_or_default();
    let text = plain(text, "\n");
    let position = lines.find_map(|line| line.strip_prefix("-->")).and_then(|place| {
        let mut parts = place.rsplitn(3, ':');
        let (column, line) = (parts.next()?, parts.next()?);
        Some(format!("{}, at line {line}, column {column}", plain(first, "")))
    });
    position.unwrap_or_else(|| text.replace('\n', "\n    "))
}

/// A duration for people.
pub(crate) fn duration(time: std::time::Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// Which strategy an engine uses, and whether it is the one asked for.
#[cfg(any(feature = "run", feature = "wast"))]
pub(crate) fn strategy_in_force(engine: &Engine, wanted: InstantiationStrategy) -> String {
    let used = engine.instantiation_strategy();
    if used == wanted {
        return format!("instantiating with {used}");
    }
    format!("instantiating with {used}, since {wanted} is not available here")
}

/// A number of things for people: `1 function`, `12,345 functions`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    let plural = if number == 1 { "" } else { "s" };
    text + " " + thing + plural
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_grouped() {
        assert_eq!(count(1, "byte"), "1 byte");
        assert_eq!(count(999, "byte"), "999 bytes");
        assert_eq!(count(1_234_567, "byte"), "1,234,567 bytes");
    }

    #[test]
    fn names_give_no_orders_to_a_terminal() {
        assert_eq!(plain("größe 名前 \u{5d0}", ""), "größe 名前 \u{5d0}");
        assert_eq!(plain("a\x1b[31m\nb\u{9b}c\u{202e}\x7f", ""), "a\\u{1b}[31m\\nb\\u{9b}c\\u{202e}\\u{7f}");
        assert_eq!(demangled("f\x1b[2J"), "f\\u{1b}[2J");
        assert_eq!(message("one\x07\n  two\x1b]0;x"), "one\\u{7}\n      two\\u{1b}]0;x");
    }

    #[test]
    fn a_drawing_becomes_a_position() {
        let drawn = "expected `(`\n     --> <anon>:1:10\n      |\n    1 | (module foo)\n      |         ^";
        assert_eq!(message(drawn), "expected `(`, at line 1, column 10");
    }

    #[test]
    fn names_are_demangled() {
        assert_eq!(demangled("_ZN4core3fmt5write17h0123456789abcdefE"), "core::fmt::write");
        assert_eq!(demangled("_ZNSt6vectorIiE4sizeEv"), "std::vector<int>::size()");
        assert_eq!((demangled("main"), demangled("f")), ("main".to_owned(), "f".to_owned()));
    }

    #[test]
    fn a_cause_is_said_once() {
        let inner = std::io::Error::other("disk on fire");
        let error = anyhow::Error::new(inner).context("cannot write: disk on fire").context("cannot compile");
        assert_eq!(chain(&error), "cannot compile\n  caused by: cannot write: disk on fire");
    }
}
