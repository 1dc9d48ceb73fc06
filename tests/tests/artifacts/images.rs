//! Memory images: what is stored of a memory, in how many places, and that it
//! is what the data segments say.

use crate::damage::accepted;
use std::fmt::Write as _;
use wasmc::{Error, Options, Target};
use wasmc_artifacts::format::Artifact;

const TARGETS: [&str; 4] =
    ["x86_64-unknown-linux-gnu", "aarch64-unknown-linux-gnu", "x86_64-apple-darwin", "aarch64-apple-darwin"];

/// A module with a memory of `pages` pages of 64 KiB and these segments.
fn module(pages: u64, data: &[(u64, Vec<u8>)]) -> String {
    let mut wat = format!("(module (memory {pages})");
    for (position, bytes) in data {
        let bytes: String = bytes.iter().map(|byte| format!("\\{byte:02x}")).collect();
        write!(wat, "(data (i32.const {position}) \"{bytes}\")").unwrap();
    }
    wat + ")"
}

/// A segment of three bytes every `stride` bytes.
fn scattered(count: u64, stride: u64) -> Vec<(u64, Vec<u8>)> {
    (0..count).map(|i| (stride / 2 + i * stride, vec![1, i as u8, 2])).collect()
}

fn compile(wat: &str, target: &str) -> Result<Vec<u8>, Error> {
    wasmc::compile(wat.as_bytes(), &Options { target: Target::new(target).unwrap(), ..Options::new() })
}

/// Position and length of the extents, after a check that together with zeros
/// they are the memory that the segments describe.
fn extents(file: &[u8], data: &[(u64, Vec<u8>)]) -> Vec<(u64, u64)> {
    assert_eq!(accepted(file), Ok(()));
    let artifact = Artifact::parse(file).unwrap();
    let mut expected = vec![0; artifact.initial_length(0).unwrap() as usize];
    for (position, bytes) in data {
        expected[*position as usize..*position as usize + bytes.len()].copy_from_slice(bytes);
    }
    let mut found = vec![0; expected.len()];
    let mut places = Vec::new();
    for extent in artifact.tables().extents.iter() {
        let content = artifact.file_bytes(extent.content).unwrap();
        // The last one may reach to the end of the machine's page.
        let end = (extent.position as usize + content.len()).min(found.len());
        found[extent.position as usize..end].copy_from_slice(&content[..end - extent.position as usize]);
        places.push((extent.position, extent.content.length));
    }
    assert!(found == expected, "the extents {places:?} are not what the segments say");
    places
}

#[test]
fn a_memory_with_data_at_both_ends_is_small_in_the_file() {
    let size = 64 << 20;
    let data = [(16, vec![1; 100]), (size - 50, vec![2; 50])];
    for target in TARGETS {
        let file = compile(&module(1024, &data), target).unwrap();
        let page = Artifact::parse(&file).unwrap().page_size();
        assert_eq!(extents(&file, &data), [(0, page), (size - page, page)], "{target}");
        assert!(file.len() < 512 << 10, "{target}: {} bytes", file.len());
    }
}

#[test]
fn a_small_memory_is_one_extent_wherever_its_data_is() {
    for position in [0, 5000, 30_000, 65_500] {
        let data = [(position, vec![7; 20])];
        for target in TARGETS {
            let file = compile(&module(1, &data), target).unwrap();
            assert_eq!(extents(&file, &data), [(0, 65_536)], "{target}, {position}");
        }
    }
}

#[test]
fn a_memory_that_starts_as_zeros_has_no_extents() {
    for data in [vec![], vec![(1000, vec![0; 9000])], vec![(5, vec![3]), (4, vec![0; 3])], vec![(65_536, vec![])]] {
        let file = compile(&module(1, &data), TARGETS[0]).unwrap();
        assert_eq!(extents(&file, &data), []);
    }
}

/// As compilers lay memories out: a stack of a MiB, constants and variables,
/// then memory to allocate from.
#[test]
fn the_data_of_a_program_is_one_extent_and_its_stack_is_not_stored() {
    let data = [(1 << 20, vec![5; 10_000]), ((1 << 20) + 40_000, vec![6; 100])];
    let file = compile(&module(17, &data), TARGETS[0]).unwrap();
    assert_eq!(extents(&file, &data), [(1 << 20, 65_536)]);
    let file = compile(&module(100, &data), TARGETS[0]).unwrap();
    assert_eq!(extents(&file, &data), [(1 << 20, 10 << 12)]);
}

#[test]
fn scattered_data_is_stored_in_a_bounded_number_of_extents() {
    // Distances up to 64 KiB: zeros are cheaper than mappings.
    let near = scattered(400, 60_000);
    assert_eq!(extents(&compile(&module(400, &near), TARGETS[0]).unwrap(), &near).len(), 1);
    // Distances up to 1 MiB: 16 mappings at most.
    let far = scattered(50, 1 << 19);
    assert_eq!(extents(&compile(&module(500, &far), TARGETS[0]).unwrap(), &far).len(), 16);
    // More than that: not stored, whatever the number of mappings...
    let further = scattered(50, (1 << 20) + 8192);
    let file = compile(&module(900, &further), TARGETS[0]).unwrap();
    assert_eq!(extents(&file, &further).len(), 50);
    assert!(file.len() < 512 << 10, "{} bytes", file.len());
}

/// ... until there are 1024.
#[test]
fn the_number_of_extents_is_bounded_before_the_size_is() {
    let data = scattered(1200, 1_200_000);
    let file = compile(&module(25_000, &data), TARGETS[0]).unwrap();
    let artifact = Artifact::parse(&file).unwrap();
    assert_eq!(artifact.tables().extents.len(), 1024);
    let stored: u64 = artifact.tables().extents.iter().map(|extent| extent.content.length).sum();
    assert!(stored < 177 * 1_200_000 + 1024 * 4096, "{stored} bytes");
}

#[test]
fn images_beyond_the_limit_are_refused_with_their_size() {
    let data = scattered(2900, 1_400_000);
    let message = compile(&module(65_536, &data), TARGETS[0]).unwrap_err().to_string();
    for words in ["memory 0", "limit is 2147483648", "data segments closer together", "memory.init"] {
        assert!(message.contains(words), "{message}");
    }
}
