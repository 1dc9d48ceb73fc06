//! Where a guest was when it failed.

use crate::log;
use std::fmt::Write;
use wasmc_loader::{FrameInfo, FrameSymbol};

/// Frames shown at each end of a long backtrace.
const FRAMES: usize = 20;

/// The backtrace, innermost frame first. The middle of a deep recursion is
/// left out.
pub(crate) fn frames(frames: &[FrameInfo]) -> String {
    let mut text = String::from("  wasm backtrace:\n");
    let last = frames.len().saturating_sub(FRAMES);
    for (i, frame) in frames.iter().enumerate() {
        if i >= FRAMES && i < last {
            if i == FRAMES {
                // Writing to a string cannot fail.
                let _ = writeln!(text, "    ... {} more", last - FRAMES);
            }
            continue;
        }
        let function = match frame.func_name() {
            Some(name) => log::demangled(name),
            None => format!("function {}", frame.func_index()),
        };
        let _ = write!(text, "    {i}: ");
        // The last one is the function itself.
        let (own, inlined) = match frame.symbols().split_last() {
            Some((own, inlined)) => (Some(own), inlined),
            None => (None, &[][..]),
        };
        for symbol in inlined {
            let name = symbol.name().map_or_else(|| String::from("a function"), log::demangled);
            let _ = write!(text, "{name}{}, inlined into\n       ", place(symbol));
        }
        let _ = match frame.module_offset() {
            Some(offset) => write!(text, "{function}, at wasm offset {offset:#x}"),
            None => write!(text, "{function}"),
        };
        let _ = writeln!(text, "{}", own.map(place).unwrap_or_default());
    }
    text
}

/// A place in source code, to be put after what is there.
fn place(symbol: &FrameSymbol) -> String {
    let number = |number: Option<u32>| number.map_or(String::new(), |number| format!(":{number}"));
    let (line, column) = (number(symbol.line()), number(symbol.column()));
    symbol.file().map_or(String::new(), |file| format!(" ({}{line}{column})", log::plain(file, "")))
}
