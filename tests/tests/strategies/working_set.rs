//! Working sets: pages that are fetched before they are needed.

use super::settings::Setting;
use super::{call, compile, module, pre, try_load};
use wasmc_artifacts::format::Artifact;
use wasmc_loader::{Engine, Error, Module, PageRange, Result, Store, WorkingSet, WorkingSetError};
use wasmc_tests::kernel_tells_written_pages;

const TRAINED: &str = r#"(module (memory (export "memory") 64) (memory (export "other") 2)
    (data (i32.const 12300) "here") (data (i32.const 1000000) "there")
    (func (export "train") (param i32)
        (i32.store (i32.const 12288) (local.get 0))
        (i32.store (i32.const 999999) (local.get 0))
        (memory.fill (i32.const 2097152) (i32.const 1) (i32.const 20000))
        (i32.store 1 (i32.const 65536) (local.get 0))))"#;

/// What `train` writes, in pages of 4 KiB.
const WRITTEN: [(u32, u32, u32); 4] = [(0, 3, 1), (0, 244, 1), (0, 512, 5), (1, 16, 1)];

/// The hash of the WebAssembly that a text is compiled from.
pub fn source(text: &str) -> [u8; 32] {
    let artifact = compile(text);
    Artifact::parse(&artifact).unwrap().header().source_hash
}

fn ranges(set: &WorkingSet) -> Vec<(u32, u32, u32)> {
    set.ranges().iter().map(|range| (range.memory, range.first, range.pages)).collect()
}

fn by_hand(text: &str, ranges: &[(u32, u32, u32)]) -> WorkingSet {
    let range = |(memory, first, pages): &(u32, u32, u32)| PageRange { memory: *memory, first: *first, pages: *pages };
    WorkingSet::new(source(text), ranges.iter().map(range).collect()).unwrap()
}

/// Whether this is how a system that cannot tell says so: an older Linux, every
/// other system, and the part of the loader that is for them.
fn cannot_tell(error: &Error) -> bool {
    (cfg!(feature = "portable-unix") || !kernel_tells_written_pages())
        && error.to_string().contains("does not tell which pages were written")
        && error.to_string().contains("Linux 6.7")
}

/// Trains a module in a store of its own.
fn train(module: &Module) -> Result<WorkingSet> {
    let mut store = Store::new(module.engine(), ());
    let instance = pre(module).instantiate(&mut store)?;
    call::<i32, (), ()>(&mut store, instance, "train", 7)?;
    module.record_working_set(&store, &instance)
}

pub fn a_recorded_working_set_changes_nothing_that_can_be_seen(setting: &Setting) {
    let engine = setting.engine();
    let module = module(&engine, TRAINED);
    let mut guest = setting.guest_of::<()>(&module, |_| {});
    let mut first = None;
    for round in 0..6 {
        if round == 2 {
            // The guest may have the only slot.
            let recorded = guest.with((), |store, instance| {
                call::<i32, (), ()>(store, instance, "train", 7).unwrap();
                module.record_working_set(&*store, &instance)
            });
            match recorded {
                Ok(set) => {
                    let found = ranges(&set);
                    // More may be there: copies of the image, or what was kept.
                    for (memory, start, pages) in WRITTEN {
                        let covers = |r: &&(u32, u32, u32)| r.0 == memory && r.1 <= start && r.1 + r.2 >= start + pages;
                        assert!(found.iter().any(|r| covers(&r)), "{found:?}");
                    }
                }
                Err(error) => {
                    assert!(cannot_tell(&error), "{error:?}");
                    module.set_working_set(&by_hand(TRAINED, &WRITTEN)).unwrap();
                }
            }
        }
        guest.with((), |store, instance| {
            let content = ["memory", "other"].map(|name| {
                let memory = instance.get_memory(&mut *store, name).unwrap();
                memory.data(&*store).to_vec()
            });
            assert!(*first.get_or_insert(content.clone()) == content, "round {round}");
            call::<i32, (), ()>(store, instance, "train", round).unwrap();
        });
    }
    let first = first.unwrap();
    assert_eq!((&first[0][12_300..12_304], &first[0][1_000_000..1_000_005]), (&b"here"[..], &b"there"[..]));
}

