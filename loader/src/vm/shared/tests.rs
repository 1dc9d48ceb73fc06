use super::*;
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::sync::mpsc;
use std::thread;

/// Runs threads one at a time, in every order that there is.
pub(super) mod schedule {
    use std::cell::RefCell;
    use std::sync::{Arc, Condvar, Mutex, PoisonError};
    use std::thread;

    type Task<'a> = Box<dyn FnOnce() + Send + 'a>;

    #[derive(Default)]
    struct State {
        /// Threads that are between two steps.
        running: usize,
        waiting: Vec<bool>,
        /// Whose step is next, or being made.
        turn: usize,
        /// How often a thread may still be interrupted that could go on.
        interruptions: usize,
        /// The decisions so far: which, and of how many.
        path: Vec<(usize, usize)>,
        depth: usize,
    }

    #[derive(Default)]
    struct Scheduler {
        state: Mutex<State>,
        changed: Condvar,
    }

    struct Participant {
        scheduler: Arc<Scheduler>,
        number: usize,
    }

    thread_local! {
        static PARTICIPANT: RefCell<Option<Participant>> = const { RefCell::new(None) };
    }

    impl State {
        /// The last running thread has stopped: says who is next.
        fn decide(&mut self) {
            let mut options: Vec<usize> = (0..self.waiting.len()).filter(|&i| self.waiting[i]).collect();
            if let Some(same) = options.iter().position(|&i| i == self.turn) {
                options.swap(0, same);
                options.truncate(if self.interruptions == 0 { 1 } else { options.len() });
            }
            let Some(most) = options.len().checked_sub(1) else { return };
            if self.depth == self.path.len() {
                self.path.push((0, most));
            }
            let (choice, expected) = self.path[self.depth];
            assert_eq!(most, expected, "the threads behave differently under the same schedule");
            self.depth += 1;
            if options[0] == self.turn && choice > 0 {
                self.interruptions -= 1;
            }
            self.turn = options[choice];
            self.waiting[self.turn] = false;
            self.running = 1;
        }
    }

    impl Participant {
        fn step(&self) {
            let mut state = self.scheduler.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.waiting[self.number] = true;
            state.running -= 1;
            if state.running == 0 {
                state.decide();
                self.scheduler.changed.notify_all();
            }
            while state.waiting[self.number] {
                state = self.scheduler.changed.wait(state).unwrap_or_else(PoisonError::into_inner);
            }
        }
    }

    impl Drop for Participant {
        fn drop(&mut self) {
            let mut state = self.scheduler.state.lock().unwrap_or_else(PoisonError::into_inner);
            state.running -= 1;
            if state.running == 0 {
                state.decide();
                self.scheduler.changed.notify_all();
            }
        }
    }

    /// Where another thread may go on instead, if this one is scheduled here.
    pub(in super::super) fn step() {
        // Of a thread that is ending nothing is left to ask.
        let _ = PARTICIPANT.try_with(|participant| {
            if let Some(participant) = &*participant.borrow() {
                participant.step();
            }
        });
    }

    /// Runs `tasks` once for each order of their steps in which no more than
    /// `interruptions` times a thread waits that could go on; how many those
    /// are.
    pub(super) fn explore<'a>(interruptions: usize, mut tasks: impl FnMut() -> (Vec<Task<'a>>, Task<'a>)) -> usize {
        let mut path: Vec<(usize, usize)> = Vec::new();
        for runs in 1.. {
            let (tasks, check) = tasks();
            let scheduler = Arc::new(Scheduler::default());
            {
                let mut state = scheduler.state.lock().unwrap();
                *state = State { running: tasks.len(), waiting: vec![false; tasks.len()], ..State::default() };
                (state.turn, state.interruptions, state.path) = (usize::MAX, interruptions, std::mem::take(&mut path));
            }
            thread::scope(|scope| {
                for (number, task) in tasks.into_iter().enumerate() {
                    let participant = Participant { scheduler: scheduler.clone(), number };
                    scope.spawn(move || {
                        PARTICIPANT.set(Some(participant));
                        step();
                        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(task));
                        drop(PARTICIPANT.take());
                        result.unwrap_or_else(|panic| std::panic::resume_unwind(panic));
                    });
                }
            });
            check();
            path = std::mem::take(&mut scheduler.state.lock().unwrap().path);
            while path.last().is_some_and(|(choice, most)| choice == most) {
                path.pop();
            }
            match path.last_mut() {
                Some((choice, _)) => *choice += 1,
                None => return runs,
            }
        }
        unreachable!("there are fewer orders than numbers")
    }
}

