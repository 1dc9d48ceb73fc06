//! Guests compiled by the host's build script, with typed bindings for it.
//!
//! In `Cargo.toml`:
//!
//! ```toml
//! [dependencies]
//! wasmc-loader = "0.1"
//!
//! [build-dependencies]
//! wasmc = { version = "0.1", default-features = false, features = ["build"] }
//! ```
//!
//! (`"init"` beside `"build"` lets guests be initialised when they are compiled;
//! it takes the loader and WASI into the build script.)
//!
//! In `build.rs`:
//!
//! ```no_run
//! fn main() -> wasmc::build::Result<()> {
//!     wasmc::build::Module::new("guest/plugin.wasm").compile()
//! }
//! ```
//!
//! And in the program, where `wasmc_loader::include_module!(plugin)` brings in
//! what was generated:
//!
//! ```ignore
//! wasmc_loader::include_module!(plugin);
//!
//! /// The data of a store; what the guest imports are its methods.
//! struct State;
//!
//! impl plugin::Env for State {
//!     fn log(_caller: &mut Caller<'_, Self>, code: i32) -> Result<()> {
//!         println!("the guest says {code}");
//!         Ok(())
//!     }
//! }
//!
//! let plugin = plugin::Module::load(&engine)?;            // once
//! let imports = plugin.imports::<State>()?;               // once
//! let mut store = Store::new(&engine, State);             // for each request
//! let sum = plugin.instantiate(&mut store, &imports)?.add(1, 2)?;
//! ```
//!
//! A guest whose functions change their types, so that the host does not fit
//! any more, breaks the host's build, not its run.
//!
//! # What is generated
//!
//! A module `NAME` with:
//!
//! * `Module`: the artifact, loaded (`load`), which dereferences to the loader's
//!   own `Module`;
//! * a trait for each module that the guest imports functions from, with a
//!   method for each function, to be implemented for the data of the store:
//!   `trait Env { fn log(caller: &mut Caller<'_, Self>, ptr: i32, len: i32) -> Result<()>; }`;
//! * a struct `EnvItems` for memories, tables, globals and tags that it imports
//!   from there, which `imports` then takes too; `EnvItems::new` makes new ones;
//! * `Imports`: what `Module::imports` makes of these. `Module::imports_from` takes
//!   them from any `Linker` instead, with WASI in it for example, and
//!   `Module::link_env` puts the methods of the trait `Env` into one;
//! * `Instance`: an instance with its store, which it borrows, and on it a
//!   method for each export: functions with native arguments (results are
//!   nothing, a value or a tuple), memories, tables, globals and tags as handles
//!   with their types;
//! * `Exports`: the same for keeping; here all methods take the store as their
//!   first argument. `Instance::into_exports` and `Exports::bind` convert.
//!
//! Values are `i32`, `i64`, `f32`, `f64`, `V128`, and for references `Func`, `I31`
//! or `Rooted<ExternRef>` and the like, in an `Option` where they may be null.
//! Functions with more than 16 parameters or results, and imported functions
//! whose types refer to types of the guest's, take and give slices of `Val`.
//!
//! All of it is documented, and safe code: what is unsafe about loading machine
//! code is in macros of the loader, which argue that the artifact is a part of
//! the program, made by its own build. So packages with
//! `#![forbid(unsafe_code)]` and `#![deny(missing_docs)]` can include it, in
//! editions from 2018. An export is found by its number, when it is first called;
//! after that a call is one of a `TypedFunc`, and a look whether that is there.
//!
//! # Names
//!
//! Names of the guest are written as Rust writes names: words are what is
//! between characters that no identifier has, or begins with a capital letter.
//! So `getValue`, `get-value` and `__get.value` become the method `get_value`, and
//! the imported module `wasi_snapshot_preview1` the trait
//! `WasiSnapshotPreview1`. Letters of all scripts stay, but for forms of others
//! that Rust warns of (`ﬁ` becomes `fi`). What begins with a digit gets an
//! underscore before it; keywords become raw identifiers (`r#type`); `self`,
//! `crate`, `super` and the names that the bindings have themselves (methods `of`,
//! `bind`, `instance`, `exports`, `into_exports`, `store`, and `into` and
//! `try_into`, which all types have; types `Module`, `Imports`, `Instance`,
//! `Exports`, and those of Rust's prelude) get one behind it. If nothing is left of a name it is `export_3` or `import_3`, after
//! its place in the module. Two names that become one are an error that names
//! both; [`rename_export`](Module::rename_export), [`rename_import`](Module::rename_import) and
//! [`rename_module`](Module::rename_module) are the way out. So are two guests
//! of one name in one script, for which there is [`name`](Module::name).
//!
//! # What comes from cargo
//!
//! Unless the builder is told otherwise, guests are compiled for `TARGET` and
//! the CPU features that the program's own code is compiled with (`-C
//! target-cpu`, `-C target-feature`), so by default for every CPU; as much
//! optimised as the profile says (`OPT_LEVEL`; a guest is slow in the `dev`
//! profile, as the program is); with debug information if the profile has it;
//! with as many threads as cargo gives jobs, of which all but the first one
//! take a token from its jobserver while they work. Everything is written to `OUT_DIR`
//! and is the same for the same input. Two variables are for those who build
//! the program: `WASMC_CPU` and `WASMC_OPT_LEVEL` (0 to 3, s, z) take precedence.
//!
//! # Methods with `try_`
//!
//! As in other build crates, a method and its `try_` twin do the same, and
//! differ in what they do if it fails: [`compile`](Module::compile) tells cargo
//! too, so that the build fails with the message; [`try_compile`](Module::try_compile)
//! only returns the error, for scripts that can do without the guest, and
//! returns where everything is.

