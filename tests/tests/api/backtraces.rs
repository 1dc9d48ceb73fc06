//! Backtraces: of errors, and asked for by host functions; functions, files
//! and lines.

use std::process::Command;
use std::sync::Mutex;
use wasmc_loader::{
    Caller, Config, Engine, Error, FrameInfo, Instance, Linker, Module, Store, Trap, WasmBacktrace,
    WasmBacktraceDetails,
};
use wasmc_tests::samples::LINES;

fn load(engine: &Engine, wasm: &[u8], debug: bool) -> Module {
    let mut options = wasmc::Options::new();
    (options.jobs, options.debug) = (std::num::NonZeroUsize::new(1), debug);
    let artifact = wasmc::compile(wasm, &options).unwrap_or_else(|e| panic!("{e:?}"));
    // SAFETY: the bytes come straight from the compiler.
    unsafe { Module::from_bytes(engine, &artifact) }.unwrap_or_else(|e| panic!("{e:?}"))
}

/// Calls `run` of the guest in C with a host that does something when the guest
/// is about to divide by a number.
fn run(
    config: &Config,
    debug: bool,
    (n, by): (i32, i32),
    check: impl Fn(Caller<'_, ()>, i32) -> wasmc_loader::Result<()> + Send + Sync + 'static,
) -> wasmc_loader::Result<i32> {
    let engine = Engine::new(config)?;
    let module = load(&engine, LINES, debug);
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "check", check)?;
    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module)?;
    instance.get_typed_func::<(i32, i32), i32>(&mut store, "run")?.call(&mut store, (n, by))
}

fn fail(config: &Config, debug: bool, arguments: (i32, i32)) -> Error {
    run(config, debug, arguments, |_, _| Ok(())).unwrap_err()
}

fn frames(error: &Error) -> &[FrameInfo] {
    error.downcast_ref::<WasmBacktrace>().map_or(&[], WasmBacktrace::frames)
}

fn names(backtrace: &WasmBacktrace) -> Vec<String> {
    backtrace.frames().iter().map(|frame| frame.func_name().unwrap_or_default().to_owned()).collect()
}

/// Name, file, line and column.
type Place<'a> = (Option<&'a str>, Option<&'a str>, Option<u32>, Option<u32>);

fn symbols(frame: &FrameInfo) -> Vec<Place<'_>> {
    frame.symbols().iter().map(|symbol| (symbol.name(), symbol.file(), symbol.line(), symbol.column())).collect()
}

#[test]
fn frames_have_files_and_lines_where_there_is_debug_information() {
    let error = fail(&Config::new(), true, (1, 0));
    assert_eq!(error.downcast_ref(), Some(&Trap::IntegerDivisionByZero));
    let [run] = frames(&error) else { panic!("{error:?}") };
    assert_eq!((run.func_name(), run.func_index()), (Some("run"), 1));
    let file = Some("/src/lines.c");
    let divide = (Some("divide"), file, Some(6), Some(14));
    assert_eq!(symbols(run), [divide, (Some("run"), file, Some(17), Some(9))]);
    // A clone is the same, also if it looks by itself.
    assert_eq!(fail(&Config::new(), true, (1, 0)).downcast::<Trap>().unwrap(), Trap::IntegerDivisionByZero);
    assert_eq!(run.clone().symbols(), run.symbols());
    let printed = format!("{error:?}");
    assert!(printed.contains("!divide, inlined into\n                    at /src/lines.c:6:14\n"), "{printed}");
    assert!(printed.ends_with(" run\n                    at /src/lines.c:17:9"), "{printed}");
    // Where the host was called, in both functions.
    let error = run_and_stop();
    let [half, run] = frames(&error) else { panic!("{error:?}") };
    assert_eq!((half.func_name(), half.func_index()), (Some("half"), 2));
    let divide = (Some("divide"), file, Some(5), Some(5));
    assert_eq!(symbols(half), [divide, (Some("half"), file, Some(12), Some(12))]);
    assert_eq!(symbols(run), [(Some("run"), file, Some(16), Some(12))]);
}

