//! Where in wasm an error came from.

use crate::module::Module;
use crate::store::{AsContext, StoreOpaque};
#[cfg(feature = "addr2line")]
use crate::vm::symbols;
use std::fmt;

/// The wasm functions that were active when an error arose, innermost first.
///
/// Found in an [`Error`](crate::Error) by
/// [`downcast_ref`](crate::Error::downcast_ref). Names are looked up when
/// they are asked for, and so are files and lines of source code: they are
/// known of artifacts that were compiled with `-g` from modules with debug
/// information, if this crate has the cargo feature `addr2line`. With the
/// feature `demangle` names of C++ and Rust functions are printed readably.
#[derive(Debug, Clone)]
pub struct WasmBacktrace {
    frames: Vec<FrameInfo>,
}

impl WasmBacktrace {
    /// The wasm functions that are active now, while a host function runs that
    /// they have called. Without any there are no frames, and there are none if
    /// [`Config::wasm_backtrace`](crate::Config::wasm_backtrace) switches them
    /// off.
    ///
    /// ```
    /// use wasmc_loader::{Caller, Engine, Linker, Module, Store, WasmBacktrace};
    /// # fn main() -> wasmc_loader::Result<()> {
    /// # let engine = Engine::default();
    /// # let artifact = wasmc::compile(br#"(module (import "host" "where" (func $where))
    /// #     (func $inner (call $where)) (func (export "run") (call $inner)))"#, &wasmc::Options::new())?;
    /// # // SAFETY: the artifact was made by `wasmc`.
    /// # let module = unsafe { Module::from_bytes(&engine, &artifact)? };
    /// let mut linker = Linker::<()>::new(&engine);
    /// linker.func_wrap("host", "where", |caller: Caller<'_, ()>| {
    ///     let backtrace = WasmBacktrace::capture(&caller);
    ///     assert_eq!(backtrace.frames()[0].func_name(), Some("inner"));
    /// })?;
    /// let mut store = Store::new(&engine, ());
    /// let instance = linker.instantiate(&mut store, &module)?;
    /// instance.get_typed_func::<(), ()>(&mut store, "run")?.call(&mut store, ())
    /// # }
    /// ```
    pub fn capture(store: impl AsContext) -> WasmBacktrace {
        let store = &store.as_context().0.opaque;
        Self::active(store, store.engine.backtrace_frames())
    }

    /// The same, of all functions, whether backtraces are switched off or not.
    pub fn force_capture(store: impl AsContext) -> WasmBacktrace {
        Self::active(&store.as_context().0.opaque, usize::MAX)
    }

    fn active(store: &StoreOpaque, most: usize) -> WasmBacktrace {
        let counters = store.state.active_frames(most);
        of_frames(store, false, counters.into_iter()).unwrap_or(WasmBacktrace { frames: Vec::new() })
    }

    /// The frames, innermost first.
    pub fn frames(&self) -> &[FrameInfo] {
        &self.frames
    }
}

/// A frame of a [`WasmBacktrace`].
#[derive(Clone)]
pub struct FrameInfo {
    module: Module,
    /// Number of the function among those that the module defines.
    defined: u32,
    /// Offset in the text, within the instruction that is executed.
    code: u32,
    /// The same from the function's start.
    in_function: u32,
    /// Once they were asked for.
    #[cfg(feature = "addr2line")]
    symbols: std::sync::OnceLock<Vec<FrameSymbol>>,
}

impl FrameInfo {
    /// Index of the function in its module, imported functions counted.
    pub fn func_index(&self) -> u32 {
        self.module.artifact().header().context.func_imports + self.defined
    }

    /// Name of the function, if the artifact has names; `wasm-function[7]` if only
    /// the module has none for it.
    pub fn func_name(&self) -> Option<&str> {
        let artifact = self.module.artifact();
        artifact.function_name(&artifact.tables().functions.get(self.defined as usize)?)
    }

    /// The module.
    pub fn module(&self) -> &Module {
        &self.module
    }

    /// Name of the module, if it has one.
    pub fn module_name(&self) -> Option<&str> {
        self.module.name()
    }

    /// Bytes of wasm from the function's first instruction, if the artifact was
    /// compiled with `-g`.
    pub fn func_offset(&self) -> Option<usize> {
        let artifact = self.module.artifact();
        let function = artifact.tables().functions.get(self.defined as usize)?;
        let first = artifact.first_source(&function)?;
        self.module_offset()?.checked_sub(first as usize)
    }

    /// Bytes of machine code from the function's start.
    pub fn code_offset(&self) -> usize {
        self.in_function as usize
    }

    /// Offset in the wasm file of the instruction that is executed, if the
    /// artifact was compiled with `-g`.
    pub fn module_offset(&self) -> Option<usize> {
        self.module.artifact().source_at(self.code).map(|offset| offset as usize)
    }

