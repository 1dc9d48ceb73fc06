//! Modules that several tests compile.

/// One of everything that an artifact can hold: imports and exports of each
/// kind, tables of each kind, globals of each type, a memory with several
/// extents, segments of each mode, names. Nothing runs at instantiation.
pub const EVERYTHING: &str = include_str!("samples/everything.wat");

/// A module with an imported memory and a start function.
pub const BORROWER: &str = include_str!("samples/borrower.wat");

/// A guest in C with debug information: `lines.c`, made by `clang-19
/// --target=wasm32 -O1 -g -ffile-prefix-map=$PWD=/src -c lines.c` and
/// `wasm-ld-19 --no-entry lines.o -o lines.wasm`.
pub const LINES: &[u8] = include_bytes!("samples/lines.wasm");

/// As little as can be called.
pub const SMALL: &str = r#"(module (func $answer (export "answer") (result i32) (i32.const 42)))"#;
