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
        self.required("OUT_DIR", "the folder for what the build script makes").map(PathBuf::from)
    }

    /// The package's folder, if cargo says it.
    pub fn package(&self) -> Option<PathBuf> {
        self.get("CARGO_MANIFEST_DIR").map(PathBuf::from)
    }

    /// The package's name and version.
    pub fn package_id(&self) -> String {
        let [name, version] = ["CARGO_PKG_NAME", "CARGO_PKG_VERSION"].map(|name| self.get(name).unwrap_or_default());
        format!("{name}@{version} ")
    }

    /// The machine that the host program is for, with the CPU features that
    /// its own code uses too, unless `cpu` or the person who builds says
    /// otherwise.
    pub fn target(&self, triple: Option<&str>, cpu: Option<&str>) -> Result<Target> {
        let triple = match triple {
            Some(triple) => triple.to_owned(),
            None => self.required("TARGET", "the triple of the machine to build for")?,
        };
        let bad = |wanted: &crate::Error| Error::Variable {
            name: "TARGET",
            value: Some(triple.clone()),
            wanted: format!("a machine that wasmc compiles for ({wanted})"),
        };
        let target = Target::new(&triple).or_else(|error| self.usual_triple().ok_or(error));
        let target = target.map_err(|e| bad(&e))?;
        let chosen = self.own(CPU);
        let name = if chosen.is_some() { CPU } else { "cpu" };
        match chosen.as_deref().or(cpu) {
            Some(list) => {
                let foreign = self.get("HOST").is_some_and(|host| host != triple);
                if foreign && list.split(',').any(|item| item.trim() == "native") {
                    self.warn(&format!(
                        "guests are compiled for the CPU of this machine, and the program for {triple}"
                    ));
                }
                target.cpu(list).map_err(|error| Error::Variable {
                    name,
                    value: Some(list.to_owned()),
                    wanted: format!("a list of CPUs and their features ({error})"),
                })
            }
            None => {
                let list = self.cpu_features(&target);
                target.cpu(&list).map_err(|e| bad(&e))
            }
        }
    }

    /// The triple for what a target of another name consists of: triples can
    /// be the user's own.
    fn usual_triple(&self) -> Option<Target> {
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

    /// How much to optimise, by the profile.
    pub fn opt_level(&self) -> Result<OptLevel> {
        let wanted = || "0, 1, 2, 3, s or z".to_owned();
        let level = |name: &'static str, value: String| match value.as_str() {
            "0" => Ok(OptLevel::None),
            "1" => Ok(OptLevel::Basic),
            "2" | "3" => Ok(OptLevel::Speed),
            "s" | "z" => Ok(OptLevel::Size),
            _ => Err(Error::Variable { name, value: Some(value), wanted: wanted() }),
        };
        match self.own(OPT_LEVEL) {
            Some(value) => level(OPT_LEVEL, value),
            None => level("OPT_LEVEL", self.required("OPT_LEVEL", &wanted())?),
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
