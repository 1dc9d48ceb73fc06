//! The machine to compile for: its triple, and the CPU features that code may
//! use there.

use crate::error::Error;
use crate::options::{OptLevel, Options};
use cranelift_codegen::isa::{self, OwnedTargetIsa};
use cranelift_codegen::settings::{self, Configurable};
use std::str::FromStr;
use target_lexicon::{Architecture, BinaryFormat, Endianness, OperatingSystem, PointerWidth, Triple};
use wasmc_artifacts::abi::{Arch, CPU_FEATURES, CpuFeatures, Os};
use wasmc_artifacts::container::Container;

/// Levels of x86-64 as compilers name them; each contains the ones before.
const X86_LEVELS: &[(&str, &[&str])] = &[
    ("x86-64", &[]),
    ("x86-64-v2", &["cmpxchg16b", "sse3", "ssse3", "sse4.1", "sse4.2", "popcnt"]),
    ("x86-64-v3", &["avx", "avx2", "fma", "bmi1", "bmi2", "lzcnt"]),
    ("x86-64-v4", &["avx512f", "avx512dq", "avx512vl"]),
];

/// A machine.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Target {
    triple: Triple,
    arch: Arch,
    os: Os,
    cpu: CpuFeatures,
    container: Container,
}

impl Default for Target {
    /// This machine's architecture and system, with the features that every
    /// CPU of the architecture has. On an architecture that wasmc has no
    /// target for: x86-64 Linux.
    fn default() -> Self {
        Target::from_triple(Triple::host()).or_else(|_| Target::new("x86_64-unknown-linux-gnu")).unwrap_or(Target {
            triple: Triple::unknown(),
            arch: Arch::X86_64,
            os: Os::Linux,
            cpu: CpuFeatures::default(),
            container: Container::Elf,
        })
    }
}

impl Target {
    /// The machine with this triple and the features that all its CPUs have.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for anything but x86-64 and arm64 Linux and macOS.
    pub fn new(triple: &str) -> Result<Target, Error> {
        let unknown = || unknown_target(triple);
        Target::from_triple(Triple::from_str(triple).map_err(|_| unknown())?).map_err(|_| unknown())
    }

    fn from_triple(triple: Triple) -> Result<Target, Error> {
        let arch = match triple.architecture {
            Architecture::X86_64 => Arch::X86_64,
            Architecture::Aarch64(_) => Arch::Aarch64,
            _ => return Err(unknown_target(&triple.to_string())),
        };
        // Some systems have 32-bit pointers, or big-endian words, on these too.
        if triple.endianness() != Ok(Endianness::Little) || triple.pointer_width() != Ok(PointerWidth::U64) {
            return Err(unknown_target(&triple.to_string()));
        }
        let os = match triple.operating_system {
            OperatingSystem::Linux => Os::Linux,
            OperatingSystem::MacOSX(_) | OperatingSystem::Darwin(_) => Os::Macos,
            _ => return Err(unknown_target(&triple.to_string())),
        };
        let container = if triple.binary_format == BinaryFormat::Macho { Container::MachO } else { Container::Elf };
        Ok(Target { triple, arch, os, cpu: CpuFeatures::default(), container })
    }

    /// This machine with all features of its CPU.
    pub fn native() -> Target {
        let mut target = Target::default();
        target.cpu = native_features(target.arch);
        target
    }

    /// Sets the CPU: a comma-separated list of `baseline`, `native`, a level
    /// (`x86-64-v3`) or single features (`avx2`, `-avx512f`), applied in order.
    ///
    /// # Errors
    /// [`Error::UnknownName`] for a name that the architecture does not have.
    pub fn cpu(mut self, list: &str) -> Result<Target, Error> {
        let mut cpu = CpuFeatures::default();
        for item in list.split(',').map(str::trim).filter(|item| !item.is_empty()) {
            match item {
                "baseline" => cpu = CpuFeatures::default(),
                "native" if Arch::host() != Some(self.arch) => {
                    return Err(Error::Options(format!(
                        "`native` is this machine's CPU, which cannot run code for {}; name its features instead",
                        self.triple
                    )));
                }
                "native" => cpu.0 |= native_features(self.arch).0,
                _ => self.apply(item, &mut cpu)?,
            }
        }
        self.cpu = cpu;
        Ok(self)
    }

    fn apply(&self, item: &str, cpu: &mut CpuFeatures) -> Result<(), Error> {
        if self.arch == Arch::X86_64
            && let Some(level) = X86_LEVELS.iter().position(|(name, _)| *name == item)
        {
            for name in X86_LEVELS[..=level].iter().flat_map(|(_, names)| *names) {
                cpu.insert(self.arch, name);
            }
            return Ok(());
        }
        let (name, on) = match item.strip_prefix('-') {
            Some(name) => (name, false),
            None => (item.strip_prefix('+').unwrap_or(item), true),
        };
        let mut one = CpuFeatures::default();
        if !one.insert(self.arch, name) {
            let levels = if self.arch == Arch::X86_64 { X86_LEVELS } else { &[] };
            let known = ["baseline", "native"].into_iter().chain(levels.iter().map(|(name, _)| *name));
            let known = known.chain(CPU_FEATURES.iter().filter(|f| f.arch == self.arch).map(|f| f.name));
            let known = known.collect::<Vec<_>>().join(", ");
            return Err(Error::UnknownName { what: "CPU or CPU feature", name: name.to_owned(), known });
        }
        cpu.0 = if on { cpu.0 | one.0 } else { cpu.0 & !one.0 };
        Ok(())
    }

