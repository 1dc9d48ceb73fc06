//! Cargo's side: the variables that it sets for build scripts, and the lines
//! that it reads from them.

use super::error::{Error, Result};
use crate::options::OptLevel;
use crate::target::Target;
use std::collections::BTreeMap;
use std::fmt::Display;
use std::num::NonZeroUsize;
use std::path::{Path, PathBuf};
use wasmc_artifacts::abi::CPU_FEATURES;

/// Lets whoever builds choose the CPU without changing the build script.
const CPU: &str = "WASMC_CPU";
/// Likewise, how much to optimise.
const OPT_LEVEL: &str = "WASMC_OPT_LEVEL";

/// What cargo says, and whether it is listening.
pub(super) struct Cargo<'a> {
    /// Variables that are to be used instead of the environment's.
    pub variables: &'a BTreeMap<String, String>,
    /// Whether lines for cargo are printed.
    pub listening: bool,
}

impl Cargo<'_> {
    fn get(&self, name: &str) -> Option<String> {
        self.variables.get(name).cloned().or_else(|| std::env::var(name).ok())
    }

    fn required(&self, name: &'static str, wanted: &str) -> Result<String> {
        self.get(name).ok_or_else(|| Error::Variable { name, value: None, wanted: wanted.to_owned() })
    }

    /// A variable that is not cargo's: cargo runs the script again when it changes.
    fn own(&self, name: &str) -> Option<String> {
        self.say("rerun-if-env-changed", name);
        self.get(name).filter(|value| !value.is_empty())
    }

    /// Says something to cargo.
    pub fn say(&self, key: &str, value: impl Display) {
        if self.listening {
            println!("cargo:{key}={value}");
        }
    }

    /// Makes cargo run the build script again when a file changes.
    pub fn depends_on(&self, path: &Path) {
        self.say("rerun-if-changed", path.display());
    }

    /// A warning for the person who builds.
    pub fn warn(&self, message: &str) {
        for line in message.lines() {
            self.say("warning", line);
        }
    }

    /// Reports an error, where cargo has a way to report one: since 1.84, and
    /// only to packages that do not claim to build with an older one.
    pub fn error(&self, error: &Error) {
        let claimed = self.get("CARGO_PKG_RUST_VERSION").unwrap_or_default();
        let mut numbers = claimed.split('.').map(str::parse::<u32>);
        let minor = match (numbers.next(), numbers.next()) {
            (Some(Ok(1)), Some(Ok(minor))) => minor,
            (Some(Ok(1)), None) => 0,
            _ => u32::MAX,
        };
        if self.listening && minor >= 84 {
            for line in error.to_string().lines() {
                println!("cargo::error={line}");
            }
        }
    }

    /// Where everything that is made goes.
    pub fn out_dir(&self) -> Result<PathBuf> {
        match self.path("OUT_DIR") {
            Some(out) => Ok(out),
            None => self.required("OUT_DIR", "the folder for what the build script makes").map(PathBuf::from),
        }
    }

    /// The package's folder, if cargo says it.
    pub fn package(&self) -> Option<PathBuf> {
        self.path("CARGO_MANIFEST_DIR")
    }

    /// A variable that is a path, which need not be text.
    fn path(&self, name: &str) -> Option<PathBuf> {
        let own = self.variables.get(name).map(PathBuf::from);
        own.or_else(|| std::env::var_os(name).map(PathBuf::from))
    }

    /// The package's name and version.
    pub fn package_id(&self) -> String {
        let [name, version] = ["CARGO_PKG_NAME", "CARGO_PKG_VERSION"].map(|name| self.get(name).unwrap_or_default());
        format!("{name}@{version} ")
    }

    /// The machine that the host program is for, with the CPU features that
    /// its own code uses too, unless the script or the person who builds says
    /// otherwise.
    pub fn target(&self, chosen: Option<&str>, cpu: Option<&str>) -> Result<Target> {
        let wanted = |error: &crate::Error| format!("a machine that wasmc compiles for ({error})");
        let target = match chosen {
            Some(triple) => Target::new(triple).map_err(|error| Error::Setting {
                method: "target",
                value: triple.to_owned(),
                wanted: wanted(&error),
            })?,
            None => {
                let triple = self.required("TARGET", "the triple of the machine to build for")?;
                let target = Target::new(&triple).or_else(|error| self.usual_triple().ok_or(error));
                target.map_err(|error| Error::Variable {
                    name: "TARGET",
                    value: Some(triple),
                    wanted: wanted(&error),
                })?
            }
        };
        let given = self.own(CPU);
        let Some(list) = given.as_deref().or(cpu) else {
            let list = self.cpu_features(&target);
            return target.cpu(&list).map_err(|error| Error::Variable {
                name: "CARGO_CFG_TARGET_FEATURE",
                value: Some(list),
                wanted: wanted(&error),
            });
        };
        self.warn_of_native(list, &target, chosen);
        target.cpu(list).map_err(|error| {
            let (value, wanted) = (list.to_owned(), format!("a list of CPUs and their features ({error})"));
            if given.is_some() {
                Error::Variable { name: CPU, value: Some(value), wanted }
            } else {
                Error::Setting { method: "cpu", value, wanted }
            }
        })
    }

    /// Warns if code for this machine's CPU may be for another machine.
    fn warn_of_native(&self, list: &str, target: &Target, chosen: Option<&str>) {
        let triple = chosen.map(str::to_owned).or_else(|| self.get("TARGET"));
        let is_foreign = self.get("HOST").is_some_and(|host| Some(host) != triple);
        if is_foreign && list.split(',').any(|item| item.trim() == "native") {
            let triple = triple.unwrap_or_else(|| target.triple().to_string());
            self.warn(&format!("guests are compiled for the CPU of this machine, and the program for {triple}"));
        }
    }

    /// The triple for what a target of another name consists of: triples can
    /// be the user's own.
    fn usual_triple(&self) -> Option<Target> {
        let is = |name: &str, usual: &str| self.get(name).is_none_or(|value| value == usual);
        if !is("CARGO_CFG_TARGET_POINTER_WIDTH", "64") || !is("CARGO_CFG_TARGET_ENDIAN", "little") {
            return None;
        }
        let arch = self.get("CARGO_CFG_TARGET_ARCH")?;
        let os = match self.get("CARGO_CFG_TARGET_OS")?.as_str() {
            "linux" => "unknown-linux-gnu",
            "macos" => "apple-darwin",
            _ => return None,
        };
        Target::new(&format!("{arch}-{os}")).ok()
    }

    /// The features that the program's own code is compiled with, as far as
    /// guests know them.
    fn cpu_features(&self, target: &Target) -> String {
        let on = self.get("CARGO_CFG_TARGET_FEATURE").unwrap_or_default();
        let on: Vec<&str> = on.split(',').collect();
        let known = CPU_FEATURES.iter().filter(|f| f.arch == target.arch() && on.contains(&f.name));
        known.map(|f| f.name).collect::<Vec<_>>().join(",")
    }

    /// How much to optimise: as the person who builds says, or else the script,
    /// or else the profile.
    pub fn opt_level(&self, chosen: Option<OptLevel>) -> Result<OptLevel> {
        let wanted = || "0, 1, 2, 3, s or z".to_owned();
        let level = |name: &'static str, value: String| match value.as_str() {
            "0" => Ok(OptLevel::None),
            "1" => Ok(OptLevel::Basic),
            "2" | "3" => Ok(OptLevel::Speed),
            "s" | "z" => Ok(OptLevel::Size),
            _ => Err(Error::Variable { name, value: Some(value), wanted: wanted() }),
        };
        match (self.own(OPT_LEVEL), chosen) {
            (Some(value), _) => level(OPT_LEVEL, value),
            (None, Some(chosen)) => Ok(chosen),
            (None, None) => level("OPT_LEVEL", self.required("OPT_LEVEL", &wanted())?),
        }
    }

    /// Whether the profile has debug information.
    pub fn debug(&self) -> bool {
        // Old versions pass the number on.
        self.get("DEBUG").is_some_and(|value| !matches!(value.as_str(), "" | "0" | "false" | "none"))
    }

    /// How many threads cargo lets the script have at most.
    pub fn jobs(&self) -> Option<NonZeroUsize> {
        self.get("NUM_JOBS")?.parse().ok()
    }
}
