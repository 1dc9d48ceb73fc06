//! How to compile: optimisation, proposals, tunables, and the target machine.

use crate::error::Error;
use crate::proposals::Features;
use crate::snapshot::Snapshot;
use crate::target::Target;
use std::any::Any;
use std::num::{NonZeroU32, NonZeroUsize};
use std::sync::Arc;
use wasmc_artifacts::WorkingSet;

/// How much to optimise.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum OptLevel {
    /// Fastest compilation (`-O 0`).
    None,
    /// Good register allocation, no optimisation of the code (`-O 1`).
    Basic,
    /// Fastest code (`-O 2`).
    #[default]
    Speed,
    /// Fast code, and smaller where that costs little (`-O s`).
    Size,
}

impl std::str::FromStr for OptLevel {
    type Err = Error;
    fn from_str(name: &str) -> Result<Self, Error> {
        Ok(match name {
            "0" => OptLevel::None,
            "1" => OptLevel::Basic,
            "2" => OptLevel::Speed,
            "s" => OptLevel::Size,
            _ => {
                let known = "0, 1, 2, s".to_owned();
                return Err(Error::UnknownName { what: "optimisation level", name: name.to_owned(), known });
            }
        })
    }
}

/// What compiled code assumes about the address space around it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Tunables {
    /// Bytes reserved for every memory, at least. With the default of 4 GiB
    /// accesses with 32-bit indices need no bounds check. A memory with 64-bit
    /// indices has as much as the loader can give it beyond that
    /// (`Config::memory64_reservation`), on which code does not rely.
    pub memory_reservation: u64,
    /// Inaccessible bytes after the reservation. An access whose constant
    /// offset is larger is checked.
    pub memory_guard: u64,
    /// Inaccessible bytes between the VMContext and memory 0.
    ///
    /// The index of an access is unsigned, so correct code never reaches this
    /// guard; it is there for a miscompiled negative index. 64 KiB are one
    /// page of every target and cost one part in 65,000 of a slot's address
    /// space, whereas catching every negative 32-bit index would need 2 GiB,
    /// beyond what a displacement can skip.
    pub context_guard: u32,
}

impl Default for Tunables {
    fn default() -> Self {
        Tunables { memory_reservation: 4 << 30, memory_guard: 32 << 20, context_guard: 64 << 10 }
    }
}

/// Called with the number of functions compiled so far and their total. Calls
/// come from several threads.
pub type Progress = Arc<dyn Fn(usize, usize) + Send + Sync>;

/// Asked, without waiting, whether one more thread may compile; what it
/// returns is dropped when that thread has nothing more to do. Calls come from
/// several threads.
pub type ThreadTokens = Arc<dyn Fn() -> Option<Box<dyn Any + Send>> + Send + Sync>;