mod archive;
mod bindings;
mod cargo;
mod error;
#[cfg(feature = "init")]
mod initialise;
mod jobs;
mod locate;
mod names;
mod output;

pub use error::{Error, Result};
pub use output::Output;

use crate::options::{OptLevel, Options};
use bindings::Renames;
use cargo::Cargo;
use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

/// How the program gets at the artifact. It is used in the same way.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
#[non_exhaustive]
pub enum Carrier {
    /// Inside the program, as data: code and memory images are mapped from the
    /// program's own file.
    #[default]
    Embedded,
    /// Inside the program, as an object file that is linked into it: its code
    /// is executed in place, where the system has loaded it.
    Linked,
    /// A file beside the program, `NAME.cwasm`, that is delivered with it. As
    /// long as the program is where cargo puts it, the file is found in the
    /// build's own folder, unless `build.build-dir` lets cargo have that
    /// elsewhere.
    File,
}

/// A guest: a file in the binary or the text format, or bytes of either.
#[derive(Debug, Clone)]
pub struct Guest(Source);

#[derive(Debug, Clone)]
enum Source {
    Path(PathBuf),
    Bytes(Vec<u8>),
}

macro_rules! guests {
    ($($t:ty => $variant:ident;)*) => {$(
        impl From<$t> for Guest {
            fn from(guest: $t) -> Guest {
                Guest(Source::$variant(guest.into()))
            }
        }
    )*};
}

guests! {
    &str => Path;
    String => Path;
    &String => Path;
    &std::path::Path => Path;
    &PathBuf => Path;
    PathBuf => Path;
    &[u8] => Bytes;
    Vec<u8> => Bytes;
}

impl<const N: usize> From<&[u8; N]> for Guest {
    fn from(bytes: &[u8; N]) -> Guest {
        Guest(Source::Bytes(bytes.to_vec()))
    }
}

/// What a build script changes in the options by itself.
type Setting = Arc<dyn Fn(&mut Options) + Send + Sync>;

/// A guest to be compiled, and how.
///
/// ```no_run
/// # fn main() -> wasmc::build::Result<()> {
/// wasmc::build::Module::new("guest/image-filter.wasm")
///     .name("filter")
///     .cpu("x86-64-v3")
///     .rename_export("__run", "execute")
///     .compile()
/// # }
/// ```
#[derive(Clone)]
pub struct Module {
    guest: Guest,
    name: Option<String>,
    bindings: bool,
    asynchronous: bool,
    exact: bool,
    carrier: Carrier,
    renames: Renames,
    loader: Option<String>,
    target: Option<String>,
    cpu: Option<String>,
    opt_level: Option<OptLevel>,
    debug: Option<bool>,
    wasm_features: Vec<String>,
    working_set: Option<PathBuf>,
    #[cfg(feature = "init")]
    init: Option<crate::init::InitOptions>,
    options: Vec<Setting>,
    out_dir: Option<PathBuf>,
    cargo_metadata: bool,
    variables: BTreeMap<String, String>,
}

