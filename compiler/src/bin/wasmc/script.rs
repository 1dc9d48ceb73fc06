//! `wasmc wast`: runs test scripts.

use crate::args::WastArgs;
use crate::log::{chain, count, strategy_in_force};
use crate::{input, load, output::print};
use std::fmt::Write;
use std::process::ExitCode;
use wasmc::Target;
use wasmc::wast::{Runner, Setup};
use wasmc_loader::{Config, Engine, InstanceLimits};

/// Runs all scripts, a line for each, and fails if something in them did.
pub(crate) fn run(args: &WastArgs) -> anyhow::Result<ExitCode> {
    let setup = setup(args)?;
    if args.log.verbose {
        anstream::eprintln!("{}", strategy_in_force(&setup.engine, args.strategy.strategy));
    }
    let mut options = args.code.options(Target::default(), &args.cpu)?;
    args.stops.apply(&mut options);
    let runner = Runner::new(options, load::compiled);
    let (mut passed, mut failed) = (0, 0);
    for path in &args.inputs {
        let read = input::read(path).and_then(|bytes| {
            String::from_utf8(bytes).map_err(|_| anyhow::anyhow!("cannot read {}: it is not UTF-8", input::name(path)))
        });
        let script = match read {
            Ok(script) => script,
            Err(error) => {
                anstream::eprintln!("error: {}", chain(&error));
                failed += 1;
                continue;
            }
        };
        let outcome = runner.run(&script, &setup);
        passed += outcome.passed;
        failed += outcome.failures.len();
        if !args.log.quiet || !outcome.is_success() {
            let (passed, failures) = (outcome.passed, outcome.failures.len());
            let mut text = format!("{}: {} passed, {failures} failed\n", path.display(), assertions(passed));
            for failure in &outcome.failures {
                writeln!(text, "  {}:{failure}", path.display())?;
            }
            print(text.as_bytes())?;
        }
    }
    if args.inputs.len() > 1 {
        print(format!("{} files: {} passed, {failed} failed\n", args.inputs.len(), assertions(passed)).as_bytes())?;
    }
    Ok(if failed == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// What scripts run on. A pool has to hold all instances of a script, since it
/// drops none before it ends.
fn setup(args: &WastArgs) -> anyhow::Result<Setup> {
    let mut config = Config::new();
    let limits = InstanceLimits { count: 500, tables: 20, table_elements: 100_000, memories: 10, ..Default::default() };
    config.allocation_strategy(limits).instantiation_strategy(args.strategy.strategy);
    config.gc_stress(args.gc_stress);
    let engine = Engine::new(&config).map_err(|error| anyhow::Error::from_boxed(error.into()))?;
    Ok(Setup { engine, reset: args.reset, interrupt: false })
}

fn assertions(number: usize) -> String {
    count(number as u64, "assertion")
}
