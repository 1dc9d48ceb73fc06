//! Forwards every operator that wasmparser knows to the method of the same
//! name in its family's file.
//!
//! There is no wildcard: an operator of a supported proposal without a method,
//! or of a proposal without a row in `proposals.rs`, does not compile.

use super::Translator;
use super::interrupt::{bulk, cost};
use crate::error::Error;
use crate::proposals::if_supported;
use wasmparser::*;

/// The visitor that wasmparser drives.
pub(super) struct Visitor<'t, 'a>(pub(super) &'t mut Translator<'a>);

/// What an operator's method may return.
trait Outcome {
    fn outcome(self) -> Result<(), Error>;
}

impl Outcome for () {
    fn outcome(self) -> Result<(), Error> {
        Ok(())
    }
}

impl Outcome for Result<(), Error> {
    fn outcome(self) -> Result<(), Error> {
        self
    }
}

/// Whether an operator opens, divides or closes a frame, and so matters even
/// where it cannot be reached.
const fn is_structural(visit: &str) -> bool {
    matches!(
        visit.as_bytes(),
        b"visit_block"
            | b"visit_loop"
            | b"visit_if"
            | b"visit_else"
            | b"visit_end"
            | b"visit_try_table"
            | b"visit_try"
            | b"visit_catch"
            | b"visit_catch_all"
            | b"visit_delegate"
    )
}

/// Operators that validation keeps away because their proposal is off.
#[cold]
fn unsupported(name: &'static str) -> Result<(), Error> {
    Err(Error::Options(format!("the `{name}` instruction is not supported")))
}

macro_rules! visit {
    ($(@$group:ident $op:ident $({ $($arg:ident: $argty:ty),* })? => $visit:ident ($($ann:tt)*))*) => {
        $(
            #[inline]
            fn $visit(&mut self $($(, $arg: $argty)*)?) -> Result<(), Error> {
                if_supported!($group {
                    if !self.0.reachable && !const { is_structural(stringify!($visit)) } {
                        return Ok(());
                    }
                    self.0.owe(const { cost(stringify!($visit)) });
                    if let Some(shift) = const { bulk(stringify!($visit)) } {
                        self.0.pay_for_bulk(shift);
                    }
                    visit!(@call self.0, $visit $($($arg $argty,)*)?)
                } {
                    $($(let _ = $arg;)*)?
                    unsupported(stringify!($op))
                })
            }
        )*
    };
    // Tables are handed on by reference: wasmparser gives them by value.
    (@call $t:expr, visit_br_table $arg:ident $argty:ty,) => { $t.visit_br_table(&$arg).outcome() };
    (@call $t:expr, visit_try_table $arg:ident $argty:ty,) => { $t.visit_try_table(&$arg).outcome() };
    (@call $t:expr, $visit:ident $($arg:ident $argty:ty,)*) => { Outcome::outcome($t.$visit($($arg),*)) };
}

impl<'a> VisitOperator<'a> for Visitor<'_, '_> {
    type Output = Result<(), Error>;

    fn simd_visitor(&mut self) -> Option<&mut dyn VisitSimdOperator<'a, Output = Self::Output>> {
        Some(self)
    }

    for_each_visit_operator!(visit);
}

impl VisitSimdOperator<'_> for Visitor<'_, '_> {
    for_each_visit_simd_operator!(visit);
}
