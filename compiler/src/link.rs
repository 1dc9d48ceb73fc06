//! Compiled functions to a [`LinkedImage`]: one position-independent text with
//! its read-only tables, every reference resolved.
//!
//! ```text
//! | defined functions in index order | stubs | support routines | read-only tables | descriptors |
//! ```

use crate::analyse::TableFact;
use crate::codegen::{CompiledFunction, Item, Relocation};
use crate::error::Error;
use crate::translate::stubs::Stub;
use crate::translate::{ModuleEnv, READ_ONLY_ELEMENT_SIZE, READ_ONLY_NULL, Symbol, read_only_elements};
use crate::types::TypeIndex;
use cranelift_codegen::binemit::Reloc;
use cranelift_codegen::isa::unwind::UnwindInfo;
use std::collections::{BTreeMap, BTreeSet, HashMap};
use wasmc_artifacts::abi::descriptor::{
    self, Descriptor, FieldLayout, ObjectKind, array_elements, is_gc_ref, storage_size,
};
use wasmc_artifacts::abi::{Arch, CompositeType, Trap};
use wasmc_artifacts::format::Handler;

/// A read-only table begins at a multiple of this.
const TABLE_ALIGNMENT: usize = 16;

/// An item's place in the text.
#[derive(Debug)]
pub struct Placed {
    /// What it is.
    pub item: Item,
    /// First byte.
    pub offset: u32,
    /// Bytes of code.
    pub length: u32,
    /// The most bytes of stack that its frame has.
    pub frame: u32,
    /// How to unwind through it.
    pub unwind: Option<UnwindInfo>,
}

/// The text, and where what is in it.
#[derive(Debug)]
pub struct LinkedImage {
    /// Machine code and read-only tables.
    pub text: Vec<u8>,
    /// Every item, in text order; defined functions come first, in index order.
    pub items: Vec<Placed>,
    /// Table index, first byte and length of every read-only table.
    pub tables: Vec<(u32, u32, u32)>,
    /// Where code traps, in text order.
    pub traps: Vec<(u32, Trap)>,
    /// Calls with exception handlers, in text order.
    pub handlers: Vec<Handler>,
    /// Where the descriptors are of exceptions whose tags have these types.
    pub exceptions: BTreeMap<TypeIndex, u32>,
    /// Return addresses of calls during which a frame holds references, and
    /// where below its frame pointer, in text order.
    pub stack_maps: Vec<(u32, Vec<u32>)>,
    /// Offsets in the text and in the wasm, in text order, with `-g`.
    pub source_locs: Vec<(u32, u32)>,
    /// Where the descriptors of types are, which are read-only data too.
    pub descriptors: BTreeMap<TypeIndex, u32>,
    /// Where the function is that computes initial values, if there is one.
    pub initializer: Option<u32>,
    stubs: HashMap<Stub, u32>,
}

impl LinkedImage {
    /// Where a stub is in the text, if there is one.
    pub fn stub(&self, stub: Stub) -> Option<u32> {
        self.stubs.get(&stub).copied()
    }
}

