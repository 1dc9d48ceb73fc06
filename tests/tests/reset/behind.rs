//! Pages change behind the loader's back: by an address that the host has
//! kept, by the kernel, in a process that is forked.

use crate::guest::{self, Host, PAGE, PATTERN, artifact, call};
use crate::kinds::{self, Place};
use crate::state::State;
use crate::tenants::{check, first};
use wasmc_loader::{Instance, Store};

fn address(store: &mut Store<Host>, instance: Instance) -> *mut u8 {
    instance.get_memory(&mut *store, "m").expect("the guest exports its memory").data_ptr(store)
}

#[test]
fn an_address_that_was_kept_may_be_written_to_as_long_as_the_store_exists() {
    const GUEST: usize = 2;
    for kind in kinds::all().into_iter().filter(kinds::Kind::stays) {
        let mut place = Place::new(kind.way, guest::pre(&kind.engine(), artifact(GUEST)));
        let start = place.with(address) as usize;
        for round in 0..8 {
            // With and without calls before.
            place.with(|store, instance| {
                if round % 2 == 0 {
                    call(store, instance, "touch", 0, 8).unwrap();
                }
                let write = || {
                    // SAFETY: within the memory of a store that exists, and
                    // that nobody uses meanwhile.
                    unsafe { (start as *mut u8).add((10 + round) * PAGE).write_bytes(PATTERN, 8) };
                };
                if round % 4 < 2 { write() } else { guest::elsewhere(write) }
            });
            place.with(|store, instance| {
                check(store, instance, GUEST, || format!("{}, round {round}", kind.name));
            });
        }
    }
}

#[cfg(target_os = "linux")]
mod linux {
    use super::*;
    use std::sync::OnceLock;
    use wasmc_loader::{Engine, InstancePre};

    /// Pages of 64 KiB: enough for a page of 2 MiB that is aligned.
    const PAGES: usize = 80;
    const HUGE: usize = 2 << 20;

    fn large() -> &'static [u8] {
        static ARTIFACT: OnceLock<Vec<u8>> = OnceLock::new();
        ARTIFACT.get_or_init(|| {
            guest::compile(&format!(
                r#"(module (memory (export "m") {PAGES}) (data (i32.const 4100) "some")
                (func (export "touch") (param i32 i32) (memory.fill (local.get 0) (i32.const 0xa5) (local.get 1))))"#
            ))
        })
    }

    fn pre(engine: &Engine, artifact: &[u8]) -> InstancePre<Host> {
        wasmc_loader::Linker::new(engine).instantiate_pre(&guest::load(engine, artifact)).unwrap()
    }

    fn unchanged(store: &mut Store<Host>, instance: Instance, after: &str) {
        let memory = instance.get_memory(&mut *store, "m").unwrap();
        let bytes = memory.data(&*store);
        let dirty = bytes.iter().position(|byte| *byte == PATTERN);
        assert_eq!((bytes.len(), dirty), (PAGES << 16, None), "{after}");
    }

    /// What the kernel does in the background where large pages are in use
    /// everywhere: pages that were not resident are, without a page fault of
    /// the guest's.
    #[test]
    fn pages_that_the_kernel_makes_large_are_reset() {
        const MADV_COLLAPSE: i32 = 25;
        for kind in kinds::all() {
            let mut place = Place::new(kind.way, pre(&kind.engine(), large()));
            let start = place.with(address);
            // Behind the page that has content.
            let aligned = 2 * PAGE + start.wrapping_add(2 * PAGE).align_offset(HUGE);
            for round in 0..6 {
                for _ in 0..6 {
                    place.with(|store, instance| call(store, instance, "touch", aligned + PAGE, PAGE).unwrap());
                }
                let (mut store, instance) = place.next();
                call(&mut store, instance, "touch", aligned + PAGE, PAGE).unwrap();
                let at = start as usize + aligned;
                // Whether the kernel does it is not the question.
                // SAFETY: this changes no byte, wherever the memory is.
                unsafe { libc::madvise(at as *mut _, HUGE, MADV_COLLAPSE) };
                call(&mut store, instance, "touch", aligned + (20 + round) * PAGE, PAGE).unwrap();
                place.leave(store, instance);
                place.with(|store, instance| unchanged(store, instance, &format!("{}, {round}", kind.name)));
            }
        }
    }

    /// Runs a check in a child process.
    fn in_child(check: impl FnOnce() -> bool) {
        // SAFETY: the child ends without running anything of the parent's,
        // which has no other thread that could hold a lock.
        unsafe {
            let child = libc::fork();
            assert!(child >= 0);
            if child == 0 {
                // Rather than to wait for ever.
                libc::alarm(1000);
                let fine = std::panic::catch_unwind(std::panic::AssertUnwindSafe(check));
                libc::_exit(i32::from(!fine.unwrap_or(false)));
            }
            let mut status = 0;
            assert_eq!(libc::waitpid(child, &raw mut status, 0), child);
            assert_eq!(status, 0, "the check failed in the child");
        }
    }

    /// Whether tenants leave nothing to each other, in quiet rounds and others.
    fn leaves_nothing(place: &mut Place<Host>, guest: usize) -> bool {
        (0..12).all(|round| {
            for _ in 0..4 {
                place.with(|store, instance| call(store, instance, "touch", 0, 8).unwrap());
            }
            place.with(|store, instance| call(store, instance, "touch", (7 + 3 * round) * PAGE, 8).unwrap());
            (0..3).all(|_| place.with(|store, instance| State::of(store, instance) == *first(guest)))
        })
    }

    #[test]
    fn a_process_and_its_child_leave_nothing_to_their_own_next_tenants() {
        const GUEST: usize = 2;
        if !wasmc_tests::is_alone("behind::linux::a_process_and_its_child_leave_nothing_to_their_own_next_tenants") {
            return;
        }
        for kind in kinds::all().into_iter().step_by(3) {
            let engine = kind.engine();
            let mut place = Place::new(kind.way, guest::pre(&engine, artifact(GUEST)));
            assert!(leaves_nothing(&mut place, GUEST), "{}", kind.name);
            // A tenant that has written already lives in both processes.
            let (mut store, instance) = place.next();
            call(&mut store, instance, "touch", 5 * PAGE, 8).unwrap();
            place.leave(store, instance);
            let other = kind.engine();
            in_child(|| {
                let old = leaves_nothing(&mut place, GUEST);
                // So do engines that no process has used before.
                let mut new = Place::new(kind.way, guest::pre(&other, artifact(GUEST)));
                old && leaves_nothing(&mut new, GUEST)
            });
            assert!(leaves_nothing(&mut place, GUEST), "{}, after the child", kind.name);
            in_child(|| leaves_nothing(&mut place, GUEST));
        }
    }
}
