//! Updates of all widths by several threads at once: none is lost.

use super::Guest;

const ROUNDS: i32 = 20_000;
const THREADS: i32 = 3;

/// The widths: what an operator is called before and after its name, and how
/// many bytes it accesses; each with its type.
const WIDTHS: [(&str, &str, &str, usize); 7] = [
    ("i32", "rmw", "", 4),
    ("i32", "rmw8", "_u", 1),
    ("i32", "rmw16", "_u", 2),
    ("i64", "rmw", "", 8),
    ("i64", "rmw8", "_u", 1),
    ("i64", "rmw16", "_u", 2),
    ("i64", "rmw32", "_u", 4),
];

/// The atomic load of the same width.
fn load((ty, rmw, suffix, _): (&str, &str, &str, usize)) -> String {
    format!("{ty}.atomic.load{}{suffix}", rmw.trim_start_matches("rmw"))
}

fn read(guest: &Guest, at: usize, bytes: usize) -> u64 {
    u64::from_le_bytes(guest.read::<8>(at)) & (u64::MAX >> (64 - 8 * bytes))
}

/// A loop that does something so many times.
fn repeat(name: &str, locals: &str, body: &str) -> String {
    format!(
        r#"(func (export "{name}") (param $me i32) (param $rounds i32) (result i32) {locals}
            (loop $again {body}
                (br_if $again (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
            (i32.const 0))"#
    )
}

#[test]
fn counters_of_all_widths_lose_no_update() {
    for width in WIDTHS {
        let (ty, rmw, suffix, bytes) = width;
        let op = |op: &str| format!("{ty}.atomic.{rmw}.{op}{suffix}");
        let (add, sub, xor) = (op("add"), op("sub"), op("xor"));
        let text = [
            repeat("add", "", &format!("(drop ({add} (i32.const 16) ({ty}.const 5)))")),
            repeat("sub", "", &format!("(drop ({sub} (i32.const 16) ({ty}.const 2)))")),
            // A word of which every thread flips a bit of its own, an odd
            // number of times.
            repeat(
                "xor",
                "",
                &format!(
                    "(drop ({xor} (i32.const 32) ({ty}.shl ({ty}.const 1) {})))",
                    if ty == "i64" { "(i64.extend_i32_u (local.get $me))" } else { "(local.get $me)" }
                ),
            ),
        ];
        let guest = Guest::new(1, &text.concat());
        let calls: Vec<_> =
            (0..THREADS).flat_map(|me| [("add", me, ROUNDS), ("sub", me, ROUNDS), ("xor", me, ROUNDS + 1)]).collect();
        guest.race(&calls);
        let mask = u64::MAX >> (64 - 8 * bytes);
        let sum = (i64::from(THREADS) * i64::from(ROUNDS) * 3) as u64 & mask;
        assert_eq!(read(&guest, 16, bytes), sum, "{add} and {sub}");
        assert_eq!(read(&guest, 32, bytes), (1 << THREADS) - 1, "{xor}");
        // Nothing beside them was touched.
        let beyond = guest.read::<8>(16 + bytes)[..8 - bytes].to_vec();
        assert_eq!(beyond, vec![0; 8 - bytes], "{add}");
    }
}

/// `and` and `or` take turns: each thread sets and clears a bit of its own, and
/// must find it as it left it.
#[test]
fn bits_of_one_thread_are_left_alone_by_others() {
    for width in WIDTHS {
        let (ty, rmw, suffix, _) = width;
        let bit = if ty == "i64" { "(i64.extend_i32_u (local.get $me))" } else { "(local.get $me)" };
        let bit = format!("({ty}.shl ({ty}.const 1) {bit})");
        let zero = if ty == "i64" { "i64.eqz" } else { "i32.eqz" };
        let body = format!(
            r"(if (i32.eqz ({zero} ({ty}.and {bit} ({ty}.atomic.{rmw}.or{suffix} (i32.const 16) {bit}))))
                  (then unreachable))
              (if ({zero} ({ty}.and {bit}
                      ({ty}.atomic.{rmw}.and{suffix} (i32.const 16) ({ty}.xor ({ty}.const -1) {bit}))))
                  (then unreachable))"
        );
        let guest = Guest::new(1, &repeat("turn", "", &body));
        guest.race(&(0..THREADS).map(|me| ("turn", me, ROUNDS)).collect::<Vec<_>>());
        assert_eq!(guest.read::<8>(16), [0; 8], "{ty}.{rmw}");
    }
}

#[test]
fn loops_of_cmpxchg_lose_no_update_in_any_width() {
    for width in WIDTHS {
        let (ty, rmw, suffix, bytes) = width;
        let load = load(width);
        let body = format!(
            r"(loop $retry
                (local.set $old ({load} (i32.const 16)))
                (br_if $retry ({ty}.ne (local.get $old) ({ty}.atomic.{rmw}.cmpxchg{suffix} (i32.const 16)
                    (local.get $old) ({ty}.add (local.get $old) ({ty}.const 3))))))"
        );
        let guest = Guest::new(1, &repeat("count", &format!("(local $old {ty})"), &body));
        guest.race(&(0..THREADS).map(|me| ("count", me, ROUNDS)).collect::<Vec<_>>());
        let mask = u64::MAX >> (64 - 8 * bytes);
        assert_eq!(read(&guest, 16, bytes), (3 * THREADS * ROUNDS) as u64 & mask, "{ty}.atomic.{rmw}.cmpxchg");
    }
}

