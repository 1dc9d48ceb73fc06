//! Artifacts that load, and artifacts that are refused with a reason.

use super::module;
use wasmc_artifacts::rows::Row;
use wasmc_loader::{Engine, FormatError, IncompatibleError, Instance, Linker, Module, Store};

const ADD: &str = r#"(module (memory (export "m") 1) (data (i32.const 0) "image")
    (func (export "add") (param i32 i32) (result i32) local.get 0 local.get 1 i32.add))"#;

fn compile(text: &str, target: Option<&str>) -> Vec<u8> {
    let mut options = wasmc::Options::new();
    if let Some(target) = target {
        options.target = wasmc::Target::new(target).unwrap();
    }
    wasmc::compile(&wat::parse_str(text).unwrap(), &options).unwrap()
}

fn check(engine: &Engine, module: &Module) {
    let mut store = Store::new(engine, ());
    let instance = Instance::new(&mut store, module, &[]).unwrap();
    let add = instance.get_typed_func::<(i32, i32), i32>(&mut store, "add").unwrap();
    assert_eq!(add.call(&mut store, (40, 2)).unwrap(), 42);
    assert_eq!(&instance.get_memory(&mut store, "m").unwrap().data(&store)[..5], b"image");
}

#[test]
fn an_artifact_runs_from_a_file_and_from_bytes() {
    let engine = Engine::default();
    let artifact = compile(ADD, None);
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("add.cwasm");
    std::fs::write(&path, &artifact).unwrap();
    // SAFETY: the artifact comes straight from the compiler.
    let (file, bytes) =
        unsafe { (Module::open(&engine, &path).unwrap(), Module::from_bytes(&engine, &artifact).unwrap()) };
    // Replacing the file by another does not touch what is mapped.
    std::fs::remove_file(&path).unwrap();
    check(&engine, &file);
    check(&engine, &bytes);
}

#[cfg(target_arch = "x86_64")]
#[test]
fn a_mach_o_artifact_of_the_same_architecture_runs_here() {
    let engine = Engine::default();
    let artifact = compile(ADD, Some("x86_64-apple-darwin"));
    assert!(artifact.starts_with(&0xfeed_facf_u32.to_le_bytes()));
    // SAFETY: the artifact comes straight from the compiler.
    check(&engine, &unsafe { Module::from_bytes(&engine, &artifact) }.unwrap());
}

#[test]
fn an_artifact_for_another_architecture_is_refused() {
    let other = if cfg!(target_arch = "x86_64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };
    let artifact = compile(ADD, Some(other));
    let engine = Engine::default();
    // SAFETY: it is not going to be executed.
    let error = unsafe { Module::from_bytes(&engine, &artifact) }.unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(IncompatibleError::Arch { .. })));
    let text = error.to_string();
    assert!(text.contains(other) && text.contains("--target"), "{text}");
}

#[test]
fn an_artifact_that_needs_a_missing_cpu_feature_is_refused_by_name() {
    let mut artifact = compile(ADD, None);
    // A feature of the other architecture, which this machine cannot have.
    let parsed = wasmc_artifacts::format::Artifact::parse(&artifact).unwrap();
    let mut header = *parsed.header();
    let at = parsed.metadata_offset();
    let mut features = wasmc_artifacts::abi::CpuFeatures(header.cpu_features);
    let (arch, name) = if cfg!(target_arch = "x86_64") {
        (wasmc_artifacts::abi::Arch::Aarch64, "dotprod")
    } else {
        (wasmc_artifacts::abi::Arch::X86_64, "avx2")
    };
    assert!(features.insert(arch, name));
    header.cpu_features = features.0;
    let mut bytes = Vec::new();
    header.encode(&mut bytes);
    artifact[at..at + bytes.len()].copy_from_slice(&bytes);
    let engine = Engine::default();
    // SAFETY: it is not going to be executed.
    let error = unsafe { Module::from_bytes(&engine, &artifact) }.unwrap_err().to_string();
    assert!(error.contains(name) && error.contains("--cpu"), "{error}");
}

