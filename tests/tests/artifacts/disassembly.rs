//! What the machine code is like, told from its bytes: the properties that the
//! layout of a slot exists for.
//!
//! The context register is `rdi`: Cranelift's `tail` convention passes the
//! first argument there, and that is the context.

use iced_x86::{Code, Decoder, DecoderOptions, Formatter, GasFormatter, Instruction, Mnemonic, OpKind, Register};
use wasmc::{Emit, Options, Target};
use wasmc_artifacts::abi::{ContextLayout, vm_header, vm_table_def};
use wasmc_artifacts::format::Artifact;

const CONTEXT: Register = Register::RDI;

fn options(triple: &str) -> Options {
    Options { target: Target::new(triple).unwrap(), ..Options::new() }
}

/// The instructions of a module's functions.
struct Disassembly {
    functions: Vec<(String, Vec<Instruction>)>,
    layout: ContextLayout,
}

impl Disassembly {
    fn of(wat: &str) -> Disassembly {
        let bytes = wasmc::compile(wat.as_bytes(), &options("x86_64-unknown-linux-gnu")).unwrap();
        let artifact = Artifact::parse(&bytes).unwrap();
        let text = artifact.header().text.offset;
        let functions = artifact.tables().functions.iter().map(|function| {
            let name = artifact.function_name(&function).unwrap_or_default().to_owned();
            let start = text + u64::from(function.code);
            (name, decode(&bytes[start as usize..][..function.length as usize], start))
        });
        Disassembly { functions: functions.collect(), layout: *artifact.layout() }
    }

    fn function(&self, name: &str) -> Function<'_> {
        let found = self.functions.iter().find(|(known, _)| known == name);
        let (_, code) = found.unwrap_or_else(|| panic!("no function `{name}`"));
        assert!(code.iter().all(|instruction| !instruction.is_invalid()), "`{name}` contains no valid code");
        Function { name: name.to_owned(), code, stack_limit: self.layout.header() + vm_header::stack_limit }
    }
}

/// The instructions of a function, without the constants that follow them.
fn decode(code: &[u8], start: u64) -> Vec<Instruction> {
    let mut end = start + code.len() as u64;
    let mut instructions = Vec::new();
    for instruction in Decoder::with_ip(64, code, start, DecoderOptions::NONE).iter() {
        if instruction.ip() >= end {
            break;
        }
        if instruction.is_ip_rel_memory_operand() && instruction.ip_rel_memory_address() > start {
            end = end.min(instruction.ip_rel_memory_address());
        }
        instructions.push(instruction);
    }
    let last = |i: &Instruction| matches!(i.mnemonic(), Mnemonic::Ret | Mnemonic::Jmp | Mnemonic::Ud2 | Mnemonic::Hlt);
    instructions.truncate(instructions.iter().rposition(last).map_or(0, |at| at + 1));
    instructions
}

/// The instructions of a function.
struct Function<'a> {
    name: String,
    code: &'a [Instruction],
    stack_limit: i32,
}

fn has_memory_operand(instruction: &Instruction) -> bool {
    (0..instruction.op_count()).any(|number| instruction.op_kind(number) == OpKind::Memory)
        && !matches!(instruction.mnemonic(), Mnemonic::Lea | Mnemonic::Nop)
}

fn displacement(instruction: &Instruction) -> i64 {
    instruction.memory_displacement64() as i64
}

impl Function<'_> {
    fn count(&self, mnemonics: &[Mnemonic]) -> usize {
        self.code.iter().filter(|instruction| mnemonics.contains(&instruction.mnemonic())).count()
    }

    /// Instructions with an explicit memory operand other than the stack's.
    fn accesses(&self) -> Vec<&Instruction> {
        let of_stack = |register| matches!(register, Register::RSP | Register::RBP);
        self.code.iter().filter(|i| has_memory_operand(i) && !of_stack(i.memory_base())).collect()
    }

    /// Those that read or write a field of the context.
    fn fields(&self) -> Vec<i64> {
        let fields = self
            .accesses()
            .into_iter()
            .filter(|i| i.memory_base() == CONTEXT && i.memory_index() == Register::None && displacement(i) < 0);
        fields.map(displacement).collect()
    }

    /// Fields of the context without the check for stack overflow.
    fn fields_of_body(&self) -> Vec<i64> {
        self.fields().into_iter().filter(|field| *field != i64::from(self.stack_limit)).collect()
    }

    fn only_access(&self) -> &Instruction {
        match self.accesses()[..] {
            [access] => access,
            ref others => panic!("{} accesses instead of one:\n{self}", others.len()),
        }
    }
}

