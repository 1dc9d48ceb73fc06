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
        static ARTIFACT: &$crate::__carriers::PageAligned<[u8]> =
            &$crate::__carriers::PageAligned(*::core::include_bytes!($path));
        &ARTIFACT.0 as &'static [u8]
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
            static ARTIFACT: u8;
            #[link_name = $end]
            static ARTIFACT_END: u8;
        }
        // SAFETY: both are symbols of one object file, says who chose the name.
        unsafe { $crate::LinkedArtifact::new(&raw const ARTIFACT, &raw const ARTIFACT_END) }
    }};
}

/// The module that the build script made under this name, with its bindings:
/// what `wasmc::build` wrote into `OUT_DIR`.
#[macro_export]
macro_rules! include_module {
    ($name:ident) => {
        ::core::include!(::core::concat!(::core::env!("OUT_DIR"), "/", ::core::stringify!($name), ".rs"));
    };
}
