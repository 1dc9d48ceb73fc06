//! The life of an instance, from an empty store to the drop of both.
//!
//! Compiled once for each side like `embed`, and for the same reason.

use std::hint::black_box;

use anyhow::{Context as _, Result};

use super::api::{Engine, Instance, InstancePre, Linker, Module, Store};
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
            Work::Call(name) => {
                let function = self.instance.get_typed_func::<(), ()>(&mut self.store, name)?;
                Ok(function.call(&mut self.store, ())?)
            }
        }
    }

    /// The bytes that `work` would write, as they are now.
    pub fn marks(&mut self, work: Work) -> Result<Vec<u8>> {
        let mut marks = Vec::new();
        if let Work::Write { pages, stride } = work {
            visit(self.memory()?, pages, stride, |byte| marks.push(*byte));
        }
        Ok(marks)
    }

    fn write(&mut self, pages: usize, stride: Stride) -> Result<()> {
        visit(self.memory()?, pages, stride, |byte| *byte = black_box(MARK));
        Ok(())
    }

    fn memory(&mut self) -> Result<&mut [u8]> {
        let memory = self.instance.get_memory(&mut self.store, "memory").context("the module exports no memory")?;
        Ok(memory.data_mut(&mut self.store))
    }
}

/// The first byte of each page to be written, as far as there are as many.
fn visit(bytes: &mut [u8], pages: usize, stride: Stride, mut visit: impl FnMut(&mut u8)) {
    let apart = |runs: usize| bytes.len() / SYSTEM_PAGE / runs.max(1) * SYSTEM_PAGE;
    let (runs, step) = match stride {
        Stride::Adjacent => (1, 0),
        Stride::WasmPage => (pages, WASM_PAGE),
        Stride::Scattered => (pages, apart(pages)),
        Stride::Runs => (pages.min(RUNS), apart(pages.min(RUNS))),
    };
    for run in 0..runs {
        for page in 0..pages / runs {
            if let Some(byte) = bytes.get_mut(run * step + page * SYSTEM_PAGE) {
                visit(byte);
            }
        }
    }
}
