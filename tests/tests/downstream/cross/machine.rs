//! What the loader does with code for each machine: `tests/machine`, here and
//! under the emulator.

#[path = "../../../machine/src/behaviour/mod.rs"]
mod behaviour;

use super::{Cross, TARGET};
use crate::package::{Program, terminal};
use std::fmt::Write as _;
use std::path::Path;
use std::sync::Arc;
use wasmc::init::{self, InitOptions};
use wasmc::{OptLevel, Options, Target};
use wasmc_tests::samples::LINES;

macro_rules! guest {
    ($name:literal) => {
        include_bytes!(concat!("../../../machine/guests/", $name, ".wat"))
    };
}

/// A loop with more values than any machine has registers.
fn registers() -> String {
    let (kinds, mut locals, mut fill) = ([("i64", 20), ("f64", 24), ("v128", 20)], String::new(), String::new());
    let (mut round, mut sum) = (String::new(), "(i64.const 0)".to_owned());
    for (kind, count) in kinds {
        for i in 0..count {
            let (this, next) = (format!("${kind}{i}"), format!("(local.get ${kind}{})", (i + 1) % count));
            let get = format!("(local.get {this})");
            let (first, change, bits) = match kind {
                "i64" => (
                    format!("(i64.const {i})"),
                    format!("(i64.add (i64.rotl {get} (i64.const 5)) {next})"),
                    get.clone(),
                ),
                "f64" => (
                    format!("(f64.const {i}.25)"),
                    format!("(f64.add (f64.mul {get} (f64.const 0.5)) {next})"),
                    format!("(i64.reinterpret_f64 {get})"),
                ),
                _ => (
                    format!("(v128.const i32x4 {i} 1 2 3)"),
                    format!("(i32x4.add {get} (v128.xor {next} {get}))"),
                    format!("(i64.xor (i64x2.extract_lane 0 {get}) (i64x2.extract_lane 1 {get}))"),
                ),
            };
            write!(locals, "(local {this} {kind})").expect("a string takes all");
            write!(fill, "(local.set {this} {first})").expect("a string takes all");
            write!(round, "(local.set {this} {change})").expect("a string takes all");
            sum = format!("(i64.add (i64.rotl {sum} (i64.const 7)) {bits})");
        }
    }
    format!(
        "(module (func $run (export \"run\") (param $n i32) (result i64) {locals} {fill}
            (loop $again {round} (br_if $again (local.tee $n (i32.sub (local.get $n) (i32.const 1)))))
            {sum}))"
    )
}

/// Compiles all guests for a machine into a folder.
fn compile(target: Option<&str>, folder: &Path) {
    let mut plain = Options::new();
    plain.features.apply("all").expect("all features");
    if let Some(triple) = target {
        plain.target = Target::new(triple).expect("a machine that wasmc compiles for");
    }
    let (mut epoch, mut fuel, mut slow, mut debug) = (plain.clone(), plain.clone(), plain.clone(), plain.clone());
    (epoch.epoch, fuel.fuel, slow.opt_level, debug.debug) = (true, true, OptLevel::None, true);
    let mut baked = plain.clone();
    // Runs here, whatever machine it is for.
    let snapshot = init::run(guest!("initialized"), &baked, &InitOptions::default()).expect("the guest initialises");
    baked.snapshot = Some(Arc::new(snapshot));
    let registers = registers();
    let guests: [(&str, &[u8], &Options); 15] = [
        ("traps", guest!("traps"), &plain),
        ("traps-plain", guest!("traps"), &slow),
        ("lines", LINES, &debug),
        ("registers", registers.as_bytes(), &plain),
        ("registers-epoch", registers.as_bytes(), &epoch),
        ("registers-fuel", registers.as_bytes(), &fuel),
        ("endless-epoch", guest!("endless"), &epoch),
        ("counted", guest!("counted"), &fuel),
        ("growth", guest!("growth"), &plain),
        ("waiting", guest!("waiting"), &plain),
        ("ticking", guest!("ticking"), &epoch),
        ("hooked", guest!("hooked"), &plain),
        ("exceptions", guest!("exceptions"), &plain),
        ("objects", guest!("objects"), &plain),
        ("initialized", guest!("initialized"), &baked),
    ];
    for (name, wasm, options) in guests {
        let artifact = wasmc::compile(wasm, options).unwrap_or_else(|error| panic!("{name}: {error}"));
        std::fs::write(folder.join(format!("{name}.cwasm")), artifact).expect("room for the artifact");
    }
}

const EXPECTED: &str = include_str!("../../../machine/expected.txt");

#[test]
fn this_machine_behaves_as_expected() {
    let folder = tempfile::tempdir().expect("a folder for the artifacts");
    compile(None, folder.path());
    let seen = behaviour::transcript(folder.path()).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(seen, EXPECTED);
}

#[test]
fn another_machine_behaves_the_same() {
    let Some(cross) = Cross::find() else { return };
    let copy = Program::of("tests/machine", "machine");
    let folder = copy.file("artifacts");
    std::fs::create_dir_all(&folder).expect("a folder for the artifacts");
    compile(Some(TARGET), &folder);
    cross.build(&copy, "machine");
    assert_eq!(terminal(&cross.run("machine", &[&folder])), EXPECTED);
}
