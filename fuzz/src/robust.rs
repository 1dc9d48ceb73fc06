//! Input of any kind: an error at worst, never a panic.

use wasmc::Options;
use wasmc_artifacts::format::Artifact;

/// Compiles whatever this is.
pub fn compile(bytes: &[u8]) {
    let _ = wasmc::compile(bytes, &Options::new());
}

/// Reads whatever this is as an artifact, in every way that does not run it.
pub fn artifact(bytes: &[u8]) {
    if let Ok(artifact) = Artifact::parse(bytes) {
        let _ = artifact.verify();
    }
    let _ = wasmc::inspect::verify(bytes);
}
