//! Nothing of one tenant reaches the next.

use crate::guest::{self, GUESTS, Guest, Host, PAGE, Poke, artifact, call, number};
use crate::kinds::{self, Kind, Place};
use crate::state::State;
use crate::ways::{self, Way};
use std::sync::OnceLock;
use wasmc_loader::{Engine, ExternRef, Instance, Ref, Store, Trap, Val};
use wasmc_tests::rng::{Rng, rounds};

/// What a guest looks like at first.
pub fn first(guest: usize) -> &'static State {
    static STATES: [OnceLock<State>; GUESTS.len()] = [const { OnceLock::new() }; GUESTS.len()];
    STATES[guest].get_or_init(|| {
        let pre = guest::pre(&kinds::fresh(), artifact(guest));
        let mut store = Store::new(pre.module().engine(), Host::default());
        let instance = pre.instantiate(&mut store).unwrap();
        State::of(&mut store, instance)
    })
}

/// Checks that an instance is as at first.
pub fn check(store: &mut Store<Host>, instance: Instance, guest: usize, after: impl Fn() -> String) {
    let length = GUESTS[guest].pages << 16;
    // First, since looking at the bytes makes them resident.
    for name in ["peek", "peek_n"] {
        for beyond in [length, length + PAGE, length + (1 << 16), (59 << 16) + 5] {
            let error = number(store, instance, name, beyond).expect_err("an access out of bounds succeeds");
            assert_eq!(error.downcast_ref(), Some(&Trap::MemoryOutOfBounds), "{}", after());
        }
    }
    if let Some(difference) = State::of(store, instance).difference(first(guest)) {
        panic!("{}: {difference}", after());
    }
}

/// Fills all that a guest can reach.
fn fill(store: &mut Store<Host>, instance: Instance, Guest { pages, .. }: Guest) {
    for (memory, grow, write) in [("m", "grow", "fill"), ("n", "grow_n", "fill_n")] {
        assert_eq!(number(store, instance, grow, 20).unwrap(), pages as i32);
        call(store, instance, write, 0, (pages + 20) << 16).unwrap();
        let memory = instance.get_memory(&mut *store, memory).unwrap();
        assert!(memory.data(&*store).iter().all(|byte| *byte == guest::PATTERN));
    }
    let value = ExternRef::new(&mut *store, 5u32).unwrap();
    instance.get_typed_func::<(), ()>(&mut *store, "grow_tables").unwrap().call(&mut *store, ()).unwrap();
    let change = instance.get_func(&mut *store, "change_tables").unwrap();
    change.call(&mut *store, &[Val::ExternRef(Some(value))], &mut []).unwrap();
    instance.get_typed_func::<(), ()>(&mut *store, "drop_segments").unwrap().call(&mut *store, ()).unwrap();
    let table = instance.get_table(&mut *store, "t").unwrap();
    let size = table.size(&*store);
    table.set(&mut *store, size - 1, Ref::Func(None)).unwrap();
    for (name, value) in
        [("i", Val::I32(-1)), ("l", Val::I64(-1)), ("f", Val::FuncRef(None)), ("x", Val::ExternRef(Some(value)))]
    {
        instance.get_global(&mut *store, name).unwrap().set(&mut *store, value).unwrap();
    }
    instance.get_global(&mut *store, "v").unwrap().set(&mut *store, Val::V128(u128::MAX.into())).unwrap();
}

/// What a filled instance does last.
const ENDS: [&str; 5] = ["returns", "traps", "fails", "panics", "moves"];

fn end(end: &str, mut store: Store<Host>, instance: Instance) -> Store<Host> {
    let ways: &[Way] = match end {
        "returns" => &[],
        "traps" => &[Way::Trap("trap"), Way::Trap("outside")],
        "fails" => &[Way::Host(Poke::Fail)],
        "panics" => &[Way::Host(Poke::Panic)],
        _ => &[Way::CallElsewhere("fill")],
    };
    for way in ways {
        store = way.write(store, instance, 0, 1);
    }
    store
}

fn use_segments(store: &mut Store<Host>, instance: Instance) {
    let used = instance.get_typed_func::<(), ()>(&mut *store, "use_segments").unwrap().call(store, ());
    used.unwrap_or_else(|e| panic!("dropped segments stay dropped: {e:?}"));
}

#[test]
fn what_fills_all_that_it_can_reach_leaves_nothing_to_the_next_of_its_kind() {
    for kind in kinds::all() {
        let engine = kind.engine();
        for (guest, size) in GUESTS.into_iter().enumerate() {
            let mut place = Place::new(kind.way, guest::pre(&engine, artifact(guest)));
            for round in 0..rounds(ENDS.len()) {
                let (mut store, instance) = place.next();
                check(&mut store, instance, guest, || format!("{}, guest {guest}, round {round}", kind.name));
                use_segments(&mut store, instance);
                fill(&mut store, instance, size);
                let store = end(ENDS[round % ENDS.len()], store, instance);
                place.leave(store, instance);
            }
        }
    }
}