/// Counts how often it is dropped.
#[derive(Debug)]
struct Probe(Arc<AtomicUsize>);

impl Drop for Probe {
    fn drop(&mut self) {
        self.0.fetch_add(1, Ordering::SeqCst);
    }
}

/// Asks from outside whether the value is alive.
#[derive(Clone, Default)]
struct Witness(Arc<AtomicUsize>);

impl Witness {
    fn probe(&self) -> Probe {
        Probe(self.0.clone())
    }

    fn dropped(&self) -> usize {
        self.0.load(Ordering::SeqCst)
    }

    #[track_caller]
    fn alive(&self) {
        assert_eq!(self.dropped(), 0, "dropped while there was a reference");
    }
}

type Probes = Shared<Probe>;
type Task = fn(Probes, &Witness);

fn two_shards(witness: &Witness) -> Probes {
    let shards = (0..2).map(|_| Padded(Count::new(0))).collect();
    Shared::make(witness.probe(), Counts { central: Padded(Count::new(1)), shards })
}

fn lease_in<T>(shard: usize, handle: &Shared<T>) -> Lease<Shared<T>> {
    SHARD.set(shard);
    Lease::of(handle)
}

/// Explores what threads do that each get a handle and a lease, and fails if
/// the value is ever dropped too early, or not exactly once.
fn explore(interruptions: usize, tasks: &[(usize, Task)]) -> usize {
    schedule::explore(interruptions, || {
        let witness = Witness::default();
        let first = two_shards(&witness);
        let run = tasks
            .iter()
            .map(|&(shard, task)| {
                let (handle, witness) = (first.clone(), witness.clone());
                Box::new(move || {
                    SHARD.set(shard);
                    task(handle, &witness);
                }) as Box<dyn FnOnce() + Send>
            })
            .collect();
        drop(first);
        let check = Box::new(move || assert_eq!(witness.dropped(), 1, "not dropped exactly once"));
        (run, check)
    })
}

/// A lease that outlives the thread's handle.
fn outlive(handle: Probes, witness: &Witness) {
    let lease = Lease::of(&handle);
    drop(handle);
    witness.alive();
    drop(lease);
}

/// A lease that is exchanged for one in the other shard.
fn migrate(handle: Probes, witness: &Witness) {
    let old = Lease::of(&handle);
    drop(handle);
    let new = lease_in(1 - old.shard, &old);
    drop(old);
    witness.alive();
    drop(new);
}

/// A handle made of a lease, perhaps after all others are gone.
fn revive(handle: Probes, witness: &Witness) {
    let lease = Lease::of(&handle);
    drop(handle);
    let handle = lease.clone();
    drop(lease);
    witness.alive();
    drop(handle);
}

/// A lease made of a handle made of a lease.
fn renew(handle: Probes, witness: &Witness) {
    let lease = Lease::of(&handle);
    drop(handle);
    let handle = lease.clone();
    drop(lease);
    let lease = Lease::of(&handle);
    drop(handle);
    witness.alive();
    drop(lease);
}

#[test]
fn the_value_is_dropped_once_and_last_in_every_order_of_two_threads() {
    for other in [outlive, migrate, revive] {
        let orders = explore(usize::MAX, &[(0, outlive), (1, other)]);
        assert!(orders > 100, "{orders} orders only");
    }
}

#[test]
fn the_value_is_dropped_once_and_last_with_few_interruptions_of_longer_threads() {
    let orders = explore(4, &[(0, migrate), (0, revive)]) + explore(4, &[(0, migrate), (1, renew)]);
    assert!(orders > 500, "{orders} orders only");
    let orders = explore(2, &[(0, migrate), (1, renew), (0, outlive)]);
    assert!(orders > 500, "{orders} orders only");
}

