//! Programs for another machine, 64-bit Arm, under an emulator.
//!
//! That takes a Rust with this machine's standard library, and a linker and an
//! emulator for it. Guests are compiled by this process, with the variables
//! that cargo sets when it cross-compiles; build scripts of the programs only
//! hand over what is made. So the compiler need not be compiled once more, for
//! a Rust that is not the one of these tests.

mod carriers;
mod machine;

use crate::package::{Program, built, terminal};
use std::path::Path;
use std::process::{Command, Output};

const TARGET: &str = "aarch64-unknown-linux-gnu";
const LINKER: &str = "aarch64-linux-gnu-gcc";
const EMULATOR: &str = "qemu-aarch64";
/// Where Debian has the machine's shared libraries that programs are linked
/// with; a system that can run them has others, which must not be mixed.
const LIBRARIES: &str = "/usr/aarch64-linux-gnu";
const SYSTEMS_OWN: &str = "/lib/ld-linux-aarch64.so.1";

/// What builds and runs programs for the target.
struct Cross {
    cargo: String,
    rustc: String,
}

fn works(command: &mut Command) -> bool {
    command.output().is_ok_and(|output| output.status.success())
}

/// Whether a rustc has the target's standard library.
fn knows_target(rustc: &str) -> bool {
    let folder = Command::new(rustc).args(["--print", "target-libdir", "--target", TARGET]).output();
    folder.is_ok_and(|output| Path::new(String::from_utf8_lossy(&output.stdout).trim()).is_dir())
}

impl Cross {
    /// What is installed, or nothing, which is said.
    ///
    /// # Panics
    /// If it is not complete and this is the gate, where the test has to run.
    fn find() -> Option<Cross> {
        let own = (std::env::var("CARGO").unwrap_or_else(|_| "cargo".to_owned()), "rustc".to_owned());
        // Debian's packages rustc-web, cargo-web and libstd-rust-web-dev:arm64.
        let debian = ("/usr/bin/cargo".to_owned(), "/usr/bin/rustc".to_owned());
        let found = [own, debian]
            .into_iter()
            .find(|(cargo, rustc)| knows_target(rustc) && works(Command::new(cargo).arg("--version")));
        let absent = match &found {
            None => format!("a Rust with the standard library of {TARGET}"),
            Some(_) if !works(Command::new(LINKER).arg("--version")) => LINKER.to_owned(),
            Some(_) if !works(Command::new(EMULATOR).arg("--version")) => EMULATOR.to_owned(),
            Some((cargo, rustc)) => return Some(Cross { cargo: cargo.clone(), rustc: rustc.clone() }),
        };
        let message = format!("NOT RUN for {TARGET}: there is no {absent}; `.ci/run` has Debian's packages");
        assert!(std::env::var_os("CI").is_none(), "{message}");
        // Past the test's captured output, so that it is seen.
        let _ = std::io::Write::write_fmt(&mut std::io::stderr(), format_args!("{message}\n"));
        None
    }

    /// Builds a package of the program.
    fn build(&self, program: &Program, package: &str) {
        let output = program.run(
            Command::new(&self.cargo)
                .env("RUSTC", &self.rustc)
                .env("CARGO_TARGET_AARCH64_UNKNOWN_LINUX_GNU_LINKER", LINKER)
                .args(["build", "--target", TARGET, "-p", package]),
        );
        assert!(output.status.success(), "{package} cannot be built for {TARGET}:\n{}", terminal(&output));
    }

    /// Runs what was built.
    fn run(&self, package: &str, arguments: &[&Path]) -> Output {
        let mut command = Command::new(EMULATOR);
        if !Path::new(SYSTEMS_OWN).exists() {
            command.args(["-L", LIBRARIES]);
        }
        command.arg(program(package)).args(arguments);
        command.output().expect("the emulator can be started")
    }
}

/// Where a program of this package is.
fn program(package: &str) -> std::path::PathBuf {
    built(&format!("{TARGET}/debug")).with_file_name(package)
}