impl std::fmt::Display for Function<'_> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        writeln!(f, "{}:", self.name)?;
        let mut formatter = GasFormatter::new();
        for instruction in self.code {
            let mut text = String::new();
            formatter.format(instruction, &mut text);
            writeln!(f, "  {text}")?;
        }
        Ok(())
    }
}

const COMPARES: [Mnemonic; 6] =
    [Mnemonic::Cmp, Mnemonic::Test, Mnemonic::Ja, Mnemonic::Jae, Mnemonic::Cmova, Mnemonic::Cmovae];

#[test]
fn an_i32_load_is_one_mov_off_the_context_register() {
    let code = Disassembly::of(
        r#"(module (memory 1 10) (func $load (export "load") (param i32) (result i32)
             (i32.load offset=12 (local.get 0))))"#,
    );
    let load = code.function("load");
    let access = load.only_access();
    assert_eq!(access.code(), Code::Mov_r32_rm32, "{load}");
    assert_eq!(access.memory_base(), CONTEXT, "{load}");
    assert_ne!(access.memory_index(), Register::None, "{load}");
    assert_eq!((access.memory_index_scale(), displacement(access)), (1, 12), "{load}");
    assert_eq!(access.memory_displ_size(), 1, "the displacement is not a short one:\n{load}");
    assert_eq!(load.count(&COMPARES), 0, "{load}");
    // The index is extended from 32 bits by one move, and there is a frame.
    assert!(load.code.len() <= 7, "more than frame, extension, load, return:\n{load}");
}

#[test]
fn every_load_and_store_is_one_access_off_the_context_register() {
    let loads = "i32.load8_s i32.load8_u i32.load16_s i32.load16_u i32.load i64.load8_s i64.load32_u i64.load \
                 f32.load f64.load v128.load v128.load8_splat v128.load32_zero v128.load8x8_s";
    let stores = "i32.store8 i32.store16 i32.store i64.store8 i64.store32 i64.store f32.store f64.store v128.store";
    let ty = |op: &str| op.split('.').next().unwrap().to_owned();
    let mut wat = "(module (memory 1 10)\n".to_owned();
    for op in loads.split_whitespace() {
        wat += &format!(
            "(func ${op} (export \"{op}\") (param i32) (result {}) ({op} offset=100 (local.get 0)))\n",
            ty(op)
        );
    }
    for op in stores.split_whitespace() {
        wat += &format!(
            "(func ${op} (export \"{op}\") (param i32 {}) ({op} offset=100 (local.get 0) (local.get 1)))\n",
            ty(op)
        );
    }
    let code = Disassembly::of(&(wat + ")"));
    for op in loads.split_whitespace().chain(stores.split_whitespace()) {
        let function = code.function(op);
        let accesses = function.accesses();
        let linear: Vec<_> = accesses.iter().filter(|i| i.memory_index() != Register::None).collect();
        assert_eq!(linear.len(), 1, "{function}");
        assert_eq!((linear[0].memory_base(), displacement(linear[0])), (CONTEXT, 100), "{function}");
        // Others may read a constant beside the code, never the context.
        assert!(
            accesses.iter().all(|i| i.memory_index() != Register::None || i.is_ip_rel_memory_operand()),
            "{function}"
        );
        assert_eq!(function.count(&COMPARES), 0, "{function}");
    }
}

