//! Whether private views of a file are copied on write as the loader needs it.

use super::{Access, Region, anonymous_file, page_size, system};
use std::fs::File;
use std::io;
use std::sync::atomic::{AtomicUsize, Ordering};

/// Something that is found out once. What fails for want of memory,
/// descriptors and the like is no answer: it is tried again.
pub(super) struct Finding(AtomicUsize);

/// Nothing is known yet.
const UNKNOWN: usize = 0;
/// The system cannot do this at all.
const UNSUPPORTED: usize = 1;
/// Answers to whether something works.
const NO: usize = 2;
const YES: usize = 3;

impl Finding {
    /// Nothing is known yet.
    pub(super) const fn new() -> Finding {
        Finding(AtomicUsize::new(UNKNOWN))
    }

    /// What was found out, now or before: a number greater than 1.
    ///
    /// # Errors
    /// Those of `find`; `Unsupported` if the system cannot do this at all.
    #[inline]
    pub(super) fn get(&self, find: &mut dyn FnMut() -> io::Result<usize>) -> io::Result<usize> {
        match self.0.load(Ordering::Acquire) {
            UNKNOWN => self.find(find),
            known => supported(known),
        }
    }

    #[cold]
    fn find(&self, find: &mut dyn FnMut() -> io::Result<usize>) -> io::Result<usize> {
        let found = match find() {
            Ok(found) => found,
            Err(e) if is_lasting(&e) => UNSUPPORTED,
            Err(e) => return Err(e),
        };
        debug_assert!(found > UNKNOWN, "{found} stands for what is not known");
        // Another thread may have been faster.
        match self.0.compare_exchange(UNKNOWN, found, Ordering::AcqRel, Ordering::Acquire) {
            Ok(_) => supported(found),
            Err(known) => supported(known),
        }
    }

    /// Whether something works; what the system does not support does not.
    pub(super) fn works(&self, mut find: impl FnMut() -> io::Result<bool>) -> io::Result<bool> {
        match self.get(&mut || find().map(|yes| if yes { YES } else { NO })) {
            Err(e) if is_lasting(&e) => Ok(false),
            result => result.map(|answer| answer == YES),
        }
    }
}

fn supported(known: usize) -> io::Result<usize> {
    if known == UNSUPPORTED { Err(io::ErrorKind::Unsupported.into()) } else { Ok(known) }
}

/// Whether the system will say the same next time.
pub(super) fn is_lasting(error: &io::Error) -> bool {
    use io::ErrorKind::{InvalidInput, NotFound, PermissionDenied, ReadOnlyFilesystem, Unsupported};
    // What an `ioctl` says that the kernel does not know.
    let unknown = error.raw_os_error() == Some(libc::ENOTTY);
    unknown || matches!(error.kind(), InvalidInput | NotFound | PermissionDenied | ReadOnlyFilesystem | Unsupported)
}

/// Whether private views of a file behave: tried out once, because some
/// emulators are known to get it wrong. Two pages are mapped privately and
/// changed, and the first is made to forget that: then it has to read as the
/// file again, and the other one has to keep its change.
///
/// # Errors
/// If that could not be tried out now, for want of memory or descriptors.
pub(crate) fn copy_on_write_works() -> io::Result<bool> {
    static ANSWER: Finding = Finding::new();
    ANSWER.works(|| behaves(&mut View::new()?))
}

/// What the file has in its pages, and what is written to the view.
const IN_FILE: [u8; 2] = [0x5a, 0xa5];
const WRITTEN: [u8; 2] = [1, 2];

/// Two pages of a private view of a file.
trait TwoPages {
    /// What a page shows.
    fn read(&mut self, page: usize) -> u8;
    /// Changes what it shows.
    fn write(&mut self, page: usize, value: u8);
    /// Makes the first page forget its changes.
    fn forget_first(&mut self) -> io::Result<()>;
}

fn behaves(view: &mut impl TwoPages) -> io::Result<bool> {
    let shown = [view.read(0), view.read(1)];
    view.write(0, WRITTEN[0]);
    view.write(1, WRITTEN[1]);
    let changed = [view.read(0), view.read(1)];
    view.forget_first()?;
    let after = [view.read(0), view.read(1)];
    Ok(shown == IN_FILE && changed == WRITTEN && after == [IN_FILE[0], WRITTEN[1]])
}

