//! What cannot be compiled, or not be written.

use super::{ADD, Folder};

/// Compiles `content`, which must fail with `words` and leave no file.
#[track_caller]
fn refused(content: impl AsRef<[u8]>, options: &[&str], words: &[&str]) {
    let folder = Folder::new();
    folder.write("bad", content);
    let done = folder.wasmc(["bad", "-o", "out"].iter().chain(options)).failed(1, &["cannot compile `bad`"]);
    for word in words {
        assert!(done.stderr.contains(word), "no {word:?} in: {}", done.stderr);
    }
    assert_eq!(done.stderr.lines().count(), 2, "one line for each cause: {}", done.stderr);
    assert_eq!(folder.names(), ["bad"]);
}

#[test]
fn what_is_not_wasm_is_called_that() {
    refused(b"\x89PNG\r\n\x1a\n\0\0\0\0", &[], &["not WebAssembly"]);
    refused("hello, world", &[], &["invalid WebAssembly text", "line 1, column 1"]);
    refused("(module (func (i32.bogus)))", &[], &["line 1, column 16"]);
}

#[test]
fn truncated_and_invalid_wasm_is_refused_with_offset_and_reason() {
    let wasm = wat::parse_str(ADD).unwrap();
    for cut in [4, 7, 9, wasm.len() / 2, wasm.len() - 1] {
        refused(&wasm[..cut], &[], &["byte offset 0x"]);
    }
    refused("(module (func (result i32) i64.const 1))", &[], &["byte offset 0x", "type mismatch"]);
    refused(b"", &[], &[]);
}

#[test]
fn a_component_is_called_that() {
    refused("(component)", &[], &["component", "core modules"]);
    refused(b"\0asm\x0d\0\x01\0", &[], &["component", "core modules"]);
}

#[test]
fn a_proposal_that_is_not_supported_or_off_is_named() {
    refused("(module (memory i64 1))", &["--wasm-features", "-memory64"], &["--wasm-features memory64"]);
    refused("(module (tag))", &["--wasm-features", "-exceptions"], &["--wasm-features exceptions"]);
    refused("(module (func try end))", &[], &["--wasm-features legacy-exceptions"]);
    refused("(module (type $f (func)) (type (cont $f)))", &[], &["`stack-switching`"]);
    refused("(module (func (param v128)))", &["--wasm-features", "-simd,-relaxed-simd"], &["--wasm-features simd"]);
}

#[test]
fn unknown_names_are_mistakes_in_the_command_line() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    for (options, words) in [
        (["--target", "riscv64gc-unknown-linux-gnu"], ["unknown target", "x86_64-apple-darwin"]),
        (["--cpu", "x86-64-v9"], ["unknown CPU", "x86-64-v3"]),
        (["--cpu", "avx3"], ["unknown CPU", "avx2"]),
        (["--wasm-features", "smid"], ["unknown WebAssembly feature", "simd"]),
        (["--wasm-features", "stack-switching"], ["`stack-switching`", "not supported"]),
        (["--opt-level", "3"], ["unknown optimisation level", "0, 1, 2, s"]),
        (["--format", "pe"], ["invalid value 'pe'", "macho"]),
        (["--jobs", "0"], ["invalid value '0'", "--jobs"]),
    ] {
        folder.wasmc(["a.wat"].iter().chain(&options)).failed(2, &words);
    }
    let foreign = ["a.wat", "--target", "aarch64-unknown-linux-gnu", "--cpu", "avx2"];
    folder.wasmc(foreign).failed(2, &["unknown CPU", "lse"]);
    assert_eq!(folder.names(), ["a.wat"]);
}

#[test]
fn an_input_that_cannot_be_read_is_named() {
    let folder = Folder::new();
    folder.wasmc(["missing.wasm"]).failed(1, &["cannot read `missing.wasm`", "No such file"]);
    folder.wasmc(["."]).failed(1, &["`.`"]);
    folder.write("a.wat", ADD);
    folder.wasmc(["a.wat"]).ok();
    folder.wasmc(["a.cwasm", "-o", "b"]).failed(1, &["native code already"]);
    folder.wasmc(["a.cwasm"]).failed(1, &["would replace the input"]);
}

#[test]
fn an_output_that_cannot_be_written_leaves_no_file() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    folder.wasmc(["a.wat", "-o", "no/such/folder"]).failed(1, &["no/such/folder", "there is no folder `no/such`"]);
    folder.wasmc(["a.wat", "-o", "."]).failed(1, &["it is a folder"]);
    folder.wasmc(["a.wat", "-o", "/dev/full"]).failed(1, &["cannot write `/dev/full`", "No space left"]);
    folder.wasmc(["a.wat", "-o", "/proc/version"]).failed(1, &["cannot write"]);
    assert_eq!(folder.names(), ["a.wat"]);
}

#[test]
fn a_full_disk_leaves_the_old_file_as_it_was() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    folder.write("a.cwasm", "old");
    // A limit on the size of files fails a write in its middle, as a full
    // disk does.
    let mut shell = std::process::Command::new("sh");
    shell.current_dir(folder.0.path()).args(["-c", "trap '' XFSZ; ulimit -f 4; exec \"$0\" a.wat"]);
    let done = shell.arg(env!("CARGO_BIN_EXE_wasmc")).output().unwrap();
    let stderr = String::from_utf8(done.stderr).unwrap();
    assert_eq!(done.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains("cannot write `") && stderr.contains("File too large"), "{stderr}");
    assert_eq!(std::fs::read(folder.path("a.cwasm")).unwrap(), b"old");
    assert_eq!(folder.names(), ["a.cwasm", "a.wat"]);
}
