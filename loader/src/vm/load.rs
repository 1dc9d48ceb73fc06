//! Opening artifacts: unsafe, because what is in them is executed.

use super::code::{Code, CodeError, Source};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::module::Module;
use crate::sys;
use std::fs::File;
use std::path::Path;
use wasmc_artifacts::format::Artifact;

impl Module {
    /// Maps the artifact at `path`.
    ///
    /// # Errors
    /// If the file cannot be read, is not an intact artifact of this
    /// loader's version, or is for another machine.
    ///
    /// # Safety
    /// The machine code in the file is executed: whoever wrote it can do what
    /// this process can. Open only files that `wasmc` made and that nobody
    /// else could have changed since. The file must not be changed as long as
    /// the module or an instance of it exists, since it stays mapped; to
    /// replace it, write a new one and rename. A file that gets shorter all
    /// the same does not crash the process: what runs of the module ends with
    /// [`Trap::ArtifactLost`](crate::Trap::ArtifactLost), and nothing new can
    /// be made of it ([`DamagedError`](crate::DamagedError)). With
    /// [`Config::sealed_artifacts`](crate::Config::sealed_artifacts) the file
    /// is copied first, and may be changed afterwards.
    pub unsafe fn open(engine: &Engine, path: impl AsRef<Path>) -> Result<Module> {
        let path = path.as_ref();
        let module = File::open(path).map_err(Error::new).and_then(|file| {
            let (file, source) = if engine.config().sealed_artifacts {
                (sys::anonymous_copy(&file)?, Source::Unchangeable)
            } else {
                (file, Source::Path(path.into()))
            };
            // SAFETY: the caller's.
            unsafe { Self::from_file(engine, file, source) }
        });
        module.map_err(|e| e.context(format!("cannot load {}", path.display())))
    }

    /// Makes a module from an artifact in memory. The bytes are copied once,
    /// into a file without a name, so that instances can have copy-on-write
    /// views of them like those of an artifact in a file.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    ///
    /// # Safety
    /// As for [`open`](Self::open): the machine code in `bytes` is executed.
    pub unsafe fn from_bytes(engine: &Engine, bytes: &[u8]) -> Result<Module> {
        // Only intact artifacts are worth a file.
        Artifact::parse(bytes)?;
        let file = sys::anonymous_file(bytes).map_err(|e| Error::new(e).context("cannot make a file to map"))?;
        // SAFETY: the caller's; nobody else has the file.
        unsafe { Self::from_file(engine, file, Source::Unchangeable) }
    }

    /// # Safety
    /// As for `open`.
    unsafe fn from_file(engine: &Engine, file: File, source: Source) -> Result<Module> {
        // SAFETY: the caller's.
        let code = unsafe { Code::map(file, source) }.map_err(|e| match e {
            CodeError::System(e) => Error::new(e).context("cannot map the file"),
            CodeError::Format(e) => Error::new(e),
            CodeError::Damaged(e) => Error::new(e),
        })?;
        let module = Module::of_code(engine, code)?;
        module.intact()?;
        Ok(module)
    }
}