/// How to compile a module.
#[derive(Clone, Default)]
pub struct Options {
    /// The machine to compile for. Default: this one's system and
    /// architecture, with the features that all its CPUs have.
    pub target: Target,
    /// How much to optimise.
    pub opt_level: OptLevel,
    /// Which proposals the module may use.
    pub features: Features,
    /// Whether to include debug information (`-g`).
    pub debug: bool,
    /// Whether to leave out function names.
    pub strip: bool,
    /// What to call the module in the symbols of an object file
    /// ([`Emit::Obj`](crate::Emit::Obj)); by default as it calls itself.
    pub name: Option<String>,
    /// The symbol of an object file's artifact ([`Emit::Obj`](crate::Emit::Obj),
    /// `--symbol`), an identifier of C; with `_end` appended, that of its end.
    /// By default `wasmc_` and the module's [`name`](Self::name). Object files
    /// that are linked into one host need different ones.
    pub symbol: Option<String>,
    /// Number of threads; by default one for each core.
    pub jobs: Option<NonZeroUsize>,
    /// Of these threads, all but the first one need a token each: for processes
    /// that share a machine's cores. Asked again and again while there is
    /// work left. By default they need none.
    pub thread_tokens: Option<ThreadTokens>,
    /// Address space assumptions.
    pub tunables: Tunables,
    /// Whether every NaN that is computed has one bit pattern, positive and
    /// without a payload (`--canonicalize-nans`). WebAssembly leaves sign and
    /// payload open, and CPUs differ.
    ///
    /// That holds for every operator that computes: arithmetic, `sqrt`, `min`,
    /// `max`, rounding, conversion between floats, each of scalars and of
    /// vectors, relaxed SIMD included. Operators that WebAssembly defines bit
    /// by bit hand a NaN on as it is: `neg`, `abs`, `copysign`, `pmin`, `pmax`,
    /// reinterpretation, constants, loads and lanes; and so do calls of the
    /// host. Other choices of relaxed SIMD still depend on the target's CPU,
    /// unless [`relaxed_simd_deterministic`](Self::relaxed_simd_deterministic)
    /// is set.
    pub canonicalize_nans: bool,
    /// Whether relaxed SIMD gives the results of the specification's
    /// deterministic profile (`--relaxed-simd-deterministic`), on every CPU:
    /// multiplication and addition are rounded each, `min` and `max` are those
    /// of `f32x4` and `f64x2`, selection is by bit, swizzling with an index
    /// beyond the vector gives 0, truncation saturates, and dot products are of
    /// signed bytes, with saturated sums of two. The patterns of NaNs are a
    /// matter of [`canonicalize_nans`](Self::canonicalize_nans).
    pub relaxed_simd_deterministic: bool,
    /// How many values the frames on the stack may have (`--deterministic-stack`):
    /// where a call would make it more, it traps with
    /// [`StackOverflow`](wasmc_artifacts::abi::Trap::StackOverflow), at the same
    /// depth on every machine, whatever it was compiled for and how.
    ///
    /// The frame of a function has its parameters, its locals, and as many
    /// operands as the specification's validation algorithm has on its stack
    /// at a time (between two instructions, in code that cannot be reached
    /// too), each of which is one value of whatever type; at least one in all.
    /// A tail call replaces the frame. Functions of all instances in a store
    /// count together, also if a host function is in between, which counts for
    /// nothing itself; each is held to the limit of its own module. Modules
    /// compiled without a limit neither count nor check.
    ///
    /// The loader's limit in bytes, `Config::max_wasm_stack`, stays in force,
    /// and depends on machine code. So that it is never the one that is hit,
    /// it must be at least [`stack_bytes`](crate::inspect::Report::stack_bytes)
    /// of the artifact, and the threads' stacks larger than that.
    ///
    /// Together with [`canonicalize_nans`](Self::canonicalize_nans) and
    /// [`relaxed_simd_deterministic`](Self::relaxed_simd_deterministic), a
    /// program that the host treats in the same way does the same everywhere.
    pub deterministic_stack: Option<NonZeroU32>,
    /// Whether the code can be stopped at deadlines, or at once by another
    /// thread (`--epoch`): it looks for that in every loop (in short ones without
    /// calls, in one of 256 rounds), and where functions are entered that could
    /// otherwise call each other for long. What then
    /// happens is up to the loader (`Store::set_epoch_deadline`,
    /// `Store::interrupt_handle`).
    ///
    /// Bulk operations (`memory.fill` and its like) are done in pieces of 1 MiB
    /// of memory, or 65,536 elements of a table or an array, and code looks after
    /// each; so code that is stopped may have done a part of one. What is out of
    /// bounds traps before the first piece. An array is made in one piece.
    pub epoch: bool,
    /// Whether the code counts the work that it does and stops when the fuel
    /// which the host has given it is used up (`--fuel`).
    ///
    /// Every operator that is executed costs 1, but for `nop`, `drop`, `block`,
    /// `loop`, `else`, `end`, `return` and `unreachable`, which cost nothing; and
    /// so does every call of a function of the module, whoever calls it. Bulk
    /// operations cost 1 more for each 64 bytes of memory, or 8 elements of a
    /// table or an array, that they are to write. The initial values of globals,
    /// tables and segments cost nothing. So the same program uses the same fuel
    /// on every machine, however it was compiled.
    ///
    /// A call that ends without having used more fuel than there was returns;
    /// any other traps with
    /// [`OutOfFuel`](wasmc_artifacts::abi::Trap::OutOfFuel), at the next loop,
    /// at the next call that leaves the module, or where it would return to the
    /// host: so never later than one pass through straight code. Host functions
    /// see exactly what was used when they are called, and are not called once
    /// there is none left. After any other trap what the host sees is the count
    /// at the last place where the code looked; which is not each round of a
    /// short loop without calls, but one of 256.
    pub fuel: bool,
    /// Whether to check the code generator's input (slow; for tests).
    pub verify: bool,
    /// The pages that instances touch, recorded in a run, for the artifact:
    /// a loader then fetches them in one go. It must be of the same module.
    pub working_set: Option<WorkingSet>,
    /// The state in which instances begin, if it is not the one that the
    /// module describes: what `wasmc::init::run` (feature `init`) found when an
    /// initialiser had run. It must be of the same module. Then neither its
    /// start function runs, nor are its segments copied.
    pub snapshot: Option<Arc<Snapshot>>,
    /// Told about progress.
    pub progress: Option<Progress>,
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("target", &self.target)
            .field("opt_level", &self.opt_level)
            .field("features", &self.features)
            .field("debug", &self.debug)
            .field("strip", &self.strip)
            .field("name", &self.name)
            .field("symbol", &self.symbol)
            .field("jobs", &self.jobs)
            .field("tunables", &self.tunables)
            .field("canonicalize_nans", &self.canonicalize_nans)
            .field("relaxed_simd_deterministic", &self.relaxed_simd_deterministic)
            .field("deterministic_stack", &self.deterministic_stack)
            .field("epoch", &self.epoch)
            .field("fuel", &self.fuel)
            .field("working_set", &self.working_set)
            .field("snapshot", &self.snapshot)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// The defaults.
    pub fn new() -> Self {
        Self::default()
    }

