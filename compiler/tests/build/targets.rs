//! What cargo's variables decide.

use crate::{Package, SMALL};
use object::{Architecture, BinaryFormat, Object as _, ObjectSymbol as _};
use std::fs;
use wasmc::build::{Carrier, Module};
use wasmc::inspect::Report;
use wasmc::{OptLevel, Options};

/// What is in the artifact that is made with these variables.
fn report(variables: &[(&str, &str)]) -> Report {
    let package = Package::new();
    let mut module = package.guest("small.wat", SMALL);
    for (name, value) in variables {
        module.env(name, value);
    }
    module.compile().unwrap();
    Report::read(&package.read("small.cwasm"), 0).unwrap()
}

#[test]
fn the_target_is_cargos() {
    assert_eq!(report(&[]).triple, "x86_64-unknown-linux-gnu");
    let arm = report(&[("TARGET", "aarch64-unknown-linux-gnu"), ("CARGO_CFG_TARGET_FEATURE", "neon")]);
    assert_eq!((arm.triple.as_str(), arm.page_size), ("aarch64-unknown-linux-gnu", 65_536));
    assert_eq!(report(&[("TARGET", "x86_64-unknown-linux-musl")]).triple, "x86_64-unknown-linux-musl");
    // A target of the user's own, by what it consists of.
    let own = [("TARGET", "my-board"), ("CARGO_CFG_TARGET_ARCH", "aarch64"), ("CARGO_CFG_TARGET_OS", "linux")];
    assert_eq!(report(&own).triple, "aarch64-unknown-linux-gnu");
    // Of which some have other pointers, or write numbers the other way.
    for (name, value) in [("CARGO_CFG_TARGET_POINTER_WIDTH", "32"), ("CARGO_CFG_TARGET_ENDIAN", "big")] {
        let mut module = Package::new().guest("small.wat", SMALL);
        for (name, value) in own.into_iter().chain([(name, value)]) {
            module.env(name, value);
        }
        let text = module.try_compile().unwrap_err().to_string();
        assert!(text.contains("the variable TARGET is `my-board`"), "{text}");
    }
}

#[test]
fn guests_may_use_what_the_programs_own_code_uses() {
    let features = |variables: &[(&str, &str)]| report(variables).cpu_features;
    assert!(features(&[]).is_empty());
    let host = ("CARGO_CFG_TARGET_FEATURE", "avx,avx2,bmi1,fxsr,popcnt,sse,sse2,sse3,sse4.1,sse4.2,ssse3");
    let found = features(&[host]);
    assert!(found.contains(&"avx2") && found.contains(&"popcnt") && !found.contains(&"bmi2"), "{found:?}");
    // Who builds has the last word.
    assert!(features(&[host, ("WASMC_CPU", "baseline")]).is_empty());
    assert!(features(&[("WASMC_CPU", "x86-64-v3")]).contains(&"bmi2"));
    let arm = [("TARGET", "aarch64-unknown-linux-gnu"), ("CARGO_CFG_TARGET_FEATURE", "dotprod,lse,neon")];
    assert_eq!(features(&arm), ["lse", "dotprod"]);

    let package = Package::new();
    let mut module = package.guest("small.wat", SMALL);
    module.cpu("x86-64-v2").env("CARGO_CFG_TARGET_FEATURE", host.1).compile().unwrap();
    let found = Report::read(&package.read("small.cwasm"), 0).unwrap().cpu_features;
    assert!(found.contains(&"sse4.2") && !found.contains(&"avx2"), "{found:?}");
}

