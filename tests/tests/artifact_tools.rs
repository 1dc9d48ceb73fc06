//! The field's tools understand artifacts: binutils, gdb, perf, LLVM's tools
//! and linkers, with no plug-in and no agent.
//!
//! A tool that is not installed is skipped with a message; where the
//! environment variable `CI` is set it must be there.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use wasmc::{Emit, Options, Target};

/// Calls within the module, a table that is never written (data in the text),
/// a memory image and a stub: one of each kind of symbol.
const GUEST: &str = r#"
    (module $guest
      (type $unary (func (param i32) (result i32)))
      (memory 1)
      (data (i32.const 8) "image")
      (table funcref (elem $fib))
      (func $fib (type $unary)
        (if (result i32) (i32.lt_s (local.get 0) (i32.const 2))
          (then (local.get 0))
          (else (i32.add
            (call $fib (i32.sub (local.get 0) (i32.const 1)))
            (call $fib (i32.sub (local.get 0) (i32.const 2)))))))
      (func $outer (export "outer") (type $unary)
        (i32.add (i32.load8_u (i32.const 7)) (call_indirect (type $unary) (local.get 0) (i32.const 0)))))
"#;

const ELF: [&str; 2] = ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu"];
const MACHO: [&str; 2] = ["x86_64-apple-darwin", "aarch64-apple-darwin"];

/// Compiles `wasm` to a file in `folder`.
fn compile(folder: &Path, wasm: &[u8], target: Option<&str>, emit: Emit, debug: bool) -> PathBuf {
    let target = target.map_or_else(Target::default, |triple| Target::new(triple).unwrap());
    let options = Options { debug, target, ..Options::new() };
    let made = wasmc::emit(wasm, emit, &options).unwrap();
    let path = folder.join(if emit == Emit::Obj { "guest.o" } else { "guest.cwasm" });
    std::fs::write(&path, made).unwrap();
    path
}

/// Whether all `tools` can be called.
fn installed(tools: &[&str]) -> bool {
    let missing: Vec<_> = tools.iter().filter(|tool| Command::new(tool).arg("--version").output().is_err()).collect();
    if missing.is_empty() {
        return true;
    }
    assert!(std::env::var_os("CI").is_none(), "{missing:?} are not installed, and CI is set");
    eprintln!("skipped, not installed: {missing:?}");
    false
}

fn run(tool: &str, arguments: &[&str], file: &Path) -> Output {
    Command::new(tool).args(arguments).arg(file).output().unwrap_or_else(|error| panic!("{tool}: {error}"))
}

/// What a tool prints about a file of which it must not complain.
fn clean(tool: &str, arguments: &[&str], file: &Path) -> String {
    let output = run(tool, arguments, file);
    let complaints = String::from_utf8_lossy(&output.stderr);
    let printed = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{tool} {arguments:?} failed: {complaints}");
    assert!(complaints.is_empty(), "{tool} {arguments:?} says: {complaints}");
    for word in ["warning:", "error:", "Warning:", "Error:", "<corrupt>", "malformed"] {
        assert!(!printed.contains(word), "{tool} {arguments:?} prints `{word}`: {printed}");
    }
    printed
}

fn assert_has(printed: &str, parts: &[&str]) {
    for part in parts {
        assert!(printed.contains(part), "`{part}` is not in:\n{printed}");
    }
}

/// A row of a table of symbols that ends in `name`.
fn row<'a>(printed: &'a str, name: &str) -> &'a str {
    let found = printed.lines().find(|line| line.trim_end().ends_with(&format!(" {name}")));
    found.unwrap_or_else(|| panic!("no row for `{name}` in:\n{printed}"))
}

