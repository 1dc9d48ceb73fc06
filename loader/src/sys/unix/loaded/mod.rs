//! The files of the executable and of the shared libraries that the system
//! has loaded into this process, and where an address is in them.
//!
//! Which file that is, the system's loader knows; whether what can be opened
//! under that name today is still the same file, only the kernel does. Where it
//! says so (`maps`, Linux), the beginning of what is looked for is compared
//! between memory and file; where it does not, all of it is. That it seems to be
//! another file proves nothing: file systems that lie over others number a file
//! in two ways, and which number is told where depends on the kernel.

#[cfg(not(target_vendor = "apple"))]
mod elf;
#[cfg(any(test, target_vendor = "apple"))]
mod macho;
#[cfg(all(target_os = "linux", any(test, not(feature = "portable-unix"))))]
mod maps;

#[cfg(not(target_vendor = "apple"))]
use elf::segment;
#[cfg(target_os = "linux")]
pub(crate) use elf::unloaded;
#[cfg(target_vendor = "apple")]
use macho::segment;

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

/// How many shared libraries have been unloaded so far, if the system says it.
#[cfg(not(target_os = "linux"))]
pub(crate) fn unloaded() -> Option<u64> {
    None
}

/// Bytes at the beginning of what is looked for that are always compared.
const HEAD: usize = 1024;

/// A part of a file that the system's loader has mapped.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Segment {
    /// The addresses at which bytes of the file are.
    range: Range<usize>,
    /// Where the first of them is in the file.
    offset: u64,
    /// The file's name as the system's loader knows it, if it has one.
    name: Option<PathBuf>,
}

/// A file that was opened again.
#[derive(Debug)]
pub(crate) struct LoadedFile {
    file: File,
    /// What to call it in messages.
    path: PathBuf,
    /// Whether the kernel says that it is the file which is mapped.
    certain: bool,
}

impl LoadedFile {
    pub(crate) fn file(&self) -> &File {
        &self.file
    }

    pub(crate) fn path(&self) -> &Path {
        &self.path
    }
}

/// Where bytes of this process are in a file.
#[derive(Debug, Clone)]
pub(crate) struct Place {
    pub(crate) file: Arc<LoadedFile>,
    /// Of the first byte.
    pub(crate) offset: u64,
}

impl Place {
    /// Whether the file has `bytes` here, as far as that has to be looked at.
    fn holds(&self, bytes: &[u8]) -> io::Result<bool> {
        if !self.file.certain || bytes.len() <= HEAD {
            return self.compare(bytes, 0);
        }
        let is_long = self.file.file.metadata()?.len() >= self.offset.saturating_add(bytes.len() as u64);
        Ok(is_long && self.compare(&bytes[..HEAD], 0)?)
    }

    /// Whether the file has `part`, `from` bytes after this place.
    fn compare(&self, part: &[u8], from: usize) -> io::Result<bool> {
        let mut buffer = [0; HEAD];
        let mut at = self.offset + from as u64;
        for part in part.chunks(HEAD) {
            let found = &mut buffer[..part.len()];
            match self.file.file.read_exact_at(found, at) {
                Ok(()) if found == part => at += part.len() as u64,
                Ok(()) => return Ok(false),
                Err(e) if e.kind() == io::ErrorKind::UnexpectedEof => return Ok(false),
                Err(e) => return Err(e),
            }
        }
        Ok(true)
    }
}

/// Why bytes of this process cannot be found in a file.
#[derive(Debug)]
pub(crate) enum NotFound {
    /// They belong to no file that the system's loader has mapped.
    NoFile,
    /// The file cannot be opened or read.
    Unreadable(PathBuf, io::Error),
    /// The file has something else where they should be.
    Different(PathBuf),
}

/// A segment in which something was found before.
struct Known {
    segment: Segment,
    file: Arc<LoadedFile>,
}

static KNOWN: Mutex<Vec<Known>> = Mutex::new(Vec::new());

