//! Ahead-of-time WebAssembly compiler: wasm bytes in, a native artifact out.
//!
//! Data flows one way, and each step is one function:
//!
//! ```text
//! wasm bytes -> parse -> ParsedModule -> analyse -> ModuleFacts -> translate -> CLIF
//!   -> codegen -> CompiledFunction -> link -> LinkedImage -> artifact -> file.cwasm
//! ```
//!
//! [`compile`] is all that most need of it; what it makes is mapped and run by
//! the crate `wasmc-loader`, here or on any other machine with a CPU that
//! [`Options::target`] covers. Build scripts use `wasmc::build` instead, which
//! makes bindings too (cargo feature `build`); `wasmc::init` (cargo feature
//! `init`) lets instances begin where an initialiser has ended.
//!
//! ```
//! use wasmc::{OptLevel, Options, Target};
//!
//! # fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let guest = b"(module (func (export \"answer\") (result i32) i32.const 42))";
//! let artifact = wasmc::compile(guest, &Options::new())?;
//! # let folder = tempfile::tempdir()?;
//! std::fs::write(folder.path().join("answer.cwasm"), &artifact)?;
//!
//! // The same for another machine, with debug information, and smaller.
//! let options = Options {
//!     target: Target::new("aarch64-apple-darwin")?,
//!     opt_level: OptLevel::Size,
//!     debug: true,
//!     ..Options::new()
//! };
//! assert!(wasmc::compile(guest, &options)?.starts_with(b"\xcf\xfa\xed\xfe"));
//!
//! // What is in an artifact, without running it.
//! let report = wasmc::inspect::Report::read(&artifact, 10)?;
//! assert_eq!(report.exports[0].name, "answer");
//!
//! // What is no module is refused, with the place and the reason.
//! let error = wasmc::compile(b"(module (func (result i32)))", &Options::new()).unwrap_err();
//! assert!(error.to_string().contains("type mismatch"));
//! # Ok(())
//! # }
//! ```

#![cfg_attr(not(any(feature = "build", feature = "init")), forbid(unsafe_code))]
#![deny(unsafe_code)]

mod analyse;
mod artifact;
#[cfg(feature = "build")]
pub mod build;
mod codegen;
pub mod container;
mod debuginfo;
pub mod error;
#[cfg(feature = "init")]
pub mod init;
pub mod inspect;
mod link;
pub mod options;
mod parallel;
mod parse;
pub mod proposals;
mod snapshot;
mod support;
pub mod target;
mod translate;
mod types;
mod uses;
#[cfg(feature = "wast")]
pub mod wast;

pub use error::{Error, Setting};
pub use options::{OptLevel, Options, Progress, ThreadTokens, Tunables};
pub use proposals::Features;
pub use snapshot::Snapshot;
pub use target::Target;
pub use wasmc_artifacts::{WorkingSet, WorkingSetError};

use codegen::{CompiledFunction, Item, Listing};
use parse::ParsedModule;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::BTreeSet;
use translate::stubs::Stub;
use translate::{ModuleEnv, Symbol};
use wasmc_artifacts::format::Digest;

/// What to make of a module.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Emit {
    /// An artifact that the loader runs.
    #[default]
    Cwasm,
    /// A relocatable object file with the artifact in it, to be linked into a
    /// host program; [`container::relocatable`] says how to find it there.
    Obj,
    /// Cranelift's intermediate code before optimisation, as text.
    Clif,
    /// Machine instructions, as text.
    Asm,
}

/// Compiles a module, in the binary or the text format, to an artifact.
///
/// The bytes depend on the module, the options and the version of this crate,
/// not on the number of threads.
///
/// # Errors
/// [`Error`], for input that is not a valid module or uses what is switched
/// off, and for options that contradict each other.
pub fn compile(wasm: &[u8], options: &Options) -> Result<Vec<u8>, Error> {
    emit(wasm, Emit::Cwasm, options)
}

/// Compiles a module to whatever `what` says.
///
/// # Errors
/// As for [`compile`].
pub fn emit(wasm: &[u8], what: Emit, options: &Options) -> Result<Vec<u8>, Error> {
    options.check()?;
    let wasm = binary(wasm)?;
    match options.jobs {
        None => emit_here(&wasm, what, options),
        Some(jobs) => {
            let pool = rayon::ThreadPoolBuilder::new().num_threads(jobs.get()).build();
            let pool = pool.map_err(|e| Error::Options(format!("cannot start {jobs} threads: {e}")))?;
            pool.install(|| emit_here(&wasm, what, options))
        }
    }
}

