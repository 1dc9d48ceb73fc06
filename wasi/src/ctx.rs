//! The state behind a guest's WASI calls, and how it is set up.

use crate::dir::Dir;
use crate::error::Error;
use crate::fixed::{self, RandomSource, TimeSource};
use crate::permissions::{DirPerms, FilePerms};
use crate::stdio::HostStream;
use std::io::Write;
use std::path::Path;
use std::sync::{Arc, Weak};
use wasi_common::WasiFile;
use wasi_common::sync::ambient_authority;

/// A guest's view of the system: its arguments, variables, standard streams,
/// open files and folders, clocks and random numbers.
///
/// Lives in the store's data; made by a [`WasiCtxBuilder`]. One context serves
/// one guest: the guest's open files are in it. A clone is the same context,
/// for another thread of the guest.
#[derive(Clone)]
pub struct WasiCtx {
    pub(crate) inner: wasi_common::WasiCtx,
    /// Whether each preopened folder is there; they are numbered from 3.
    folders: Arc<[Weak<()>]>,
}

impl WasiCtx {
    /// The numbers of the files and folders that the guest has open, standard
    /// streams and preopened folders included. One number more than that will
    /// not be given to the guest any more.
    pub fn open_descriptors(&self) -> Vec<u32> {
        let table = self.inner.table();
        // Numbers ascend, and a new one is above all others but those below 3.
        let Ok(end) = table.push(Arc::new(())) else { return Vec::new() };
        table.delete::<()>(end);
        (0..end).filter(|number| table.contains_key(*number)).collect()
    }

    /// The numbers of preopened folders that the guest does not have any more:
    /// it has closed them, or put something else in their places.
    pub fn lost_folders(&self) -> Vec<u32> {
        let lost = (3..).zip(&*self.folders).filter(|(_, folder)| folder.strong_count() == 0);
        lost.map(|(number, _)| number).collect()
    }
}

impl std::fmt::Debug for WasiCtx {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasiCtx")
            .field("arguments", &self.inner.args.number_elements())
            .field("variables", &self.inner.env.number_elements())
            .finish_non_exhaustive()
    }
}

/// Collects what a guest is given. A new builder gives nothing: no arguments,
/// no variables, an empty standard input, outputs that discard, no folders.
/// Clocks and random numbers are the system's.
///
/// ```
/// use wasmc_wasi::{DirPerms, FilePerms, WasiCtxBuilder};
///
/// # fn main() -> Result<(), wasmc_wasi::Error> {
/// let ctx = WasiCtxBuilder::new()
///     .args(["greet", "--loudly"])?
///     .env("LANG", "C")?
///     .inherit_stdio()
///     .preopened_dir(".", "/", DirPerms::READ, FilePerms::READ)?
///     .build();
/// # drop(ctx);
/// # Ok(())
/// # }
/// ```
pub struct WasiCtxBuilder {
    ctx: wasi_common::WasiCtx,
    folders: Vec<Weak<()>>,
}

impl Default for WasiCtxBuilder {
    fn default() -> WasiCtxBuilder {
        WasiCtxBuilder::new()
    }
}

impl std::fmt::Debug for WasiCtxBuilder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("WasiCtxBuilder").finish_non_exhaustive()
    }
}

impl WasiCtxBuilder {
    /// A builder that gives the guest nothing but clocks and random numbers.
    pub fn new() -> WasiCtxBuilder {
        WasiCtxBuilder::with_sources(TimeSource::System, RandomSource::System)
    }

    /// The same with clocks and random numbers from elsewhere. With
    /// [`TimeSource::Virtual`] and [`RandomSource::Fixed`] a guest that sees
    /// nothing else of the system does the same in every run.
    pub fn with_sources(time: TimeSource, random: RandomSource) -> WasiCtxBuilder {
        WasiCtxBuilder { ctx: fixed::context(time, random), folders: Vec::new() }
    }

    /// Appends an argument. The first one is the program's own name.
    ///
    /// # Errors
    /// The argument contains a zero byte.
    pub fn arg(&mut self, argument: impl AsRef<str>) -> Result<&mut Self, Error> {
        let argument = argument.as_ref();
        refuse_zero("argument", argument)?;
        self.ctx.push_arg(argument).map_err(|source| Error::TooLarge { what: "argument", source })?;
        Ok(self)
    }

    /// Appends several arguments.
    ///
    /// # Errors
    /// As [`arg`](WasiCtxBuilder::arg).
    pub fn args(&mut self, arguments: impl IntoIterator<Item = impl AsRef<str>>) -> Result<&mut Self, Error> {
        for argument in arguments {
            self.arg(argument)?;
        }
        Ok(self)
    }

    /// Appends this process's own arguments, its name included. What is not
    /// UTF-8 in them is replaced by U+FFFD, as WASI's strings are UTF-8.
    ///
    /// # Errors
    /// As [`arg`](WasiCtxBuilder::arg).
    pub fn inherit_args(&mut self) -> Result<&mut Self, Error> {
        self.args(std::env::args_os().map(|argument| argument.to_string_lossy().into_owned()))
    }

