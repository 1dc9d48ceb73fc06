//! The compiler takes any bytes.

#![no_main]

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| wasmc_fuzz::robust::compile(bytes));
