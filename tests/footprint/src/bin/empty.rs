//! What a Rust program is without doing anything.

fn main() {}
