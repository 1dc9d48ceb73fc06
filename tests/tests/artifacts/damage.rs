//! Artifacts to damage, ways to damage them, and what reads them afterwards.

use sha2::{Digest as _, Sha256};
use std::fmt::Write as _;
use std::ops::Range;
use wasmc::inspect::{self, Report};
use wasmc::{Options, Target, WorkingSet};
use wasmc_artifacts::FormatError;
use wasmc_artifacts::format::{Artifact, Header, PageRange, Span, Tables, content_digest};
use wasmc_artifacts::rows::Row;
use wasmc_tests::rng::Rng;
use wasmc_tests::samples::{BORROWER, EVERYTHING, SMALL};

/// An intact artifact, and where its metadata is.
pub(crate) struct Specimen {
    pub(crate) name: &'static str,
    pub(crate) bytes: Vec<u8>,
    pub(crate) metadata: Range<usize>,
}

/// The working set of a module: memory, first page, number of pages.
pub(crate) fn working_set(wat: &str, ranges: &[(u32, u32, u32)]) -> WorkingSet {
    let wasm = wat::parse_str(wat).unwrap();
    let ranges = ranges.iter().map(|&(memory, first, pages)| PageRange { memory, first, pages });
    WorkingSet::new(Sha256::digest(wasm).into(), ranges.collect()).unwrap()
}

impl Specimen {
    fn new(name: &'static str, wat: &str, target: &str, debug: bool) -> Specimen {
        let mut options = Options { debug, ..Options::new() };
        if !target.is_empty() {
            options.target = Target::new(target).unwrap();
        }
        if wat == EVERYTHING {
            options.working_set = Some(working_set(wat, &[(0, 0, 1), (0, 64, 2), (1, 17, 1)]));
        }
        let bytes = wasmc::compile(wat.as_bytes(), &options).unwrap();
        let artifact = Artifact::parse(&bytes).unwrap();
        artifact.verify().unwrap();
        let start = artifact.metadata_offset();
        let metadata = start..start + artifact.header().metadata_length as usize;
        Specimen { name, bytes, metadata }
    }

    /// The smallest artifact.
    pub(crate) fn small() -> Specimen {
        Specimen::new("small", SMALL, "", false)
    }

    /// One of everything.
    pub(crate) fn everything() -> Specimen {
        Specimen::new("everything", EVERYTHING, "", true)
    }

    /// Artifacts for this machine.
    pub(crate) fn native() -> Vec<Specimen> {
        vec![
            Specimen::everything(),
            Specimen::new("borrower", BORROWER, "", false),
            Specimen::new("borrower that does not start", &BORROWER.replace("(start $start)", ""), "", false),
            Specimen::small(),
        ]
    }

    /// Those, and others in another container and for another processor.
    pub(crate) fn all() -> Vec<Specimen> {
        let mut all = Specimen::native();
        all.push(Specimen::new("everything for macOS", EVERYTHING, "aarch64-apple-darwin", true));
        all.push(Specimen::new("everything for arm64 Linux", EVERYTHING, "aarch64-unknown-linux-gnu", false));
        all
    }

    /// Every place in the file where something begins or ends.
    pub(crate) fn edges(&self) -> Vec<usize> {
        let artifact = Artifact::parse(&self.bytes).unwrap();
        let mut edges = vec![0, self.metadata.start, self.metadata.start + Header::SIZE, self.metadata.end];
        let mut add = |offset: u64, length: u64| edges.extend([offset as usize, (offset + length) as usize]);
        add(artifact.header().text.offset, artifact.header().text.length);
        add(artifact.header().mapped, 0);
        for (offset, length) in self.directory() {
            add((self.metadata.start + offset) as u64, length as u64);
        }
        for extent in artifact.tables().extents.iter() {
            add(extent.content.offset, extent.content.length);
        }
        for data in artifact.tables().data_segments.iter() {
            add(data.content.offset, data.content.length);
        }
        let view = inspect::ObjectView::read(&self.bytes).unwrap();
        view.segments.iter().for_each(|segment| add(segment.offset, segment.size));
        view.sections.iter().filter(|section| section.in_file).for_each(|section| add(section.offset, section.size));
        edges.retain(|edge| *edge <= self.bytes.len());
        edges.sort_unstable();
        edges.dedup();
        edges
    }

    /// Where the directory's entries are: one for each table, one for the blob.
    pub(crate) fn directory_entries(&self) -> impl Iterator<Item = usize> + use<> {
        let first = self.metadata.start + Header::SIZE.next_multiple_of(8);
        (0..=Tables::COUNT).map(move |number| first + number * 8)
    }

    /// Offset in the metadata and length of each table, and of the blob.
    fn directory(&self) -> Vec<(usize, usize)> {
        let word = |at: usize| u32::from_le_bytes(self.bytes[at..at + 4].try_into().unwrap()) as usize;
        self.directory_entries().map(|at| (word(at), word(at + 4))).collect()
    }

