//! Artifacts are read whatever is in them.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wasmc_fuzz::robust::artifact(bytes));
