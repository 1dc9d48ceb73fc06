//! Bulk operations look whether to stop as loops do: after each mebibyte of
//! memory, and each 65,536 elements of tables and arrays.

use crate::guest::{EPOCH, Limits, assert_trap, call, compile, engine_with_stress, load};
use wasmc_loader::{Engine, Instance, Linker, Store, Trap, UpdateDeadline};

/// How many bytes, and how many elements, are handled between two looks.
const BYTES: usize = 1 << 20;
const ELEMENTS: usize = 1 << 16;

const PLAIN: Limits = Limits { epoch: false, fuel: false };

/// A module and what it does: `init` makes the state, in which `sum` sees any
/// difference, and `run` is one operator that looks so many times.
struct Case {
    what: &'static str,
    text: String,
    looks: usize,
}

/// A loop over `$i` from 0 to `end`.
fn repeat(end: usize, body: &str) -> String {
    format!(
        "(local.set $i (i32.const 0))
        (loop {body} (br_if 0 (i32.lt_u (local.tee $i (i32.add (local.get $i) (i32.const 1))) (i32.const {end}))))"
    )
}

/// A module with these items, which writes and reads `count` values by number.
fn module(items: &str, count: usize, write: &str, read: &str, run: &str) -> String {
    let init = repeat(count, write);
    let sum = repeat(
        count,
        &format!("(local.set $sum (i64.add (i64.mul (local.get $sum) (i64.const 31)) (i64.extend_i32_u {read})))"),
    );
    format!(
        r#"(module {items}
        (func (export "init") (local $i i32) {init})
        (func (export "sum") (result i64) (local $i i32) (local $sum i64) {sum} (local.get $sum))
        (func (export "run") {run}))"#
    )
}

const VALUE: &str = "(i32.mul (local.get $i) (i32.const 0x9e3779b1))";

fn memory_case(what: &'static str, looks: usize, items: &str, run: &str) -> Case {
    let items = format!(r#"(memory (export "memory") 128) {items}"#);
    let at = "(i32.mul (local.get $i) (i32.const 4))";
    let write = format!("(i32.store {at} {VALUE})");
    let text = module(&items, 128 << 14, &write, &format!("(i32.load {at})"), run);
    Case { what, text, looks }
}

/// Every third element is a function, and others are null.
fn table_case(what: &'static str, looks: usize, items: &str, run: &str) -> Case {
    let items = format!(
        r#"(table $t (export "table") 300000 funcref) (func $f) (func $g) (elem declare func $f $g)
        (func $is (param funcref) (result i32) (i32.eqz (ref.is_null (local.get 0)))) {items}"#
    );
    let write = "(if (i32.eqz (i32.rem_u (local.get $i) (i32.const 3)))
        (then (table.set $t (local.get $i) (ref.func $f))) (else (table.set $t (local.get $i) (ref.null func))))";
    let read = "(call $is (table.get $t (local.get $i)))";
    Case { what, text: module(&items, 300_000, write, read, run), looks }
}

fn array_case(what: &'static str, looks: usize, items: &str, run: &str) -> Case {
    let items = format!(
        "(type $a (array (mut i32))) (global $a (mut (ref null $a)) (ref.null $a))
        (func $make (if (ref.is_null (global.get $a)) (then
            (global.set $a (array.new_default $a (i32.const 300000)))))) {items}"
    );
    let write = format!("(call $make) (array.set $a (global.get $a) (local.get $i) {VALUE})");
    let read = "(array.get $a (global.get $a) (local.get $i))";
    Case { what, text: module(&items, 300_000, &write, read, run), looks }
}

fn reference_case(what: &'static str, looks: usize, items: &str, run: &str) -> Case {
    let items = format!(
        "(type $a (array (mut i31ref))) (global $a (mut (ref null $a)) (ref.null $a))
        (func $make (if (ref.is_null (global.get $a)) (then
            (global.set $a (array.new_default $a (i32.const 300000)))))) {items}"
    );
    let write = format!("(call $make) (array.set $a (global.get $a) (local.get $i) (ref.i31 {VALUE}))");
    let read = "(i31.get_u (ref.as_non_null (array.get $a (global.get $a) (local.get $i))))";
    Case { what, text: module(&items, 300_000, &write, read, run), looks }
}

