//! Too little address space, memory, descriptors, mappings and room for files:
//! the true limits of the system, at many levels.

use crate::child;
use crate::guests::{self, PROGRAM, Tenant};
use crate::sequence::{Guest, all, check_message, configs, instances, intact};
use crate::usage::{self, Usage};
use std::ptr;
use wasmc_loader::{Config, Engine, PoolSizeError, Result};

const KIB: u64 = 1 << 10;
const GIB: u64 = 1 << 30;

/// Does something with a limit of this process lowered.
fn limited<R>(resource: libc::__rlimit_resource_t, limit: u64, work: impl FnOnce() -> R) -> R {
    let mut old = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: both calls get a valid structure. The process is the test's own.
    unsafe {
        assert_eq!(libc::getrlimit(resource, &raw mut old), 0);
        let new = libc::rlimit { rlim_cur: limit.min(old.rlim_max), ..old };
        assert_eq!(libc::setrlimit(resource, &raw const new), 0);
    }
    let result = work();
    // SAFETY: as above.
    assert_eq!(unsafe { libc::setrlimit(resource, &raw const old) }, 0);
    result
}

/// A line of this process's status, in bytes.
fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap();
    line.split_whitespace().next().unwrap().parse::<u64>().unwrap() * KIB
}

/// Counts what went well and what did not.
#[derive(Debug, Default)]
struct Outcomes {
    well: usize,
    failed: usize,
}

impl Outcomes {
    fn note(&mut self, result: Result<()>) {
        match result {
            Ok(()) => self.well += 1,
            Err(error) => {
                check_message(&error);
                self.failed += 1;
            }
        }
    }

    /// Asserts that the levels were neither all too low nor all too high.
    #[track_caller]
    fn assert_mixed(&self) {
        assert!(self.well > 0 && self.failed > 3, "{self:?}");
    }
}

/// Does all at every level of a resource, of which `used` says what is in use.
fn sweep(resource: libc::__rlimit_resource_t, used: impl Fn() -> u64, levels: &[u64]) {
    let guest = Guest::new();
    for config in configs() {
        all(&config, &guest).unwrap();
        let before = Usage::now();
        let mut outcomes = Outcomes::default();
        for level in levels {
            outcomes.note(limited(resource, used() + level, || all(&config, &guest)));
            before.assert_flat(0, 256);
        }
        outcomes.assert_mixed();
        // The same with an engine and modules that were made before.
        let engine = Engine::new(&config).unwrap();
        let pres = guest.load(&engine).unwrap();
        intact(&engine, &pres);
        let before = Usage::now();
        let mut outcomes = Outcomes::default();
        for level in levels {
            outcomes.note(limited(resource, used() + level, || instances(&pres[0], &pres[1])));
            intact(&engine, &pres);
            before.assert_flat(60, 1024);
        }
        assert!(outcomes.well > 0, "{outcomes:?}");
    }
}

#[test]
fn too_little_address_space_is_an_error_and_leaves_nothing() {
    child::alone("scarcity::too_little_address_space_is_an_error_and_leaves_nothing", || {
        let small = (0..16).map(|step| step * 16 * KIB);
        let large = (1..36).map(|step| step * GIB);
        let levels: Vec<u64> = small.chain(large).collect();
        sweep(libc::RLIMIT_AS, || status("VmSize:"), &levels);
    });
}

#[test]
fn too_little_memory_is_an_error_and_leaves_nothing() {
    child::alone("scarcity::too_little_memory_is_an_error_and_leaves_nothing", || {
        let levels: Vec<u64> = (0..64).map(|step| step * 32 * KIB).collect();
        sweep(libc::RLIMIT_DATA, || status("VmData:"), &levels);
    });
}

#[test]
fn too_few_descriptors_are_an_error_and_leave_nothing() {
    const NAME: &str = "scarcity::too_few_descriptors_are_an_error_and_leave_nothing";
    // In a process that has made an engine before, and in one that has not.
    child::run(NAME, "warm", |_| {
        let guest = Guest::new();
        for config in configs() {
            all(&config, &guest).unwrap();
            let before = Usage::now();
            let mut outcomes = Outcomes::default();
            // No descriptor has this number or a higher one.
            for limit in 0..20 {
                outcomes.note(limited(libc::RLIMIT_NOFILE, limit, || all(&config, &guest)));
                before.assert_flat(0, 256);
            }
            outcomes.assert_mixed();
        }
    });
    child::run(NAME, "cold", |_| {
        let guest = Guest::new();
        let config = &configs()[0];
        for limit in 0..20 {
            let _ = limited(libc::RLIMIT_NOFILE, limit, || all(config, &guest)).inspect_err(check_message);
        }
        all(config, &guest).unwrap();
        let strategy = Engine::new(config).unwrap().instantiation_strategy();
        assert!(strategy.is_copy_on_write(), "{strategy}");
    });
}

