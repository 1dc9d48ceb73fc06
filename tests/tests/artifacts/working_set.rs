//! Working sets in artifacts: written as given, refused where they do not fit.

use crate::damage::{Specimen, accepted, working_set};
use wasmc::inspect::Report;
use wasmc::{Error, Options, WorkingSet, WorkingSetError};
use wasmc_artifacts::format::{Artifact, PageRange};
use wasmc_artifacts::rows::Row;
use wasmc_tests::samples::{BORROWER, EVERYTHING, SMALL};

/// `EVERYTHING` has memories of 20 and 6 pages of 64 KiB, which are 320 and
/// 96 of 4 KiB.
const RANGES: &[(u32, u32, u32)] = &[(0, 0, 1), (0, 64, 3), (0, 319, 1), (1, 17, 15)];

fn compile(wat: &str, set: WorkingSet) -> Result<Vec<u8>, Error> {
    wasmc::compile(wat.as_bytes(), &Options { working_set: Some(set), ..Options::new() })
}

#[test]
fn an_artifact_holds_the_working_set_it_was_compiled_with() {
    let set = working_set(EVERYTHING, RANGES);
    let bytes = compile(EVERYTHING, set.clone()).unwrap();
    assert_eq!(accepted(&bytes), Ok(()));
    let artifact = Artifact::parse(&bytes).unwrap();
    assert_eq!(WorkingSet::of(&artifact), set);
    let memories = Report::read(&bytes, 0).unwrap().memories;
    assert_eq!(memories[0].working_set, [(0, 1), (64, 3), (319, 1)]);
    assert_eq!(memories[1].working_set, [(17, 15)]);
}

#[test]
fn an_artifact_has_no_working_set_unless_told_one() {
    let plain = wasmc::compile(EVERYTHING.as_bytes(), &Options::new()).unwrap();
    assert!(WorkingSet::of(&Artifact::parse(&plain).unwrap()).is_empty());
    assert!(compile(EVERYTHING, working_set(EVERYTHING, &[])).unwrap() == plain, "an empty one makes a difference");
}

#[test]
fn a_working_set_of_another_module_is_refused_with_both_hashes() {
    let set = working_set(EVERYTHING, RANGES);
    let error = compile(SMALL, set.clone()).unwrap_err();
    let message = error.to_string();
    for module in [EVERYTHING, SMALL] {
        let text = working_set(module, &[]).to_text();
        let hash = text.lines().nth(1).unwrap().strip_prefix("source ").unwrap();
        assert!(message.contains(hash), "{message}");
    }
    assert!(matches!(error, Error::WorkingSet(WorkingSetError::Source { .. })), "{message}");
}

#[test]
fn pages_that_the_module_does_not_have_are_refused_with_their_line() {
    for (wat, ranges, line, reason) in [
        (EVERYTHING, &[(0, 0, 1), (0, 319, 2)][..], 4, "beyond the initial size"),
        (EVERYTHING, &[(0, 0, 320), (1, 0, 96), (1, 96, 1)], 5, "beyond the initial size"),
        (EVERYTHING, &[(2, 0, 1)], 3, "does not exist"),
        // Its memory is imported, and so another module's.
        (BORROWER, &[(0, 0, 1)], 3, "does not exist"),
    ] {
        let message = compile(wat, working_set(wat, ranges)).unwrap_err().to_string();
        assert!(message.contains(&format!("line {line} ")) && message.contains(reason), "{message}");
    }
}

/// The rows of a table that are in the file, replaced by others.
#[test]
fn a_table_that_contradicts_itself_or_the_memories_is_refused() {
    let specimen = Specimen::everything();
    let encoded = |ranges: &[(u32, u32, u32)]| {
        let mut bytes = Vec::new();
        for (memory, first, pages) in ranges {
            PageRange { memory: *memory, first: *first, pages: *pages }.encode(&mut bytes);
        }
        bytes
    };
    let rows = Artifact::parse(&specimen.bytes).unwrap().tables().working_set;
    let there: Vec<_> = rows.iter().map(|range| (range.memory, range.first, range.pages)).collect();
    let there = encoded(&there);
    let at = specimen.bytes.windows(there.len()).position(|bytes| bytes == there).unwrap();
    let read = |ranges: &[(u32, u32, u32)]| {
        let bytes = encoded(ranges);
        assert_eq!(bytes.len(), there.len(), "as many rows as there are");
        Artifact::parse(&specimen.resealed(&[(at, &bytes)])).map(|_| ()).map_err(|e| e.to_string())
    };
    assert_eq!(read(&[(0, 0, 160), (0, 160, 160), (1, 0, 96)]), Ok(()));
    for (ranges, reason) in [
        ([(0, 0, 2), (0, 2, 0), (1, 0, 1)], "has no pages"),
        ([(0, 0, 2), (0, 1, 1), (1, 0, 1)], "overlap"),
        ([(0, 5, 1), (0, 4, 1), (1, 0, 1)], "not in order"),
        ([(1, 0, 1), (0, 4, 1), (1, 4, 1)], "not in order"),
        ([(0, 0, 1), (0, u32::MAX, 1), (1, 0, 1)], "beyond the last page"),
        ([(0, 0, 1), (0, 320, 1), (1, 0, 1)], "beyond the initial size"),
        ([(0, 0, 1), (0, 1, u32::MAX - 1), (1, 0, 1)], "beyond the initial size"),
        ([(0, 0, 1), (1, 0, 1), (2, 0, 1)], "does not exist"),
        ([(0, 0, 1), (1, 0, 1), (u32::MAX, 0, 1)], "does not exist"),
    ] {
        let error = read(&ranges).unwrap_err();
        assert!(error.starts_with("corrupt artifact") && error.contains(reason), "{ranges:?}: {error}");
    }
}
