//! Programs that are stopped, and programs that do the same everywhere:
//! `--timeout`, `--fuel` and `--deterministic`.

use super::Folder;

/// Rounds of a loop, each of which costs 5; the function costs 1.
const ROUNDS: &str = r#"(module (func (export "run") (param i32) (result i32)
    (loop (br_if 0 (local.tee 0 (i32.sub (local.get 0) (i32.const 1))))) (local.get 0)))"#;

#[test]
fn fuel_is_enough_or_not_to_the_unit() {
    let folder = Folder::new();
    folder.write("a.wat", ROUNDS);
    // 5 for each round, and 2 for the function and its result.
    for level in ["-O0", "-O2"] {
        let run = |fuel: &str| folder.wasmc(["run", "--fuel", fuel, level, "--invoke", "run", "a.wat", "1000"]);
        assert_eq!(run("5002").ok().text(), "0\n");
        for (fuel, units) in [("5001", "5,001 units"), ("1", "1 unit"), ("0", "0 units")] {
            let done = run(fuel).failed(134, &["`a.wat` trapped", "all fuel consumed"]);
            let line = format!("it was stopped after {units} of work, as `--fuel` says");
            assert!(done.stderr.contains(&line), "no {line:?} in {}", done.stderr);
        }
    }
}

#[test]
fn artifacts_are_run_with_fuel_if_they_were_compiled_for_it() {
    let folder = Folder::new();
    folder.write("a.wat", ROUNDS);
    folder.wasmc(["a.wat", "-o", "fuel.cwasm", "--fuel"]).ok();
    folder.wasmc(["a.wat", "-o", "none.cwasm"]).ok();
    let run = |file: &str, fuel: &str| folder.wasmc(["run", "--fuel", fuel, "--invoke", "run", file, "1000"]);
    assert_eq!(run("fuel.cwasm", "5002").ok().text(), "0\n");
    run("fuel.cwasm", "5001").failed(134, &["as `--fuel` says"]);
    run("none.cwasm", "5002").failed(1, &["none.cwasm", "`--fuel`"]);
    let stops = |file: &str, words: &str| {
        let text = folder.wasmc(["inspect", file]).ok();
        assert!(text.text().contains(&format!("stops           {words}\n")), "{}", text.text());
    };
    stops("fuel.cwasm", "without fuel");
    stops("none.cwasm", "nowhere");
}

#[test]
fn a_timeout_ends_what_does_not_end_by_itself() {
    let folder = Folder::new();
    folder.write(
        "a.wat",
        r#"(module (memory 128) (memory $shared 1 1 shared)
            (func $loop (export "loop") (loop (br 0)))
            (func $fill (export "fill") (loop (memory.fill (i32.const 0) (i32.const 1) (i32.const 8388608)) (br 0)))
            (func $wait (export "wait") (drop (memory.atomic.wait32 $shared (i32.const 0) (i32.const 0) (i64.const -1))))
            (func (export "end") (result i32) (i32.const 7)))"#,
    );
    folder.wasmc(["a.wat", "--epoch"]).ok();
    for file in ["a.wat", "a.cwasm"] {
        for name in ["loop", "fill", "wait"] {
            let done = folder.wasmc(["run", "--timeout", "20ms", "--invoke", name, file]);
            let frame = format!("0: {name}\n");
            done.failed(134, &["trapped", "it was stopped after 20.0 ms, as `--timeout` says", "interrupt", &frame]);
        }
        assert_eq!(folder.wasmc(["run", "--timeout", "10m", "--invoke", "end", file]).ok().text(), "7\n");
    }
    folder.wasmc(["a.wat", "-o", "none.cwasm"]).ok();
    folder.wasmc(["run", "--timeout", "1", "--invoke", "end", "none.cwasm"]).failed(1, &["none.cwasm", "`--epoch`"]);
}

/// `nan` adds to a NaN with a payload, `relaxed` converts numbers that are out of
/// range, and `deep` calls itself as often as its argument says, with 64 values
/// each time: a parameter, 61 locals and 2 operands.
fn program() -> String {
    format!(
        r#"(module
        (func (export "nan") (param i32) (result i32)
            (i32.reinterpret_f32 (f32.add (f32.reinterpret_i32 (local.get 0)) (f32.const 1))))
        (func (export "relaxed") (param f32) (result i32 i32)
            (i32x4.extract_lane 0 (i32x4.relaxed_trunc_f32x4_s (f32x4.splat (local.get 0))))
            (i32x4.extract_lane 0 (i32x4.relaxed_trunc_f32x4_u (f32x4.splat (local.get 0)))))
        (func $deep (export "deep") (param i32) (local {})
            (if (local.get 0) (then (call $deep (i32.sub (local.get 0) (i32.const 1)))))))"#,
        "i32 ".repeat(61)
    )
}

