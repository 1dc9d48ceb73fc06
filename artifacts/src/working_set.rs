//! Working sets: the pages of its memories that an instance touches.
//!
//! One is recorded in a run, kept as a small text file, and put into the
//! artifact by the compiler, so that a loader can fetch the pages in one go
//! instead of one fault each. It is advice: a working set that misses pages or
//! has too many makes an instance slower, never wrong.
//!
//! ```text
//! wasmc working set 1
//! source 9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08
//! 0 256 3
//! 0 261 1
//! ```
//!
//! `source` is the SHA-256 of the wasm. Each line after it is a
//! [`PageRange`]: a defined memory, its first page, the number of pages, in
//! pages of 4 KiB on every target. Lines are in order and do not overlap.

use crate::format::{Artifact, Digest, PageRange, hex};
use std::fmt::Write as _;

/// The first line of the text form, up to the version.
const TITLE: &str = "wasmc working set ";

/// The version of the text form.
const VERSION: &str = "1";

/// The pages that instances of a module touch.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct WorkingSet {
    source: Digest,
    ranges: Vec<PageRange>,
}

/// Why a working set cannot be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum WorkingSetError {
    /// The text is not one of a working set.
    #[error("line {line} of the working set {problem}; record it again with `wasmc run --record-working-set FILE`")]
    Syntax {
        /// The line, counted from 1.
        line: usize,
        /// What is wrong with it.
        problem: String,
    },
    /// A range that contradicts the others, or the module.
    #[error(
        "line {line} of the working set, {} pages from page {} of memory {}: {problem}; record it again with `wasmc run --record-working-set FILE`",
        .range.pages, .range.first, .range.memory
    )]
    Range {
        /// The line of the text form, counted from 1; the first range is on line 3.
        line: usize,
        /// The range.
        range: PageRange,
        /// What is wrong with it.
        problem: &'static str,
    },
    /// Recorded with another module.
    #[error(
        "the working set was recorded with a module whose SHA-256 is {recorded}, but that of this module is {module}; record one with this module (`wasmc run --record-working-set FILE`)"
    )]
    Source {
        /// Hash in the working set, in hexadecimal.
        recorded: String,
        /// Hash of the module, in hexadecimal.
        module: String,
    },
}

/// Checks that ranges are not empty, ascend, do not overlap, and that their
/// pages have numbers; the first one that is wrong, by its position, and why.
fn check_order(ranges: impl Iterator<Item = PageRange>) -> Result<(), (usize, PageRange, &'static str)> {
    let mut last = (0, 0);
    for (i, range) in ranges.enumerate() {
        let wrong = |problem| Err((i, range, problem));
        if range.pages == 0 {
            return wrong("a range of a working set has no pages");
        }
        let Some(end) = range.first.checked_add(range.pages) else {
            return wrong("a range of a working set ends beyond the last page");
        };
        if (range.memory, range.first) < last {
            return wrong("the ranges of a working set overlap or are not in order");
        }
        last = (range.memory, end);
    }
    Ok(())
}

/// Checks that ranges lie in memories; `initial` is the initial size of a
/// defined memory in bytes.
fn check_fit(
    ranges: impl Iterator<Item = PageRange>,
    initial: impl Fn(u32) -> Option<u64>,
) -> Result<(), (usize, PageRange, &'static str)> {
    for (i, range) in ranges.enumerate() {
        let Some(bytes) = initial(range.memory) else {
            return Err((i, range, "the memory of a working set does not exist"));
        };
        let end = u64::from(range.first) + u64::from(range.pages);
        if end > bytes.div_ceil(PageRange::PAGE_SIZE) {
            return Err((i, range, "a range of a working set ends beyond the initial size of its memory"));
        }
    }
    Ok(())
}

/// Both checks, for a table of an artifact.
pub(crate) fn check_table(
    ranges: impl Iterator<Item = PageRange> + Clone,
    initial: impl Fn(u32) -> Option<u64>,
) -> Result<(), &'static str> {
    check_order(ranges.clone()).and_then(|()| check_fit(ranges, initial)).map_err(|(_, _, problem)| problem)
}