#[test]
fn readelf_finds_segments_sections_symbols_and_build_id() {
    if !installed(&["readelf"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for target in ELF {
        for debug in [false, true] {
            let file = compile(folder.path(), GUEST.as_bytes(), Some(target), Emit::Cwasm, debug);
            let all = clean("readelf", &["-aW"], &file);
            assert_has(&all, &["DYN (Shared object file)", ".wasmc", ".text", "GNU_EH_FRAME", "Build ID: "]);
            assert_has(&all, &["There are no relocations in this file."]);
            let segments = all.lines().filter(|line| line.trim_start().starts_with("LOAD ")).collect::<Vec<_>>();
            assert_eq!(segments.len(), 2, "{all}");
            assert!(segments.iter().all(|segment| !segment.contains('W')), "{segments:?} are never writable");
            assert!(row(&all, "fib").contains("FUNC"));
            assert!(row(&all, "wasmc.table 0").contains("OBJECT"));
            assert_has(&clean("readelf", &["--debug-dump=frames"], &file), &["DW_CFA_def_cfa", "FDE cie="]);
        }
    }
}

#[test]
fn readelf_and_objdump_show_source_lines_of_native_code() {
    if !installed(&["readelf", "objdump"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = compile(folder.path(), GUEST.as_bytes(), Some(ELF[0]), Emit::Cwasm, true);
    assert_has(&clean("readelf", &["--debug-dump=decodedline"], &file), &["guest.wasm"]);
    assert_has(&clean("readelf", &["--debug-dump=info,abbrev,str"], &file), &["DW_TAG_subprogram", "fib"]);
    assert_has(&clean("objdump", &["-dl"], &file), &["guest.wasm:"]);
}

#[test]
fn lines_of_the_guests_own_source_reach_the_native_code() {
    let Some(corpus) = wasmc_tests::corpus::corpus() else { return };
    if !installed(&["readelf"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let wasm = std::fs::read(corpus.join("sightglass/shootout/shootout-fib2.wasm")).unwrap();
    let file = compile(folder.path(), &wasm, Some(ELF[0]), Emit::Cwasm, true);
    let lines = clean("readelf", &["--debug-dump=decodedline"], &file);
    assert!(lines.lines().any(|line| line.starts_with('/') && !line.contains(".wasm")), "{lines}");
}

#[test]
fn objdump_and_nm_name_functions_stubs_and_data() {
    if !installed(&["objdump", "nm"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    let file = compile(folder.path(), GUEST.as_bytes(), Some(ELF[0]), Emit::Cwasm, false);
    let code = clean("objdump", &["-d"], &file);
    let calls = code.lines().filter(|line| line.contains("call ") && line.ends_with("<fib>")).count();
    assert_eq!(calls, 2, "{code}");
    assert_has(&code, &["<fib>:", "<outer>:", "<wasmc.table 0>:"]);
    let symbols = clean("nm", &[], &file);
    for name in ["fib", "outer", "wasmc.native_entry (i32) -> (i32)", "wasmc.table 0"] {
        assert!(row(&symbols, name).contains(" t "), "{symbols}");
    }
}

#[cfg(target_os = "linux")]
mod running {
    use super::*;

    /// The host program of these tests.
    const HOST: &str = env!("CARGO_BIN_EXE_invoke");

    #[test]
    fn gdb_breaks_on_a_wasm_function_and_walks_its_frames_to_the_host() {
        if !installed(&["gdb"]) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        for debug in [false, true] {
            let file = compile(folder.path(), GUEST.as_bytes(), None, Emit::Cwasm, debug);
            let mut gdb = Command::new("gdb");
            gdb.args(["-nx", "-batch", "-ex", "set breakpoint pending on", "-ex", "break fib", "-ex", "run"]);
            gdb.args(["-ex", "continue", "-ex", "backtrace", "-ex", "delete", "-ex", "continue", "--args", HOST]);
            let output = gdb.arg(&file).args(["outer", "10"]).output().unwrap();
            let printed = String::from_utf8_lossy(&output.stdout);
            let frames: Vec<_> = printed.lines().filter(|line| line.starts_with('#')).collect();
            let function = |number: usize, name: &str| {
                let frame = frames.get(number).unwrap_or_else(|| panic!("no frame {number} in:\n{printed}"));
                assert!(frame.contains(&format!(" {name} (")), "frame {number} is not of `{name}`:\n{printed}");
                assert_eq!(frame.contains("guest.wasm:"), debug, "{frame}");
            };
            function(0, "fib");
            function(1, "fib");
            function(2, "outer");
            assert!(frames.iter().any(|frame| frame.contains("invoke.rs")), "the host is not found:\n{printed}");
            assert!(printed.contains("exited normally"), "{printed}");
        }
    }

    #[test]
    fn perf_names_wasm_functions() {
        if !installed(&["perf"]) {
            return;
        }
        let folder = tempfile::tempdir().unwrap();
        let record = |arguments: &[&str]| {
            let mut perf = Command::new("perf");
            perf.args(["record", "--quiet", "-F", "1000", "-e", "cpu-clock", "-o", "perf.data", "--"]).args(arguments);
            perf.current_dir(folder.path()).output().unwrap()
        };
        let probe = record(&["true"]);
        if !probe.status.success() {
            // A limit of the machine, not of the artifact.
            eprintln!("skipped, the kernel refuses: {}", String::from_utf8_lossy(&probe.stderr));
            return;
        }
        let file = compile(folder.path(), GUEST.as_bytes(), None, Emit::Cwasm, false);
        let first = |arguments: &[&str]| {
            let recorded = record(&[&[HOST, file.to_str().unwrap(), "outer", "37"], arguments].concat());
            assert!(recorded.status.success(), "{}", String::from_utf8_lossy(&recorded.stderr));
            let mut report = Command::new("perf");
            report.args(["report", "--stdio", "--sort", "dso,symbol", "-i", "perf.data"]).current_dir(folder.path());
            let report = String::from_utf8_lossy(&report.output().unwrap().stdout).into_owned();
            let first = report.lines().find(|line| line.contains('%'));
            first.unwrap_or_else(|| panic!("no samples:\n{report}")).to_owned()
        };
        let line = first(&[]);
        assert!(line.contains("guest.cwasm") && line.contains("[.] fib "), "{line}");
        // Code that is in no file has names by way of a list.
        let line = first(&["perf-map"]);
        assert!(line.contains("[JIT]") && line.contains("[.] fib "), "{line}");
    }
}

#[test]
fn llvm_reads_mach_o_artifacts() {
    if !installed(&["llvm-objdump-19", "llvm-readobj-19", "llvm-nm-19", "llvm-dwarfdump-19"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for target in MACHO {
        let file = compile(folder.path(), GUEST.as_bytes(), Some(target), Emit::Cwasm, true);
        assert_has(&clean("llvm-objdump-19", &["--macho", "--private-headers"], &file), &["__wasmc", "LC_UUID"]);
        assert_has(&clean("llvm-objdump-19", &["-d"], &file), &["<_fib>:", "<_outer>:"]);
        assert_has(&clean("llvm-readobj-19", &["--all"], &file), &["Mach-O", "__WASMC", "_fib"]);
        assert!(row(&clean("llvm-nm-19", &[], &file), "_fib").contains(" t "));
        assert_has(&clean("llvm-dwarfdump-19", &["--eh-frame"], &file), &["FDE cie="]);
        assert_has(&clean("llvm-dwarfdump-19", &["--verify"], &file), &["No errors."]);
        assert_has(&clean("llvm-dwarfdump-19", &["--debug-line"], &file), &["guest.wasm"]);
    }
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn an_object_file_is_linked_into_a_host_which_finds_the_artifact_in_itself() {
    if !installed(&["gcc", "nm", "readelf"]) {
        return;
    }
    let host = r#"
        #include <stdint.h>
        #include <stdio.h>
        extern const unsigned char wasmc_guest[], wasmc_guest_end[];
        int main(void) {
            fwrite(wasmc_guest, 1, wasmc_guest_end - wasmc_guest, stdout);
            return (uintptr_t)wasmc_guest % 4096 == 0 ? 0 : 1;
        }
    "#;
    let folder = tempfile::tempdir().unwrap();
    std::fs::write(folder.path().join("host.c"), host).unwrap();
    compile(folder.path(), GUEST.as_bytes(), Some(ELF[0]), Emit::Obj, true);
    let mut gcc = Command::new("gcc");
    gcc.args(["-Wl,--fatal-warnings", "host.c", "guest.o", "-o", "host"]).current_dir(folder.path());
    let linked = gcc.output().unwrap();
    assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
    let program = folder.path().join("host");
    let output = Command::new(&program).output().unwrap();
    assert!(output.status.success(), "the artifact is not page-aligned in the host");
    let found = wasmc_artifacts::format::Artifact::parse(&output.stdout).unwrap();
    found.verify().unwrap();
    assert!(row(&clean("nm", &[], &program), "fib").contains(" t "));
    assert_has(&clean("readelf", &["--debug-dump=decodedline"], &program), &["guest.wasm"]);
}

/// Two object files of modules with functions of the same names.
fn two_objects(folder: &Path, target: &str) {
    for symbol in ["first_guest", "second_guest"] {
        let target = Target::new(target).unwrap();
        let options = Options { debug: true, target, symbol: Some(symbol.to_owned()), ..Options::new() };
        let object = wasmc::emit(GUEST.as_bytes(), Emit::Obj, &options).unwrap();
        std::fs::write(folder.join(format!("{symbol}.o")), object).unwrap();
    }
}

#[test]
fn a_linker_for_mach_o_takes_object_files() {
    if !installed(&["ld64.lld-19", "llvm-nm-19", "llvm-objdump-19"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (target, arch) in MACHO.into_iter().zip(["x86_64", "arm64"]) {
        two_objects(folder.path(), target);
        let mut linker = Command::new("ld64.lld-19");
        linker.args(["-arch", arch, "-platform_version", "macos", "11.0", "11.0", "-dylib", "-fatal_warnings"]);
        linker.args(["-dead_strip", "-u", "_first_guest", "-u", "_second_guest"]);
        linker.args(["first_guest.o", "second_guest.o", "-o", "guests.dylib"]);
        let linked = linker.current_dir(folder.path()).output().unwrap();
        assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
        let library = folder.path().join("guests.dylib");
        let symbols = clean("llvm-nm-19", &[], &library);
        assert_has(&symbols, &["_fib", "_first_guest", "_first_guest_end", "_second_guest", "_second_guest_end"]);
        let page = if arch == "arm64" { 1 << 14 } else { 1 << 12 };
        for name in ["_first_guest", "_second_guest"] {
            let address = row(&symbols, name).split_whitespace().next().unwrap();
            assert_eq!(u64::from_str_radix(address, 16).unwrap() % page, 0, "{name} is not at a page");
        }
        let headers = clean("llvm-objdump-19", &["--macho", "--private-headers"], &library);
        let section = headers.split("sectname ").find(|part| part.starts_with("__wasmc_code")).unwrap();
        assert_has(section, &["segname __TEXT", if page == 1 << 14 { "2^14" } else { "2^12" }]);
        let text = headers.split("Load command").find(|command| command.contains("segname __TEXT")).unwrap();
        assert_has(text, &["maxprot r-x", "initprot r-x"]);
    }
}

#[test]
fn objects_of_two_modules_are_linked_into_one_library_for_every_elf_target() {
    if !installed(&["ld.lld-19", "llvm-nm-19", "llvm-readelf-19", "llvm-dwarfdump-19"]) {
        return;
    }
    let folder = tempfile::tempdir().unwrap();
    for (target, page) in ELF.into_iter().zip([1 << 12, 1 << 16]) {
        two_objects(folder.path(), target);
        let mut linker = Command::new("ld.lld-19");
        linker.args(["-shared", "--fatal-warnings", "--gc-sections", "-u", "first_guest", "-u", "second_guest"]);
        linker.args(["--eh-frame-hdr", "first_guest.o", "second_guest.o", "-o", "libguests.so"]);
        let linked = linker.current_dir(folder.path()).output().unwrap();
        assert!(linked.status.success(), "{}", String::from_utf8_lossy(&linked.stderr));
        let library = folder.path().join("libguests.so");
        let symbols = clean("llvm-nm-19", &[], &library);
        for name in ["first_guest", "second_guest"] {
            let address = row(&symbols, name).split_whitespace().next().unwrap();
            assert_eq!(u64::from_str_radix(address, 16).unwrap() % page, 0, "{name} is not at a page");
        }
        assert_eq!(symbols.lines().filter(|line| line.ends_with(" t fib")).count(), 2);
        let segments = clean("llvm-readelf-19", &["-lW"], &library);
        assert!(!segments.lines().any(|line| line.contains("LOAD") && line.contains("RWE")), "{segments}");
        let frames = clean("llvm-dwarfdump-19", &["--eh-frame"], &library);
        assert!(frames.matches("FDE cie=").count() >= 4, "{frames}");
    }
}
