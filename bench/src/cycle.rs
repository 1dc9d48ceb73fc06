//! The life of an instance, from an empty store to the drop of both.
//!
//! Compiled once for each side like `embed`, and for the same reason.

use std::hint::black_box;

use anyhow::{Context as _, Result};

use super::api::{Engine, Instance, InstancePre, Linker, Memory, Module, Store};
use crate::runtime::{MARK, RUNS, SYSTEM_PAGE, Stride, Work};

/// The page of WebAssembly.
const WASM_PAGE: usize = 64 << 10;

/// A module linked and ready to be instantiated again and again.
pub struct Starter {
    engine: Engine,
    pub pre: InstancePre<()>,
}

/// An instance that lives on between requests.
pub struct Kept {
    pub store: Store<()>,
    pub instance: Instance,
}

impl Starter {
    /// Links `module` with traps for everything it imports.
    pub fn new(engine: &Engine, module: &Module) -> Result<Self> {
        let mut linker = Linker::new(engine);
        linker.define_unknown_imports_as_traps(module)?;
        Ok(Self { engine: engine.clone(), pre: linker.instantiate_pre(module)? })
    }

    /// One life of an instance that serves one request.
    pub fn life(&self, work: Work) -> Result<()> {
        self.keep()?.serve(work)
    }

    /// An instance that nothing has been asked of yet.
    pub fn keep(&self) -> Result<Kept> {
        let mut store = Store::new(&self.engine, ());
        let instance = self.pre.instantiate(&mut store)?;
        Ok(Kept { store, instance })
    }
}

impl Kept {
    /// What a request does to its instance.
    pub fn serve(&mut self, work: Work) -> Result<()> {
        match work {
            Work::Nothing => Ok(()),
            Work::Write { pages, stride } => self.write(pages, stride),
            Work::WriteSlice { pages, stride } => self.write_slice(pages, stride),
            Work::Call(name) => {
                let function = self.instance.get_typed_func::<(), ()>(&mut self.store, name)?;
                Ok(function.call(&mut self.store, ())?)
            }
        }
    }

    /// The bytes that `work` would write, as they are now.
    pub fn marks(&mut self, work: Work) -> Result<Vec<u8>> {
        let (Work::Write { pages, stride } | Work::WriteSlice { pages, stride }) = work else { return Ok(Vec::new()) };
        let bytes = self.memory()?.data(&self.store);
        Ok(positions(bytes.len(), pages, stride).map(|position| bytes[position]).collect())
    }

    fn write(&mut self, pages: usize, stride: Stride) -> Result<()> {
        let memory = self.memory()?;
        for position in positions(memory.data_size(&self.store), pages, stride) {
            memory.write(&mut self.store, position, &[black_box(MARK)])?;
        }
        Ok(())
    }

    fn write_slice(&mut self, pages: usize, stride: Stride) -> Result<()> {
        let bytes = self.memory()?.data_mut(&mut self.store);
        for position in positions(bytes.len(), pages, stride) {
            bytes[position] = black_box(MARK);
        }
        Ok(())
    }

    fn memory(&mut self) -> Result<Memory> {
        self.instance.get_memory(&mut self.store, "memory").context("the module exports no memory")
    }
}

/// The first byte of each page to be written, as far as there are as many in
/// a memory of `size` bytes.
fn positions(size: usize, pages: usize, stride: Stride) -> impl Iterator<Item = usize> {
    let apart = |runs: usize| size / SYSTEM_PAGE / runs.max(1) * SYSTEM_PAGE;
    let (runs, step) = match stride {
        Stride::Adjacent => (1, 0),
        Stride::WasmPage => (pages, WASM_PAGE),
        Stride::Scattered => (pages, apart(pages)),
        Stride::Runs => (pages.min(RUNS), apart(pages.min(RUNS))),
    };
    (0..runs)
        .flat_map(move |run| (0..pages / runs).map(move |page| run * step + page * SYSTEM_PAGE))
        .filter(move |position| *position < size)
}
