//! Interleaved sampling: ours, peer, ours, peer, so that a drifting clock
//! frequency or a noisy neighbour weighs on both sides alike.

use std::time::{Duration, Instant};

use anyhow::Result;

/// How often to repeat a measurement.
#[derive(Clone, Copy)]
pub struct Plan {
    /// Samples taken of each side whatever they cost.
    pub min: usize,
    /// Samples after which more would not tell more.
    pub max: usize,
    /// Time after which only the minimum is completed, all sides together.
    pub budget: Duration,
}

/// The medians of both sides.
#[derive(Clone, Copy)]
pub struct Pair {
    /// Our median.
    pub ours: f64,
    /// The peer's median.
    pub peer: f64,
    /// The median of the peer tuned for what is measured, where that has a
    /// meaning.
    pub tuned: Option<f64>,
}

/// Something that takes one sample of one side.
pub type Sampler<'a> = Box<dyn FnMut() -> Result<f64> + 'a>;

/// Alternates `ours` and `peer` as `plan` says and returns the medians of what
/// they report. A failure of either ends the measurement.
pub fn interleave<'a>(
    plan: Plan,
    ours: impl FnMut() -> Result<f64> + 'a,
    peer: impl FnMut() -> Result<f64> + 'a,
) -> Result<Pair> {
    interleave_tuned(plan, Box::new(ours), Box::new(peer), None)
}

/// The same, with the tuned peer after the peer where there is one.
pub fn interleave_tuned<'a>(
    plan: Plan,
    ours: Sampler<'a>,
    peer: Sampler<'a>,
    tuned: Option<Sampler<'a>>,
) -> Result<Pair> {
    let mut samplers: Vec<Sampler<'a>> = [ours, peer].into_iter().chain(tuned).collect();
    let medians = rounds(plan, &mut samplers)?;
    Ok(Pair { ours: medians[0], peer: medians[1], tuned: medians.get(2).copied() })
}

/// Takes rounds of one sample of each sampler, and returns their medians in
/// the order of the samplers.
pub fn rounds(plan: Plan, samplers: &mut [Sampler<'_>]) -> Result<Vec<f64>> {
    medians(plan, samplers, |_| false)
}

/// The same, with every other round in the opposite order.
pub fn back_and_forth(plan: Plan, samplers: &mut [Sampler<'_>]) -> Result<Vec<f64>> {
    medians(plan, samplers, |round| round % 2 == 1)
}

fn medians(plan: Plan, samplers: &mut [Sampler<'_>], backwards: impl Fn(usize) -> bool) -> Result<Vec<f64>> {
    let begin = Instant::now();
    let mut samples = vec![Vec::new(); samplers.len()];
    let mut round = 0;
    while round < plan.min || (round < plan.max && begin.elapsed() < plan.budget) {
        for at in 0..samplers.len() {
            let at = if backwards(round) { samplers.len() - 1 - at } else { at };
            samples[at].push(samplers[at]()?);
        }
        round += 1;
    }
    Ok(samples.into_iter().map(median).collect())
}

/// Finds how many repetitions make one sample last at least `target`, then
/// returns a sampler of nanoseconds per repetition. `repeat(n)` does the
/// operation `n` times.
pub fn per_operation<F: FnMut(u32) -> Result<()>>(
    target: Duration,
    mut repeat: F,
) -> Result<impl FnMut() -> Result<f64> + use<F>> {
    let mut time = move |count: u32| -> Result<Duration> {
        let begin = Instant::now();
        repeat(count)?;
        Ok(begin.elapsed())
    };
    let mut count = 1;
    while time(count)? < target && count < 1 << 30 {
        count *= 2;
    }
    Ok(move || Ok(time(count)?.as_secs_f64() * 1e9 / f64::from(count)))
}

fn median(mut samples: Vec<f64>) -> f64 {
    samples.sort_by(f64::total_cmp);
    let middle = samples.len() / 2;
    if samples.len().is_multiple_of(2) { (samples[middle - 1] + samples[middle]) / 2.0 } else { samples[middle] }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::cell::RefCell;

    #[test]
    fn the_median_of_an_even_count_is_between_the_middle_two() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
    }

    /// Gives always the same value, and notes each time that it was asked.
    fn noted(order: &RefCell<String>, letter: char, value: f64) -> Sampler<'_> {
        Box::new(move || {
            order.borrow_mut().push(letter);
            Ok(value)
        })
    }

    #[test]
    fn the_tuned_peer_comes_last_in_each_round() {
        let plan = Plan { min: 2, max: 2, budget: Duration::ZERO };
        let order = RefCell::new(String::new());
        let side = |letter, value| noted(&order, letter, value);
        let pair = interleave_tuned(plan, side('o', 1.0), side('p', 2.0), Some(side('t', 3.0))).unwrap();
        assert_eq!((pair.ours, pair.peer, pair.tuned), (1.0, 2.0, Some(3.0)));
        assert_eq!(*order.borrow(), "optopt");
    }

    #[test]
    fn every_other_round_goes_back() {
        let order = RefCell::new(String::new());
        let side = |letter, value| noted(&order, letter, value);
        let plan = Plan { min: 3, max: 3, budget: Duration::ZERO };
        let medians = back_and_forth(plan, &mut [side('a', 1.0), side('b', 2.0)]).unwrap();
        assert_eq!(medians, [1.0, 2.0]);
        assert_eq!(*order.borrow(), "abbaab");
    }

    #[test]
    fn sampling_alternates_and_takes_at_least_the_minimum() {
        let plan = Plan { min: 3, max: 9, budget: Duration::ZERO };
        let order = RefCell::new(String::new());
        let side = |letter| {
            order.borrow_mut().push(letter);
            Ok(1.0)
        };
        interleave(plan, || side('o'), || side('p')).unwrap();
        assert_eq!(*order.borrow(), "opopop");
    }
}
