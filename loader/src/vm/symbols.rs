//! Files and lines, from the debug information in artifacts.
//!
//! An artifact that was compiled with `-g` has DWARF sections like any other
//! object file, in which addresses are those of the mapped part of the file.

use crate::backtrace::FrameSymbol;
use crate::module::Module;
use addr2line::{Context, Location};
use gimli::{EndianSlice, LittleEndian, SectionId};
use object::{Object, ObjectSection};
use std::ptr::NonNull;
use std::sync::{Mutex, PoisonError};

type Reader = EndianSlice<'static, LittleEndian>;

/// The debug information of a module, if it has any. It is copied: the file
/// that it is in can change, and this is for those who look for an error.
pub(crate) struct Symbols {
    /// Borrows from the copies. The 'static is not true; nothing that has it
    /// leaves this file. Dropped first.
    context: Option<Mutex<Context<Reader>>>,
    _copies: Vec<Copied>,
}

/// Bytes that are where they are until the value is dropped.
struct Copied(NonNull<[u8]>);

// SAFETY: owns bytes that nobody changes.
unsafe impl Send for Copied {}
// SAFETY: as above.
unsafe impl Sync for Copied {}

impl Copied {
    fn new(bytes: &[u8]) -> Copied {
        Copied(NonNull::from(Box::leak(Box::<[u8]>::from(bytes))))
    }

    /// # Safety
    /// Not to be used any more when the value is dropped.
    unsafe fn bytes(&self) -> &'static [u8] {
        // SAFETY: leaked from a box; only shared references to it exist.
        unsafe { self.0.as_ref() }
    }
}

impl Drop for Copied {
    fn drop(&mut self) {
        // SAFETY: leaked from a box in `new`, and nobody uses it any more.
        drop(unsafe { Box::from_raw(self.0.as_ptr()) });
    }
}

impl Symbols {
    /// Reads the debug information in an artifact.
    pub(crate) fn read(artifact: &[u8]) -> Symbols {
        let mut copies = Vec::new();
        let Ok(file) = object::File::parse(artifact) else { return Symbols { context: None, _copies: copies } };
        let sections = gimli::Dwarf::load(|id: SectionId| {
            let bytes = file.section_by_name(id.name()).and_then(|section| section.data().ok()).unwrap_or_default();
            if bytes.is_empty() {
                return Ok::<_, gimli::Error>(Reader::new(&[], LittleEndian));
            }
            let copy = Copied::new(bytes);
            // SAFETY: the context, which is all that gets it, is dropped first.
            let bytes = unsafe { copy.bytes() };
            copies.push(copy);
            Ok(Reader::new(bytes, LittleEndian))
        });
        let sections = sections.ok().filter(|_| !copies.is_empty());
        let context = sections.and_then(|sections| Context::from_dwarf(sections).ok());
        Symbols { context: context.map(Mutex::new), _copies: copies }
    }
}

/// What is at an offset of a module's text, which is `wasm` in its wasm file.
/// Malformed debug information is as good as none.
pub(crate) fn of(module: &Module, code: u32, wasm: Option<usize>) -> Vec<FrameSymbol> {
    let Some(context) = &module.symbols().context else { return Vec::new() };
    let context = context.lock().unwrap_or_else(PoisonError::into_inner);
    let address = module.artifact().header().text.offset + u64::from(code);
    let mut symbols = Vec::new();
    let Some(mut frames) = context.find_frames(address).skip_all_loads().ok() else { return symbols };
    while let Ok(Some(frame)) = frames.next() {
        let mut symbol = FrameSymbol {
            name: frame.function.and_then(|function| Some(function.raw_name().ok()?.into_owned())),
            ..FrameSymbol::default()
        };
        if let Some(location) = frame.location.filter(|location| !is_offset(&context, address, location, wasm)) {
            symbol.file = location.file.map(str::to_owned);
            symbol.line = location.line.filter(|line| *line != 0);
            symbol.column = location.column.filter(|column| *column != 0);
        }
        symbols.push(symbol);
    }
    symbols
}

/// Whether a place is none in source code: where a guest has no debug
/// information, the compiler has its wasm file as source, and offsets in it as
/// lines.
fn is_offset(context: &Context<Reader>, address: u64, location: &Location<'_>, wasm: Option<usize>) -> bool {
    if location.line.is_none() || location.line.map(|line| line as usize) != wasm {
        return false;
    }
    let unit = context.find_dwarf_and_unit(address).skip_all_loads();
    let name = unit.as_ref().and_then(|unit| Some(unit.name?.to_string_lossy()));
    name.zip(location.file).is_some_and(|(name, file)| file.ends_with(&*name))
}
