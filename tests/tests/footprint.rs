//! How much larger a host program is with the loader than without, and that
//! what a small loader does not have is refused by name.
//!
//! Programs name the source files of places that panic, so their size depends
//! on where the sources lie. Those of the crates are renamed to where cargo puts
//! what it takes from crates.io, so that the same is measured in every checkout,
//! and what a user of the published crates gets.

use object::{Object as _, ObjectSection as _, ObjectSymbol as _};
use std::collections::{HashMap, HashSet};
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::OnceLock;

/// The most bytes that a loader without optional parts may add to a program.
/// That is a sixth of what the peer's runtime adds under the same profile.
const LIMIT: u64 = 100 << 10;

/// Says the numbers to the host, and returns their sum.
const SUM: &str = r#"(module
    (import "host" "count" (func $count (param i64)))
    (func (export "sum") (param i32 i32) (result i32)
        (call $count (i64.extend_i32_s (local.get 0)))
        (call $count (i64.extend_i32_s (local.get 1)))
        (i32.add (local.get 0) (local.get 1))))"#;

/// The host programs' crate, copied to where it can be built without anything
/// being written to the sources.
struct Programs {
    folder: PathBuf,
    /// Where the sources of each crate are, and where they are to seem to be.
    sources: Vec<(String, String)>,
}

/// Where sources from crates.io are with the usual settings.
const REGISTRY: &str = "/home/user/.cargo/registry/src/index.crates.io-1949cf8c6b5b557f";

/// The folder of each crate that is needed, and where it is if it comes from
/// crates.io.
fn sources(folder: &Path) -> Vec<(String, String)> {
    let cargo = |arguments: &[&str]| {
        let mut cargo = Command::new(env!("CARGO"));
        let output = cargo.args(arguments).current_dir(folder).output().expect("cargo can be started");
        assert!(output.status.success(), "{cargo:?}: {}", String::from_utf8_lossy(&output.stderr));
        String::from_utf8(output.stdout).expect("cargo prints text")
    };
    // What other systems need is not there when cargo is offline.
    let about = cargo(&["-vV"]);
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("cargo says what it runs on");
    let metadata = cargo(&["metadata", "--offline", "--quiet", "--format-version", "1", "--filter-platform", host]);
    let metadata: serde_json::Value = serde_json::from_str(&metadata).unwrap();
    let packages = metadata["packages"].as_array().expect("metadata has packages");
    let folders = packages.iter().map(|package| {
        let [name, version, manifest] =
            ["name", "version", "manifest_path"].map(|key| package[key].as_str().expect("a package has it"));
        let here = Path::new(manifest).parent().expect("a manifest is in a folder");
        (here.to_str().expect("metadata is text").to_owned(), format!("{REGISTRY}/{name}-{version}"))
    });
    folders.collect()
}

/// The crate, for all tests.
fn programs() -> &'static Programs {
    // Two at a time would write what the other's cargo reads.
    static PROGRAMS: OnceLock<Programs> = OnceLock::new();
    PROGRAMS.get_or_init(Programs::new)
}

