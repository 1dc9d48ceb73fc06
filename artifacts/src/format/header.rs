//! The fixed head of the metadata.

use crate::abi::ContextCounts;
use crate::row;
use crate::rows::Scalar;
use sha2::{Digest as _, Sha256};

/// The first eight bytes of the metadata.
pub const HEADER_MAGIC: [u8; 8] = *b"\0wasmc\r\n";

/// A SHA-256 digest.
pub type Digest = [u8; 32];

row! {
    /// A range of bytes: of the metadata's blob or of the file, as its use says.
    pub struct Span {
        /// First byte.
        pub offset: u64,
        /// Number of bytes.
        pub length: u64,
    }
}

impl Span {
    /// The end, or `None` if it is not a number.
    pub fn end(&self) -> Option<u64> {
        self.offset.checked_add(self.length)
    }
}

impl Scalar for Span {
    const SIZE: usize = 16;
    fn get(bytes: &[u8]) -> Option<Self> {
        <Span as crate::rows::Row>::decode(bytes)
    }
    fn put(self, out: &mut Vec<u8>) {
        crate::rows::Row::encode(&self, out);
    }
}

impl Scalar for ContextCounts {
    const SIZE: usize = <ContextCounts as crate::rows::Row>::SIZE;
    fn get(bytes: &[u8]) -> Option<Self> {
        <ContextCounts as crate::rows::Row>::decode(bytes)
    }
    fn put(self, out: &mut Vec<u8>) {
        crate::rows::Row::encode(&self, out);
    }
}

row! {
    /// The header: what must match before anything else is read, and where
    /// the large parts of the file are.
    pub struct Header {
        /// [`HEADER_MAGIC`].
        pub magic: [u8; 8],
        /// [`FORMAT_VERSION`](super::FORMAT_VERSION).
        pub version: u32,
        /// Bytes of the metadata from this header on.
        pub metadata_length: u32,
        /// [`FINGERPRINT`](crate::abi::FINGERPRINT).
        pub abi: u64,
        /// SHA-256 of the whole file with these 32 bytes zero.
        pub content_hash: [u8; 32],
        /// SHA-256 of the wasm that was compiled.
        pub source_hash: [u8; 32],
        /// [`Arch`](crate::abi::Arch).
        pub arch: u8,
        /// [`Os`](crate::abi::Os).
        pub os: u8,
        /// Base-2 logarithm of the page size that segments and images are aligned to.
        pub page_shift: u8,
        /// Not 0 if there is debug information.
        pub debug: u8,
        /// Index of the start function, or [`NONE`](super::NONE).
        pub start: u32,
        /// [`CpuFeatures`](crate::abi::CpuFeatures) that the code uses.
        pub cpu_features: u64,
        /// Proposals that the module uses, bits as the compiler's proposal table numbers them.
        pub wasm_features: u64,
        /// Bytes of address space that code expects to be reserved for every memory.
        pub memory_reservation: u64,
        /// Bytes that code expects to be inaccessible after that reservation.
        pub memory_guard: u64,
        /// How many values the frames on the stack may have where this module's
        /// functions are entered; 0 if they do not count.
        pub stack_values: u32,
        /// Bytes of stack that so many values take at most; 0 likewise.
        pub stack_bytes: u64,
        /// Not 0 if every NaN that the code computes has one bit pattern.
        pub canonical_nans: u8,
        /// Not 0 if relaxed SIMD has the results of the deterministic profile.
        pub deterministic_relaxed_simd: u8,
        /// Not 0 if the code looks at its store's epoch cell.
        pub epoch: u8,
        /// Not 0 if the code counts fuel.
        pub fuel: u8,
        /// Not 0 if instances need the store's garbage-collected heap.
        pub uses_heap: u8,
        /// Code that gives globals, tables and segments the initial values that
        /// are not constant: offset in the text of a wasm function without
        /// parameters, or [`NONE`](super::NONE).
        pub initializer: u32,
        /// The array entry stub of that function, or [`NONE`](super::NONE).
        pub initializer_entry: u32,
        /// The shape of the VMContext.
        pub context: ContextCounts,
        /// Target triple, in the blob.
        pub triple: Span,
        /// Version of the compiler, in the blob.
        pub compiler: Span,
        /// Name of the module, in the blob; empty if it has none.
        pub name: Span,
        /// What has run before instances begin, in the blob, as `start function, _initialize`; empty if
        /// they begin as the module says.
        pub initialized_by: Span,
        /// The machine code, in the file.
        pub text: Span,
        /// Everything that must be mapped read-only for the code to work, from the start of the file.
        pub mapped: u64,
    }
}

impl Header {
    /// Where [`content_hash`](Self::content_hash) is, in bytes from the start of the header.
    pub const CONTENT_HASH_OFFSET: usize = 24;
}

/// The SHA-256 of `file` as if the 32 bytes at `hash_at` were zero.
pub fn content_digest(file: &[u8], hash_at: usize) -> Option<Digest> {
    let mut hash = Sha256::new();
    hash.update(file.get(..hash_at)?);
    hash.update([0; 32]);
    hash.update(file.get(hash_at.checked_add(32)?..)?);
    Some(hash.finalize().into())
}

pub(crate) fn hex(digest: &Digest) -> String {
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::rows::Row;

    #[test]
    fn the_content_hash_is_where_the_constant_says() {
        let mut bytes = vec![0; Header::SIZE];
        bytes[Header::CONTENT_HASH_OFFSET..][..32].fill(7);
        assert_eq!(Header::decode(&bytes).unwrap().content_hash, [7; 32]);
    }
}
