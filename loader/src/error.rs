//! The error of everything that can fail: any error type, with context.

use crate::backtrace::WasmBacktrace;
use crate::parts;
use std::any::Any;
use std::error::Error as StdError;
use std::fmt::{self, Debug, Display};

/// The usual result of this crate.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// Any error, as host functions return it and calls yield it.
///
/// * Every error type converts into it, so `?` works in host functions;
///   [`Error::msg`] makes one from a text.
/// * A trap is an error that [`downcast_ref`](Error::downcast_ref)s to
///   [`Trap`](crate::Trap); what a host function returned comes out such that
///   its type is found in the same way.
/// * Of an error that ended wasm code, [`WasmBacktrace`] is found too.
/// * `{}` prints the outermost message, `{:#}` all of them in one line, `{:?}`
///   all of them in lines and the backtrace.
///
/// ```
/// use wasmc_loader::{Error, Result};
///
/// fn parse(text: &str) -> Result<i32> {
///     Ok(text.parse::<i32>()?)
/// }
/// let error = parse("x").unwrap_err().context("the port is wrong");
/// assert!(error.is::<std::num::ParseIntError>());
/// assert_eq!(format!("{error:#}"), "the port is wrong: invalid digit found in string");
/// ```
pub struct Error(Box<Inner>);

struct Inner {
    layer: Box<dyn Layer>,
    /// What the layer is the context of.
    below: Option<Error>,
    backtrace: Option<WasmBacktrace>,
}

/// An error or a context. Its value is found by its type: see [`value`].
///
/// Printing is a method of its own, and `Display` not a supertrait, which would
/// have a table in the program for every type of error.
trait Layer: Any + Send + Sync {
    fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result;

    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        None
    }
}

/// What a layer prints.
struct Message<'a>(&'a dyn Layer);

impl Display for Message<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.print(f)
    }
}

struct Caught<E>(E);

impl<E: StdError + Send + Sync + 'static> Layer for Caught<E> {
    fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }

    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

/// A box is no error, although what is in it is one.
struct FromBox(Boxed);

type Boxed = Box<dyn StdError + Send + Sync>;

impl Layer for FromBox {
    fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }

    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        self.0.source()
    }
}

struct Text<C>(C);

impl<C: Display + Send + Sync + 'static> Layer for Text<C> {
    fn print(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.fmt(f)
    }
}

/// The value of a layer, if it is an `E`.
fn value<E: 'static>(layer: &dyn Layer) -> Option<&E> {
    let layer = layer as &dyn Any;
    let text = || layer.downcast_ref::<Text<E>>().map(|text| &text.0);
    let boxed = || (&layer.downcast_ref::<FromBox>()?.0 as &dyn Any).downcast_ref();
    layer.downcast_ref::<Caught<E>>().map(|caught| &caught.0).or_else(text).or_else(boxed)
}

fn value_mut<E: 'static>(layer: &mut dyn Layer) -> Option<&mut E> {
    let layer = layer as &mut dyn Any;
    if layer.is::<Caught<E>>() {
        return layer.downcast_mut::<Caught<E>>().map(|caught| &mut caught.0);
    }
    if layer.is::<Text<E>>() {
        return layer.downcast_mut::<Text<E>>().map(|text| &mut text.0);
    }
    (&mut layer.downcast_mut::<FromBox>()?.0 as &mut dyn Any).downcast_mut()
}

fn into_value<E: 'static>(layer: Box<dyn Layer>) -> Option<E> {
    let layer = layer as Box<dyn Any>;
    let layer = match layer.downcast::<Caught<E>>() {
        Ok(caught) => return Some(caught.0),
        Err(layer) => layer,
    };
    match layer.downcast::<Text<E>>() {
        Ok(text) => Some(text.0),
        Err(layer) => Some(*(Box::new(layer.downcast::<FromBox>().ok()?.0) as Box<dyn Any>).downcast().ok()?),
    }
}

