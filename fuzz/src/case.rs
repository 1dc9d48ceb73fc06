//! What a string of bytes stands for.

use crate::choices::{Choices, Rng};
use crate::features::Features;
use crate::ours::Variant;
use crate::{programs, smith};

/// Which generator makes the module.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// wasm-smith.
    Smith,
    /// Ours.
    Program,
}

/// How many instances of our side are tried with each module.
const VARIANTS: usize = 3;

/// Something to try.
#[derive(Debug)]
pub struct Case {
    /// Where the module comes from.
    pub kind: Kind,
    /// The module.
    pub wasm: Vec<u8>,
    /// Whether both sides make NaNs alike; if not, the module does.
    pub canonicalize_nans: bool,
    /// How our side does it, one after the other.
    pub variants: Vec<Variant>,
    /// What arguments are made of.
    pub arguments: u64,
}

/// Bytes at the front that choose everything but the module.
const HEAD: usize = 16;

impl Case {
    /// What the bytes stand for, unless no module can be made of them.
    pub fn from_bytes(bytes: &[u8], features: Features, only: Option<Kind>) -> Option<Case> {
        let (head, body) = bytes.split_at_checked(HEAD)?;
        let mut head = Choices::new(head);
        let chosen = if head.below(2) == 1 { Kind::Program } else { Kind::Smith };
        let kind = only.unwrap_or(chosen);
        let canonicalize_nans = head.below(4) == 1;
        let variants = (0..VARIANTS).map(|_| Variant::choose(&mut head)).collect();
        let arguments = u64::from(head.byte());
        let wasm = match kind {
            Kind::Smith => smith::generate(body, !canonicalize_nans, features)?,
            Kind::Program => programs::generate(body, features),
        };
        Some(Case { kind, wasm, canonicalize_nans, variants, arguments })
    }

    /// A given module, tried in ways that the seed chooses.
    pub fn from_wasm(wasm: Vec<u8>, seed: u64) -> Case {
        let head = Rng::new(seed).bytes(HEAD);
        let mut head = Choices::new(&head);
        let variants = (0..VARIANTS).map(|_| Variant::choose(&mut head)).collect();
        Case { kind: Kind::Smith, wasm, canonicalize_nans: true, variants, arguments: u64::from(head.byte()) }
    }

    /// The bytes that a seed stands for.
    pub fn bytes(seed: u64) -> Vec<u8> {
        let mut rng = Rng::new(seed);
        let length = HEAD + [300, 1000, 4000, 16000][rng.below(4)];
        rng.bytes(length)
    }
}
