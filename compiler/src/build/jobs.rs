//! Cargo's jobserver: the tokens that all processes of a build share, one for
//! each thread that works.
//!
//! A build script has one token, for itself. For each further thread it takes
//! one while there is a free one, and puts it back.

#![allow(unsafe_code, reason = "the pipe of the tokens is inherited, as two numbers in a variable")]

use crate::options::ThreadTokens;
use jobserver::Client;
use std::any::Any;
use std::sync::{Arc, OnceLock};

/// The tokens of the build that this process is a part of; `None` if it is
/// none's, or its tokens cannot be asked for without waiting, which is so on
/// some systems.
pub(super) fn tokens() -> Option<ThreadTokens> {
    static CLIENT: OnceLock<Option<Client>> = OnceLock::new();
    let client = CLIENT.get_or_init(|| {
        // SAFETY: whoever has started this process says in its environment that
        // these descriptors are the jobserver's, and nobody in it has a reason to
        // close them. They are looked at, must be pipes, and are duplicated.
        let client = unsafe { Client::from_env_ext(true) }.client.ok()?;
        // Puts back at once what it gets.
        client.try_acquire().is_ok().then_some(client)
    });
    let client = client.clone()?;
    Some(Arc::new(move || {
        let token = client.try_acquire().ok()??;
        Some(Box::new(token) as Box<dyn Any + Send>)
    }))
}
