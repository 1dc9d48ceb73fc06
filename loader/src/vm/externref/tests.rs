use super::*;
use std::collections::{BTreeSet, HashMap, HashSet};
use std::hash::DefaultHasher;
use std::panic::{AssertUnwindSafe, catch_unwind, resume_unwind};
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::thread;

/// Counts how often it is dropped.
struct Counted(Arc<AtomicUsize>);

impl Drop for Counted {
    fn drop(&mut self) {
        self.0.fetch_add(1, Relaxed);
    }
}

fn counted() -> (Arc<AtomicUsize>, Counted) {
    let drops = Arc::new(AtomicUsize::new(0));
    (drops.clone(), Counted(drops))
}

fn hash_of(reference: &VMExternRef) -> u64 {
    let mut hasher = DefaultHasher::new();
    VMExternRef::hash(reference, &mut hasher);
    hasher.finish()
}

#[test]
fn an_option_is_one_pointer_and_none_is_null() {
    assert_eq!(size_of::<VMExternRef>(), size_of::<usize>());
    assert_eq!(size_of::<Option<VMExternRef>>(), size_of::<usize>());
    // SAFETY: both are one pointer.
    let none: *mut u8 = unsafe { mem::transmute::<Option<VMExternRef>, *mut u8>(None) };
    assert!(none.is_null());
    let some = VMExternRef::new(1u8);
    let raw = some.as_raw();
    // SAFETY: as above; the value is made a reference again below.
    let same: *mut u8 = unsafe { mem::transmute::<Option<VMExternRef>, *mut u8>(Some(some)) };
    assert_eq!(raw, same);
    // SAFETY: of the reference just taken apart.
    drop(unsafe { VMExternRef::from_raw(same) });
}

#[test]
fn values_of_any_size_and_alignment_are_where_they_belong_and_found_by_type() {
    #[repr(align(256))]
    #[derive(Debug, PartialEq)]
    struct Aligned([u8; 300]);
    #[repr(align(64))]
    struct Empty;

    let aligned = VMExternRef::new(Aligned([7; 300]));
    let value: &Aligned = aligned.downcast_ref().unwrap();
    assert_eq!(std::ptr::from_ref(value).addr() % 256, 0);
    assert_eq!(value, &Aligned([7; 300]));
    let (unit, other) = (VMExternRef::new(()), VMExternRef::new(()));
    assert!(unit.is::<()>() && !unit.is::<u8>() && unit.downcast_ref::<u8>().is_none());
    assert!(!VMExternRef::eq(&unit, &other));
    let empty = VMExternRef::new(Empty);
    assert_eq!(std::ptr::from_ref(empty.downcast_ref::<Empty>().unwrap()).addr() % 64, 0);
    let text = VMExternRef::new("text");
    assert_eq!(text.downcast_ref::<&str>(), Some(&"text"));
    let boxed: VMExternRef = VMExternRef::new(vec![1u64; 1000]);
    assert_eq!(boxed.downcast_ref::<Vec<u64>>().unwrap().len(), 1000);
}

#[test]
fn the_last_reference_drops_the_value_once() {
    let (drops, value) = counted();
    let first = VMExternRef::new(value);
    let clones: Vec<VMExternRef> = (0..10).map(|_| first.clone()).collect();
    assert_eq!(first.strong_count(), 11);
    drop(first);
    assert_eq!((clones[0].strong_count(), drops.load(Relaxed)), (10, 0));
    drop(clones);
    assert_eq!(drops.load(Relaxed), 1);
}

#[test]
fn raw_pointers_are_counted_as_they_say() {
    let (drops, value) = counted();
    let first = VMExternRef::new(value);
    let raw = first.as_raw();
    assert_eq!(first.strong_count(), 1);
    // SAFETY: `first` exists.
    let second = unsafe { VMExternRef::clone_from_raw(raw) };
    assert!(VMExternRef::eq(&first, &second) && first.strong_count() == 2);
    let given = first.into_raw();
    assert_eq!((given, second.strong_count()), (raw, 2));
    // SAFETY: `given` stands for a reference.
    let third = unsafe { VMExternRef::clone_from_raw(given) };
    assert_eq!(third.strong_count(), 3);
    // SAFETY: `given` came from `into_raw`, once.
    let first = unsafe { VMExternRef::from_raw(given) };
    drop((second, third));
    assert_eq!((first.strong_count(), drops.load(Relaxed)), (1, 0));
    drop(first);
    assert_eq!(drops.load(Relaxed), 1);
}

#[test]
fn a_closure_that_panics_leaves_nothing_behind() {
    let (drops, value) = counted();
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        VMExternRef::new_with(|| {
            let value = value;
            if value.0.load(Relaxed) == 0 {
                panic!("on purpose");
            }
            value
        })
    }));
    assert!(outcome.is_err());
    assert_eq!((drops.load(Relaxed), Arc::strong_count(&drops)), (1, 1));
    let made = VMExternRef::new_with(|| [1u32; 3]);
    assert_eq!(made.downcast_ref(), Some(&[1u32; 3]));
}

