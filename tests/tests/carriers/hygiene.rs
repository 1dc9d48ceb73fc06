//! The macros that find artifacts in a program mean the same wherever they are
//! used, whatever else has the names there that they use.

#![allow(
    dead_code,
    unused_macros,
    non_camel_case_types,
    clippy::upper_case_acronyms,
    reason = "they are there to be mistaken for others"
)]

use wasmc_loader::{include_artifact, linked_artifact};

/// Not what the macros mean.
type u8 = ();
mod core {}
mod std {}
struct ARTIFACT;
struct ARTIFACT_END;
macro_rules! include_bytes {
    ($($any:tt)*) => {
        compile_error!("not this one")
    };
}
macro_rules! stringify {
    ($($any:tt)*) => {
        compile_error!("not this one")
    };
}
macro_rules! concat {
    ($($any:tt)*) => {
        compile_error!("not this one")
    };
}

::core::arch::global_asm!(
    ".pushsection .rodata",
    ".balign 4096",
    ".global hygiene_probe",
    "hygiene_probe:",
    ".ascii \"all of it\"",
    ".global hygiene_probe_end",
    "hygiene_probe_end:",
    ".popsection",
);

#[test]
fn macros_for_artifacts_take_no_name_from_where_they_are_used() {
    let embedded: &'static [::core::primitive::u8] = include_artifact!("hygiene.rs");
    assert_eq!(embedded, ::core::include_bytes!("hygiene.rs"));
    assert_eq!(embedded.as_ptr().addr() % 4096, 0);
    assert_eq!(linked_artifact!(hygiene_probe).bytes(), b"all of it");
}