/// A token in a word goes round: each exchange gives one away and takes one.
#[test]
fn exchanges_neither_lose_nor_double_what_they_carry() {
    for width in WIDTHS {
        let (ty, rmw, suffix, bytes) = width;
        let store = if ty == "i64" { "i64.store" } else { "i32.store" };
        let start = if ty == "i64" { "(i64.extend_i32_u (local.get $me))" } else { "(local.get $me)" };
        let text = format!(
            r#"(func (export "carry") (param $me i32) (param $rounds i32) (result i32) (local $token {ty})
                (local.set $token ({ty}.add ({ty}.const 1) {start}))
                (loop $again
                    (local.set $token ({ty}.atomic.{rmw}.xchg{suffix} (i32.const 16) (local.get $token)))
                    (br_if $again (local.tee $rounds (i32.sub (local.get $rounds) (i32.const 1)))))
                ({store} (i32.add (i32.const 64) (i32.shl (local.get $me) (i32.const 3))) (local.get $token))
                (i32.const 0))"#
        );
        let guest = Guest::new(1, &text);
        guest.race(&(0..THREADS).map(|me| ("carry", me, ROUNDS)).collect::<Vec<_>>());
        let mut tokens: Vec<u64> = (0..THREADS as usize).map(|me| read(&guest, 64 + 8 * me, 8)).collect();
        tokens.push(read(&guest, 16, bytes));
        tokens.sort_unstable();
        assert_eq!(tokens, [0, 1, 2, 3], "{ty}.atomic.{rmw}.xchg");
    }
}

/// Accesses of several sizes to one word: what is defined of these is that
/// each is done at once, so that sums in parts of it do not disturb each other.
#[test]
fn updates_of_parts_and_of_the_whole_do_not_disturb_each_other() {
    let text = [
        repeat("byte0", "", "(drop (i32.atomic.rmw8.add_u (i32.const 16) (i32.const 1)))"),
        repeat("byte1", "", "(drop (i64.atomic.rmw8.sub_u (i32.const 17) (i64.const 1)))"),
        repeat("half", "", "(drop (i32.atomic.rmw16.add_u (i32.const 18) (i32.const 3)))"),
        repeat("upper", "", "(drop (i64.atomic.rmw32.add_u (i32.const 20) (i64.const 7)))"),
        // Adds to the upper half through the whole.
        repeat("whole", "", "(drop (i64.atomic.rmw.add (i32.const 16) (i64.const 0x1_0000_0000)))"),
        repeat(
            "cmpxchg",
            "(local $old i64)",
            r"(loop $retry
                (local.set $old (i64.atomic.load (i32.const 16)))
                (br_if $retry (i64.ne (local.get $old) (i64.atomic.rmw.cmpxchg (i32.const 16) (local.get $old)
                    (i64.add (local.get $old) (i64.const 0x1_0000_0000))))))",
        ),
    ];
    let guest = Guest::new(1, &text.concat());
    let names = ["byte0", "byte1", "half", "upper", "whole", "cmpxchg"];
    guest.race(&names.map(|name| (name, 0, ROUNDS)));
    let n = ROUNDS as u64;
    assert_eq!(read(&guest, 16, 1), n & 0xff);
    assert_eq!(read(&guest, 17, 1), n.wrapping_neg() & 0xff);
    assert_eq!(read(&guest, 18, 2), (3 * n) & 0xffff);
    assert_eq!(read(&guest, 20, 4), 9 * n);
}

/// Many more threads than cores, each with a store.
#[test]
fn a_hundred_instances_on_as_many_threads_count_together() {
    let guest = Guest::new(1, &repeat("add", "", "(drop (i32.atomic.rmw.add (i32.const 0) (i32.const 1)))"));
    guest.race(&[("add", 0, 1000); 100]);
    assert_eq!(i32::from_le_bytes(guest.read(0)), 100_000);
}
