//! From a byte of a binary to the line of the text that it was made from.

use gimli::{DebugLine, DebugLineOffset, LittleEndian};
use wasmparser::{Parser, Payload};

/// The line and column of what stands at `offset` in the binary that this text
/// assembles to, if that is code.
///
/// The assembler writes a table of lines for debuggers, which answers this
/// too. It comes after everything else in the binary, so offsets stay true.
pub(super) fn line_and_column(text: &str, offset: u64) -> Option<(u64, u64)> {
    let mut assembler = wat::Parser::new();
    assembler.generate_dwarf(wat::GenerateDwarf::Lines);
    let binary = assembler.parse_str(None, text).ok()?;
    let (mut code, mut lines) = (None, None);
    for payload in Parser::new(0).parse_all(&binary) {
        match payload.ok()? {
            // The assembler counts from the first function, behind their number.
            Payload::CodeSectionStart { count, unchecked_range: range, .. } => {
                code = Some(range.start + u64::from(count.max(1).ilog2() / 7 + 1)..range.end);
            }
            Payload::CustomSection(section) if section.name() == ".debug_line" => lines = Some(section.data()),
            _ => {}
        }
    }
    let code = code.filter(|code| code.contains(&offset))?;
    let address = offset - code.start;
    let program = DebugLine::new(lines?, LittleEndian).program(DebugLineOffset(0), 4, None, None).ok()?;
    let mut rows = program.rows();
    let mut found = None;
    while let Ok(Some((_, row))) = rows.next_row() {
        if row.address() > address {
            break;
        }
        let column = match row.column() {
            gimli::ColumnType::LeftEdge => 1,
            gimli::ColumnType::Column(column) => column.get(),
        };
        found = row.line().filter(|_| !row.end_sequence()).map(|line| (line.get(), column)).or(found);
    }
    found
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_instruction_is_found_at_its_line() {
        let text = "(module\n  (func)\n  (func (result i32)\n    i32.const 7\n    i32.eqz\n    i32.clz))";
        let binary = wat::parse_str(text).unwrap();
        let at = binary.windows(4).position(|w| w == [0x41, 7, 0x45, 0x67]).unwrap() as u64;
        assert_eq!(line_and_column(text, at), Some((4, 5)));
        assert_eq!(line_and_column(text, at + 2), Some((5, 5)));
        assert_eq!(line_and_column(text, at + 3), Some((6, 5)));
        assert_eq!(line_and_column(text, 8), None);
    }
}
