//! Time of a request against the pages it writes: the figures of the plot.

use std::time::Duration;

use anyhow::{Context as _, Result};

use crate::bench::Bench;
use crate::guests::{self, Guest};
use crate::report::Better;
use crate::requests::{Way, sampler, tuned};
use crate::runtime::{Allocation, Runtime, Strategy, Stride, Tuning, Work};
use crate::sample::{Pair, rounds};

const GROUP: &str = "pages";

/// Pages written by a request.
const PAGES: [usize; 10] = [0, 1, 2, 4, 8, 16, 32, 64, 128, 256];

/// Its memory has more pages than are written, and a large image.
const GUEST: &str = "regex";

/// Stands in for it where there is no corpus.
const STAND_IN: &str = "17 pages";

/// Microseconds per request for one number of pages.
pub struct Point {
    /// Written by each request, in up to 16 runs spread over the memory.
    pub pages: usize,
    /// Our instances, each dropped after its request.
    pub dropped: f64,
    /// Our one instance, reset after each request.
    pub reset: f64,
    /// The peer's instances, dropped.
    pub peer: f64,
    /// The tuned peer's.
    pub tuned: f64,
}

/// What the plot shows.
pub struct Curves {
    /// The name of the module.
    pub guest: String,
    /// From the fewest pages to the most.
    pub points: Vec<Point>,
}

/// Measures all points, and reports them as figures too.
pub fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<Curves> {
    let corpus = bench.corpus.as_deref();
    let guest =
        guests::find(corpus, GUEST).or_else(|| guests::find(corpus, STAND_IN)).context("no module to write to")?;
    let mut points = Vec::new();
    for pages in PAGES {
        let count = super::count_of_pages(pages);
        let dropped = format!("instantiate, write {count}, drop ({})", guest.name);
        let reset = format!("write {count}, reset() ({})", guest.name);
        if !bench.wants(&dropped) && !bench.wants(&reset) {
            continue;
        }
        let point = match point(bench, &guest, pages) {
            Ok(point) => point,
            Err(error) => {
                bench.fail(GROUP, &dropped, &error);
                continue;
            }
        };
        for (name, ours) in [(dropped, point.dropped), (reset, point.reset)] {
            let pair = Pair { ours, peer: point.peer, tuned: Some(point.tuned) };
            bench.add(GROUP, &name, "us", Better::Smaller, pair);
        }
        points.push(point);
    }
    Ok(Curves { guest: guest.name, points })
}

/// One sample of each side and way in every round.
fn point<O: Runtime, P: Runtime>(bench: &Bench<O, P>, guest: &Guest, pages: usize) -> Result<Point> {
    let work = if pages == 0 { Work::Nothing } else { Work::Write { pages, stride: Stride::Runs } };
    let allocation = Allocation { strategy: Strategy::PoolingCopyOnWrite, tuning: Tuning::Defaults };
    let tuned = tuned(allocation).context("a pool can be tuned")?;
    let mut samplers = [
        sampler(&bench.ours, guest, allocation, Way::Drop, work)?,
        sampler(&bench.ours, guest, allocation, Way::Reset, work)?,
        sampler(&bench.peer, guest, allocation, Way::Drop, work)?,
        sampler(&bench.peer, guest, tuned, Way::Drop, work)?,
    ];
    let medians = rounds(bench.plan(20, 60, Duration::from_secs(4)), &mut samplers)?;
    Ok(Point { pages, dropped: medians[0], reset: medians[1], peer: medians[2], tuned: medians[3] })
}