impl Error {
    /// An error of any type.
    #[cold]
    pub fn new<E: StdError + Send + Sync + 'static>(error: E) -> Error {
        Self::of(Box::new(Caught(error)), None)
    }

    /// An error that is a message.
    #[cold]
    pub fn msg<M: Display + Send + Sync + 'static>(message: M) -> Error {
        Self::of(Box::new(Text(message)), None)
    }

    /// An error from a boxed one, as `Box<dyn Error>` itself is none. It
    /// [downcasts](Self::downcast_ref) to the box.
    ///
    /// ```
    /// type Boxed = Box<dyn std::error::Error + Send + Sync>;
    /// let error = wasmc_loader::Error::from_boxed(Boxed::from("out of paper"));
    /// assert!(error.is::<Boxed>());
    /// assert_eq!(error.to_string(), "out of paper");
    /// ```
    #[cold]
    pub fn from_boxed(error: Box<dyn StdError + Send + Sync>) -> Error {
        Self::of(Box::new(FromBox(error)), None)
    }

    #[cold]
    #[inline(never)]
    fn of(layer: Box<dyn Layer>, below: Option<Error>) -> Error {
        Error(Box::new(Inner { layer, below, backtrace: None }))
    }

    /// The same error with a message before it.
    #[must_use]
    pub fn context<C: Display + Send + Sync + 'static>(self, context: C) -> Error {
        Self::of(Box::new(Text(context)), Some(self))
    }

    /// The same error with the frames it came through, unless an inner call
    /// has noted its own.
    pub(crate) fn with_backtrace(mut self, backtrace: Option<WasmBacktrace>) -> Error {
        if self.backtrace().is_none() {
            self.0.backtrace = backtrace;
        }
        self
    }

    fn layers(&self) -> impl Iterator<Item = &Inner> {
        std::iter::successors(Some(&*self.0), |inner| inner.below.as_ref().map(|below| &*below.0))
    }

    fn backtrace(&self) -> Option<&WasmBacktrace> {
        self.layers().find_map(|inner| inner.backtrace.as_ref())
    }

    /// The error, a context or the backtrace, if there is one of type `E`.
    pub fn downcast_ref<E: 'static>(&self) -> Option<&E> {
        self.layers()
            .find_map(|inner| value::<E>(&*inner.layer))
            .or_else(|| (self.backtrace()? as &dyn Any).downcast_ref::<E>())
    }

    /// Likewise, to be changed. The backtrace cannot be.
    pub fn downcast_mut<E: 'static>(&mut self) -> Option<&mut E> {
        let mut inner = &mut self.0;
        loop {
            if value::<E>(&*inner.layer).is_some() {
                return value_mut(&mut *inner.layer);
            }
            inner = &mut inner.below.as_mut()?.0;
        }
    }

    /// The error or context of type `E`, or the whole unchanged.
    ///
    /// # Errors
    /// `self`, if there is none.
    pub fn downcast<E: 'static>(self) -> Result<E, Error> {
        let Some(depth) = self.layers().position(|inner| value::<E>(&*inner.layer).is_some()) else { return Err(self) };
        let mut error = self;
        for _ in 0..depth {
            error = match error.0.below {
                Some(below) => below,
                None => return Err(Error::msg("the layer at this depth was just seen")),
            };
        }
        into_value(error.0.layer).ok_or_else(|| Error::msg("the layer at this depth was just seen"))
    }

    /// Whether [`downcast_ref`](Self::downcast_ref) finds an `E`.
    pub fn is<E: 'static>(&self) -> bool {
        self.downcast_ref::<E>().is_some()
    }

    /// The messages, outermost first: contexts, the error, its sources.
    pub fn chain(&self) -> impl Iterator<Item = String> {
        let mut messages = Vec::new();
        let _ = self.each(&mut |_, message| {
            messages.push(message.to_string());
            Ok(())
        });
        messages.into_iter()
    }

    /// Calls a function with the number of each message and the message.
    fn each(&self, each: &mut dyn FnMut(usize, &dyn Display) -> fmt::Result) -> fmt::Result {
        let (mut at, mut number) = (self, 0);
        loop {
            each(number, &Message(&*at.0.layer))?;
            number += 1;
            match &at.0.below {
                Some(below) => at = below,
                None => break,
            }
        }
        let mut source = at.0.layer.source();
        while let Some(error) = source {
            each(number, &error)?;
            number += 1;
            source = error.source();
        }
        Ok(())
    }

    /// The innermost message.
    pub fn root_cause(&self) -> String {
        self.chain().last().unwrap_or_default()
    }
}

/// `.context("…")` on results and options.
///
/// ```
/// use wasmc_loader::{Context, Result};
///
/// fn first(list: &[u32]) -> Result<u32> {
///     list.first().copied().context("the list is empty")
/// }
/// assert_eq!(first(&[]).unwrap_err().to_string(), "the list is empty");
/// ```
pub trait Context<T> {
    /// A message before the error, or the error where there is nothing.
    ///
    /// # Errors
    /// If there is no value.
    fn context<C: Display + Send + Sync + 'static>(self, context: C) -> Result<T>;

    /// The same with a message that is made only where it is needed.
    ///
    /// # Errors
    /// If there is no value.
    fn with_context<C: Display + Send + Sync + 'static>(self, context: impl FnOnce() -> C) -> Result<T>;
}

impl<T, E: Into<Error>> Context<T> for Result<T, E> {
    fn context<C: Display + Send + Sync + 'static>(self, context: C) -> Result<T> {
        self.map_err(|error| error.into().context(context))
    }

    fn with_context<C: Display + Send + Sync + 'static>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.map_err(|error| error.into().context(context()))
    }
}