/// The error of a host function that `half` calls.
fn run_and_stop() -> Error {
    run(&Config::new(), true, (1, 1), |_, by| if by == 2 { Err(Error::msg("enough")) } else { Ok(()) }).unwrap_err()
}

#[test]
fn offsets_of_frames_lead_to_the_instruction() {
    const DIVISION: u8 = 0x6d;
    let error = fail(&Config::new(), true, (1, 0));
    let run = &frames(&error)[0];
    let offset = run.module_offset().unwrap();
    assert_eq!(LINES[offset], DIVISION, "at {offset:#x}");
    let within = run.func_offset().unwrap();
    assert!(within > 0 && within < 40, "{within}");
    let code = run.code_offset();
    let function = run.module().functions().find(|function| function.name == Some("run")).unwrap();
    assert!(code > 0 && code < function.len, "{code} of {function:?}");
    assert_eq!((run.module_name(), run.module().name()), (Some("lines.wasm"), Some("lines.wasm")));
    // Without -g nobody knows.
    let error = fail(&Config::new(), false, (1, 0));
    let run = &frames(&error)[0];
    assert_eq!((run.module_offset(), run.func_offset(), run.symbols()), (None, None, &[][..]));
    assert_eq!((run.func_name(), run.func_index(), run.code_offset() > 0), (Some("run"), 1, true));
}

#[test]
fn details_can_be_switched_off() {
    let mut config = Config::new();
    let error = fail(config.wasm_backtrace_details(WasmBacktraceDetails::Disable), true, (1, 0));
    assert_eq!(frames(&error)[0].symbols(), []);
    assert!(frames(&error)[0].module_offset().is_some());
    assert!(!format!("{error:?}").contains("lines.c"));
}

#[test]
fn the_environment_can_ask_for_details() {
    const NAME: &str = "backtraces::the_environment_can_ask_for_details";
    const ANSWER: &str = "lines.c is in it";
    if std::env::var_os("WASMC_TEST_CASE").is_some_and(|case| case == NAME) {
        let mut config = Config::new();
        let error = fail(config.wasm_backtrace_details(WasmBacktraceDetails::Environment), true, (1, 0));
        if format!("{error:?}").contains("lines.c:6:14") {
            println!("{ANSWER}");
        }
        return;
    }
    let answers = |value: Option<&str>| {
        let mut child = Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", NAME, "--nocapture"]).env("WASMC_TEST_CASE", NAME).env_remove("WASMC_BACKTRACE_DETAILS");
        child.envs(value.map(|value| ("WASMC_BACKTRACE_DETAILS", value)));
        let output = child.output().unwrap();
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stdout).unwrap().contains(ANSWER)
    };
    assert_eq!([None, Some("0"), Some("1")].map(answers), [false, false, true]);
}

