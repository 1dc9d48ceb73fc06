//! Programs whose file is cut, replaced, deleted or changed, and artifacts in
//! them that do not fit: clear errors, and linked ones that go on working.

use super::{alone, call, compile, compile_with, engines};
use std::ffi::CString;
use std::fs::File;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use wasmc_artifacts::FormatError;
use wasmc_artifacts::format::HEADER_MAGIC;
use wasmc_loader::{CarrierError, DamagedError, Engine, IncompatibleError, LinkedArtifact, Module, Result, Trap};
use wasmc_tests::carriers::{self, link, object_file, symbols};

/// Much code, and data at both ends of a memory.
fn text() -> String {
    let functions = (0..300).map(|i| {
        format!(
            "(func (export \"f{i}\") (param i32) (result i32)
               local.get 0 i32.const {i} i32.add i32.load8_u offset={i} local.get 0 i32.mul i32.const {i} i32.xor)\n"
        )
    });
    format!(
        r#"(module (memory 4) (data (i32.const 0) "\03") (data (i32.const 262143) "\05") {}
            (func (export "sum") (result i32)
                (i32.add (i32.load8_u (i32.const 0)) (i32.load8_u (i32.const 262143)))))"#,
        functions.collect::<String>()
    )
}

/// A shared library with an artifact, in a file of its own, loaded.
struct Library {
    _folder: tempfile::TempDir,
    path: PathBuf,
    artifact: LinkedArtifact,
    code: bool,
}

impl Library {
    fn new(artifact: &[u8], code: bool) -> Library {
        let folder = tempfile::tempdir().unwrap();
        let (object, path) = (folder.path().join("artifact.o"), folder.path().join("libartifact.so"));
        std::fs::write(&object, object_file(artifact, code)).unwrap();
        link(&[&object], &path);
        let name = CString::new(path.as_os_str().as_bytes()).unwrap();
        // SAFETY: the library has no code but wasm's.
        let artifact = unsafe { symbols(name, c"artifact", c"artifact_end") };
        Library { _folder: folder, path, artifact, code }
    }

    fn load(&self, engine: &Engine) -> Result<Module> {
        // SAFETY: the artifact is the compiler's; what becomes of the file is
        // what these tests are about.
        unsafe {
            if self.code {
                Module::from_linked(engine, self.artifact)
            } else {
                Module::from_embedded(engine, self.artifact.bytes())
            }
        }
    }

    /// Where the artifact begins in the file.
    fn offset(&self) -> u64 {
        let file = std::fs::read(&self.path).unwrap();
        let bytes = self.artifact.bytes();
        file.windows(256).step_by(4096).position(|window| bytes.starts_with(window)).unwrap() as u64 * 4096
    }
}

fn sum(engine: &Engine, module: &Module) -> Result<i32> {
    let (mut store, instance) = alone(engine, module);
    call(&mut store, instance, "sum", ())
}

fn is_loss(error: &wasmc_loader::Error) -> bool {
    error.is::<DamagedError>() || error.downcast_ref() == Some(&Trap::ArtifactLost)
}

#[test]
fn a_library_that_is_cut_while_the_module_runs_ends_its_calls() {
    let bytes = compile(&text());
    for code in [false, true] {
        let mut lost = 0;
        for pages in (0..bytes.len().div_ceil(4096)).step_by(3) {
            let library = Library::new(&bytes, code);
            let end = library.offset() + pages as u64 * 4096;
            let engine = engines().next().unwrap();
            let module = library.load(&engine).unwrap();
            let (mut store, instance) = alone(&engine, &module);
            let sum = instance.get_typed_func::<(), i32>(&mut store, "sum").unwrap();
            assert_eq!(sum.call(&mut store, ()).unwrap(), 8);
            File::options().write(true).open(&library.path).unwrap().set_len(end).unwrap();
            match sum.call(&mut store, ()) {
                Ok(value) => assert_eq!(value, 8),
                Err(error) => {
                    assert!(is_loss(&error), "cut to {pages} pages: {error:?}");
                    assert!(is_loss(&sum.call(&mut store, ()).unwrap_err()), "and from then on");
                    assert!(library.load(&engine).is_err(), "what is lost cannot be loaded again");
                    lost += 1;
                }
            }
        }
        assert!(lost > 2, "{lost} of the lengths made a difference");
    }
}

/// The error of a carrier in an error's chain.
fn carrier_error(result: Result<Module>) -> (String, CarrierError) {
    let error = result.unwrap_err();
    let text = format!("{error:#}");
    (text, error.downcast::<CarrierError>().unwrap_or_else(|error| panic!("{error:?}")))
}

