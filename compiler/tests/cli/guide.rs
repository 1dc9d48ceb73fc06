//! The commands that the guide shows do what it says they do.

use super::Folder;
use std::fs;
use std::path::{Path, PathBuf};

fn project() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).parent().unwrap().to_owned()
}

/// A command, and the lines below it that show what it prints.
struct Shown {
    command: String,
    output: Vec<String>,
}

/// What a page shows of `wasmc`, also as what gdb or perf run.
fn shown(page: &str) -> Vec<Shown> {
    let mut all: Vec<Shown> = Vec::new();
    let (mut script, mut inside, mut open) = (false, false, false);
    for line in page.lines() {
        if line.starts_with("```") {
            script = !inside && line == "```sh";
            inside = !inside;
            open = false;
            continue;
        }
        if !inside {
            continue;
        }
        let command = line.strip_prefix("$ ").or(script.then_some(line));
        if let Some(command) = command {
            let words = command.find("wasmc ").filter(|at| *at == 0 || command[..*at].ends_with(' '));
            open = words.is_some_and(|at| ["", "perf record ", "gdb --args "].contains(&&command[..at]));
            if let Some(at) = words.filter(|_| open) {
                let (command, comment) = command[at + 6..].split_once('#').unwrap_or((&command[at + 6..], ""));
                let prints = comment.trim().strip_prefix("prints ").map(str::to_owned);
                all.push(Shown { command: command.trim().to_owned(), output: prints.into_iter().collect() });
                // What follows is printed by the tool around it.
                open = at == 0;
            }
        } else if open && !line.is_empty() {
            all.last_mut().unwrap().output.push(line.to_owned());
        }
    }
    all
}

/// The modules that a page shows, each with the file that its first line names.
fn modules(page: &str) -> Vec<(&str, &str)> {
    let blocks = page.split("\n```wat\n;; ").skip(1);
    blocks.filter_map(|rest| rest.split_once("\n```")?.0.split_once('\n')).collect()
}

/// Whether the lines of `output` are printed, in this order, with anything in
/// place of `...`.
fn is_printed(printed: &str, output: &[String]) -> bool {
    let printed: Vec<_> = printed.lines().collect();
    let mut from = 0;
    output.split(|line| line == "...").all(|group| {
        let found = (from..=printed.len()).find(|at| {
            let rest = &printed[*at..];
            rest.len() >= group.len() && rest.iter().zip(group).all(|(a, b)| a.trim_end() == b.trim_end())
        });
        from = found.map_or(from, |at| at + group.len());
        found.is_some()
    })
}

#[cfg(all(target_os = "linux", target_arch = "x86_64"))]
#[test]
fn commands_of_the_guide_print_what_it_shows() {
    let mut count = 0;
    for entry in fs::read_dir(project().join("docs/src")).unwrap() {
        let path = entry.unwrap().path();
        let page = fs::read_to_string(&path).unwrap();
        let commands = shown(&page);
        if commands.is_empty() {
            continue;
        }
        let folder = Folder::new();
        for guest in fs::read_dir(project().join("examples/guests")).unwrap() {
            let guest = guest.unwrap().path();
            fs::copy(&guest, folder.path(guest.file_name().unwrap().to_str().unwrap())).unwrap();
        }
        for (name, text) in modules(&page) {
            folder.write(name, text);
        }
        for Shown { command, output } in commands {
            let done = folder.wasmc(command.split_whitespace());
            let printed = format!("{}{}", done.text(), done.stderr);
            let fails = output.iter().any(|line| line.starts_with("error: "));
            assert_eq!(done.code != 0, fails, "{}: wasmc {command}: {printed}", path.display());
            assert!(is_printed(&printed, &output), "{}: wasmc {command} prints\n{printed}", path.display());
            count += 1;
        }
    }
    assert!(count > 10, "only {count} commands were found in the guide");
}

/// Those of the README, for a module that all of them are for.
#[cfg(all(feature = "wast", target_os = "linux", target_arch = "x86_64"))]
#[test]
fn commands_of_the_readme_are_understood() {
    let readme = fs::read_to_string(project().join("README.md")).unwrap();
    let folder = Folder::new();
    let text = "(module (memory 1) (func $start (i32.store (i32.const 0) (i32.const 1))) (start $start)
        (func (export \"_start\")))";
    folder.write("module.wasm", wat::parse_str(text).unwrap());
    folder.write("test.wast", "(module)");
    let mut count = 0;
    for line in readme.lines().filter_map(|line| line.strip_prefix("wasmc ")) {
        let command = line.split('#').next().unwrap_or_default().trim_end();
        // The first one is in a table, beside what comes of it.
        if command.contains("  ") {
            continue;
        }
        folder.wasmc(["module.wasm"]).ok();
        let done = folder.wasmc(command.replace(['[', ']'], "").split_whitespace());
        assert_eq!(done.code, 0, "wasmc {command}: {}", done.stderr);
        count += 1;
    }
    assert!(count > 10, "only {count} commands were found in the README");
}

#[test]
fn output_that_differs_is_noticed() {
    let lines = |text: &str| text.lines().map(str::to_owned).collect::<Vec<_>>();
    assert!(is_printed("a\nb\nc\nd\n", &lines("a\n...\nc\nd")));
    assert!(!is_printed("a\nb\nc\nd\n", &lines("a\nc")));
    assert!(!is_printed("a\nb\nc\nd\n", &lines("c\n...\na")));
    let page = "```text\n$ wasmc a\nx\n\n$ gdb --args wasmc b\ny\n```\n```sh\nwasmc c # prints 1\n```\nwasmc d\n";
    let found: Vec<_> = shown(page).into_iter().map(|s| (s.command, s.output)).collect();
    let expected = [("a", vec!["x"]), ("b", vec![]), ("c", vec!["1"])];
    assert_eq!(modules("text\n```wat\n;; a.wat\n(module\n)\n```\nmore"), [("a.wat", "(module\n)")]);
    let expected = expected.map(|(c, o)| (c.to_owned(), o.into_iter().map(str::to_owned).collect::<Vec<_>>()));
    assert_eq!(found, expected);
}