/// The binary format of a module that may be text.
fn binary(wasm: &[u8]) -> Result<Cow<'_, [u8]>, Error> {
    if wasm.starts_with(b"\0asm") || wasm.is_empty() {
        return Ok(Cow::Borrowed(wasm));
    }
    let text = std::str::from_utf8(wasm).ok().filter(|text| !text.contains('\0'));
    let Some(text) = text else {
        return Err(Error::NotWasm("it begins with neither wasm's magic number nor text".into()));
    };
    wat::parse_str(text).map(Cow::Owned).map_err(|e| Error::Text(e.to_string()))
}

fn emit_here(wasm: &[u8], what: Emit, options: &Options) -> Result<Vec<u8>, Error> {
    let isa = options.target.isa(options)?;
    let mut module = parse::parse(wasm, options)?;
    let source = Sha256::digest(wasm).into();
    if let Some(snapshot) = &options.snapshot {
        snapshot.apply(&mut module, &source)?;
    }
    check_working_set(&module, &source, options)?;
    let facts = analyse::analyse(&mut module, options)?;
    let env = ModuleEnv { module: &module, facts: &facts, options, isa: &*isa };
    let listing = match what {
        Emit::Cwasm | Emit::Obj => Listing::None,
        Emit::Clif => Listing::Clif,
        Emit::Asm => Listing::Asm,
    };
    let mut compiled = codegen::compile(&env, &items(&env), listing)?;
    let routines = routines(&env, &compiled, listing)?;
    compiled.extend(routines);
    match what {
        Emit::Cwasm | Emit::Obj => artifact::write(&env, &link::link(&env, compiled)?, source, what == Emit::Obj),
        Emit::Clif | Emit::Asm => Ok(listings(&env, &compiled)),
    }
}

/// Checks that the working set in the options is one of this module.
fn check_working_set(module: &ParsedModule<'_>, source: &Digest, options: &Options) -> Result<(), Error> {
    let Some(set) = &options.working_set else { return Ok(()) };
    let defined = module.memories.get(module.imported_memories as usize..).unwrap_or_default();
    let initial = |memory: u32| defined.get(memory as usize).map(parse::initial_length);
    Ok(set.check(source, initial)?)
}

/// Everything that the module's code consists of, in text order, except for
/// support routines.
fn items(env: &ModuleEnv<'_>) -> Vec<Item> {
    let (module, facts) = (env.module, env.facts);
    let first = module.imported_functions;
    let functions = (first..first + module.bodies.len() as u32).map(Item::Function);
    let entries = facts.entry_types.iter().flat_map(|ty| [Stub::NativeEntry(*ty), Stub::ArrayEntry(*ty)]);
    let hosts = facts.host_types.iter().flat_map(|ty| [Stub::NativeHost(*ty), Stub::ArrayHost(*ty)]);
    let thunks = facts.thunks.iter().map(|function| Stub::ImportThunk(*function));
    let computes = !facts.initializer.globals.is_empty();
    let initializer = computes.then_some([Item::Initializer, Item::Stub(Stub::InitializerEntry)]);
    let stubs = entries.chain(hosts).chain(thunks).map(Item::Stub);
    functions.chain(stubs).chain(initializer.into_iter().flatten()).collect()
}

/// The support routines that compiled code calls.
fn routines(
    env: &ModuleEnv<'_>,
    compiled: &[CompiledFunction],
    listing: Listing,
) -> Result<Vec<CompiledFunction>, Error> {
    let mut numbers = BTreeSet::new();
    for relocation in compiled.iter().flat_map(|function| &function.relocations) {
        if let Symbol::Support(number) = relocation.target {
            numbers.insert(number);
        }
    }
    let items: Vec<Item> = numbers.into_iter().map(Item::Support).collect();
    codegen::compile(env, &items, listing)
}

/// The name of an item's symbol.
fn item_name(env: &ModuleEnv<'_>, item: Item) -> String {
    match item {
        Item::Function(index) => env.module.function_name(index),
        Item::Stub(stub) => stub.symbol_name(&env.module.types),
        Item::Support(number) => support::name(number).to_owned(),
        Item::Initializer => "wasmc.initializer".to_owned(),
    }
}

fn listings(env: &ModuleEnv<'_>, compiled: &[CompiledFunction]) -> Vec<u8> {
    let mut out = String::new();
    for function in compiled {
        out.push_str(&format!(";; {}\n", item_name(env, function.item)));
        out.push_str(function.listing.as_deref().unwrap_or_default());
        out.push('\n');
    }
    out.into_bytes()
}