/// Makes new elements of a table visible to `sum`.
const COPY_NEW: &str = "(table.copy $t $t (i32.const 0) (i32.const 300000) (i32.const 200000))";

/// Tables of objects, which the collector moves.
fn object_case(what: &'static str, looks: usize, run: &str) -> Case {
    let items = "(type $box (struct (field i32))) (table $t (export \"table\") 300000 (ref null $box))
        (func $value (param (ref null $box)) (result i32)
            (if (result i32) (ref.is_null (local.get 0)) (then (i32.const 1))
                (else (struct.get $box 0 (local.get 0)))))";
    let write = "(if (i32.eqz (i32.rem_u (local.get $i) (i32.const 50000)))
        (then (table.set $t (local.get $i) (struct.new $box (local.get $i)))))";
    let read = "(call $value (table.get $t (local.get $i)))";
    Case { what, text: module(items, 300_000, write, read, run), looks }
}

fn cases() -> Vec<Case> {
    let data = format!("(data $d \"{}\")", "guest".repeat(500_000));
    let functions = format!("(elem $e func {})", "$f $g ".repeat(50_000));
    let numbers = format!("(elem $n i31ref {})", "(ref.i31 (i32.const 5)) (ref.i31 (i32.const 6)) ".repeat(50_000));
    let array = "(global.get $a)";
    vec![
        memory_case("fill", 6, "", "(memory.fill (i32.const 5) (i32.const 7) (i32.const 5242883))"),
        memory_case("a fill of whole pieces", 4, "", "(memory.fill (i32.const 5) (i32.const 7) (i32.const 4194304))"),
        memory_case("one piece", 0, "", "(memory.fill (i32.const 5) (i32.const 7) (i32.const 1048576))"),
        memory_case("down", 5, "", "(memory.copy (i32.const 1000) (i32.const 3000) (i32.const 4194305))"),
        memory_case("up", 5, "", "(memory.copy (i32.const 3000) (i32.const 1000) (i32.const 4194305))"),
        memory_case("far up", 3, "", "(memory.copy (i32.const 2200000) (i32.const 1) (i32.const 2100000))"),
        memory_case("in place", 4, "", "(memory.copy (i32.const 1000) (i32.const 1000) (i32.const 4194304))"),
        memory_case("init", 3, &data, "(memory.init $d (i32.const 11) (i32.const 7) (i32.const 2400001))"),
        table_case("table fill", 4, "", "(table.fill $t (i32.const 3) (ref.func $g) (i32.const 200000))"),
        table_case("table down", 4, "", "(table.copy (i32.const 4) (i32.const 800) (i32.const 200000))"),
        table_case("table up", 4, "", "(table.copy (i32.const 800) (i32.const 4) (i32.const 200000))"),
        table_case("table init", 2, &functions, "(table.init $t $e (i32.const 9) (i32.const 1) (i32.const 90000))"),
        table_case("table grow", 8, "", &format!("(drop (table.grow $t (ref.func $f) (i32.const 200000))) {COPY_NEW}")),
        table_case(
            "grow without value",
            4,
            "",
            &format!("(drop (table.grow $t (ref.null func) (i32.const 200000))) {COPY_NEW}"),
        ),
        object_case("objects", 4, "(table.fill $t (i32.const 3) (struct.new $box (i32.const 77)) (i32.const 200000))"),
        object_case(
            "objects grow",
            8,
            &format!("(drop (table.grow $t (struct.new $box (i32.const 77)) (i32.const 200000))) {COPY_NEW}"),
        ),
        array_case(
            "array fill",
            4,
            "",
            &format!("(array.fill $a {array} (i32.const 3) (i32.const 9) (i32.const 200000))"),
        ),
        array_case(
            "array down",
            4,
            "",
            &format!("(array.copy $a $a {array} (i32.const 3) {array} (i32.const 700) (i32.const 200000))"),
        ),
        array_case(
            "array up",
            4,
            "",
            &format!("(array.copy $a $a {array} (i32.const 700) {array} (i32.const 3) (i32.const 200000))"),
        ),
        array_case(
            "array init",
            2,
            &data,
            &format!("(array.init_data $a $d {array} (i32.const 3) (i32.const 5) (i32.const 100000))"),
        ),
        reference_case(
            "array of references",
            4,
            "",
            &format!("(array.fill $a {array} (i32.const 3) (ref.i31 (i32.const 9)) (i32.const 200000))"),
        ),
        reference_case(
            "array init of references",
            2,
            &numbers,
            &format!("(array.init_elem $a $n {array} (i32.const 3) (i32.const 5) (i32.const 90000))"),
        ),
    ]
}