fn range_error((position, range, problem): (usize, PageRange, &'static str)) -> WorkingSetError {
    WorkingSetError::Range { line: position + 3, range, problem }
}

impl WorkingSet {
    /// The working set of the module whose wasm has the SHA-256 `source`.
    ///
    /// # Errors
    /// [`WorkingSetError::Range`] if a range is empty, or not behind the one
    /// before it.
    pub fn new(source: Digest, ranges: Vec<PageRange>) -> Result<WorkingSet, WorkingSetError> {
        check_order(ranges.iter().copied()).map_err(range_error)?;
        Ok(WorkingSet { source, ranges })
    }

    /// The one that is in an artifact, which may be empty.
    pub fn of(artifact: &Artifact<'_>) -> WorkingSet {
        WorkingSet { source: artifact.header().source_hash, ranges: artifact.tables().working_set.iter().collect() }
    }

    /// Reads the text form.
    ///
    /// # Errors
    /// [`WorkingSetError::Syntax`] or [`WorkingSetError::Range`], with the line.
    pub fn parse(text: &[u8]) -> Result<WorkingSet, WorkingSetError> {
        let syntax = |line, problem: &str| WorkingSetError::Syntax { line, problem: problem.to_owned() };
        let text = std::str::from_utf8(text).map_err(|e| {
            let before = text.get(..e.valid_up_to()).unwrap_or_default();
            syntax(before.iter().filter(|byte| **byte == b'\n').count() + 1, "is not text")
        })?;
        let mut lines = text.lines();
        match lines.next().and_then(|line| line.strip_prefix(TITLE)) {
            Some(VERSION) => {}
            Some(version) => {
                let problem = format!("says format version {version:?}, and this wasmc reads version {VERSION}");
                return Err(WorkingSetError::Syntax { line: 1, problem });
            }
            None => return Err(syntax(1, "is not `wasmc working set 1`, as the first line has to be")),
        }
        let source = lines.next().and_then(|line| digest(line.strip_prefix("source ")?));
        let source = source.ok_or_else(|| syntax(2, "is not `source` and the 64 hexadecimal digits of a SHA-256"))?;
        let mut ranges = Vec::new();
        for (i, line) in lines.enumerate() {
            let range = range(line).ok_or_else(|| {
                syntax(i + 3, "is not a memory, a first page and a number of pages, with one space between them")
            })?;
            ranges.push(range);
        }
        Self::new(source, ranges)
    }

    /// The text form.
    pub fn to_text(&self) -> String {
        let mut text = format!("{TITLE}{VERSION}\nsource {}\n", hex(&self.source));
        for range in &self.ranges {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "{} {} {}", range.memory, range.first, range.pages);
        }
        text
    }

    /// Checks that it is one of the module whose wasm has the SHA-256
    /// `source`, and that every range lies in a memory; `initial` is the
    /// initial size in bytes of a defined memory, imported ones not counted.
    ///
    /// # Errors
    /// [`WorkingSetError::Source`] or [`WorkingSetError::Range`].
    pub fn check(&self, source: &Digest, initial: impl Fn(u32) -> Option<u64>) -> Result<(), WorkingSetError> {
        if self.source != *source {
            return Err(WorkingSetError::Source { recorded: hex(&self.source), module: hex(source) });
        }
        check_fit(self.ranges.iter().copied(), initial).map_err(range_error)
    }

    /// SHA-256 of the wasm that it was recorded with.
    pub fn source(&self) -> &Digest {
        &self.source
    }

    /// The ranges: ascending, none of them empty, not overlapping.
    pub fn ranges(&self) -> &[PageRange] {
        &self.ranges
    }

    /// Number of pages of 4 KiB in all ranges.
    pub fn pages(&self) -> u64 {
        self.ranges.iter().map(|range| u64::from(range.pages)).sum()
    }

    /// Whether it has no pages.
    pub fn is_empty(&self) -> bool {
        self.ranges.is_empty()
    }
}

impl std::str::FromStr for WorkingSet {
    type Err = WorkingSetError;
    fn from_str(text: &str) -> Result<Self, WorkingSetError> {
        Self::parse(text.as_bytes())
    }
}

/// Reads 64 hexadecimal digits.
fn digest(text: &str) -> Option<Digest> {
    let digits: &[u8; 64] = text.as_bytes().try_into().ok()?;
    let mut digest = [0; 32];
    for (byte, pair) in digest.iter_mut().zip(digits.chunks_exact(2)) {
        let value = |digit: &u8| char::from(*digit).to_digit(16);
        *byte = (value(pair.first()?)? << 4 | value(pair.last()?)?) as u8;
    }
    Some(digest)
}

