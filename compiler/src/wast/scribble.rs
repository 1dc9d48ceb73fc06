//! Changes to an instance that a reset has to undo.

use wasmc_loader::{
    AnyRef, Error, Extern, ExternRef, ExternType, Func, Global, I31, Instance, Memory, Module, Mutability, Ref, Store,
    Table, Val, ValType,
};

/// Bytes written at each end of a memory.
const EDGE: usize = 1 << 20;

/// Elements written at each end of a table.
const ELEMENTS: u64 = 64;

/// Changes everything that the instance lets the host change and that is its
/// own. What it shares with others stays: a reset does not undo that.
pub(super) fn scribble(store: &mut Store<()>, module: &Module, instance: Instance) -> Result<(), Error> {
    let imports: Vec<ExternType> = module.imports().map(|import| import.ty()).collect();
    // An export can be something imported; that is not looked into further.
    let own = |ty: fn(&ExternType) -> bool| !imports.iter().any(ty);
    let (own_memories, own_tables) = (own(|ty| ty.memory().is_some()), own(|ty| ty.table().is_some()));
    let own_globals = own(|ty| ty.global().is_some());
    let names: Vec<String> = module.exports().map(|export| export.name().to_owned()).collect();
    let functions: Vec<Func> = names.iter().filter_map(|name| instance.get_func(&mut *store, name)).collect();
    for name in &names {
        match instance.get_export(&mut *store, name) {
            Some(Extern::Memory(memory)) if own_memories => change_memory(store, memory),
            Some(Extern::SharedMemory(memory)) if own_memories => drop(memory.grow(1)),
            Some(Extern::Table(table)) if own_tables => change_table(store, table, &functions)?,
            Some(Extern::Global(global)) if own_globals => change_global(store, global, &functions)?,
            _ => {}
        }
    }
    Ok(())
}

fn change_memory(store: &mut Store<()>, memory: Memory) {
    // It may be as large as it can be already.
    let _ = memory.grow(&mut *store, 1);
    let bytes = memory.data_mut(store);
    let (length, edge) = (bytes.len(), bytes.len().min(EDGE));
    bytes[..edge].fill(0xa5);
    bytes[length - edge..].fill(0x5a);
}

fn change_table(store: &mut Store<()>, table: Table, functions: &[Func]) -> Result<(), Error> {
    let element = table.ty(&*store).element();
    for value in references(store, element, functions)? {
        // Those that are of another type are refused.
        let length = table.size(&*store);
        if table.fill(&mut *store, 0, value, length.min(ELEMENTS)).is_ok() {
            let _ = table.grow(&mut *store, 1, value);
            let length = table.size(&*store);
            let edge = length.min(ELEMENTS);
            return table.fill(store, length - edge, value, edge);
        }
    }
    Ok(())
}

fn change_global(store: &mut Store<()>, global: Global, functions: &[Func]) -> Result<(), Error> {
    let ty = global.ty(&*store);
    if ty.mutability() == Mutability::Const {
        return Ok(());
    }
    let value = match global.get(&mut *store) {
        Val::I32(x) => Val::I32(!x),
        Val::I64(x) => Val::I64(!x),
        Val::F32(x) => Val::F32(!x),
        Val::F64(x) => Val::F64(!x),
        Val::V128(x) => Val::V128((!x.as_u128()).into()),
        Val::FuncRef(_) | Val::ExternRef(_) | Val::AnyRef(_) | Val::ExnRef(_) => {
            let mut values = references(store, *ty.content(), functions)?.into_iter();
            values.any(|value| global.set(&mut *store, value.into()).is_ok());
            return Ok(());
        }
    };
    global.set(store, value)
}

/// References of which one may be of type `ty`, null last.
fn references(store: &mut Store<()>, ty: ValType, functions: &[Func]) -> Result<Vec<Ref>, Error> {
    let Some(ty) = ty.as_ref() else { return Ok(Vec::new()) };
    let null = Ref::null(&ty.heap);
    let mut values: Vec<Ref> = match null {
        Ref::Func(_) => functions.iter().map(|function| (*function).into()).collect(),
        Ref::Extern(_) => vec![ExternRef::new(&mut *store, "scribble")?.into()],
        Ref::Any(_) => vec![AnyRef::from_i31(&mut *store, I31::wrapping_u32(0x5a5a)).into()],
        Ref::Exn(_) => Vec::new(),
    };
    values.push(null);
    Ok(values)
}