#[test]
fn files_that_are_no_artifacts_are_refused_with_a_reason() {
    let engine = Engine::default();
    let wasm = wat::parse_str("(module)").unwrap();
    let artifact = compile(ADD, None);
    let cases: [(&[u8], &str); 5] = [
        (&wasm, "WebAssembly that has not been compiled"),
        (b"", "fewer than four bytes"),
        (&artifact[..artifact.len() / 2], "lies outside the file"),
        (&artifact[..300], "truncated"),
        (b"#!/bin/sh", "neither an ELF nor"),
    ];
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("file");
    for (bytes, reason) in cases {
        std::fs::write(&path, bytes).unwrap();
        // SAFETY: nothing of them is going to be executed.
        let errors = unsafe { [Module::from_bytes(&engine, bytes).err(), Module::open(&engine, &path).err()] };
        for error in errors {
            let error = error.unwrap();
            assert!(error.is::<FormatError>(), "{error:?}");
            assert!(format!("{error:#}").to_lowercase().contains(&reason.to_lowercase()), "{reason}: {error:#}");
        }
    }
    // SAFETY: there is no such file.
    let error = unsafe { Module::open(&engine, folder.path().join("none")) }.unwrap_err();
    assert!(error.is::<std::io::Error>() && error.to_string().contains("none"), "{error}");
}

#[test]
fn a_module_of_another_engine_is_refused() {
    let (one, other) = (Engine::default(), Engine::default());
    let module = module(&one, ADD);
    let error = Linker::new(&other).instantiate(Store::new(&other, ()), &module).unwrap_err();
    assert!(error.to_string().contains("another engine"), "{error}");
}

#[test]
fn a_thousand_instances_in_one_store_are_freed_with_it() {
    let engine = Engine::default();
    let module = module(&engine, ADD);
    for _ in 0..3 {
        let mut store = Store::new(&engine, ());
        for _ in 0..1000 {
            Instance::new(&mut store, &module, &[]).unwrap();
        }
    }
    for _ in 0..10_001 {
        check(&engine, &module);
    }
}

#[test]
fn damaged_metadata_is_refused_or_harmless() {
    let text = r#"(module $damaged
        (import "a" "f" (func (param i32) (result i64)))
        (import "a" "g" (global $g i32))
        (import "a" "t" (table 1 funcref))
        (memory (export "memory") 1 3) (memory 1)
        (table (export "table") 4 8 funcref) (table 3 funcref) (table externref (elem (ref.null extern)))
        (global (export "global") (mut i32) (i32.add (global.get $g) (i32.const 4)))
        (global (mut funcref) (ref.func $h))
        (func $h (export "h") (param i32) (result i32) (call_indirect 2 (result i32) (local.get 0)))
        (elem (table 1) (global.get $g) func $h 0) (elem $p func $h)
        (elem (table 2) (i32.const 1) func $h)
        (data (global.get $g) "active") (data (i32.const 70) "static") (data "passive"))"#;
    let artifact = compile(text, None);
    let parsed = wasmc_artifacts::format::Artifact::parse(&artifact).unwrap();
    let metadata = parsed.metadata_offset()..parsed.metadata_offset() + parsed.header().metadata_length as usize;
    let engine = Engine::default();
    let (mut loaded, mut made) = (0, 0);
    let mut attempt = |bytes: &[u8]| {
        // SAFETY: no function of the module is called.
        let Ok(module) = (unsafe { Module::from_bytes(&engine, bytes) }) else { return };
        loaded += 1;
        let exports: Vec<String> = module.exports().map(|e| format!("{}{}", e.name(), e.ty())).collect();
        let _ = (exports, module.name(), module.get_export("h"));
        let mut store = Store::new(&engine, ());
        let mut linker = Linker::new(&engine);
        if linker.define_unknown_imports_as_default_values(&mut store, &module).is_err() {
            return;
        }
        if module_starts(bytes) {
            return;
        }
        let Ok(instance) = linker.instantiate(&mut store, &module) else { return };
        made += 1;
        for export in instance.exports(&mut store) {
            let _ = export.into_extern();
        }
        if let Some(table) = instance.get_table(&mut store, "table") {
            for index in 0..table.size(&store).min(100) {
                let _ = table.get(&mut store, index);
            }
        }
    };
    attempt(&artifact);
    for at in metadata {
        let mut bytes = artifact.clone();
        bytes[at] ^= [0xff, 0x01, 0x80][at % 3];
        attempt(&bytes);
    }
    assert!(loaded > 100 && made > 100, "{loaded} loaded, {made} instantiated: the test tests nothing");
}

/// Whether instantiating would call a start function.
fn module_starts(bytes: &[u8]) -> bool {
    let parsed = wasmc_artifacts::format::Artifact::parse(bytes);
    parsed.is_ok_and(|artifact| artifact.header().start != wasmc_artifacts::format::NONE)
}
