//! Which functions call which, and where code must look whether it is to stop.
//!
//! Code that goes on for long either stays in a loop, where it looks each time
//! round, or calls functions. It need not look in every function for that: there
//! must be one in each cycle of calls, and one wherever calls add up to much work
//! without any cycle. Calls through tables and references count as calls of all
//! functions that they can reach; and what is not the module's own can call
//! everything that is visible outside. A function that is to look need not do so
//! unless it calls, for else its own operators are all that it executes.

use super::TableFact;
use crate::parse::ParsedModule;
use crate::types::{TypeIndex, Types};
use std::collections::BTreeMap;
use wasmparser::Operator;

/// Operators that may be executed in calls one after the other, loops aside,
/// before code looks again.
const UNWATCHED: u64 = 4000;

/// What a body calls.
#[derive(Debug, Clone, Default)]
pub(super) struct BodyCalls {
    /// The number of its operators.
    operators: u64,
    /// Functions that it calls, as often as it does.
    direct: Vec<u32>,
    /// Tables, and the types of functions there that it calls.
    indirect: Vec<(u32, TypeIndex)>,
    /// Types of functions that it calls by reference.
    references: Vec<TypeIndex>,
    /// Whether it throws exceptions.
    throws: bool,
    /// Its loops, in the order in which they begin.
    loops: Vec<LoopFact>,
    /// What is open: the numbers of loops, and other blocks.
    open: Vec<Option<usize>>,
}

/// What is known of a loop.
#[derive(Debug, Clone, Copy, Default)]
pub struct LoopFact {
    /// The number of operators in it.
    pub operators: u32,
    /// Whether there is another loop in it.
    pub nests: bool,
    /// Whether anything in it calls or throws, or does work in bulk.
    pub leaves: bool,
}

impl BodyCalls {
    /// Takes note of an operator.
    pub(super) fn note(&mut self, op: &Operator<'_>, types: &Types) {
        self.operators += 1;
        self.note_loops(op);
        match *op {
            Operator::Call { function_index } | Operator::ReturnCall { function_index } => {
                self.direct.push(function_index);
            }
            Operator::CallIndirect { type_index, table_index }
            | Operator::ReturnCallIndirect { type_index, table_index } => {
                self.indirect.extend(types.index(type_index).map(|ty| (table_index, ty)));
            }
            Operator::CallRef { type_index } | Operator::ReturnCallRef { type_index } => {
                self.references.extend(types.index(type_index));
            }
            Operator::Throw { .. } | Operator::ThrowRef | Operator::Rethrow { .. } => self.throws = true,
            _ => {}
        }
    }
}

impl BodyCalls {
    fn note_loops(&mut self, op: &Operator<'_>) {
        let leaves = leaves(op);
        for number in self.open.iter().flatten() {
            let fact = &mut self.loops[*number];
            fact.operators = fact.operators.saturating_add(1);
            fact.leaves |= leaves;
            fact.nests |= matches!(op, Operator::Loop { .. });
        }
        match op {
            Operator::Loop { .. } => {
                self.open.push(Some(self.loops.len()));
                self.loops.push(LoopFact::default());
            }
            Operator::Block { .. } | Operator::If { .. } | Operator::TryTable { .. } | Operator::Try { .. } => {
                self.open.push(None);
            }
            Operator::End | Operator::Delegate { .. } => {
                self.open.pop();
            }
            _ => {}
        }
    }
}

