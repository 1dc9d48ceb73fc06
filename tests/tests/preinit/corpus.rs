//! Real programs, initialised when they are compiled: what instances do then is
//! what they do that are initialised by the host, in every strategy.
//!
//! The corpus has Lua and SQLite as commands. Here they are libraries, made of
//! the same code: functions are added that call theirs, in the way of a host
//! program in C, and an initialiser.

use super::{engines, quiet, try_bake};
use std::fs;
use std::sync::Arc;
use wasmc::OptLevel;
use wasmc::init::InitOptions;
use wasmc_loader::{Engine, Instance, Linker, Memory, Module, Store, WasmParams, WasmResults};
use wasmc_tests::corpus::corpus;
use wasmc_tests::graft::{Graft, Op};
use wasmc_wasi::pipe::MemoryOutputPipe;
use wasmc_wasi::{WasiCtx, WasiCtxBuilder};

/// A file of the corpus.
fn program(path: &str) -> Option<Vec<u8>> {
    Some(fs::read(corpus()?.join(path)).unwrap_or_else(|error| panic!("{path}: {error}")))
}

/// An instance, and what it has written.
struct Running {
    store: Store<WasiCtx>,
    instance: Instance,
    output: MemoryOutputPipe,
}

impl Running {
    fn new(module: &Module) -> Running {
        let mut linker = Linker::<WasiCtx>::new(module.engine());
        wasmc_wasi::add_to_linker(&mut linker, |ctx| ctx).unwrap();
        linker.define_unknown_imports_as_traps(module).unwrap();
        let output = MemoryOutputPipe::new(1 << 20);
        let wasi = WasiCtxBuilder::new().stdout(output.clone()).build();
        let mut store = Store::new(module.engine(), wasi);
        let instance = linker.instantiate(&mut store, module).unwrap_or_else(|error| panic!("{error:?}"));
        Running { store, instance, output }
    }

    #[track_caller]
    fn call<P: WasmParams, R: WasmResults>(&mut self, name: &str, params: P) -> R {
        let function = self.instance.get_typed_func::<P, R>(&mut self.store, name).unwrap();
        function.call(&mut self.store, params).unwrap_or_else(|error| panic!("{name}: {error:?}"))
    }

    fn memory(&mut self) -> Memory {
        self.instance.get_memory(&mut self.store, "memory").expect("a memory")
    }

    /// A string in the guest's memory, where it allocates.
    fn string(&mut self, text: &str) -> i32 {
        let at: i32 = self.call("malloc", text.len() as i32 + 1);
        let bytes = [text.as_bytes(), b"\0"].concat();
        self.memory().write(&mut self.store, at as usize, &bytes).unwrap();
        at
    }

    /// The string at an address.
    fn text(&mut self, at: i32) -> String {
        let memory = self.memory();
        let bytes = &memory.data(&self.store)[at as usize..];
        let end = bytes.iter().position(|byte| *byte == 0).expect("the string's end");
        String::from_utf8(bytes[..end].to_vec()).unwrap()
    }
}

/// Runs instances that `setup` initialises when they are made, and such as
/// begin initialised, in every strategy; what `session` finds must be the same,
/// also once the instance is as good as new. What the first kind finds is
/// returned.
#[track_caller]
fn same_in_all(wasm: &[u8], setup: &str, init: &InitOptions, session: impl Fn(&mut Running) -> String) -> String {
    // How fast their code is does not matter here.
    let mut options = wasmc::Options { opt_level: OptLevel::None, ..super::options() };
    let plain = wasmc::compile(wasm, &options).unwrap();
    let snapshot = wasmc::init::run(wasm, &options, init).unwrap_or_else(|error| panic!("{error}"));
    options.snapshot = Some(Arc::new(snapshot));
    let baked = wasmc::compile(wasm, &options).unwrap();
    // SAFETY: the bytes come straight from the compiler.
    let load = |engine: &Engine, bytes: &[u8]| unsafe { Module::from_bytes(engine, bytes) }.unwrap();
    let mut running = Running::new(&load(&Engine::default(), &plain));
    let () = running.call(setup, ());
    let expected = session(&mut running);
    for (strategy, engine) in engines() {
        let module = load(&engine, &baked);
        for round in 0..2 {
            let mut running = Running::new(&module);
            assert_eq!(session(&mut running), expected, "with {strategy}, instance {round}");
            running.instance.reset(&mut running.store).unwrap();
            running.output = MemoryOutputPipe::new(1 << 20);
            *running.store.data_mut() = WasiCtxBuilder::new().stdout(running.output.clone()).build();
            // The host may call what has done its work.
            let () = running.call(setup, ());
            assert_eq!(session(&mut running), expected, "with {strategy}, instance {round} after a reset");
        }
    }
    expected
}

