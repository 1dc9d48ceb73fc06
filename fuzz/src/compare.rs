//! One case on both sides.

use crate::case::Case;
use crate::oracle::Oracle;
use crate::ours::{Live, Prepared, Variant};
use crate::sides::{Call, Session, Stop, agree};
use std::fmt;
use std::ops::AddAssign;

/// What was compared.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Tally {
    /// Modules that both sides have run.
    pub modules: usize,
    /// Calls on our side, each compared with the oracle's.
    pub calls: usize,
    /// Those of them that trap.
    pub traps: usize,
    /// Those that end with an exception.
    pub exceptions: usize,
    /// Sessions that were left because a side came to a limit of its own.
    pub limits: usize,
    /// Modules whose instantiation ends early.
    pub stillborn: usize,
    /// Modules that need something the harness cannot provide.
    pub skipped: usize,
    /// Bytes no module can be made of.
    pub unshaped: usize,
}

impl AddAssign for Tally {
    fn add_assign(&mut self, other: Tally) {
        self.modules += other.modules;
        self.calls += other.calls;
        self.traps += other.traps;
        self.exceptions += other.exceptions;
        self.limits += other.limits;
        self.stillborn += other.stillborn;
        self.skipped += other.skipped;
        self.unshaped += other.unshaped;
    }
}

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Tally { modules, calls, traps, exceptions, limits, stillborn, skipped, unshaped } = self;
        write!(
            f,
            "{modules} modules, {calls} calls compared ({traps} trap, {exceptions} throw), {limits} sessions left at a \
             limit, {stillborn} modules end when instantiated, {skipped} not to be linked, {unshaped} not to be made"
        )
    }
}

/// What is wrong.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Finding {
    /// In which step, for telling findings apart.
    pub kind: &'static str,
    /// In words.
    pub text: String,
}

impl Finding {
    /// What findings that are probably the same have in common: the text up to
    /// its details.
    pub fn key(text: &str) -> String {
        let words = text.chars().map(|c| if c.is_ascii_digit() { '#' } else { c });
        let mut key: String = words.take(70).collect();
        while key.contains("##") {
            key = key.replace("##", "#");
        }
        key
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}: {}", self.kind, self.text)
    }
}

fn finding(kind: &'static str, text: String) -> Finding {
    Finding { kind, text }
}

/// Runs a case on both sides.
///
/// # Errors
/// The first difference.
pub fn compare(oracle: &Oracle, case: &Case) -> Result<Tally, Finding> {
    let prepared = oracle.prepare(&case.wasm, case.canonicalize_nans);
    let prepared = prepared.map_err(|error| finding("oracle", format!("it does not take the module: {error:#}")))?;
    let script = prepared.script(case.arguments);
    let Ok(sessions) = prepared.run(&script) else {
        return Ok(Tally { skipped: 1, ..Tally::default() });
    };
    if let Some(text) = unexpected(&sessions) {
        return Err(finding("oracle", text));
    }
    let mut tally = Tally { modules: 1, ..Tally::default() };
    for variant in &case.variants {
        replay(*variant, case, &sessions, &mut tally)
            .map_err(|found| finding(found.kind, format!("{} ({variant:?})", found.text)))?;
    }
    Ok(tally)
}

/// An end on the trusted side that is none of WebAssembly's.
fn unexpected(sessions: &[Session]) -> Option<String> {
    let ends = sessions.iter().flat_map(|session| {
        let new = session.new.as_ref().err();
        new.into_iter().chain(session.calls.iter().filter_map(|call| call.result.as_ref().err()))
    });
    ends.into_iter().find_map(|stop| match stop {
        Stop::Other(text) => Some(text.clone()),
        _ => None,
    })
}

fn replay(variant: Variant, case: &Case, sessions: &[Session], tally: &mut Tally) -> Result<(), Finding> {
    let prepared = variant.prepare(&case.wasm, case.canonicalize_nans);
    let prepared = prepared.map_err(|error| finding("compile", format!("{error:#}")))?;
    let mut kept: Option<Live> = None;
    for session in sessions {
        let made = instance(&prepared, kept.take().filter(|_| variant.reset))?;
        let (mut live, expected) = match (made, session.new.as_ref()) {
            (Ok(live), Ok(expected)) => (live, expected),
            (left, right) => {
                let (left, right) = (left.err(), right.err());
                if left.iter().chain(right).any(Stop::is_limit) {
                    tally.limits += 1;
                } else if left.as_ref() == right {
                    tally.stillborn = 1;
                } else {
                    return Err(finding("instantiation", format!("{left:?} and {right:?}")));
                }
                return Ok(());
            }
        };
        if let Some(difference) = live.state().difference(expected) {
            return Err(finding("new", format!("new instances differ: {difference}")));
        }
        for call in &session.calls {
            if !repeat(&mut live, call, tally)? {
                break;
            }
        }
        kept = Some(live);
    }
    Ok(())
}

/// Whether it is open which of two traps an access comes to: an atomic one may
/// be both misaligned and out of bounds.
fn both_hold(found: &Stop, expected: &Stop) -> bool {
    let is = |stop: &Stop, name: &str| matches!(stop, Stop::Trap(trap) if trap == name);
    let atomic = |a, b| is(a, "HeapMisaligned") && is(b, "MemoryOutOfBounds");
    atomic(found, expected) || atomic(expected, found)
}

fn instance(prepared: &Prepared, used: Option<Live>) -> Result<Result<Live, Stop>, Finding> {
    if let Some(mut live) = used {
        return Ok(live.reset().map(|()| live));
    }
    prepared.instantiate().map_err(|error| finding("imports", format!("{error:#}")))
}

/// Whether the session goes on.
fn repeat(live: &mut Live, call: &Call, tally: &mut Tally) -> Result<bool, Finding> {
    let Call { name, args, result: expected, state } = call;
    let found = live.call(name, args);
    if [&found, expected].into_iter().any(|result| result.as_ref().is_err_and(Stop::is_limit)) {
        tally.limits += 1;
        return Ok(false);
    }
    let same = match (&found, expected) {
        (Ok(found), Ok(expected)) => agree(found, expected),
        (Err(found), Err(expected)) => found == expected || both_hold(found, expected),
        _ => false,
    };
    if !same {
        return Err(finding("result", format!("{name:?} of {args:?}: {found:?} and {expected:?}")));
    }
    if let Some(difference) = live.state().difference(state) {
        return Err(finding("state", format!("after {name:?} of {args:?}, which gives {found:?}: {difference}")));
    }
    tally.calls += 1;
    tally.traps += usize::from(matches!(found, Err(Stop::Trap(_))));
    tally.exceptions += usize::from(matches!(found, Err(Stop::Exception)));
    Ok(true)
}
