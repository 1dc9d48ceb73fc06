//! Builds the metadata section.

use super::FORMAT_VERSION;
use super::header::{HEADER_MAGIC, Header, Span};
use super::tables::{TableVecs, Tables};
use crate::rows::Row;
use std::collections::HashMap;

/// Collects rows and blob data, then makes the bytes of the metadata.
///
/// There is one method for each table of [`Tables`], which appends a row and
/// returns its number.
#[derive(Debug, Default)]
pub struct MetadataWriter {
    pub(super) tables: TableVecs,
    blob: Vec<u8>,
    strings: HashMap<Vec<u8>, Span>,
}

impl MetadataWriter {
    /// A writer without rows.
    pub fn new() -> Self {
        Self::default()
    }

    /// Puts bytes into the blob, equal ones once, and says where they are.
    pub fn blob(&mut self, bytes: impl AsRef<[u8]>) -> Span {
        let bytes = bytes.as_ref();
        if let Some(span) = self.strings.get(bytes) {
            return *span;
        }
        let span = Span { offset: self.blob.len() as u64, length: bytes.len() as u64 };
        self.blob.extend_from_slice(bytes);
        self.strings.insert(bytes.to_vec(), span);
        span
    }

    /// Bytes that [`finish`](Self::finish) will return. Known as soon as all
    /// rows are there, whatever their content, so that offsets in the file
    /// can be computed first and put into the rows by a second run.
    pub fn length(&self) -> usize {
        let tables: usize = self.tables.all().iter().map(|t| t.len().next_multiple_of(8)).sum();
        Header::SIZE.next_multiple_of(8) + Tables::COUNT * 8 + 8 + tables + self.blob.len().next_multiple_of(8)
    }

    /// The metadata. `magic`, `version`, `metadata_length` and `abi` of
    /// `header` are filled in here.
    pub fn finish(&self, mut header: Header) -> Vec<u8> {
        header.magic = HEADER_MAGIC;
        header.version = FORMAT_VERSION;
        header.metadata_length = self.length() as u32;
        header.abi = crate::abi::FINGERPRINT;
        let mut out = Vec::with_capacity(self.length());
        header.encode(&mut out);
        out.resize(out.len().next_multiple_of(8), 0);
        let mut at = out.len() + Tables::COUNT * 8 + 8;
        let tables = self.tables.all();
        let (early, late) = tables.split_at(Tables::BEFORE_BLOB);
        let parts = || early.iter().copied().chain([&self.blob]).chain(late.iter().copied());
        let mut places = parts().map(|part| {
            let place = [at as u32, part.len() as u32];
            at += part.len().next_multiple_of(8);
            place
        });
        let mut directory: Vec<[u32; 2]> = places.by_ref().take(Tables::BEFORE_BLOB).collect();
        let blob = places.next();
        // The blob is the last entry of the directory wherever it lies.
        directory.extend(places.chain(blob));
        out.extend(directory.as_flattened().iter().flat_map(|number| number.to_le_bytes()));
        for part in parts() {
            out.extend_from_slice(part);
            out.resize(out.len().next_multiple_of(8), 0);
        }
        debug_assert_eq!(out.len(), self.length());
        out
    }
}

#[cfg(test)]
mod tests {
    use super::super::tables::Function;
    use super::*;
    use crate::format::Tag;

    #[test]
    fn what_a_load_reads_lies_before_what_grows_with_the_code() {
        let mut writer = MetadataWriter::new();
        for i in 0..1000 {
            writer.functions(Function { code: i, length: 1, name: 0, name_length: 0 });
        }
        writer.tags(Tag { ty: 7 });
        writer.blob("a name");
        let bytes = writer.finish(Header::decode(&[0; Header::SIZE]).unwrap());
        let place = |entry: usize| {
            let at = Header::SIZE.next_multiple_of(8) + entry * 8;
            let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap()) as usize;
            (number(at), number(at + 4))
        };
        let (blob, length) = place(Tables::COUNT);
        assert_eq!(&bytes[blob..][..length], b"a name");
        let filled: Vec<_> = (0..Tables::COUNT).map(place).filter(|(_, length)| *length > 0).collect();
        assert!(
            matches!(filled[..], [(tags, 4), (functions, 16_000)] if tags < blob && blob < functions),
            "{filled:?}"
        );
        let (functions, _) = filled[1];
        assert!(functions < Header::SIZE + Tables::COUNT * 8 + 64, "there is nothing else before them");
    }
}