/// Finds `bytes`, which are read-only, in the file of the executable or of the
/// shared library that they are part of. The file is opened once for all that
/// is found in it.
pub(crate) fn locate(bytes: &'static [u8]) -> Result<Place, NotFound> {
    let start = bytes.as_ptr() as usize;
    let range = start..start + bytes.len();
    // What is known may be of a library that was unloaded since.
    if let Some(place) = known(&range)
        && place.holds(bytes).unwrap_or(false)
    {
        return Ok(place);
    }
    let segment = segment(start).filter(|segment| range.end <= segment.range.end).ok_or(NotFound::NoFile)?;
    let file = Arc::new(open(&segment, start)?);
    let place = Place { offset: segment.offset + (start - segment.range.start) as u64, file };
    match place.holds(bytes) {
        Ok(true) => {}
        Ok(false) => return Err(NotFound::Different(place.file.path.clone())),
        Err(e) => return Err(NotFound::Unreadable(place.file.path.clone(), e)),
    }
    let mut all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    all.retain(|known| {
        known.segment.range.end <= segment.range.start || segment.range.end <= known.segment.range.start
    });
    all.push(Known { segment, file: place.file.clone() });
    Ok(place)
}

fn known(range: &Range<usize>) -> Option<Place> {
    let all = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
    let within = |known: &&Known| known.segment.range.start <= range.start && range.end <= known.segment.range.end;
    let Known { segment, file } = all.iter().find(within)?;
    Some(Place { offset: segment.offset + (range.start - segment.range.start) as u64, file: file.clone() })
}

/// How far it is known that a file is the one which is mapped.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[cfg_attr(any(not(target_os = "linux"), feature = "portable-unix"), allow(dead_code, reason = "only Linux tells"))]
enum Identity {
    Same,
    Unknown,
    /// So it seems.
    Other,
}

#[cfg(all(target_os = "linux", not(feature = "portable-unix")))]
fn identity_at(address: usize) -> (impl Fn(&File) -> Identity, Option<PathBuf>) {
    let mapped = maps::mapped_at(address);
    let path = mapped.as_ref().and_then(|mapped| mapped.path.clone());
    (move |file: &File| mapped.as_ref().map_or(Identity::Unknown, |mapped| mapped.identity(file)), path)
}

#[cfg(any(not(target_os = "linux"), feature = "portable-unix"))]
fn identity_at(_address: usize) -> (impl Fn(&File) -> Identity, Option<PathBuf>) {
    (|_: &File| Identity::Unknown, None)
}

/// The name of the executable's file, under which it can be opened.
fn executable() -> Option<PathBuf> {
    // Opens the file itself, wherever it is now.
    #[cfg(all(target_os = "linux", not(feature = "portable-unix")))]
    return Some("/proc/self/exe".into());
    #[cfg(any(not(target_os = "linux"), feature = "portable-unix"))]
    std::env::current_exe().ok()
}

/// Opens the file that `segment`, which contains `address`, is a part of.
fn open(segment: &Segment, address: usize) -> Result<LoadedFile, NotFound> {
    let (identity, mapped) = identity_at(address);
    let own = if segment.name.is_none() { executable() } else { None };
    open_likeliest(own.into_iter().chain(mapped).chain(segment.name.clone()), identity)
}

