//! Time of one request: an instance in its first state, a little work on it,
//! and whatever makes its place ready for the next one.
//!
//! The work is a byte written by the host into each of up to 16 pages, 64 KiB
//! apart, or a call of an empty function. The host writes through the memory;
//! where it writes through a slice, which it could have lent to any thread, our
//! loader has to look for what was written. What has no peer is measured against
//! the peer's nearest: where we call `reset()`, the peer drops and instantiates.

use anyhow::Result;

use crate::bench::Bench;
use crate::guests::{self, Guest};
use crate::requests::{Way, requests};
use crate::runtime::{Allocation, Runtime, Strategy, Stride, Tuning, Work};

const GROUP: &str = "request";

/// Pages written, where the memory has as many pages of WebAssembly.
const PAGES: usize = 16;

const POOLED: Allocation = Allocation { strategy: Strategy::PoolingCopyOnWrite, tuning: Tuning::Defaults };
const ON_DEMAND: Allocation = Allocation { strategy: Strategy::RecreateInstanceCopyOnWrite, tuning: Tuning::Defaults };

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<()> {
    for guest in guests::all(bench.corpus.as_deref()) {
        if guest.pages == 0 {
            continue;
        }
        let pages = guest.pages.min(PAGES);
        let writes = |pages, stride| Work::Write { pages, stride };
        let does = format!("write {}", super::count_of_pages(pages));
        three(bench, &guest, &does, writes(pages, Stride::WasmPage));
        if guest.name == "regex" {
            three(bench, &guest, "write 16 adjacent pages", writes(16, Stride::Adjacent));
            three(bench, &guest, "write 64 scattered pages", writes(64, Stride::Scattered));
            let slice = Work::WriteSlice { pages: 16, stride: Stride::WasmPage };
            three(bench, &guest, "write 16 pages of a slice", slice);
        }
        if guest.has_nothing {
            three(bench, &guest, "call an empty function", Work::Call("nothing"));
        }
    }
    bench.report.remark("the peer cannot reset: in rows with reset() it drops and instantiates");
    Ok(())
}

/// The figures of one kind of work.
fn three<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>, guest: &Guest, does: &str, work: Work) {
    let module = &guest.name;
    for (name, allocation, way) in [
        (format!("instantiate, {does}, drop ({module})"), POOLED, Way::Drop),
        (format!("{does}, the same through reset() ({module})"), POOLED, Way::Reset),
        (format!("on demand: instantiate, {does}, drop ({module})"), ON_DEMAND, Way::Drop),
    ] {
        bench.figure(GROUP, &name, "us", |bench| requests(bench, guest, allocation, way, work));
    }
}