impl std::fmt::Debug for Module {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Module").field("guest", &self.guest).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Module {
    /// A guest: the path of a `.wasm` or `.wat` file, relative to the package, or
    /// the bytes of either format. Cargo is told of the file; of what bytes are
    /// made from, a script that reads it has to tell (`cargo:rerun-if-changed`).
    pub fn new(guest: impl Into<Guest>) -> Module {
        Module {
            guest: guest.into(),
            name: None,
            bindings: true,
            asynchronous: false,
            exact: false,
            carrier: Carrier::default(),
            renames: Renames::default(),
            loader: None,
            target: None,
            cpu: None,
            opt_level: None,
            debug: None,
            wasm_features: Vec::new(),
            working_set: None,
            #[cfg(feature = "init")]
            init: None,
            options: Vec::new(),
            out_dir: None,
            cargo_metadata: true,
            variables: BTreeMap::new(),
        }
    }

    /// What the module is called in Rust, and the artifact's file with it. By
    /// default, as the guest's file, written as Rust writes such names; as the
    /// guest calls itself, if it is no file.
    pub fn name(&mut self, name: impl Into<String>) -> &mut Self {
        self.name = Some(name.into());
        self
    }

    /// Whether there are typed imports and exports. Default: yes; without them,
    /// there is only what loads the artifact.
    pub fn bindings(&mut self, bindings: bool) -> &mut Self {
        self.bindings = bindings;
        self
    }

    /// Whether functions of the guest and of the host are awaited. Default: no.
    ///
    /// If so, the methods for exports are `async`, and so are `instantiate` and,
    /// in the traits for imports, all methods but those for which
    /// [`synchronous_import`](Self::synchronous_import) says otherwise: they
    /// are written as `async fn` there, and their futures must be [`Send`], as
    /// the data of the store must be. The loader needs its feature `async`.
    pub fn asynchronous(&mut self, asynchronous: bool) -> &mut Self {
        self.asynchronous = asynchronous;
        self
    }

    /// An imported function that never waits, in
    /// [`asynchronous`](Self::asynchronous) bindings: its method is no `async`
    /// one, and a call takes less time.
    pub fn synchronous_import(&mut self, module: &str, name: &str) -> &mut Self {
        self.renames.synchronous.insert((module.to_owned(), name.to_owned()), (String::new(), false));
        self
    }

    /// Whether bindings accept this very artifact only. Default: no; any that
    /// was compiled from the same WebAssembly has the same imports and exports,
    /// and is accepted.
    ///
    /// With [`Carrier::File`] the file can be replaced: by one for another CPU,
    /// say, or with debug information. If it matters how it was compiled, with
    /// [`epoch`](Self::epoch) or pre-initialised, for example, then `exact` lets
    /// the program refuse others, by the hash of its content that the artifact
    /// says it has. That tells mistakes, not attacks: a signature does
    /// (`Module::open_signed`, whose module `Module::new` of the bindings takes).
    pub fn exact(&mut self, exact: bool) -> &mut Self {
        self.exact = exact;
        self
    }

    /// How the program gets at the artifact. Default: embedded.
    pub fn carrier(&mut self, carrier: Carrier) -> &mut Self {
        self.carrier = carrier;
        self
    }

    /// What an export is called in Rust.
    pub fn rename_export(&mut self, name: &str, to: &str) -> &mut Self {
        self.renames.exports.insert(name.to_owned(), (to.to_owned(), false));
        self
    }

    /// What an imported function, memory, ... is called in Rust.
    pub fn rename_import(&mut self, module: &str, name: &str, to: &str) -> &mut Self {
        self.renames.imports.insert((module.to_owned(), name.to_owned()), (to.to_owned(), false));
        self
    }

    /// What the trait for an imported module is called.
    pub fn rename_module(&mut self, module: &str, to: &str) -> &mut Self {
        self.renames.modules.insert(module.to_owned(), (to.to_owned(), false));
        self
    }

    /// Where the host finds the loader, if not as `::wasmc_loader`: a path such
    /// as `::host_api::wasmc_loader`, for packages that depend on one that
    /// exports it.
    pub fn loader(&mut self, path: &str) -> &mut Self {
        self.loader = Some(path.to_owned());
        self
    }

    /// The machine to compile for, by its triple. Default: cargo's `TARGET`.
    pub fn target(&mut self, triple: &str) -> &mut Self {
        self.target = Some(triple.to_owned());
        self
    }

    /// The CPU to compile for: a list as [`Target::cpu`](crate::Target::cpu)
    /// takes it. Default: what the program's own code may use.
    pub fn cpu(&mut self, list: &str) -> &mut Self {
        self.cpu = Some(list.to_owned());
        self
    }

    /// How much to optimise. Default: as the profile says.
    pub fn opt_level(&mut self, level: OptLevel) -> &mut Self {
        self.opt_level = Some(level);
        self
    }

