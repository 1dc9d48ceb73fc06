//! Instances of modules that were initialised when they were compiled, beside
//! such as begin as they are, and such as are initialised when they are made.
//!
//! The peer has no artifacts of the first kind by itself: in their rows its
//! instances are initialised when they are made, which is what its users do
//! who do not rewrite the module with another tool.

use std::time::Duration;

use anyhow::Result;

use crate::bench::Bench;
use crate::guests::Guest;
use crate::requests::{Way, sampler, tuned};
use crate::runtime::{Allocation, Runtime, Strategy, Stride, Tuning, Work};
use crate::sample::{Pair, interleave_tuned};

const GROUP: &str = "preinit";

/// What initialises the guests.
const BOOT: &str = "boot";

const WAYS: [(&str, Strategy); 2] =
    [("warm pooled", Strategy::PoolingCopyOnWrite), ("on-demand CoW", Strategy::RecreateInstanceCopyOnWrite)];

/// One page is written, of those that the initialiser writes.
const WRITE: Work = Work::Write { pages: 1, stride: Stride::Adjacent };

/// Of the examples: its dictionary is compiled when it boots.
const FORTH: &[u8] = include_bytes!("../../../examples/guests/forth.wasm");

/// Fills 256 KiB with numbers that code must be run for.
const TABLE: &str = r#"(module
    (memory (export "memory") 8)
    (func (export "boot") (local $at i32) (local $x i32)
        (local.set $x (i32.const 1))
        (loop $next
            (local.set $x (i32.add (i32.mul (local.get $x) (i32.const 1664525)) (i32.const 1013904223)))
            (i32.store (local.get $at) (local.get $x))
            (local.set $at (i32.add (local.get $at) (i32.const 4)))
            (br_if $next (i32.lt_u (local.get $at) (i32.const 262144))))))"#;

fn guests() -> [Guest; 2] {
    [Guest::from_bytes("forth", 2, FORTH), Guest::from_text("table of 256 KiB", 8, TABLE)]
}

pub(super) fn measure<O: Runtime, P: Runtime>(bench: &mut Bench<O, P>) -> Result<()> {
    for (plain, initialised) in guests().into_iter().zip(guests()) {
        let initialised = initialised.initialised(BOOT);
        for (way, strategy) in WAYS {
            let allocation = Allocation { strategy, tuning: Tuning::Defaults };
            let (name, nothing, boot) = (&plain.name, Work::Nothing, Work::Call(BOOT));
            let rows: [(&str, &Guest, [Work; 2]); 5] = [
                ("as it is", &plain, [nothing, nothing]),
                ("initialised before", &initialised, [nothing, boot]),
                ("initialised then", &plain, [boot, boot]),
                ("as it is, a page written", &plain, [WRITE, WRITE]),
                ("initialised before, a page written", &initialised, [WRITE, boot]),
            ];
            for (what, guest, works) in rows {
                let figure = format!("{way} instantiate + drop ({name}), {what}");
                bench.figure(GROUP, &figure, "us", |bench| pair(bench, allocation, (guest, &plain), works));
            }
        }
    }
    Ok(())
}

/// Microseconds of instances that do their side's work.
fn pair<O: Runtime, P: Runtime>(
    bench: &Bench<O, P>,
    allocation: Allocation,
    (ours, peer): (&Guest, &Guest),
    [our_work, peer_work]: [Work; 2],
) -> Result<Pair> {
    let ours = sampler(&bench.ours, ours, allocation, Way::Drop, our_work)?;
    let other = |allocation| sampler(&bench.peer, peer, allocation, Way::Drop, peer_work);
    let tuned = tuned(allocation).map(other).transpose()?;
    interleave_tuned(bench.plan(20, 60, Duration::from_secs(2)), ours, other(allocation)?, tuned)
}
