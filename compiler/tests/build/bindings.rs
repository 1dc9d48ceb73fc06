//! The generated code, compared with what it was (`WASMC_BLESS=1` writes it
//! anew), and the names in it. That it compiles and does what it says is shown
//! by the program in `tests/downstream`.

use crate::{Package, SMALL};
use std::fs;
use std::path::Path;
use wasmc::build::{Carrier, Module};

fn compare(name: &str, found: &[u8]) {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/build/golden").join(name);
    if std::env::var_os("WASMC_BLESS").is_some() {
        fs::write(&path, found).expect("the golden file can be written");
    }
    let expected = fs::read_to_string(&path).unwrap_or_default();
    let found = std::str::from_utf8(found).expect("code is text");
    let difference = expected.lines().zip(found.lines()).enumerate().find(|(_, (a, b))| a != b);
    if let Some((line, (expected, found))) = difference {
        panic!("{name}:{}: expected\n{expected}\nfound\n{found}\n`WASMC_BLESS=1` accepts it", line + 1);
    }
    assert_eq!(expected.len(), found.len(), "{name} has another length; `WASMC_BLESS=1` accepts it");
}

fn downstream(name: &str) -> Vec<u8> {
    let guests = Path::new(env!("CARGO_MANIFEST_DIR")).join("../tests/downstream/plugins/guest");
    fs::read(guests.join(name)).expect("a guest of the downstream program")
}

#[test]
fn bindings_of_a_plugin_that_is_embedded() {
    let package = Package::new();
    package.guest("plugin.wat", downstream("plugin.wat")).compile().unwrap();
    compare("plugin.rs", &package.read("plugin.rs"));
    assert!(package.read("plugin.cwasm").starts_with(b"\x7fELF"));
}

#[test]
fn bindings_of_everything_that_is_linked() {
    let package = Package::new();
    let mut module = package.guest("everything.wat", downstream("everything.wat"));
    let output = module.carrier(Carrier::Linked).rename_export("get-value", "value").try_compile().unwrap();
    compare("everything.rs", &fs::read(output.bindings).unwrap());
    assert!(fs::read(output.artifact).unwrap().starts_with(b"!<arch>\n"));
}

#[test]
fn asynchronous_bindings() {
    let package = Package::new();
    let orders = Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/async-bindings/guest/orders.wat");
    let mut module = package.guest("orders.wat", fs::read(orders).expect("the guest of an example"));
    module.asynchronous(true).synchronous_import("shop", "note").compile().unwrap();
    compare("orders.rs", &package.read("orders.rs"));
}

#[test]
fn imports_that_are_not_awaited_must_be_there_in_asynchronous_bindings() {
    let package = Package::new();
    let text = "(module (import \"env\" \"f\" (func)) (import \"env\" \"m\" (memory 1)))";
    let refused = |asynchronous, name| {
        let mut module = package.guest("guest.wat", text);
        module.asynchronous(asynchronous).synchronous_import("env", name).try_compile().unwrap_err().to_string()
    };
    assert!(refused(true, "g").contains("no function `g` from `env`"));
    assert!(refused(true, "m").contains("no function `m` from `env`"));
    assert!(refused(false, "f").contains("bindings are not asynchronous"));
}

#[test]
fn exact_bindings_have_the_hash_that_their_artifact_says_it_has() {
    for carrier in [Carrier::File, Carrier::Embedded, Carrier::Linked] {
        let package = Package::new();
        let code = |change: fn(&mut Module) -> &mut Module| {
            let mut module = package.guest("small.wat", SMALL);
            change(module.carrier(carrier)).compile().unwrap();
            String::from_utf8(package.read("small.rs")).unwrap()
        };
        let plain = code(|module| module);
        assert!(!plain.contains("check_content"), "{plain}");
        assert_eq!(plain, code(|module| module.epoch(true)), "{carrier:?}");
        let exact = code(|module| module.exact(true));
        assert!(exact.contains("check_content(&module, CONTENT)"), "{exact}");
        assert_ne!(exact, code(|module| module.exact(true).epoch(true)), "{carrier:?}");
        assert_eq!(exact, code(|module| module.exact(true)), "{carrier:?}");
    }
}

