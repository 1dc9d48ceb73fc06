//! The same program as elsewhere, with each carrier.

use super::{Cross, TARGET, program};
use crate::package::{Program, terminal};
use std::fs;
use wasmc::OptLevel;
use wasmc::build::{Carrier, Module};

/// A build script that takes what is in `out`.
const SCRIPT: &str = r#"
fn main() {
    let out = std::env::var("OUT_DIR").unwrap();
    println!("cargo:rerun-if-changed=out");
    println!("cargo:rustc-link-search=native={out}");
    for entry in std::fs::read_dir("out").unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        std::fs::copy(&path, format!("{out}/{name}")).unwrap();
        if let Some(library) = name.strip_prefix("lib").and_then(|name| name.strip_suffix(".a")) {
            println!("cargo:rustc-link-lib=static={library}");
        }
    }
}
"#;

/// Lets a package take what `compile` makes for it.
fn hand_over(copy: &Program, package: &str) {
    let manifest = format!("{package}/Cargo.toml");
    let text = fs::read_to_string(copy.file(&manifest)).expect("a manifest");
    let end = text.find("[build-dependencies]").expect("dependencies of the build script");
    copy.write(&manifest, &text[..end]);
    copy.write(&format!("{package}/build.rs"), SCRIPT);
}

/// Compiles a guest of a package, as its build script would.
fn compile(copy: &Program, package: &str, carrier: Carrier, module: &mut Module) {
    let folder = copy.file(package);
    let out = folder.join("out");
    fs::create_dir_all(&out).expect("a folder for what is made");
    for (name, value) in [
        ("TARGET", TARGET),
        ("HOST", "x86_64-unknown-linux-gnu"),
        ("CARGO_CFG_TARGET_FEATURE", "neon"),
        ("CARGO_PKG_NAME", package),
        ("CARGO_PKG_VERSION", "0.1.0"),
        ("CARGO_MANIFEST_DIR", folder.to_str().expect("a path that is text")),
    ] {
        module.env(name, value);
    }
    module.carrier(carrier).opt_level(OptLevel::Speed).cargo_metadata(false).out_dir(out);
    module.compile().expect("the guest compiles for another machine");
}

#[test]
fn every_carrier_does_the_same_on_another_machine() {
    let Some(cross) = Cross::find() else { return };
    let copy = Program::new("cross");
    hand_over(&copy, "plugins");
    hand_over(&copy, "host");
    let script = include_str!("../../../downstream/host/build.rs");
    let own = script.split_once("let text = \"").and_then(|(_, rest)| rest.split_once("\";"));
    let own = own.expect("the host's own guest").0.replace("\\\"", "\"");
    let expected = fs::read_to_string(copy.file("output.txt")).expect("the expected output");
    for carrier in [Carrier::Embedded, Carrier::Linked, Carrier::File] {
        for package in ["plugins", "host"] {
            let _ = fs::remove_dir_all(copy.file(package).join("out"));
        }
        let guest = |name: &str| Module::new(copy.file("plugins/guest").join(name));
        compile(&copy, "plugins", carrier, &mut guest("plugin.wat"));
        compile(&copy, "plugins", carrier, guest("everything.wat").rename_export("get-value", "value"));
        compile(&copy, "plugins", carrier, guest("names.wat").rename_export("found_", "found_as_well"));
        compile(&copy, "host", carrier, Module::new(own.as_bytes()).name("own"));
        cross.build(&copy, "host");
        if carrier == Carrier::File {
            let plugins = ["plugin", "everything", "names"].map(|name| ("plugins", name));
            for (package, name) in plugins.into_iter().chain([("host", "own")]) {
                let artifact = copy.file(package).join("out").join(format!("{name}.cwasm"));
                let beside = program("host").with_file_name(format!("{name}.cwasm"));
                fs::copy(artifact, beside).expect("the artifact can be put beside the program");
            }
        }
        assert_eq!(terminal(&cross.run("host", &[])), expected, "with the carrier {carrier:?}");
    }
}
