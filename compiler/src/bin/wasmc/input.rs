//! Reading input files, and what kind of file they are.

use anyhow::Context;
use std::io::Read;
use std::path::Path;
use wasmc_artifacts::container::Container;

/// Whether the path stands for standard input or output.
pub(crate) fn is_dash(path: &Path) -> bool {
    path.as_os_str() == "-"
}

/// The path as it stands in messages.
pub(crate) fn name(path: &Path) -> String {
    if is_dash(path) { "standard input".to_owned() } else { format!("`{}`", path.display()) }
}

/// Reads all of a file, or of standard input.
pub(crate) fn read(path: &Path) -> anyhow::Result<Vec<u8>> {
    let read = || {
        if is_dash(path) {
            let mut bytes = Vec::new();
            std::io::stdin().lock().read_to_end(&mut bytes)?;
            return Ok(bytes);
        }
        std::fs::read(path)
    };
    read().with_context(|| format!("cannot read {}", name(path)))
}

/// The first bytes of a regular file; none of anything else, which can be read
/// only once.
#[cfg(feature = "run")]
pub(crate) fn head(path: &Path) -> anyhow::Result<Vec<u8>> {
    let mut bytes = Vec::new();
    if path.is_file() {
        let read = std::fs::File::open(path).and_then(|file| file.take(16).read_to_end(&mut bytes));
        read.with_context(|| format!("cannot read {}", name(path)))?;
    }
    Ok(bytes)
}

/// Whether the bytes are an artifact rather than something to compile.
pub(crate) fn is_artifact(bytes: &[u8]) -> bool {
    Container::of(bytes).is_some()
}