    /// Whether to include debug information. Default: if the profile has it.
    pub fn debug(&mut self, debug: bool) -> &mut Self {
        self.debug = Some(debug);
        self
    }

    /// Switches proposals on and off: a list as
    /// [`Features::apply`](crate::Features::apply) takes it, `-threads,multi-memory`.
    pub fn wasm_features(&mut self, list: &str) -> &mut Self {
        self.wasm_features.push(list.to_owned());
        self
    }

    /// Whether the code can be interrupted, at deadlines or by another thread;
    /// see [`Options::epoch`].
    pub fn epoch(&mut self, epoch: bool) -> &mut Self {
        self.options(move |options| options.epoch = epoch)
    }

    /// Whether the code counts its work and can be limited to an amount of it;
    /// see [`Options::fuel`].
    pub fn fuel(&mut self, fuel: bool) -> &mut Self {
        self.options(move |options| options.fuel = fuel)
    }

    /// Makes the guest do the same on every machine; see
    /// [`Options::deterministic`].
    pub fn deterministic(&mut self) -> &mut Self {
        self.options(|options| {
            options.deterministic();
        })
    }

    /// A file that `wasmc run --record-working-set` wrote for this guest: the
    /// pages that instances get in one go.
    pub fn working_set(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        self.working_set = Some(path.into());
        self
    }

    /// Runs an initialiser when the guest is compiled, so that instances begin
    /// where it has ended; see [`wasmc::init`](crate::init). Needs the feature
    /// `init`.
    ///
    /// What runs is the export with this name, or what
    /// [`InitOptions`](crate::init::InitOptions) say: all that `wasmc --init`
    /// can be told is there. Folders in them are relative to the package. Cargo
    /// runs the script again when something changes in one that can only be
    /// read; of one that can be written it cannot tell who has changed it.
    ///
    /// ```no_run
    /// use wasmc::init::{InitDir, InitOptions};
    ///
    /// # fn main() -> wasmc::build::Result<()> {
    /// wasmc::build::Module::new("guest/forth.wasm").init("boot").compile()?;
    ///
    /// let dir = InitDir { host: "guest/words".into(), guest: "/words".into(), writable: false };
    /// let init = InitOptions { export: Some("boot".into()), dirs: vec![dir], ..InitOptions::default() };
    /// wasmc::build::Module::new("guest/lisp.wasm").init(init).compile()
    /// # }
    /// ```
    #[cfg(feature = "init")]
    pub fn init(&mut self, init: impl Into<crate::init::InitOptions>) -> &mut Self {
        self.init = Some(init.into());
        self
    }

    /// Changes any of the compiler's options, after what comes from cargo; changes
    /// are made in the order of the calls.
    ///
    /// ```
    /// # let mut module = wasmc::build::Module::new("guest.wasm");
    /// module.options(|options| options.canonicalize_nans = true);
    /// ```
    pub fn options(&mut self, change: impl Fn(&mut Options) + Send + Sync + 'static) -> &mut Self {
        self.options.push(Arc::new(change));
        self
    }

    /// The folder for everything that is made. Default: cargo's `OUT_DIR`, where
    /// `include_module!` looks for it.
    pub fn out_dir(&mut self, path: impl Into<PathBuf>) -> &mut Self {
        self.out_dir = Some(path.into());
        self
    }

    /// Whether to print lines for cargo. Default: yes.
    pub fn cargo_metadata(&mut self, print: bool) -> &mut Self {
        self.cargo_metadata = print;
        self
    }

    /// Sets a variable that cargo would set, for use outside of build scripts.
    pub fn env(&mut self, name: &str, value: &str) -> &mut Self {
        self.variables.insert(name.to_owned(), value.to_owned());
        self
    }

    /// Compiles the guest and tells cargo everything. A script's `main` returns
    /// what this returns, or uses `?`.
    ///
    /// # Errors
    /// Whatever keeps the guest from being built; cargo has been told then.
    pub fn compile(&self) -> Result<()> {
        match self.try_compile() {
            Ok(_) => Ok(()),
            Err(error) => {
                self.cargo().error(&error);
                Err(error)
            }
        }
    }

    /// Compiles the guest. If that fails cargo is not told, so that a script
    /// can go on.
    ///
    /// # Errors
    /// Whatever keeps the guest from being built.
    pub fn try_compile(&self) -> Result<Output> {
        output::make(self, &self.cargo())
    }

    fn cargo(&self) -> Cargo<'_> {
        Cargo { variables: &self.variables, listening: self.cargo_metadata }
    }
}