    /// What the module's debug information says about the place: functions that
    /// were inlined there, innermost first, and at the end the function itself.
    ///
    /// Empty if the artifact was not compiled with `-g`, if this crate was built
    /// without the cargo feature `addr2line`, or if
    /// [`Config::wasm_backtrace_details`](crate::Config::wasm_backtrace_details)
    /// is against it. Debug information is read when it is first asked for, and
    /// kept with the module.
    pub fn symbols(&self) -> &[FrameSymbol] {
        #[cfg(feature = "addr2line")]
        {
            self.symbols.get_or_init(|| match self.module.engine().config().shows_details() {
                true => symbols::of(&self.module, self.code, self.module_offset()),
                false => Vec::new(),
            })
        }
        #[cfg(not(feature = "addr2line"))]
        {
            &[]
        }
    }
}

/// A place in source code; from [`FrameInfo::symbols`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct FrameSymbol {
    pub(crate) name: Option<String>,
    pub(crate) file: Option<String>,
    pub(crate) line: Option<u32>,
    pub(crate) column: Option<u32>,
}

impl FrameSymbol {
    /// Name of the function, as the linker knows it: it may be mangled.
    pub fn name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// Path of the source file.
    pub fn file(&self) -> Option<&str> {
        self.file.as_deref()
    }

    /// Line in the file, from 1 on.
    pub fn line(&self) -> Option<u32> {
        self.line
    }

    /// Column in the line, from 1 on.
    pub fn column(&self) -> Option<u32> {
        self.column
    }
}

/// A name, readable if it is a mangled one and that is wanted.
struct Readable<'a>(&'a str);

impl fmt::Display for Readable<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        #[cfg(feature = "demangle")]
        {
            if let Ok(name) = rustc_demangle::try_demangle(self.0) {
                return write!(f, "{name:#}");
            }
            // Other names that begin like this are not C++'s.
            if self.0.starts_with("_Z")
                && let Ok(name) = cpp_demangle::Symbol::new(self.0)
                && let Ok(name) = name.demangle()
            {
                return f.write_str(&name);
            }
        }
        f.write_str(self.0)
    }
}

/// A function's name as it is in source code, as far as this crate can tell.
pub(crate) fn demangled(name: &str) -> String {
    Readable(name).to_string()
}

/// File, line and column, if they are known, in a line of their own.
impl fmt::Display for FrameSymbol {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Some(file) = &self.file else { return Ok(()) };
        write!(f, "\n{:20}at {file}", "")?;
        match (self.line, self.column) {
            (Some(line), Some(column)) => write!(f, ":{line}:{column}"),
            (Some(line), None) => write!(f, ":{line}"),
            (None, _) => Ok(()),
        }
    }
}

impl fmt::Debug for FrameInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

impl fmt::Display for FrameInfo {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.module_offset() {
            Some(offset) => write!(f, "{offset:#8x} - ")?,
            None => write!(f, "<+{:#x}> - ", self.in_function)?,
        }
        write!(f, "{}!", self.module_name().unwrap_or("<unknown>"))?;
        let symbols = self.symbols();
        // The function itself comes last; its name is the module's business.
        if let Some((_, inlined)) = symbols.split_last() {
            for symbol in inlined {
                write!(f, "{}, inlined into{symbol}\n{:18}", Readable(symbol.name().unwrap_or("<unknown>")), "")?;
            }
        }
        match self.func_name() {
            Some(name) => write!(f, "{}", Readable(name))?,
            None => write!(f, "<wasm function {}>", self.func_index())?,
        }
        symbols.last().map_or(Ok(()), |symbol| fmt::Display::fmt(symbol, f))
    }
}

impl fmt::Display for WasmBacktrace {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (i, frame) in self.frames.iter().enumerate() {
            write!(f, "{}{i:5}: {frame}", if i == 0 { "" } else { "\n" })?;
        }
        Ok(())
    }
}

/// The backtrace of program counters, innermost first: return addresses, but
/// the first one is that of an instruction if `exact`. `None` if no frame is
/// known or wanted.
pub(crate) fn of_frames(
    store: &StoreOpaque,
    exact: bool,
    counters: impl Iterator<Item = usize>,
) -> Option<WasmBacktrace> {
    let frames: Vec<FrameInfo> =
        counters.enumerate().filter_map(|(i, pc)| frame(store, if exact && i == 0 { pc } else { pc - 1 })).collect();
    (!frames.is_empty()).then_some(WasmBacktrace { frames })
}

/// The frame of the function that contains the byte at `pc`, if it is one of
/// the module's and no stub.
fn frame(store: &StoreOpaque, pc: usize) -> Option<FrameInfo> {
    let instance = store.state.code_list().find(|instance| instance.module().text().contains(&pc))?;
    let module = instance.module();
    let code = u32::try_from(pc - module.text().start).ok()?;
    let (defined, function) = module.artifact().function_at(code)?;
    Some(FrameInfo {
        module: module.clone(),
        defined,
        code,
        in_function: code - function.code,
        #[cfg(feature = "addr2line")]
        symbols: std::sync::OnceLock::new(),
    })
}
