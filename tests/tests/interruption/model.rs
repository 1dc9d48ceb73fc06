//! Fuel counted by an interpreter of programs that are made at random, which
//! knows nothing of how code counts.

use crate::guest::{FUEL, compile_with, engine, instance};
use std::fmt::Write;
use wasmc::{OptLevel, Options};
use wasmc_loader::Trap;
use wasmc_tests::rng::{Rng, rounds};

/// More than this nobody waits for.
const LIMIT: u64 = 200_000;

/// What programs consist of. Labels are counted from the innermost one.
enum Statement {
    /// Adds to a global: 4 operators.
    Work,
    Block(Vec<Statement>),
    /// A loop, with the number of times that it goes round by itself.
    Loop(u32, Vec<Statement>),
    If(Vec<Statement>, Option<Vec<Statement>>),
    Branch(u32),
    BranchIf(u32),
    BranchTable(Vec<u32>),
    /// Branches if a reference that is drawn is null.
    BranchNull(u32),
    /// Branches, from within a block, if one that is drawn is no number.
    BranchCast(u32),
    /// A function after this one.
    Call(usize, Way),
    /// The same in place of this one.
    TailCall(usize, Way),
    Return,
    Throw,
    /// A block that is left if anything in it throws.
    Try(Vec<Statement>),
    /// One that goes to a label outside then.
    TryTo(u32, Vec<Statement>),
}

/// How a function is called.
#[derive(Clone, Copy)]
enum Way {
    Direct,
    Table,
    Reference,
}

/// How control goes on after a statement.
#[derive(PartialEq, Eq)]
enum Flow {
    Next,
    Branch(u32),
    Return,
    /// With a call of this function, in nobody's `try_table`.
    Tail(usize),
    Throw,
    Exhausted,
}

const FUNCTIONS: usize = 4;

struct Maker<'a> {
    rng: &'a mut Rng,
    function: usize,
    left: u32,
}

impl Maker<'_> {
    fn body(&mut self, depth: u32) -> Vec<Statement> {
        let count = self.rng.below(5);
        (0..count).map(|_| self.statement(depth)).collect()
    }

    fn statement(&mut self, depth: u32) -> Statement {
        self.left = self.left.saturating_sub(1);
        let deep = self.left == 0 || depth > 6;
        // The function's own label is one more.
        let label = |rng: &mut Rng| rng.below(depth as usize + 1) as u32;
        match self.rng.below(if deep { 10 } else { 17 }) {
            0 | 1 => Statement::Work,
            2 => Statement::BranchIf(label(self.rng)),
            3 if self.rng.below(3) == 0 => Statement::Branch(label(self.rng)),
            4 => Statement::BranchTable((0..=self.rng.below(4)).map(|_| label(self.rng)).collect()),
            5 if self.function + 1 < FUNCTIONS => {
                let (callee, way) = self.callee();
                Statement::Call(callee, way)
            }
            6 if self.rng.below(4) == 0 => Statement::Return,
            7 if self.function + 1 < FUNCTIONS && self.rng.below(3) == 0 => {
                let (callee, way) = self.callee();
                Statement::TailCall(callee, way)
            }
            8 => Statement::BranchNull(label(self.rng)),
            9 => Statement::BranchCast(label(self.rng)),
            3..=7 => {
                if self.rng.below(5) == 0 {
                    Statement::Throw
                } else {
                    Statement::Work
                }
            }
            10 => Statement::Block(self.body(depth + 1)),
            11 | 12 => Statement::Loop(1 + self.rng.below(4) as u32, self.body(depth + 1)),
            // In a block of its own.
            13 => Statement::Try(self.body(depth + 2)),
            14 => Statement::TryTo(label(self.rng), self.body(depth + 1)),
            _ => {
                let then = self.body(depth + 1);
                Statement::If(then, (self.rng.below(2) == 0).then(|| self.body(depth + 1)))
            }
        }
    }
}

impl Maker<'_> {
    fn callee(&mut self) -> (usize, Way) {
        let callee = self.function + 1 + self.rng.below(FUNCTIONS - 1 - self.function);
        (callee, [Way::Direct, Way::Table, Way::Reference][self.rng.below(3)])
    }
}

impl Way {
    /// What an operator costs that calls so, and what it takes.
    fn cost(self) -> u64 {
        if matches!(self, Way::Direct) { 1 } else { 2 }
    }
}

/// Pushes a number below `below` that the program draws: 11 operators.
fn draw(below: usize) -> String {
    format!(
        "(global.set $r (i32.add (i32.mul (global.get $r) (i32.const 1103515245)) (i32.const 12345)))
        (i32.rem_u (i32.shr_u (global.get $r) (i32.const 16)) (i32.const {below}))"
    )
}

