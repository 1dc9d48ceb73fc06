//! What ELF and Mach-O have in common: the layout from the metadata to the
//! segments' contents, and the table of names.

use super::unwind::Frames;
use super::{DebugSection, Error, Image, Placement, limit};
use wasmc_artifacts::container::Container;
use wasmc_artifacts::format::Span;

/// A part that the file does not have.
pub(super) const ABSENT: Span = Span { offset: 0, length: 0 };

/// Places one part of the file after another.
pub(super) struct Cursor {
    at: u64,
    limit: u64,
}

impl Cursor {
    /// Starts behind `headers` bytes of headers; no part may end after `limit`.
    pub(super) fn new(headers: u64, limit: u64) -> Cursor {
        Cursor { at: headers, limit }
    }

    /// The end of the last part.
    pub(super) fn end(&self) -> u64 {
        self.at
    }

    /// Moves on to a multiple of `align`.
    pub(super) fn align(&mut self, what: &'static str, align: u64) -> Result<u64, Error> {
        self.take(what, 0, align).map(|span| span.offset)
    }

    /// Places `length` bytes at a multiple of `align`.
    pub(super) fn take(&mut self, what: &'static str, length: u64, align: u64) -> Result<Span, Error> {
        let offset = self.at.checked_next_multiple_of(align);
        let end = offset.and_then(|offset| offset.checked_add(length)).unwrap_or(u64::MAX);
        limit(what, end, self.limit)?;
        self.at = end;
        Ok(Span { offset: end - length, length })
    }
}

/// Where the parts are that concern nobody outside this module.
#[derive(Debug)]
pub(super) struct Parts {
    /// ELF only: the build-id note.
    pub(super) note: Span,
    /// ELF only: the search table over the unwind information.
    pub(super) search: Span,
    /// The memory images and the padding between them.
    pub(super) images: Span,
    /// The segments' contents.
    pub(super) segments: Span,
    /// The debug sections.
    pub(super) debug: Vec<Span>,
    /// ELF only: the places in them that are addresses of code.
    pub(super) addresses: Span,
    /// The symbol table.
    pub(super) symbols: Span,
    /// The string table.
    pub(super) strings: Span,
    /// The end of all of the above.
    pub(super) end: u64,
    /// The unwind information.
    pub(super) frames: Frames,
}

/// Places everything up to the segments' contents.
pub(super) fn place(image: &Image<'_>, cursor: &mut Cursor) -> Result<Placement, Error> {
    let page = 1 << image.page_shift;
    let frames = Frames::new(image.arch, image.unwind)?;
    let metadata = cursor.take("the metadata", image.metadata_length as u64, 16)?;
    let search = match image.container {
        Container::Elf if frames.length() != 0 => cursor.take("the unwind search table", frames.search_length(), 8)?,
        _ => ABSENT,
    };
    let eh_frame = cursor.take("the unwind information", frames.length(), 8)?;
    let text = cursor.take("the machine code", image.text.len() as u64, page)?;
    // Unwind tables refer to code by 32-bit distances.
    limit("the machine code with its unwind information", text.offset + text.length, i32::MAX as u64)?;
    // No code shares a page with what follows.
    let images_at = cursor.align("the memory images", page)?;
    let mut pages = Vec::with_capacity(image.pages.len());
    for content in image.pages {
        pages.push(cursor.take("a memory image", content.len() as u64, page)?.offset);
        cursor.align("a memory image", page)?;
    }
    let images = Span { offset: images_at, length: cursor.end() - images_at };
    let mut data = Vec::with_capacity(image.data.len());
    for content in image.data {
        data.push(cursor.take("a data segment", content.len() as u64, 1)?.offset);
    }
    let segments = Span { offset: images.offset + images.length, length: cursor.end() - images.offset - images.length };
    let parts = Parts {
        note: ABSENT,
        search,
        images,
        segments,
        debug: Vec::new(),
        addresses: ABSENT,
        symbols: ABSENT,
        strings: ABSENT,
        end: cursor.end(),
        frames,
    };
    let mapped = text.offset + text.length;
    Ok(Placement { metadata: metadata.offset, text, names: Vec::new(), pages, data, eh_frame, mapped, parts })
}