#[test]
fn a_destructor_that_panics_runs_once_and_lets_the_rest_be_dropped() {
    struct Angry(#[allow(dead_code, reason = "dropped after the panic")] Counted);
    impl Drop for Angry {
        fn drop(&mut self) {
            panic!("on purpose");
        }
    }
    let (drops, value) = counted();
    let reference = VMExternRef::new(Angry(value));
    let other = reference.clone();
    drop(reference);
    assert!(catch_unwind(AssertUnwindSafe(|| drop(other))).is_err());
    assert_eq!((drops.load(Relaxed), Arc::strong_count(&drops)), (1, 1));
}

#[test]
fn equality_order_and_hash_are_those_of_the_address() {
    let mut all: Vec<VMExternRef> = (0..20).map(|_| VMExternRef::new(5u32)).collect();
    all.extend(all.clone());
    all.sort_by(VMExternRef::cmp);
    for pair in all.chunks(2) {
        assert!(VMExternRef::eq(&pair[0], &pair[1]));
        assert_eq!(VMExternRef::cmp(&pair[0], &pair[1]), Ordering::Equal);
        assert_eq!(hash_of(&pair[0]), hash_of(&pair[1]));
    }
    for pair in all.windows(3) {
        assert!(!VMExternRef::eq(&pair[0], &pair[2]));
        assert_eq!(VMExternRef::cmp(&pair[0], &pair[2]), Ordering::Less);
        assert_eq!(VMExternRef::cmp(&pair[2], &pair[0]), Ordering::Greater);
    }
    let hashes: HashSet<u64> = all.iter().map(hash_of).collect();
    let addresses: BTreeSet<*mut u8> = all.iter().map(VMExternRef::as_raw).collect();
    assert_eq!((hashes.len(), addresses.len()), (20, 20));
}

#[test]
fn a_value_can_be_changed_by_its_only_owner() {
    let mut reference = VMExternRef::new(1u32);
    *reference.get_mut().unwrap().downcast_mut::<u32>().unwrap() += 1;
    let other = reference.clone();
    assert!(reference.get_mut().is_none());
    drop(reference);
    let mut other = other;
    assert_eq!(other.get_mut().unwrap().downcast_mut::<u32>(), Some(&mut 2));
}

#[test]
fn threads_share_a_value_and_one_of_them_drops_it() {
    const ROUNDS: usize = if cfg!(miri) { 20 } else { 2000 };
    let (drops, value) = counted();
    let first = VMExternRef::new((value, String::from("shared")));
    let workers: Vec<_> = (0..4)
        .map(|worker| {
            let mut own = first.clone();
            thread::spawn(move || {
                let mut held = Vec::new();
                for round in 0..ROUNDS {
                    held.push(own.clone());
                    if round % 7 == worker {
                        held.clear();
                    }
                    let raw = own.into_raw();
                    // SAFETY: `raw` stands for a reference.
                    own = unsafe { VMExternRef::from_raw(raw) };
                    assert_eq!(own.downcast_ref::<(Counted, String)>().unwrap().1, "shared");
                }
            })
        })
        .collect();
    drop(first);
    for worker in workers {
        worker.join().unwrap_or_else(|panic| resume_unwind(panic));
    }
    assert_eq!((drops.load(Relaxed), Arc::strong_count(&drops)), (1, 1));
}

/// Any sequence of operations keeps the number of references that a plain
/// list of them says, and drops what nobody refers to at once.
#[test]
fn counts_are_as_in_a_model() {
    const STEPS: usize = if cfg!(miri) { 300 } else { 20_000 };
    let mut seed = 0x9e37_79b9_7f4a_7c15u64;
    let mut random = |below: usize| {
        seed ^= seed << 13;
        seed ^= seed >> 7;
        seed ^= seed << 17;
        (seed >> 33) as usize % below
    };
    let mut held: Vec<(usize, VMExternRef)> = Vec::new();
    let mut raw: Vec<(usize, *mut u8)> = Vec::new();
    let mut drops: Vec<Arc<AtomicUsize>> = Vec::new();
    for step in 0..STEPS {
        match random(6) {
            0 => {
                let (count, value) = counted();
                held.push((drops.len(), VMExternRef::new_with(move || (step, value))));
                drops.push(count);
            }
            1 if !held.is_empty() => {
                let (id, reference) = &held[random(held.len())];
                held.push((*id, reference.clone()));
            }
            2 if !held.is_empty() => {
                let (id, reference) = held.swap_remove(random(held.len()));
                raw.push((id, reference.into_raw()));
            }
            3 if !raw.is_empty() => {
                let (id, pointer) = raw.swap_remove(random(raw.len()));
                // SAFETY: from `into_raw`, and no longer in the list.
                held.push((id, unsafe { VMExternRef::from_raw(pointer) }));
            }
            4 if !raw.is_empty() => {
                let (id, pointer) = raw[random(raw.len())];
                // SAFETY: the pointer in the list stands for a reference.
                held.push((id, unsafe { VMExternRef::clone_from_raw(pointer) }));
            }
            _ if !held.is_empty() => drop(held.swap_remove(random(held.len()))),
            _ => {}
        }
        if step % 64 == 0 {
            let mut counts: HashMap<usize, usize> = HashMap::new();
            for id in held.iter().map(|(id, _)| id).chain(raw.iter().map(|(id, _)| id)) {
                *counts.entry(*id).or_default() += 1;
            }
            assert!(held.iter().all(|(id, reference)| reference.strong_count() == counts[id]));
            for (id, count) in drops.iter().enumerate() {
                assert_eq!(count.load(Relaxed), usize::from(!counts.contains_key(&id)), "value {id} in step {step}");
            }
        }
    }
    for (_, pointer) in raw {
        // SAFETY: from `into_raw`.
        drop(unsafe { VMExternRef::from_raw(pointer) });
    }
    drop(held);
    assert!(drops.iter().all(|count| count.load(Relaxed) == 1));
}
