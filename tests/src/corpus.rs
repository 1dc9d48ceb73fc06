//! Where the corpus of real programs is.

use std::path::{Path, PathBuf};

/// The folder that holds the corpus: the one that `WASMC_CORPUS` names, or
/// else `../shared/corpus` seen from the workspace's root.
///
/// `None` if there is no such folder; a test then says so and skips.
///
/// # Panics
/// If there is no such folder and the environment variable `CI` is set: there
/// the tests have to run.
pub fn corpus() -> Option<PathBuf> {
    let workspace = Path::new(env!("CARGO_MANIFEST_DIR")).parent().expect("this crate is inside the workspace");
    let corpus = match std::env::var_os("WASMC_CORPUS") {
        Some(named) => PathBuf::from(named),
        None => workspace.join("../shared/corpus"),
    };
    if corpus.is_dir() {
        return Some(corpus);
    }
    let missing = format!("no corpus at {}: set WASMC_CORPUS to its folder", corpus.display());
    assert!(std::env::var_os("CI").is_none(), "{missing}; it is required where CI is set");
    eprintln!("skipped, {missing}");
    None
}
