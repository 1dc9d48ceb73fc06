//! Real programs: each run is like the first one, and begins with the bytes
//! that the module says.

use crate::guest::load;
use crate::kinds::{self, Kind, Place};
use crate::state::State;
use std::fs;
use std::path::{Path, PathBuf};
use wasmc_loader::{Engine, Instance, InstancePre, Linker, Store};
use wasmc_tests::corpus::corpus;
use wasmc_tests::rng::rounds;
use wasmc_wasi::pipe::MemoryOutputPipe;
use wasmc_wasi::{DirPerms, FilePerms, I32Exit, WasiCtx, WasiCtxBuilder};

struct Host {
    wasi: WasiCtx,
    stdout: MemoryOutputPipe,
}

impl Host {
    /// What a program gets that reads from its own folder.
    fn new(program: &Path) -> Host {
        let stdout = MemoryOutputPipe::new(16 << 20);
        let mut builder = WasiCtxBuilder::new();
        builder.stdout(stdout.clone()).arg("program").expect("the argument has no zero byte");
        let folder = program.parent().expect("a program is in a folder");
        builder.preopened_dir(folder, ".", DirPerms::READ, FilePerms::READ).expect("the folder can be opened");
        Host { wasi: builder.build(), stdout }
    }
}

/// The smallest programs of the corpus that are commands.
fn programs(corpus: &Path, count: usize) -> Vec<PathBuf> {
    let entries = |folder: &Path| fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path()).collect::<Vec<_>>();
    let folders = entries(&corpus.join("sightglass"));
    let mut programs: Vec<(u64, PathBuf)> = folders
        .iter()
        .filter(|path| path.is_dir())
        .flat_map(|path| entries(path))
        .filter(|path| path.extension().is_some_and(|extension| extension == "wasm"))
        .map(|path| (fs::metadata(&path).unwrap().len(), path))
        .collect();
    programs.sort();
    programs.into_iter().map(|(_, path)| path).take(count).collect()
}

fn pre(engine: &Engine, artifact: &[u8]) -> InstancePre<Host> {
    let mut linker: Linker<Host> = Linker::new(engine);
    wasmc_wasi::add_to_linker(&mut linker, |host| &mut host.wasi).unwrap();
    linker.func_wrap("bench", "start", || {}).unwrap();
    linker.func_wrap("bench", "end", || {}).unwrap();
    linker.instantiate_pre(&load(engine, artifact)).unwrap_or_else(|e| panic!("{e:?}"))
}

/// How a run ends, and what it writes.
fn run(store: &mut Store<Host>, instance: Instance) -> (Result<i32, String>, Vec<u8>) {
    let start = instance.get_typed_func::<(), ()>(&mut *store, "_start").expect("a command exports `_start`");
    let exit = match start.call(&mut *store, ()) {
        Ok(()) => Ok(0),
        Err(error) => error.downcast_ref::<I32Exit>().map(|exit| exit.0).ok_or_else(|| format!("{error}")),
    };
    (exit, store.data().stdout.contents().to_vec())
}

fn compare(program: &Path, kinds: &[Kind]) {
    let wasm = fs::read(program).unwrap();
    let artifact = wasmc::compile(&wasm, &wasmc::Options::new());
    let artifact = artifact.unwrap_or_else(|e| panic!("{}: {e:?}", program.display()));
    let mut fresh = Place::new(kinds::Way::Anew, pre(&kinds::fresh(), &artifact));
    let (mut store, instance) = fresh.next_with(Host::new(program));
    let first = State::of(&mut store, instance);
    let expected = run(&mut store, instance);
    for kind in kinds {
        let mut place = Place::new(kind.way, pre(&kind.engine(), &artifact));
        for round in 0..3 {
            let (mut store, instance) = place.next_with(Host::new(program));
            let name = || format!("{} under {}, round {round}", program.display(), kind.name);
            if round != 1
                && let Some(difference) = State::of(&mut store, instance).difference(&first)
            {
                panic!("{}: {difference}", name());
            }
            if round < 2 {
                assert!(run(&mut store, instance) == expected, "{} does something else", name());
            }
            place.leave(store, instance);
        }
    }
}

#[test]
fn programs_begin_and_run_as_at_first_after_each_way_of_reset() {
    let Some(corpus) = corpus() else { return };
    let programs = programs(&corpus, rounds(2));
    assert!(!programs.is_empty(), "no programs in {}", corpus.display());
    for (number, program) in programs.iter().enumerate() {
        // Every kind is there for some program.
        let some: Vec<Kind> = kinds::all().into_iter().skip(number % 13).step_by(13).collect();
        compare(program, &some);
    }
}
