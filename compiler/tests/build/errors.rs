//! What a build script says when something is wrong.

use crate::{Package, SMALL};
use wasmc::build::{Error, Module};

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

#[test]
fn variables_that_mean_nothing_are_named() {
    for (name, value) in [
        ("TARGET", "riscv64gc-unknown-linux-gnu"),
        ("OPT_LEVEL", "4"),
        ("WASMC_OPT_LEVEL", "fast"),
        ("WASMC_CPU", "pentium"),
    ] {
        let package = Package::new();
        let error = package.guest("small.wat", SMALL).env(name, value).try_compile().unwrap_err();
        let text = error.to_string();
        assert!(text.contains(&format!("the variable {name} is `{value}`")), "{text}");
    }
    let error = Module::new(SMALL.as_bytes())
        .target("x86_64-unknown-linux-gnu")
        .env("OPT_LEVEL", "0")
        .name("small")
        .cargo_metadata(false)
        .try_compile();
    let text = error.unwrap_err().to_string();
    assert!(text.contains("the variable OUT_DIR is not set"), "{text}");
}
