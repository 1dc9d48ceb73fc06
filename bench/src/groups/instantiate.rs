//! Time to create a store, instantiate into it and drop both, with nothing of
//! the instance touched.
//!
//! "Warm" means what it means to a server: the slot has held this module
//! before. On demand the peer returns all address space at once; by default we
//! keep that of a few instances, so a row shows what it costs without.

use anyhow::Result;

use crate::bench::Bench;
use crate::guests;
use crate::requests::{Way, requests};
use crate::runtime::{Allocation, Runtime, Strategy, Tuning, Work};

const GROUP: &str = "instantiate";

const WAYS: [(&str, Allocation); 5] = [
    ("warm pooled", Allocation { strategy: Strategy::PoolingCopyOnWrite, tuning: Tuning::Defaults }),
    ("warm pooled, copied,", Allocation { strategy: Strategy::Pooling, tuning: Tuning::Defaults }),
    ("on-demand CoW", Allocation { strategy: Strategy::RecreateInstanceCopyOnWrite, tuning: Tuning::Defaults }),
    (
        "on-demand CoW, no spare slots:",
        Allocation { strategy: Strategy::RecreateInstanceCopyOnWrite, tuning: Tuning::NoSpareSlots },
    ),
    ("on-demand, copied,", Allocation { strategy: Strategy::RecreateInstance, tuning: Tuning::Defaults }),
];

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<()> {
    for guest in guests::all(bench.corpus.as_deref()) {
        for (way, allocation) in WAYS {
            let name = format!("{way} instantiate + drop ({})", guest.name);
            bench.figure(GROUP, &name, "us", |bench| requests(bench, &guest, allocation, Way::Drop, Work::Nothing));
        }
    }
    Ok(())
}