impl<T> Context<T> for Option<T> {
    fn context<C: Display + Send + Sync + 'static>(self, context: C) -> Result<T> {
        self.ok_or_else(|| Error::msg(context))
    }

    fn with_context<C: Display + Send + Sync + 'static>(self, context: impl FnOnce() -> C) -> Result<T> {
        self.ok_or_else(|| Error::msg(context()))
    }
}

/// An [`Error`] from a format string and its arguments.
#[macro_export]
macro_rules! format_err {
    ($($arg:tt)*) => { $crate::Error::msg(::std::format!($($arg)*)) };
}

/// Returns an [`Error`] from a format string and its arguments.
#[macro_export]
macro_rules! bail {
    ($($arg:tt)*) => { return ::std::result::Result::Err($crate::format_err!($($arg)*)) };
}

/// Returns an [`Error`] from a format string and its arguments, unless a
/// condition holds.
#[macro_export]
macro_rules! ensure {
    ($condition:expr, $($arg:tt)*) => { if !$condition { $crate::bail!($($arg)*) } };
}

impl<E: StdError + Send + Sync + 'static> From<E> for Error {
    fn from(error: E) -> Error {
        Error::new(error)
    }
}

impl Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if !f.alternate() {
            return self.0.layer.print(f);
        }
        self.each(&mut |i, message| {
            f.write_str(if i == 0 { "" } else { ": " })?;
            write!(f, "{message}")
        })
    }
}

impl Debug for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.each(&mut |i, message| {
            f.write_str(match i {
                0 => "",
                1 => "\n\nCaused by:\n    ",
                _ => "\n    ",
            })?;
            write!(f, "{message}")
        })?;
        if parts::BACKTRACES.is_on()
            && let Some(backtrace) = self.backtrace()
        {
            write!(f, "\n\nWebAssembly backtrace:\n{backtrace}")?;
        }
        Ok(())
    }
}

/// An [`Error`] as a standard error; an `Error` itself cannot be one, or not
/// every standard error could convert into it.
struct Standard(Error, Option<Box<Standard>>);

impl Display for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Display::fmt(&self.0, f)
    }
}

impl Debug for Standard {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Debug::fmt(&self.0, f)
    }
}

impl StdError for Standard {
    fn source(&self) -> Option<&(dyn StdError + 'static)> {
        match &self.1 {
            Some(below) => Some(&**below),
            None => self.0.0.layer.source(),
        }
    }
}

impl From<Error> for Standard {
    fn from(mut error: Error) -> Standard {
        let below = error.0.below.take().map(|below| Box::new(Standard::from(below)));
        Standard(error, below)
    }
}

impl From<Error> for Box<dyn StdError + Send + Sync + 'static> {
    fn from(error: Error) -> Self {
        Box::new(Standard::from(error))
    }
}

impl From<Error> for Box<dyn StdError + Send + 'static> {
    fn from(error: Error) -> Self {
        Box::new(Standard::from(error))
    }
}

impl From<Error> for Box<dyn StdError + 'static> {
    fn from(error: Error) -> Self {
        Box::new(Standard::from(error))
    }
}

#[cfg(feature = "anyhow")]
impl From<Error> for anyhow::Error {
    fn from(error: Error) -> Self {
        anyhow::Error::from_boxed(error.into())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::num::ParseIntError;

    #[derive(Debug, thiserror::Error)]
    #[error("outer")]
    struct Outer(#[source] ParseIntError);

    fn error() -> Error {
        let inner = "x".parse::<i32>().unwrap_err();
        Error::from(Outer(inner)).context("first").context(String::from("second"))
    }

    #[test]
    fn every_layer_can_be_found_and_is_printed() {
        let mut e = error();
        assert!(e.is::<Outer>() && e.is::<&str>() && e.is::<String>() && !e.is::<ParseIntError>());
        assert_eq!(e.to_string(), "second");
        assert_eq!(format!("{e:#}"), "second: first: outer: invalid digit found in string");
        assert!(format!("{e:?}").contains("Caused by:\n    first\n    outer\n"));
        assert_eq!(e.root_cause(), "invalid digit found in string");
        e.downcast_mut::<String>().unwrap().push('!');
        assert_eq!(e.to_string(), "second!");
        assert!(e.downcast::<Outer>().is_ok());
        let e = error().downcast::<ParseIntError>().unwrap_err();
        assert_eq!(e.downcast::<String>().unwrap(), "second");
    }

    #[test]
    fn a_standard_error_made_from_it_has_its_sources() {
        let boxed: Box<dyn StdError + Send + Sync> = error().into();
        let (mut chain, mut next) = (Vec::new(), Some(&*boxed as &dyn StdError));
        while let Some(error) = next {
            chain.push(error.to_string());
            next = error.source();
        }
        assert_eq!(chain, ["second", "first", "outer", "invalid digit found in string"]);
    }
}