fn write(out: &mut String, body: &[Statement], locals: &mut u32) -> std::fmt::Result {
    for statement in body {
        match statement {
            Statement::Work => write!(out, "(global.set $g (i32.add (global.get $g) (i32.const 7)))")?,
            Statement::Block(body) => {
                out.push_str("(block ");
                write(out, body, locals)?;
                out.push(')');
            }
            Statement::Loop(times, body) => {
                let local = *locals;
                *locals += 1;
                write!(out, "(local.set {local} (i32.const {times})) (loop ")?;
                write(out, body, locals)?;
                write!(out, "(br_if 0 (local.tee {local} (i32.sub (local.get {local}) (i32.const 1)))))")?;
            }
            Statement::If(then, otherwise) => {
                write!(out, "{} (if (then ", draw(2))?;
                write(out, then, locals)?;
                out.push(')');
                if let Some(otherwise) = otherwise {
                    out.push_str("(else ");
                    write(out, otherwise, locals)?;
                    out.push(')');
                }
                out.push(')');
            }
            Statement::Branch(label) => write!(out, "(br {label})")?,
            Statement::BranchIf(label) => write!(out, "{} (br_if {label})", draw(2))?,
            Statement::BranchTable(labels) => {
                write!(out, "{} (br_table", draw(labels.len()))?;
                labels.iter().try_for_each(|label| write!(out, " {label}"))?;
                out.push(')');
            }
            Statement::BranchNull(label) => write!(out, "{} (table.get $refs) (drop (br_on_null {label}))", draw(2))?,
            Statement::BranchCast(label) => write!(
                out,
                "(block (result anyref) {} (table.get $objects) (br_on_cast 0 anyref (ref i31))
                    (drop) (br {})) (drop)",
                draw(2),
                label + 1
            )?,
            Statement::Call(function, way) => call(out, "call", *function, *way)?,
            Statement::TailCall(function, way) => call(out, "return_call", *function, *way)?,
            Statement::Return => out.push_str("(return)"),
            Statement::Throw => out.push_str("(throw $e)"),
            Statement::Try(body) => {
                out.push_str("(block (try_table (catch_all 0) ");
                write(out, body, locals)?;
                out.push_str("))");
            }
            Statement::TryTo(label, body) => {
                write!(out, "(try_table (catch_all {label}) ")?;
                write(out, body, locals)?;
                out.push(')');
            }
        }
    }
    Ok(())
}

fn call(out: &mut String, what: &str, function: usize, way: Way) -> std::fmt::Result {
    match way {
        Way::Direct => write!(out, "({what} $f{function})"),
        Way::Table => write!(out, "({what}_indirect (type $t) (i32.const {function}))"),
        Way::Reference => write!(out, "({what}_ref $t (ref.func $f{function}))"),
    }
}

/// The interpreter.
struct Model<'a> {
    functions: &'a [Vec<Statement>],
    state: u32,
    sum: u32,
    count: u64,
}

impl Model<'_> {
    fn draw(&mut self, below: usize) -> usize {
        self.count += 11;
        self.state = self.state.wrapping_mul(1_103_515_245).wrapping_add(12345);
        (self.state >> 16) as usize % below
    }

    fn run(&mut self, body: &[Statement]) -> Flow {
        for statement in body {
            let flow = self.step(statement);
            if self.count > LIMIT {
                return Flow::Exhausted;
            }
            if flow != Flow::Next {
                return flow;
            }
        }
        Flow::Next
    }

    /// Runs what has a label of its own, to which a branch leaves it.
    fn labelled(&mut self, body: &[Statement]) -> Flow {
        match self.run(body) {
            Flow::Branch(0) => Flow::Next,
            Flow::Branch(label) => Flow::Branch(label - 1),
            flow => flow,
        }
    }

    fn step(&mut self, statement: &Statement) -> Flow {
        match statement {
            Statement::Work => {
                self.count += 4;
                self.sum = self.sum.wrapping_add(7);
            }
            Statement::Block(body) => return self.labelled(body),
            Statement::Loop(times, body) => return self.repeat(*times, body),
            Statement::If(then, otherwise) => {
                let taken = self.draw(2) != 0;
                self.count += 1;
                return match (taken, otherwise) {
                    (true, _) => self.labelled(then),
                    (false, Some(otherwise)) => self.labelled(otherwise),
                    (false, None) => Flow::Next,
                };
            }
            Statement::Branch(label) => {
                self.count += 1;
                return Flow::Branch(*label);
            }
            Statement::BranchIf(label) => {
                let taken = self.draw(2) != 0;
                self.count += 1;
                return if taken { Flow::Branch(*label) } else { Flow::Next };
            }
            Statement::BranchTable(labels) => {
                let index = self.draw(labels.len());
                self.count += 1;
                return Flow::Branch(labels[index]);
            }
            Statement::BranchNull(label) => {
                let null = self.draw(2) == 0;
                self.count += 2;
                return if null { Flow::Branch(*label) } else { Flow::Next };
            }
            Statement::BranchCast(label) => {
                let number = self.draw(2) == 1;
                self.count += 2 + u64::from(!number);
                return if number { Flow::Next } else { Flow::Branch(*label) };
            }
            Statement::Call(function, way) => {
                self.count += way.cost();
                return match self.call(*function) {
                    flow @ (Flow::Throw | Flow::Exhausted) => flow,
                    _ => Flow::Next,
                };
            }
            Statement::TailCall(function, way) => {
                self.count += way.cost();
                return Flow::Tail(*function);
            }
            Statement::TryTo(label, body) => {
                self.count += 1;
                return match self.labelled(body) {
                    Flow::Throw => Flow::Branch(*label),
                    flow => flow,
                };
            }
            Statement::Return => return Flow::Return,
            Statement::Throw => {
                self.count += 1;
                return Flow::Throw;
            }
            Statement::Try(body) => {
                self.count += 1;
                // Two labels: that of the `try_table`, and that of the block
                // around it.
                return match self.labelled(body) {
                    Flow::Throw | Flow::Branch(0) => Flow::Next,
                    Flow::Branch(label) => Flow::Branch(label - 1),
                    flow => flow,
                };
            }
        }
        Flow::Next
    }

    fn repeat(&mut self, times: u32, body: &[Statement]) -> Flow {
        self.count += 2;
        let mut left = times;
        loop {
            match self.run(body) {
                Flow::Next => {
                    self.count += 5;
                    left = left.wrapping_sub(1);
                    if left == 0 {
                        return Flow::Next;
                    }
                }
                Flow::Branch(0) => {}
                Flow::Branch(label) => return Flow::Branch(label - 1),
                flow => return flow,
            }
            if self.count > LIMIT {
                return Flow::Exhausted;
            }
        }
    }

    fn call(&mut self, function: usize) -> Flow {
        self.count += 1;
        match self.labelled(&self.functions[function]) {
            Flow::Return => Flow::Next,
            Flow::Tail(function) => self.call(function),
            flow => flow,
        }
    }
}

