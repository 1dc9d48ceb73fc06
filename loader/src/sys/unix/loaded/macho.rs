//! Apple's systems: the header of the image that an address is in lies in
//! memory as it does in the file, and its load commands tell where segments
//! come from. The file may hold images for several architectures.

use super::Segment;
#[cfg(target_vendor = "apple")]
use std::{
    ffi::{CStr, OsStr},
    fs::File,
    os::unix::ffi::OsStrExt,
    os::unix::fs::FileExt,
    path::{Path, PathBuf},
};

const LC_SEGMENT_64: u32 = 0x19;
const HEADER: usize = 32;
const FAT_MAGIC: u32 = 0xcafe_babe;
const FAT_ENTRY: usize = 20;

/// The part of a file that is mapped at `address`.
#[cfg(target_vendor = "apple")]
pub(super) fn segment(address: usize) -> Option<Segment> {
    let mut info = std::mem::MaybeUninit::<libc::Dl_info>::uninit();
    // SAFETY: the call fills the structure in if it returns another value than 0.
    let info = unsafe {
        if libc::dladdr(address as *const libc::c_void, info.as_mut_ptr()) == 0 {
            return None;
        }
        info.assume_init()
    };
    let base = info.dli_fbase as usize;
    // SAFETY: the system says that there is an image; its header says how long
    // the commands are, which follow it and are mapped with it.
    let head = unsafe {
        let size = (base as *const u32).add(5).read() as usize;
        std::slice::from_raw_parts(base as *const u8, HEADER + size)
    };
    // SAFETY: a C string of the system's.
    let path: PathBuf = OsStr::from_bytes(unsafe { CStr::from_ptr(info.dli_fname) }.to_bytes()).into();
    let mut segment = segment_of(head, base, address)?;
    segment.offset += slice_in(&path, head)?;
    segment.name = Some(path);
    Some(segment)
}

/// Where the image with this header begins in the file at `path`.
#[cfg(target_vendor = "apple")]
fn slice_in(path: &Path, head: &[u8]) -> Option<u64> {
    let Ok(file) = File::open(path) else {
        // Whoever opens it next will say why that fails.
        return Some(0);
    };
    let mut start = [0; 8 + 16 * FAT_ENTRY];
    let length = file.read_at(&mut start, 0).ok()?;
    slices(&start[..length]).into_iter().find(|at| {
        let mut found = vec![0; head.len()];
        file.read_exact_at(&mut found, *at).is_ok() && found == head
    })
}

fn word(bytes: &[u8], at: usize) -> Option<[u8; 4]> {
    bytes.get(at..at.checked_add(4)?)?.try_into().ok()
}

fn long(bytes: &[u8], at: usize) -> Option<u64> {
    Some(u64::from_le_bytes(bytes.get(at..at.checked_add(8)?)?.try_into().ok()?))
}

/// The segment that is mapped at `address`, of an image whose header and
/// commands are `head` and at `base`.
fn segment_of(head: &[u8], base: usize, address: usize) -> Option<Segment> {
    let mut found = None;
    let mut slide = None;
    let mut at = HEADER;
    for _ in 0..u32::from_le_bytes(word(head, 16)?) {
        let (kind, size) = (u32::from_le_bytes(word(head, at)?), u32::from_le_bytes(word(head, at + 4)?) as usize);
        if kind == LC_SEGMENT_64 {
            let (start, offset, length) = (long(head, at + 24)?, long(head, at + 40)?, long(head, at + 48)?);
            if offset == 0 && length != 0 {
                // It contains the header.
                slide = Some(base.wrapping_sub(start as usize));
            }
            let start = (start as usize).wrapping_add(slide.unwrap_or(0));
            let range = start..start.wrapping_add(length as usize);
            if slide.is_some() && range.contains(&address) {
                found = Some(Segment { range, offset, name: None });
            }
        }
        if size < 8 {
            return None;
        }
        at = at.checked_add(size).filter(|end| *end <= head.len())?;
    }
    found
}

/// Where images begin in a file that begins with `start`.
fn slices(start: &[u8]) -> Vec<u64> {
    if word(start, 0).map(u32::from_be_bytes) != Some(FAT_MAGIC) {
        return vec![0];
    }
    let count = word(start, 4).map_or(0, u32::from_be_bytes) as usize;
    let offset = |i: usize| word(start, 8 + i * FAT_ENTRY + 8).map(|bytes| u32::from_be_bytes(bytes).into());
    (0..count).map_while(offset).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A header with `__PAGEZERO`, `__TEXT` and `__DATA`.
    fn head() -> Vec<u8> {
        let mut head = vec![0; HEADER];
        head[16..20].copy_from_slice(&3u32.to_le_bytes());
        for [start, length, offset, size] in
            [[0, 1 << 32, 0, 0], [1 << 32, 0x8000, 0, 0x8000], [(1 << 32) + 0x8000, 0x8000, 0x8000, 0x4000]]
        {
            let mut command = vec![0; 72];
            command[..4].copy_from_slice(&LC_SEGMENT_64.to_le_bytes());
            command[4..8].copy_from_slice(&72u32.to_le_bytes());
            for (at, value) in [(24, start), (32, length), (40, offset), (48, size)] {
                command[at..at + 8].copy_from_slice(&u64::to_le_bytes(value));
            }
            head.extend(command);
        }
        head
    }

    #[test]
    fn an_address_is_found_in_its_segment_wherever_the_image_is() {
        let base = 0x1_2345_0000;
        let found = |address| segment_of(&head(), base, address);
        assert_eq!(found(base + 5), Some(Segment { range: base..base + 0x8000, offset: 0, name: None }));
        let data = Segment { range: base + 0x8000..base + 0xc000, offset: 0x8000, name: None };
        assert_eq!(found(base + 0xbfff), Some(data));
        assert_eq!(found(base + 0xc000), None, "zeros that are not in the file");
        assert_eq!(found(base - 1), None);
        for cut in 0..head().len() {
            assert_eq!(segment_of(&head()[..cut], base, base + 5), None);
        }
    }

    #[test]
    fn a_file_for_several_architectures_has_several_images() {
        let mut file = vec![0xca, 0xfe, 0xba, 0xbe, 0, 0, 0, 2];
        for offset in [0x4000u32, 0x20000] {
            for number in [7, 3, offset, 100, 14] {
                file.extend(number.to_be_bytes());
            }
        }
        assert_eq!(slices(&file), [0x4000, 0x20000]);
        assert_eq!(slices(&file[..30]), [0x4000]);
        assert_eq!(slices(&head()), [0]);
        assert_eq!(slices(&[]), [0]);
    }
}
