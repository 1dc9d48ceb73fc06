//! Damaged artifacts are refused: never a panic, never an overflow, never
//! accepted.

use crate::damage::{Specimen, accepted};
use std::panic::{AssertUnwindSafe, catch_unwind};
use wasmc_artifacts::format::{Artifact, Header, Memory};
use wasmc_artifacts::rows::Row;
use wasmc_tests::rng::{Rng, rounds};

/// Fails unless `file` is read without a panic.
fn read(specimen: &Specimen, damage: &str, file: &[u8]) -> Result<(), String> {
    catch_unwind(AssertUnwindSafe(|| accepted(file)))
        .unwrap_or_else(|_| panic!("reading `{}` with {damage} panics", specimen.name))
}

/// Fails unless `file` is refused.
fn refused(specimen: &Specimen, damage: &str, file: &[u8]) {
    assert!(read(specimen, damage, file).is_err(), "`{}` with {damage} is accepted", specimen.name);
}

#[test]
fn intact_artifacts_are_accepted() {
    for specimen in Specimen::all() {
        assert_eq!(read(&specimen, "no damage", &specimen.bytes), Ok(()), "{}", specimen.name);
        assert_eq!(read(&specimen, "a new seal", &specimen.resealed(&[])), Ok(()), "{}", specimen.name);
    }
}

#[test]
fn an_artifact_cut_off_anywhere_is_refused() {
    let small = Specimen::small();
    for end in 0..small.bytes.len() {
        refused(&small, &format!("only {end} bytes"), &small.bytes[..end]);
    }
    for specimen in Specimen::all() {
        for edge in specimen.edges() {
            for end in edge.saturating_sub(1)..=edge + 1 {
                if end < specimen.bytes.len() {
                    refused(&specimen, &format!("only {end} bytes"), &specimen.bytes[..end]);
                }
            }
        }
    }
}

#[test]
fn an_artifact_with_a_changed_byte_is_refused() {
    for specimen in Specimen::all() {
        let mut copy = specimen.bytes.clone();
        let object_header = 0..specimen.metadata.start.min(2048);
        for at in object_header.chain(specimen.metadata.clone()) {
            let patterns: &[u8] = if at < specimen.metadata.start + Header::SIZE {
                &[1, 2, 4, 8, 0x10, 0x20, 0x40, 0x80, 0xff]
            } else {
                &[1, 0x80, 0xff]
            };
            for pattern in patterns {
                copy[at] ^= pattern;
                refused(&specimen, &format!("byte {at:#x} changed by {pattern:#x}"), &copy);
                copy[at] ^= pattern;
            }
        }
        // The rest of the file is covered by the same hash.
        for at in (0..specimen.bytes.len()).step_by(997) {
            copy[at] ^= 1;
            refused(&specimen, &format!("byte {at:#x} changed"), &copy);
            copy[at] ^= 1;
        }
    }
}

/// Someone who can change a field can also compute the hash: the checks
/// behind it have to hold too.
#[test]
fn changed_metadata_with_a_fitting_hash_is_read_without_a_panic() {
    for specimen in Specimen::all() {
        for at in specimen.metadata.clone() {
            for pattern in [1, 0x80, 0xff] {
                let file = specimen.resealed(&[(at, &[specimen.bytes[at] ^ pattern])]);
                let _ = read(&specimen, &format!("byte {at:#x} changed by {pattern:#x}, resealed"), &file);
            }
        }
    }
}

#[test]
fn huge_and_overlapping_tables_are_read_without_a_panic() {
    for specimen in Specimen::all() {
        let entries: Vec<usize> = specimen.directory_entries().collect();
        for entry in &entries {
            for value in [0, 1, 8, 0x7fff_fff8, 0x8000_0000, u32::MAX - 7, u32::MAX] {
                let value = u32::to_le_bytes(value);
                for (what, edit) in [("offset", (*entry, &value[..])), ("length", (*entry + 4, &value[..]))] {
                    let file = specimen.resealed(&[edit]);
                    let _ = read(&specimen, &format!("{what} at {entry:#x} = {value:x?}"), &file);
                }
            }
            for other in &entries {
                let whole: [u8; 8] = specimen.bytes[*other..other + 8].try_into().unwrap();
                let file = specimen.resealed(&[(*entry, &whole)]);
                let _ = read(&specimen, &format!("the table at {entry:#x} where that at {other:#x} is"), &file);
            }
        }
    }
}

#[test]
fn a_table_that_lies_outside_the_metadata_is_refused() {
    for specimen in Specimen::all() {
        for entry in specimen.directory_entries() {
            for huge in [u32::MAX, specimen.metadata.len() as u32 + 1] {
                let file = specimen.resealed(&[(entry + 4, &huge.to_le_bytes())]);
                refused(&specimen, &format!("a table of {huge} bytes"), &file);
            }
        }
    }
}

#[test]
fn extreme_numbers_in_the_header_are_read_without_a_panic() {
    for specimen in Specimen::all() {
        let header = specimen.metadata.start..specimen.metadata.start + Header::SIZE - 8;
        for at in header.step_by(4) {
            for value in [0, 1, 1 << 31, u64::from(u32::MAX), 1 << 63, u64::MAX - 0xffff, u64::MAX] {
                for width in [4, 8] {
                    let file = specimen.resealed(&[(at, &value.to_le_bytes()[..width])]);
                    let _ = read(&specimen, &format!("{width} bytes at {at:#x} = {value:#x}"), &file);
                }
            }
        }
    }
}

/// Rounding such a memory up to whole pages overflows.
#[test]
fn a_memory_that_ends_with_the_address_space_is_read_without_a_panic() {
    for specimen in Specimen::all() {
        let encoded = |memory: Memory| {
            let mut bytes = Vec::new();
            memory.encode(&mut bytes);
            bytes
        };
        let Some(row) = Artifact::parse(&specimen.bytes).unwrap().tables().memories.get(0) else { continue };
        let row = encoded(row);
        let at = specimen.bytes.windows(row.len()).position(|bytes| bytes == row).unwrap();
        for page_shift in [0, 16] {
            let minimum = u64::MAX >> page_shift;
            let huge = Memory { minimum, maximum: u64::MAX, page_shift, memory64: 1, shared: 0 };
            let _ = read(&specimen, "a huge memory", &specimen.resealed(&[(at, &encoded(huge))]));
        }
    }
}

#[test]
fn garbled_metadata_is_read_without_a_panic() {
    let mut rng = Rng::new(2);
    for specimen in Specimen::all() {
        for _ in 0..rounds(3000) {
            let (damage, file) = specimen.garbled(&mut rng);
            let _ = read(&specimen, &damage, &file);
        }
    }
}

#[test]
fn what_is_no_artifact_is_refused() {
    let small = Specimen::small();
    let mut rng = Rng::new(3);
    refused(&small, "no bytes", b"");
    refused(&small, "wasm", b"\0asm\x01\0\0\0");
    for magic in [&b"\x7fELF\x02\x01\x01"[..], &[0xcf, 0xfa, 0xed, 0xfe]] {
        for length in 0..300 {
            let file = [magic, &rng.bytes(length)].concat();
            refused(&small, "random bytes instead", &file);
            refused(&small, "zeros instead", &[magic, &vec![0; length]].concat());
            refused(&small, "ones instead", &[magic, &vec![0xff; length]].concat());
        }
    }
}
