//! `wasmc inspect` and `wasmc verify`.

use crate::args::{InspectArgs, VerifyArgs};
use crate::input;
use crate::log::{chain, count, demangled, plain};
use crate::output::print;
use anyhow::Context;
use serde_json::{Value, json};
use std::fmt::Write;
use std::num::NonZeroU32;
use std::process::ExitCode;
use wasmc::inspect::{Entity, ObjectView, Report};

/// Shows what is in an artifact.
pub(crate) fn inspect(args: &InspectArgs) -> anyhow::Result<ExitCode> {
    let bytes = input::read(&args.input)?;
    let report =
        Report::read(&bytes, args.functions).with_context(|| format!("cannot inspect {}", input::name(&args.input)))?;
    let mut text = String::new();
    if args.json {
        writeln!(text, "{:#}", to_json(&report))?;
    } else {
        describe(&report, &mut text)?;
    }
    print(text.as_bytes())?;
    Ok(ExitCode::SUCCESS)
}

/// Checks artifacts; all of them, whatever is wrong with one.
pub(crate) fn verify(args: &VerifyArgs) -> anyhow::Result<ExitCode> {
    let mut code = ExitCode::SUCCESS;
    for path in &args.inputs {
        let name = input::name(path);
        let checked = input::read(path).and_then(|bytes| Ok(wasmc::inspect::verify(&bytes)?));
        match checked.with_context(|| format!("{name} does not verify")) {
            Ok(()) if args.quiet => {}
            Ok(()) => print(format!("{}: ok\n", path.display()).as_bytes())?,
            Err(error) if args.inputs.len() == 1 => return Err(error),
            Err(error) => {
                anstream::eprintln!("{}", chain(&error));
                code = ExitCode::FAILURE;
            }
        }
    }
    Ok(code)
}

fn listed(names: &[&str]) -> String {
    if names.is_empty() { "none".to_owned() } else { names.join(", ") }
}

fn describe(report: &Report, out: &mut String) -> std::fmt::Result {
    describe_header(report, out)?;
    describe_object(&report.object, out)?;
    writeln!(out, "\nimports ({})", report.imports.len())?;
    for import in &report.imports {
        let Entity { kind, ty } = &import.entity;
        writeln!(out, "  {kind:<7}{}.{}: {ty}", plain(&import.module, ""), plain(&import.name, ""))?;
    }
    writeln!(out, "\nexports ({})", report.exports.len())?;
    for export in &report.exports {
        let Entity { kind, ty } = &export.entity;
        writeln!(out, "  {kind:<7}{}: {ty}", plain(&export.name, ""))?;
    }
    writeln!(out, "\nmemory images ({})", report.memories.len())?;
    for memory in &report.memories {
        let extents = count(memory.extents as u64, "extent");
        let (stored, initial) = (memory.stored, memory.initial);
        write!(out, "  memory {}: {}, {stored} of {initial} bytes stored in {extents}", memory.index, memory.limits)?;
        if !memory.working_set.is_empty() {
            let pages = memory.working_set.iter().map(|(_, pages)| u64::from(*pages)).sum();
            let ranges = count(memory.working_set.len() as u64, "range");
            write!(out, "; working set of {} of 4 KiB in {ranges}", count(pages, "page"))?;
        }
        writeln!(out)?;
    }
    writeln!(out, "\nlargest functions ({} of {})", report.largest.len(), report.functions)?;
    for function in &report.largest {
        let name = function.name.as_deref().map(demangled).unwrap_or_default();
        writeln!(out, "  {:>9} bytes  {:>6}  {name}", function.size, function.index)?;
    }
    Ok(())
}

fn describe_header(report: &Report, out: &mut String) -> std::fmt::Result {
    let mut line =
        |what: &str, value: &dyn std::fmt::Display| writeln!(out, "{what:<16}{}", plain(&value.to_string(), ""));
    if let Some(name) = &report.name {
        line("module", name)?;
    }
    line("format", &format_args!("version {}, ABI {:016x}", report.format_version, report.abi))?;
    line("compiler", &report.compiler)?;
    line("target", &format_args!("{} ({}, {})", report.triple, report.arch, report.os))?;
    line("CPU features", &listed(&report.cpu_features))?;
    line("wasm features", &listed(&report.wasm_features))?;
    line("content SHA-256", &report.content_hash)?;
    line("source SHA-256", &report.source_hash)?;
    if let Some(id) = &report.object.build_id {
        line("build id", id)?;
    }
    if let Some(what) = &report.initialized_by {
        line("initialised by", what)?;
    }
    line("debug info", &if report.debug { "yes" } else { "no" })?;
    line("NaNs", &if report.canonical_nans { "canonical" } else { "as the CPU computes them" })?;
    let relaxed = if report.deterministic_relaxed_simd { "deterministic" } else { "as is fastest on the CPU" };
    line("relaxed SIMD", &relaxed)?;
    match report.stack_values {
        Some(limit) => {
            let (values, bytes) = (count(limit.get().into(), "value"), count(report.stack_bytes, "byte"));
            line("stack limit", &format_args!("{values}, which take at most {bytes}"))?;
        }
        None => line("stack limit", &"in bytes only, by the loader")?,
    }
    line("deterministic", &if report.deterministic { "yes" } else { "no" })?;
    let stops = match (report.epoch, report.fuel) {
        (false, false) => "nowhere",
        (true, false) => "at epoch deadlines",
        (false, true) => "without fuel",
        (true, true) => "at epoch deadlines, and without fuel",
    };
    line("stops", &stops)?;
    line("page size", &count(report.page_size, "byte"))?;
    line("file size", &count(report.file_size, "byte"))?;
    line("machine code", &count(report.text_size, "byte"))?;
    line("metadata", &count(report.metadata_size, "byte"))?;
    line("context", &count(report.context_size.into(), "byte"))?;
    line(
        "address space",
        &format_args!(
            "{} for a memory, {} after it, {} before it",
            count(report.memory_reservation, "byte"),
            report.memory_guard,
            report.context_guard
        ),
    )?;
    line(
        "contents",
        &format_args!(
            "{}, {}, {}, {}, {}, {}, {}, {}, {}",
            count(report.functions as u64, "function"),
            count(report.tables as u64, "table"),
            count(report.globals as u64, "global"),
            count(report.data_segments as u64, "data segment"),
            count(report.elem_segments as u64, "element segment"),
            count(report.trap_sites as u64, "trap site"),
            count(report.stack_maps as u64, "stack map"),
            count(report.tags as u64, "tag"),
            count(report.handlers as u64, "exception handler")
        ),
    )
}

