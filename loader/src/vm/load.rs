//! Opening artifacts: unsafe, because what is in them is executed.

use super::code::{Code, CodeError, Source};
use crate::engine::Engine;
use crate::error::{Error, Result};
use crate::module::Module;
use crate::parts;
use crate::plan::{Plan, Stay};
use crate::sys;
use std::fs::File;
use std::path::Path;
use std::sync::Arc;
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
            let (file, source) = if parts::TRUNCATION.is_on() && engine.config().sealed_artifacts {
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

    /// Makes a module from an artifact that is data of this executable, or of a
    /// shared library in this process: one that [`include_artifact!`] put there.
    /// Its metadata is read where it is; code and memory images are mapped from
    /// the executable's own file, so that there is no other file to carry along.
    ///
    /// ```no_run
    /// # use wasmc_loader::{Engine, Module, Result};
    /// # macro_rules! include_artifact { ($path:literal) => { &[] } }
    /// # fn main() -> Result<()> {
    /// let engine = Engine::default();
    /// // SAFETY: the file was made by `wasmc` when this program was built.
    /// let module = unsafe { Module::from_embedded(&engine, include_artifact!("plugin.cwasm"))? };
    /// # Ok(())
    /// # }
    /// ```
    ///
    /// The file is opened at the first load and stays open. It may be stripped,
    /// and on Linux moved or deleted while the program runs. That it is the file
    /// which this process was started from is checked. What one load has mapped
    /// and found out, the next load of the same artifact with the same engine
    /// uses, unless a shared library was unloaded in between.
    ///
    /// # Errors
    /// As for [`open`](Self::open), and [`CarrierError`](crate::CarrierError) if
    /// the file cannot be read, or does not have the artifact where the process
    /// has it.
    ///
    /// # Safety
    /// As for [`open`](Self::open), of the executable's file. A shared library
    /// must stay loaded as long as the module or an instance of it exists.
    ///
    /// [`include_artifact!`]: crate::include_artifact
    pub unsafe fn from_embedded(engine: &Engine, artifact: &'static [u8]) -> Result<Module> {
        parts::EMBEDDED.need("`Module::from_embedded`")?;
        // SAFETY: the caller's.
        let module = unsafe { Self::of_program(engine, artifact, Stay::embedded()) };
        module.map_err(|e| e.context("cannot load the embedded artifact"))
    }

    /// Makes a module from an object file (`wasmc --emit obj`) that was linked
    /// into this executable or a shared library in this process. Its code is
    /// executed where it stands, so that nothing is mapped as executable but by
    /// the system's loader. Memory images are views of the executable's own
    /// file, which is opened when the first one is wanted; where that cannot be
    /// had, a copy in memory takes its place.
    ///
    /// # Errors
    /// As for [`open`](Self::open).
    ///
    /// # Safety
    /// As for [`open`](Self::open), of the executable's file. A shared library
    /// with the artifact must stay loaded for ever, as what is known of the
    /// artifact is kept for whoever loads it again.
    pub unsafe fn from_linked(engine: &Engine, artifact: LinkedArtifact) -> Result<Module> {
        parts::EMBEDDED.need("`Module::from_linked`")?;
        // SAFETY: the caller's.
        let module = unsafe { Self::of_program(engine, artifact.bytes(), Stay::Linked) };
        module.map_err(|e| e.context("cannot load the linked artifact"))
    }

    /// # Safety
    /// As for `open`.
    unsafe fn from_file(engine: &Engine, file: File, source: Source) -> Result<Module> {
        // SAFETY: the caller's.
        let code = unsafe { Code::map(file, source) }.map_err(described)?;
        let module = Module::of_plan(engine, Arc::new(Plan::new(engine, code)?), None);
        module.intact()?;
        Ok(module)
    }

    /// Makes a module of an artifact that is part of this program.
    ///
    /// # Safety
    /// As for `from_linked`, or as for `from_embedded`; `stay` says which, and
    /// was found out just now.
    unsafe fn of_program(engine: &Engine, bytes: &'static [u8], stay: Stay) -> Result<Module> {
        // Where libraries are unloaded, `stay` is another one; what else could
        // have happened to the file since is that it was cut.
        let known = engine.plans().find(bytes, stay).filter(|plan| stay == Stay::Linked || !plan.code().is_cut());
        let (plan, watch) = match known {
            Some(plan) => {
                let watch = plan.code().watch_again();
                (plan, watch)
            }
            None => {
                // SAFETY: the caller's.
                let code = unsafe { if stay == Stay::Linked { Code::linked(bytes) } else { Code::embedded(bytes) } };
                let mut plan = Plan::new(engine, code.map_err(described)?)?;
                let watch = plan.take_watch();
                let plan = Arc::new(plan);
                engine.plans().keep(bytes, stay, &plan);
                (plan, watch)
            }
        };
        let module = Module::of_plan(engine, plan, watch);
        module.intact()?;
        Ok(module)
    }
}

fn described(error: CodeError) -> Error {
    match error {
        CodeError::System(e) => Error::new(e).context("cannot map the file"),
        CodeError::Format(e) => Error::new(e),
        CodeError::Damaged(e) if parts::TRUNCATION.is_on() || parts::EMBEDDED.is_on() => Error::new(e),
        CodeError::Damaged(_) => Error::msg("the file was truncated"),
        CodeError::Carrier(e) if parts::EMBEDDED.is_on() => Error::new(e),
        CodeError::Carrier(_) => Error::msg("the artifact is not where it can be mapped from"),
    }
}

/// An artifact that was linked into this program; what [`linked_artifact!`]
/// gives.
///
/// [`linked_artifact!`]: crate::linked_artifact
#[derive(Clone, Copy, PartialEq, Eq, Hash)]
pub struct LinkedArtifact(&'static [u8]);

impl LinkedArtifact {
    /// The artifact between two addresses: that of the symbol which was chosen
    /// when the object file was made, and that of the one with `_end` appended.
    ///
    /// # Safety
    /// Both are of one object file that `wasmc` made, and what it was linked
    /// into stays loaded for ever.
    pub const unsafe fn new(start: *const u8, end: *const u8) -> LinkedArtifact {
        // SAFETY: the caller's: both belong to one section.
        LinkedArtifact(unsafe { std::slice::from_raw_parts(start, end.offset_from(start) as usize) })
    }

    /// All bytes of the artifact, as they would be in a file.
    pub fn bytes(&self) -> &'static [u8] {
        self.0
    }
}

impl std::fmt::Debug for LinkedArtifact {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let bytes = self.0.as_ptr_range();
        write!(f, "LinkedArtifact({:?}..{:?})", bytes.start, bytes.end)
    }
}