#[test]
fn a_lease_keeps_the_value_and_gives_handles_when_the_last_handle_is_gone() {
    let witness = Witness::default();
    for make in [Shared::new, Shared::small] {
        let handle = make(witness.probe());
        let (a, b) = (Lease::of(&handle), Lease::of(&handle));
        drop(handle);
        drop(a);
        let late = Lease::of(&*b);
        let revived = b.clone();
        assert!(Shared::same(&revived, &late));
        drop((b, late));
        assert!(Arc::ptr_eq(&revived.0, &witness.0));
        let last = Lease::of(&revived);
        drop(revived);
        witness.alive();
        drop(last);
        assert_eq!(witness.0.swap(0, Ordering::SeqCst), 1);
    }
}

#[test]
fn a_lease_is_given_back_where_it_was_taken() {
    let handle = Shared::new(());
    let taken = lease_in(2, &handle);
    let count = |shard: usize| handle.inner().counts.shards[shard].0.0.load(Ordering::SeqCst);
    assert_eq!((count(1), count(2)), (0, 1));
    SHARD.set(1);
    drop(taken);
    assert_eq!((count(1), count(2)), (0, 0));
}

#[test]
fn threads_keep_their_shards_and_neighbours_have_different_ones() {
    assert_eq!(shards_for(1), 4);
    assert_eq!(shards_for(3), 8);
    assert_eq!(shards_for(16), 32);
    assert_eq!(shards_for(1000), 64);
    assert_eq!(shards_for(usize::MAX), 64);
    let (first, again) = thread::spawn(|| (shard(), shard())).join().unwrap();
    assert_eq!(first, again);
    assert!(first < shards());
    let seen: Vec<usize> = (0..64).map(|_| thread::spawn(shard).join().unwrap()).collect();
    assert!(seen.iter().any(|&shard| shard != seen[0]), "all threads have shard {}", seen[0]);
    assert!(seen.iter().all(|&shard| shard < shards()));
}

#[test]
fn counts_are_on_lines_of_their_own() {
    assert_eq!(align_of::<Padded<Count>>(), 128);
    assert_eq!(size_of::<Padded<Count>>(), 128);
}

/// Takes and gives back references of all kinds in an arbitrary order, some of
/// them those that another thread took.
fn churn(handle: Probes, witness: &Witness, seed: usize, out: &mpsc::Sender<Lease<Probes>>) {
    let mut random = seed as u64 * 2 + 1;
    let mut leases = vec![Lease::of(&handle)];
    let mut handles = vec![handle];
    for _ in 0..60 {
        random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        let choice = (random >> 33) as usize;
        let (any, kind) = (choice / 8, choice % 8);
        match kind {
            0 | 1 => leases.push(Lease::of(&*leases[any % leases.len()])),
            2 => handles.push(leases[any % leases.len()].clone()),
            // A lease that the next thread does not take any more comes back and is dropped.
            3 if leases.len() > 1 => drop(out.send(leases.swap_remove(any % leases.len()))),
            4 | 5 if leases.len() > 1 => drop(leases.swap_remove(any % leases.len())),
            _ if !handles.is_empty() => drop(handles.swap_remove(any % handles.len())),
            _ => assert!(Arc::ptr_eq(&leases[0].0, &witness.0)),
        }
        witness.alive();
    }
}

#[test]
fn the_value_is_dropped_once_and_last_under_load() {
    const THREADS: usize = 4;
    for round in 0..500 {
        let witness = Witness::default();
        let first = Shared::new(witness.probe());
        thread::scope(|scope| {
            let (senders, receivers): (Vec<_>, Vec<_>) = (0..THREADS).map(|_| mpsc::channel()).unzip();
            for (i, receiver) in receivers.into_iter().enumerate() {
                let (handle, witness) = (first.clone(), witness.clone());
                let out = senders[(i + 1) % THREADS].clone();
                scope.spawn(move || {
                    churn(handle, &witness, round * THREADS + i, &out);
                    drop(out);
                    while receiver.try_recv().is_ok() {}
                });
            }
            drop(first);
        });
        assert_eq!(witness.dropped(), 1, "round {round}");
    }
}
