//! `wasmc FILE`: compiles a module.

use crate::args::{CompileArgs, Emit, LogArgs, usage};
use crate::input;
use crate::log::{count, duration};
use crate::output::Destination;
use crate::progress::Progress;
use anyhow::{Context, bail};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;
use wasmc::{Options, WorkingSet};
use wasmc_artifacts::format::Artifact;

/// Compiles the input and writes the result.
pub(crate) fn compile(args: &CompileArgs) -> anyhow::Result<ExitCode> {
    let Some(path) = &args.input else { return Err(usage("no input file")) };
    let mut options = args.options()?;
    let destination = destination(args, path)?;
    if destination.is(path) {
        bail!("the output would replace the input, {}; name another file with `-o FILE`", input::name(path));
    }
    let bytes = read(path)?;
    if let Some(file) = &args.working_set {
        if destination.is(file) {
            bail!("the output would replace the working set, {}; name another file with `-o FILE`", input::name(file));
        }
        options.working_set = Some(working_set(file)?);
    }
    #[cfg(feature = "init")]
    args.init.apply(path, &bytes, &mut options, args.log.verbose)?;
    let made = build(path, &bytes, options, args.emit, &args.log)?;
    destination.write(&made)?;
    if args.log.verbose {
        anstream::eprintln!("wrote {} to {destination}{}", count(made.len() as u64, "byte"), parts(&made));
    }
    Ok(ExitCode::SUCCESS)
}

/// What takes room in an artifact.
fn parts(made: &[u8]) -> String {
    let Ok(artifact) = Artifact::parse(made) else { return String::new() };
    let code = count(artifact.header().text.length, "byte");
    let metadata = count(artifact.header().metadata_length.into(), "byte");
    let images = artifact.tables().extents.iter().map(|extent| extent.content.length).sum();
    let images = count(images, "byte");
    let set = WorkingSet::of(&artifact);
    let touched =
        if set.is_empty() { String::new() } else { format!(", working set of {}", count(set.pages(), "page")) };
    format!(": {code} of machine code, {metadata} of metadata, {images} of memory images{touched}")
}

fn destination(args: &CompileArgs, path: &Path) -> anyhow::Result<Destination> {
    let output = match &args.output {
        Some(output) => output.clone(),
        None if input::is_dash(path) => PathBuf::from("-"),
        None => path.with_extension(args.emit.extension()),
    };
    Destination::new(&output, args.emit.is_text())
}

/// Reads something to compile.
fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let bytes = input::read(path)?;
    if input::is_artifact(&bytes) {
        let name = input::name(path);
        bail!("{name} is native code already, not WebAssembly; to look into an artifact use `wasmc inspect`");
    }
    Ok(bytes)
}

fn working_set(file: &Path) -> anyhow::Result<WorkingSet> {
    let text = input::read(file)?;
    WorkingSet::parse(&text).with_context(|| format!("cannot read the working set in {}", input::name(file)))
}

/// Compiles `bytes`, which came from `path`, with progress and log.
pub(crate) fn build(
    path: &Path,
    bytes: &[u8],
    mut options: Options,
    emit: Emit,
    log: &LogArgs,
) -> anyhow::Result<Vec<u8>> {
    let progress = Progress::new(!log.quiet);
    options.progress = Some(progress.callback());
    let started = Instant::now();
    let made = wasmc::emit(bytes, kind(emit), &options);
    let functions = progress.finish();
    let made = made.with_context(|| format!("cannot compile {}", input::name(path)))?;
    if log.verbose {
        anstream::eprintln!(
            "compiled {} of {} for {} (CPU: {}) in {}",
            count(functions as u64, "function"),
            count(bytes.len() as u64, "byte"),
            options.target.triple(),
            cpu_name(&options),
            duration(started.elapsed()),
        );
    }
    Ok(made)
}

fn cpu_name(options: &Options) -> String {
    let cpu = options.target.cpu_features();
    if cpu.is_empty() { "baseline".to_owned() } else { cpu.to_string() }
}

fn kind(emit: Emit) -> wasmc::Emit {
    match emit {
        Emit::Cwasm => wasmc::Emit::Cwasm,
        Emit::Obj => wasmc::Emit::Obj,
        Emit::Clif => wasmc::Emit::Clif,
        Emit::Asm => wasmc::Emit::Asm,
    }
}
