//! All that a host can see of an instance.

use std::collections::BTreeMap;
use wasmc_loader::{Func, Instance, Ref, Store, Val};

/// The exports of an instance, with what they contain.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct State {
    globals: BTreeMap<String, String>,
    memories: BTreeMap<String, Vec<u8>>,
    tables: BTreeMap<String, Vec<String>>,
}

/// A function by the names that it is exported with; it has no other name that
/// is the same in every store.
fn function<T>(store: &mut Store<T>, instance: Instance, func: Option<Func>, names: &[String]) -> String {
    let Some(func) = func else { return "null".to_owned() };
    let itself = format!("{func:?}");
    let is_it =
        |name: &&String| instance.get_func(&mut *store, name).is_some_and(|export| format!("{export:?}") == itself);
    let found: Vec<&String> = names.iter().filter(is_it).collect();
    let ty = func.ty(&*store);
    if found.is_empty() { format!("some {ty}") } else { format!("{found:?}") }
}

fn value<T>(store: &mut Store<T>, instance: Instance, value: Val, names: &[String]) -> String {
    match value {
        Val::F32(bits) => format!("f32 {bits:#x}"),
        Val::F64(bits) => format!("f64 {bits:#x}"),
        Val::FuncRef(func) => function(store, instance, func, names),
        Val::ExternRef(None) => "null".to_owned(),
        Val::ExternRef(Some(value)) => {
            format!("{:?}", value.data(&*store).unwrap().and_then(|value| value.downcast_ref::<u32>()))
        }
        other => format!("{other:?}"),
    }
}

fn element(value: Ref) -> Val {
    value.into()
}

impl State {
    /// What is to be seen of an instance now. Reads every byte.
    pub fn of<T: 'static>(store: &mut Store<T>, instance: Instance) -> State {
        let mut state = State::default();
        let names: Vec<String> = instance.module(&*store).exports().map(|export| export.name().to_owned()).collect();
        for name in &names {
            if let Some(global) = instance.get_global(&mut *store, name) {
                let found = global.get(&mut *store);
                state.globals.insert(name.clone(), value(store, instance, found, &names));
            } else if let Some(memory) = instance.get_memory(&mut *store, name) {
                state.memories.insert(name.clone(), memory.data(&*store).to_vec());
            } else if let Some(table) = instance.get_table(&mut *store, name) {
                let size = table.size(&*store);
                let elements = (0..size).map(|index| {
                    let found = table.get(&mut *store, index).expect("the table has so many elements");
                    value(store, instance, element(found), &names)
                });
                state.tables.insert(name.clone(), elements.collect());
            }
        }
        state
    }

    /// The first difference from what is expected, in words.
    pub fn difference(&self, expected: &State) -> Option<String> {
        if self.globals != expected.globals {
            return Some(format!("globals are {:?} instead of {:?}", self.globals, expected.globals));
        }
        for (name, table) in &expected.tables {
            let found = self.tables.get(name).map(Vec::as_slice).unwrap_or_default();
            if found.len() != table.len() {
                return Some(format!("table {name:?} has {} elements instead of {}", found.len(), table.len()));
            }
            if let Some(at) = found.iter().zip(table).position(|(found, expected)| found != expected) {
                return Some(format!("element {at} of table {name:?} is {} instead of {}", found[at], table[at]));
            }
        }
        for (name, memory) in &expected.memories {
            let found = self.memories.get(name).map(Vec::as_slice).unwrap_or_default();
            if found.len() != memory.len() {
                return Some(format!("memory {name:?} has {} bytes instead of {}", found.len(), memory.len()));
            }
            if found != &memory[..] {
                let at = found.iter().zip(memory).position(|(found, expected)| found != expected).unwrap_or_default();
                return Some(format!(
                    "byte {at:#x} of memory {name:?} is {:#x} instead of {:#x}",
                    found[at], memory[at]
                ));
            }
        }
        (self != expected).then(|| "there is something else exported".to_owned())
    }
}

#[test]
fn a_difference_of_any_kind_is_told() {
    let state = || {
        let text = |name: &str, value: &str| (name.to_owned(), value.to_owned());
        State {
            globals: [text("g", "1")].into(),
            memories: [("m".to_owned(), vec![1, 2])].into(),
            tables: [("t".to_owned(), vec!["null".to_owned(), "f".to_owned()])].into(),
        }
    };
    assert_eq!(state().difference(&state()), None);
    let changes: [fn(&mut State); 7] = [
        |state| drop(state.globals.insert("g".to_owned(), "2".to_owned())),
        |state| state.globals.clear(),
        |state| state.memories.get_mut("m").unwrap()[1] = 3,
        |state| state.memories.get_mut("m").unwrap().push(0),
        |state| drop(state.memories.insert("n".to_owned(), Vec::new())),
        |state| state.tables.get_mut("t").unwrap().swap(0, 1),
        |state| drop(state.tables.get_mut("t").unwrap().pop()),
    ];
    for change in changes {
        let mut other = state();
        change(&mut other);
        assert!(other.difference(&state()).is_some() && state().difference(&other).is_some());
    }
}
