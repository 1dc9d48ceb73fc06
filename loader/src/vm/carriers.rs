//! Macros that put artifacts into a program, or find them there.

/// What [`include_artifact!`](crate::include_artifact) makes: an artifact at
/// the beginning of a page, on every machine that the target has.
#[doc(hidden)]
#[cfg_attr(target_arch = "x86_64", repr(C, align(0x1000)))]
#[cfg_attr(all(not(target_arch = "x86_64"), target_vendor = "apple"), repr(C, align(0x4000)))]
#[cfg_attr(all(not(target_arch = "x86_64"), not(target_vendor = "apple")), repr(C, align(0x10000)))]
pub struct PageAligned<T: ?Sized>(pub T);

/// Embeds the artifact in a file into this program, as
/// [`include_bytes!`] does, at the beginning of a page; a `&'static [u8]` for
/// [`Module::from_embedded`](crate::Module::from_embedded).
///
/// The path is a literal, or `concat!` and `env!` of such; if it is relative,
/// then to the source file.
#[macro_export]
macro_rules! include_artifact {
    ($path:expr $(,)?) => {{
        static ARTIFACT: &$crate::__carriers::PageAligned<[::core::primitive::u8]> =
            &$crate::__carriers::PageAligned(*::core::include_bytes!($path));
        &ARTIFACT.0 as &'static [::core::primitive::u8]
    }};
}

/// The artifact of an object file that is linked into this program; a
/// [`LinkedArtifact`](crate::LinkedArtifact) for
/// [`Module::from_linked`](crate::Module::from_linked).
///
/// Takes the symbol that was chosen when the object file was made
/// (`wasmc --emit obj --symbol NAME`, `Options::symbol`), as an identifier. If
/// no object file with it is linked, the linker says that it is missing.
///
/// ```ignore
/// // build.rs: println!("cargo:rustc-link-arg={}", object_file.display());
/// use wasmc_loader::{Engine, Module, linked_artifact};
///
/// // SAFETY: the object file was made by `wasmc`.
/// let module = unsafe { Module::from_linked(&Engine::default(), linked_artifact!(plugin))? };
/// ```
#[macro_export]
macro_rules! linked_artifact {
    ($symbol:ident) => {
        $crate::linked_artifact!(@ ::core::stringify!($symbol), ::core::concat!(::core::stringify!($symbol), "_end"))
    };
    (@ $start:expr, $end:expr) => {{
        unsafe extern "C" {
            #[link_name = $start]
            static ARTIFACT: ::core::primitive::u8;
            #[link_name = $end]
            static ARTIFACT_END: ::core::primitive::u8;
        }
        // SAFETY: both are symbols of one object file, says who chose the name.
        unsafe { $crate::LinkedArtifact::new(&raw const ARTIFACT, &raw const ARTIFACT_END) }
    }};
}

/// Brings the guest with this name into the program, as a Rust module of that
/// name: its artifact, and typed bindings for it.
///
/// They were made by `wasmc::build` in the package's build script:
///
/// ```ignore
/// fn main() -> wasmc::build::Result<()> {
///     wasmc::build::Module::new("guest/plugin.wasm").compile()
/// }
/// ```
///
/// and are used so:
///
/// ```ignore
/// wasmc_loader::include_module!(plugin);
///
/// let plugin = plugin::Module::load(&engine)?;
/// let imports = plugin.imports::<State>()?;
/// let sum = plugin.instantiate(&mut store, &imports)?.add(1, 2)?;
/// ```
#[macro_export]
macro_rules! include_module {
    ($name:ident) => {
        ::core::include!(::core::concat!(::core::env!("OUT_DIR"), "/", ::core::stringify!($name), ".rs"));
    };
}

/// What asynchronous bindings begin with.
#[cfg(feature = "async")]
#[doc(hidden)]
#[macro_export]
macro_rules! __needs_async {
    () => {};
}

/// What asynchronous bindings begin with, which cannot do without the feature.
#[cfg(not(feature = "async"))]
#[doc(hidden)]
#[macro_export]
macro_rules! __needs_async {
    () => {
        ::core::compile_error!("asynchronous bindings (`wasmc::build`) need the feature `async` of `wasmc-loader`");
    };
}

/// Loads the artifact with this name from beside the program.
#[doc(hidden)]
#[macro_export]
macro_rules! __load_beside_program {
    ($engine:expr, $name:expr, $built:expr) => {
        match $crate::bindings::support::beside_program($name, $built) {
            // SAFETY: the file is a part of the program: the build that made
            // the program made it too, and who can replace it can replace the
            // program, or a library beside it, as well.
            ::core::result::Result::Ok(path) => unsafe { $crate::Module::open($engine, path) },
            ::core::result::Result::Err(error) => ::core::result::Result::Err(error),
        }
    };
}

/// Loads the artifact in a file of the build from the program that embeds it.
#[doc(hidden)]
#[macro_export]
macro_rules! __load_embedded {
    ($engine:expr, $path:expr) => {
        // SAFETY: the bytes are those of an artifact that the program's build
        // script made.
        unsafe { $crate::Module::from_embedded($engine, $crate::include_artifact!($path)) }
    };
}

/// Loads the artifact that is linked into the program under this symbol.
#[doc(hidden)]
#[macro_export]
macro_rules! __load_linked {
    ($engine:expr, $symbol:ident) => {
        // SAFETY: the program's build script made the object file, and chose a
        // symbol that nothing else has.
        unsafe { $crate::Module::from_linked($engine, $crate::linked_artifact!($symbol)) }
    };
}
