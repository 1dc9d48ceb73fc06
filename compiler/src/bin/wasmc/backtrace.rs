//! Where a guest was when it failed.

use crate::log;
use std::fmt::Write;
use wasmc_loader::FrameInfo;

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
        let _ = match frame.module_offset() {
            Some(offset) => writeln!(text, "    {i}: {function}, at wasm offset {offset:#x}"),
            None => writeln!(text, "    {i}: {function}"),
        };
    }
    text
}
