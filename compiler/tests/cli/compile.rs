//! `wasmc FILE`.

use super::{ADD, Folder, is_artifact};
use std::os::unix::fs::PermissionsExt;

#[test]
fn the_default_output_is_beside_the_input() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    let done = folder.wasmc(["a.wat"]).ok();
    assert!(done.stdout.is_empty() && done.stderr.is_empty(), "{}", done.stderr);
    assert!(is_artifact(&folder.path("a.cwasm")));
    for (emit, name) in [("obj", "a.o"), ("clif", "a.clif"), ("asm", "a.s")] {
        folder.wasmc(["a.wat", "--emit", emit]).ok();
        assert!(folder.path(name).metadata().unwrap().len() > 100, "{name}");
    }
    assert_eq!(folder.names(), ["a.clif", "a.cwasm", "a.o", "a.s", "a.wat"]);
}

#[test]
fn a_dash_is_standard_input_and_output() {
    let folder = Folder::new();
    let wasm = wat::parse_str(ADD).unwrap();
    let binary = folder.wasmc_with_input(["-"], &wasm).ok().stdout;
    let text = folder.wasmc_with_input(["-", "-o", "-"], ADD.as_bytes()).ok().stdout;
    assert!(binary.starts_with(b"\x7fELF") && binary == text);
    folder.write("a.wasm", &wasm);
    assert!(folder.wasmc(["a.wasm", "-o", "-"]).ok().stdout == binary);
    assert!(folder.wasmc(["a.wasm", "-o", "/dev/stdout"]).ok().stdout == binary);
    folder.wasmc_with_input(["-", "-o", "b.cwasm"], &wasm).ok();
    assert!(std::fs::read(folder.path("b.cwasm")).unwrap() == binary);
    assert_eq!(folder.names(), ["a.wasm", "b.cwasm"]);
}

#[test]
fn a_file_may_be_named_like_a_command() {
    let folder = Folder::new();
    folder.write("inspect", ADD);
    folder.wasmc(["./inspect"]).ok();
    folder.wasmc(["-o", "b.cwasm", "inspect"]).ok();
    folder.wasmc(["--", "inspect"]).ok();
    assert_eq!(folder.names(), ["b.cwasm", "inspect", "inspect.cwasm"]);
}

#[test]
fn bytes_do_not_depend_on_threads_or_paths() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    folder.write("other.wat", ADD);
    folder.wasmc(["a.wat", "-j1", "-g"]).ok();
    folder.wasmc(["other.wat", "--jobs", "3", "-g"]).ok();
    assert!(std::fs::read(folder.path("a.cwasm")).unwrap() == std::fs::read(folder.path("other.cwasm")).unwrap());
}

#[test]
fn targets_and_formats_can_be_chosen() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    let machine = |file: &str| {
        let report = folder.wasmc(["inspect", "--json", file]).ok();
        let report: serde_json::Value = serde_json::from_slice(&report.stdout).unwrap();
        let object = &report["object"];
        format!("{} {}", object["format"].as_str().unwrap(), object["machine"].as_str().unwrap())
    };
    for (target, expected) in [
        ("x86_64-unknown-linux-gnu", "ELF X86_64"),
        ("aarch64-unknown-linux-gnu", "ELF AARCH64"),
        ("x86_64-apple-darwin", "Mach-O X86_64"),
        ("aarch64-apple-darwin", "Mach-O ARM64"),
    ] {
        folder.wasmc(["a.wat", "--target", target]).ok();
        assert_eq!(machine("a.cwasm"), expected);
        folder.wasmc(["verify", "a.cwasm"]).ok();
    }
    folder.wasmc(["a.wat", "--target", "x86_64-unknown-linux-gnu", "--format", "macho"]).ok();
    assert_eq!(machine("a.cwasm"), "Mach-O X86_64");
}

#[test]
fn verbose_says_what_was_done_and_quiet_nothing() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    let done = folder.wasmc(["-v", "a.wat"]).ok();
    for word in [" functions of ", ") in ", "`a.cwasm`", "of machine code", "65,536 bytes of memory images"] {
        assert!(done.stderr.contains(word), "{}", done.stderr);
    }
    assert!(folder.wasmc(["-q", "a.wat"]).ok().stderr.is_empty());
    folder.wasmc(["-q", "-v", "a.wat"]).failed(2, &["cannot be used with"]);
}

#[test]
fn a_new_file_has_the_usual_permissions() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    folder.wasmc(["a.wat"]).ok();
    let usual = folder.write("usual", "").metadata().unwrap().permissions().mode();
    assert_eq!(folder.path("a.cwasm").metadata().unwrap().permissions().mode(), usual);
}

#[test]
fn names_can_be_left_out_and_debug_information_put_in() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    let has = |sections: &str, name: &str| sections.contains(&format!(" {name} "));
    folder.wasmc(["a.wat"]).ok();
    let plain = folder.wasmc(["inspect", "a.cwasm"]).ok();
    assert!(has(plain.text(), ".symtab") && plain.text().contains("  add\n"), "{}", plain.text());
    folder.wasmc(["a.wat", "--strip"]).ok();
    let stripped = folder.wasmc(["inspect", "a.cwasm"]).ok();
    assert!(!has(stripped.text(), ".symtab") && !stripped.text().contains("  add\n"), "{}", stripped.text());
    folder.wasmc(["a.wat", "-g"]).ok();
    let debug = folder.wasmc(["inspect", "a.cwasm"]).ok();
    assert!(debug.text().contains("debug info      yes"), "{}", debug.text());
}

#[test]
fn help_and_version_are_printed() {
    let folder = Folder::new();
    assert!(folder.wasmc(["--version"]).ok().text().starts_with("wasmc "));
    assert!(folder.wasmc(["--help"]).ok().text().contains("--wasm-features"));
    assert_eq!(folder.wasmc([""; 0]).code, 2);
    assert_eq!(folder.wasmc(["--no-such-flag"]).code, 2);
}

#[test]
fn the_symbol_of_an_object_file_can_be_chosen() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    folder.wasmc(["a.wat", "--emit", "obj", "--symbol", "my_guest"]).ok();
    let object = std::fs::read(folder.path("a.o")).unwrap();
    let has = |name: &[u8]| object.windows(name.len()).any(|bytes| bytes == name);
    assert!(has(b"\0my_guest\0") && has(b"\0my_guest_end\0") && !has(b"wasmc_module"));
    for symbol in ["", "4u", "a-b", "ä"] {
        let words = [&format!("`{symbol}`"), "identifier"];
        folder.wasmc(["a.wat", "--emit", "obj", "--symbol", symbol]).failed(2, &words);
    }
    folder.wasmc(["a.wat", "--symbol", "my_guest"]).failed(2, &["--symbol", "--emit obj"]);
}