fn text(functions: &[Vec<Statement>]) -> String {
    let mut text = String::from(
        "(module (type $t (func)) (tag $e) (global $g (export \"g\") (mut i32) (i32.const 0))
        (global $r (mut i32) (i32.const 1)) (table 4 4 funcref) (elem (i32.const 0) $f0 $f1 $f2 $f3)
        (table $refs 2 2 funcref) (elem (table $refs) (i32.const 1) func $f0)
        (table $objects 2 2 anyref) (elem (table $objects) (i32.const 1) anyref (ref.i31 (i32.const 1)))\n",
    );
    for (i, body) in functions.iter().enumerate() {
        let (mut code, mut locals) = (String::new(), 0);
        write(&mut code, body, &mut locals).unwrap();
        writeln!(text, "(func $f{i} (local{}) {code})", " i32".repeat(locals as usize)).unwrap();
    }
    text + "(export \"run\" (func $f0)))"
}

#[test]
fn programs_use_as_much_fuel_as_an_interpreter_counts() {
    let engine = engine(FUEL);

    let (mut ended, mut exhausted) = (0, 0);
    for seed in 0..rounds(150) as u64 {
        let mut rng = Rng::new(seed);
        let functions: Vec<Vec<Statement>> = (0..FUNCTIONS)
            .map(|function| {
                let mut maker = Maker { rng: &mut rng, function, left: 30 };
                (0..4).map(|_| maker.statement(0)).collect()
            })
            .collect();
        let mut model = Model { functions: &functions, state: 1, sum: 0, count: 0 };
        let flow = model.call(0);
        let text = text(&functions);
        for opt_level in [OptLevel::None, OptLevel::Speed] {
            let what = format!("seed {seed}, {opt_level:?}\n{text}");
            let artifact = compile_with(&text, Options { fuel: true, opt_level, verify: true, ..Options::new() });
            let (mut store, instance) = instance(&engine, FUEL, &artifact);
            if flow == Flow::Exhausted {
                store.set_fuel(LIMIT).unwrap();
                let error = crate::guest::call(&mut store, instance, "run").expect_err(&what);
                assert_eq!(error.downcast_ref(), Some(&Trap::OutOfFuel), "{what}");
                exhausted += 1;
                continue;
            }
            // As much as is needed is enough, and no more is left.
            store.set_fuel(model.count).unwrap();
            let result = crate::guest::call(&mut store, instance, "run");
            assert_eq!(result.is_err(), flow == Flow::Throw, "{what}");
            assert_eq!(store.get_fuel().unwrap(), 0, "{what}");
            let sum = instance.get_global(&mut store, "g").unwrap().get(&mut store).i32().unwrap();
            assert_eq!(sum as u32, model.sum, "{what}");
            ended += 1;
            instance.reset(&mut store).unwrap();
            store.set_fuel(model.count - 1).unwrap();
            let result = crate::guest::call(&mut store, instance, "run");
            if flow != Flow::Throw {
                assert_eq!(result.expect_err(&what).downcast_ref(), Some(&Trap::OutOfFuel), "{what}");
            }
        }
    }
    assert!(ended > 100 && exhausted > 0, "{ended} ended, {exhausted} did not");
}
