//! Work in pieces, done by as many threads as may take part.
//!
//! The thread that has the work begins at once. Before each piece, whoever is
//! about to do it lets others join, as far as there are pieces left, threads in
//! rayon's pool, and tokens for them ([`ThreadTokens`]): nobody ever waits for a
//! token, and one that becomes free later is still of use.

use crate::options::ThreadTokens;
use rayon::Scope;
use std::any::Any;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

/// Does the pieces of work `0..count`; what came of them, in that order.
///
/// `state` makes what one thread needs for any number of pieces.
pub(crate) fn map<S, R: Send>(
    tokens: Option<&ThreadTokens>,
    count: usize,
    state: impl Fn() -> S + Sync,
    work: impl Fn(&mut S, usize) -> R + Sync,
) -> Vec<R> {
    let crew = Crew {
        count,
        most: rayon::current_num_threads().min(count),
        threads: AtomicUsize::new(1),
        next: AtomicUsize::new(0),
        results: Mutex::new(Vec::with_capacity(count)),
        tokens,
        state,
        work,
    };
    rayon::scope(|scope| crew.take_part(scope, None));
    let mut results = crew.results.into_inner().unwrap_or_else(PoisonError::into_inner);
    results.sort_unstable_by_key(|(piece, _)| *piece);
    results.into_iter().map(|(_, result)| result).collect()
}

/// The threads that share the pieces.
struct Crew<'t, F, W, R> {
    count: usize,
    /// Threads that may take part.
    most: usize,
    /// Threads that do, or did.
    threads: AtomicUsize,
    /// The next piece.
    next: AtomicUsize,
    results: Mutex<Vec<(usize, R)>>,
    tokens: Option<&'t ThreadTokens>,
    state: F,
    work: W,
}

impl<S, F: Fn() -> S + Sync, W: Fn(&mut S, usize) -> R + Sync, R: Send> Crew<'_, F, W, R> {
    /// Does pieces until there are none; the token is given back then.
    fn take_part<'s>(&'s self, scope: &Scope<'s>, token: Option<Box<dyn Any + Send>>) {
        let (mut state, mut results) = ((self.state)(), Vec::new());
        loop {
            self.let_others_join(scope);
            let piece = self.next.fetch_add(1, Ordering::Relaxed);
            if piece >= self.count {
                break;
            }
            results.push((piece, (self.work)(&mut state, piece)));
        }
        self.results.lock().unwrap_or_else(PoisonError::into_inner).append(&mut results);
        drop(token);
    }

    fn let_others_join<'s>(&'s self, scope: &Scope<'s>) {
        // One piece is for this thread.
        while self.next.load(Ordering::Relaxed) + 1 < self.count {
            let join = |threads| (threads < self.most).then_some(threads + 1);
            if self.threads.fetch_update(Ordering::Relaxed, Ordering::Relaxed, join).is_err() {
                return;
            }
            let token = match self.tokens {
                None => None,
                Some(tokens) => match tokens() {
                    Some(token) => Some(token),
                    None => {
                        self.threads.fetch_sub(1, Ordering::Relaxed);
                        return;
                    }
                },
            };
            scope.spawn(move |scope| self.take_part(scope, token));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;
    use std::sync::{Arc, Condvar};
    use std::thread;
    use std::time::Duration;

    /// When nobody is waited for any more; a machine may be very busy.
    const LATE: Duration = Duration::from_secs(1000);

    /// Tokens, of which so many are there; one is given back when it is dropped.
    fn tokens(number: usize) -> (ThreadTokens, Arc<AtomicUsize>) {
        struct Token(Arc<AtomicUsize>);
        impl Drop for Token {
            fn drop(&mut self) {
                self.0.fetch_add(1, Ordering::SeqCst);
            }
        }
        let free = Arc::new(AtomicUsize::new(number));
        let shared = free.clone();
        let take: ThreadTokens = Arc::new(move || {
            let taken = shared.fetch_update(Ordering::SeqCst, Ordering::SeqCst, |free| free.checked_sub(1));
            taken.is_ok().then(|| Box::new(Token(shared.clone())) as Box<dyn Any + Send>)
        });
        (take, free)
    }

    /// Does a hundred pieces in a pool of four threads, of which the first few
    /// wait until `wanted` threads have begun one; how many threads there were.
    fn threads(tokens: Option<&ThreadTokens>, wanted: usize) -> usize {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(4).build().unwrap();
        let (seen, more) = (Mutex::new(BTreeSet::new()), Condvar::new());
        let work = |pieces: &mut usize, piece: usize| {
            *pieces += 1;
            let mut threads = seen.lock().unwrap();
            threads.insert(format!("{:?}", thread::current().id()));
            more.notify_all();
            let (threads, result) = more.wait_timeout_while(threads, LATE, |t| t.len() < wanted).unwrap();
            assert!(!result.timed_out(), "{} threads began, not {wanted}", threads.len());
            piece * 2
        };
        let results = pool.install(|| map(tokens, 100, || 0, work));
        assert_eq!(results, (0..100).map(|piece| piece * 2).collect::<Vec<_>>());
        seen.into_inner().unwrap().len()
    }

    #[test]
    fn all_threads_of_the_pool_take_part_where_no_tokens_are_needed() {
        assert_eq!(threads(None, 4), 4);
    }

    #[test]
    fn only_threads_with_a_token_join_and_give_it_back() {
        for number in 0..6 {
            let (take, free) = tokens(number);
            let expected = (1 + number).min(4);
            assert_eq!(threads(Some(&take), expected), expected);
            assert_eq!(free.load(Ordering::SeqCst), number);
        }
    }

    #[test]
    fn a_token_that_becomes_free_later_is_used() {
        let (take, free) = tokens(0);
        let (seen, more) = (Mutex::new(BTreeSet::new()), Condvar::new());
        let pool = rayon::ThreadPoolBuilder::new().num_threads(2).build().unwrap();
        let work = |(): &mut (), piece: usize| {
            if piece == 10 {
                free.store(1, Ordering::SeqCst);
            }
            let mut threads = seen.lock().unwrap();
            threads.insert(format!("{:?}", thread::current().id()));
            more.notify_all();
            if piece > 10 {
                let (_threads, result) = more.wait_timeout_while(threads, LATE, |t| t.len() < 2).unwrap();
                assert!(!result.timed_out(), "nobody joined");
            }
        };
        pool.install(|| map(Some(&take), 100, || (), work));
        assert_eq!(free.load(Ordering::SeqCst), 1);
    }

    #[test]
    fn no_pieces_are_no_work() {
        let nothing: Vec<()> = map(None, 0, || (), |(), _| panic!("there is a piece"));
        assert!(nothing.is_empty());
    }
}
