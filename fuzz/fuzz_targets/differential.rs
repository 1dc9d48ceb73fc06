//! Both sides do the same.

#![no_main]

use std::sync::LazyLock;

use wasmc_fuzz::case::Case;
use wasmc_fuzz::compare::compare;
use wasmc_fuzz::features::Features;
use wasmc_fuzz::oracle::Oracle;

static ORACLE: LazyLock<Oracle> = LazyLock::new(|| Oracle::new().expect("the oracle can be set up"));

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    if let Some(case) = Case::from_bytes(bytes, Features::supported(), None)
        && let Err(finding) = compare(&ORACLE, &case)
    {
        panic!("{finding}");
    }
});
