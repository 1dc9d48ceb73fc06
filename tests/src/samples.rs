//! Modules that several tests compile.

/// One of everything that an artifact can hold: imports and exports of each
/// kind, tables of each kind, globals of each type, a memory with several
/// extents, segments of each mode, names. Nothing runs at instantiation.
pub const EVERYTHING: &str = include_str!("samples/everything.wat");

/// A module with an imported memory and a start function.
pub const BORROWER: &str = include_str!("samples/borrower.wat");

/// As little as can be called.
pub const SMALL: &str = r#"(module (func $answer (export "answer") (result i32) (i32.const 42)))"#;
