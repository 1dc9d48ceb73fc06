//! `wasmc FILE --working-set FILE`.

use super::{ADD, Folder};
use wasmc::WorkingSet;
use wasmc_artifacts::format::{Artifact, PageRange};

/// The text of a working set of `ADD`.
fn of_add(ranges: &[(u32, u32, u32)]) -> String {
    let artifact = wasmc::compile(ADD.as_bytes(), &wasmc::Options::new()).unwrap();
    let source = Artifact::parse(&artifact).unwrap().header().source_hash;
    let ranges = ranges.iter().map(|&(memory, first, pages)| PageRange { memory, first, pages });
    WorkingSet::new(source, ranges.collect()).unwrap().to_text()
}

#[test]
fn a_working_set_is_put_into_the_artifact() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    folder.write("a.wasm", wat::parse_str(ADD).unwrap());
    folder.write("a.pages", of_add(&[(0, 0, 2), (0, 15, 1)]));
    let done = folder.wasmc(["a.wat", "--working-set", "a.pages", "-v"]).ok();
    assert!(done.stderr.contains("working set of 3 pages"), "{}", done.stderr);
    // Text or not, it is the same module.
    folder.wasmc(["a.wasm", "--working-set", "a.pages", "-o", "b.cwasm"]).ok();
    assert!(std::fs::read(folder.path("a.cwasm")).unwrap() == std::fs::read(folder.path("b.cwasm")).unwrap());
    folder.wasmc(["verify", "a.cwasm"]).ok();
    let text = folder.wasmc(["inspect", "a.cwasm"]).ok();
    assert!(text.text().contains("; working set of 3 pages of 4 KiB in 2 ranges\n"), "{}", text.text());
    let json = folder.wasmc(["inspect", "a.cwasm", "--json"]).ok();
    let report: serde_json::Value = serde_json::from_slice(&json.stdout).unwrap();
    let expected = serde_json::json!([{ "first": 0, "pages": 2 }, { "first": 15, "pages": 1 }]);
    assert_eq!(report["memory_images"][0]["working_set"], expected);
}

#[cfg(feature = "run")]
#[test]
fn neither_the_program_nor_its_working_set_is_replaced() {
    let folder = Folder::new();
    folder.write("a.wat", "(module (memory 1) (func (export \"_start\")))");
    folder.write("a.pages", of_add(&[(0, 0, 1)]));
    let words = ["would replace the program, `a.wat`", "--record-working-set FILE"];
    folder.wasmc(["run", "--record-working-set", "a.wat", "a.wat"]).failed(1, &words);
    let words = ["would replace the working set, `a.pages`", "-o FILE"];
    folder.wasmc(["a.wat", "--working-set", "a.pages", "-o", "./a.pages"]).failed(1, &words);
    assert!(std::fs::read(folder.path("a.wat")).unwrap().starts_with(b"(module"));
    assert!(std::fs::read(folder.path("a.pages")).unwrap().starts_with(b"wasmc working set"));
}

#[test]
fn a_working_set_that_does_not_fit_is_refused_and_leaves_no_file() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    folder.write("other.wat", "(module)");
    let refused = |input: &str, set: &str, words: &[&str]| {
        folder.write("pages", set);
        folder.wasmc([input, "--working-set", "pages"]).failed(1, words);
    };
    let good = of_add(&[(0, 0, 1)]);
    let hash = good.lines().nth(1).unwrap().strip_prefix("source ").unwrap();
    refused("other.wat", &good, &["cannot compile `other.wat`", hash, "--record-working-set"]);
    refused("a.wat", &of_add(&[(0, 0, 1), (0, 16, 1)]), &["line 4", "beyond the initial size", "page 16 of memory 0"]);
    refused("a.wat", &(good.clone() + "0 zero 1\n"), &["working set in `pages`", "line 4"]);
    refused("a.wat", &good.replace("set 1", "set 7"), &["line 1", "version \"7\"", "reads version 1"]);
    refused("a.wat", "", &["line 1"]);
    folder.wasmc(["a.wat", "--working-set", "missing"]).failed(1, &["cannot read `missing`"]);
    assert_eq!(folder.names(), ["a.wat", "other.wat", "pages"]);
}
