//! Machines: architectures, operating systems, and the CPU features that an
//! artifact can require.

/// An instruction set.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Arch {
    /// x86-64.
    X86_64 = 1,
    /// 64-bit Arm.
    Aarch64 = 2,
}

impl Arch {
    /// The architecture with this number.
    pub const fn from_code(code: u8) -> Option<Arch> {
        match code {
            1 => Some(Arch::X86_64),
            2 => Some(Arch::Aarch64),
            _ => None,
        }
    }

    /// The architecture that this crate was compiled for, if it is one of them.
    pub const fn host() -> Option<Arch> {
        if cfg!(target_arch = "x86_64") {
            Some(Arch::X86_64)
        } else if cfg!(target_arch = "aarch64") {
            Some(Arch::Aarch64)
        } else {
            None
        }
    }

    /// The name, as in a target triple.
    pub const fn name(self) -> &'static str {
        match self {
            Arch::X86_64 => "x86_64",
            Arch::Aarch64 => "aarch64",
        }
    }
}

/// An operating system, as far as the format of the file depends on it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
pub enum Os {
    /// Linux.
    Linux = 1,
    /// macOS.
    Macos = 2,
}

impl Os {
    /// The system with this number.
    pub const fn from_code(code: u8) -> Option<Os> {
        match code {
            1 => Some(Os::Linux),
            2 => Some(Os::Macos),
            _ => None,
        }
    }

    /// The name, as in a target triple.
    pub const fn name(self) -> &'static str {
        match self {
            Os::Linux => "linux",
            Os::Macos => "macos",
        }
    }
}

/// A CPU feature that compiled code can require.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct CpuFeature {
    /// The architecture that has it.
    pub arch: Arch,
    /// The field's usual name, which is also Rust's name for its detection.
    pub name: &'static str,
    /// Cranelift's setting that makes code use it.
    pub setting: &'static str,
}

macro_rules! cpu_features {
    ($($arch:ident $name:literal $setting:literal;)*) => {
        /// All features; a feature's bit in [`CpuFeatures`] is its index here.
        pub const CPU_FEATURES: &[CpuFeature] =
            &[$(CpuFeature { arch: Arch::$arch, name: $name, setting: $setting },)*];
        pub(super) const DEFINITIONS: &str = concat!($(stringify!($arch), $name, ";",)*);
    };
}

cpu_features! {
    X86_64 "cmpxchg16b" "has_cmpxchg16b";
    X86_64 "sse3" "has_sse3";
    X86_64 "ssse3" "has_ssse3";
    X86_64 "sse4.1" "has_sse41";
    X86_64 "sse4.2" "has_sse42";
    X86_64 "popcnt" "has_popcnt";
    X86_64 "avx" "has_avx";
    X86_64 "avx2" "has_avx2";
    X86_64 "fma" "has_fma";
    X86_64 "bmi1" "has_bmi1";
    X86_64 "bmi2" "has_bmi2";
    X86_64 "lzcnt" "has_lzcnt";
    X86_64 "avx512bitalg" "has_avx512bitalg";
    X86_64 "avx512dq" "has_avx512dq";
    X86_64 "avx512f" "has_avx512f";
    X86_64 "avx512vbmi" "has_avx512vbmi";
    X86_64 "avx512vl" "has_avx512vl";
    Aarch64 "lse" "has_lse";
    Aarch64 "paca" "has_pauth";
    Aarch64 "fp16" "has_fp16";
    Aarch64 "dotprod" "has_dotprod";
}

/// A set of CPU features: bit `i` stands for `CPU_FEATURES[i]`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub struct CpuFeatures(pub u64);

/// Whether two texts are the same, for constants.
const fn same(a: &[u8], b: &[u8]) -> bool {
    let mut i = 0;
    while i < a.len() && i < b.len() && a[i] == b[i] {
        i += 1;
    }
    i == a.len() && i == b.len()
}

impl CpuFeatures {
    /// The feature that std's macros know by this name.
    ///
    /// # Panics
    /// If it is not in the list: to be called in constants only.
    pub const fn of(arch: Arch, name: &str) -> CpuFeatures {
        let mut bit = 0;
        while bit < CPU_FEATURES.len() {
            let feature = &CPU_FEATURES[bit];
            if feature.arch as u8 == arch as u8 && same(feature.name.as_bytes(), name.as_bytes()) {
                return CpuFeatures(1 << bit);
            }
            bit += 1;
        }
        panic!("the feature is not in the list")
    }

    /// Adds the feature with Cranelift's setting `setting`; whether there is one.
    pub fn insert_setting(&mut self, setting: &str) -> bool {
        self.insert_where(|f| f.setting == setting)
    }

    /// Adds the feature `name` of `arch`; whether there is one.
    pub fn insert(&mut self, arch: Arch, name: &str) -> bool {
        self.insert_where(|f| f.arch == arch && f.name == name)
    }

    fn insert_where(&mut self, pred: impl Fn(&CpuFeature) -> bool) -> bool {
        match CPU_FEATURES.iter().position(pred) {
            Some(bit) => {
                self.0 |= 1 << bit;
                true
            }
            None => false,
        }
    }

    /// The features in the set. Bits without a feature are passed over.
    pub fn iter(self) -> impl Iterator<Item = &'static CpuFeature> {
        CPU_FEATURES.iter().enumerate().filter(move |(bit, _)| self.0 >> bit & 1 != 0).map(|(_, f)| f)
    }

    /// What is in `self` and not in `other`.
    pub fn without(self, other: CpuFeatures) -> CpuFeatures {
        CpuFeatures(self.0 & !other.0)
    }

    /// Whether nothing is in the set.
    pub fn is_empty(self) -> bool {
        self.0 == 0
    }
}

impl std::fmt::Display for CpuFeatures {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, feature) in self.iter().enumerate() {
            write!(f, "{}{}", if i == 0 { "" } else { "," }, feature.name)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_set_prints_the_names_in_it() {
        let mut set = CpuFeatures::default();
        assert!(set.insert(Arch::X86_64, "avx2"));
        assert!(set.insert_setting("has_popcnt"));
        assert!(!set.insert(Arch::Aarch64, "avx2"));
        assert_eq!(set.to_string(), "popcnt,avx2");
        assert!(CPU_FEATURES.len() <= 64);
    }
}
