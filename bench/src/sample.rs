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
    /// Time after which only the minimum is completed, both sides together.
    pub budget: Duration,
}

/// The medians of both sides.
#[derive(Clone, Copy)]
pub struct Pair {
    /// Our median.
    pub ours: f64,
    /// The peer's median.
    pub peer: f64,
}

/// Alternates `ours` and `peer` as `plan` says and returns the medians of what
/// they report. A failure of either ends the measurement.
pub fn interleave(
    plan: Plan,
    mut ours: impl FnMut() -> Result<f64>,
    mut peer: impl FnMut() -> Result<f64>,
) -> Result<Pair> {
    let begin = Instant::now();
    let (mut our_samples, mut peer_samples) = (Vec::new(), Vec::new());
    while our_samples.len() < plan.min || (our_samples.len() < plan.max && begin.elapsed() < plan.budget) {
        our_samples.push(ours()?);
        peer_samples.push(peer()?);
    }
    Ok(Pair { ours: median(our_samples), peer: median(peer_samples) })
}

/// Finds how many repetitions make one sample last at least `target`, then
/// returns a sampler of nanoseconds per repetition. `repeat(n)` does the
/// operation `n` times.
pub fn per_operation(
    target: Duration,
    mut repeat: impl FnMut(u32) -> Result<()>,
) -> Result<impl FnMut() -> Result<f64>> {
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

    #[test]
    fn the_median_of_an_even_count_is_between_the_middle_two() {
        assert_eq!(median(vec![4.0, 1.0, 2.0, 9.0]), 3.0);
    }

    #[test]
    fn sampling_alternates_and_takes_at_least_the_minimum() {
        let plan = Plan { min: 3, max: 9, budget: Duration::ZERO };
        let order = std::cell::RefCell::new(String::new());
        let side = |letter| {
            order.borrow_mut().push(letter);
            Ok(1.0)
        };
        interleave(plan, || side('o'), || side('p')).unwrap();
        assert_eq!(*order.borrow(), "opopop");
    }
}