/// Appends what [`place`] placed.
pub(super) fn write(out: &mut Vec<u8>, image: &Image<'_>, placement: &Placement, metadata: &[u8]) {
    let (parts, text) = (&placement.parts, placement.text.offset);
    put(out, placement.metadata, metadata);
    if parts.search.length != 0 {
        put(out, parts.search.offset, &parts.frames.search(parts.search.offset, placement.eh_frame.offset, text));
    }
    if placement.eh_frame.length != 0 {
        put(out, placement.eh_frame.offset, &parts.frames.bytes(placement.eh_frame.offset, text));
    }
    put(out, text, image.text);
    for (content, at) in image.pages.iter().zip(&placement.pages) {
        put(out, *at, content);
    }
    put(out, parts.segments.offset, &[]);
    for (content, at) in image.data.iter().zip(&placement.data) {
        put(out, *at, content);
    }
}

/// Appends `bytes` at offset `at`, which nothing reaches yet.
pub(super) fn put(out: &mut Vec<u8>, at: u64, bytes: &[u8]) {
    debug_assert!(out.len() as u64 <= at, "parts of the file must be written in the order of their offsets");
    out.resize(at as usize, 0);
    out.extend_from_slice(bytes);
}

/// Appends the debug sections, with the addresses in them made final.
pub(super) fn write_debug(out: &mut Vec<u8>, image: &Image<'_>, placement: &Placement) {
    for (section, span) in image.debug.iter().zip(&placement.parts.debug) {
        put(out, span.offset, &section.bytes);
        relocate(&mut out[span.offset as usize..], section, placement.text.offset);
    }
}

fn relocate(bytes: &mut [u8], section: &DebugSection, text: u64) {
    for at in &section.text_addresses {
        if let Some(field) = bytes.get_mut(*at as usize..).and_then(|rest| rest.first_chunk_mut::<8>()) {
            *field = u64::from_le_bytes(*field).wrapping_add(text).to_le_bytes();
        }
    }
}

/// The string table: a zero, then each name with `prefix` before and a zero
/// after it.
pub(super) struct Strings {
    /// Offset of each symbol's string in the table; that of the empty string
    /// for a symbol without a name.
    pub(super) offsets: Vec<u32>,
    /// Bytes of the table.
    pub(super) length: u64,
}

impl Strings {
    pub(super) fn new(image: &Image<'_>, prefix: &str) -> Result<Strings, Error> {
        let (mut offsets, mut length) = (Vec::new(), 1);
        for symbol in image.symbols {
            limit("the table of names", length, u64::from(u32::MAX))?;
            offsets.push(if symbol.name.is_empty() { 0 } else { length as u32 });
            if !symbol.name.is_empty() {
                length += (prefix.len() + symbol.name.len() + 1) as u64;
            }
        }
        Ok(Strings { offsets, length })
    }

    /// Where the names themselves are in a file that has the table at `at`.
    pub(super) fn names(&self, image: &Image<'_>, prefix: &str, at: u64) -> Result<Vec<(u32, u32)>, Error> {
        limit("the table of names", at + self.length, u64::from(u32::MAX))?;
        let place = |(symbol, offset): (&super::Symbol<'_>, &u32)| match symbol.name.len() {
            0 => (0, 0),
            length => (at as u32 + offset + prefix.len() as u32, length as u32),
        };
        Ok(image.symbols.iter().zip(&self.offsets).map(place).collect())
    }

    pub(super) fn write(out: &mut Vec<u8>, at: u64, image: &Image<'_>, prefix: &str) {
        put(out, at, &[0]);
        for symbol in image.symbols.iter().filter(|symbol| !symbol.name.is_empty()) {
            out.extend_from_slice(prefix.as_bytes());
            out.extend_from_slice(symbol.name.as_bytes());
            out.push(0);
        }
    }
}