    /// Adds an environment variable.
    ///
    /// # Errors
    /// The name is empty or contains `=`, or one of the two contains a zero
    /// byte.
    pub fn env(&mut self, name: impl AsRef<str>, value: impl AsRef<str>) -> Result<&mut Self, Error> {
        let (name, value) = (name.as_ref(), value.as_ref());
        refuse_zero("environment variable", name)?;
        refuse_zero("environment variable", value)?;
        if name.is_empty() || name.contains('=') {
            return Err(Error::VariableName { name: name.to_owned() });
        }
        self.ctx.push_env(name, value).map_err(|source| Error::TooLarge { what: "environment variable", source })?;
        Ok(self)
    }

    /// Adds several environment variables, given as pairs of name and value.
    ///
    /// # Errors
    /// As [`env`](WasiCtxBuilder::env).
    pub fn envs(
        &mut self,
        variables: impl IntoIterator<Item = (impl AsRef<str>, impl AsRef<str>)>,
    ) -> Result<&mut Self, Error> {
        for (name, value) in variables {
            self.env(name, value)?;
        }
        Ok(self)
    }

    /// Adds this process's own environment variables. What is not UTF-8 in
    /// them is replaced by U+FFFD, as WASI's strings are UTF-8.
    ///
    /// # Errors
    /// As [`env`](WasiCtxBuilder::env).
    pub fn inherit_env(&mut self) -> Result<&mut Self, Error> {
        self.envs(
            std::env::vars_os()
                .map(|(name, value)| (name.to_string_lossy().into_owned(), value.to_string_lossy().into_owned())),
        )
    }

    /// Makes a stream the guest's standard input: a pipe of
    /// [`pipe`](crate::pipe), or one of the host's own making.
    pub fn stdin(&mut self, stream: impl WasiFile + 'static) -> &mut Self {
        self.ctx.set_stdin(Box::new(stream));
        self
    }

    /// Makes a stream the guest's standard output, as
    /// [`stdin`](WasiCtxBuilder::stdin).
    pub fn stdout(&mut self, stream: impl WasiFile + 'static) -> &mut Self {
        self.ctx.set_stdout(Box::new(stream));
        self
    }

    /// Makes a stream the guest's standard error output, as
    /// [`stdin`](WasiCtxBuilder::stdin).
    pub fn stderr(&mut self, stream: impl WasiFile + 'static) -> &mut Self {
        self.ctx.set_stderr(Box::new(stream));
        self
    }

    /// Lets the guest read this process's standard input, from the descriptor:
    /// it does not see what [`std::io::Stdin`] has already buffered.
    pub fn inherit_stdin(&mut self) -> &mut Self {
        self.stdin(HostStream(std::io::stdin()))
    }

    /// Lets the guest write to this process's standard output, unbuffered.
    pub fn inherit_stdout(&mut self) -> &mut Self {
        // A half-written line of the host's own belongs before the guest's. If
        // it cannot be written, neither can the guest's, which then says so.
        let _ = std::io::stdout().flush();
        self.stdout(HostStream(std::io::stdout()))
    }

    /// Lets the guest write to this process's standard error output,
    /// unbuffered.
    pub fn inherit_stderr(&mut self) -> &mut Self {
        self.stderr(HostStream(std::io::stderr()))
    }

    /// All three of this process's standard streams.
    pub fn inherit_stdio(&mut self) -> &mut Self {
        self.inherit_stdin().inherit_stdout().inherit_stderr()
    }

    /// Lets the guest reach the folder `host_path` under the name
    /// `guest_path`, within the permissions given. The guest cannot leave it,
    /// neither by `..` nor by symbolic links. Guests find a folder by the
    /// longest name that their path begins with; most take `/` and `.` for the
    /// place where relative paths begin.
    ///
    /// # Errors
    /// The folder cannot be opened.
    pub fn preopened_dir(
        &mut self,
        host_path: impl AsRef<Path>,
        guest_path: impl AsRef<str>,
        dir_perms: DirPerms,
        file_perms: FilePerms,
    ) -> Result<&mut Self, Error> {
        let host_path = host_path.as_ref();
        let failed = |source| Error::Preopen { path: host_path.to_owned(), source };
        let guest_path = guest_path.as_ref();
        refuse_zero("guest path", guest_path)?;
        let dir = wasi_common::sync::Dir::open_ambient_dir(host_path, ambient_authority()).map_err(failed)?;
        let there = Arc::new(());
        self.folders.push(Arc::downgrade(&there));
        let dir = Box::new(Dir::new(dir, dir_perms, file_perms, there));
        self.ctx.push_preopened_dir(dir, guest_path).map_err(|error| failed(std::io::Error::other(error)))?;
        Ok(self)
    }

    /// The context, which takes along everything collected so far; the builder
    /// is as new again.
    pub fn build(&mut self) -> WasiCtx {
        let built = std::mem::take(self);
        WasiCtx { inner: built.ctx, folders: built.folders.into() }
    }
}

/// WASI hands strings to the guest with a zero byte at their end.
fn refuse_zero(what: &'static str, value: &str) -> Result<(), Error> {
    if value.contains('\0') { Err(Error::ZeroByte { what, value: value.to_owned() }) } else { Ok(()) }
}
