//! `wasmc wast`: runs test scripts.

use crate::args::{Strategy, WastArgs};
use crate::log::{chain, count};
use crate::{input, load, output::print};
use std::fmt::Write;
use std::process::ExitCode;
use wasmc::Target;
use wasmc::wast::Runner;

/// Runs all scripts, a line for each, and fails if something in them did.
pub(crate) fn run(args: &WastArgs) -> anyhow::Result<ExitCode> {
    // The loader's only one so far, so there is nothing to configure.
    let Strategy::OnDemand = args.strategy;
    let runner = Runner::new(args.code.options(Target::default(), &args.cpu)?, load::compiled);
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
        let outcome = runner.run(&script);
        passed += outcome.passed;
        failed += outcome.failures.len();
        if !args.quiet || !outcome.is_success() {
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

fn assertions(number: usize) -> String {
    count(number as u64, "assertion")
}