    /// Lets a program that the host treats in the same way do the same on every
    /// machine (`--deterministic`): canonical NaNs, deterministic relaxed SIMD,
    /// and, unless a limit was set before, a stack of
    /// [`DETERMINISTIC_STACK`](Self::DETERMINISTIC_STACK) values. What WebAssembly
    /// leaves open beside that is up to the host: whether memories and tables
    /// grow, the order of threads, and what its functions do.
    pub fn deterministic(&mut self) -> &mut Self {
        self.canonicalize_nans = true;
        self.relaxed_simd_deterministic = true;
        self.deterministic_stack.get_or_insert(Self::DETERMINISTIC_STACK);
        self
    }

    /// The limit of values that [`deterministic`](Self::deterministic) sets.
    pub const DETERMINISTIC_STACK: NonZeroU32 = match NonZeroU32::new(65_536) {
        Some(values) => values,
        None => unreachable!(),
    };

    /// Checks what the parts must have in common.
    ///
    /// # Errors
    /// [`Error::Options`] that names the tunable.
    pub(crate) fn check(&self) -> Result<(), Error> {
        let page = self.target.page_size();
        let t = &self.tunables;
        for (name, value) in [
            ("memory reservation", t.memory_reservation),
            ("memory guard", t.memory_guard),
            ("context guard", u64::from(t.context_guard)),
        ] {
            if value % page != 0 {
                return Err(Error::Options(format!(
                    "the {name} of {value} bytes is not a multiple of the target's page size, {page}"
                )));
            }
        }
        if t.context_guard > 1 << 29 || t.memory_reservation > 1 << 40 || t.memory_guard > 1 << 40 {
            return Err(Error::Options(
                "a guard or reservation is too large: at most 512 MiB before a memory, 1 TiB for it and after it"
                    .into(),
            ));
        }
        if let Some(symbol) = &self.symbol {
            let starts = symbol.starts_with(|first: char| first.is_ascii_alphabetic() || first == '_');
            if !starts || !symbol.chars().all(|c| c.is_ascii_alphanumeric() || c == '_') {
                return Err(Error::Options(format!(
                    "the symbol `{symbol}` is no identifier of C: letters, digits and `_`, with no digit first"
                )));
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::inspect::Report;

    fn report(options: &Options) -> Report {
        Report::read(&crate::compile(b"(module (func))", options).unwrap(), 0).unwrap()
    }

    #[test]
    fn deterministic_code_is_so_in_all_three_ways_and_keeps_a_limit_that_was_set() {
        let mut options = Options::new();
        assert!(!report(&options).deterministic);
        let found = report(options.deterministic());
        assert!(found.deterministic && found.canonical_nans && found.deterministic_relaxed_simd);
        assert_eq!(found.stack_values, Some(Options::DETERMINISTIC_STACK));
        let mut options = Options::new();
        options.deterministic_stack = NonZeroU32::new(77);
        let found = report(options.deterministic());
        assert!(found.deterministic);
        assert_eq!(found.stack_values, NonZeroU32::new(77));
    }
}
