//! The modules whose instances are timed.

use std::path::Path;

use anyhow::Result;

use crate::corpus::{self, Wasm};

/// A module and the name its figures carry.
pub struct Guest {
    /// In figures.
    pub name: String,
    /// The initial size of its memory, in pages of WebAssembly.
    pub pages: usize,
    /// Whether it exports a function `nothing` that does nothing.
    pub has_nothing: bool,
    /// The export that initialises it when it is compiled, on a side that can
    /// do that.
    pub initialised: Option<&'static str>,
    source: Source,
}

enum Source {
    Text(String),
    Bytes(&'static [u8]),
    Corpus(Wasm),
}

impl Guest {
    /// A module from its text.
    pub fn from_text(name: &str, pages: usize, text: impl Into<String>) -> Self {
        let text = text.into();
        let has_nothing = text.contains("\"nothing\"");
        Self { name: name.to_owned(), pages, has_nothing, initialised: None, source: Source::Text(text) }
    }

    /// A module from its bytes.
    pub fn from_bytes(name: &str, pages: usize, bytes: &'static [u8]) -> Self {
        Self { name: name.to_owned(), pages, has_nothing: false, initialised: None, source: Source::Bytes(bytes) }
    }

    /// The same, initialised by this export when it is compiled.
    pub fn initialised(self, export: &'static str) -> Self {
        Self { name: format!("{}, initialised", self.name), initialised: Some(export), ..self }
    }

    /// The binary module.
    pub fn bytes(&self) -> Result<Vec<u8>> {
        match &self.source {
            Source::Text(text) => Ok(wat::parse_str(text)?),
            Source::Bytes(bytes) => Ok(bytes.to_vec()),
            Source::Corpus(wasm) => wasm.bytes(),
        }
    }
}

/// Modules that need no corpus. Those with a memory export it, and a function
/// that does nothing.
const TEXTS: [(&str, usize, &str); 3] = [
    ("empty", 0, "(module)"),
    ("one page", 1, r#"(module (memory (export "memory") 1) (func (export "nothing")))"#),
    (
        "17 pages",
        17,
        r#"(module
             (memory (export "memory") 17)
             (global (export "answer") i32 (i32.const 42))
             (func (export "nothing"))
             (data (i32.const 1048576) "a segment in the last of seventeen pages"))"#,
    ),
];

/// From small to large; all of them export a memory and import only functions.
const MODULES: [(&str, usize, &str); 3] = [
    ("WASI program", 2, "sightglass/noop/benchmark"),
    ("bz2", 48, "sightglass/bz2/benchmark"),
    ("regex", 22, "sightglass/regex/benchmark"),
];

/// From small to large, as far as the corpus has them.
pub fn all(corpus: Option<&Path>) -> Vec<Guest> {
    let texts = TEXTS.iter().map(|&(name, pages, text)| Guest::from_text(name, pages, text));
    let modules = MODULES.iter().filter_map(|&(name, pages, path)| {
        let wasm = corpus::module(corpus?, path)?;
        Some(Guest {
            name: name.to_owned(),
            pages,
            has_nothing: false,
            initialised: None,
            source: Source::Corpus(wasm),
        })
    });
    texts.chain(modules).collect()
}

/// The one called `name`, unless the corpus lacks it.
pub fn find(corpus: Option<&Path>, name: &str) -> Option<Guest> {
    all(corpus).into_iter().find(|guest| guest.name == name)
}
