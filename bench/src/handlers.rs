//! The process's handlers of the signals that traps come as.
//!
//! Both runtimes install theirs in this one process, and the one that does so
//! later passes on what is the other's: which then cannot leave the handler as
//! it would by itself. So each side is measured with the handlers that the
//! process had when that side was the last to be set up.

use std::ffi::c_int;
use std::io;
use std::mem::MaybeUninit;
use std::ptr;

use anyhow::{Context as _, Result};

const SIGNALS: [c_int; 4] = [libc::SIGSEGV, libc::SIGBUS, libc::SIGILL, libc::SIGFPE];

/// What the system does on each of these signals.
pub struct Handlers([libc::sigaction; SIGNALS.len()]);

impl Handlers {
    /// As it is now.
    pub fn current() -> Result<Self> {
        let mut actions = [const { MaybeUninit::zeroed() }; SIGNALS.len()];
        for (signal, action) in SIGNALS.iter().zip(&mut actions) {
            // SAFETY: asks only, and there is room for the answer.
            check(unsafe { libc::sigaction(*signal, ptr::null(), action.as_mut_ptr()) })?;
        }
        // SAFETY: zeros are an action; and all were filled in.
        Ok(Self(actions.map(|action| unsafe { action.assume_init() })))
    }

    /// Makes it so again.
    pub fn install(&self) -> Result<()> {
        for (signal, action) in SIGNALS.iter().zip(&self.0) {
            // SAFETY: the action was in force before, and whoever installed it
            // is never unloaded.
            check(unsafe { libc::sigaction(*signal, action, ptr::null_mut()) })?;
        }
        Ok(())
    }
}

fn check(result: c_int) -> Result<()> {
    if result == 0 { Ok(()) } else { Err(io::Error::last_os_error()).context("sigaction failed") }
}