#[test]
fn a_library_that_was_replaced_or_deleted_is_an_error_unless_it_is_linked() {
    let bytes = compile(&text());
    for replaced in [true, false] {
        let [embedded, linked] = [false, true].map(|code| Library::new(&bytes, code));
        for library in [&embedded, &linked] {
            std::fs::remove_file(&library.path).unwrap();
            if replaced {
                std::fs::write(&library.path, vec![7; 1 << 20]).unwrap();
            }
        }
        for engine in engines() {
            let (text, error) = carrier_error(embedded.load(&engine));
            match error {
                CarrierError::Different { path } => assert!(replaced && path == embedded.path, "{text}"),
                CarrierError::Unreadable { path, .. } => {
                    assert!(!replaced && path.starts_with(embedded.path.parent().unwrap()), "{text}");
                }
                other => panic!("{other:?}"),
            }
            assert!(text.contains("Module::from_bytes"), "no way out: {text}");
            // In memory everything is still there.
            let module = linked.load(&engine).unwrap();
            assert_eq!(sum(&engine, &module).unwrap(), 8);
        }
    }
}

#[test]
fn a_library_that_was_opened_before_it_was_replaced_goes_on_working() {
    let bytes = compile(&text());
    for code in [false, true] {
        let library = Library::new(&bytes, code);
        let engine = engines().next().unwrap();
        assert_eq!(sum(&engine, &library.load(&engine).unwrap()).unwrap(), 8);
        std::fs::remove_file(&library.path).unwrap();
        std::fs::write(&library.path, "something else").unwrap();
        for engine in engines() {
            assert_eq!(sum(&engine, &library.load(&engine).unwrap()).unwrap(), 8);
        }
    }
}

