//! Runs a guest's initialiser.

use super::Module;
use super::cargo::Cargo;
use super::error::{Error, Result, method};
use crate::init;
use crate::options::Options;
use std::sync::Arc;

/// Puts the state of the initialised guest into the options, if that is wanted.
pub(super) fn apply(
    module: &Module,
    cargo: &Cargo<'_>,
    label: &str,
    binary: &[u8],
    options: &mut Options,
    guest: impl Fn(crate::Error) -> Error,
) -> Result<()> {
    let Some(init) = &module.init else { return Ok(()) };
    for dir in init.dirs.iter().filter(|dir| !dir.writable) {
        cargo.depends_on(&dir.host);
    }
    match init::run(binary, options, init) {
        Ok(snapshot) => options.snapshot = Some(Arc::new(snapshot)),
        Err(init::Error::Compile(error)) => return Err(guest(error)),
        Err(error) => {
            return Err(Error::Init { guest: label.to_owned(), message: message(&error), error: error.into() });
        }
    }
    Ok(())
}

/// The error and its causes, in terms of the builder, and where it was.
fn message(error: &init::Error) -> String {
    let mut text = error.message(method);
    let mut cause = std::error::Error::source(error);
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    match error.backtrace() {
        Some(backtrace) => format!("{text}\nwasm backtrace:\n{backtrace}"),
        None => text,
    }
}
