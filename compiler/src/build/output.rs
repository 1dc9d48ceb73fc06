//! From a guest to files in `OUT_DIR`.

use super::bindings::interface::Interface;
use super::bindings::{self, Bindings, Carried};
use super::cargo::Cargo;
use super::error::{Error, Result};
#[cfg(feature = "init")]
use super::initialise;
use super::{Carrier, Guest, Module, Source, archive, jobs, locate, names};
use crate::Emit;
use crate::options::Options;
use crate::target::Target;
use sha2::{Digest as _, Sha256};
use std::borrow::Cow;
use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};
use wasmc_artifacts::WorkingSet;
use wasmc_artifacts::format::Digest;

/// What was made of a guest.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Output {
    /// The artifact, or the static library with it if it is linked.
    pub artifact: PathBuf,
    /// The Rust code that [`include_module!`] includes.
    ///
    /// [`include_module!`]: https://docs.rs/wasmc-loader/latest/wasmc_loader/macro.include_module.html
    pub bindings: PathBuf,
}

/// A guest that has been read.
struct Input<'a> {
    /// What to call it in messages: its path, or that it is bytes.
    label: String,
    /// As it was given.
    bytes: Cow<'a, [u8]>,
    /// In the binary format.
    binary: Cow<'a, [u8]>,
}

/// Compiles a guest.
pub(super) fn make(module: &Module, cargo: &Cargo<'_>) -> Result<Output> {
    let target = cargo.target(module.target.as_deref(), module.cpu.as_deref())?;
    let input = read(&module.guest, cargo)?;
    let mut options = options(module, cargo, target, &input)?;
    let guest = |error| guest_error(&input, error);
    let interface = Interface::of(&input.binary, &options).map_err(guest)?;
    let name = name(module, &input, &interface)?;
    if options.name.is_none() {
        options.name = Some(name.clone());
    }
    let out = match &module.out_dir {
        Some(out) => out.clone(),
        None => cargo.out_dir()?,
    };
    let source = Sha256::digest(&input.binary).into();
    let carried = carried(module, cargo, &name, &source, &out);
    let bindings = out.join(format!("{name}.rs"));
    // Names that clash are found before there is anything that takes long.
    let claim = Claim { guest: input.label.clone(), source, content: None };
    claim.make(cargo, &bindings, &name)?;
    generate(module, &input, &interface, (&name, source, None), &carried)?;
    #[cfg(feature = "init")]
    initialise::apply(module, cargo, &input.label, &input.binary, &mut options, guest)?;
    let (path, file, content) = match &carried {
        Carried::File { name, .. } | Carried::Embedded { name } => {
            let file = crate::emit(&input.binary, Emit::Cwasm, &options).map_err(guest)?;
            let content = content_hash(&file)?;
            (out.join(name), file, content)
        }
        Carried::Linked { symbol } => {
            options.symbol = Some(symbol.clone());
            let object = crate::emit(&input.binary, Emit::Obj, &options).map_err(guest)?;
            let library = archive::of(&object, &format!("{name}.o"), options.target.os())?;
            let content = content_hash(archive::artifact(&object, symbol)?)?;
            (out.join(format!("lib{symbol}.a")), library, content)
        }
    };
    let exact = module.exact.then_some(content);
    let code = generate(module, &input, &interface, (&name, source, exact), &carried)?;
    let content = Sha256::new().chain_update(&code).chain_update(content).finalize().into();
    Claim { content: Some(content), ..claim }.make(cargo, &bindings, &name)?;
    write(&path, &file)?;
    write(&bindings, code.as_bytes())?;
    if let Carried::Linked { symbol } = &carried {
        cargo.say("rustc-link-search", format!("native={}", out.display()));
        cargo.say("rustc-link-lib", format!("static={symbol}"));
    }
    Ok(Output { artifact: path, bindings })
}

/// What a name stands for in the script that is running.
#[derive(Clone)]
struct Claim {
    /// The guest, for people.
    guest: String,
    /// SHA-256 of the binary.
    source: Digest,
    /// SHA-256 of what was made, as soon as it is known.
    content: Option<Digest>,
}