#[test]
fn bindings_of_names_that_mean_something_to_rust() {
    let package = Package::new();
    package.guest("names.wat", downstream("names.wat")).rename_export("found_", "found_as_well").compile().unwrap();
    compare("names.rs", &package.read("names.rs"));
}

#[test]
fn a_name_may_be_as_long_as_it_likes() {
    let package = Package::new();
    let name = "long-Name ".repeat(6_554);
    let text = format!("(module (import \"{name}\" \"{name}\" (func)) (func (export \"{name}\")))");
    package.guest("long.wat", text).compile().unwrap();
    let code = String::from_utf8(package.read("long.rs")).unwrap();
    let method = ["long_name"; 6_554].join("_");
    assert!(code.contains(&format!("pub fn {method}(")) && code.contains(&format!("fn link_{method}<")));
}

#[test]
fn without_bindings_there_is_only_what_loads_the_file() {
    let package = Package::new();
    package.guest("small.wat", SMALL).bindings(false).carrier(Carrier::File).compile().unwrap();
    compare("file.rs", &package.read("small.rs"));
}

#[test]
fn a_loader_elsewhere_is_used_from_there() {
    let package = Package::new();
    package.guest("small.wat", SMALL).loader("::api::wasmc_loader").compile().unwrap();
    let code = String::from_utf8(package.read("small.rs")).unwrap();
    assert!(code.contains("use ::api::wasmc_loader as wasmc_loader;"), "{code}");
    let error = package.guest("small.wat", SMALL).loader("not a path").try_compile().unwrap_err();
    assert!(error.to_string().contains("`not a path` is not a path of Rust"), "{error}");
}

#[test]
fn names_come_from_the_file_or_the_module_or_the_builder() {
    let package = Package::new();
    package.guest("image-Filter.wat", SMALL).compile().unwrap();
    assert!(String::from_utf8_lossy(&package.read("image_filter.rs")).contains("pub mod image_filter"));
    package.guest("image-Filter.wat", SMALL).name("other").compile().unwrap();
    package.read("other.rs");

    let named = SMALL.replacen("module", "module $inner.wasm", 1);
    package.set_up(Module::new(named.as_bytes())).compile().unwrap();
    package.read("inner.rs");
    let error = package.set_up(Module::new(SMALL.as_bytes())).try_compile().unwrap_err();
    assert!(error.to_string().contains(".name("), "{error}");
    for bad in ["a-b", "type", "1st", ""] {
        let error = package.guest("x.wat", SMALL).name(bad).try_compile().unwrap_err();
        assert!(error.to_string().contains("is not a name that a module of Rust can have"), "{error}");
        assert!(error.to_string().contains(".name("), "{error}");
    }
}

/// The message for a guest with these fields.
fn clash(fields: &str) -> String {
    let package = Package::new();
    let error = package.guest("clash.wat", format!("(module {fields})")).try_compile().unwrap_err();
    error.to_string()
}

#[test]
fn names_that_clash_are_an_error_with_both_and_the_way_out() {
    let message = clash("(func (export \"getValue\")) (func (export \"get-value\"))");
    assert_eq!(
        message,
        "cannot make bindings for `clash.wat`: the exports `getValue` and `get-value` would both be called `get_value`; give one of them another name with `.rename_export(\"get-value\", \"...\")`"
    );
    let message = clash("(import \"env\" \"a.b\" (func)) (import \"env\" \"a_b\" (func))");
    assert!(message.contains("the imports from `env` `a.b` and `a_b`"), "{message}");
    assert!(message.contains(".rename_import(\"env\", \"a_b\", \"...\")"), "{message}");
    let message = clash("(import \"my:env\" \"a\" (func)) (import \"my-env\" \"a\" (func))");
    assert!(message.contains("the imported modules `my:env` and `my-env`"), "{message}");
    assert!(message.contains(".rename_module(\"my-env\", \"...\")"), "{message}");
    let message = clash("(import \"env\" \"a\" (func)) (import \"env\" \"a\" (func (param i32)))");
    assert!(message.contains("with two types"), "{message}");
}

