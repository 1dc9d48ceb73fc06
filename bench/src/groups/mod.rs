//! One file per group of figures; each measures any two runtimes.

mod calls;
pub mod carriers;
mod compile;
mod instantiate;
mod kernels;
mod load;
pub mod pages;
mod preinit;
mod request;
pub mod resident;
mod run;
mod size;
mod stoppable;
mod strategies;
mod waits;

use anyhow::Result;
use clap::ValueEnum;

use crate::bench::Bench;
use crate::runtime::{Runtime, Tuning};

/// The groups, in the order in which they are measured and printed.
#[derive(Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Group {
    /// Milliseconds to compile each corpus module.
    Compile,
    /// Bytes of each artifact.
    Size,
    /// Microseconds to load an artifact from its file.
    Load,
    /// Microseconds to load an artifact from inside a program.
    Carriers,
    /// Microseconds to create a store and an instance, and drop both.
    Instantiate,
    /// Microseconds to create an instance of a module that was initialised when
    /// it was compiled.
    Preinit,
    /// Microseconds of a request: an instance, a little work, the next one.
    Request,
    /// Microseconds of a call on a fresh instance, by strategy and threads.
    Strategies,
    /// Microseconds of a request by the pages it writes, as in the plot.
    Pages,
    /// KiB of pooled instances and slots that do nothing.
    Resident,
    /// Nanoseconds for a typed call from the host into wasm.
    HostToWasm,
    /// Nanoseconds for a call from wasm to a typed host closure.
    WasmToHost,
    /// Nanoseconds for calls that are awaited.
    Async,
    /// Nanoseconds for a call through a table.
    CallIndirect,
    /// Nanoseconds to throw an exception and catch it.
    Exception,
    /// Nanoseconds to throw and catch in one function, or not to throw.
    Try,
    /// Nanoseconds for a call that ends in a trap.
    Trap,
    /// Nanoseconds for a tail call.
    TailCall,
    /// Nanoseconds for a call through a reference.
    CallRef,
    /// Nanoseconds for work with objects.
    Gc,
    /// Nanoseconds for a loop over a 64-bit memory.
    Memory64,
    /// Nanoseconds for an atomic operation.
    Atomics,
    /// Milliseconds to run each benchmark program.
    Run,
    /// Time of each benchmark program with epoch deadlines, by that without.
    Epochs,
    /// Time of each benchmark program with fuel, by that without.
    Fuel,
}

impl Group {
    /// Whether its figures come from the corpus alone.
    pub fn needs_corpus(self) -> bool {
        matches!(self, Self::Carriers | Self::Compile | Self::Size | Self::Run | Self::Epochs | Self::Fuel)
    }

    /// Measures the group.
    pub fn measure<O: Runtime, P: Runtime>(self, bench: &mut Bench<O, P>) -> Result<()> {
        match self {
            Self::Compile => compile::measure(bench),
            Self::Size => size::measure(bench),
            Self::Load => load::measure(bench),
            Self::Carriers => carriers::measure(bench),
            Self::Instantiate => instantiate::measure(bench),
            Self::Preinit => preinit::measure(bench),
            Self::Request => request::measure(bench),
            Self::Strategies => strategies::measure(bench),
            Self::Pages => pages::measure(bench).map(drop),
            Self::Resident => resident::measure(bench),
            Self::HostToWasm => calls::measure(bench, &calls::HOST_TO_WASM),
            Self::WasmToHost => calls::measure(bench, &calls::WASM_TO_HOST),
            Self::Async => waits::measure(bench),
            Self::CallIndirect => calls::measure(bench, &calls::CALL_INDIRECT),
            Self::Exception => calls::measure(bench, &calls::EXCEPTION),
            Self::Try => kernels::measure(bench, &kernels::TRY),
            Self::Trap => calls::measure(bench, &calls::TRAP),
            Self::TailCall => kernels::measure(bench, &kernels::TAIL_CALL),
            Self::CallRef => kernels::measure(bench, &kernels::CALL_REF),
            Self::Gc => kernels::measure(bench, &kernels::GC),
            Self::Memory64 => kernels::measure(bench, &kernels::MEMORY64),
            Self::Atomics => kernels::measure(bench, &kernels::ATOMICS),
            Self::Run => run::measure(bench),
            Self::Epochs => stoppable::measure(bench, "epochs", Tuning::Epochs),
            Self::Fuel => stoppable::measure(bench, "fuel", Tuning::Fuel),
        }
    }
}

/// So many pages, in words.
fn count_of_pages(pages: usize) -> String {
    format!("{pages} page{}", if pages == 1 { "" } else { "s" })
}
