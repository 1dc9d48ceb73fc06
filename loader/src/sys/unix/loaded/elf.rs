//! Systems whose executables are ELF: the program headers of all that is
//! loaded tell which addresses show which bytes of which file.

use super::Segment;
use std::ffi::{CStr, OsStr, c_int, c_void};
use std::os::unix::ffi::OsStrExt;

struct Search {
    address: usize,
    found: Option<Segment>,
}

/// The part of a file that is mapped at `address`.
pub(super) fn segment(address: usize) -> Option<Segment> {
    let mut search = Search { address, found: None };
    // SAFETY: the callback has the type that the function wants, and gets the
    // address of a value that nobody else uses meanwhile.
    unsafe { libc::dl_iterate_phdr(Some(visit), (&raw mut search).cast()) };
    search.found
}

/// # Safety
/// To be called by `dl_iterate_phdr` with a [`Search`].
unsafe extern "C" fn visit(info: *mut libc::dl_phdr_info, _size: usize, search: *mut c_void) -> c_int {
    // SAFETY: the caller's: both are valid for the time of the call.
    let (info, search) = unsafe { (&*info, &mut *search.cast::<Search>()) };
    if info.dlpi_phdr.is_null() {
        return 0;
    }
    // SAFETY: the system describes so many headers there, and keeps them.
    let headers = unsafe { std::slice::from_raw_parts(info.dlpi_phdr, info.dlpi_phnum.into()) };
    for header in headers.iter().filter(|header| header.p_type == libc::PT_LOAD) {
        let start = (info.dlpi_addr as usize).wrapping_add(header.p_vaddr as usize);
        let end = start.wrapping_add(header.p_filesz as usize);
        if (start..end).contains(&search.address) {
            let name = if info.dlpi_name.is_null() {
                OsStr::new("")
            } else {
                // SAFETY: a C string of the system's.
                OsStr::from_bytes(unsafe { CStr::from_ptr(info.dlpi_name) }.to_bytes())
            };
            let name = (!name.is_empty()).then(|| name.into());
            search.found = Some(Segment { range: start..end, offset: header.p_offset, name });
            return 1;
        }
    }
    0
}

/// How many shared libraries have been unloaded so far.
#[cfg(target_os = "linux")]
pub(crate) fn unloaded() -> Option<u64> {
    let mut count = None;
    // SAFETY: as above.
    unsafe { libc::dl_iterate_phdr(Some(count_unloaded), (&raw mut count).cast()) };
    count
}

/// # Safety
/// To be called by `dl_iterate_phdr` with an `Option<u64>`.
#[cfg(target_os = "linux")]
unsafe extern "C" fn count_unloaded(info: *mut libc::dl_phdr_info, size: usize, count: *mut c_void) -> c_int {
    // Systems that do not count give a shorter structure.
    if size >= std::mem::offset_of!(libc::dl_phdr_info, dlpi_subs) + size_of::<u64>() {
        // SAFETY: the caller's: both are valid for the time of the call, and
        // the structure is as long as it says.
        unsafe { *count.cast::<Option<u64>>() = Some((*info).dlpi_subs) };
    }
    // All libraries tell the same.
    1
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn shared_libraries_have_names_and_the_executable_may_have_none() {
        let own = segment(segment as fn(usize) -> Option<Segment> as usize).unwrap();
        assert!(own.name.is_none_or(|name| name == std::env::current_exe().unwrap()));
        let library = segment(libc::getpid as unsafe extern "C" fn() -> libc::pid_t as usize).unwrap();
        if let Some(name) = library.name {
            assert!(name.exists(), "{}", name.display());
        }
        assert_eq!(segment(16), None);
    }
}
