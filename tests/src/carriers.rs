//! The ways to carry an artifact, for tests that do not care which it is.
//!
//! To embed or link an artifact takes a program of its own; here it is a shared
//! library, which the system's linker makes and the test loads into itself. It
//! is a file in memory, so nothing is left behind.

use object::write::{Object, Symbol, SymbolSection};
use object::{Architecture, BinaryFormat, Endianness, SectionKind, SymbolFlags, SymbolKind, SymbolScope};
use sha2::{Digest, Sha256};
use std::cell::Cell;
use std::collections::HashMap;
use std::ffi::{CStr, CString};
use std::fs::File;
use std::io::Write;
use std::os::fd::{AsRawFd, FromRawFd, OwnedFd};
use std::path::Path;
use std::process::Command;
use std::sync::{Mutex, PoisonError};
use wasmc_loader::{Engine, LinkedArtifact, Module, Result};

/// Where an artifact is when it is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Carrier {
    /// In bytes of the test's.
    Bytes,
    /// In a file beside the program.
    File,
    /// In the data of a shared library.
    Embedded,
    /// In its code.
    Linked,
}

impl Carrier {
    /// All of them.
    pub const ALL: [Carrier; 4] = [Carrier::Bytes, Carrier::File, Carrier::Embedded, Carrier::Linked];

    fn named(name: &str) -> Carrier {
        let named = |carrier: &&Carrier| format!("{carrier:?}").eq_ignore_ascii_case(name);
        *Self::ALL.iter().find(named).unwrap_or_else(|| panic!("WASMC_CARRIER={name}: one of {:?}", Self::ALL))
    }

    /// The one that [`load`] uses in this thread: what [`using`] says, or the
    /// environment's `WASMC_CARRIER`, or bytes.
    pub fn current() -> Carrier {
        CURRENT
            .get()
            .unwrap_or_else(|| std::env::var("WASMC_CARRIER").map_or(Carrier::Bytes, |name| Carrier::named(&name)))
    }
}

thread_local! {
    static CURRENT: Cell<Option<Carrier>> = const { Cell::new(None) };
}

/// Calls `f`, in which [`load`] loads from `carrier`.
pub fn using<R>(carrier: Carrier, f: impl FnOnce() -> R) -> R {
    struct Restore(Option<Carrier>);
    impl Drop for Restore {
        fn drop(&mut self) {
            CURRENT.set(self.0);
        }
    }
    let _restore = Restore(CURRENT.replace(Some(carrier)));
    f()
}

/// Lets [`load`] load from `carrier` in this thread from now on.
pub fn choose(carrier: Carrier) {
    CURRENT.set(Some(carrier));
}

/// Loads an artifact that the compiler made, from the [current](Carrier::current) carrier.
///
/// # Errors
/// The loader's.
///
/// # Panics
/// If there is no linker, or the artifact cannot be carried for another reason.
pub fn load(engine: &Engine, artifact: &[u8]) -> Result<Module> {
    let carrier = Carrier::current();
    // SAFETY: the artifact is the compiler's, and the file nobody else's.
    unsafe {
        match carrier {
            Carrier::Bytes => Module::from_bytes(engine, artifact),
            Carrier::File => {
                let mut file = tempfile::NamedTempFile::new().expect("a file for the artifact");
                file.write_all(artifact).expect("room for the artifact");
                Module::open(engine, file.path())
            }
            Carrier::Embedded => Module::from_embedded(engine, library(artifact, false).bytes()),
            Carrier::Linked => Module::from_linked(engine, library(artifact, true)),
        }
    }
}

/// Libraries that were made, by the artifact's hash and whether it is code.
type Libraries = HashMap<([u8; 32], bool), LinkedArtifact>;

