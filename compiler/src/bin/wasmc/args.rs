//! The command line.

#[cfg(any(feature = "run", feature = "wast"))]
use clap::builder::{PossibleValue, PossibleValuesParser, TypedValueParser};
use clap::error::ErrorKind;
use clap::{Args, CommandFactory, Parser, Subcommand, ValueEnum};
use std::num::{NonZeroU32, NonZeroUsize};
use std::path::PathBuf;
#[cfg(any(feature = "init", feature = "run"))]
use std::time::Duration;
use wasmc::{Error, Features, OptLevel, Options, Target};
use wasmc_artifacts::container::Container;
#[cfg(any(feature = "run", feature = "wast"))]
use wasmc_loader::InstantiationStrategy;

/// Compiles WebAssembly ahead of time into an artifact that is mapped and run.
#[derive(Debug, Parser)]
#[command(name = "wasmc", version, args_conflicts_with_subcommands = true, subcommand_negates_reqs = true)]
#[command(after_help = "To compile is what wasmc does without a command. \
    A file that is named like a command is given as `./run`, or after `--`.")]
pub(crate) struct Cli {
    #[command(subcommand)]
    pub(crate) command: Option<Command>,
    #[command(flatten)]
    pub(crate) compile: CompileArgs,
}

#[derive(Debug, Subcommand)]
pub(crate) enum Command {
    /// Run a program: compile it in memory, or map an artifact
    #[cfg(feature = "run")]
    Run(RunArgs),
    /// Show what is in an artifact
    Inspect(InspectArgs),
    /// Check an artifact: its tables, its content hash, and the file around them
    Verify(VerifyArgs),
    /// Run WebAssembly test scripts
    #[cfg(feature = "wast")]
    Wast(WastArgs),
}

#[derive(Debug, Args)]
pub(crate) struct CompileArgs {
    /// The module, binary or text; `-` reads standard input
    #[arg(required = true, value_name = "FILE")]
    pub(crate) input: Option<PathBuf>,
    /// Where the result goes; `-` is standard output [default: the input's name with the extension of what is made]
    #[arg(short, long, value_name = "FILE")]
    pub(crate) output: Option<PathBuf>,
    /// The machine to compile for [default: this one]
    #[arg(long, value_name = "TRIPLE", value_parser = Target::new)]
    pub(crate) target: Option<Target>,
    /// The CPU: `baseline`, `native`, a level such as `x86-64-v3`, or features such as `avx2,-bmi2`
    #[arg(long, default_value = "baseline", allow_hyphen_values = true)]
    pub(crate) cpu: String,
    /// What to make
    #[arg(long, value_enum, default_value_t = Emit::Cwasm)]
    pub(crate) emit: Emit,
    /// The symbol of an object file's artifact, for the host that it is linked into; `NAME_end` is that of its end
    /// [default: wasmc_ and the module's name for itself, or `module`]
    #[arg(long, value_name = "NAME")]
    pub(crate) symbol: Option<String>,
    /// The file format [default: that of the target's system]
    #[arg(long, value_enum)]
    pub(crate) format: Option<Format>,
    /// Pages that instances touch, to be fetched in one go: a file that `wasmc run --record-working-set` made with
    /// this module
    #[arg(long, value_name = "FILE")]
    pub(crate) working_set: Option<PathBuf>,
    #[command(flatten)]
    pub(crate) stops: StopArgs,
    #[command(flatten)]
    pub(crate) code: CodeArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
    // Its heading in the help is that of all options after it.
    #[cfg(feature = "init")]
    #[command(flatten)]
    pub(crate) init: crate::init::InitArgs,
}

/// What code stops for.
#[derive(Debug, Args)]
pub(crate) struct StopArgs {
    /// Let the code look in every loop and recursion whether it is to stop: at a deadline, or because another thread
    /// says so
    #[arg(long)]
    pub(crate) epoch: bool,
    /// Let the code count what it does, the same on every machine, and stop when the fuel for that is used up
    #[arg(long)]
    pub(crate) fuel: bool,
}

impl StopArgs {
    /// Adds them to the compiler's options.
    pub(crate) fn apply(&self, options: &mut Options) {
        (options.epoch, options.fuel) = (self.epoch, self.fuel);
    }
}

