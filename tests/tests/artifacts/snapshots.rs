//! Golden texts: CLIF, machine code and artifact dumps of small modules.
//!
//! Each family is a folder of `tests/snapshots`; `NAME.wat` there is compiled,
//! and what comes out is compared with the files beside it. With `WASMC_BLESS`
//! set they are rewritten instead; read the difference before you commit it.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::fs;
use std::num::NonZeroU32;
use std::path::{Path, PathBuf};
use wasmc::inspect::ObjectView;
use wasmc::{Emit, Options, Target};
use wasmc_artifacts::format::{Artifact, Span};

const X86_64: &str = "x86_64-unknown-linux-gnu";
const AARCH64: &str = "aarch64-unknown-linux-gnu";
const MACOS: &str = "aarch64-apple-darwin";

/// A way to make a text of a module, and the extension of its golden file.
type Rendering = (&'static str, fn(&[u8]) -> String);

#[test]
fn clif() {
    check("clif", &[("clif", |wasm| listing(wasm, Emit::Clif, X86_64))]);
}

#[test]
fn asm() {
    let renderings: [Rendering; 2] = [
        ("x86_64.asm", |wasm| listing(wasm, Emit::Asm, X86_64)),
        ("aarch64.asm", |wasm| listing(wasm, Emit::Asm, AARCH64)),
    ];
    check("asm", &renderings);
}

#[test]
fn artifact() {
    check("artifact", &[("elf.txt", |wasm| dump(wasm, X86_64)), ("macho.txt", |wasm| dump(wasm, MACOS))]);
}

fn options(triple: &str) -> Options {
    Options { target: Target::new(triple).unwrap(), ..Options::new() }
}

/// The options for a module that says in its first line which promises its
/// code makes.
fn promising(wasm: &[u8], triple: &str) -> Options {
    let first = String::from_utf8_lossy(wasm.split(|byte| *byte == b'\n').next().unwrap_or_default());
    let limited = first.contains("--deterministic-stack 1000");
    Options {
        canonicalize_nans: first.contains("--canonicalize-nans"),
        deterministic_stack: NonZeroU32::new(1000).filter(|_| limited),
        ..options(triple)
    }
}

/// Compares a family's texts with the golden ones, or rewrites those.
fn check(family: &str, renderings: &[Rendering]) {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("snapshots").join(family);
    let bless = std::env::var_os("WASMC_BLESS").is_some();
    let mut problems = String::new();
    let mut golden = BTreeSet::new();
    let inputs = files(&folder, |name| name.ends_with(".wat"));
    assert!(!inputs.is_empty(), "no modules in {}", folder.display());
    for input in inputs {
        let wasm = fs::read(&input).unwrap();
        for (extension, render) in renderings {
            let path = input.with_extension(extension);
            let found = render(&wasm);
            if bless && fs::read_to_string(&path).is_ok_and(|old| old == found) {
                // Left alone, with its time stamp.
            } else if bless {
                fs::write(&path, &found).unwrap();
            } else {
                let expected = fs::read_to_string(&path).unwrap_or_default();
                problems += &difference(&path, &expected, &found);
            }
            golden.insert(path);
        }
    }
    for orphan in files(&folder, |name| !name.ends_with(".wat")).into_iter().filter(|path| !golden.contains(path)) {
        writeln!(problems, "{}: no module makes this text any more, remove it", orphan.display()).unwrap();
    }
    assert!(problems.is_empty(), "texts differ; if they should, set WASMC_BLESS=1 and test again\n{problems}");
}

fn files(folder: &Path, wanted: impl Fn(&str) -> bool) -> Vec<PathBuf> {
    let entries = fs::read_dir(folder).unwrap_or_else(|e| panic!("cannot read {}: {e}", folder.display()));
    let mut files: Vec<PathBuf> = entries.map(|entry| entry.unwrap().path()).collect();
    files.retain(|path| path.file_name().is_some_and(|name| wanted(&name.to_string_lossy())));
    files.sort();
    files
}

/// The first lines that differ; nothing if none do.
fn difference(path: &Path, expected: &str, found: &str) -> String {
    if expected == found {
        return String::new();
    }
    let (old, new): (Vec<_>, Vec<_>) = (expected.lines().collect(), found.lines().collect());
    let first = old.iter().zip(&new).take_while(|(old, new)| old == new).count();
    let same_end = old[first..].iter().rev().zip(new[first..].iter().rev()).take_while(|(old, new)| old == new).count();
    let mut out = format!("{}, line {}:\n", path.display(), first + 1);
    let mut list = |sign: char, lines: &[&str]| {
        for line in lines.iter().take(20) {
            writeln!(out, "  {sign} {line}").unwrap();
        }
    };
    list(' ', &old[first.saturating_sub(3)..first]);
    list('-', &old[first..old.len() - same_end]);
    list('+', &new[first..new.len() - same_end]);
    out
}

/// The listing of the module's functions. Stubs are left out but for their
/// names, except in a module that is about them.
fn listing(wasm: &[u8], what: Emit, triple: &str) -> String {
    let all = String::from_utf8(wasmc::emit(wasm, what, &promising(wasm, triple)).unwrap()).unwrap();
    let with_stubs = wasm.starts_with(b";; with stubs");
    let mut out = String::new();
    let mut shown = true;
    for line in all.lines() {
        if let Some(name) = line.strip_prefix(";; ") {
            shown = with_stubs || !name.starts_with("wasmc.");
            if !shown {
                writeln!(out, "{line}").unwrap();
            }
        }
        // What the unwinder is told is not code.
        if shown && !line.starts_with("  unwind ") {
            writeln!(out, "{line}").unwrap();
        }
    }
    out
}

/// Everything in an artifact but its code, and but what depends on the
/// version of the compiler: hashes and the fingerprint of the ABI.
fn dump(wasm: &[u8], triple: &str) -> String {
    let bytes = wasmc::compile(wasm, &options(triple)).unwrap();
    wasmc::inspect::verify(&bytes).unwrap();
    let artifact = Artifact::parse(&bytes).unwrap();
    let mut out = String::new();
    dump_header(&artifact, &mut out).unwrap();
    dump_object(&ObjectView::read(&bytes).unwrap(), &mut out).unwrap();
    dump_tables(&artifact, &mut out).unwrap();
    out
}

fn dump_header(artifact: &Artifact<'_>, out: &mut String) -> std::fmt::Result {
    let h = artifact.header();
    writeln!(out, "name {:?}, {}", artifact.str(h.name).unwrap(), artifact.str(h.triple).unwrap())?;
    writeln!(
        out,
        "file of {:#x} bytes, {:#x} mapped, page size {:#x}",
        artifact.file().len(),
        h.mapped,
        artifact.page_size()
    )?;
    writeln!(out, "metadata at {:#x}, {:#x} bytes", artifact.metadata_offset(), h.metadata_length)?;
    writeln!(out, "text at {:#x}, {:#x} bytes", h.text.offset, h.text.length)?;
    writeln!(out, "context of {:#x} bytes: {:?}", artifact.layout().size(), h.context)?;
    writeln!(out, "memory reservation {:#x}, guard {:#x}", h.memory_reservation, h.memory_guard)?;
    writeln!(out, "start {:?}", Some(h.start).filter(|start| *start != u32::MAX))
}

fn dump_object(view: &ObjectView, out: &mut String) -> std::fmt::Result {
    writeln!(out, "\n{}, {}, {} symbols", view.container.name(), view.machine, view.symbols)?;
    for s in &view.segments {
        let flag = |set: bool, letter: char| if set { letter } else { '-' };
        let access = [flag(s.read, 'R'), flag(s.write, 'W'), flag(s.execute, 'X')].iter().collect::<String>();
        writeln!(out, "segment {:<12} {access} {:#8x}, {:#x} bytes, at {:#x}", s.name, s.offset, s.size, s.address)?;
    }
    for s in &view.sections {
        writeln!(out, "section {:<24} {:#8x}, {:#x} bytes, at {:#x}", s.name, s.offset, s.size, s.address)?;
    }
    Ok(())
}

/// The rows of a table, one to a line.
macro_rules! dump_rows {
    ($out:ident, $tables:ident: $($name:ident)*) => {$(
        if !$tables.$name.is_empty() {
            writeln!($out, "\n{} ({})", stringify!($name), $tables.$name.len())?;
            for row in $tables.$name.iter() {
                writeln!($out, "  {row:x?}")?;
            }
        }
    )*};
}

fn dump_tables(artifact: &Artifact<'_>, out: &mut String) -> std::fmt::Result {
    let tables = artifact.tables();
    let name = |span: Span| artifact.str(span).unwrap_or("?").to_owned();
    writeln!(out, "\ntypes ({})", tables.types.len())?;
    for row in tables.types.iter() {
        let ty = artifact.func_type(tables.types.iter().position(|other| other == row).unwrap_or_default() as u32);
        let stubs = [row.native_entry, row.array_entry, row.native_host, row.array_host];
        writeln!(out, "  {:016x} {} {stubs:x?}", row.id, ty.map(|ty| ty.to_string()).unwrap_or_default())?;
    }
    writeln!(out, "\nimports ({})", tables.imports.len())?;
    for row in tables.imports.iter() {
        writeln!(out, "  {}.{} kind {} index {}", name(row.module), name(row.name), row.kind, row.index)?;
    }
    writeln!(out, "\nexports ({})", tables.exports.len())?;
    for row in tables.exports.iter() {
        writeln!(out, "  {} kind {} index {}", name(row.name), row.kind, row.index)?;
    }
    writeln!(out, "\nfunctions ({})", tables.functions.len())?;
    for row in tables.functions.iter() {
        writeln!(out, "  {:#x}, {:#x} bytes {}", row.code, row.length, artifact.function_name(&row).unwrap_or("?"))?;
    }
    dump_rows!(out, tables: func_refs memories tables table_init globals const_ops extents working_set data_segments elem_segments);
    writeln!(out, "\ntrap sites ({})", tables.trap_sites.len())?;
    for (site, code) in tables.trap_sites.iter().zip(tables.trap_codes.iter()) {
        writeln!(out, "  {:#x} {:?}", site.code, wasmc_artifacts::abi::Trap::from_code(code.code))?;
    }
    for row in tables.stack_maps.iter() {
        let places = artifact.stack_map_at(row.pc);
        let places: Vec<u32> = places.iter().flat_map(|rows| rows.iter()).map(|slot| slot.offset).collect();
        writeln!(out, "  {:#x} keeps references at {places:?}", row.pc)?;
    }
    Ok(())
}