    /// Chooses the file format, which otherwise is the system's own.
    pub fn container(mut self, container: Container) -> Target {
        self.container = container;
        self
    }

    /// The triple.
    pub fn triple(&self) -> &Triple {
        &self.triple
    }

    /// The architecture.
    pub fn arch(&self) -> Arch {
        self.arch
    }

    /// The system.
    pub fn os(&self) -> Os {
        self.os
    }

    /// The file format.
    pub fn file_format(&self) -> Container {
        self.container
    }

    /// The CPU features that code may use.
    pub fn cpu_features(&self) -> CpuFeatures {
        self.cpu
    }

    /// Base-2 logarithm of the largest page that a machine of this kind has.
    pub fn page_shift(&self) -> u8 {
        match (self.arch, self.os) {
            (Arch::X86_64, _) => 12,
            (Arch::Aarch64, Os::Macos) => 14,
            (Arch::Aarch64, Os::Linux) => 16,
        }
    }

    /// That page's size in bytes.
    pub fn page_size(&self) -> u64 {
        1 << self.page_shift()
    }

    /// The code generator for this machine.
    pub(crate) fn isa(&self, options: &Options) -> Result<OwnedTargetIsa, Error> {
        let internal = |error: &dyn std::fmt::Display| {
            Error::Options(format!("the code generator refuses {}: {error}", self.triple))
        };
        let mut flags = settings::builder();
        let opt_level = match options.opt_level {
            OptLevel::None | OptLevel::Basic => "none",
            OptLevel::Speed => "speed",
            OptLevel::Size => "speed_and_size",
        };
        let regalloc = if options.opt_level == OptLevel::None { "single_pass" } else { "backtracking" };
        for (name, value) in [
            ("opt_level", opt_level),
            ("regalloc_algorithm", regalloc),
            // With this off, an address within the text is relative to the
            // instruction; on, it would come from a global offset table.
            ("is_pic", "false"),
            ("use_colocated_libcalls", "true"),
            ("libcall_call_conv", "system_v"),
            ("preserve_frame_pointers", "true"),
            ("unwind_info", "true"),
            ("enable_multi_ret_implicit_sret", "true"),
            ("enable_llvm_abi_extensions", "true"),
            ("enable_probestack", "false"),
            ("enable_verifier", if options.verify { "true" } else { "false" }),
            ("enable_nan_canonicalization", if options.canonicalize_nans { "true" } else { "false" }),
        ] {
            flags.set(name, value).map_err(|e| internal(&e))?;
        }
        // Object files have the format of the triple.
        let mut triple = self.triple.clone();
        triple.binary_format = match self.container {
            Container::Elf => BinaryFormat::Elf,
            Container::MachO => BinaryFormat::Macho,
        };
        let mut builder = isa::lookup(triple).map_err(|e| internal(&e))?;
        for feature in self.cpu.iter().filter(|f| f.arch == self.arch) {
            builder.enable(feature.setting).map_err(|e| internal(&e))?;
        }
        builder.finish(settings::Flags::new(flags)).map_err(|e| internal(&e))
    }
}

fn unknown_target(triple: &str) -> Error {
    let known =
        ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-apple-darwin", "aarch64-apple-darwin"]
            .join(", ");
    Error::UnknownName { what: "target", name: triple.to_owned(), known }
}

/// The features of this machine's CPU, as Cranelift detects them.
fn native_features(arch: Arch) -> CpuFeatures {
    let mut features = CpuFeatures::default();
    if let Ok(builder) = cranelift_native::builder()
        && let Ok(isa) = builder.finish(settings::Flags::new(settings::builder()))
    {
        for value in isa.isa_flags().iter().filter(|value| value.as_bool() == Some(true)) {
            features.insert_setting(value.name);
        }
    }
    let of_arch = |f: &&wasmc_artifacts::abi::CpuFeature| f.arch == arch;
    let mut all = CpuFeatures::default();
    for feature in CPU_FEATURES.iter().filter(of_arch) {
        all.insert_setting(feature.setting);
    }
    CpuFeatures(features.0 & all.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn levels_contain_the_levels_before() {
        let v3 = Target::new("x86_64-unknown-linux-gnu").unwrap().cpu("x86-64-v3,-bmi2").unwrap();
        let names = v3.cpu_features().to_string();
        assert!(names.contains("ssse3") && names.contains("avx2") && !names.contains("bmi2"), "{names}");
    }

    #[test]
    fn unknown_names_are_refused_with_the_known_ones() {
        assert!(Target::new("riscv64gc-unknown-linux-gnu").unwrap_err().to_string().contains("x86_64-apple-darwin"));
        let arm = Target::new("aarch64-apple-darwin").unwrap();
        assert_eq!(arm.page_size(), 16_384);
        assert!(arm.cpu("avx2").unwrap_err().to_string().contains("lse"));
    }
}