/// Lays out the text and resolves references. `compiled` must be in text order.
///
/// # Errors
/// [`Error::TooLarge`] if the text is too large for its own calls.
pub fn link(env: &ModuleEnv<'_>, compiled: Vec<CompiledFunction>) -> Result<LinkedImage, Error> {
    let filler: u8 = if env.options.target.arch() == Arch::X86_64 { 0xcc } else { 0 };
    let length: usize = compiled.iter().map(|f| f.code.len() + f.alignment as usize).sum();
    let mut image = LinkedImage {
        text: Vec::with_capacity(length),
        items: Vec::with_capacity(compiled.len()),
        tables: Vec::new(),
        traps: Vec::new(),
        handlers: Vec::new(),
        exceptions: BTreeMap::new(),
        stack_maps: Vec::new(),
        source_locs: Vec::new(),
        descriptors: BTreeMap::new(),
        initializer: None,
        stubs: HashMap::new(),
    };
    let mut symbols = HashMap::new();
    let mut relocations: Vec<(u32, Vec<Relocation>)> = Vec::new();
    for function in compiled {
        image.text.resize(place(image.text.len(), &function), filler);
        let offset = text_offset(image.text.len())?;
        image.text.extend_from_slice(&function.code);
        match function.item {
            Item::Function(index) => drop(symbols.insert(Symbol::Function(index), offset)),
            Item::Support(number) => drop(symbols.insert(Symbol::Support(number), offset)),
            Item::Initializer => image.initializer = Some(offset),
            Item::Stub(stub) => {
                image.stubs.insert(stub, offset);
                if let Stub::ImportThunk(function) = stub {
                    symbols.insert(Symbol::ImportThunk(function), offset);
                }
            }
        }
        image.traps.extend(function.traps.iter().map(|(at, trap)| (offset + at, *trap)));
        image.handlers.extend(function.handlers.iter().map(|row| Handler {
            pc: offset + row.pc,
            handler: offset + row.handler,
            ..*row
        }));
        image.stack_maps.extend(function.stack_maps.into_iter().map(|(at, places)| (offset + at, places)));
        image.source_locs.extend(function.source_locs.iter().map(|(at, wasm)| (offset + at, *wasm)));
        if !function.relocations.is_empty() {
            relocations.push((offset, function.relocations));
        }
        let length = function.code.len() as u32;
        image.items.push(Placed {
            item: function.item,
            offset,
            length,
            frame: function.frame,
            unwind: function.unwind,
        });
    }
    image.place_tables(env, &mut symbols)?;
    image.place_descriptors(env, &mut symbols)?;
    for (base, list) in relocations {
        for relocation in list {
            let target = *symbols.get(&relocation.target).ok_or_else(|| missing(relocation.target))?;
            apply(&mut image.text, base + relocation.offset, &relocation, target)?;
        }
    }
    Ok(image)
}

/// Where a function begins that comes after `end` bytes of text.
///
/// Entry stubs do not cross the boundary of a page, whatever its size is: if a
/// page of an artifact gets lost, the loader finds either the whole stub there
/// or nothing of it.
fn place(end: usize, function: &CompiledFunction) -> usize {
    const SMALLEST_PAGE: usize = 4096;
    let (alignment, length) = (function.alignment as usize, function.code.len());
    let start = end.next_multiple_of(alignment);
    let is_entry = matches!(function.item, Item::Stub(Stub::NativeEntry(_) | Stub::ArrayEntry(_)));
    if is_entry && length <= SMALLEST_PAGE && start % SMALLEST_PAGE + length > SMALLEST_PAGE {
        start.next_multiple_of(SMALLEST_PAGE)
    } else {
        start
    }
}

fn missing(symbol: Symbol) -> Error {
    Error::Options(format!("internal error: nothing was compiled for {symbol:?}"))
}

fn text_offset(offset: usize) -> Result<u32, Error> {
    // Offsets are 32 bits wide, and calls reach 2 GiB.
    let limit = i32::MAX as u64;
    if offset as u64 > limit {
        return Err(Error::TooLarge { what: "the machine code in bytes", value: offset as u64, limit });
    }
    Ok(offset as u32)
}

impl LinkedImage {
    fn place_tables(&mut self, env: &ModuleEnv<'_>, symbols: &mut HashMap<Symbol, u32>) -> Result<(), Error> {
        for (index, fact) in env.facts.tables.iter().enumerate() {
            if *fact != TableFact::ReadOnly {
                continue;
            }
            self.text.resize(self.text.len().next_multiple_of(TABLE_ALIGNMENT), 0);
            let start = text_offset(self.text.len())?;
            let count = read_only_elements(env.module.tables[index].ty.initial) as usize;
            let init = &env.facts.table_init[index];
            for i in 0..count {
                let (ty, distance) = match init.get(i).copied().flatten() {
                    None => (READ_ONLY_NULL, 0),
                    Some(function) => {
                        let symbol = if env.module.is_imported_function(function) {
                            Symbol::ImportThunk(function)
                        } else {
                            Symbol::Function(function)
                        };
                        let code = *symbols.get(&symbol).ok_or_else(|| missing(symbol))?;
                        (env.module.functions[function as usize].0, code as i32 - start as i32)
                    }
                };
                self.text.extend_from_slice(&ty.to_le_bytes());
                self.text.extend_from_slice(&distance.to_le_bytes());
            }
            text_offset(self.text.len())?;
            symbols.insert(Symbol::Table(index as u32), start);
            self.tables.push((index as u32, start, count as u32 * READ_ONLY_ELEMENT_SIZE));
        }
        Ok(())
    }

