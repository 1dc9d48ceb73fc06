//! Why there is no block.

use std::alloc::Layout;
use std::any::Any;
use std::error::Error;
use std::fmt::{self, Display};
use std::io;

/// Why an allocator has no block to give.
///
/// ```
/// use std::io;
/// use wasmc_allocators::AllocError;
///
/// let error = AllocError::from(io::Error::from_raw_os_error(12));
/// assert_eq!(error.downcast_ref::<io::Error>().and_then(io::Error::raw_os_error), Some(12));
/// assert_eq!(AllocError::because("the door is shut").to_string(), "the door is shut");
/// ```
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum AllocError {
    /// Memory is short.
    #[error("out of memory: no {} bytes aligned to {} are left", .layout.size(), .layout.align())]
    OutOfMemory {
        /// What was asked for.
        layout: Layout,
    },
    /// The allocator cannot align blocks so, however much memory there is.
    #[error("an alignment to {} bytes is not supported: these blocks are aligned to {supported}", .layout.align())]
    UnsupportedAlignment {
        /// What was asked for.
        layout: Layout,
        /// The largest alignment that can be had, in bytes.
        supported: usize,
    },
    /// The allocator has no block as large, however many are free.
    #[error("{} bytes do not fit into a block of {limit}: make the blocks larger, or ask for less", .layout.size())]
    TooLarge {
        /// What was asked for.
        layout: Layout,
        /// The largest size that can be had, in bytes.
        limit: usize,
    },
    /// All blocks of an allocator that has a certain number of them are given
    /// out.
    #[error("all {count} of {count} blocks are in use: give one back, make more of them, or add a fallback")]
    Exhausted {
        /// How many blocks there are.
        count: u32,
    },
    /// That many blocks have no size.
    #[error(
        "{count} blocks of {} bytes are more than the address space: at most {} of them can be had",
        .block.size(),
        isize::MAX as usize / .block.size().max(1)
    )]
    TooMany {
        /// How many blocks there were to be.
        count: u32,
        /// Each of them.
        block: Layout,
    },
    /// An inner scope of the allocator is open, and only that one may be used.
    #[error("an inner scope is open: allocate from that one, or end it first")]
    ScopeOpen,
    /// Something else, which the allocator says.
    #[error(transparent)]
    Specific(Reason),
}

impl AllocError {
    /// A reason that is known beforehand; costs no allocation.
    pub const fn because(reason: &'static str) -> AllocError {
        AllocError::Specific(Reason::Text(reason))
    }

    /// A reason with data, for example an operating system's error.
    pub fn new(reason: impl Into<Box<dyn Error + Send + Sync>>) -> AllocError {
        AllocError::Specific(Reason::Error(reason.into()))
    }

    /// The reason that an allocator gave with [`AllocError::new`], if it is an
    /// `E`; of a [`FallbackError`], the second allocator's or else the main
    /// one's.
    pub fn downcast_ref<E: Error + 'static>(&self) -> Option<&E> {
        let error = match self {
            AllocError::Specific(Reason::Error(error)) => error,
            AllocError::Specific(Reason::System(error)) => return (error as &dyn Any).downcast_ref(),
            _ => return None,
        };
        if let Some(found) = error.downcast_ref::<E>() {
            return Some(found);
        }
        let both = error.downcast_ref::<FallbackError>()?;
        both.second.downcast_ref().or_else(|| both.main.downcast_ref())
    }
}

impl From<io::Error> for AllocError {
    fn from(error: io::Error) -> AllocError {
        AllocError::Specific(Reason::System(error))
    }
}

/// What an allocator says itself about its failure.
#[derive(Debug)]
pub enum Reason {
    /// A text.
    Text(&'static str),
    /// What the system says.
    System(io::Error),
    /// Any error.
    Error(Box<dyn Error + Send + Sync>),
}

impl Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Reason::Text(text) => f.write_str(text),
            Reason::System(error) => Display::fmt(error, f),
            Reason::Error(error) => Display::fmt(error, f),
        }
    }
}

impl Error for Reason {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Reason::Text(_) => None,
            Reason::System(error) => error.source(),
            Reason::Error(error) => error.source(),
        }
    }
}

/// Why neither part of a [`Fallback`](crate::Fallback) had a block: what stands
/// in an [`AllocError::Specific`] then.
#[derive(thiserror::Error)]
#[error("{main}; and of the fallback: {second}")]
pub struct FallbackError {
    /// Why the main allocator had none.
    pub main: AllocError,
    /// Why the second one had none either.
    pub second: AllocError,
}

impl fmt::Debug for FallbackError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(self, f)
    }
}