fn describe_object(object: &ObjectView, out: &mut String) -> std::fmt::Result {
    writeln!(
        out,
        "\n{} file for {}: {}, {}",
        object.container.name(),
        object.machine,
        count(object.symbols as u64, "symbol"),
        count(object.relocations as u64, "relocation")
    )?;
    writeln!(out, "  segment                 file offset  file size     address  memory size")?;
    for s in &object.segments {
        let flag = |on, name| if on { name } else { '-' };
        let flags = [flag(s.read, 'r'), flag(s.write, 'w'), flag(s.execute, 'x')].iter().collect::<String>();
        writeln!(
            out,
            "  {:<20} {flags} {:#11x} {:>10} {:#11x} {:>12}",
            plain(&s.name, ""),
            s.offset,
            s.size,
            s.address,
            s.memory_size
        )?;
    }
    writeln!(out, "  section                 file offset       size     address")?;
    for s in &object.sections {
        writeln!(out, "  {:<24} {:#10x} {:>10} {:#11x}", plain(&s.name, ""), s.offset, s.size, s.address)?;
    }
    Ok(())
}

fn to_json(report: &Report) -> Value {
    let entity = |e: &Entity| json!({ "kind": e.kind, "type": e.ty });
    let import = |i: &wasmc::inspect::ImportEntry| {
        let mut value = entity(&i.entity);
        value["module"] = json!(i.module);
        value["name"] = json!(i.name);
        value
    };
    let export = |e: &wasmc::inspect::Entry| {
        let mut value = entity(&e.entity);
        value["name"] = json!(e.name);
        value
    };
    let function = |f: &wasmc::inspect::FunctionSize| json!({ "index": f.index, "name": f.name, "size": f.size });
    let memory = |m: &wasmc::inspect::MemoryImage| {
        let (index, limits) = (m.index, &m.limits);
        let ranges: Vec<Value> = m.working_set.iter().map(|(first, n)| json!({ "first": first, "pages": n })).collect();
        json!({
            "index": index, "limits": limits, "extents": m.extents, "stored": m.stored, "initial": m.initial,
            "working_set": ranges,
        })
    };
    json!({
        "file_size": report.file_size,
        "format_version": report.format_version,
        "abi": format!("{:016x}", report.abi),
        "compiler": report.compiler,
        "name": report.name,
        "initialized_by": report.initialized_by,
        "content_sha256": report.content_hash,
        "source_sha256": report.source_hash,
        "target": { "triple": report.triple, "arch": report.arch, "os": report.os, "page_size": report.page_size },
        "cpu_features": report.cpu_features,
        "wasm_features": report.wasm_features,
        "debug": report.debug,
        "deterministic_stack": report.stack_values.map(NonZeroU32::get),
        "stack_bytes": report.stack_bytes,
        "canonical_nans": report.canonical_nans,
        "deterministic_relaxed_simd": report.deterministic_relaxed_simd,
        "deterministic": report.deterministic,
        "epoch": report.epoch,
        "fuel": report.fuel,
        "memory_reservation": report.memory_reservation,
        "memory_guard": report.memory_guard,
        "context_guard": report.context_guard,
        "context_size": report.context_size,
        "metadata_size": report.metadata_size,
        "text_size": report.text_size,
        "trap_sites": report.trap_sites,
        "uses_heap": report.uses_heap,
        "stack_maps": report.stack_maps,
        "tags": report.tags,
        "exception_handlers": report.handlers,
        "object": object_json(&report.object),
        "imports": report.imports.iter().map(import).collect::<Vec<_>>(),
        "exports": report.exports.iter().map(export).collect::<Vec<_>>(),
        "functions": report.functions,
        "largest_functions": report.largest.iter().map(function).collect::<Vec<_>>(),
        "memory_images": report.memories.iter().map(memory).collect::<Vec<_>>(),
        "tables": report.tables,
        "globals": report.globals,
        "data_segments": report.data_segments,
        "element_segments": report.elem_segments,
    })
}

fn object_json(object: &ObjectView) -> Value {
    let segments = object.segments.iter().map(|s| {
        json!({
            "name": s.name, "offset": s.offset, "size": s.size, "address": s.address, "memory_size": s.memory_size,
            "mapped": s.mapped, "read": s.read, "write": s.write, "execute": s.execute,
        })
    });
    let section = |s: &wasmc::inspect::Section| json!({ "name": s.name, "offset": s.offset, "size": s.size, "address": s.address });
    json!({
        "format": object.container.name(),
        "machine": object.machine,
        "segments": segments.collect::<Vec<_>>(),
        "sections": object.sections.iter().map(section).collect::<Vec<_>>(),
        "symbols": object.symbols,
        "undefined_symbols": object.undefined_symbols,
        "relocations": object.relocations,
        "build_id": object.build_id,
    })
}