/// Whether an operator calls, throws, waits, or does work in bulk.
fn leaves(op: &Operator<'_>) -> bool {
    matches!(
        op,
        Operator::Call { .. }
            | Operator::ReturnCall { .. }
            | Operator::CallIndirect { .. }
            | Operator::ReturnCallIndirect { .. }
            | Operator::CallRef { .. }
            | Operator::ReturnCallRef { .. }
            | Operator::Throw { .. }
            | Operator::ThrowRef
            | Operator::Rethrow { .. }
            | Operator::MemoryAtomicWait32 { .. }
            | Operator::MemoryAtomicWait64 { .. }
            | Operator::MemoryFill { .. }
            | Operator::MemoryCopy { .. }
            | Operator::MemoryInit { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::TableGrow { .. }
            | Operator::ArrayNew { .. }
            | Operator::ArrayNewDefault { .. }
            | Operator::ArrayNewData { .. }
            | Operator::ArrayNewElem { .. }
            | Operator::ArrayFill { .. }
            | Operator::ArrayCopy { .. }
            | Operator::ArrayInitData { .. }
            | Operator::ArrayInitElem { .. }
    )
}

/// Where a function looks, loops aside.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Watch {
    /// Nowhere.
    No,
    /// Before it calls anything.
    Calls,
    /// Where it is entered: it does much by itself.
    Entry,
}

/// Where functions look, and what can be said of calls of them.
#[derive(Debug, Default)]
pub struct CallFacts {
    /// For each defined function where it looks.
    pub watched: Vec<Watch>,
    /// For each defined function whether all that is called from it is defined in
    /// this module, and nothing throws.
    pub closed: Vec<bool>,
    /// For each defined function its loops, in the order in which they begin.
    pub loops: Vec<Vec<LoopFact>>,
}

/// A node of the call graph: a function, or all that one kind of indirect call
/// can reach.
type Node = u32;

/// What is called indirectly: a table or, without one, any function reference.
type Class = (Option<u32>, TypeIndex);

struct Graph {
    functions: usize,
    operators: Vec<u64>,
    edges: Vec<Vec<Node>>,
    /// Whether a node calls what is not the module's own.
    leaves: Vec<bool>,
}

/// Finds the facts. `tables` and `table_init` are what is known of tables,
/// `visible` the functions that can be values or are exported.
pub(super) fn facts(
    module: &ParsedModule<'_>,
    mut bodies: Vec<BodyCalls>,
    tables: (&[TableFact], &[Vec<Option<u32>>]),
    visible: &[u32],
) -> CallFacts {
    let graph = Graph::new(module, &bodies, tables, visible);
    let outside = graph.reaching(graph.leaves.clone());
    let throwing = (0..graph.edges.len()).map(|node| bodies.get(node).is_some_and(|body| body.throws));
    let open = graph.reaching(throwing.zip(&graph.leaves).map(|(throws, leaves)| throws || *leaves).collect());
    let mut watched = vec![false; graph.functions];
    for function in visible {
        let node = (function - module.imported_functions) as usize;
        watched[node] = outside[node];
    }
    graph.watch(&mut watched);
    let watched = watched.into_iter().zip(&graph.operators);
    let watched = watched.map(|(watched, operators)| match watched {
        false => Watch::No,
        true if *operators > UNWATCHED => Watch::Entry,
        true => Watch::Calls,
    });
    let watched = watched.collect();
    let closed = open[..graph.functions].iter().map(|open| !open).collect();
    let loops = bodies.iter_mut().map(|body| std::mem::take(&mut body.loops)).collect();
    CallFacts { watched, closed, loops }
}

impl Graph {
    fn new(
        module: &ParsedModule<'_>,
        bodies: &[BodyCalls],
        tables: (&[TableFact], &[Vec<Option<u32>>]),
        visible: &[u32],
    ) -> Graph {
        let mut graph = Graph {
            functions: bodies.len(),
            operators: bodies.iter().map(|body| body.operators).collect(),
            edges: vec![Vec::new(); bodies.len()],
            leaves: vec![false; bodies.len()],
        };
        let mut classes: BTreeMap<Class, Node> = BTreeMap::new();
        for (node, body) in bodies.iter().enumerate() {
            for function in &body.direct {
                graph.call(module, node, *function);
            }
            let references = body.references.iter().map(|ty| (None, *ty));
            for class in body.indirect.iter().map(|(table, ty)| (Some(*table), *ty)).chain(references) {
                let next = (graph.functions + classes.len()) as Node;
                graph.edges[node].push(*classes.entry(class).or_insert(next));
            }
        }
        graph.edges.resize(graph.functions + classes.len(), Vec::new());
        graph.leaves.resize(graph.edges.len(), false);
        for ((table, ty), node) in classes {
            graph.fill(module, node as usize, table, ty, tables, visible);
        }
        graph
    }