#[test]
fn what_is_named_after_an_imported_module_clashes_only_if_it_is_there() {
    let package = Package::new();
    let module = |imports: &str| package.guest("modules.wat", format!("(module {imports})"));
    let [functions, memory] = ["(import \"env\" \"f\" (func))", "(import \"env\" \"m\" (memory 1))"];
    let other = "(import \"env-items\" \"f\" (func))";
    module(&[other, functions].concat()).compile().unwrap();
    let mut both = module(&[other, functions, memory].concat());
    let error = both.try_compile().unwrap_err().to_string();
    assert!(error.contains("`env-items` and `env` would both be called `EnvItems`"), "{error}");
    // The way out that it names is one.
    assert!(error.contains(".rename_module(\"env\", \"...\")"), "{error}");
    both.rename_module("env", "Environment").compile().unwrap();
    // As types these differ, as methods not.
    let error = both.rename_module("env-items", "ENVIRONMENT").try_compile().unwrap_err().to_string();
    assert!(error.contains("would both be called `link_environment`"), "{error}");
}

#[test]
fn a_function_may_be_imported_twice_with_parameters_of_other_names() {
    let imports = "(import \"env\" \"f\" (func (param $one i32))) (import \"env\" \"f\" (func (param $two i32)))";
    Package::new().guest("twice.wat", format!("(module {imports})")).compile().unwrap();
    let message = clash("(import \"env\" \"m\" (memory 1)) (import \"env\" \"m\" (memory 2))");
    assert!(message.contains("with two types, (memory 1) and (memory 2)"), "{message}");
}

#[test]
fn new_names_resolve_clashes() {
    let package = Package::new();
    let text = "(module
        (import \"my:env\" \"a.b\" (func)) (import \"my:env\" \"a_b\" (func)) (import \"my-env\" \"a\" (func))
        (func (export \"getValue\")) (func (export \"get-value\")))";
    let mut module = package.guest("names.wat", text);
    module.rename_export("get-value", "value").rename_import("my:env", "a_b", "c").rename_module("my-env", "Other");
    module.compile().unwrap();
    let code = String::from_utf8(package.read("names.rs")).unwrap();
    for part in ["pub fn value(", "pub fn get_value(", "pub trait MyEnv", "pub trait Other", "fn c(", "\"a_b\""] {
        assert!(code.contains(part), "no {part} in\n{code}");
    }
    for (name, wrong) in [("get-value", "no good"), ("none", "x")] {
        let error = package.guest("small.wat", text).rename_export(name, wrong).try_compile().unwrap_err();
        assert!(error.to_string().contains("cannot make bindings"), "{error}");
    }
    let error = package.guest("small.wat", SMALL).rename_export("none", "x").try_compile().unwrap_err();
    assert!(error.to_string().contains("no export `none`"), "{error}");
}

#[test]
fn the_same_guest_gives_the_same_files_whatever_the_folder_and_the_jobs() {
    let [one, two] = [Package::new(), Package::new()];
    let everything = downstream("everything.wat");
    let rename = |module: &mut Module| module.rename_export("get-value", "value").carrier(Carrier::Linked).clone();
    let first = rename(&mut one.guest("e.wat", &everything)).try_compile().unwrap();
    let second = rename(two.guest("e.wat", &everything).env("NUM_JOBS", "1")).try_compile().unwrap();
    assert_eq!(first.artifact.file_name(), second.artifact.file_name());
    assert!(fs::read(first.artifact).unwrap() == fs::read(second.artifact).unwrap());
    assert!(fs::read(first.bindings).unwrap() == fs::read(second.bindings).unwrap());
}

#[test]
fn files_that_stay_the_same_are_not_written() {
    let package = Package::new();
    package.guest("small.wat", SMALL).compile().unwrap();
    let files = ["small.rs", "small.cwasm"];
    let times = || files.map(|name| fs::metadata(package.out(name)).unwrap().modified().unwrap());
    let long_ago = std::time::SystemTime::UNIX_EPOCH;
    for name in files {
        fs::File::options().write(true).open(package.out(name)).unwrap().set_modified(long_ago).unwrap();
    }
    package.guest("small.wat", SMALL).compile().unwrap();
    assert_eq!(times(), [long_ago; 2]);
    // What its functions are called is in the artifact, but not in the bindings.
    package.guest("small.wat", SMALL.replacen("(func", "(func $sum", 1)).env("DEBUG", "true").compile().unwrap();
    assert_ne!(times()[1], long_ago);
}