    /// Places what the collector and code read about objects.
    fn place_descriptors(&mut self, env: &ModuleEnv<'_>, symbols: &mut HashMap<Symbol, u32>) -> Result<(), Error> {
        let tags: BTreeSet<TypeIndex> = env.module.tags.iter().copied().collect();
        for ty in tags {
            let layout = FieldLayout::of_exception(env.module.types.func(ty).params());
            let supers = vec![env.module.types.get(ty).id];
            let kind = ObjectKind::Exception;
            let at = self.place_descriptor(&Descriptor { kind, supers, size: layout.size, refs: layout.refs })?;
            self.exceptions.insert(ty, at);
            symbols.insert(Symbol::ExnDescriptor(ty), at);
        }
        for ty in &env.facts.run_time_types {
            if let Some(descriptor) = describe(env, *ty) {
                let at = self.place_descriptor(&descriptor)?;
                self.descriptors.insert(*ty, at);
                symbols.insert(Symbol::Descriptor(*ty), at);
            }
        }
        Ok(())
    }

    fn place_descriptor(&mut self, descriptor: &Descriptor) -> Result<u32, Error> {
        self.text.resize(self.text.len().next_multiple_of(descriptor::ALIGNMENT as usize), 0);
        let at = text_offset(self.text.len())?;
        self.text.extend(descriptor.encode());
        text_offset(self.text.len())?;
        Ok(at)
    }
}

/// The descriptor of a type; functions' types that have no sub- and supertypes
/// need none.
fn describe(env: &ModuleEnv<'_>, index: TypeIndex) -> Option<Descriptor> {
    let types = &env.module.types;
    let defined = types.get(index);
    let layout = &env.facts.objects.get(index).layout;
    let (kind, size, refs) = match &defined.ty.composite {
        CompositeType::Func(_) if defined.ty.is_plain() => return None,
        CompositeType::Func(_) => (ObjectKind::Func, 0, Vec::new()),
        CompositeType::Struct(_) => (ObjectKind::Struct, layout.size, layout.refs.clone()),
        CompositeType::Array(ty) => {
            let size = storage_size(ty.element.storage);
            let refs = if is_gc_ref(ty.element.storage) { vec![array_elements(size)] } else { Vec::new() };
            (ObjectKind::Array, size, refs)
        }
    };
    Some(Descriptor { kind, supers: types.supers(index), size, refs })
}

/// Fills in one reference. The text begins at a page boundary, so distances
/// between pages are those between the offsets' pages.
fn apply(text: &mut [u8], at: u32, relocation: &Relocation, target: u32) -> Result<(), Error> {
    let value = i64::from(target) + relocation.addend;
    let distance = value - i64::from(at);
    let too_far = |limit: i64| Error::TooLarge {
        what: "the distance of a call in bytes",
        value: distance.unsigned_abs(),
        limit: limit as u64,
    };
    let place = &mut text[at as usize..at as usize + 4];
    let instruction = u32::from_le_bytes([place[0], place[1], place[2], place[3]]);
    let patched = match relocation.kind {
        Reloc::X86CallPCRel4 | Reloc::X86PCRel4 => {
            i32::try_from(distance).map_err(|_| too_far(i64::from(i32::MAX)))? as u32
        }
        Reloc::Arm64Call => {
            let limit = 1 << 27;
            if !(-limit..limit).contains(&distance) {
                return Err(too_far(limit));
            }
            instruction & 0xfc00_0000 | (distance >> 2) as u32 & 0x03ff_ffff
        }
        Reloc::Aarch64AdrPrelPgHi21 => {
            let pages = ((value & !0xfff) - (i64::from(at) & !0xfff)) >> 12;
            let low = (pages as u32 & 3) << 29;
            let high = (pages as u32 >> 2 & 0x7_ffff) << 5;
            instruction & 0x9f00_001f | low | high
        }
        Reloc::Aarch64AddAbsLo12Nc => instruction & !(0xfff << 10) | (value as u32 & 0xfff) << 10,
        other => {
            return Err(Error::Options(format!(
                "internal error: the code generator made a relocation of kind {other:?}"
            )));
        }
    };
    place.copy_from_slice(&patched.to_le_bytes());
    Ok(())
}