#[test]
fn too_little_room_for_a_file_is_an_error_and_leaves_nothing() {
    child::alone("scarcity::too_little_room_for_a_file_is_an_error_and_leaves_nothing", || {
        // SAFETY: otherwise the process would be killed.
        unsafe { libc::signal(libc::SIGXFSZ, libc::SIG_IGN) };
        let artifact = guests::artifact(PROGRAM);
        let engine = Engine::new(&guests::pool(2)).unwrap();
        let use_it = || Tenant::new(&guests::link(&guests::load(&engine, &artifact)?)?).map(drop);
        use_it().unwrap();
        let before = Usage::now();
        for limit in (0..artifact.len() as u64).step_by(1000) {
            let error = limited(libc::RLIMIT_FSIZE, limit, use_it).unwrap_err();
            assert!(format!("{error:#}").contains("bytes"), "{error:?}");
            before.assert_flat(0, 64);
        }
        limited(libc::RLIMIT_FSIZE, artifact.len() as u64, use_it).unwrap();
        before.assert_flat(0, 64);
    });
}

/// Mappings that only serve to use up how many there may be.
pub struct Ballast {
    start: *mut u8,
    /// How many pages from the start on are mapped differently from the next.
    pages: usize,
}

const PAGE: usize = 4096;

impl Ballast {
    /// As many as the system allows.
    fn new() -> Ballast {
        let most = usage::most_maps();
        let ballast = Ballast::of(most + 2);
        assert!(ballast.pages > most - 1000, "{} of {most} mappings could be made", ballast.pages);
        ballast
    }

    /// So many, or as many as the system allows.
    pub fn of(count: usize) -> Ballast {
        let (access, flags) = (libc::PROT_NONE, libc::MAP_PRIVATE | libc::MAP_ANON | libc::MAP_NORESERVE);
        // SAFETY: a new mapping.
        let start = unsafe { libc::mmap(ptr::null_mut(), (count + 1) * PAGE, access, flags, -1, 0) };
        assert_ne!(start, libc::MAP_FAILED);
        let mut ballast = Ballast { start: start.cast(), pages: 0 };
        while ballast.pages < count && ballast.protect(ballast.pages, libc::PROT_READ) {
            ballast.pages += 2;
        }
        ballast
    }

    fn protect(&self, page: usize, access: i32) -> bool {
        // SAFETY: the pages are this value's, and nobody looks at them.
        unsafe { libc::mprotect(self.start.add(page * PAGE).cast(), PAGE, access) == 0 }
    }

    /// Makes room for two mappings.
    fn lighten(&mut self) {
        self.pages -= 2;
        assert!(self.protect(self.pages, libc::PROT_NONE));
    }
}

impl Drop for Ballast {
    fn drop(&mut self) {
        while self.pages > 0 {
            self.lighten();
        }
    }
}

#[test]
fn too_few_mappings_are_an_error_and_leave_nothing() {
    if !usage::maps_can_be_used_up() {
        return;
    }
    child::alone("scarcity::too_few_mappings_are_an_error_and_leave_nothing", || {
        let guest = Guest::new();
        for config in [configs().swap_remove(0), Config::new()] {
            all(&config, &guest).unwrap();
            let engine = Engine::new(&config).unwrap();
            let pres = guest.load(&engine).unwrap();
            intact(&engine, &pres);
            let mut ballast = Ballast::new();
            let full = usage::maps();
            let (mut whole, mut part) = (Outcomes::default(), Outcomes::default());
            for step in 0..40 {
                whole.note(all(&config, &guest));
                part.note(instances(&pres[0], &pres[1]));
                if step % 8 == 0 {
                    // Neither more, nor fewer but for what is lighter.
                    let now = usage::maps();
                    assert!(now <= full + 1, "{full} mappings, then {now}");
                }
                ballast.lighten();
            }
            whole.assert_mixed();
            assert!(part.well > 0, "{part:?}");
            drop(ballast);
            intact(&engine, &pres);
            all(&config, &guest).unwrap();
        }
    });
}

#[test]
fn pools_that_nobody_can_have_are_refused_before_they_take_memory() {
    child::alone("scarcity::pools_that_nobody_can_have_are_refused_before_they_take_memory", || {
        drop(Engine::new(&guests::pool(2)).unwrap());
        let before = Usage::now();
        for strategy in guests::STRATEGIES {
            for count in [1 << 20, u32::MAX - 1, u32::MAX] {
                let error = Engine::new(&guests::pool_with(count, strategy)).unwrap_err();
                let size = error.downcast_ref::<PoolSizeError>().unwrap();
                assert_eq!(size.slots, count);
                assert!((1000..count).contains(&size.largest), "{error}");
                // What it says can be had.
                drop(Engine::new(&guests::pool_with(size.largest, strategy)).unwrap());
                before.assert_flat(0, 16 << 10);
            }
        }
    });
}