/// What every command that compiles can be told.
#[derive(Debug, Args)]
pub(crate) struct CodeArgs {
    /// How much to optimise: 0, 1, 2, or s for size
    #[arg(short = 'O', long = "opt-level", value_name = "LEVEL", default_value = "2", value_parser = opt_level)]
    pub(crate) opt_level: OptLevel,
    /// Number of threads to compile with [default: one for each core]
    #[arg(short, long, value_name = "N")]
    pub(crate) jobs: Option<NonZeroUsize>,
    /// Proposals to switch on or, as `-NAME`, off: `simd,-relaxed-simd`, `all`
    #[arg(long, value_name = "LIST", default_value = "", hide_default_value = true, value_parser = features)]
    #[arg(allow_hyphen_values = true)]
    pub(crate) wasm_features: Features,
    /// Let every computed NaN have one bit pattern, so that results are the same on every machine
    #[arg(long)]
    pub(crate) canonicalize_nans: bool,
    /// Let relaxed SIMD have the results of the specification's deterministic profile, on every CPU
    #[arg(long)]
    pub(crate) relaxed_simd_deterministic: bool,
    /// Let calls nest until their frames have this many values (parameters, locals and operands), so that the stack
    /// overflows at the same point on every machine; the loader's limit in bytes must be beyond that
    #[arg(long, value_name = "VALUES")]
    pub(crate) deterministic_stack: Option<NonZeroU32>,
    /// Let a program do the same everywhere, whatever its host does being equal: `--canonicalize-nans`,
    /// `--relaxed-simd-deterministic`, and `--deterministic-stack` with 65536 values unless that is given
    #[arg(long)]
    pub(crate) deterministic: bool,
    /// Include debug information
    #[arg(short = 'g', long)]
    pub(crate) debug: bool,
    /// Leave out function names
    #[arg(long)]
    pub(crate) strip: bool,
}