/// The artifact in a shared library in memory, as code or as data. The same one
/// every time.
///
/// # Panics
/// As for [`load`].
pub fn library(artifact: &[u8], code: bool) -> LinkedArtifact {
    static LIBRARIES: Mutex<Option<Libraries>> = Mutex::new(None);
    let mut libraries = LIBRARIES.lock().unwrap_or_else(PoisonError::into_inner);
    let key = (Sha256::digest(artifact).into(), code);
    *libraries.get_or_insert_default().entry(key).or_insert_with(|| {
        let folder = tempfile::tempdir().expect("a folder for the library");
        let (object, library) = (folder.path().join("artifact.o"), folder.path().join("libartifact.so"));
        std::fs::write(&object, object_file(artifact, code)).expect("room for the object file");
        link(&[&object], &library);
        let library = in_memory(&library);
        // SAFETY: the library has no code but wasm's.
        unsafe { symbols(library, c"artifact", c"artifact_end") }
    })
}

/// Makes a shared library of object files.
///
/// # Panics
/// If the linker fails.
pub fn link(objects: &[&Path], library: &Path) {
    let mut linker = Command::new("ld");
    linker.args(["-shared", "--fatal-warnings", "-z", "noexecstack", "-o"]).arg(library).args(objects);
    let output = linker.output().expect("the system's linker, ld");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

/// An object file with the artifact, as code or as data, which other libraries
/// can see as `artifact` and `artifact_end`.
///
/// # Panics
/// If the format cannot express it.
pub fn object_file(artifact: &[u8], code: bool) -> Vec<u8> {
    let architecture = if cfg!(target_arch = "x86_64") { Architecture::X86_64 } else { Architecture::Aarch64 };
    let mut object = Object::new(BinaryFormat::Elf, architecture, Endianness::Little);
    let (name, kind) =
        if code { (".text.artifact", SectionKind::Text) } else { (".rodata.artifact", SectionKind::ReadOnlyData) };
    let section = object.add_section(Vec::new(), name.into(), kind);
    let page = if cfg!(target_arch = "x86_64") { 1 << 12 } else { 1 << 16 };
    let mut bytes = artifact.to_vec();
    bytes.resize(bytes.len().next_multiple_of(page), 0);
    object.set_section_data(section, bytes, page as u64);
    for (name, value) in [("artifact", 0), ("artifact_end", artifact.len() as u64)] {
        object.add_symbol(Symbol {
            name: name.into(),
            value,
            size: 0,
            kind: SymbolKind::Data,
            scope: SymbolScope::Dynamic,
            weak: false,
            section: SymbolSection::Section(section),
            flags: SymbolFlags::None,
        });
    }
    object.write().expect("an object file")
}

/// A copy of a file that has no name; it stays open for ever.
fn in_memory(file: &Path) -> CString {
    // SAFETY: the name is a C string, and the descriptor nobody else's.
    let copy = unsafe {
        let descriptor = libc::memfd_create(c"wasmc-library".as_ptr(), libc::MFD_CLOEXEC);
        assert!(descriptor >= 0, "{}; `ulimit -n` may have to be raised", std::io::Error::last_os_error());
        OwnedFd::from_raw_fd(descriptor)
    };
    let mut copy = File::from(copy);
    std::io::copy(&mut File::open(file).expect("the library"), &mut copy).expect("memory for the library");
    let path = format!("/proc/self/fd/{}", copy.as_raw_fd());
    std::mem::forget(copy);
    CString::new(path).expect("a path")
}

/// Loads a shared library, which stays loaded, and finds an artifact in it.
///
/// # Safety
/// What it does when it is loaded is the caller's business; the symbols are
/// those of an artifact.
///
/// # Panics
/// If it cannot be loaded, or has no such symbols.
pub unsafe fn symbols(library: CString, start: &CStr, end: &CStr) -> LinkedArtifact {
    // SAFETY: the caller's.
    unsafe {
        let handle = libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        if handle.is_null() {
            panic!("{}", CStr::from_ptr(libc::dlerror()).to_string_lossy());
        }
        let find = |name: &CStr| {
            let address = libc::dlsym(handle, name.as_ptr());
            assert!(!address.is_null(), "no {name:?} in {library:?}");
            address.cast::<u8>().cast_const()
        };
        LinkedArtifact::new(find(start), find(end))
    }
}
