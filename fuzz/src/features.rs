//! Which proposals generated modules may use.

use anyhow::{Result, bail};
use wasmc::proposals::PROPOSALS;

/// The proposals of which modules are generated: those that the compiler
/// supports, or some of them.
#[derive(Debug, Clone, Copy)]
#[allow(missing_docs, reason = "the names say it")]
pub struct Features {
    pub tail_call: bool,
    pub multi_memory: bool,
    pub memory64: bool,
    pub threads: bool,
    pub exceptions: bool,
    pub function_references: bool,
    pub gc: bool,
    pub wide_arithmetic: bool,
    pub custom_page_sizes: bool,
}

impl Features {
    /// All, supported or not.
    pub const ALL: Features = Features {
        tail_call: true,
        multi_memory: true,
        memory64: true,
        threads: true,
        exceptions: true,
        function_references: true,
        gc: true,
        wide_arithmetic: true,
        custom_page_sizes: true,
    };

    /// All that is supported and known here.
    pub fn supported() -> Self {
        Self::where_supported(|_| true)
    }

    /// Those of `names` that are supported; what the 2.0 standard has is always
    /// on.
    ///
    /// # Errors
    /// A name that is not one of these features, or not supported.
    pub fn only(names: &[String]) -> Result<Self> {
        const KNOWN: [&str; 9] = [
            "tail-call",
            "multi-memory",
            "memory64",
            "threads",
            "exceptions",
            "function-references",
            "gc",
            "wide-arithmetic",
            "custom-page-sizes",
        ];
        for name in names {
            if !KNOWN.contains(&name.as_str()) {
                bail!("`{name}` is no feature that can be chosen; those that can are {}", KNOWN.join(", "));
            }
            if !is_supported(name) {
                bail!("the compiler does not support `{name}` yet");
            }
        }
        Ok(Self::where_supported(|name| names.iter().any(|wanted| wanted == name)))
    }

    fn where_supported(wanted: impl Fn(&str) -> bool) -> Self {
        let on = |name| wanted(name) && is_supported(name);
        let gc = on("gc");
        Features {
            tail_call: on("tail-call"),
            multi_memory: on("multi-memory"),
            memory64: on("memory64"),
            threads: on("threads"),
            exceptions: on("exceptions"),
            // The one builds on the other.
            function_references: on("function-references") || gc,
            gc,
            wide_arithmetic: on("wide-arithmetic"),
            custom_page_sizes: on("custom-page-sizes"),
        }
    }
}

/// Whether the compiler supports a proposal.
pub fn is_supported(name: &str) -> bool {
    PROPOSALS.iter().any(|proposal| proposal.name == name && proposal.supported)
}