/// Each atomic operator whose result nobody wants, or that has an instruction of
/// its own, is that one instruction, on whatever memory.
#[test]
fn atomics_are_the_instructions_that_the_processor_has() {
    let cases = [
        ("i32.atomic.load", "i32", 0, Mnemonic::Mov, false),
        ("i64.atomic.load16_u", "i64", 0, Mnemonic::Movzx, false),
        ("i32.atomic.store", "", 1, Mnemonic::Xchg, false),
        ("i64.atomic.store8", "", 1, Mnemonic::Xchg, false),
        ("i32.atomic.rmw.add", "i32", 1, Mnemonic::Xadd, true),
        ("i64.atomic.rmw.add", "i64", 1, Mnemonic::Xadd, true),
        ("i32.atomic.rmw8.add_u", "i32", 1, Mnemonic::Xadd, true),
        ("i64.atomic.rmw16.sub_u", "i64", 1, Mnemonic::Xadd, true),
        ("i32.atomic.rmw.xchg", "i32", 1, Mnemonic::Xchg, false),
        ("i64.atomic.rmw32.xchg_u", "i64", 1, Mnemonic::Xchg, false),
        ("i64.atomic.rmw.cmpxchg", "i64", 2, Mnemonic::Cmpxchg, true),
        ("i32.atomic.rmw8.cmpxchg_u", "i32", 2, Mnemonic::Cmpxchg, true),
        ("i32.atomic.rmw.add", "drop", 1, Mnemonic::Add, true),
        ("i64.atomic.rmw.or", "drop", 1, Mnemonic::Or, true),
        ("i32.atomic.rmw16.xor_u", "drop", 1, Mnemonic::Xor, true),
        ("i64.atomic.rmw.and", "drop", 1, Mnemonic::And, true),
    ];
    let functions = cases.iter().enumerate().map(|(i, (op, result, operands, ..))| {
        let ty = op.split('.').next().unwrap();
        let params = format!(" {ty}").repeat(*operands);
        let gets: String = (0..=*operands).map(|operand| format!("(local.get {operand})")).collect();
        let body = format!("({op} offset=16 {gets})");
        match *result {
            "drop" => format!("(func $f{i} (export \"{i}\") (param i32{params}) (drop {body}))"),
            "" => format!("(func $f{i} (export \"{i}\") (param i32{params}) {body})"),
            result => format!("(func $f{i} (export \"{i}\") (param i32{params}) (result {result}) {body})"),
        }
    });
    let functions: String = functions.collect();
    for (memory, own) in [("(memory 1 2)", true), (r#"(import "m" "m" (memory 1 2 shared))"#, false)] {
        let code = Disassembly::of(&format!("(module {memory} {functions})"));
        for (i, (op, _, _, mnemonic, locked)) in cases.iter().enumerate() {
            let function = code.function(&format!("f{i}"));
            let linear: Vec<_> =
                function.accesses().into_iter().filter(|i| i.memory_index() != Register::None).collect();
            assert_eq!(linear.len(), 1, "{op} is more than one access:\n{function}");
            let access = linear[0];
            assert_eq!((access.mnemonic(), access.has_lock_prefix()), (*mnemonic, *locked), "{op}:\n{function}");
            assert_eq!(displacement(access), 16, "{op}:\n{function}");
            // Where it is another module's memory, that register may be free
            // for its base.
            assert!(!own || access.memory_base() == CONTEXT, "{op}:\n{function}");
            assert_eq!(function.count(&[Mnemonic::Mfence]), 0, "{op}:\n{function}");
        }
    }
}

/// A loop over the memory, with and without calls; in the second module the
/// memory is somebody else's.
fn loops(memory: &str) -> String {
    format!(
        r#"(module {memory}
          (func $copy (export "copy") (param $to i32) (param $from i32) (param $count i32)
            (loop $next
              (i32.store8 (local.get $to) (i32.load8_u (local.get $from)))
              (local.set $to (i32.add (local.get $to) (i32.const 1)))
              (local.set $from (i32.add (local.get $from) (i32.const 1)))
              (br_if $next (local.tee $count (i32.sub (local.get $count) (i32.const 1))))))
          (func $visit (export "visit") (param $at i32) (result i32)
            (call $copy (local.get $at) (i32.load (local.get $at)) (i32.const 4))
            (i32.add (i32.load (local.get $at)) (i32.load offset=4 (local.get $at)))))"#
    )
}

