//! What an initialiser sees of the world.

use super::{Error, InitOptions, InitOutput};
use std::io::{self, Read, Write};
use std::sync::Arc;
use wasmc_loader::{ExternType, Linker, Module, ResourceLimiter, Store, Tag};
use wasmc_wasi::pipe::{ReadPipe, WritePipe};
use wasmc_wasi::{DirPerms, FilePerms, WasiCtx, WasiCtxBuilder};

/// Why a standard stream cannot be frozen.
const REPLACED: &str = "the initialiser has closed or replaced this standard stream, which is open again when the program runs; leave it open";

/// How many elements all tables together may have.
const MAX_ELEMENTS: usize = 10_000_000;

/// What the store of an initialiser has.
pub(super) struct World {
    pub(super) wasi: WasiCtx,
    /// What is open at first.
    open: Vec<u32>,
    /// In the standard streams, so that it is noticed when one is gone.
    streams: Arc<()>,
    /// How many bytes all memories may have together.
    max_memory: u64,
    /// How many they have, as far as they were allowed to.
    memory: u64,
    /// How many elements all tables have, likewise.
    elements: usize,
    /// What they were to have beyond that.
    pub(super) refused: Option<Refused>,
}

/// What has become too large.
#[derive(Debug, Clone, Copy)]
pub(super) enum Refused {
    /// Memories, with so many bytes.
    Memory(u64),
    /// Tables, with so many elements.
    Tables(usize),
}

impl ResourceLimiter for World {
    fn memory_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmc_loader::Result<bool> {
        let bytes = self.memory.saturating_add(desired.saturating_sub(current) as u64);
        if bytes <= self.max_memory {
            self.memory = bytes;
            return Ok(true);
        }
        self.refused = Some(Refused::Memory(bytes));
        Err(wasmc_loader::Error::msg("the memories become too large"))
    }

    fn table_growing(&mut self, current: usize, desired: usize, _: Option<usize>) -> wasmc_loader::Result<bool> {
        let elements = self.elements.saturating_add(desired.saturating_sub(current));
        if elements <= MAX_ELEMENTS {
            self.elements = elements;
            return Ok(true);
        }
        self.refused = Some(Refused::Tables(elements));
        Err(wasmc_loader::Error::msg("the tables become too large"))
    }
}

/// A standard stream.
struct Stream<S>(S, #[allow(dead_code, reason = "it is counted")] Arc<()>);

impl<S: Read> Read for Stream<S> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        self.0.read(buffer)
    }
}

impl<S: Write> Write for Stream<S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }
    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl Refused {
    /// As an error. `limit` is that of memories.
    pub(super) fn error(self, limit: u64) -> Error {
        match self {
            Refused::Memory(bytes) => Error::Memory { bytes, limit },
            Refused::Tables(elements) => Error::Tables { elements, limit: MAX_ELEMENTS },
        }
    }
}

impl World {
    /// What the options say.
    pub(super) fn new(init: &InitOptions) -> Result<World, Error> {
        let mut builder = WasiCtxBuilder::with_sources(init.time, init.random);
        let streams = Arc::new(());
        builder.stdin(ReadPipe::new(Stream(io::empty(), streams.clone())));
        let output = || -> Box<dyn Write + Send + Sync> {
            match init.output {
                InitOutput::Stderr => Box::new(io::stderr()),
                InitOutput::Discard => Box::new(io::sink()),
            }
        };
        builder.stdout(WritePipe::new(Stream(output(), streams.clone())));
        builder.stderr(WritePipe::new(Stream(output(), streams.clone())));
        builder.args(&init.args)?;
        builder.envs(init.variables.iter().map(|(name, value)| (name, value)))?;
        for dir in &init.dirs {
            let (dirs, files) =
                if dir.writable { (DirPerms::all(), FilePerms::all()) } else { (DirPerms::READ, FilePerms::READ) };
            builder.preopened_dir(&dir.host, &dir.guest, dirs, files)?;
        }
        // They are numbered in this order; to ask for the numbers takes one away.
        let open = (0..3 + init.dirs.len() as u32).collect();
        let wasi = builder.build();
        Ok(World { open, wasi, streams, max_memory: init.max_memory, memory: 0, elements: 0, refused: None })
    }

    /// Whether everything is open that was at first, and nothing else.
    pub(super) fn check_descriptors(&self) -> Result<(), Error> {
        let open = self.wasi.open_descriptors();
        if let Some(number) = open.iter().find(|number| !self.open.contains(number)) {
            let reason = "the initialiser has left this file or folder open; let it close what it opens";
            return Err(Error::Descriptor { number: *number, reason });
        }
        if let Some(number) = self.open.iter().find(|number| !open.contains(number)) {
            let reason = if *number < 3 {
                REPLACED
            } else {
                "the initialiser has closed this preopened folder, which it was given; leave it open"
            };
            return Err(Error::Descriptor { number: *number, reason });
        }
        // A descriptor that took the number of another one is not in the lists.
        if let Some(number) = self.wasi.lost_folders().first() {
            let reason = "the initialiser has put something else in the place of this preopened folder, which is there again when the program runs; leave it open";
            return Err(Error::Descriptor { number: *number, reason });
        }
        if Arc::strong_count(&self.streams) != 4 {
            return Err(Error::Descriptor { number: 1, reason: REPLACED });
        }
        Ok(())
    }
}

/// A linker with all that a module imports.
pub(super) fn linker(module: &Module, store: &mut Store<World>) -> Result<Linker<World>, Error> {
    let mut linker: Linker<World> = Linker::new(module.engine());
    wasmc_wasi::add_to_linker(&mut linker, |world: &mut World| &mut world.wasi).map_err(Error::load)?;
    linker.allow_shadowing(true);
    for import in module.imports() {
        let refused = match import.ty() {
            ExternType::Func(_) => continue,
            // All that a tag has is its identity.
            ExternType::Tag(ty) => {
                let tag = Tag::new(&mut *store, &ty).map_err(Error::load)?;
                linker.define(&mut *store, import.module(), import.name(), tag).map_err(Error::load)?;
                continue;
            }
            ExternType::Memory(_) => "memory",
            ExternType::Table(_) => "table",
            ExternType::Global(_) => "global",
        };
        let (module, name) = (import.module().to_owned(), import.name().to_owned());
        return Err(Error::Import { kind: refused, module, name });
    }
    linker.define_unknown_imports_as_traps(module).map_err(Error::load)?;
    Ok(linker)
}
