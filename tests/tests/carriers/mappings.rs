//! Where code and memories are, as the kernel sees it.

use super::{alone, call, compile, engines};
use std::ops::Range;
use wasmc_loader::{Engine, InstantiationStrategy};
use wasmc_tests::carriers::{self, Carrier, using};

const GUEST: &str = r#"(module
    (memory (export "memory") 3) (data (i32.const 70000) "image")
    (func (export "get") (param i32) (result i32) (i32.load8_u (local.get 0))))"#;

struct Mapping {
    range: Range<usize>,
    access: String,
    offset: usize,
    file: String,
}

fn mappings() -> Vec<Mapping> {
    let hex = |digits: &str| usize::from_str_radix(digits, 16).unwrap();
    let mapping = |line: &str| {
        let mut words = line.split_whitespace();
        let (start, end) = words.next().unwrap().split_once('-').unwrap();
        let (access, offset) = (words.next().unwrap().to_owned(), hex(words.next().unwrap()));
        let file = words.skip(2).collect::<Vec<_>>().join(" ");
        Mapping { range: hex(start)..hex(end), access, offset, file }
    };
    std::fs::read_to_string("/proc/self/maps").unwrap().lines().map(mapping).collect()
}

fn at(address: usize) -> Mapping {
    mappings().into_iter().find(|mapping| mapping.range.contains(&address)).expect("something is mapped there")
}

/// Where the byte at an address is in its file.
fn place(address: usize) -> (String, usize) {
    let Mapping { range, offset, file, .. } = at(address);
    (file, address - range.start + offset)
}

#[test]
fn nothing_is_ever_writable_and_executable() {
    let artifact = compile(GUEST);
    for carrier in Carrier::ALL {
        for engine in engines() {
            let module = using(carrier, || carriers::load(&engine, &artifact)).unwrap();
            let (mut store, instance) = alone(&engine, &module);
            assert_eq!(call::<i32, i32, _>(&mut store, instance, "get", 70001).unwrap(), i32::from(b'm'));
            for mapping in mappings() {
                assert!(
                    !(mapping.access.contains('w') && mapping.access.contains('x')),
                    "{carrier:?}: {}",
                    mapping.file
                );
            }
            assert_eq!(at(module.text().start).access, "r-xp", "{carrier:?}");
        }
    }
}

fn copy_on_write() -> Engine {
    let engine = engines().next().unwrap();
    assert_eq!(engine.instantiation_strategy(), InstantiationStrategy::PoolingCopyOnWrite);
    engine
}

#[test]
fn embedded_code_and_images_are_views_of_the_programs_own_file() {
    let artifact = compile(GUEST);
    let carried = carriers::library(&artifact, false);
    let (file, start) = place(carried.bytes().as_ptr() as usize);
    assert!(file.contains("wasmc-library"), "{file}");
    let engine = copy_on_write();
    let module = using(Carrier::Embedded, || carriers::load(&engine, &artifact)).unwrap();
    let text = module.text().start;
    assert!(!carried.bytes().as_ptr_range().contains(&(text as *const u8)), "data is not executable");
    let header = *wasmc_artifacts::format::Artifact::parse(&artifact).unwrap().header();
    assert_eq!(place(text), (file.clone(), start + header.text.offset as usize));
    let (mut store, instance) = alone(&engine, &module);
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let (found, _) = place(memory.data(&store)[70000..].as_ptr() as usize);
    assert_eq!(found, file, "memories begin as views of it");
}

#[test]
fn code_of_an_engine_is_mapped_once_however_often_it_is_loaded() {
    let artifact = compile(GUEST);
    for carrier in [Carrier::Embedded, Carrier::Linked] {
        let (engine, other) = (copy_on_write(), copy_on_write());
        let load = |engine| using(carrier, || carriers::load(engine, &artifact)).unwrap();
        let modules = [load(&engine), load(&engine), load(&other)];
        assert!(!wasmc_loader::Module::same(&modules[0], &modules[1]), "loading makes a module of its own");
        let texts = modules.each_ref().map(|module| module.text());
        assert_eq!(texts[0], texts[1]);
        assert_eq!(texts[0] == texts[2], carrier == Carrier::Linked, "engines share what the program has");
        drop(modules);
        // The mapping is the engine's.
        assert_eq!(load(&engine).text(), texts[0]);
    }
}

#[test]
fn linked_code_runs_where_the_systems_loader_put_it() {
    let artifact = compile(GUEST);
    let carried = carriers::library(&artifact, true);
    let engine = copy_on_write();
    let module = using(Carrier::Linked, || carriers::load(&engine, &artifact)).unwrap();
    let header = *wasmc_artifacts::format::Artifact::parse(&artifact).unwrap().header();
    assert_eq!(module.text().start, carried.bytes().as_ptr() as usize + header.text.offset as usize);
    let (mut store, instance) = alone(&engine, &module);
    let memory = instance.get_memory(&mut store, "memory").unwrap();
    let (found, _) = place(memory.data(&store)[70000..].as_ptr() as usize);
    // Without the kernel's word for it, the file is found by what is in it.
    assert!(found.contains("wasmc-library"), "memories begin as views of the program's file, not of {found}");
}