#[test]
fn the_profile_decides_on_optimisation_and_debug_information() {
    let wasm = wat::parse_str(SMALL).unwrap();
    let built = |variables: &[(&str, &str)], change: fn(&mut Module)| {
        let package = Package::new();
        let mut module = package.set_up(Module::new(wasm.clone()));
        module.name("small");
        for (name, value) in variables {
            module.env(name, value);
        }
        change(&mut module);
        module.compile().unwrap();
        package.read("small.cwasm")
    };
    let compiled = |level, debug| {
        let mut options = Options::new();
        (options.opt_level, options.debug) = (level, debug);
        options.target = wasmc::Target::new("x86_64-unknown-linux-gnu").unwrap();
        options.name = Some("small".to_owned());
        wasmc::compile(&wasm, &options).unwrap()
    };
    for (value, level) in [
        ("0", OptLevel::None),
        ("1", OptLevel::Basic),
        ("2", OptLevel::Speed),
        ("3", OptLevel::Speed),
        ("s", OptLevel::Size),
        ("z", OptLevel::Size),
    ] {
        assert!(built(&[("OPT_LEVEL", value)], |_| ()) == compiled(level, false), "{value}");
    }
    assert!(compiled(OptLevel::None, false) != compiled(OptLevel::Speed, false));
    assert!(built(&[("DEBUG", "true")], |_| ()) == compiled(OptLevel::Speed, true));
    let changed = built(&[("OPT_LEVEL", "0"), ("WASMC_OPT_LEVEL", "3"), ("DEBUG", "true")], |module| {
        module.debug(false);
    });
    assert!(changed == compiled(OptLevel::Speed, false));
    let changed = built(&[], |module| {
        module.opt_level(OptLevel::None).options(|options| options.debug = true);
    });
    assert!(changed == compiled(OptLevel::None, true));
    // Who builds has the last word here too.
    let changed = built(&[("OPT_LEVEL", "1"), ("WASMC_OPT_LEVEL", "3")], |module| {
        module.opt_level(OptLevel::None);
    });
    assert!(changed == compiled(OptLevel::Speed, false));
}

#[test]
fn what_stops_guests_is_compiled_in_when_asked_for() {
    let built = |change: fn(&mut Module) -> &mut Module| {
        let package = Package::new();
        change(&mut package.guest("small.wat", SMALL)).compile().unwrap();
        package.read("small.cwasm")
    };
    let plain = built(|module| module);
    assert!(built(|module| module.epoch(false).fuel(false)) == plain);
    assert!(built(|module| module.epoch(true)) == built(|module| module.options(|options| options.epoch = true)));
    assert!(built(|module| module.fuel(true)) == built(|module| module.options(|options| options.fuel = true)));
    for changed in [built(|module| module.epoch(true)), built(|module| module.fuel(true))] {
        assert!(changed != plain);
    }
    let report = Report::read(&built(Module::deterministic), 0).unwrap();
    assert!(report.canonical_nans && report.deterministic_relaxed_simd && report.stack_values.is_some());
}

#[test]
fn libraries_are_for_the_target_and_have_the_symbol() {
    for (target, format, architecture) in [
        ("x86_64-unknown-linux-gnu", BinaryFormat::Elf, Architecture::X86_64),
        ("aarch64-unknown-linux-gnu", BinaryFormat::Elf, Architecture::Aarch64),
        ("x86_64-apple-darwin", BinaryFormat::MachO, Architecture::X86_64),
        ("aarch64-apple-darwin", BinaryFormat::MachO, Architecture::Aarch64),
    ] {
        let package = Package::new();
        let mut module = package.guest("small.wat", SMALL);
        let output = module.carrier(Carrier::Linked).env("TARGET", target).try_compile().unwrap();
        let library = fs::read(&output.artifact).unwrap();
        let magic: &[u8] = if format == BinaryFormat::Elf { b"\x7fELF" } else { b"\xcf\xfa\xed\xfe" };
        let at = library.windows(4).position(|window| window == magic).expect("an object file in the library");
        let member = library[at..].to_vec();
        let object = object::File::parse(&*member).unwrap();
        assert_eq!((object.format(), object.architecture()), (format, architecture));

        let symbol = output.artifact.file_stem().unwrap().to_str().unwrap().strip_prefix("lib").unwrap();
        let code = fs::read_to_string(&output.bindings).unwrap();
        assert!(code.contains(&format!("__load_linked!(engine, {symbol})")), "{code}");
        let underscore = if format == BinaryFormat::MachO { "_" } else { "" };
        for symbol in [format!("{underscore}{symbol}"), format!("{underscore}{symbol}_end")] {
            assert!(object.symbols().any(|s| s.is_definition() && s.name() == Ok(&symbol)), "no {symbol} for {target}");
            // Linkers look for it in the library's index, before all members.
            let index = &library[..at];
            assert!(index.windows(symbol.len()).any(|window| window == symbol.as_bytes()), "{symbol} is not listed");
        }
    }
}