#[test]
fn deterministic_is_three_flags_in_one() {
    let folder = Folder::new();
    folder.write("a.wat", program());
    let run = |flags: &[&str], arguments: &[&str]| {
        folder.wasmc([&["run"], flags, &["--invoke", arguments[0], "a.wat"], &arguments[1..]].concat())
    };
    // A quiet NaN with a payload: CPUs hand that on.
    let nan = ["nan", "0x7fe00001"];
    assert_eq!(run(&[], &nan).ok().text(), format!("{}\n", 0x7fe0_0001));
    // What an x86-64 CPU makes of a number that is too large is its own.
    let large = ["relaxed", "1e30"];
    if cfg!(target_arch = "x86_64") {
        assert!(run(&[], &large).ok().text().starts_with("-2147483648\n"));
    }
    run(&[], &["deep", "1024"]).ok();
    for level in ["-O0", "-O2"] {
        let flags = ["--deterministic", level];
        assert_eq!(run(&flags, &nan).ok().text(), format!("{}\n", 0x7fc0_0000));
        assert_eq!(run(&flags, &large).ok().text(), "2147483647\n-1\n");
        // 65,536 values: 1,024 frames.
        run(&flags, &["deep", "1023"]).ok();
        run(&flags, &["deep", "1024"]).failed(134, &["call stack exhausted"]);
        // A limit of its own is not changed.
        let flags = ["--deterministic", "--deterministic-stack", "640", level];
        run(&flags, &["deep", "9"]).ok();
        run(&flags, &["deep", "10"]).failed(134, &["call stack exhausted"]);
    }
    // Each of the flags for itself is a part of it.
    assert_eq!(run(&["--canonicalize-nans"], &nan).ok().text(), format!("{}\n", 0x7fc0_0000));
    run(&["--canonicalize-nans"], &["deep", "1024"]).ok();
    assert_eq!(run(&["--relaxed-simd-deterministic"], &large).ok().text(), "2147483647\n-1\n");
    run(&["--deterministic-stack", "65536"], &["deep", "1024"]).failed(134, &["call stack exhausted"]);
}

#[test]
fn an_artifact_says_whether_it_is_deterministic() {
    let folder = Folder::new();
    folder.write("a.wat", program());
    let single = ["--canonicalize-nans", "--relaxed-simd-deterministic", "--deterministic-stack=65536"];
    let parts = ["NaNs            canonical", "relaxed SIMD    deterministic", "stack limit     65,536 values, "];
    let inspect = |flags: &[&str]| {
        folder.wasmc([&["a.wat", "-o", "a.cwasm"], flags].concat()).ok();
        let json: serde_json::Value =
            serde_json::from_str(folder.wasmc(["inspect", "--json", "a.cwasm"]).ok().text()).unwrap();
        (folder.wasmc(["inspect", "a.cwasm"]).ok().text().to_owned(), json["deterministic"] == true)
    };
    for flags in [&["--deterministic"] as &[&str], &single] {
        let (text, json) = inspect(flags);
        for line in parts.iter().chain(&["deterministic   yes\n"]) {
            assert!(text.contains(line), "no {line:?} in {text}");
        }
        assert!(json);
    }
    for (without, part) in parts.into_iter().enumerate() {
        let flags: Vec<&str> = (0..3).filter(|at| *at != without).map(|at| single[at]).collect();
        let (text, json) = inspect(&flags);
        assert!(text.contains("deterministic   no\n") && !json, "{flags:?}: {text}");
        assert!(!text.contains(part), "{flags:?}: {text}");
    }
    // Such an artifact does what it promises wherever it is run.
    folder.wasmc(["a.wat", "-o", "a.cwasm", "--deterministic"]).ok();
    let run =
        |arguments: &[&str]| folder.wasmc([&["run", "--invoke", arguments[0], "a.cwasm"], &arguments[1..]].concat());
    assert_eq!(run(&["nan", "0x7fe00001"]).ok().text(), format!("{}\n", 0x7fc0_0000));
    assert_eq!(run(&["relaxed", "1e30"]).ok().text(), "2147483647\n-1\n");
    run(&["deep", "1024"]).failed(134, &["call stack exhausted"]);
}
