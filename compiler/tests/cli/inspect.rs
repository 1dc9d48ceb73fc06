//! `wasmc inspect` and `wasmc verify`.

use super::{ADD, Folder};
use serde_json::json;

#[test]
fn inspect_shows_what_was_compiled() {
    let folder = Folder::new();
    folder.write(
        "a.wat",
        r#"(module $name (import "env" "f" (func (param i64))) (import "env" "g" (global (mut f32)))
            (memory (export "m") 3) (data (i32.const 100000) "x") (table (export "t") 2 9 externref)
            (func $big (export "big") (result i32) (i32.add (i32.load (i32.const 4)) (i32.const 1))) (func $small))"#,
    );
    folder.wasmc(["a.wat", "--cpu", "x86-64-v2", "--target", "x86_64-unknown-linux-gnu"]).ok();
    let done = folder.wasmc(["inspect", "a.cwasm", "--json"]).ok();
    let report: serde_json::Value = serde_json::from_slice(&done.stdout).unwrap();
    assert_eq!(report["name"], "name");
    assert_eq!(report["target"]["triple"], "x86_64-unknown-linux-gnu");
    assert!(report["cpu_features"].as_array().unwrap().contains(&json!("sse4.1")));
    assert_eq!(
        report["imports"],
        json!([
            { "module": "env", "name": "f", "kind": "func", "type": "(i64) -> ()" },
            { "module": "env", "name": "g", "kind": "global", "type": "mut f32" },
        ])
    );
    assert_eq!(
        report["exports"],
        json!([
            { "name": "m", "kind": "memory", "type": "3.. pages" },
            { "name": "t", "kind": "table", "type": "externref, 2..9" },
            { "name": "big", "kind": "func", "type": "() -> (i32)" },
        ])
    );
    assert_eq!(report["largest_functions"][0]["name"], "big");
    assert_eq!(report["largest_functions"][0]["index"], 1);
    let image = &report["memory_images"][0];
    assert_eq!((image["extents"].as_u64(), image["stored"].as_u64()), (Some(1), Some(4096)));
    assert_eq!(report["object"]["relocations"], 0);

    let text = folder.wasmc(["inspect", "a.cwasm", "--functions", "1"]).ok();
    for line in
        ["target          x86_64-unknown-linux-gnu", "largest functions (1 of 2)", "env.f: (i64) -> ()", ".wasmc"]
    {
        assert!(text.text().contains(line), "no {line:?} in {}", text.text());
    }
}

#[test]
fn inspect_tells_what_the_code_promises() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    for (flags, line) in [
        (&[] as &[&str], "NaNs            as the CPU computes them"),
        (&["--canonicalize-nans"], "NaNs            canonical"),
        (&[], "relaxed SIMD    as is fastest on the CPU"),
        (&["--relaxed-simd-deterministic"], "relaxed SIMD    deterministic"),
        (&[], "stack limit     in bytes only, by the loader"),
        (&["--deterministic-stack", "1000"], "stack limit     1,000 values, which take at most "),
    ] {
        folder.wasmc([&["a.wat"], flags].concat()).ok();
        let text = folder.wasmc(["inspect", "a.cwasm"]).ok();
        assert!(text.text().contains(line), "no {line:?} in {}", text.text());
    }
}

#[test]
fn inspect_tells_what_is_special_about_memories_and_tables() {
    let folder = Folder::new();
    folder.write(
        "a.wat",
        r#"(module (import "env" "m" (memory i64 1 2)) (memory i64 1) (memory (export "m") 5 9 (pagesize 1))
             (memory i64 0x1_0000_0000_0000) (table (export "t") i64 3 funcref))"#,
    );
    folder.wasmc(["a.wat"]).ok();
    let text = folder.wasmc(["inspect", "a.cwasm"]).ok();
    for words in [
        "i64 1..2 pages",
        "memory 1: i64 1.. pages, ",
        "memory 2: 5..9 pages of 1 byte, ",
        "0 of 18446744073709551615 bytes stored",
        "i64 funcref, 3..",
    ] {
        assert!(text.text().contains(words), "no {words:?} in {}", text.text());
    }
}

#[test]
fn inspect_refuses_what_is_no_artifact() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    folder.write("a.wasm", wat::parse_str(ADD).unwrap());
    folder.wasmc(["inspect", "a.wat"]).failed(1, &["cannot inspect `a.wat`", "not a wasmc artifact"]);
    folder.wasmc(["verify", "a.wasm"]).failed(1, &["has not been compiled yet"]);
    folder.wasmc(["inspect", env!("CARGO_BIN_EXE_wasmc")]).failed(1, &["no wasmc metadata"]);
    folder.wasmc(["verify", "missing"]).failed(1, &["cannot read `missing`"]);
}

#[test]
fn verify_finds_every_changed_byte() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    folder.wasmc(["a.wat"]).ok();
    assert_eq!(folder.wasmc(["verify", "a.cwasm"]).ok().text(), "a.cwasm: ok\n");
    let good = std::fs::read(folder.path("a.cwasm")).unwrap();
    for at in [0, 5, 100, good.len() / 3, good.len() / 2, good.len() - 1] {
        let mut bad = good.clone();
        bad[at] ^= 0x10;
        folder.write("bad", &bad);
        folder.wasmc(["verify", "bad"]).failed(1, &["`bad` does not verify"]);
    }
    folder.write("short", &good[..good.len() - 1]);
    let both = folder.wasmc(["verify", "short", "a.cwasm"]);
    assert_eq!((both.code, both.text()), (1, "a.cwasm: ok\n"));
    assert!(both.stderr.contains("`short` does not verify"), "{}", both.stderr);
}

#[test]
fn a_reader_that_has_seen_enough_is_no_failure() {
    let folder = Folder::new();
    folder.write("a.wat", ADD);
    folder.wasmc(["a.wat"]).ok();
    let mut command = folder.command();
    command.args(["inspect", "a.cwasm"]).stdout(std::process::Stdio::piped());
    let mut child = command.spawn().unwrap();
    drop(child.stdout.take());
    assert!(child.wait().unwrap().success());
}

/// Names are the guest's. To anything but a terminal escapes of colours are left
/// out anyway; others, and lines, are not.
#[cfg(feature = "run")]
#[test]
fn names_in_reports_and_errors_give_no_orders_to_a_terminal() {
    let folder = Folder::new();
    folder.write(
        "a.wat",
        r#"(module $"m\1b[1m" (import "\1b[2J" "\c2\9b2J" (func))
            (func $"f\1b[31m" (export "run\07\0aexports (0)") (unreachable)) (export "\e2\80\aex" (func 0)))"#,
    );
    folder.wasmc(["a.wat"]).ok();
    let report = folder.wasmc(["inspect", "a.cwasm"]).ok();
    for line in [
        "module          m\\u{1b}[1m",
        "  func   \\u{1b}[2J.\\u{9b}2J: () -> ()",
        "  func   run\\u{7}\\nexports (0): () -> ()",
        "  func   \\u{202e}x: () -> ()",
    ] {
        assert!(report.text().lines().any(|found| found == line), "no {line:?} in {}", report.text());
    }
    let done = folder.wasmc(["run", "--trap-unknown-imports", "--invoke", "x", "a.cwasm"]);
    let done = done.failed(1, &["there are: run\\u{7}"]);
    let is_harmless = |text: &str| text.chars().all(|c| c == '\n' || !c.is_control());
    assert!(is_harmless(&done.stderr) && is_harmless(report.text()), "{}", done.stderr);
}