impl Programs {
    fn new() -> Programs {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("footprint");
        let workspace =
            Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("the tests are a folder of the workspace");
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("footprint");
        let manifest = fs::read_to_string(source.join("Cargo.toml")).unwrap();
        let loader = format!("path = {:?}", workspace.join("loader"));
        assert!(manifest.contains(r#"path = "../../loader""#));
        update(&folder.join("Cargo.toml"), manifest.replace(r#"path = "../../loader""#, &loader).as_bytes());
        for name in ["src/main.rs", "src/bin/empty.rs", "src/bin/refusals.rs"] {
            update(&folder.join(name), &fs::read(source.join(name)).unwrap());
        }
        // The versions that the loader is tested with; cargo leaves out the rest.
        if !folder.join("Cargo.lock").exists() {
            fs::copy(workspace.join("Cargo.lock"), folder.join("Cargo.lock")).unwrap();
        }
        let sources = sources(&folder);
        Programs { folder, sources }
    }

    fn build(&self, profile: &str, name: &str) -> PathBuf {
        let target = self.folder.join("target");
        let mut cargo = Command::new(env!("CARGO"));
        cargo.args(["build", "--offline", "--quiet", "--profile", profile, "--bin", name]);
        cargo.current_dir(&self.folder).env("CARGO_TARGET_DIR", &target);
        let flags = self.sources.iter().map(|(here, there)| format!("--remap-path-prefix={here}={there}"));
        cargo.env("CARGO_ENCODED_RUSTFLAGS", flags.collect::<Vec<_>>().join("\x1f"));
        for setting in ["RUSTFLAGS", "CARGO_BUILD_TARGET"] {
            cargo.env_remove(setting);
        }
        let status = cargo.status().expect("cargo can be started");
        assert!(status.success(), "{cargo:?}: {status}");
        target.join(profile).join(name)
    }
}

/// Writes a file unless it has this content, so that what is built of it is
/// not built again.
fn update(path: &Path, content: &[u8]) {
    if fs::read(path).ok().as_deref() != Some(content) {
        fs::create_dir_all(path.parent().expect("a file is in a folder")).unwrap();
        fs::write(path, content).unwrap();
    }
}

/// Compiles text to a file in a folder.
fn artifact(folder: &Path, name: &str, text: &str, options: &wasmc::Options) -> PathBuf {
    let wasm = wat::parse_str(text).expect("the test's module is text in the format");
    let path = folder.join(name);
    fs::write(&path, wasmc::compile(&wasm, options).unwrap()).unwrap();
    path
}

fn run(program: &Path, folder: &Path) -> Output {
    Command::new(program).current_dir(folder).output().expect("the program can be started")
}

/// Names of functions without their hashes, and bytes of each.
fn functions(program: &Path) -> HashMap<String, u64> {
    let file = fs::read(program).unwrap();
    let mut sizes = HashMap::new();
    for symbol in object::File::parse(&*file).unwrap().symbols() {
        let name = format!("{:#}", rustc_demangle::demangle(symbol.name().unwrap_or_default()));
        *sizes.entry(name).or_default() += symbol.size();
    }
    sizes
}

/// Prints what the larger program has and the smaller one has not.
fn print_contributors(larger: &Path, smaller: &Path) {
    let [large, small] = [larger, smaller].map(|path| fs::read(path).unwrap());
    let [large, small] = [&large, &small].map(|file| object::File::parse(&**file).unwrap());
    let mut sections: Vec<(i64, String)> = large
        .sections()
        .filter(|section| section.file_range().is_some() && section.address() != 0)
        .filter_map(|section| {
            let name = section.name().ok()?;
            let other = small.section_by_name(name).map_or(0, |other| other.size());
            Some((section.size() as i64 - other as i64, name.to_owned()))
        })
        .collect();
    sections.sort_unstable_by(|a, b| b.cmp(a));
    println!("\nlargest sections, less those of the empty program:");
    for (size, name) in &sections[..8.min(sections.len())] {
        println!("{size:8}  {name}");
    }
    let known: HashSet<String> = functions(smaller).into_keys().collect();
    let mut own: Vec<(u64, String)> = functions(larger)
        .into_iter()
        .filter(|(name, _)| !known.contains(name))
        .map(|(name, size)| (size, name))
        .collect();
    own.sort_unstable_by(|a, b| b.cmp(a));
    println!("\nlargest functions, with what is in line in them:");
    for (size, name) in &own[..40.min(own.len())] {
        println!("{size:8}  {}", name.chars().take(110).collect::<String>());
    }
}

#[test]
fn the_loader_adds_no_more_to_a_program_than_the_limit() {
    let programs = programs();
    let [host, empty] = ["footprint", "empty"].map(|name| programs.build("release", name));
    let [with, without] = [&host, &empty].map(|path| fs::metadata(path).unwrap().len());
    let difference = with.saturating_sub(without);
    println!("a host program has {with} bytes, an empty one {without}: the loader adds {difference} of {LIMIT}");
    print_contributors(&programs.build("symbols", "footprint"), &programs.build("symbols", "empty"));
    let file = fs::read(&host).unwrap();
    for (here, _) in &programs.sources {
        let is_named = file.windows(here.len()).any(|bytes| *bytes == *here.as_bytes());
        assert!(!is_named, "the program names files in {here}, so its size depends on where that is");
    }

    let folder = tempfile::tempdir().unwrap();
    let missing = run(&host, folder.path());
    let message = String::from_utf8_lossy(&missing.stderr);
    assert_eq!(missing.status.code(), Some(1), "{message}");
    assert!(message.contains("cannot load sum.cwasm") && message.contains("No such file"), "{message}");
    artifact(folder.path(), "sum.cwasm", SUM, &wasmc::Options::new());
    let done = run(&host, folder.path());
    assert!(done.status.success(), "{}: {}", done.status, String::from_utf8_lossy(&done.stderr));

    assert!(difference <= LIMIT, "the loader adds {difference} bytes, more than {LIMIT}; see above which");
}

#[test]
fn what_is_left_out_is_refused_with_the_name_of_its_feature() {
    let program = programs().build("release", "refusals");
    let folder = tempfile::tempdir().unwrap();
    let (plain, mut wide) = (wasmc::Options::new(), wasmc::Options::new());
    let feature = if cfg!(target_arch = "x86_64") { "x86-64-v3" } else { "lse" };
    wide.target = wide.target.cpu(feature).unwrap_or_else(|e| panic!("{e:?}"));
    let modules = [
        ("fine", r#"(module (memory 1) (func (export "f")))"#, &plain),
        ("cpu-features", r#"(module (func (export "f")))"#, &wide),
        ("exceptions", r#"(module (tag $t) (func (export "f") (throw $t)))"#, &plain),
        ("gc", r#"(module (table 1 externref))"#, &plain),
        ("gc", r#"(module (type $s (struct (field i32))) (func (export "f") (drop (struct.new_default $s))))"#, &plain),
        ("gc", r#"(module (func (export "f") (param externref)))"#, &plain),
        ("gc", r#"(module (global anyref (ref.null any)))"#, &plain),
        ("linking", r#"(module (import "host" "memory" (memory 1)))"#, &plain),
        ("threads", r#"(module (memory 1 1 shared))"#, &plain),
    ];
    let mut command = Command::new(program);
    for (number, (feature, text, options)) in modules.iter().enumerate() {
        command.arg(artifact(folder.path(), &format!("{feature} {number}"), text, options));
    }
    let output = command.output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(output.status.success(), "{text}{}", String::from_utf8_lossy(&output.stderr));
    let lines: Vec<(&str, &str)> = text.lines().map(|line| line.split_once(": ").expect("two parts")).collect();
    assert_eq!(lines.len(), 12 + modules.len(), "{text}");
    for (asked, answer) in lines {
        let asked = Path::new(asked).file_name().and_then(|name| name.to_str()).unwrap_or(asked);
        match asked.split(' ').next() {
            Some("fine") => assert_eq!(answer, "fine"),
            Some(feature) => {
                let name = format!("needs the cargo feature `{feature}` of wasmc-loader");
                assert!(answer.contains(&name), "{asked}: {answer}");
            }
            None => unreachable!("a text has a first part"),
        }
    }
}