/// Opens the first of the files with these names that is known to be the one,
/// or else the likeliest.
fn open_likeliest(
    names: impl Iterator<Item = PathBuf>,
    identity: impl Fn(&File) -> Identity,
) -> Result<LoadedFile, NotFound> {
    let (mut possible, mut other, mut failed) = (None, None, None);
    for name in names {
        let path = match std::fs::read_link(&name) {
            Ok(target) if name.starts_with("/proc") => target,
            _ => name.clone(),
        };
        match File::open(&name) {
            Ok(file) => match identity(&file) {
                Identity::Same => return Ok(LoadedFile { file, path, certain: true }),
                Identity::Unknown => possible = possible.or(Some(LoadedFile { file, path, certain: false })),
                Identity::Other => other = other.or(Some(LoadedFile { file, path, certain: false })),
            },
            Err(e) => failed = failed.or(Some((path, e))),
        }
    }
    match (possible.or(other), failed) {
        (Some(file), _) => Ok(file),
        (None, Some((path, e))) => Err(NotFound::Unreadable(path, e)),
        (None, None) => Err(NotFound::NoFile),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::unix::fs::MetadataExt;

    /// Something of this test's own executable.
    static OWN: [u8; 3000] = {
        let mut bytes = [0; 3000];
        let mut i = 0;
        while i < bytes.len() {
            bytes[i] = (i * i % 251) as u8 ^ 0x5a;
            i += 1;
        }
        bytes
    };

    #[test]
    fn what_is_in_the_executable_is_found_in_its_file() {
        for part in [&OWN[..], &OWN[1000..], &OWN[2999..]] {
            let place = locate(part).unwrap();
            let mut found = vec![0; part.len()];
            place.file.file().read_exact_at(&mut found, place.offset).unwrap();
            assert_eq!(found, part);
            assert_eq!(place.file.path(), std::env::current_exe().unwrap());
            assert_eq!(place.file.certain, cfg!(all(target_os = "linux", not(feature = "portable-unix"))));
        }
        assert!(Arc::ptr_eq(&locate(&OWN).unwrap().file, &locate(&OWN[5..]).unwrap().file), "it is opened once");
    }

    #[test]
    fn a_file_that_the_kernel_seems_to_take_for_another_one_is_compared() {
        let own = std::env::current_exe().unwrap();
        let names = || ["/proc/self/maps".into(), own.clone()].into_iter();
        let inode = own.metadata().unwrap().ino();
        let opened = |seems: [Identity; 2]| {
            let is_own = |file: &File| file.metadata().unwrap().ino() == inode;
            let found = open_likeliest(names(), |file| seems[usize::from(is_own(file))]);
            found.map(|found| (found.path, found.certain)).unwrap()
        };
        use Identity::{Other, Same, Unknown};
        assert_eq!(opened([Other, Same]), (own.clone(), true));
        assert_eq!(opened([Unknown, Same]), (own.clone(), true));
        assert_eq!(opened([Other, Unknown]), (own.clone(), false));
        let file = open_likeliest([own.clone()].into_iter(), |_| Other).unwrap();
        assert_eq!((&file.path, file.certain), (&own, false));
        let place = locate(&OWN).unwrap();
        let place = Place { file: Arc::new(file), ..place };
        assert!(place.holds(&OWN).unwrap());
        let missing = open_likeliest(["/there/is/nothing".into()].into_iter(), |_| Same);
        assert!(matches!(missing, Err(NotFound::Unreadable(path, _)) if path.ends_with("nothing")));
    }

    #[test]
    fn what_is_in_no_file_is_not_found() {
        let heap: &'static [u8] = Box::leak(vec![1; 5000].into_boxed_slice());
        assert!(matches!(locate(heap), Err(NotFound::NoFile)));
    }

    #[test]
    fn all_of_it_is_compared_unless_the_kernel_knows_the_file() {
        use std::io::Write;
        let mut file = super::super::portable::create_unnamed().unwrap();
        let mut changed = OWN;
        changed[2500] ^= 1;
        file.write_all(&changed).unwrap();
        let place = |certain| {
            let file = LoadedFile { file: file.try_clone().unwrap(), path: "x".into(), certain };
            Place { file: Arc::new(file), offset: 0 }
        };
        assert!(!place(false).holds(&OWN).unwrap());
        assert!(place(false).holds(&OWN[..2500]).unwrap());
        assert!(place(true).holds(&OWN).unwrap(), "only the beginning is compared");
        file.set_len(2990).unwrap();
        assert!(!place(true).holds(&OWN).unwrap(), "the file is too short");
    }
}