#[test]
fn no_function_loads_the_base_of_its_own_memory() {
    let code = Disassembly::of(&loops("(memory 1 10)"));
    for name in ["copy", "visit"] {
        let function = code.function(name);
        assert_eq!(function.fields_of_body(), [] as [i64; 0], "{function}");
        assert!(function.accesses().len() >= 2, "{function}");
    }
    let copy = code.function("copy");
    assert!(copy.accesses().iter().all(|i| i.memory_base() == CONTEXT), "{copy}");
    assert_eq!(copy.fields(), [] as [i64; 0], "a leaf needs no check for stack overflow:\n{copy}");
    // What the test would see if a base were loaded.
    let code = Disassembly::of(&loops(r#"(import "host" "memory" (memory 1 10))"#));
    for name in ["copy", "visit"] {
        let function = code.function(name);
        assert_eq!(function.fields_of_body().len(), 1, "{function}");
    }
}

#[test]
fn a_function_that_calls_checks_the_stack_limit_in_the_context() {
    let code = Disassembly::of(&loops("(memory 1 10)"));
    let visit = code.function("visit");
    assert!(visit.fields().contains(&i64::from(visit.stack_limit)), "{visit}");
}

#[test]
fn context_fields_are_at_negative_offsets_from_the_same_register() {
    let code = Disassembly::of(
        r#"(module (memory 1 10)
             (global $a (mut i32) (i32.const 1)) (global $b (mut i64) (i64.const 2)) (global $c i32 (i32.const 77))
             (func $read (export "read") (result i64) (global.get $b))
             (func $write (export "write") (param i32) (global.set $a (local.get 0)))
             (func (export "write b") (param i64) (global.set $b (local.get 0)))
             (func $constant (export "constant") (result i32) (global.get $c))
             (func $size (export "size") (result i32) (drop (memory.grow (i32.const 1))) (memory.size)))"#,
    );
    for (name, index) in [("read", 1), ("write", 0)] {
        let function = code.function(name);
        let access = function.only_access();
        assert_eq!(access.memory_base(), CONTEXT, "{function}");
        assert_eq!(displacement(access), i64::from(code.layout.global(index)), "{function}");
        assert!(displacement(access) < 0);
    }
    let constant = code.function("constant");
    assert_eq!(constant.accesses().len(), 0, "a constant global is loaded:\n{constant}");
}

#[test]
fn the_size_of_a_fixed_memory_is_a_constant() {
    let code = Disassembly::of(
        r#"(module (memory 3 3) (func $size (export "size") (result i32) (memory.size))
             (func $fill (export "fill") (param i32) (memory.fill (local.get 0) (i32.const 0) (i32.const 8))))"#,
    );
    let size = code.function("size");
    assert_eq!(size.accesses().len(), 0, "{size}");
    let constant =
        |i: &Instruction| i.mnemonic() == Mnemonic::Mov && i.op1_kind() == OpKind::Immediate32 && i.immediate32() == 3;
    assert!(size.code.iter().any(constant), "{size}");
    let grown = Disassembly::of(
        r#"(module (memory 3 4) (func $size (export "size") (result i32) (memory.size))
             (func (export "grow") (result i32) (memory.grow (i32.const 1))))"#,
    );
    let size = grown.function("size");
    assert_eq!(size.fields_of_body().len(), 1, "{size}");
}

