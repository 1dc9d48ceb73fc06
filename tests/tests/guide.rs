//! The guide and the other pages of documentation hold together: links lead
//! somewhere, pages are listed, programs in them are run.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// The pages of the guide, by the names of their files.
fn pages() -> BTreeSet<String> {
    let entries = fs::read_dir(project().join("docs/src")).unwrap();
    let names = entries.map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let pages: BTreeSet<_> = names.filter(|name| name.ends_with(".md") && name != "SUMMARY.md").collect();
    assert!(pages.len() > 5, "the guide's pages are not where they were: {pages:?}");
    pages
}

fn page(name: &str) -> String {
    fs::read_to_string(project().join("docs/src").join(name)).unwrap()
}

/// The lines of a page outside of its code blocks.
fn prose(text: &str) -> impl Iterator<Item = &str> {
    let mut code = false;
    text.lines().filter(move |line| {
        let fence = line.trim_start().starts_with("```");
        code ^= fence;
        !code && !fence
    })
}

/// Where the links of a page lead.
fn links(text: &str) -> Vec<String> {
    let mut links = Vec::new();
    for line in prose(text) {
        for (at, _) in line.match_indices("](") {
            let target = &line[at + 2..];
            links.push(target[..target.find(')').expect("a link ends on the line it begins on")].to_owned());
        }
    }
    links
}

/// The names by which a page's headings are linked to.
fn anchors(text: &str) -> BTreeSet<String> {
    let headings = prose(text).filter(|line| line.starts_with('#'));
    let name = |line: &str| {
        let words = line.trim_start_matches('#').trim().to_lowercase().replace(' ', "-");
        words.chars().filter(|c| c.is_alphanumeric() || matches!(c, '-' | '_')).collect()
    };
    headings.map(name).collect()
}

/// Checks the links of a file of the project, and returns how many it has.
fn check(file: &str) -> usize {
    let path = project().join(file);
    let text = fs::read_to_string(&path).unwrap_or_else(|e| panic!("{file}: {e}"));
    let links = links(&text);
    for link in links.iter().filter(|link| !link.starts_with("http")) {
        let (target, anchor) = link.split_once('#').map_or((&**link, None), |(target, anchor)| (target, Some(anchor)));
        let target = if target.is_empty() { path.clone() } else { path.parent().unwrap().join(target) };
        assert!(target.exists(), "{file} links to {link}, which does not exist");
        if let Some(anchor) = anchor {
            let headings = anchors(&fs::read_to_string(&target).unwrap());
            assert!(headings.contains(anchor), "{file} links to {link}, and there is no such heading: {headings:?}");
        }
    }
    links.len()
}

#[test]
fn links_of_all_pages_lead_somewhere() {
    let guide: usize = pages().iter().map(|name| check(&format!("docs/src/{name}"))).sum();
    assert!(guide > 20, "only {guide} links were found in the guide");
    for file in
        ["README.md", "ARCHITECTURE.md", "CHANGELOG.md", "examples/README.md", "bench/README.md", "fuzz/README.md"]
    {
        check(file);
    }
}

/// Links to pages end in `.html` when the guide is rendered, and nobody renders
/// pages that are not the guide's.
#[test]
fn links_to_pages_stay_within_the_guide() {
    for name in pages() {
        for link in links(&page(&name)) {
            let target = link.split('#').next().unwrap();
            let is_page = target.ends_with(".md") && !target.starts_with("http");
            assert!(!is_page || pages().contains(target), "{name} links to {link}, which is no page of the guide");
        }
    }
    // From the rendered pages to the examples it is as far as from their sources.
    let book = fs::read_to_string(project().join("docs/book.toml")).unwrap();
    assert!(book.contains("build-dir = \"../target/book\""), "{book}");
}

#[test]
fn every_page_is_in_the_summary_once() {
    let listed = links(&page("SUMMARY.md"));
    let unique: BTreeSet<_> = listed.iter().cloned().collect();
    assert_eq!(listed.len(), unique.len(), "a page is listed twice");
    assert_eq!(unique, pages());
}

fn has_program(page: &str) -> bool {
    page.lines().any(|line| ["```rust", "```rust,no_run"].contains(&line))
}

#[test]
fn programs_of_every_page_are_run() {
    let run: BTreeSet<_> = wasmc_tests::guide::PAGES.iter().map(|name| (*name).to_owned()).collect();
    let with_programs: BTreeSet<_> = pages().into_iter().filter(|name| has_program(&page(name))).collect();
    assert_eq!(run, with_programs);
}

/// What is shown of the examples that are crates of their own is really in them.
#[test]
fn code_that_is_not_compiled_is_quoted_from_an_example() {
    let mut sources = String::new();
    for example in ["async-bindings", "build-script", "linked-object"] {
        for file in ["Cargo.toml", "build.rs", "src/main.rs"] {
            let path = project().join("examples").join(example).join(file);
            sources.push_str(&fs::read_to_string(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display())));
        }
    }
    let mut quotes = 0;
    for name in pages() {
        let text = page(&name);
        for block in text.split("\n```rust").skip(1) {
            let (kind, code) = block.split_once('\n').unwrap();
            match kind {
                "" | ",no_run" => {}
                ",ignore" => {
                    let code = code.split("\n```").next().unwrap();
                    assert!(sources.contains(code), "{name} shows what is in no example:\n{code}");
                    quotes += 1;
                }
                other => panic!("{name} has a program that is not compiled: `rust{other}`"),
            }
        }
    }
    assert!(quotes > 2, "the guide quotes no examples");
}

#[test]
fn every_example_is_listed_in_the_guide() {
    let manifest = fs::read_to_string(project().join("examples/Cargo.toml")).unwrap();
    let mut paths: Vec<_> = manifest.lines().filter_map(|line| line.strip_prefix("path = ")).collect();
    assert!(paths.len() > 5, "no examples are found in {manifest}");
    paths.extend(["async-bindings/src/main.rs", "build-script/src/main.rs", "linked-object/src/main.rs"]);
    let listed = links(&page("getting-started.md"));
    for path in paths {
        let link = format!("../../examples/{}", path.trim_matches('"'));
        assert!(listed.contains(&link), "{link} is not linked from getting-started.md");
    }
}

/// Features of the loader that are for this project only.
const INTERNAL: [&str; 2] = ["portable-unix", "snapshot"];

#[test]
fn cargo_features_of_the_loader_are_listed() {
    let manifest = fs::read_to_string(project().join("loader/Cargo.toml")).unwrap();
    let section = manifest.split("[features]").nth(1).and_then(|rest| rest.split("\n[").next()).unwrap();
    let mut features = section.lines().filter_map(|line| line.split_once(" = ")).collect::<Vec<_>>();
    let default = features.remove(features.iter().position(|(name, _)| *name == "default").unwrap()).1;
    let expected: BTreeSet<_> = features
        .into_iter()
        .filter(|(name, _)| !INTERNAL.contains(name))
        .map(|(name, _)| (name.to_owned(), default.contains(&format!("\"{name}\"")).to_string()))
        .collect();
    assert!(expected.len() > 5, "no features are found in {section}");
    let text = page("small-loader.md");
    let rows = text.lines().filter_map(|line| line.strip_prefix("| `")?.split_once("` | "));
    let listed: BTreeSet<_> = rows.map(|(name, rest)| (name.to_owned(), rest.starts_with("on ").to_string())).collect();
    assert_eq!(listed, expected);
}
