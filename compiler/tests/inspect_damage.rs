//! Looking into a damaged artifact is an error, never a panic: of our own
//! reader, and of the one that checks it.

use wasmc::inspect::{Report, verify};
use wasmc::{Options, Target, compile};

const MODULE: &[u8] = br#"(module (import "env" "f" (func (param i32)))
    (memory (export "m") 3) (data (i32.const 100000) "x") (table (export "t") 3 funcref) (elem (i32.const 0) $g)
    (global (mut i32) (i32.const 1))
    (func $g (export "g") (param i32) (result i32) (i32.div_u (i32.load (local.get 0)) (local.get 0))))"#;

fn artifact(triple: &str) -> Vec<u8> {
    let mut options = Options::new();
    options.target = Target::new(triple).unwrap();
    compile(MODULE, &options).unwrap()
}

fn each_damage(triple: &str) {
    let good = artifact(triple);
    verify(&good).unwrap();
    for at in 0..good.len() {
        for value in [0, 0xff, good[at] ^ 0x80, good[at].wrapping_add(1)] {
            let mut bad = good.clone();
            bad[at] = value;
            if bad != good {
                assert!(verify(&bad).is_err(), "{triple}: byte {at:#x} as {value:#x} goes unnoticed");
                // Much of a file can change without anything becoming unreadable.
                let _ = Report::read(&bad, 3);
            }
        }
    }
    for length in (0..good.len()).step_by(7) {
        assert!(verify(&good[..length]).is_err(), "{triple}: {length} bytes");
        let _ = Report::read(&good[..length], 3);
    }
}

#[test]
fn damaged_elf_files_are_errors() {
    each_damage("x86_64-unknown-linux-gnu");
}

#[test]
fn damaged_mach_o_files_are_errors() {
    each_damage("x86_64-apple-darwin");
}