#[test]
fn a_guest_without_debug_information_has_no_lines() {
    let engine = Engine::default();
    let wasm = wat::parse_str(r#"(module $text (func $trap (export "trap") nop unreachable))"#).unwrap();
    let module = load(&engine, &wasm, true);
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let error = instance.get_typed_func::<(), ()>(&mut store, "trap").unwrap().call(&mut store, ()).unwrap_err();
    let frame = &frames(&error)[0];
    assert_eq!(symbols(frame), [(Some("trap"), None, None, None)], "an offset in the wasm file is no line");
    assert_eq!(wasm[frame.module_offset().unwrap()], 0x00);
    let offset = frame.module_offset().unwrap();
    assert_eq!(error.downcast_ref::<WasmBacktrace>().unwrap().to_string(), format!("    0: {offset:#8x} - text!trap"));
}

#[test]
fn host_functions_can_ask_who_is_active() {
    type Seen = (i32, Vec<String>, Vec<String>);
    static SEEN: Mutex<Vec<Seen>> = Mutex::new(Vec::new());
    let look = |caller: Caller<'_, ()>, by| {
        let (usual, forced) = (WasmBacktrace::capture(&caller), WasmBacktrace::force_capture(&caller));
        SEEN.lock().unwrap().push((by, names(&usual), names(&forced)));
        Ok(())
    };
    let both = || (vec!["half".to_owned(), "run".to_owned()], vec!["run".to_owned()]);
    run(&Config::new(), true, (10, 5), look).unwrap();
    let (inner, outer) = both();
    assert_eq!(*SEEN.lock().unwrap(), [(2, inner.clone(), inner.clone()), (5, outer.clone(), outer.clone())]);
    SEEN.lock().unwrap().clear();
    run(Config::new().wasm_backtrace(false), true, (10, 5), look).unwrap();
    assert_eq!(*SEEN.lock().unwrap(), [(2, vec![], inner.clone()), (5, vec![], outer)]);
    SEEN.lock().unwrap().clear();
    run(Config::new().wasm_backtrace_max_frames(1), true, (10, 5), look).unwrap();
    assert_eq!(SEEN.lock().unwrap()[0], (2, vec!["half".to_owned()], inner));
    // Nobody is, outside of calls.
    let store = Store::new(&Engine::default(), ());
    assert_eq!(WasmBacktrace::force_capture(&store).frames().len(), 0);
    assert_eq!(WasmBacktrace::capture(&store).to_string(), "");
}

#[test]
fn nested_calls_are_all_in_a_backtrace() {
    let text = r#"(module (import "" "host" (func $host (param i32)))
        (func $leaf (param i32) (call $host (local.get 0)))
        (func $f (export "f") (param i32) (call $leaf (local.get 0))))"#;
    let seen = std::sync::Arc::new(Mutex::new(Vec::new()));
    let log = seen.clone();
    let (mut store, instance) = super::with_data((), text, |linker| {
        let host = move |mut caller: Caller<'_, ()>, n: i32| -> wasmc_loader::Result<()> {
            if n == 0 {
                log.lock().unwrap().push(names(&WasmBacktrace::capture(&caller)));
                return Ok(());
            }
            let f = caller.get_export("f").unwrap().into_func().unwrap();
            f.typed::<i32, ()>(&caller)?.call(&mut caller, n - 1)?;
            log.lock().unwrap().push(names(&WasmBacktrace::capture(&caller)));
            Ok(())
        };
        linker.func_wrap("", "host", host).unwrap();
    });
    instance.get_typed_func::<i32, ()>(&mut store, "f").unwrap().call(&mut store, 2).unwrap();
    let lengths: Vec<_> = seen.lock().unwrap().iter().map(Vec::len).collect();
    assert_eq!(lengths, [6, 4, 2]);
    assert!(seen.lock().unwrap()[0].chunks(2).all(|pair| pair == ["leaf", "f"]));
}

#[test]
fn names_are_printed_as_in_source_code() {
    let engine = Engine::default();
    let text = r#"(module
        (func $_ZN5space4trapEi (param i32) unreachable)
        (func $_ZN4core3fmt5write17h0123456789abcdefE (call $_ZN5space4trapEi (i32.const 0)))
        (func $zoo (export "run") (call $_ZN4core3fmt5write17h0123456789abcdefE)))"#;
    let module = load(&engine, &wat::parse_str(text).unwrap(), false);
    let mut store = Store::new(&engine, ());
    let instance = Instance::new(&mut store, &module, &[]).unwrap();
    let error = instance.get_typed_func::<(), ()>(&mut store, "run").unwrap().call(&mut store, ()).unwrap_err();
    let printed = error.downcast_ref::<WasmBacktrace>().unwrap().to_string();
    let printed: Vec<_> = printed.lines().map(|line| line.split('!').nth(1).unwrap()).collect();
    assert_eq!(printed, ["space::trap(int)", "core::fmt::write", "zoo"]);
    assert_eq!(frames(&error)[0].func_name(), Some("_ZN5space4trapEi"));
}
