//! The embedding code of both sides.
//!
//! The loader's API has Wasmtime's names and shapes, so this file is compiled
//! twice, once under `ours` and once under `peer`, each of which supplies the
//! types as `api`. What is timed is thereby the same source text.

use std::time::{Duration, Instant};

use anyhow::{Result, ensure};

use super::api::{Caller, Engine, Error, Instance, Linker, Module, Store, TypedFunc};
use super::wasi::{self, Wasi};
use crate::runtime::{self, Call, Job, Outcome, Tuning};

/// What the guests' calendar shows when they start, in nanoseconds since 1970.
const TODAY: u64 = 1_750_000_000_000_000_000;

/// An instance of the module of calls; its store's data counts host calls.
pub struct Calls {
    store: Store<u64>,
    nothing: TypedFunc<(), ()>,
    four: TypedFunc<(i32, i64, i32, i64), i64>,
    to_host_0: TypedFunc<i32, ()>,
    to_host_2: TypedFunc<i32, i32>,
    to_host_data: TypedFunc<i32, ()>,
    indirect_private: TypedFunc<i32, i32>,
    indirect_exported: TypedFunc<i32, i32>,
    throw_1: TypedFunc<i32, i32>,
    throw_10: TypedFunc<i32, i32>,
    throw_to_host: TypedFunc<(), ()>,
    trap_unreachable: TypedFunc<(), ()>,
    trap_memory: TypedFunc<i32, i32>,
    trap_deep: TypedFunc<i32, i32>,
}

/// Instantiates the module of calls with its three host functions.
pub fn calls(engine: &Engine, module: &Module) -> Result<Calls> {
    let mut linker = Linker::<u64>::new(engine);
    linker.func_wrap("host", "nothing", || {})?;
    linker.func_wrap("host", "add", |a: i32, b: i32| a.wrapping_add(b))?;
    linker.func_wrap("host", "count", |mut caller: Caller<'_, u64>| {
        *caller.data_mut() += 1;
    })?;
    let mut store = Store::new(engine, 0);
    let instance = linker.instantiate(&mut store, module)?;
    let (i, s) = (&instance, &mut store);
    Ok(Calls {
        nothing: i.get_typed_func(&mut *s, "nothing")?,
        four: i.get_typed_func(&mut *s, "four")?,
        to_host_0: i.get_typed_func(&mut *s, "to-host-0")?,
        to_host_2: i.get_typed_func(&mut *s, "to-host-2")?,
        to_host_data: i.get_typed_func(&mut *s, "to-host-data")?,
        indirect_private: i.get_typed_func(&mut *s, "indirect-private")?,
        indirect_exported: i.get_typed_func(&mut *s, "indirect-exported")?,
        throw_1: i.get_typed_func(&mut *s, "throw-1")?,
        throw_10: i.get_typed_func(&mut *s, "throw-10")?,
        throw_to_host: i.get_typed_func(&mut *s, "throw-to-host")?,
        trap_unreachable: i.get_typed_func(&mut *s, "trap-unreachable")?,
        trap_memory: i.get_typed_func(&mut *s, "trap-memory")?,
        trap_deep: i.get_typed_func(&mut *s, "trap-deep")?,
        store,
    })
}