    fn call(&mut self, module: &ParsedModule<'_>, node: usize, function: u32) {
        match function.checked_sub(module.imported_functions) {
            Some(defined) => self.edges[node].push(defined),
            None => self.leaves[node] = true,
        }
    }

    /// Connects a kind of indirect call with what it can reach.
    fn fill(
        &mut self,
        module: &ParsedModule<'_>,
        node: usize,
        table: Option<u32>,
        ty: TypeIndex,
        (tables, table_init): (&[TableFact], &[Vec<Option<u32>>]),
        visible: &[u32],
    ) {
        // Of an open type, functions of subtypes can be called as well.
        let open = !module.types.get(ty).ty.is_final;
        let fits = |function: &u32| open || module.functions[*function as usize] == ty;
        let own = table.map(|table| table as usize).filter(|table| tables[*table] == TableFact::ReadOnly);
        let known = own.map(|table| table_init[table].iter().flatten());
        self.leaves[node] = known.is_none();
        let functions: Vec<u32> = match known {
            Some(known) => known.copied().filter(fits).collect(),
            None => visible.iter().copied().filter(fits).collect(),
        };
        for function in functions {
            self.call(module, node, function);
        }
        self.edges[node].sort_unstable();
        self.edges[node].dedup();
    }

    /// The nodes from which calls get to those that are given.
    fn reaching(&self, mut found: Vec<bool>) -> Vec<bool> {
        let mut callers: Vec<Vec<Node>> = vec![Vec::new(); self.edges.len()];
        for (node, callees) in self.edges.iter().enumerate() {
            for callee in callees {
                callers[*callee as usize].push(node as Node);
            }
        }
        let mut open: Vec<usize> = (0..found.len()).filter(|node| found[*node]).collect();
        while let Some(node) = open.pop() {
            for caller in &callers[node] {
                if !std::mem::replace(&mut found[*caller as usize], true) {
                    open.push(*caller as usize);
                }
            }
        }
        found
    }

    /// Adds functions to those that are `watched`, until none is left that can
    /// call itself, or do much, without one of them.
    fn watch(&self, watched: &mut [bool]) {
        #[derive(Clone, Copy, PartialEq)]
        enum State {
            New,
            Open,
            Done,
        }
        let mut states = vec![State::New; self.edges.len()];
        // Operators that a call executes at most before code looks.
        let mut work = vec![0_u64; self.edges.len()];
        for root in 0..self.functions {
            if states[root] != State::New {
                continue;
            }
            states[root] = State::Open;
            let mut path = vec![(root, 0)];
            while let Some((node, next)) = path.last_mut() {
                let (node, callee) = (*node, self.edges[*node].get(*next).map(|callee| *callee as usize));
                *next += 1;
                match callee.map(|callee| (callee, states[callee])) {
                    Some((callee, State::New)) => {
                        states[callee] = State::Open;
                        path.push((callee, 0));
                    }
                    // A cycle. What is called indirectly cannot look, but who
                    // calls so can.
                    Some((callee, State::Open)) => watched[if callee < self.functions { callee } else { node }] = true,
                    Some((_, State::Done)) => {}
                    None => {
                        states[node] = State::Done;
                        work[node] = self.work(node, &work, watched);
                        if node < self.functions && work[node] > UNWATCHED {
                            watched[node] = true;
                        }
                        path.pop();
                    }
                }
            }
        }
    }

    fn work(&self, node: usize, work: &[u64], watched: &[bool]) -> u64 {
        let unwatched = self.edges[node].iter().map(|callee| match *callee as usize {
            callee if !watched.get(callee).copied().unwrap_or(false) => work[callee],
            // It looks where it is entered, or else before it calls.
            callee if self.operators[callee] > UNWATCHED => 0,
            callee => self.operators[callee],
        });
        match self.operators.get(node) {
            Some(operators) => unwatched.fold(*operators, u64::saturating_add),
            None => unwatched.max().unwrap_or(0),
        }
    }
}