/// Where the added functions keep a pointer, and the text that is executed at
/// first: the lowest bytes of a stack that never gets there.
const POINTER: i32 = 16;
const TEXT: i32 = 64;

/// What Lua knows when it is initialised.
const PRELUDE: &str = "
    primes = {}
    for n = 2, 2000 do
        local prime = true
        for _, p in next, primes do if n % p == 0 then prime = false break end end
        if prime then primes[#primes + 1] = n end
    end
    words = setmetatable({}, {__index = function(_, word) return '<' .. word .. '>' end})
    words.hello = 'hallo'
    function counter() local n = 0 return function() n = n + 1 return n end end
    shared = counter() shared()
    task = function() local ok, why = pcall(error, 'caught') return why end";

/// Lua as a library: `eval` executes a text, and `setup` makes the state.
fn lua(wasm: &[u8]) -> Vec<u8> {
    let state = || [Op::Const(POINTER), Op::Load];
    let mut graft = Graft::new(wasm);
    graft.data(TEXT, PRELUDE.as_bytes()).export(&["malloc"]);
    // luaL_loadbufferx(L, text, length, name, mode) and lua_pcallk(L, 0, 0, 0, 0, 0).
    let execute = |text: [Op<'static>; 2], name: Op<'static>| {
        let mut body = Vec::from(state());
        body.extend(text);
        body.extend([name, Op::Const(0), Op::Call("luaL_loadbufferx")]);
        body.extend(state());
        body.extend((0..5).map(|_| Op::Const(0)));
        body.extend([Op::Call("lua_pcallk"), Op::Or]);
        body
    };
    let mut setup = vec![Op::Const(POINTER), Op::Call("luaL_newstate"), Op::Store];
    for library in ["luaopen_base", "luaopen_string"] {
        setup.extend(state());
        setup.extend([Op::Call(library), Op::Drop]);
    }
    setup.extend(execute([Op::Const(TEXT), Op::Const(PRELUDE.len() as i32)], Op::Const(TEXT)));
    // If that fails, the script of the session does too.
    setup.push(Op::Drop);
    graft.define("setup", 0, 0, &setup);
    graft.define("eval", 2, 1, &execute([Op::Arg(0), Op::Arg(1)], Op::Arg(0)));
    graft.finish()
}

#[test]
fn lua_begins_with_its_libraries_and_what_a_script_has_made() {
    let Some(wasm) = program("programs/lua54/lua54.wasm") else { return };
    let script = "
        print(#primes, primes[#primes], words.hello, words.more)
        print(shared(), shared(), counter()(), task())
        print(('%5.2f|%s'):format(3.14159, ('ab'):rep(3)))
        primes[1] = 'changed' words.hello = nil
        print(primes[1], words.hello, select('#', next(words)))";
    let output = same_in_all(&lua(&wasm), "setup", &quiet(Some("setup")), |lua| {
        let text = lua.string(script);
        let status: i32 = lua.call("eval", (text, script.len() as i32));
        assert_eq!(status, 0, "the script failed");
        String::from_utf8(lua.output.contents().to_vec()).unwrap()
    });
    assert_eq!(output, "303\t1999\thallo\t<more>\n2\t3\t1\tcaught\n 3.14|ababab\nchanged\t<hello>\t1\n");
}

/// The data base that SQLite begins with.
const SCHEMA: &str = "create table t(id integer primary key, name text, size real);
    with recursive n(i) as (values(1) union all select i + 1 from n where i < 500)
        insert into t select i, 'name ' || (i * 7 % 100), i * 0.5 from n;
    create index t_name on t(name);
    create trigger grown after insert on t begin update t set size = size + 1 where id = new.id; end;\0";

/// SQLite as a library, with a data base in memory that `setup` fills.
fn sqlite(wasm: &[u8]) -> Vec<u8> {
    let mut graft = Graft::new(wasm);
    let name = b":memory:\0";
    graft.data(POINTER + 8, name).data(TEXT, SCHEMA.as_bytes());
    graft.export(&["malloc", "sqlite3_prepare_v2", "sqlite3_step", "sqlite3_column_text", "sqlite3_finalize"]);
    graft.define("database", 0, 1, &[Op::Const(POINTER), Op::Load]);
    let open = [Op::Const(POINTER + 8), Op::Const(POINTER), Op::Call("sqlite3_open"), Op::Drop];
    let fill = [
        Op::Const(POINTER),
        Op::Load,
        Op::Const(TEXT),
        Op::Const(0),
        Op::Const(0),
        Op::Const(0),
        Op::Call("sqlite3_exec"),
        Op::Drop,
    ];
    graft.define("setup", 0, 0, &open.into_iter().chain(fill).collect::<Vec<_>>());
    graft.finish()
}

/// The first column of what a query yields.
fn query(sqlite: &mut Running, sql: &str) -> String {
    const ROW: i32 = 100;
    const DONE: i32 = 101;
    let (database, text, place): (i32, _, _) = (sqlite.call("database", ()), sqlite.string(sql), sqlite.string("...."));
    let status: i32 = sqlite.call("sqlite3_prepare_v2", (database, text, -1, place, 0));
    assert_eq!(status, 0, "{sql}");
    let mut bytes = [0; 4];
    sqlite.memory().read(&sqlite.store, place as usize, &mut bytes).unwrap();
    let (statement, mut rows) = (i32::from_le_bytes(bytes), Vec::new());
    loop {
        match sqlite.call("sqlite3_step", statement) {
            ROW => {
                let text = sqlite.call("sqlite3_column_text", (statement, 0));
                rows.push(sqlite.text(text));
            }
            DONE => break,
            status => panic!("{sql}: {status}"),
        }
    }
    let _: i32 = sqlite.call("sqlite3_finalize", statement);
    rows.join(",")
}

#[test]
fn sqlite_begins_with_a_data_base_in_memory() {
    let Some(wasm) = program("programs/sqlbench/sqlbench.wasm") else { return };
    let found = same_in_all(&sqlite(&wasm), "setup", &quiet(Some("setup")), |sqlite| {
        [
            "select count(*) || ' ' || sum(size) || ' ' || max(name) from t",
            "select id from t where name = 'name 42' order by id",
            "insert into t values (1000, 'new', 1.5)",
            "select size || ' ' || (select count(*) from t) from t where id = 1000",
            "pragma integrity_check",
        ]
        .map(|sql| query(sqlite, sql))
        .join("\n")
    });
    assert_eq!(found, "500 62625.0 name 99\n6,106,206,306,406\n\n2.5 501\nok");
}

#[test]
fn programs_that_import_what_is_not_there_are_refused_by_its_name() {
    // Its memory is the host's.
    let Some(wasm) = program("modules/quickjs-emscripten/emscripten-module.wasm") else { return };
    let error = try_bake(&wasm, &InitOptions::default()).map(drop).unwrap_err().to_string();
    assert!(error.contains("imports the memory"), "{error}");
    // Of WASI it wants a function with JavaScript's types.
    let Some(wasm) = program("modules/tfjs-backend-wasm/tfjs-backend-wasm-simd.wasm") else { return };
    let error = try_bake(&wasm, &quiet(Some("init"))).map(drop).unwrap_err().to_string();
    assert!(error.starts_with("cannot load the module to initialise it: ") && error.contains("`fd_seek`"), "{error}");
}
