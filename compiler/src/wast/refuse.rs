//! Modules that must be refused, and whether they are for the right reason.

use super::Context;
use crate::Error;
use std::collections::BTreeSet;
use wasmc_loader::{LinkError, Trap};
use wast::QuoteWat;

/// Proposals that were met and that are switched off or not supported.
pub(super) type Unsupported = BTreeSet<&'static str>;

/// Notes the proposal if it is the reason for an error.
pub(super) fn note(unsupported: &mut Unsupported, error: &Error) {
    if let Error::Unsupported { proposal, .. } = error {
        unsupported.insert(proposal.name);
    }
}

/// Checks that a module is refused as malformed or invalid.
pub(super) fn refused(context: &Context<'_>, module: &mut QuoteWat<'_>, message: &str) -> Result<(), String> {
    // Text that does not parse is malformed, and this parser is also the one
    // that the compiler reads text with. It resolves names, and so finds some
    // of what is invalid, too.
    let Ok(wasm) = module.encode() else { return Ok(()) };
    match &*context.compile(&wasm) {
        Ok(_) => Err(format!("expected \"{message}\", but the module compiles")),
        Err(Error::Invalid { .. } | Error::NotWasm(_) | Error::Text(_)) => Ok(()),
        // A proposal that is switched off is not part of what is tested: what
        // it would give a meaning is wrong without it.
        Err(Error::Unsupported { .. }) => Ok(()),
        Err(error) => Err(format!("expected \"{message}\", but the module is refused for another reason: {error}")),
    }
}

/// Checks that a module which compiles cannot be linked.
pub(super) fn unlinkable(error: &wasmc_loader::Error, message: &str) -> Result<(), String> {
    let text = format!("{error:#}");
    // Segments that do not fit were found before linking, until the bulk
    // memory operations made that a trap.
    if message.ends_with("segment does not fit") {
        let trapped = error.is::<Trap>();
        return if trapped { Ok(()) } else { Err(format!("expected \"{message}\", got: {text}")) };
    }
    if error.is::<LinkError>() && text.contains(message) {
        return Ok(());
    }
    Err(format!("expected \"{message}\", got: {text}"))
}

/// Checks that a trap is the one that a script expects.
pub(super) fn trapped(error: &wasmc_loader::Error, message: &str) -> Result<(), String> {
    let Some(trap) = error.downcast_ref::<Trap>() else {
        return Err(format!("expected the trap \"{message}\", got an error that is none: {error}"));
    };
    if means(message, *trap) {
        return Ok(());
    }
    Err(format!("expected the trap \"{message}\", got \"{}\"", trap.message()))
}

/// What scripts say of a null reference: what kind of reference it was, which
/// the trap does not tell.
const NULL_REFERENCES: &[&str] = &[
    "null reference",
    "null function reference",
    "null structure reference",
    "null array reference",
    "null i31 reference",
    "null exception reference",
];

/// Whether a script's wording stands for the trap. Scripts of drafts give a
/// part of the wording, and some say which element it was.
fn means(message: &str, trap: Trap) -> bool {
    let wording = trap.message();
    let number = message.strip_prefix(wording).and_then(|rest| rest.strip_prefix(' '));
    match trap {
        Trap::NullReference => NULL_REFERENCES.contains(&message),
        _ if number.is_some_and(|number| number.parse::<u32>().is_ok()) => true,
        _ => !message.is_empty() && wording.starts_with(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_wording_stands_for_another_trap() {
        for (message, trap, other) in [
            ("uninitialized element 7", Trap::IndirectCallToNull, Trap::UndefinedElement),
            ("uninitialized", Trap::IndirectCallToNull, Trap::UndefinedElement),
            ("undefined", Trap::UndefinedElement, Trap::IndirectCallToNull),
            ("null function reference", Trap::NullReference, Trap::IndirectCallToNull),
            ("null array reference", Trap::NullReference, Trap::ArrayOutOfBounds),
            ("cast failure", Trap::CastFailure, Trap::BadSignature),
            ("out of bounds array access", Trap::ArrayOutOfBounds, Trap::MemoryOutOfBounds),
            ("indirect call", Trap::BadSignature, Trap::CastFailure),
        ] {
            assert!(means(message, trap), "{message}");
            assert!(!means(message, other), "{message}");
        }
        assert!(!means("", Trap::NullReference) && !means("", Trap::CastFailure));
        assert!(!means("uninitialized element x", Trap::IndirectCallToNull));
    }
}