impl runtime::Calls for Calls {
    fn repeat(&mut self, call: Call, count: u32) -> Result<()> {
        let store = &mut self.store;
        let times = count.cast_signed();
        match call {
            Call::ToWasm0 => {
                for _ in 0..count {
                    self.nothing.call(&mut *store, ())?;
                }
            }
            Call::ToWasm4 => {
                let mut sum = 0;
                for _ in 0..count {
                    sum = self.four.call(&mut *store, (1, sum, 2, 3))?;
                }
                ensure!(sum == 6 * i64::from(count), "four arguments add up to {sum}");
            }
            Call::ToHost0 => self.to_host_0.call(store, times)?,
            Call::ToHost2 => {
                check_sum(self.to_host_2.call(store, times)?, count)?;
            }
            Call::ToHostData => {
                let before = *store.data();
                self.to_host_data.call(&mut *store, times)?;
                let counted = *store.data() - before;
                ensure!(counted == u64::from(count), "{counted} of {count} host calls");
            }
            Call::IndirectPrivate => check_walk(self.indirect_private.call(store, times)?, times)?,
            Call::IndirectExported => check_walk(self.indirect_exported.call(store, times)?, times)?,
            Call::Throw1 => check_sum(self.throw_1.call(store, times)?, count)?,
            Call::Throw10 => check_sum(self.throw_10.call(store, times)?, count)?,
            Call::ThrowToHost => {
                for _ in 0..count {
                    let thrown = self.throw_to_host.call(&mut *store, ()).is_err();
                    ensure!(thrown, "an exception was lost");
                }
            }
            Call::TrapUnreachable => {
                for _ in 0..count {
                    let trapped = self.trap_unreachable.call(&mut *store, ()).is_err();
                    ensure!(trapped, "unreachable was reached");
                }
            }
            Call::TrapMemory => {
                for _ in 0..count {
                    let trapped = self.trap_memory.call(&mut *store, -1).is_err();
                    ensure!(trapped, "a load out of bounds returned");
                }
            }
            Call::AwaitNothing | Call::AwaitNow | Call::AwaitLater | Call::NowInside | Call::LaterInside => {
                anyhow::bail!("{call:?} is awaited, and not by this module");
            }
            Call::TrapDeep => {
                for _ in 0..count {
                    let trapped = self.trap_deep.call(&mut *store, 100).is_err();
                    ensure!(trapped, "unreachable was reached below");
                }
            }
        }
        Ok(())
    }
}

/// Compares a result with the sum of all numbers up to `count`.
fn check_sum(sum: i32, count: u32) -> Result<()> {
    let expected = (u64::from(count) * (u64::from(count) + 1) / 2) as i32;
    ensure!(sum == expected, "the calls add up to {sum}, not {expected}");
    Ok(())
}

/// Compares the result of a walk through a table with the same sum done here:
/// `calls.wat` says what its four functions do. Long walks are let through,
/// since this happens within the timed region; calibration begins with short
/// ones, so no figure goes unchecked.
fn check_walk(result: i32, times: i32) -> Result<()> {
    if times > 4096 {
        return Ok(());
    }
    let expected = (1..=times).fold(0_i32, |sum, step| match step & 3 {
        0 => sum.wrapping_add(1),
        1 => sum.wrapping_sub(3),
        2 => sum ^ 5,
        _ => sum.wrapping_mul(7),
    });
    ensure!(result == expected, "the table walk gave {result}, not {expected}");
    Ok(())
}

/// The store's data while a program runs.
pub struct Guest {
    pub wasi: Wasi,
    begin: Option<Instant>,
    region: Option<Duration>,
    /// The state of `random_get`.
    seed: u64,
    /// Nanoseconds that the clock of the day shows.
    today: u64,
    /// The origin of the other clocks.
    created: Instant,
    /// What was printed through host functions other than WASI's.
    printed: String,
}

/// Runs `_start` of a WASI command.
pub fn run(engine: &Engine, module: &Module, job: &Job<'_>, tuning: Tuning) -> Result<Outcome> {
    let mut linker = Linker::<Guest>::new(engine);
    wasi::add_to_linker(&mut linker)?;
    add_marks(&mut linker)?;
    add_printing(&mut linker)?;
    add_determinism(&mut linker)?;
    linker.define_unknown_imports_as_traps(module)?;

    let (wasi, streams) = wasi::new(job)?;
    let guest = Guest {
        wasi,
        begin: None,
        region: None,
        seed: 0,
        today: TODAY,
        created: Instant::now(),
        printed: String::new(),
    };
    let mut store = Store::new(engine, guest);
    match tuning {
        Tuning::Epochs => store.set_epoch_deadline(1),
        Tuning::Fuel => store.set_fuel(u64::MAX)?,
        _ => {}
    }
    let instance: Instance = linker.instantiate(&mut store, module)?;
    let (result, whole) = start(&mut store, &instance)?;
    let exit = match result {
        Ok(()) => 0,
        Err(error) => wasi::exit_code(error)?,
    };
    let time = store.data().region.unwrap_or(whole);
    let mut stdout = streams.stdout();
    stdout.extend_from_slice(store.data().printed.as_bytes());
    Ok(Outcome { exit, stdout, stderr: streams.stderr(), time })
}