/// What a callback has seen, and when it ends the code.
struct Looks {
    seen: usize,
    end_at: usize,
}

fn guest(engine: &Engine, text: &str, limits: Limits) -> (Store<Looks>, Instance) {
    let mut store = Store::new(engine, Looks { seen: 0, end_at: usize::MAX });
    if limits.epoch {
        store.set_epoch_deadline(u64::MAX);
        store.epoch_deadline_callback(|mut store| {
            // Objects move now, if they ever do.
            store.gc();
            let looks = store.data_mut();
            looks.seen += 1;
            Ok(if looks.seen == looks.end_at { UpdateDeadline::Interrupt } else { UpdateDeadline::Continue(0) })
        });
    }
    let module = load(engine, &compile(text, limits));
    let instance = Linker::new(engine).instantiate(&mut store, &module).unwrap();
    (store, instance)
}

fn sum(store: &mut Store<Looks>, instance: Instance) -> i64 {
    instance.get_typed_func::<(), i64>(&mut *store, "sum").unwrap().call(store, ()).unwrap()
}

/// Runs `run` in a state that was just made, of which no more than so many looks
/// are seen.
fn run(store: &mut Store<Looks>, instance: Instance, end_at: usize) -> wasmc_loader::Result<()> {
    store.set_epoch_deadline(u64::MAX);
    call(store, instance, "init").unwrap();
    *store.data_mut() = Looks { seen: 0, end_at };
    store.set_epoch_deadline(0);
    let result = call(store, instance, "run");
    store.set_epoch_deadline(u64::MAX);
    result
}

#[test]
fn bulk_operations_look_after_each_piece_and_do_what_they_do_in_one() {
    let (plain, watched) = (engine_with_stress(PLAIN), engine_with_stress(EPOCH));
    for case in cases() {
        let (mut store, instance) = guest(&plain, &case.text, PLAIN);
        call(&mut store, instance, "init").unwrap();
        let before = sum(&mut store, instance);
        call(&mut store, instance, "run").unwrap();
        let expected = sum(&mut store, instance);
        assert!(before != expected || case.what == "in place", "{} changes nothing", case.what);

        let (mut store, instance) = guest(&watched, &case.text, EPOCH);
        run(&mut store, instance, usize::MAX).unwrap_or_else(|e| panic!("{}: {e:#}", case.what));
        assert_eq!(store.data().seen, case.looks, "{}", case.what);
        assert_eq!(sum(&mut store, instance), expected, "{}", case.what);
    }
}

#[test]
fn bulk_operations_are_ended_after_any_piece_and_can_be_run_again() {
    let engine = engine_with_stress(EPOCH);
    for case in cases() {
        let (mut store, instance) = guest(&engine, &case.text, EPOCH);
        run(&mut store, instance, usize::MAX).unwrap();
        let expected = sum(&mut store, instance);
        for end_at in 1..=case.looks {
            assert_trap(run(&mut store, instance, end_at), Trap::Interrupt, case.what);
            assert_eq!(store.data().seen, end_at, "{}", case.what);
        }
        run(&mut store, instance, usize::MAX).unwrap();
        assert_eq!(sum(&mut store, instance), expected, "{}", case.what);
    }
}