/// One tenant of a random module after the other, in the same slots.
fn succession(kind: &Kind, engine: &Engine, rng: &mut Rng) {
    let places = (0..GUESTS.len()).map(|guest| guest::pre(engine, artifact(guest)));
    let mut places: Vec<Place<Host>> = places.map(|pre| Place::new(kind.way, pre)).collect();
    let mut before = None;
    for round in 0..rounds(12) {
        let guest = rng.below(GUESTS.len());
        if rng.below(6) == 0 {
            // The slots of a module that is gone are used by others.
            places[guest] = Place::new(kind.way, guest::pre(engine, artifact(guest)));
        }
        let (mut store, instance) = places[guest].next();
        check(&mut store, instance, guest, || format!("{}: guest {guest} after {before:?}, round {round}", kind.name));
        if rng.below(3) > 0 {
            fill(&mut store, instance, GUESTS[guest]);
        }
        let last = rng.pick(&ENDS);
        drop(end(last, store, instance));
        before = Some((guest, last));
    }
}

#[test]
fn tenants_of_other_modules_leave_nothing_either() {
    let mut rng = Rng::new(1);
    for kind in kinds::all().iter().filter(|kind| !kind.stays()) {
        let engine = kind.engine();
        succession(kind, &engine, &mut rng);
    }
}

/// Ranges to write to, by what is special about them, in a memory of `length`
/// bytes of which the first page of each 64 KiB is written in quiet rounds.
fn spots(length: usize) -> Vec<(&'static str, Vec<(usize, usize)>)> {
    let every = |step: usize, count: usize| -> Vec<(usize, usize)> {
        (0..count).map(|i| (2 * PAGE + i * step * PAGE, 1)).filter(|(at, _)| at + 1 < length).collect()
    };
    vec![
        ("a page that is resident", vec![(64, 8)]),
        ("a page that is not", vec![(5 * PAGE + 7, 8)]),
        ("a range that is partly resident", vec![(PAGE - 100, PAGE)]),
        ("more ranges than are remembered", every(2, 40)),
        ("more ranges than are asked for", every(2, 90)),
        ("many ranges, all over", every(5, 60)),
        ("the last byte", vec![(length - 1, 1)]),
        ("everything", vec![(0, length)]),
    ]
}

/// What happens in every quiet round.
fn quiet(place: &mut Place<Host>) {
    place.with(|store, instance| {
        call(store, instance, "fill", 0, 16).unwrap();
        call(store, instance, "fill", 1 << 16, 2 * PAGE).unwrap();
    });
}

/// Lets one tenant deviate from what those before have done, and looks at the
/// next one.
fn deviate(kind: &Kind, guest: usize, place: &mut Place<Host>, way: Way, spot: &(&str, Vec<(usize, usize)>), n: usize) {
    for _ in 0..n {
        quiet(place);
    }
    let (mut store, instance) = place.next();
    // Sometimes pages are read first, so that they are mapped, but not its own.
    if n.is_multiple_of(2) {
        for (at, _) in &spot.1 {
            number(&mut store, instance, "peek", *at).unwrap();
        }
    }
    let room = if way.needs_slot() { kind.slots() - 1 } else { usize::MAX };
    for (at, length) in spot.1.iter().take(room) {
        store = way.write(store, instance, *at, (*length).max(1));
    }
    place.leave(store, instance);
    // In a pool of several slots, one of the next tenants has the slot.
    for _ in 0..kind.slots() {
        place.with(|store, instance| {
            check(store, instance, guest, || {
                format!("{}, guest {guest}: {way:?} to {} after {n} quiet rounds", kind.name, spot.0)
            });
        });
    }
}

#[test]
fn whatever_deviates_from_quiet_rounds_is_seen() {
    let mut rng = Rng::new(2);
    for kind in kinds::all() {
        let engine = kind.engine();
        for guest in [1, 2] {
            let mut place = Place::new(kind.way, guest::pre(&engine, artifact(guest)));
            let spots = spots(GUESTS[guest].pages << 16);
            let fits = |way: &Way| !way.needs_slot() || (kind.slots() > 1 && !kind.stays());
            for way in ways::ALL.iter().filter(|way| fits(way)) {
                for _ in 0..rounds(1) {
                    let spot = rng.below(spots.len());
                    // Of 32 quiet rounds in a row, one compares pages.
                    let quiet = rng.pick(&[0, 3, 4, 12, 33]);
                    deviate(&kind, guest, &mut place, *way, &spots[spot], quiet);
                }
            }
        }
    }
}