/// Calls `_start`, which some compilers of commands give a result that means
/// nothing, and times it.
fn start(store: &mut Store<Guest>, instance: &Instance) -> Result<(Result<(), Error>, Duration)> {
    if let Ok(start) = instance.get_typed_func::<(), ()>(&mut *store, "_start") {
        let begin = Instant::now();
        let result = start.call(store, ());
        return Ok((result, begin.elapsed()));
    }
    let start = instance.get_typed_func::<(), i32>(&mut *store, "_start")?;
    let begin = Instant::now();
    let result = start.call(store, ());
    Ok((result.map(|_| ()), begin.elapsed()))
}

/// The marks around the timed region of a benchmark.
fn add_marks(linker: &mut Linker<Guest>) -> Result<()> {
    linker.func_wrap("bench", "start", |mut caller: Caller<'_, Guest>| {
        caller.data_mut().begin = Some(Instant::now());
    })?;
    linker.func_wrap("bench", "end", |mut caller: Caller<'_, Guest>| {
        let now = Instant::now();
        let guest = caller.data_mut();
        guest.region = guest.begin.map(|begin| now - begin);
    })?;
    Ok(())
}

/// The printing that the garbage-collected languages of the corpus import
/// instead of WASI's.
fn add_printing(linker: &mut Linker<Guest>) -> Result<()> {
    fn print(mut caller: Caller<'_, Guest>, unit: i32) {
        let character = unit.try_into().ok().and_then(char::from_u32);
        let printed = &mut caller.data_mut().printed;
        printed.push(character.unwrap_or(char::REPLACEMENT_CHARACTER));
    }
    linker.func_wrap("spectest", "print_char", print)?;
    linker.func_wrap("env", "write_char", print)?;
    linker.func_wrap("env", "write_i32", |mut caller: Caller<'_, Guest>, number: i32| {
        caller.data_mut().printed += &number.to_string();
    })?;
    linker.func_wrap("env", "write_i64", |mut caller: Caller<'_, Guest>, number: i64| {
        caller.data_mut().printed += &number.to_string();
    })?;
    Ok(())
}

/// Replaces WASI's `random_get` and its clock of the day, so that every run
/// sees the same: some benchmarks draw the amount of their work, and mix the
/// time into their draws. The clocks that measure keep measuring.
fn add_determinism(linker: &mut Linker<Guest>) -> Result<()> {
    const WASI: &str = "wasi_snapshot_preview1";
    const CLOCK_OF_THE_DAY: i32 = 0;
    const TICK: u64 = 1_000;
    linker.allow_shadowing(true);
    linker.func_wrap(WASI, "random_get", |mut caller: Caller<'_, Guest>, address: i32, length: i32| {
        let mut seed = caller.data().seed;
        let mut bytes = vec![0; length.cast_unsigned() as usize];
        bytes.fill_with(|| next_random(&mut seed));
        caller.data_mut().seed = seed;
        write(&mut caller, address, &bytes)
    })?;
    linker.func_wrap(
        WASI,
        "clock_time_get",
        |mut caller: Caller<'_, Guest>, clock: i32, _precision: i64, address: i32| {
            let guest = caller.data_mut();
            let time = if clock == CLOCK_OF_THE_DAY {
                guest.today += TICK;
                guest.today
            } else {
                guest.created.elapsed().as_nanos() as u64
            };
            write(&mut caller, address, &time.to_le_bytes())
        },
    )?;
    Ok(())
}

/// Writes into the guest's memory, and returns WASI's error number.
fn write(caller: &mut Caller<'_, Guest>, address: i32, bytes: &[u8]) -> i32 {
    const SUCCESS: i32 = 0;
    const FAULT: i32 = 21;
    let memory = caller.get_export("memory").and_then(|export| export.into_memory());
    let written = memory.map(|memory| memory.write(caller, address.cast_unsigned() as usize, bytes));
    if matches!(written, Some(Ok(()))) { SUCCESS } else { FAULT }
}

/// The splitmix64 generator (Steele, Lea and Flood, OOPSLA 2014), of whose
/// output one byte is used.
fn next_random(seed: &mut u64) -> u8 {
    *seed = seed.wrapping_add(0x9e37_79b9_7f4a_7c15);
    let mut mixed = (*seed ^ (*seed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    (mixed ^ (mixed >> 31)).to_le_bytes()[0]
}
