//! Modules that must be refused, and whether they are for the right reason.

use super::Context;
use crate::Error;
use std::collections::BTreeSet;
use wasmc_loader::{LinkError, Trap};
use wast::QuoteWat;

/// The specification's words for encodings that are wrong until a later
/// proposal gives them a meaning.
const UNTIL_LATER: &[&str] = &["multiple memories", "malformed mutability", "invalid mutability"];

/// Proposals that were met and that are switched off or not supported.
pub(super) type Unsupported = BTreeSet<&'static str>;

/// Notes the proposal if it is the reason for an error.
pub(super) fn note(unsupported: &mut Unsupported, error: &Error) {
    if let Error::Unsupported { proposal, .. } = error {
        unsupported.insert(proposal.name);
    }
}

/// Checks that a module is refused as malformed or invalid.
pub(super) fn refused(
    context: &Context<'_>,
    module: &mut QuoteWat<'_>,
    message: &str,
    unsupported: &mut Unsupported,
) -> Result<(), String> {
    // Text that does not parse is malformed, and this parser is also the one
    // that the compiler reads text with. It resolves names, and so finds some
    // of what is invalid, too.
    let Ok(wasm) = module.encode() else { return Ok(()) };
    match &*context.compile(&wasm) {
        Ok(_) => Err(format!("expected \"{message}\", but the module compiles")),
        Err(Error::Invalid { .. } | Error::NotWasm(_) | Error::Text(_)) => Ok(()),
        // A proposal that is switched off is not part of what is tested.
        Err(Error::Unsupported { proposal, .. }) if proposal.supported || UNTIL_LATER.contains(&message) => Ok(()),
        Err(error) => {
            note(unsupported, error);
            Err(format!("expected \"{message}\", but the module is refused for another reason: {error}"))
        }
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
    let found = trap.message();
    // Scripts give a part of the wording, or add which element it was.
    if found.contains(message) || message.starts_with(found) {
        return Ok(());
    }
    Err(format!("expected the trap \"{message}\", got \"{found}\""))
}