    /// A copy with `bytes` at `at`, and with a content hash that fits.
    pub(crate) fn resealed(&self, edits: &[(usize, &[u8])]) -> Vec<u8> {
        let mut copy = self.bytes.clone();
        for (at, bytes) in edits {
            copy[*at..*at + bytes.len()].copy_from_slice(bytes);
        }
        self.seal(&mut copy);
        copy
    }

    /// Makes the content hash fit.
    fn seal(&self, copy: &mut [u8]) {
        let at = self.metadata.start + Header::CONTENT_HASH_OFFSET;
        let digest = content_digest(copy, at).unwrap();
        copy[at..at + 32].copy_from_slice(&digest);
    }

    /// A copy in which a few random fields of the metadata have random or
    /// extreme values, sealed again.
    pub(crate) fn garbled(&self, rng: &mut Rng) -> (String, Vec<u8>) {
        const EXTREMES: [u64; 10] =
            [0, 1, 0x7fff_ffff, 0x8000_0000, 0xffff_fffe, 0xffff_ffff, 1 << 32, 1 << 63, u64::MAX - 1, u64::MAX];
        let mut copy = self.bytes.clone();
        let mut done = String::new();
        // The magic, version, length and fingerprint are left alone, or most
        // copies would be refused before anything else is read.
        let first = self.metadata.start + Header::CONTENT_HASH_OFFSET + 64;
        for _ in 0..1 + rng.below(4) {
            let width = rng.pick(&[1, 4, 8]);
            let at = (first + rng.below(self.metadata.end - first - width)) / width * width;
            let value = match rng.below(3) {
                0 => rng.pick(&EXTREMES),
                1 => rng.next_u64() & 0xff,
                _ => rng.next_u64(),
            };
            copy[at..at + width].copy_from_slice(&value.to_le_bytes()[..width]);
            write!(done, "{width} bytes at {at:#x} = {value:#x}; ").unwrap();
        }
        self.seal(&mut copy);
        (done, copy)
    }
}

/// Reads everything that can be read from `file` and panics where a reader
/// does; whether all of them accept it.
pub(crate) fn accepted(file: &[u8]) -> Result<(), String> {
    let listed = Report::read(file, 10);
    let consistent = inspect::verify(file);
    let artifact = Artifact::parse(file).map_err(|e| e.to_string())?;
    visit(&artifact);
    artifact.verify().map_err(|e: FormatError| e.to_string())?;
    listed.map_err(|e| e.to_string())?;
    consistent.map_err(|e| e.to_string())
}

/// Calls every accessor, with every row and with rows that do not exist.
pub(crate) fn visit(artifact: &Artifact<'_>) {
    let t = artifact.tables();
    for import in t.imports.iter() {
        artifact.import_name(&import);
        artifact.func_type(import.index);
    }
    for export in t.exports.iter() {
        if let Some(name) = artifact.str(export.name) {
            artifact.export(name);
        }
        artifact.func_ref(export.index);
    }
    artifact.export("");
    artifact.export("no such export");
    for (index, row) in t.types.iter().enumerate() {
        artifact.bytes(row.encoding);
        artifact.func_type(index as u32);
    }
    for function in t.functions.iter() {
        artifact.function_name(&function);
        artifact.first_source(&function);
        code(artifact, function.code);
        code(artifact, function.code.wrapping_add(function.length));
    }
    for site in t.trap_sites.iter() {
        code(artifact, site.code);
    }
    for reference in t.func_refs.iter() {
        artifact.func_ref(reference.function);
        artifact.func_type(reference.ty);
    }
    for global in t.globals.iter() {
        constant(artifact, global.init, global.init_count);
    }
    for segment in t.data_segments.iter() {
        artifact.file_bytes(segment.content);
        constant(artifact, segment.offset, segment.offset_count);
    }
    for segment in t.elem_segments.iter() {
        constant(artifact, segment.offset, segment.offset_count);
        constant(artifact, segment.first, segment.count);
    }
    for extent in t.extents.iter() {
        artifact.file_bytes(extent.content);
    }
    for table in t.tables.iter() {
        t.table_init.range(table.init, table.init_count).map(|rows| rows.iter().count());
    }
    for index in [0, 1, u32::MAX - 1, u32::MAX] {
        code(artifact, index);
        artifact.func_type(index);
        artifact.func_ref(index);
        constant(artifact, index, u32::MAX - index);
        artifact.str(Span { offset: u64::from(index) << 32, length: u64::MAX });
        artifact.file_bytes(Span { offset: u64::MAX, length: u64::from(index) });
    }
    for range in WorkingSet::of(artifact).ranges() {
        artifact.initial_length(range.memory);
    }
    artifact.initial_length(u32::MAX);
    artifact.function_count();
    artifact.layout().distance();
}

fn code(artifact: &Artifact<'_>, offset: u32) {
    artifact.function_at(offset);
    artifact.trap_at(offset);
    artifact.source_at(offset);
}

fn constant(artifact: &Artifact<'_>, first: u32, count: u32) {
    artifact.const_expr(first, count).map(|ops| ops.iter().count());
}
