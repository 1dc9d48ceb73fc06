//! Each strategy on one to sixteen threads that share an engine and, where the
//! strategy has one, a pool: every thread makes a store, instantiates, calls
//! and drops, a fixed number of times. The figure is the time of one such
//! round as a thread sees it; what all threads get done in a second is below
//! the rows.
//!
//! The peer does the same under the setting that stands for the strategy. For
//! `legacy-instance-reuse`, where each of our threads has one store whose
//! instance is restored before each call, the peer has nothing like it, and
//! instantiates on demand with copy-on-write memories.

use std::hint::black_box;
use std::sync::Barrier;
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context as _, Result};

use crate::bench::Bench;
use crate::guests::Guest;
use crate::report::Better;
use crate::requests::tuned;
use crate::runtime::{Allocation, Runtime, Starter, Strategy, Tuning, Work};
use crate::sample::{Pair, Plan, Sampler, rounds};

const GROUP: &str = "strategies";

const CALLS: [&str; 2] = ["call_empty_function", "dirty_1mb_of_memory"];

const THREADS: [u32; 5] = [1, 2, 4, 8, 16];

/// Bytes of initialised data in the guest.
const SEGMENT: usize = 48 << 10;

/// How long the threads of one sample are to be busy, if all cores are.
const SAMPLE: Duration = Duration::from_millis(40);

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<()> {
    let guest = Guest::from_text("the guest of strategies", 18, text());
    for call in CALLS {
        for strategy in Strategy::ALL {
            let title = format!("{call}, {}", strategy.name());
            let wanted: Vec<u32> = THREADS.into_iter().filter(|&threads| bench.wants(&name(&title, threads))).collect();
            if wanted.is_empty() {
                continue;
            }
            match cells(bench, &guest, strategy, call, &wanted) {
                Ok(pairs) => report(bench, &title, &wanted, &pairs),
                Err(error) => bench.fail(GROUP, &title, &error),
            }
        }
    }
    let gain = machine(bench.plan(12, 40, Duration::from_secs(4)))?;
    bench.report.remark(&format!("two threads over one on this machine now, arithmetic alone: {gain:.2} x"));
    bench.report.remark("legacy-instance-reuse: the peer instantiates on demand with copy-on-write memories");
    Ok(())
}

fn name(title: &str, threads: u32) -> String {
    format!("{title}, {threads} thread{}", if threads == 1 { "" } else { "s" })
}

/// The text of the guest. Its data is the same in every run, and not so
/// regular that some of its pages would be alike.
fn text() -> String {
    let mut state = 1_u32;
    let mut byte = || {
        // The linear congruential generator of Numerical Recipes.
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        format!("\\{:02x}", state >> 24)
    };
    let segment: String = (0..SEGMENT).map(|_| byte()).collect();
    include_str!("strategies.wat").replace("\"SEGMENT\"", &format!("\"{segment}\""))
}

/// Microseconds per round for each number of threads; every side and number
/// takes its turn in every round of samples.
fn cells<O: Runtime, P: Runtime>(
    bench: &Bench<O, P>,
    guest: &Guest,
    strategy: Strategy,
    call: &'static str,
    wanted: &[u32],
) -> Result<Vec<Pair>> {
    let allocation = Allocation { strategy, tuning: Tuning::Defaults };
    let ours = Crew::new(bench.ours.starter(allocation, guest)?, strategy, call)?;
    let peer = Crew::new(bench.peer.starter(allocation, guest)?, strategy, call)?;
    let tuned = match tuned(allocation) {
        Some(tuned) => Some(Crew::new(bench.peer.starter(tuned, guest)?, strategy, call)?),
        None => None,
    };
    let mut samplers: Vec<Sampler<'_>> = Vec::new();
    let (ours, peer) = (&ours, &peer);
    for &threads in wanted {
        samplers.push(Box::new(move || ours.microseconds(threads)));
        samplers.push(Box::new(move || peer.microseconds(threads)));
        if let Some(tuned) = &tuned {
            samplers.push(Box::new(move || tuned.microseconds(threads)));
        }
    }
    let medians = rounds(bench.plan(12, 40, Duration::from_secs(12)), &mut samplers)?;
    let sides = samplers.len() / wanted.len();
    let pair = |cell: &[f64]| Pair { ours: cell[0], peer: cell[1], tuned: cell.get(2).copied() };
    Ok(medians.chunks(sides).map(pair).collect())
}

