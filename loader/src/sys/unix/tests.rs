//! What both implementations promise, tested for each.

macro_rules! implementation {
    ($system:ident) => {
        mod $system {
            use super::super::{Access, Region, page_size, $system as system};
            use std::fs::File;
            use std::io::Write;
            use std::os::unix::fs::FileExt;

            /// A file of pages, each filled with its number plus one.
            fn file(pages: usize) -> File {
                let mut file = system::create_unnamed().unwrap();
                for index in 0..pages {
                    file.write_all(&vec![index as u8 + 1; page_size()]).unwrap();
                }
                system::seal(&file).unwrap();
                file
            }

            /// A private view of such a file.
            fn view(pages: usize) -> (Region, File) {
                let file = file(pages);
                let region = Region::reserve(pages * page_size()).unwrap();
                // SAFETY: nobody else knows the region.
                unsafe { region.overlay(0..pages * page_size(), &file, 0, Access::Write).unwrap() };
                (region, file)
            }

            fn at(region: &Region, page: usize) -> *mut u8 {
                region.start().as_ptr().wrapping_add(page * page_size())
            }

            #[test]
            fn reserving_has_no_effect_on_where_or_what_is_mapped() {
                let others = libc::MAP_FIXED | libc::MAP_SHARED | libc::MAP_PRIVATE | libc::MAP_ANON;
                assert_eq!(system::NO_RESERVE & others, 0);
            }

            #[test]
            fn what_is_found_out_can_be_found_out_here_and_changes_nothing() {
                system::try_out().unwrap();
                let (region, _file) = view(2);
                let certain = system::keep_pages_small(at(&region, 0), 2 * page_size());
                // Who can count faults relies on them.
                assert_eq!(certain, system::thread_faults().is_some());
                // SAFETY: nobody else knows the region.
                assert_eq!(unsafe { [at(&region, 0).read(), at(&region, 1).read()] }, [1, 2]);
            }

            #[test]
            fn large_pages_change_nothing_that_is_there() {
                let (region, _file) = view(2);
                let first = at(&region, 0);
                // SAFETY: nobody else knows the region.
                unsafe { first.write(9) };
                system::prefer_large_pages(first.wrapping_add(1), 2 * page_size() - 1);
                system::prefer_large_pages(first, 0);
                // SAFETY: as above.
                assert_eq!(unsafe { [first.read(), at(&region, 1).read()] }, [9, 2]);
            }

            #[test]
            fn populated_pages_keep_their_content_and_are_private() {
                let (region, file) = view(4);
                // SAFETY: nobody else knows the region.
                unsafe {
                    system::populate(at(&region, 1), 2 * page_size()).unwrap();
                    system::populate(at(&region, 1), 0).unwrap();
                    for page in 0..4 {
                        assert_eq!(at(&region, page).read(), page as u8 + 1);
                        at(&region, page).write(9);
                    }
                }
                let mut byte = [0];
                file.read_exact_at(&mut byte, page_size() as u64).unwrap();
                assert_eq!(byte, [2]);
            }

            #[test]
            fn populated_pages_count_as_written_where_that_is_known() {
                let (region, _file) = view(4);
                let mut out = [const { 0..0 }; 2];
                let before = system::written(region.start().as_ptr(), 4 * page_size(), &mut out);
                assert_eq!(before.is_some(), system::can_tell_written());
                // SAFETY: nobody else knows the region.
                unsafe { system::populate(at(&region, 1), 2 * page_size()).unwrap() };
                if let Some(count) = system::written(region.start().as_ptr(), 4 * page_size(), &mut out) {
                    assert_eq!((before, count, &out[0]), (Some(0), 1, &(page_size()..3 * page_size())));
                }
            }

            #[test]
            fn populating_a_page_is_counted_as_a_fault_where_that_is_known() {
                let (region, _file) = view(4);
                let before = system::thread_faults();
                // SAFETY: nobody else knows the region.
                unsafe { at(&region, 3).write(1) };
                let after = system::thread_faults();
                assert!(before.is_none() && after.is_none() || after > before);
            }

            #[test]
            fn a_page_shows_its_file_again() {
                let (region, file) = view(2);
                // SAFETY: nobody else knows the region.
                unsafe {
                    at(&region, 0).write(9);
                    at(&region, 1).write(9);
                    system::show_again(at(&region, 0), &file).unwrap();
                    assert_eq!((at(&region, 0).read(), at(&region, 1).read()), (1, 9));
                }
            }

            #[test]
            fn discarding_works_or_is_refused() {
                let (region, _file) = view(2);
                // SAFETY: nobody else knows the region.
                unsafe {
                    at(&region, 1).write(9);
                    let done = system::discard(at(&region, 1), page_size());
                    assert_eq!(done.is_ok(), system::can_discard());
                    assert_eq!(at(&region, 1).read(), if done.is_ok() { 2 } else { 9 });
                }
            }
        }
    };
}

#[cfg(target_os = "linux")]
implementation!(linux);
implementation!(portable);
