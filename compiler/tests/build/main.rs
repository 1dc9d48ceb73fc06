//! The build-script API, called with the variables that cargo would set.

mod bindings;
mod errors;
#[cfg(feature = "init")]
mod init;
mod jobs;
mod targets;

use std::path::{Path, PathBuf};
use tempfile::TempDir;
use wasmc::build::Module;

/// A package's folder with an output folder in it.
struct Package {
    folder: TempDir,
}

impl Package {
    fn new() -> Package {
        let folder = TempDir::new().expect("a temporary folder");
        std::fs::create_dir(folder.path().join("out")).expect("an output folder");
        Package { folder }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    fn out(&self, name: &str) -> PathBuf {
        self.folder.path().join("out").join(name)
    }

    /// A guest of this package, to be built for x86-64 as in a release.
    fn guest(&self, name: &str, content: impl AsRef<[u8]>) -> Module {
        std::fs::write(self.path(name), content).expect("a guest's file");
        self.set_up(Module::new(self.path(name)))
    }

    /// What cargo would say.
    fn set_up(&self, mut module: Module) -> Module {
        let text = |path: &Path| path.to_str().expect("a temporary folder of a usual name").to_owned();
        module.cargo_metadata(false);
        for (name, value) in [
            ("TARGET", "x86_64-unknown-linux-gnu".to_owned()),
            ("HOST", "x86_64-unknown-linux-gnu".to_owned()),
            ("OPT_LEVEL", "3".to_owned()),
            ("DEBUG", "false".to_owned()),
            ("NUM_JOBS", "2".to_owned()),
            ("CARGO_CFG_TARGET_FEATURE", "fxsr,sse,sse2".to_owned()),
            ("CARGO_MANIFEST_DIR", text(self.folder.path())),
            ("CARGO_PKG_NAME", "package".to_owned()),
            ("CARGO_PKG_VERSION", "1.2.3".to_owned()),
            ("OUT_DIR", text(&self.out(""))),
        ] {
            module.env(name, &value);
        }
        module
    }

    fn read(&self, name: &str) -> Vec<u8> {
        std::fs::read(self.out(name)).unwrap_or_else(|e| panic!("{name} was not made: {e}"))
    }
}

/// A guest that does nothing special.
const SMALL: &str =
    "(module (func (export \"add\") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1))))";
