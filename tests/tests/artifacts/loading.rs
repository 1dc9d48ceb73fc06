//! The loader on damaged artifacts: it refuses them, or it loads and
//! instantiates what is described there. It never panics and never faults.
//!
//! Machine code is trusted and is not damaged here, and none is executed:
//! nothing is called, and copies that have a start function are left out.

use crate::damage::Specimen;
use std::fs;
use std::io::Write as _;
use std::process::{Command, Stdio};
use wasmc_artifacts::format::{Artifact, Header, NONE};
use wasmc_artifacts::rows::Row;
use wasmc_loader::{Engine, Linker, Module, Store};
use wasmc_tests::rng::{Rng, rounds};

/// Tells [`instantiates_for_another_process`] which specimen to damage.
const SPECIMEN: &str = "WASMC_TEST_SPECIMEN";

fn load(engine: &Engine, file: &[u8]) -> wasmc_loader::Result<Module> {
    // SAFETY: the code is the compiler's, and it is not called.
    unsafe { Module::from_bytes(engine, file) }
}

/// Asks a module for everything that it can tell.
fn list(module: &Module) {
    module.imports().for_each(|import| drop(import.ty().to_string()));
    for export in module.exports() {
        export.ty().to_string();
        module.get_export(export.name());
        module.get_export_index(export.name());
    }
    module.name();
}

#[test]
fn damaged_metadata_is_refused_or_loaded() {
    let engine = Engine::default();
    let mut rng = Rng::new(4);
    for specimen in Specimen::native() {
        for at in specimen.metadata.start..specimen.metadata.start + Header::SIZE {
            for pattern in [1, 0x80, 0xff] {
                load(&engine, &specimen.resealed(&[(at, &[specimen.bytes[at] ^ pattern])])).iter().for_each(list);
            }
        }
        for _ in 0..rounds(1000) {
            load(&engine, &specimen.garbled(&mut rng).1).iter().for_each(list);
        }
    }
}

#[test]
fn a_file_that_was_cut_off_is_refused() {
    let engine = Engine::default();
    let folder = tempfile::tempdir().unwrap();
    for specimen in Specimen::native() {
        let needed = Artifact::parse(&specimen.bytes).unwrap().header().mapped as usize;
        for edge in specimen.edges() {
            for end in [edge.saturating_sub(1), edge, edge + 1] {
                let part = &specimen.bytes[..end.min(specimen.bytes.len())];
                let path = folder.path().join(format!("{end}.cwasm"));
                fs::write(&path, part).unwrap();
                // SAFETY: the code is the compiler's, it is not called, and
                // nobody else knows the file.
                let module = unsafe { Module::open(&engine, &path) };
                module.iter().for_each(list);
                assert!(module.is_err() || part.len() >= needed, "{}: {end} bytes were loaded", specimen.name);
                if let Err(error) = module {
                    let message = format!("{error:#}");
                    assert!(message.contains(&*path.to_string_lossy()), "the file is not named: {message}");
                }
                fs::remove_file(&path).unwrap();
            }
        }
    }
}

/// Whether instantiating runs code, which is not what is damaged here: a start
/// function, or code that computes initial values.
fn runs_code(artifact: &Artifact<'_>) -> bool {
    let header = artifact.header();
    header.start != NONE || header.initializer != NONE && header.initializer_entry != NONE
}

/// Whether this test, as the host, would have to supply a huge table.
fn wants_much(artifact: &Artifact<'_>) -> bool {
    let imported = artifact.header().context.table_imports as usize;
    artifact.tables().tables.iter().take(imported).any(|table| table.minimum > 1 << 20)
}

/// In other processes, since a fault would end this one.
#[test]
fn damaged_metadata_is_refused_or_instantiated() {
    for specimen in Specimen::native() {
        if runs_code(&Artifact::parse(&specimen.bytes).unwrap()) {
            continue;
        }
        let run = Command::new(std::env::current_exe().unwrap())
            .args(["--exact", "loading::instantiates_for_another_process", "--nocapture"])
            .env(SPECIMEN, specimen.name)
            .stderr(Stdio::piped())
            .output()
            .unwrap();
        let (out, err) = (String::from_utf8_lossy(&run.stdout), String::from_utf8_lossy(&run.stderr));
        let last = out.lines().rfind(|line| line.contains("bytes at")).unwrap_or_default();
        println!("{}: {}", specimen.name, out.lines().rfind(|line| line.contains(" loaded")).unwrap_or_default());
        assert!(run.status.success(), "{} with {last}: {}\n{err}", specimen.name, run.status);
    }
}

/// The other end of the test above; nothing when run as a test.
#[test]
fn instantiates_for_another_process() {
    let Ok(name) = std::env::var(SPECIMEN) else { return };
    let specimen = Specimen::native().into_iter().find(|specimen| specimen.name == name).unwrap();
    let mut rng = Rng::new(5);
    let (mut loaded, mut instantiated) = (0, 0);
    for _ in 0..rounds(5000) {
        let (damage, file) = specimen.garbled(&mut rng);
        if Artifact::parse(&file).is_ok_and(|artifact| runs_code(&artifact) || wants_much(&artifact)) {
            continue;
        }
        writeln!(std::io::stdout(), "{damage}").unwrap();
        // An engine of its own: damaged type ids would collide.
        let engine = Engine::default();
        let Ok(module) = load(&engine, &file) else { continue };
        loaded += 1;
        let mut linker = Linker::new(&engine);
        let mut store = Store::new(&engine, ());
        let imports = linker.define_unknown_imports_as_default_values(&mut store, &module).is_ok();
        instantiated += usize::from(imports && linker.instantiate(&mut store, &module).is_ok());
    }
    writeln!(std::io::stdout(), "{loaded} loaded, {instantiated} instantiated").unwrap();
    assert!(instantiated > 0, "no copy is intact enough to be instantiated, so nothing was tested");
}