#[derive(Debug, Args)]
pub(crate) struct LogArgs {
    /// Say what is done: functions, sizes, times
    #[arg(short, long, conflicts_with = "quiet")]
    pub(crate) verbose: bool,
    /// Say nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[cfg(feature = "run")]
#[derive(Debug, Args)]
pub(crate) struct RunArgs {
    /// The program (wasm, its text format, or an artifact; `-` reads standard input) and, after it, what goes to
    /// the program or to the function called with --invoke
    #[arg(value_names = ["FILE", "ARGS"], required = true, num_args = 1.., trailing_var_arg = true)]
    pub(crate) program: Vec<std::ffi::OsString>,
    /// Let the program reach the folder HOST, named GUEST; with `::ro`, only to read
    #[arg(long = "dir", value_name = "HOST[::GUEST[::ro]]")]
    pub(crate) dirs: Vec<String>,
    /// Set a variable of the program's environment, or pass on the one of this process
    #[arg(long = "env", value_name = "NAME[=VALUE]")]
    pub(crate) variables: Vec<String>,
    /// The program's name for itself [default: the name of the file]
    #[arg(long, value_name = "NAME")]
    pub(crate) argv0: Option<String>,
    /// Let functions that nothing provides trap when they are called
    #[arg(long)]
    pub(crate) trap_unknown_imports: bool,
    /// Call this export instead of `_start`, and print what it returns
    #[arg(long, value_name = "NAME")]
    pub(crate) invoke: Option<String>,
    #[command(flatten)]
    pub(crate) strategy: StrategyArgs,
    /// Stop the program after this time, in seconds or with a unit (`500ms`, `2m`). An artifact must have been compiled
    /// with `--epoch`. A call of the system that waits is not interrupted
    #[arg(long, value_name = "DURATION", value_parser = duration)]
    pub(crate) timeout: Option<Duration>,
    /// Stop the program, and each of its threads, after it has done so much: about as many operators as that. An
    /// artifact must have been compiled with `--fuel`
    #[arg(long, value_name = "UNITS")]
    pub(crate) fuel: Option<u64>,
    /// Let a profiler know the names of functions in code that is in no file
    #[arg(long, value_enum, value_name = "HOW")]
    pub(crate) profile: Option<Profile>,
    /// Write down which pages of its memories the program changes: with `wasmc --working-set FILE` instances of the
    /// same module then get them in one go
    #[arg(long, value_name = "FILE")]
    pub(crate) record_working_set: Option<PathBuf>,
    /// The CPU to compile for, as for compiling
    #[arg(long, default_value = "native", allow_hyphen_values = true)]
    pub(crate) cpu: String,
    #[command(flatten)]
    pub(crate) code: CodeArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// How a profiler learns names.
#[cfg(feature = "run")]
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Profile {
    /// From `/tmp/perf-PID.map`, where `perf` looks for them; it needs none of this for an artifact
    Perfmap,
}

#[derive(Debug, Args)]
pub(crate) struct InspectArgs {
    /// The artifact
    #[arg(value_name = "FILE")]
    pub(crate) input: PathBuf,
    /// Print JSON
    #[arg(long)]
    pub(crate) json: bool,
    /// How many of the largest functions to list
    #[arg(long, value_name = "N", default_value_t = 10)]
    pub(crate) functions: usize,
}

#[derive(Debug, Args)]
pub(crate) struct VerifyArgs {
    /// The artifacts
    #[arg(value_name = "FILE", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// Say nothing but errors
    #[arg(short, long)]
    pub(crate) quiet: bool,
}

#[cfg(feature = "wast")]
#[derive(Debug, Args)]
pub(crate) struct WastArgs {
    /// The scripts
    #[arg(value_name = "FILE", required = true)]
    pub(crate) inputs: Vec<PathBuf>,
    /// The CPU to compile for, as for compiling
    #[arg(long, default_value = "native", allow_hyphen_values = true)]
    pub(crate) cpu: String,
    #[command(flatten)]
    pub(crate) strategy: StrategyArgs,
    /// Change the memories, tables and globals of every instance and reset it, before it is used for the first time
    #[arg(long)]
    pub(crate) reset: bool,
    /// Collect garbage at every allocation
    #[arg(long)]
    pub(crate) gc_stress: bool,
    #[command(flatten)]
    pub(crate) stops: StopArgs,
    #[command(flatten)]
    pub(crate) code: CodeArgs,
    #[command(flatten)]
    pub(crate) log: LogArgs,
}

/// Where instances live, and how their memories begin.
#[cfg(any(feature = "run", feature = "wast"))]
#[derive(Debug, Args)]
pub(crate) struct StrategyArgs {
    /// Where instances live, and how their memories begin
    #[arg(long, value_name = "STRATEGY", default_value = "recreate-instance-copy-on-write")]
    #[arg(value_parser = strategies())]
    pub(crate) strategy: InstantiationStrategy,
}

/// The loader's names of strategies, and what they mean.
#[cfg(any(feature = "run", feature = "wast"))]
const STRATEGIES: [(&str, &str); 5] = [
    ("pooling-copy-on-write", "In a pool, with memories that are copy-on-write views of the artifact"),
    ("recreate-instance-copy-on-write", "Allocated on demand, with memories that are such views"),
    ("pooling", "In a pool, with memories that are copied from the artifact"),
    ("recreate-instance", "Allocated on demand, with memories that are copied: very slow"),
    ("legacy-instance-reuse", "One instance, reset instead of made anew; deprecated, use one of the others"),
];

#[cfg(any(feature = "run", feature = "wast"))]
fn strategies() -> impl TypedValueParser<Value = InstantiationStrategy> {
    let values = STRATEGIES.iter().map(|(name, meaning)| PossibleValue::new(*name).help(*meaning));
    PossibleValuesParser::new(values).try_map(|name| name.parse::<InstantiationStrategy>())
}

/// What the compiler can make.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Emit {
    /// The artifact that the loader maps
    Cwasm,
    /// A relocatable object file for a linker
    Obj,
    /// Cranelift's intermediate form, as text
    Clif,
    /// Assembly, as text
    Asm,
}

/// File formats.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// ELF64
    Elf,
    /// 64-bit Mach-O
    Macho,
}

impl Emit {
    /// The extension of a file that holds this.
    pub(crate) fn extension(self) -> &'static str {
        match self {
            Emit::Cwasm => "cwasm",
            Emit::Obj => "o",
            Emit::Clif => "clif",
            Emit::Asm => "s",
        }
    }

    /// Whether a person can read it on a terminal.
    pub(crate) fn is_text(self) -> bool {
        matches!(self, Emit::Clif | Emit::Asm)
    }
}

fn opt_level(name: &str) -> Result<OptLevel, Error> {
    name.parse()
}

fn features(list: &str) -> Result<Features, Error> {
    let mut features = Features::default();
    features.apply(list)?;
    Ok(features)
}

/// A time with a unit; without one, in seconds.
#[cfg(any(feature = "init", feature = "run"))]
pub(crate) fn duration(text: &str) -> Result<Duration, String> {
    let number = text.trim_end_matches(|c: char| c.is_ascii_alphabetic());
    let unit = match &text[number.len()..] {
        "us" => 1e-6,
        "ms" => 1e-3,
        "" | "s" => 1.0,
        "m" | "min" => 60.0,
        "h" => 3600.0,
        other => return Err(format!("`{other}` is no unit of time; there are us, ms, s, m, h")),
    };
    let number: f64 = number.parse().map_err(|_| format!("`{number}` is not a number"))?;
    let time = Duration::try_from_secs_f64(number * unit).map_err(|error| error.to_string())?;
    if time.is_zero() { Err("there must be some time".to_owned()) } else { Ok(time) }
}

