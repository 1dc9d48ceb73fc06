//! Linux tells which file is mapped where: `/proc/self/maps`. From version 6.11
//! on it can be asked about one address; before, all mappings of the process are
//! listed, of which there can be many.

use super::Identity;
use std::ffi::{CStr, OsStr};
use std::fs::File;
use std::io::{BufRead, BufReader};
use std::os::fd::AsRawFd;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;

/// A file that is mapped.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Mapped {
    /// The major and the minor number of its device.
    device: (u32, u32),
    inode: u64,
    /// Its name as it is now; of a deleted file, one under which it cannot be opened.
    pub(super) path: Option<PathBuf>,
}

impl Mapped {
    /// Whether `file` is the one that is mapped. File systems that lie over
    /// others have two numbers for a device, and sometimes for a file, and some
    /// kernels tell one here and the other one there.
    pub(super) fn identity(&self, file: &File) -> Identity {
        match file.metadata() {
            Ok(found) if found.ino() != self.inode => Identity::Other,
            Ok(found) if (libc::major(found.dev()), libc::minor(found.dev())) == self.device => Identity::Same,
            _ => Identity::Unknown,
        }
    }
}

/// The file that is mapped at `address`; `None` if there is none, or the
/// system does not say.
pub(super) fn mapped_at(address: usize) -> Option<Mapped> {
    let maps = File::open("/proc/self/maps").ok()?;
    ask(&maps, address).or_else(|| search(&maps, address))
}

/// `struct procmap_query`.
#[repr(C)]
#[derive(Default)]
struct Query {
    size: u64,
    flags: u64,
    address: u64,
    start: u64,
    end: u64,
    vma_flags: u64,
    page_size: u64,
    offset: u64,
    inode: u64,
    major: u32,
    minor: u32,
    name_size: u32,
    build_id_size: u32,
    name: u64,
    build_id: u64,
}

/// `_IOWR('f', 17, struct procmap_query)`.
const PROCMAP_QUERY: libc::Ioctl =
    (3 << 30 | (size_of::<Query>() as u32) << 16 | (b'f' as u32) << 8 | 17) as libc::Ioctl;

/// Asks about one address; `None` if the kernel has no answer, or no file is
/// there, or its name is very long.
fn ask(maps: &File, address: usize) -> Option<Mapped> {
    let mut name = [0; 1024];
    let mut query = Query {
        size: size_of::<Query>() as u64,
        address: address as u64,
        name_size: name.len() as u32,
        name: name.as_mut_ptr() as u64,
        ..Query::default()
    };
    // SAFETY: the structure is what the kernel expects, and the name is written
    // to a buffer of the size that it says. A kernel that does not know the
    // question refuses it.
    if unsafe { libc::ioctl(maps.as_raw_fd(), PROCMAP_QUERY, &raw mut query) } != 0 || query.inode == 0 {
        return None;
    }
    let name = CStr::from_bytes_until_nul(&name).ok()?.to_bytes();
    let path = name.starts_with(b"/").then(|| OsStr::from_bytes(name).into());
    Some(Mapped { device: (query.major, query.minor), inode: query.inode, path })
}

/// Looks for the address among all mappings.
fn search(maps: &File, address: usize) -> Option<Mapped> {
    let mut maps = BufReader::new(maps);
    let mut line = Vec::new();
    while maps.read_until(b'\n', &mut line).ok()? > 0 {
        if let Some(found) = parse(&line, address) {
            return found;
        }
        line.clear();
    }
    None
}

/// The file of a line, unless it has none, if the line is about `address`:
///
/// ```text
/// 55d0c8a3f000-55d0c8a41000 r--p 00002000 fd:01 1835020        /usr/bin/env
/// ```
fn parse(line: &[u8], address: usize) -> Option<Option<Mapped>> {
    let mut rest = line.trim_ascii_end();
    let mut word = || {
        let end = rest.iter().position(|byte| *byte == b' ').unwrap_or(rest.len());
        let word = std::str::from_utf8(&rest[..end]).ok();
        rest = rest[end..].trim_ascii_start();
        word
    };
    let hex = |digits: &str| u64::from_str_radix(digits, 16).ok();
    let (start, end) = word()?.split_once('-')?;
    let range = hex(start)? as usize..hex(end)? as usize;
    if !range.contains(&address) {
        return None;
    }
    let (_access, _offset, device, inode) = (word()?, word()?, word()?, word()?);
    let (major, minor) = device.split_once(':')?;
    let inode: u64 = inode.parse().ok()?;
    let path = rest.starts_with(b"/").then(|| OsStr::from_bytes(rest).into());
    let device = (hex(major)? as u32, hex(minor)? as u32);
    Some((inode != 0).then_some(Mapped { device, inode, path }))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_tells_the_file_of_its_addresses_only() {
        let line = b"55d0c8a3f000-55d0c8a41000 r--p 00002000 fd:1a 1835020        /a path/with spaces (deleted)\n";
        let path = Some("/a path/with spaces (deleted)".into());
        let mapped = Mapped { device: (0xfd, 0x1a), inode: 1_835_020, path };
        assert_eq!(parse(line, 0x55d0_c8a3_f000), Some(Some(mapped)));
        assert_eq!(parse(line, 0x55d0_c8a4_1000), None);
        assert_eq!(parse(line, 0x55d0_c8a3_efff), None);
        let anonymous = b"7f0000000000-7f0000001000 rw-p 00000000 00:00 0 \n";
        assert_eq!(parse(anonymous, 0x7f00_0000_0000), Some(None));
        for cut in 0..60 {
            // Whatever a line looks like.
            let _ = parse(&line[..cut], 0x55d0_c8a3_f000);
        }
    }

    #[test]
    fn the_executable_is_the_file_at_its_own_addresses() {
        let here = mapped_at as fn(usize) -> Option<Mapped> as usize;
        let mapped = mapped_at(here).unwrap();
        assert_ne!(mapped.identity(&File::open("/proc/self/exe").unwrap()), Identity::Other);
        assert_eq!(mapped.identity(&File::open("/proc/self/maps").unwrap()), Identity::Other);
        let local = 0;
        assert_eq!(mapped_at(&raw const local as usize), None);
    }

    #[test]
    fn what_the_kernel_answers_is_what_it_lists() {
        let library = libc::getpid as unsafe extern "C" fn() -> libc::pid_t as usize;
        for address in [mapped_at as fn(usize) -> Option<Mapped> as usize, library] {
            let maps = File::open("/proc/self/maps").unwrap();
            let listed = search(&maps, address);
            assert!(listed.as_ref().is_some_and(|mapped| mapped.path.is_some()), "{listed:?}");
            // Older kernels have no answer.
            if let Some(answer) = ask(&maps, address) {
                assert_eq!(Some(answer), listed);
            }
        }
    }
}