struct View {
    region: Region,
    file: File,
}

impl View {
    fn new() -> io::Result<View> {
        let page = page_size();
        let file = anonymous_file(&[vec![IN_FILE[0]; page], vec![IN_FILE[1]; page]].concat())?;
        let region = Region::reserve(2 * page)?;
        // SAFETY: nobody else knows the region.
        unsafe { region.overlay(0..2 * page, &file, 0, Access::Write)? };
        Ok(View { region, file })
    }

    fn at(&self, page: usize) -> *mut u8 {
        self.region.start().as_ptr().wrapping_add(page * page_size())
    }
}

impl TwoPages for View {
    fn read(&mut self, page: usize) -> u8 {
        // SAFETY: the region has two pages, which are readable.
        unsafe { self.at(page).read_volatile() }
    }

    fn write(&mut self, page: usize, value: u8) {
        // SAFETY: as above; they are writable, too.
        unsafe { self.at(page).write_volatile(value) };
    }

    fn forget_first(&mut self) -> io::Result<()> {
        // SAFETY: nobody else knows the region.
        unsafe { system::show_again(self.at(0), &self.file) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Two pages that can fail in several ways.
    struct Fake {
        pages: [u8; 2],
        /// What the first page shows after its changes are forgotten.
        forgotten: io::Result<[u8; 2]>,
        ignores_writes: bool,
    }

    impl TwoPages for Fake {
        fn read(&mut self, page: usize) -> u8 {
            self.pages[page]
        }
        fn write(&mut self, page: usize, value: u8) {
            if !self.ignores_writes {
                self.pages[page] = value;
            }
        }
        fn forget_first(&mut self) -> io::Result<()> {
            self.pages = *self.forgotten.as_ref().map_err(|e| io::Error::from(e.kind()))?;
            Ok(())
        }
    }

    fn fake(forgotten: io::Result<[u8; 2]>) -> Fake {
        Fake { pages: IN_FILE, forgotten, ignores_writes: false }
    }

    #[test]
    fn only_a_view_that_does_all_of_it_right_passes() {
        assert!(behaves(&mut fake(Ok([IN_FILE[0], WRITTEN[1]]))).unwrap());
        let nothing_forgotten = fake(Ok(WRITTEN));
        let both_forgotten = fake(Ok(IN_FILE));
        let zeros_instead = fake(Ok([0, WRITTEN[1]]));
        let not_writable = Fake { ignores_writes: true, ..fake(Ok([IN_FILE[0], WRITTEN[1]])) };
        let wrong_content = Fake { pages: [0, 0], ..fake(Ok([IN_FILE[0], WRITTEN[1]])) };
        for mut broken in [nothing_forgotten, both_forgotten, zeros_instead, not_writable, wrong_content] {
            assert!(!behaves(&mut broken).unwrap());
        }
        assert!(behaves(&mut fake(Err(io::ErrorKind::Unsupported.into()))).is_err());
    }

    #[test]
    fn views_of_this_system_behave() {
        assert!(behaves(&mut View::new().unwrap()).unwrap());
        assert!(copy_on_write_works().unwrap());
    }

    #[test]
    fn what_fails_for_want_of_something_is_tried_again_and_all_else_once() {
        let finding = Finding::new();
        let error = |number| move || Err(io::Error::from_raw_os_error(number));
        for shortage in [libc::ENOMEM, libc::EMFILE, libc::ENFILE, libc::ENOSPC, libc::EAGAIN] {
            assert_eq!(finding.works(error(shortage)).unwrap_err().raw_os_error(), Some(shortage));
        }
        assert!(finding.works(|| Ok(true)).unwrap());
        assert!(finding.works(|| unreachable!("it is known")).unwrap());
        for lasting in [libc::ENOSYS, libc::EPERM, libc::EACCES, libc::EINVAL, libc::ENOENT, libc::ENOTTY] {
            let finding = Finding::new();
            assert!(!finding.works(error(lasting)).unwrap());
            assert!(!finding.works(|| unreachable!("it is known")).unwrap());
        }
    }
}