#[test]
fn what_is_recorded_is_what_was_written() {
    let module = module(&Engine::default(), TRAINED);
    match train(&module) {
        Ok(set) => {
            assert_eq!(ranges(&set), WRITTEN);
            assert_eq!((*set.source(), set.pages()), (source(TRAINED), 8));
            assert_eq!(WorkingSet::parse(set.to_text().as_bytes()).unwrap(), set);
        }
        Err(error) => assert!(cannot_tell(&error), "{error:?}"),
    }
}

#[test]
fn a_working_set_of_another_module_is_refused() {
    let engine = Engine::default();
    let (one, other) = (module(&engine, TRAINED), module(&engine, "(module (memory 64) (memory 2))"));
    let error = other.set_working_set(&by_hand(TRAINED, &WRITTEN)).unwrap_err();
    assert!(matches!(error.downcast_ref(), Some(WorkingSetError::Source { .. })), "{error:?}");
    let mut store = Store::new(&engine, ());
    let instance = pre(&one).instantiate(&mut store).unwrap();
    let error = other.record_working_set(&store, &instance).unwrap_err();
    assert!(error.to_string().contains("an instance of the same module"), "{error}");
    for ranges in [[(0, 1023, 2)], [(1, 32, 1)], [(2, 0, 1)]] {
        one.set_working_set(&by_hand(TRAINED, &ranges)).unwrap_err();
    }
    one.set_working_set(&by_hand(TRAINED, &[(0, 1023, 1), (1, 31, 1)])).unwrap();
}

#[cfg(target_os = "linux")]
mod effect {
    use super::super::settings::{Setting, Way};
    use super::super::smaps::resident;
    use super::*;
    use wasmc_loader::InstancePre;

    /// Bytes of its own of each memory of a new instance that nobody touched.
    fn untouched(pre: &InstancePre<()>) -> [usize; 2] {
        let mut store = Store::new(pre.module().engine(), ());
        let instance = pre.instantiate(&mut store).unwrap();
        ["memory", "other"].map(|name| {
            let start = instance.get_memory(&mut store, name).unwrap().data_ptr(&store) as usize;
            resident(start..start + (4 << 30)).own
        })
    }

    #[test]
    fn a_new_slot_has_the_pages_of_the_working_set_before_they_are_touched() {
        for name in super::super::SETTINGS {
            let setting = Setting::named(name);
            if setting.way != Way::Anew || !setting.strategy.is_copy_on_write() {
                continue;
            }
            let fresh = module(&setting.engine(), TRAINED);
            assert_eq!(untouched(&pre(&fresh)), [0, 0], "{name}");
            let module = module(&setting.engine(), TRAINED);
            module.set_working_set(&by_hand(TRAINED, &WRITTEN)).unwrap();
            assert_eq!(untouched(&pre(&module)), [7 * 4096, 4096], "{name}");
        }
    }

    #[test]
    fn the_working_set_of_an_artifact_is_used_and_can_be_replaced() {
        let engine = Engine::default();
        let options = wasmc::Options { working_set: Some(by_hand(TRAINED, &WRITTEN)), ..wasmc::Options::new() };
        let artifact = wasmc::compile(&wat::parse_str(TRAINED).unwrap(), &options).unwrap();
        let module = try_load(&engine, &artifact).unwrap();
        let pre = pre(&module);
        assert_eq!(untouched(&pre), [7 * 4096, 4096]);
        module.set_working_set(&by_hand(TRAINED, &[(1, 0, 2)])).unwrap();
        assert_eq!(untouched(&pre), [0, 2 * 4096]);
        module.set_working_set(&by_hand(TRAINED, &[])).unwrap();
        assert_eq!(untouched(&pre), [0, 0]);
    }
}
