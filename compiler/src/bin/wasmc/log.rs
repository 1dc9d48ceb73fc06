//! What is said on stderr: colours only where it is a terminal that shows
//! them, which `anstream` finds out.

use clap::builder::styling::{AnsiColor, Style};
use std::fmt::Write as _;
use std::process::ExitCode;

const ERROR: Style = AnsiColor::Red.on_default().bold();
const WARNING: Style = AnsiColor::Yellow.on_default().bold();

/// Reports why the command failed, and gives the exit code for it.
pub(crate) fn failure(error: &anyhow::Error) -> ExitCode {
    if let Some(usage) = error.downcast_ref::<clap::Error>() {
        usage.exit();
    }
    anstream::eprintln!("{ERROR}error{ERROR:#}: {}", chain(error));
    let usage = error.chain().any(|cause| {
        matches!(
            cause.downcast_ref::<wasmc::Error>(),
            Some(wasmc::Error::UnknownName { .. } | wasmc::Error::Options(_))
        )
    });
    ExitCode::from(if usage { 2 } else { 1 })
}

/// Reports something that is odd but no failure.
pub(crate) fn warning(message: impl std::fmt::Display) {
    anstream::eprintln!("{WARNING}warning{WARNING:#}: {message}");
}

/// An error and its causes, one line each. A cause that the message above
/// already contains is left out.
pub(crate) fn chain(error: &anyhow::Error) -> String {
    let mut text = String::new();
    let mut last = String::new();
    for cause in error.chain() {
        let message = cause.to_string().trim_end().to_owned();
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

/// A duration for people.
pub(crate) fn duration(time: std::time::Duration) -> String {
    let seconds = time.as_secs_f64();
    match seconds {
        s if s < 1e-3 => format!("{:.0} µs", s * 1e6),
        s if s < 1.0 => format!("{:.1} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

/// A number of things for people: `1 function`, `12,345 functions`.
pub(crate) fn count(number: u64, thing: &str) -> String {
    let digits = number.to_string();
    let mut text = String::new();
    for (i, digit) in digits.chars().enumerate() {
        if i > 0 && (digits.len() - i) % 3 == 0 {
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
    fn a_cause_is_said_once() {
        let inner = std::io::Error::other("disk on fire");
        let error = anyhow::Error::new(inner).context("cannot write: disk on fire").context("cannot compile");
        assert_eq!(chain(&error), "cannot compile\n  caused by: cannot write: disk on fire");
    }
}