fn report<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>, title: &str, wanted: &[u32], pairs: &[Pair]) {
    let mut of_one = None;
    let mut done = Vec::new();
    for (&threads, &pair) in wanted.iter().zip(pairs) {
        bench.add(GROUP, &name(title, threads), "us", Better::Smaller, pair);
        let per_second = |microseconds: f64| f64::from(threads) * 1e6 / microseconds;
        let throughput = per_side(pair, per_second);
        let tuned = throughput.tuned.map(|tuned| format!("/{tuned:.0}")).unwrap_or_default();
        done.push(format!("{threads}: {:.0}/{:.0}{tuned}", throughput.ours, throughput.peer));
        match (threads, of_one) {
            (1, _) => of_one = Some(throughput),
            (2, Some(Pair { ours, peer, tuned })) => {
                let gain = Pair {
                    ours: throughput.ours / ours,
                    peer: throughput.peer / peer,
                    tuned: throughput.tuned.zip(tuned).map(|(two, one)| two / one),
                };
                bench.add(GROUP, &format!("{title}, throughput of 2 threads over 1"), "x", Better::Larger, gain);
            }
            _ => {}
        }
    }
    bench.report.remark(&format!("calls per second by threads, ours/peer/tuned: {}", done.join(", ")));
}

fn per_side(pair: Pair, map: impl Fn(f64) -> f64) -> Pair {
    Pair { ours: map(pair.ours), peer: map(pair.peer), tuned: pair.tuned.map(map) }
}

/// How much more two threads get done than one where they share nothing: cores
/// may be halves of one, and others may use them.
fn machine(plan: Plan) -> Result<f64> {
    let crew = Crew::new(Arithmetic, Strategy::default(), CALLS[0])?;
    let crew = &crew;
    let mut samplers = [1, 2].map(|threads| -> Sampler<'_> { Box::new(move || crew.microseconds(threads)) });
    let medians = rounds(plan, &mut samplers)?;
    Ok(2.0 * medians[0] / medians[1])
}

/// Stands in for instances where only the machine is of interest.
struct Arithmetic;

impl Starter for Arithmetic {
    type Kept = ();

    /// A few microseconds of multiplications, each waiting for the one before.
    fn life(&self, _: Work) -> Result<()> {
        let product = (0..1000_u64).fold(1, |product: u64, step| black_box(product.wrapping_mul(step | 1)));
        black_box(product);
        Ok(())
    }

    fn keep(&self) -> Result<()> {
        Ok(())
    }

    fn serve(&self, (): &mut (), work: Work) -> Result<()> {
        self.life(work)
    }

    fn renew(&self, (): &mut ()) -> Result<()> {
        Ok(())
    }

    fn marks(&self, (): &mut (), _: Work) -> Result<Vec<u8>> {
        Ok(Vec::new())
    }
}

/// Threads that serve requests from one engine.
struct Crew<S> {
    starter: S,
    strategy: Strategy,
    work: Work,
    /// Requests of a sample, all threads together, if one thread serves them.
    requests: u32,
}

impl<S: Starter> Crew<S> {
    /// Finds out how many requests one thread serves in the time of a sample.
    fn new(starter: S, strategy: Strategy, call: &'static str) -> Result<Self> {
        let mut crew = Self { starter, strategy, work: Work::Call(call), requests: 64 };
        while crew.busy(1)?.0 < SAMPLE && crew.requests < 1 << 24 {
            crew.requests *= 2;
        }
        Ok(crew)
    }

    /// Microseconds from one request to the next of one thread among
    /// `threads`.
    fn microseconds(&self, threads: u32) -> Result<f64> {
        let (time, each) = self.busy(threads)?;
        Ok(time.as_secs_f64() * 1e6 / f64::from(each))
    }

    /// The time from the first thread's start to the last one's end, and what
    /// each had to do. Threads are started and stopped outside that time. As
    /// this machine's cores are shared among more threads, each has less to do.
    fn busy(&self, threads: u32) -> Result<(Duration, u32)> {
        let cores = thread::available_parallelism()?.get() as u32;
        let each = (self.requests * cores.min(threads) / threads).max(1);
        let start = Barrier::new(threads as usize);
        let spans = thread::scope(|scope| {
            let crew: Vec<_> = (0..threads).map(|_| scope.spawn(|| self.serve(each, &start))).collect();
            crew.into_iter()
                .map(|thread| thread.join().map_err(|_| anyhow::anyhow!("a thread of the crew panicked"))?)
                .collect::<Result<Vec<_>>>()
        })?;
        let begin = spans.iter().map(|span| span.0).min().context("no threads")?;
        let end = spans.iter().map(|span| span.1).max().context("no threads")?;
        Ok((end - begin, each))
    }

    /// One thread's share; a failure is reported once the others can start.
    fn serve(&self, requests: u32, start: &Barrier) -> Result<(Instant, Instant)> {
        let kept = (self.strategy == Strategy::LegacyInstanceReuse).then(|| self.starter.keep()).transpose();
        start.wait();
        let mut kept = kept?;
        let begin = Instant::now();
        for _ in 0..requests {
            match &mut kept {
                Some(kept) => {
                    self.starter.renew(kept)?;
                    self.starter.serve(kept, self.work)?;
                }
                None => self.starter.life(self.work)?,
            }
        }
        Ok((begin, Instant::now()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_guest_has_its_data() {
        let wasm = wat::parse_str(text()).unwrap();
        assert!(wasm.len() > SEGMENT && wasm.len() < SEGMENT + 1024, "{} bytes", wasm.len());
    }
}
