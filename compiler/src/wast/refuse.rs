//! Modules that must be refused, and whether they are for the right reason.

use super::Runner;
use crate::Error;
use wasmc_loader::Trap;
use wast::QuoteWat;

/// The specification's words for what is not part of a version: a module that
/// uses a later proposal is refused with them.
const LATER: &[&str] = &[
    "multiple memories",
    "multiple tables",
    "illegal opcode",
    "unknown operator",
    "malformed limits flags",
    "integer too large",
    "integer representation too long",
    "malformed reference type",
    "malformed section id",
    "zero byte expected",
    "zero flag expected",
    "constant expression required",
    "invalid result arity",
    "mutable global",
    "memory size",
    "table size",
    "memory size must be at most 65536 pages (4GiB)",
];

/// Checks that a module is refused as malformed.
pub(super) fn malformed(runner: &Runner, module: &mut QuoteWat<'_>, message: &str) -> Result<(), String> {
    // Text that does not parse is malformed, and this parser is also the one
    // that the compiler reads text with.
    match module.encode() {
        Err(_) => Ok(()),
        Ok(wasm) => refused(runner, &wasm, message),
    }
}

/// Checks that a module is refused because it is invalid.
pub(super) fn invalid(runner: &Runner, module: &mut QuoteWat<'_>, message: &str) -> Result<(), String> {
    match module.encode() {
        // The text parser resolves names and so finds some of this itself.
        Err(_) => Ok(()),
        Ok(wasm) => refused(runner, &wasm, message),
    }
}

fn refused(runner: &Runner, wasm: &[u8], message: &str) -> Result<(), String> {
    match runner.compile(wasm) {
        Ok(_) => Err(format!("expected \"{message}\", but the module compiles")),
        Err(Error::Invalid { .. } | Error::NotWasm(_) | Error::Text(_)) => Ok(()),
        Err(Error::Unsupported { .. }) if LATER.iter().any(|later| message.starts_with(later)) => Ok(()),
        Err(error) => Err(format!("expected \"{message}\", but the module is refused for another reason: {error}")),
    }
}

/// Checks that a module which compiles cannot be linked.
pub(super) fn unlinkable(error: &wasmc_loader::Error, message: &str) -> Result<(), String> {
    let text = error.to_string();
    let trap = error.downcast_ref::<Trap>().is_some();
    // Segments that do not fit were found before linking, until the bulk
    // memory operations made that a trap.
    if message.ends_with("segment does not fit") {
        return if trap { Ok(()) } else { Err(format!("expected \"{message}\", got: {text}")) };
    }
    if trap {
        return Err(format!("expected \"{message}\", but instantiation trapped: {text}"));
    }
    Ok(())
}

/// Checks that a trap is the one that a script expects.
pub(super) fn trapped(error: &wasmc_loader::Error, message: &str) -> Result<(), String> {
    let Some(trap) = error.downcast_ref::<Trap>() else {
        return Err(format!("expected the trap \"{message}\", got an error that is none: {error}"));
    };
    let found = trap.message();
    // Scripts give a part of the wording, or add which element it was.
    if found.contains(message) || message.starts_with(found) {
        return Ok(());
    }
    Err(format!("expected the trap \"{message}\", got \"{found}\""))
}