impl Claim {
    /// Lets the file with the bindings be for this guest. Outside of build
    /// scripts, where cargo is not listening, a guest may replace another one.
    ///
    /// # Errors
    /// If the script has put something else there.
    fn make(&self, cargo: &Cargo<'_>, bindings: &Path, name: &str) -> Result<()> {
        static MADE: Mutex<BTreeMap<PathBuf, Claim>> = Mutex::new(BTreeMap::new());
        if !cargo.listening {
            return Ok(());
        }
        let mut made = MADE.lock().unwrap_or_else(PoisonError::into_inner);
        let taken = match made.get(bindings) {
            Some(other) if other.guest != self.guest => format!("is that of `{}`", other.guest),
            Some(other)
                if other.source != self.source || self.content.is_some_and(|own| other.content != Some(own)) =>
            {
                "is that of the same guest, or one of the same name, compiled in another way".to_owned()
            }
            _ => {
                if self.content.is_some() {
                    made.insert(bindings.to_owned(), self.clone());
                }
                return Ok(());
            }
        };
        let message =
            format!("the name `{name}` {taken} in this script; give one of them another with `.name(\"...\")`");
        Err(Error::Name { guest: self.guest.clone(), message })
    }
}

/// The hash of an artifact's content, as it says itself.
fn content_hash(artifact: &[u8]) -> Result<Digest> {
    let artifact = wasmc_artifacts::format::Artifact::parse(artifact);
    artifact.map(|artifact| artifact.header().content_hash).map_err(|error| Error::Archive(error.to_string()))
}

/// Where the program will find the artifact.
fn carried(module: &Module, cargo: &Cargo<'_>, name: &str, source: &Digest, out: &Path) -> Carried {
    let file = format!("{name}.cwasm");
    match module.carrier {
        Carrier::File => Carried::File { built: built(out, &file), name: file },
        Carrier::Embedded => Carried::Embedded { name: file },
        Carrier::Linked => {
            // A program may have the same guest from two packages, or from two
            // versions of one.
            let digest = Sha256::new().chain_update(cargo.package_id()).chain_update(name).chain_update(source);
            let digest = digest.finalize().iter().take(8).map(|byte| format!("{byte:02x}")).collect::<String>();
            let plain: String = name.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '_' }).collect();
            Carried::Linked { symbol: format!("wasmc_{plain}_{digest}") }
        }
    }
}

/// The Rust code.
fn generate(
    module: &Module,
    input: &Input<'_>,
    interface: &Interface,
    (name, source, content): (&str, Digest, Option<Digest>),
    carried: &Carried,
) -> Result<String> {
    let invalid = |message| Error::Name { guest: input.label.clone(), message };
    let wrong = |what: &str, name: &str| invalid(format!("`{name}` is not {what}"));
    let ident = bindings::module_name(name)
        .ok_or_else(|| wrong("a name that a module of Rust can have; give it another with `.name(\"...\")`", name))?;
    let loader = match &module.loader {
        Some(path) => Some(syn::parse_str(path).map_err(|_| wrong("a path of Rust", path))?),
        None => None,
    };
    let bindings = Bindings {
        name: &ident,
        guest: &input.label,
        source,
        content,
        asynchronous: module.asynchronous,
        carried,
        loader: loader.as_ref(),
    };
    bindings.generate(module.bindings.then_some(interface), &module.renames).map_err(invalid)
}

fn read<'a>(guest: &'a Guest, cargo: &Cargo<'_>) -> Result<Input<'a>> {
    let (label, bytes) = match &guest.0 {
        Source::Bytes(bytes) => ("a module in memory".to_owned(), Cow::Borrowed(bytes.as_slice())),
        Source::Path(path) => {
            cargo.depends_on(path);
            let bytes = read_file(path)?;
            // What is generated does not depend on where the package is.
            let package = cargo.package();
            let short = package.and_then(|package| path.strip_prefix(package).ok());
            (short.unwrap_or(path).display().to_string(), Cow::Owned(bytes))
        }
    };
    let binary = match crate::binary(&bytes) {
        Ok(Cow::Owned(binary)) => Cow::Owned(binary),
        Ok(Cow::Borrowed(_)) => bytes.clone(),
        Err(error) => return Err(text_error(label, &bytes, error)),
    };
    Ok(Input { label, bytes, binary })
}