/// Another library can come to be where one was that is gone, with an artifact
/// as long as that one's.
#[test]
fn what_was_known_of_a_library_is_not_taken_for_what_is_there_now() {
    let folder = tempfile::tempdir().unwrap();
    let engine = engines().next().unwrap();
    let paths = [3, 4].map(|number| {
        let artifact = compile(&format!("(module (func (export \"sum\") (result i32) i32.const {number}))"));
        let (object, path) = (folder.path().join("artifact.o"), folder.path().join(format!("lib{number}.so")));
        std::fs::write(&object, object_file(&artifact, false)).unwrap();
        link(&[&object], &path);
        (CString::new(path.as_os_str().as_bytes()).unwrap(), number)
    });
    let mut places = std::collections::BTreeMap::new();
    for (name, number) in paths.iter().cycle().take(1000) {
        // SAFETY: the library has nothing but the artifact, and is unloaded when
        // neither the module nor an instance of it exists.
        let (handle, found) = unsafe {
            let handle = libc::dlopen(name.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
            assert!(!handle.is_null());
            let [start, end] = [c"artifact", c"artifact_end"].map(|name| libc::dlsym(handle, name.as_ptr()));
            let bytes = LinkedArtifact::new(start.cast(), end.cast()).bytes();
            // Twice, since what is known is used from the second time on.
            let found = [(); 2].map(|()| sum(&engine, &Module::from_embedded(&engine, bytes).unwrap()).unwrap());
            (handle, (places.insert(bytes.as_ptr() as usize, *number), found))
        };
        // SAFETY: as above.
        assert_eq!(unsafe { libc::dlclose(handle) }, 0);
        let (before, found) = found;
        assert_eq!(found, [*number; 2]);
        if before.is_some_and(|before| before != *number) {
            return;
        }
    }
    panic!("no two libraries were ever at the same place");
}

/// Puts the artifact at addresses that show no file, as programs do that unpack
/// themselves, or that move their code into large pages.
fn detach(library: &Library) {
    let copy = library.artifact.bytes().to_vec();
    let length = copy.len().next_multiple_of(4096);
    let access = libc::PROT_READ | if library.code { libc::PROT_EXEC } else { 0 };
    // SAFETY: whole pages of the library, with the same content before and
    // after, and nobody uses them meanwhile.
    unsafe {
        let start = library.artifact.bytes().as_ptr().cast_mut();
        let flags = libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_FIXED;
        let at = libc::mmap(start.cast(), length, libc::PROT_READ | libc::PROT_WRITE, flags, -1, 0);
        assert_ne!(at, libc::MAP_FAILED);
        std::ptr::copy_nonoverlapping(copy.as_ptr(), start, copy.len());
        assert_eq!(libc::mprotect(at, length, access), 0);
    }
}

#[test]
fn a_program_that_has_something_else_in_its_file_is_an_error_unless_it_is_linked() {
    let bytes = compile(&text());
    let engine = engines().next().unwrap();
    for (code, packed) in [(false, false), (false, true), (true, false), (true, true)] {
        let library = Library::new(&bytes, code);
        let offset = library.offset() as usize;
        detach(&library);
        if packed {
            let mut file = std::fs::read(&library.path).unwrap();
            // Beyond what is compared where the kernel knows the file.
            file[offset + bytes.len() - 5] ^= 1;
            std::fs::write(&library.path, file).unwrap();
        }
        let result = library.load(&engine);
        if packed && !code {
            let (text, error) = carrier_error(result);
            assert!(matches!(error, CarrierError::Different { path } if path == library.path), "{text}");
        } else {
            assert_eq!(sum(&engine, &result.unwrap()).unwrap(), 8);
        }
    }
}

#[test]
fn bytes_that_are_in_no_program_or_not_at_a_page_are_refused() {
    let bytes = compile("(module)");
    let engine = Engine::default();
    let mut copy = vec![0; bytes.len() + 2 * 4096].into_boxed_slice();
    let page = copy.as_ptr().align_offset(4096);
    copy[page..][..bytes.len()].copy_from_slice(&bytes);
    copy.copy_within(page..page + bytes.len(), page);
    let copy: &'static [u8] = Box::leak(copy);
    // SAFETY: the artifact is the compiler's.
    let load = |bytes| unsafe { Module::from_embedded(&engine, bytes) };
    let (text, error) = carrier_error(load(&copy[page..][..bytes.len()]));
    assert!(matches!(error, CarrierError::NoFile), "{text}");
    let mut moved = vec![0; bytes.len() + 2 * 4096].into_boxed_slice();
    let page = moved.as_ptr().align_offset(4096) + 8;
    moved[page..][..bytes.len()].copy_from_slice(&bytes);
    let moved: &'static [u8] = &Box::leak(moved)[page..][..bytes.len()];
    let (text, error) = carrier_error(load(moved));
    assert!(matches!(error, CarrierError::Misaligned { .. }) && text.contains("include_artifact!"), "{text}");
    let range = moved.as_ptr_range();
    // SAFETY: as above.
    let linked = unsafe { Module::from_linked(&engine, LinkedArtifact::new(range.start, range.end)) };
    assert!(matches!(carrier_error(linked).1, CarrierError::Misaligned { .. }));
}

/// The artifact with something changed in its header, `at` bytes after its
/// magic number.
fn patched(artifact: &[u8], at: usize, change: impl Fn(&mut u8)) -> Vec<u8> {
    let mut patched = artifact.to_vec();
    let header = artifact.windows(HEADER_MAGIC.len()).position(|bytes| bytes == HEADER_MAGIC).unwrap();
    change(&mut patched[header + at]);
    patched
}

#[test]
fn an_artifact_of_another_version_or_machine_is_refused_by_name() {
    let artifact = compile("(module)");
    let other = if cfg!(target_arch = "x86_64") { "aarch64-unknown-linux-gnu" } else { "x86_64-unknown-linux-gnu" };
    let target = wasmc::Target::new(other).unwrap();
    let foreign = compile_with("(module)", &wasmc::Options { target, ..wasmc::Options::new() });
    let engine = Engine::default();
    for carrier in [carriers::Carrier::Embedded, carriers::Carrier::Linked] {
        let load = |bytes: &[u8]| carriers::using(carrier, || carriers::load(&engine, bytes)).unwrap_err();
        let error = load(&patched(&artifact, 8, |version| *version += 1));
        assert!(matches!(error.downcast_ref(), Some(FormatError::Version { .. })), "{error:?}");
        let error = load(&patched(&artifact, 16, |abi| *abi ^= 1));
        assert!(matches!(error.downcast_ref(), Some(FormatError::Abi { .. })), "{error:?}");
        let error = load(&patched(&artifact, 96 + 7, |features| *features |= 0x80));
        assert!(matches!(error.downcast_ref(), Some(IncompatibleError::Cpu { .. })), "{error:?}");
        let error = load(&foreign);
        assert!(matches!(error.downcast_ref(), Some(IncompatibleError::Arch { .. })), "{error:?}");
        let error = load(b"something else");
        assert!(matches!(error.downcast_ref(), Some(FormatError::NotAnArtifact(_))), "{error:?}");
    }
}