/// A mistake in the command line that only shows when options are seen
/// together.
pub(crate) fn usage(message: impl std::fmt::Display) -> anyhow::Error {
    Cli::command().error(ErrorKind::ValueValidation, message).into()
}

impl CodeArgs {
    /// The compiler's options for code that runs on `target` with `cpu`.
    pub(crate) fn options(&self, target: Target, cpu: &str) -> anyhow::Result<Options> {
        let mut options = Options::new();
        options.target =
            target.cpu(cpu).map_err(|error| usage(format_args!("invalid value '{cpu}' for '--cpu': {error}")))?;
        options.opt_level = self.opt_level;
        options.features = self.wasm_features;
        options.debug = self.debug;
        options.strip = self.strip;
        options.deterministic_stack = self.deterministic_stack;
        options.canonicalize_nans = self.canonicalize_nans;
        options.relaxed_simd_deterministic = self.relaxed_simd_deterministic;
        if self.deterministic {
            options.deterministic();
        }
        options.jobs = self.jobs;
        Ok(options)
    }
}

#[cfg(feature = "run")]
impl RunArgs {
    /// The program's file.
    pub(crate) fn input(&self) -> &std::path::Path {
        self.program.first().map_or("-".as_ref(), |input| input.as_ref())
    }

    /// What comes after it.
    pub(crate) fn arguments(&self) -> &[std::ffi::OsString] {
        self.program.get(1..).unwrap_or_default()
    }
}

impl CompileArgs {
    /// The compiler's options.
    pub(crate) fn options(&self) -> anyhow::Result<Options> {
        let mut target = self.target.clone().unwrap_or_default();
        if let Some(format) = self.format {
            target = target.container(match format {
                Format::Elf => Container::Elf,
                Format::Macho => Container::MachO,
            });
        }
        if self.symbol.is_some() && self.emit != Emit::Obj {
            return Err(usage("`--symbol` names the artifact in an object file: it needs `--emit obj`"));
        }
        let mut options = Options { symbol: self.symbol.clone(), ..self.code.options(target, &self.cpu)? };
        self.stops.apply(&mut options);
        Ok(options)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_definition_is_consistent() {
        Cli::command().debug_assert();
    }

    #[cfg(any(feature = "run", feature = "wast"))]
    #[test]
    fn every_strategy_of_the_loader_has_a_meaning() {
        let names: Vec<_> = InstantiationStrategy::ALL.iter().map(|strategy| strategy.to_string()).collect();
        assert_eq!(names, STRATEGIES.map(|(name, _)| name));
    }

    #[test]
    fn a_file_may_be_named_like_a_command() {
        let input = |line: &[&str]| Cli::try_parse_from(line).unwrap().compile.input.unwrap();
        assert_eq!(input(&["wasmc", "--", "inspect"]), PathBuf::from("inspect"));
        assert_eq!(input(&["wasmc", "./inspect", "-o", "out"]), PathBuf::from("./inspect"));
        assert_eq!(input(&["wasmc", "-o", "out", "inspect"]), PathBuf::from("inspect"));
    }

    #[cfg(any(feature = "init", feature = "run"))]
    #[test]
    fn times_are_read_with_and_without_units() {
        let times = [("2", 2_000_000), ("1.5s", 1_500_000), ("500ms", 500_000), ("30us", 30), ("2m", 120_000_000)];
        for (text, microseconds) in times {
            assert_eq!(duration(text), Ok(Duration::from_micros(microseconds)), "{text}");
        }
        for wrong in ["", "s", "0", "-1", "1 s", "5d", "1e99", "nan"] {
            assert!(duration(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn only_what_belongs_there_has_a_heading_of_its_own() {
        let command = Cli::command();
        let heading = |argument: &clap::Arg| argument.get_help_heading().map(str::to_owned);
        for argument in command.get_arguments() {
            let of_init = argument.get_id().as_str().starts_with("init");
            assert_eq!(heading(argument).is_some(), of_init, "{argument}");
        }
    }

    #[test]
    fn attached_and_negative_values_are_understood() {
        let line = ["wasmc", "-Os", "-j4", "--wasm-features", "-simd,-relaxed-simd", "--cpu", "-avx2", "x.wasm"];
        let compile = Cli::try_parse_from(line).unwrap().compile;
        assert_eq!((compile.code.opt_level, compile.cpu.as_str()), (OptLevel::Size, "-avx2"));
        assert!(Cli::try_parse_from(["wasmc", "-O3", "x.wasm"]).is_err());
    }
}
