//! What does not fit together is refused, by name.

use crate::guest::{BOTH, EPOCH, FUEL, Limits, compile, engine, load};
use wasmc::inspect::Report;
use wasmc_loader::{Engine, IncompatibleError, Module, Store};

const TEXT: &str = r#"(module (func (export "run") (loop (br 0))))"#;

fn refusal(engine: &Engine, made: Limits) -> Option<String> {
    // SAFETY: made by the compiler just now.
    let error = unsafe { Module::from_bytes(engine, &compile(TEXT, made)) }.err()?;
    assert!(error.is::<IncompatibleError>());
    Some(format!("{error:#}"))
}

#[test]
fn modules_that_cannot_be_stopped_are_refused_where_they_have_to_be() {
    for (wanted, made, setting, flag) in
        [(EPOCH, FUEL, "epoch_interruption", "--epoch"), (FUEL, EPOCH, "consume_fuel", "--fuel")]
    {
        let error = refusal(&engine(wanted), made).unwrap();
        assert!(error.contains(&format!("`Config::{setting}(true)`")), "{error}");
        assert!(error.contains(&format!("recompile it with `{flag}`")), "{error}");
    }
    for limits in [EPOCH, FUEL, BOTH] {
        assert_eq!(refusal(&engine(limits), BOTH), None);
        assert_eq!(refusal(&Engine::default(), limits), None);
    }
}

#[test]
fn what_the_engine_has_not_is_an_error_that_names_the_setting() {
    let mut store = Store::new(&Engine::default(), ());
    for error in [store.get_fuel().unwrap_err(), store.set_fuel(1).unwrap_err()] {
        assert!(error.to_string().contains("`Config::consume_fuel(true)`"), "{error}");
    }
    let error = store.interrupt_handle().unwrap_err();
    assert!(error.to_string().contains("`Config::epoch_interruption(true)`"), "{error}");
}

#[test]
#[should_panic(expected = "Config::epoch_interruption(true)")]
fn a_deadline_without_epochs_is_a_mistake() {
    Store::new(&Engine::default(), ()).set_epoch_deadline(1);
}

#[test]
fn the_artifact_says_what_the_code_does() {
    for (limits, what) in [(EPOCH, (true, false)), (FUEL, (false, true)), (BOTH, (true, true))] {
        let report = Report::read(&compile(TEXT, limits), 0).unwrap();
        assert_eq!((report.epoch, report.fuel), what);
    }
}

#[test]
fn a_new_store_has_neither_time_nor_fuel() {
    let (engine, artifact) = (engine(BOTH), compile(TEXT, BOTH));
    let mut store = Store::new(&engine, ());
    assert_eq!(store.get_fuel().unwrap(), 0);
    let instance = wasmc_loader::Linker::new(&engine).instantiate(&mut store, &load(&engine, &artifact)).unwrap();
    crate::guest::assert_trap(
        crate::guest::call(&mut store, instance, "run"),
        wasmc_loader::Trap::Interrupt,
        "no time",
    );
    store.set_epoch_deadline(u64::MAX);
    crate::guest::assert_trap(
        crate::guest::call(&mut store, instance, "run"),
        wasmc_loader::Trap::OutOfFuel,
        "no fuel",
    );
}
