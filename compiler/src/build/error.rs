//! What can go wrong in a build script.

use crate::error::Setting;
use std::fmt;
use std::path::PathBuf;

/// The usual result of this module.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Why a guest was not built.
///
/// `{:?}`, by which a `main` that returns it prints it, is the message too,
/// without quotes and names of fields.
#[non_exhaustive]
pub enum Error {
    /// A file could not be read or written.
    Io {
        /// What was to be done.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: std::io::Error,
    },
    /// The guest does not compile.
    Guest {
        /// What was to be compiled, as given.
        guest: String,
        /// The line and column of a guest in the text format, where known.
        position: Option<(u64, u64)>,
        /// Why it does not compile.
        error: crate::Error,
    },
    /// A variable that cargo sets for build scripts is missing, or nothing
    /// that can be understood.
    Variable {
        /// Its name.
        name: &'static str,
        /// Its value, if it has one.
        value: Option<String>,
        /// What it should be.
        wanted: String,
    },
    /// The builder was given something that cannot be understood.
    Setting {
        /// The builder's method.
        method: &'static str,
        /// What it was given.
        value: String,
        /// What that should be.
        wanted: String,
    },
    /// Names in the guest cannot become names in Rust; or the builder was
    /// given one that is none.
    Name {
        /// What was to be compiled, as given.
        guest: String,
        /// What is wrong with the name, and the way out.
        message: String,
    },
    /// The guest's initialiser failed, or the state that it has left cannot be
    /// kept.
    Init {
        /// What was to be compiled, as given.
        guest: String,
        /// What happened, and where in the guest.
        message: String,
        /// As `wasmc::init` (feature `init`) has it.
        error: Box<dyn std::error::Error + Send + Sync>,
    },
    /// What was compiled could not be made a part of the program.
    Archive(String),
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Error::Io { action, path, error } => write!(f, "cannot {action} `{}`: {error}", path.display()),
            Error::Guest { guest, position, error } => guest_error(f, guest, *position, error),
            Error::Variable { name, value: None, wanted } => write!(
                f,
                "the variable {name} is not set, which should be {wanted}; cargo sets it for build scripts, where `wasmc::build` belongs"
            ),
            Error::Variable { name, value: Some(value), wanted } => {
                write!(f, "the variable {name} is `{value}`, which should be {wanted}")
            }
            Error::Setting { method, value, wanted } => {
                write!(f, "`.{method}(\"{value}\")` should be given {wanted}")
            }
            Error::Name { guest, message } => write!(f, "cannot make bindings for `{guest}`: {message}"),
            Error::Init { guest, message, .. } => write!(f, "cannot initialise the guest `{guest}`: {message}"),
            Error::Archive(message) => write!(f, "cannot make the compiled guest a part of the program: {message}"),
        }
    }
}

fn guest_error(
    f: &mut fmt::Formatter<'_>,
    guest: &str,
    position: Option<(u64, u64)>,
    error: &crate::Error,
) -> fmt::Result {
    write!(f, "cannot compile the guest `{guest}`")?;
    if let Some((line, column)) = position {
        write!(f, " (line {line}, column {column})")?;
    }
    write!(f, ": {}", error.message(method))
}

/// What the builder has for a setting.
pub(super) fn method(setting: Setting) -> String {
    match setting {
        Setting::Proposal(name) => format!("`.wasm_features(\"{name}\")`"),
        Setting::InitExport => "`.init(\"EXPORT\")`".to_owned(),
        // These are fields of what `.init` takes.
        Setting::InitTimeout | Setting::InitMemory => setting.field(),
    }
}

impl fmt::Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        match self {
            Error::Io { error, .. } => Some(error),
            Error::Guest { error, .. } => Some(error),
            Error::Init { error, .. } => Some(&**error),
            _ => None,
        }
    }
}