/// Reads the line of a range.
fn range(line: &str) -> Option<PageRange> {
    let mut numbers = line.split(' ').map(|text| {
        // `parse` would take a sign, too.
        text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
    });
    let range = PageRange { memory: numbers.next()??, first: numbers.next()??, pages: numbers.next()?? };
    numbers.next().is_none().then_some(range)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(ranges: &[(u32, u32, u32)]) -> Result<WorkingSet, WorkingSetError> {
        let ranges =
            ranges.iter().map(|(memory, first, pages)| PageRange { memory: *memory, first: *first, pages: *pages });
        WorkingSet::new([0xa5; 32], ranges.collect())
    }

    #[test]
    fn the_text_form_reads_as_what_was_written() {
        for ranges in
            [&[][..], &[(0, 0, 1)], &[(0, 0, 1), (0, 1, 7), (0, 4000, 1), (2, 3, 9)], &[(u32::MAX, u32::MAX - 1, 1)]]
        {
            let set = of(ranges).unwrap();
            assert_eq!(WorkingSet::parse(set.to_text().as_bytes()), Ok(set.clone()));
            assert_eq!(set.to_text().parse(), Ok(set));
        }
        let text = of(&[(0, 256, 3)]).unwrap().to_text();
        assert_eq!(text, format!("wasmc working set 1\nsource {}\n0 256 3\n", "a5".repeat(32)));
    }

    #[test]
    fn pages_are_counted_beyond_32_bits() {
        let most = u32::MAX - 1;
        assert_eq!(of(&[(0, 0, most), (1, 0, most)]).unwrap().pages(), 2 * u64::from(most));
        assert!(of(&[]).unwrap().is_empty());
    }

    #[test]
    fn a_bad_text_is_refused_with_its_line() {
        let good = of(&[(0, 1, 2), (0, 5, 1)]).unwrap().to_text();
        let line = |text: &str| match WorkingSet::parse(text.as_bytes()) {
            Err(WorkingSetError::Syntax { line, .. } | WorkingSetError::Range { line, .. }) => line,
            other => panic!("{other:?}"),
        };
        assert_eq!(line(""), 1);
        assert_eq!(line("wasmc working set 2\n"), 1);
        assert_eq!(line("wasmc working set 1"), 2);
        assert_eq!(line(&good.replace("a5a5\n", "a5\n")), 2);
        assert_eq!(line(&good.replace("a5a5\n", "a5ag\n")), 2);
        assert_eq!(line(&good.replace("source", "SOURCE")), 2);
        for bad in
            ["", "0 7", "0 7 1 1", "0  7 1", " 0 7 1", "0 7 +1", "0 -7 1", "0 7 4294967296", "0 0x7 1", "# 0 7 1"]
        {
            assert_eq!(line(&format!("{good}{bad}\n")), 5, "{bad:?}");
        }
        for bad in ["0 5 1", "0 4 1", "0 7 0", "0 4294967295 1"] {
            assert_eq!(line(&format!("{good}{bad}\n")), 5, "{bad:?}");
        }
        let mut bytes = good.into_bytes();
        bytes.extend_from_slice(b"0 9 1\n0 \xff 1\n");
        assert!(matches!(WorkingSet::parse(&bytes), Err(WorkingSetError::Syntax { line: 6, .. })));
    }

    #[test]
    fn it_has_to_be_the_modules_and_lie_in_its_memories() {
        let set = of(&[(0, 15, 1), (2, 0, 2)]).unwrap();
        // The last memory has pages smaller than a page of a working set.
        let initial = |memory: u32| [65_536, 0, 4097].get(memory as usize).copied();
        assert_eq!(set.check(&[0xa5; 32], initial), Ok(()));
        let error = set.check(&[0x5a; 32], initial).unwrap_err().to_string();
        assert!(error.contains(&"a5".repeat(32)) && error.contains(&"5a".repeat(32)), "{error}");
        for (ranges, problem) in
            [([(0, 0, 1), (0, 15, 2)], "beyond the initial size"), ([(0, 0, 1), (3, 0, 1)], "does not exist")]
        {
            let error = of(&ranges).unwrap().check(&[0xa5; 32], initial).unwrap_err();
            assert!(
                matches!(error, WorkingSetError::Range { line: 4, .. }) && error.to_string().contains(problem),
                "{error}"
            );
        }
    }
}