#[test]
fn what_is_ended_has_done_whole_pieces() {
    let engine = engine_with_stress(EPOCH);
    let memory = |case: &Case, end_at: usize| {
        let (mut store, instance) = guest(&engine, &case.text, EPOCH);
        assert_trap(run(&mut store, instance, end_at), Trap::Interrupt, case.what);
        let memory = instance.get_memory(&mut store, "memory").unwrap();
        memory.data(&store).to_vec()
    };
    let original: Vec<u8> = (0..128_u32 << 14).flat_map(|i| i.wrapping_mul(0x9e37_79b1).to_le_bytes()).collect();
    let cases = cases();
    let [fill, down, up] = ["fill", "down", "up"].map(|what| cases.iter().find(|case| case.what == what).unwrap());
    for pieces in 1..=3 {
        let done = pieces * BYTES;
        let mut expected = original.clone();
        expected[5..5 + done].fill(7);
        assert!(memory(fill, pieces) == expected, "the first {pieces} pieces are filled");
        let mut expected = original.clone();
        expected.copy_within(3000..3000 + done, 1000);
        assert!(memory(down, pieces) == expected, "the first {pieces} pieces are copied");
        let mut expected = original.clone();
        let end = 4_194_305;
        expected.copy_within(1000 + end - done..1000 + end, 3000 + end - done);
        assert!(memory(up, pieces) == expected, "the last {pieces} pieces are copied");
    }
    let grow = cases.iter().find(|case| case.what == "table grow").unwrap();
    let (mut store, instance) = guest(&engine, &grow.text, EPOCH);
    assert_trap(run(&mut store, instance, 2), Trap::Interrupt, grow.what);
    let table = instance.get_table(&mut store, "table").unwrap();
    assert_eq!(table.size(&store), 500_000);
    let mut is_set = |at: usize| table.get(&mut store, at as u64).unwrap().as_func().unwrap().is_some();
    assert!(is_set(300_000 + 2 * ELEMENTS - 1) && !is_set(300_000 + 2 * ELEMENTS));
}

#[test]
fn what_is_out_of_bounds_neither_looks_nor_writes() {
    let engine = engine_with_stress(EPOCH);
    let data = format!("(data $d \"{}\")", "guest".repeat(500_000));
    let functions = format!("(elem $e func {})", "$f $g ".repeat(50_000));
    let a = "(global.get $a)";
    let (memory, table, array) = (Trap::MemoryOutOfBounds, Trap::TableOutOfBounds, Trap::ArrayOutOfBounds);
    let cases = [
        (memory_case("fill", 0, "", "(memory.fill (i32.const 1) (i32.const 7) (i32.const 8388608))"), memory),
        (memory_case("to", 0, "", "(memory.copy (i32.const 9) (i32.const 1) (i32.const 8388600))"), memory),
        (memory_case("from", 0, "", "(memory.copy (i32.const 1) (i32.const 9) (i32.const 8388600))"), memory),
        (memory_case("init", 0, &data, "(memory.init $d (i32.const 0) (i32.const 1) (i32.const 2500000))"), memory),
        (memory_case("to", 0, &data, "(memory.init $d (i32.const 7000000) (i32.const 0) (i32.const 2000000))"), memory),
        (
            memory_case(
                "gone",
                0,
                &data,
                "(data.drop $d) (memory.init $d (i32.const 0) (i32.const 0) (i32.const 2000000))",
            ),
            memory,
        ),
        (table_case("fill", 0, "", "(table.fill $t (i32.const 1) (ref.func $g) (i32.const 300000))"), table),
        (table_case("fill", 0, "", "(table.fill $t (i32.const -1) (ref.func $g) (i32.const -1))"), table),
        (table_case("to", 0, "", "(table.copy (i32.const 2) (i32.const 1) (i32.const 299999))"), table),
        (table_case("from", 0, "", "(table.copy (i32.const 1) (i32.const 2) (i32.const 299999))"), table),
        (table_case("init", 0, &functions, "(table.init $t $e (i32.const 0) (i32.const 1) (i32.const 100000))"), table),
        (
            array_case("fill", 0, "", &format!("(array.fill $a {a} (i32.const 1) (i32.const 9) (i32.const 300000))")),
            array,
        ),
        (
            array_case(
                "copy",
                0,
                "",
                &format!("(array.copy $a $a {a} (i32.const 1) {a} (i32.const 2) (i32.const 299999))"),
            ),
            array,
        ),
        (
            array_case(
                "init",
                0,
                &data,
                &format!("(array.init_data $a $d {a} (i32.const 0) (i32.const 2100001) (i32.const 100000))"),
            ),
            memory,
        ),
    ];
    for (case, trap) in cases {
        let (mut store, instance) = guest(&engine, &case.text, EPOCH);
        call(&mut store, instance, "init").unwrap();
        let before = sum(&mut store, instance);
        assert_trap(run(&mut store, instance, usize::MAX), trap, case.what);
        assert_eq!((store.data().seen, sum(&mut store, instance)), (0, before), "{}", case.what);
    }
}