#[test]
fn a_call_inside_the_module_is_a_direct_one() {
    let code = Disassembly::of(
        r#"(module (func $callee (export "callee") (param i32 i32) (result i32) (i32.add (local.get 0) (local.get 1)))
             (func $caller (export "caller") (param i32) (result i32) (call $callee (local.get 0) (i32.const 7))))"#,
    );
    let (caller, callee) = (code.function("caller"), code.function("callee"));
    let calls: Vec<_> = caller.code.iter().filter(|i| i.mnemonic() == Mnemonic::Call).collect();
    assert_eq!(calls.len(), 1, "{caller}");
    assert_eq!(calls[0].code(), Code::Call_rel32_64, "{caller}");
    assert_eq!(calls[0].near_branch_target(), callee.code[0].ip(), "{caller}");
    // The context is passed on as it is, and there is only one.
    assert_eq!(caller.fields_of_body(), [] as [i64; 0], "{caller}");
    let written = |i: &&Instruction| i.op0_kind() == OpKind::Register && i.op0_register() == CONTEXT;
    let moved = caller.code.iter().filter(written).filter(|i| i.mnemonic() != Mnemonic::Push);
    assert_eq!(moved.count(), 0, "{caller}");
}

const INDIRECT: &str = r#"
    (type $binary (func (param i32 i32) (result i32)))
    (elem (table $table) (i32.const 0) func $add $sub)
    (func $add (type $binary) (i32.add (local.get 0) (local.get 1)))
    (func $sub (type $binary) (i32.sub (local.get 0) (local.get 1)))
    (func $choose (export "choose") (param i32) (result i32)
      (call_indirect $table (type $binary) (i32.const 1) (i32.const 2) (local.get 0)))"#;

#[test]
fn call_indirect_through_a_read_only_table_loads_no_base_and_no_context() {
    let code = Disassembly::of(&format!("(module (table $table 4 4 funcref) {INDIRECT})"));
    let choose = code.function("choose");
    assert_eq!(choose.fields_of_body(), [] as [i64; 0], "{choose}");
    let calls: Vec<_> = choose.code.iter().filter(|i| i.mnemonic() == Mnemonic::Call).collect();
    assert_eq!(calls.len(), 1, "{choose}");
    assert_eq!(calls[0].op0_kind(), OpKind::Register, "{choose}");
    // The bound is a constant, and the table is found from the code.
    let bound = |i: &Instruction| {
        i.mnemonic() == Mnemonic::Cmp && i.op1_kind() == OpKind::Immediate8to32 && i.immediate8() == 4
    };
    assert!(choose.code.iter().any(bound), "{choose}");
    assert!(choose.code.iter().any(Instruction::is_ip_rel_memory_operand), "{choose}");
    let written = |i: &&Instruction| i.op0_kind() == OpKind::Register && i.op0_register() == CONTEXT;
    assert_eq!(choose.code.iter().filter(written).count(), 0, "the context changes:\n{choose}");
}

/// The other side of the test above: a table that others can change.
#[test]
fn call_indirect_through_an_exported_table_reads_it_through_the_context() {
    let table = r#"(table $table (export "table") 4 8 funcref)"#;
    let code = Disassembly::of(&format!("(module {table} {INDIRECT})"));
    let choose = code.function("choose");
    let definition = i64::from(code.layout.table_def(0));
    for field in [vm_table_def::base, vm_table_def::length] {
        assert!(choose.fields_of_body().contains(&(definition + i64::from(field))), "{choose}");
    }
}

#[test]
fn on_arm64_an_i32_load_is_one_ldr_off_the_context_register() {
    let wat =
        br#"(module (memory 1 10) (func $load (export "load") (param i32) (result i32) (i32.load (local.get 0))))"#;
    let listing = wasmc::emit(wat, Emit::Asm, &options("aarch64-unknown-linux-gnu")).unwrap();
    let listing = String::from_utf8(listing).unwrap();
    let load: Vec<&str> =
        listing.lines().skip_while(|line| *line != ";; load").take_while(|line| !line.is_empty()).collect();
    let loads: Vec<_> = load.iter().filter(|line| line.trim().starts_with("ldr")).collect();
    assert_eq!(loads.len(), 1, "{load:#?}");
    assert!(loads[0].contains("[x2, w3, UXTW]"), "{load:#?}");
    assert!(!load.iter().any(|line| line.contains("cmp") || line.contains("subs")), "{load:#?}");
}