fn read_file(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(|error| Error::Io { action: "read", path: path.to_owned(), error })
}

/// The error for a text that does not parse, with the file's name in it.
fn text_error(label: String, bytes: &[u8], error: crate::Error) -> Error {
    let named = match (&error, std::str::from_utf8(bytes)) {
        (crate::Error::Text(_), Ok(text)) => wat::Parser::new().parse_str(Some(Path::new(&label)), text).err(),
        _ => None,
    };
    let error = named.map_or(error, |named| crate::Error::Text(named.to_string()));
    Error::Guest { guest: label, position: None, error }
}

/// The error for a module that does not compile, with the line in a text.
fn guest_error(input: &Input<'_>, error: crate::Error) -> Error {
    let offset = match &error {
        crate::Error::Invalid { offset, .. } | crate::Error::Unsupported { offset, .. } => Some(*offset),
        _ => None,
    };
    let text = std::str::from_utf8(&input.bytes).ok().filter(|text| !text.starts_with("\0asm"));
    let position = text.zip(offset).and_then(|(text, offset)| locate::line_and_column(text, offset));
    Error::Guest { guest: input.label.clone(), position, error }
}

fn options(module: &Module, cargo: &Cargo<'_>, target: Target, input: &Input<'_>) -> Result<Options> {
    let guest = |error| Error::Guest { guest: input.label.clone(), position: None, error };
    let mut options = Options::new();
    options.target = target;
    options.opt_level = cargo.opt_level(module.opt_level)?;
    options.debug = module.debug.unwrap_or_else(|| cargo.debug());
    options.jobs = cargo.jobs();
    options.thread_tokens = jobs::tokens();
    for list in &module.wasm_features {
        options.features.apply(list).map_err(guest)?;
    }
    if let Some(path) = &module.working_set {
        cargo.depends_on(path);
        let set = WorkingSet::parse(&read_file(path)?).map_err(|e| guest(e.into()))?;
        options.working_set = Some(set);
    }
    for change in &module.options {
        change(&mut options);
    }
    Ok(options)
}

/// What the module is called in Rust.
fn name(module: &Module, input: &Input<'_>, interface: &Interface) -> Result<String> {
    if let Some(name) = &module.name {
        return Ok(names::composed(name));
    }
    let own = match &module.guest.0 {
        Source::Path(path) => path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
        Source::Bytes(_) => interface.name.as_deref().map(|name| name.trim_end_matches(".wasm").to_owned()),
    };
    own.as_deref().and_then(names::snake).ok_or_else(|| Error::Name {
        guest: input.label.clone(),
        message: "it has no name that could be one in Rust; give it one with `.name(\"...\")`".to_owned(),
    })
}

/// A file in the output folder as seen from the folder with the programs, if
/// the former is where cargo usually has it.
fn built(out: &Path, file: &str) -> String {
    // `build/PACKAGE-HASH/out`, or `build/PACKAGE/HASH/out`.
    let mut parts: Vec<_> = out.iter().rev().take(4).map(|part| part.to_string_lossy()).collect();
    let build = parts.iter().position(|part| part == "build").filter(|at| *at >= 2);
    parts.truncate(build.map_or(0, |at| at + 1));
    parts.iter().rev().map(|part| format!("{part}/")).collect::<String>() + file
}

/// Writes a file, unless it is there with this content: so nothing that
/// depends on it is built again.
fn write(path: &Path, content: &[u8]) -> Result<()> {
    if fs::read(path).is_ok_and(|old| old == content) {
        return Ok(());
    }
    fs::write(path, content).map_err(|error| Error::Io { action: "write", path: path.to_owned(), error })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn artifacts_are_found_where_cargo_has_them() {
        let at = |out: &str| built(Path::new(out), "a.cwasm");
        assert_eq!(at("/x/target/debug/build/host-0123/out"), "build/host-0123/out/a.cwasm");
        assert_eq!(at("/x/target/debug/build/host/0123/out"), "build/host/0123/out/a.cwasm");
        assert_eq!(at("/build/build/build-0123/out"), "build/build-0123/out/a.cwasm");
        assert_eq!(at("/somewhere/else"), "a.cwasm");
        assert_eq!(at("/x/build/out"), "a.cwasm");
    }
}
