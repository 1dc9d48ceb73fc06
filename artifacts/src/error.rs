//! What can be wrong with an artifact.

/// Why bytes were refused as an artifact.
///
/// Every variant names the thing, the values on both sides where there are
/// two, and what to do about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The bytes are neither an ELF nor a Mach-O file.
    #[cfg_attr(
        feature = "messages",
        error("not a wasmc artifact: {0}; make one with `wasmc module.wasm -o module.cwasm`")
    )]
    #[cfg_attr(not(feature = "messages"), error("not a wasmc artifact: {0}"))]
    NotAnArtifact(&'static str),
    /// An object file, but none that wasmc wrote.
    #[cfg_attr(
        feature = "messages",
        error("a valid {0} file, but it has no wasmc metadata; only files written by `wasmc` can be loaded")
    )]
    #[cfg_attr(not(feature = "messages"), error("a {0} file without wasmc metadata"))]
    NoMetadata(&'static str),
    /// The file ends before something that it says it contains.
    #[cfg_attr(
        feature = "messages",
        error(
            "truncated artifact: {what} ends at byte {end}, but there are only {have} bytes; copy or compile it again"
        )
    )]
    #[cfg_attr(not(feature = "messages"), error("truncated artifact: {what} ends at {end} of {have} bytes"))]
    Truncated {
        /// What lies beyond the end.
        what: &'static str,
        /// Where that would end, in bytes from the start of the file.
        end: u64,
        /// The length of the file in bytes.
        have: u64,
    },
    /// Written in another version of the format.
    #[cfg_attr(
        feature = "messages",
        error(
            "artifact has format version {found}, this loader reads version {expected}; recompile it with the wasmc that belongs to this loader"
        )
    )]
    #[cfg_attr(not(feature = "messages"), error("artifact has format version {found}, not {expected}"))]
    Version {
        /// The version in the file.
        found: u32,
        /// The version that this crate reads.
        expected: u32,
    },
    /// Compiled against another ABI.
    #[cfg_attr(
        feature = "messages",
        error(
            "artifact has ABI fingerprint {found:016x}, this loader has {expected:016x}; recompile it with the wasmc that belongs to this loader"
        )
    )]
    #[cfg_attr(not(feature = "messages"), error("artifact has ABI fingerprint {found:016x}, not {expected:016x}"))]
    Abi {
        /// The fingerprint in the file.
        found: u64,
        /// The fingerprint of this build.
        expected: u64,
    },
    /// A field contradicts the rest of the file.
    #[cfg_attr(feature = "messages", error("corrupt artifact: {what}; compile it again"))]
    #[cfg_attr(not(feature = "messages"), error("corrupt artifact: {what}"))]
    Corrupt {
        /// Which field, and what is wrong with it.
        what: &'static str,
    },
    /// The same without the feature `messages`, where a number stands for the
    /// words.
    #[error("corrupt artifact: check {line}")]
    Check {
        /// The line of the check in `format/reader.rs` of this crate's version.
        line: u16,
    },
    /// The content hash in the header is not that of the content.
    #[error(
        "artifact content has SHA-256 {found}, its header says {expected}; the file was changed after wasmc wrote it"
    )]
    Hash {
        /// Hash of the bytes, in hexadecimal.
        found: String,
        /// Hash in the header, in hexadecimal.
        expected: String,
    },
}

impl From<&'static str> for FormatError {
    #[cold]
    fn from(what: &'static str) -> Self {
        FormatError::Corrupt { what }
    }
}

/// A check that has failed, by its line. There are many checks, and this leaves
/// results of them in one register.
#[cfg(not(feature = "messages"))]
#[derive(Debug, Clone, Copy)]
pub(crate) struct Line(std::num::NonZeroU16);

#[cfg(not(feature = "messages"))]
impl Line {
    pub(crate) const fn new(line: u32) -> Line {
        assert!(line <= u16::MAX as u32, "files are shorter than that");
        match std::num::NonZeroU16::new(line as u16) {
            Some(line) => Line(line),
            None => panic!("lines are counted from 1"),
        }
    }
}

#[cfg(not(feature = "messages"))]
impl From<Line> for FormatError {
    #[cold]
    fn from(Line(line): Line) -> Self {
        FormatError::Check { line: line.get() }
    }
}
