//! What a build script says when something is wrong.

use crate::{Package, SMALL};
use wasmc::build::{Carrier, Error, Module};

fn fails(guest: impl AsRef<[u8]>) -> Error {
    Package::new().guest("guest.wat", guest).try_compile().unwrap_err()
}

#[test]
fn a_text_that_does_not_parse_is_shown_at_its_line() {
    let error = fails("(module\n  (func (export \"a\")\n    i32.cons 1))");
    let text = error.to_string();
    assert!(text.starts_with("cannot compile the guest `guest.wat`: invalid WebAssembly text: "), "{text}");
    assert!(text.contains("guest.wat:3:5") && text.contains("i32.cons 1"), "{text}");
    // As `main` prints it.
    assert_eq!(format!("{error:?}"), text);
}

#[test]
fn code_that_is_not_valid_is_named_by_line_and_byte() {
    let error = fails("(module\n  (func)\n  (func (result i32)\n    i64.const 1))");
    let text = error.to_string();
    assert!(text.contains("`guest.wat` (line ") && text.contains("byte offset 0x"), "{text}");
    assert!(text.contains("type mismatch"), "{text}");
    let Error::Guest { position: Some((line, _)), .. } = error else { panic!("no position in {error}") };
    // The mismatch is found where the function ends.
    assert_eq!(line, 4);
}

#[test]
fn bytes_that_are_not_valid_are_named_by_offset() {
    let mut wasm = wat::parse_str("(module (func (result i32) i32.const 7))").unwrap();
    let at = wasm.iter().rposition(|byte| *byte == 7).unwrap();
    wasm[at - 1] = 0xff;
    let text = fails(&wasm).to_string();
    assert!(text.contains(&format!("byte offset {:#x}", at - 1)), "{text}");
    assert!(!text.contains("line"), "{text}");
    let text = fails(b"\x00\x01nonsense").to_string();
    assert!(text.contains("cannot compile the guest `guest.wat`: not WebAssembly"), "{text}");
    let text = fails(b"\0asm\x0d\0\x01\0").to_string();
    assert!(text.contains("component"), "{text}");
}

#[test]
fn a_proposal_that_is_off_is_named_with_the_builders_method() {
    let package = Package::new();
    let text = "(module (memory 1 1 shared) (func (export \"a\") (result i32) (i32.atomic.load (i32.const 0))))";
    let error = package.guest("guest.wat", text).wasm_features("-threads").try_compile().unwrap_err();
    assert!(error.to_string().contains("switch it on with `.wasm_features(\"threads\")`"), "{error}");
    package.guest("guest.wat", text).wasm_features("-threads").wasm_features("threads").compile().unwrap();
    let error = package.guest("guest.wat", text).wasm_features("treads").try_compile().unwrap_err();
    assert!(error.to_string().contains("treads"), "{error}");
}

#[test]
fn missing_files_are_named() {
    let package = Package::new();
    let error = package.set_up(Module::new(package.path("none.wasm"))).try_compile().unwrap_err();
    assert!(error.to_string().starts_with("cannot read `") && error.to_string().contains("none.wasm"), "{error}");
    let error = package.guest("small.wat", SMALL).working_set("no/such.txt").try_compile().unwrap_err();
    assert!(error.to_string().starts_with("cannot read `no/such.txt`"), "{error}");
    let error = package.guest("small.wat", SMALL).out_dir("/dev/null/out").try_compile().unwrap_err();
    assert!(error.to_string().starts_with("cannot write `/dev/null/out/small"), "{error}");
}

/// What is generated has the name, so that one would take the other's place.
#[test]
fn two_guests_of_one_name_in_one_script_are_refused() {
    let package = Package::new();
    std::fs::create_dir(package.path("sub")).unwrap();
    let guest = |path: &str, text: &str| {
        let mut module = package.guest(path, text);
        module.cargo_metadata(true);
        module
    };
    let refused = |module: &mut Module, words: &[&str]| {
        let before = package.read("my_guest.cwasm");
        let text = module.try_compile().unwrap_err().to_string();
        assert!(words.iter().all(|word| text.contains(word)), "{text}");
        assert!(package.read("my_guest.cwasm") == before);
    };
    guest("my-guest.wat", SMALL).compile().unwrap();
    // The same once more is the same.
    guest("my-guest.wat", SMALL).compile().unwrap();
    let words = ["`sub/my_guest.wat`", "the name `my_guest` is that of `my-guest.wat`", "`.name(\"...\")`"];
    refused(&mut guest("sub/my_guest.wat", SMALL), &words);
    let words = ["the name `my_guest` is that of the same guest", "in another way", "`.name(\"...\")`"];
    refused(guest("my-guest.wat", SMALL).fuel(true), &words);
    refused(guest("my-guest.wat", SMALL).carrier(Carrier::Linked), &words);
    guest("my-guest.wat", SMALL).fuel(true).name("other").compile().unwrap();
    // One that was not made has no name.
    guest("third.wat", "(module (func drop))").try_compile().unwrap_err();
    guest("sub/third.wat", SMALL).compile().unwrap();
}

#[test]
fn variables_that_mean_nothing_are_named() {
    for (name, value) in [
        ("TARGET", "riscv64gc-unknown-linux-gnu"),
        ("TARGET", "aarch64_be-unknown-linux-gnu"),
        ("TARGET", "aarch64-unknown-linux-gnu_ilp32"),
        ("TARGET", "x86_64-unknown-linux-gnux32"),
        ("OPT_LEVEL", "4"),
        ("WASMC_OPT_LEVEL", "fast"),
        ("WASMC_CPU", "pentium"),
    ] {
        let package = Package::new();
        let error = package.guest("small.wat", SMALL).env(name, value).try_compile().unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("the variable {name} is `{value}`")), "{text}");
    }
    for (triple, words) in [
        ("riscv64gc-unknown-linux-gnu", "x86_64"),
        ("x86_64-unknown-linux-gnux32", "x86_64"),
        ("aarch64_be-unknown-linux-gnu", "aarch64"),
    ] {
        // Cargo's target is one that guests are compiled for, and it is not asked for.
        let mut module = Package::new().guest("small.wat", SMALL);
        module.env("CARGO_CFG_TARGET_ARCH", "x86_64").env("CARGO_CFG_TARGET_OS", "linux");
        let text = module.target(triple).try_compile().unwrap_err().to_string();
        assert!(text.starts_with(&format!("`.target(\"{triple}\")` should be given a machine")), "{text}");
        assert!(text.contains(words), "{text}");
    }
    let text = Package::new().guest("small.wat", SMALL).cpu("pentium").try_compile().unwrap_err().to_string();
    assert!(text.starts_with("`.cpu(\"pentium\")` should be given a list of CPUs"), "{text}");
    let error = Module::new(SMALL.as_bytes())
        .target("x86_64-unknown-linux-gnu")
        .env("OPT_LEVEL", "0")
        .name("small")
        .cargo_metadata(false)
        .try_compile();
    let text = error.unwrap_err().to_string();
    assert!(text.contains("the variable OUT_DIR is not set"), "{text}");
}
