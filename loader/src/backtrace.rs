//! Where in wasm an error came from.

use crate::module::Module;
use crate::store::StoreOpaque;
use std::fmt;

/// The wasm functions that were active when an error arose, innermost first.
///
/// Found in an [`Error`](crate::Error) by
/// [`downcast_ref`](crate::Error::downcast_ref). Names are looked up when
/// they are asked for.
#[derive(Debug, Clone)]
pub struct WasmBacktrace {
    frames: Vec<FrameInfo>,
}

impl WasmBacktrace {
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
}

impl FrameInfo {
    /// Index of the function in its module, imported functions counted.
    pub fn func_index(&self) -> u32 {
        self.module.artifact().header().context.func_imports + self.defined
    }

    /// Name of the function, if the module has names.
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

    /// Bytes of machine code from the function's start.
    pub fn func_offset(&self) -> usize {
        self.in_function as usize
    }

    /// Offset in the wasm file of the instruction that is executed, if the
    /// artifact was compiled with `-g`.
    pub fn module_offset(&self) -> Option<usize> {
        self.module.artifact().source_at(self.code).map(|offset| offset as usize)
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
        match self.func_name() {
            Some(name) => f.write_str(name),
            None => write!(f, "<wasm function {}>", self.func_index()),
        }
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
    Some(FrameInfo { module: module.clone(), defined, code, in_function: code - function.code })
}
