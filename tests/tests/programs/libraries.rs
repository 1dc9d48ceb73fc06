//! Libraries: calls of their exports, with what has to come back.

use crate::build;
use serde_json::Value;
use sha2::{Digest, Sha256};
use std::collections::HashMap;
use std::fs;
use std::path::Path;
use wasmc_loader::{Engine, Instance, Linker, Memory, Store, Val, ValType};

/// Runs the script of the library in `folder`.
pub(crate) fn run(engine: &Engine, folder: &Path) -> Result<(), String> {
    let text = fs::read_to_string(folder.join("calls.json")).map_err(|e| e.to_string())?;
    let script: Value = serde_json::from_str(&text).map_err(|e| e.to_string())?;
    let module = build::load(engine, &folder.join(script["module"].as_str().unwrap_or_default()))?;
    let mut store = Store::new(engine, ());
    let instance = Linker::new(engine).instantiate(&mut store, &module).map_err(|e| format!("{e:#}"))?;
    let mut library = Library { store, instance, saved: HashMap::new() };
    if let Some(name) = script["init"].as_str() {
        library.call(name, &[])?;
    }
    let calls = script["calls"].as_array().map(Vec::as_slice).unwrap_or_default();
    let ops = script["ops"].as_array().map(Vec::as_slice).unwrap_or_default();
    if calls.is_empty() && ops.is_empty() {
        return Err("its script has no calls".to_owned());
    }
    for call in calls {
        library.expect(call["export"].as_str().unwrap_or_default(), call)?;
    }
    for op in ops {
        library.op(op).map_err(|problem| format!("{op}: {problem}"))?;
    }
    Ok(())
}

struct Library {
    store: Store<()>,
    instance: Instance,
    /// Results that later operations refer to as `$name`.
    saved: HashMap<String, i64>,
}

impl Library {
    /// A number, or a saved one.
    fn number(&self, value: &Value) -> Result<i64, String> {
        let saved = |name: &str| self.saved.get(name.strip_prefix('$')?).copied();
        let number = value.as_i64().or_else(|| value.as_f64().map(|float| float as i64));
        number.or_else(|| saved(value.as_str()?)).ok_or_else(|| format!("{value} is no number"))
    }

    /// Calls an export; its result as a number, 0 if there is none.
    fn call(&mut self, name: &str, args: &[Value]) -> Result<i64, String> {
        let func = self.instance.get_func(&mut self.store, name).ok_or_else(|| format!("there is no export {name}"))?;
        let ty = func.ty(&self.store);
        let mut values = Vec::new();
        for (ty, arg) in ty.params().iter().zip(args) {
            values.push(match ty {
                ValType::I32 => Val::I32(self.number(arg)? as i32),
                ValType::I64 => Val::I64(self.number(arg)?),
                ValType::F64 => Val::from(arg.as_f64().unwrap_or_default()),
                other => return Err(format!("{name} has a parameter of type {other}")),
            });
        }
        let mut results: Vec<Val> = ty.results().iter().map(|ty| Val::default_for_ty(ty).unwrap()).collect();
        func.call(&mut self.store, &values, &mut results).map_err(|e| format!("{name}: {e:#}"))?;
        Ok(match results.first().copied() {
            Some(Val::I32(value)) => i64::from(value),
            Some(Val::I64(value)) => value,
            _ => 0,
        })
    }

    /// Calls, compares, and saves.
    fn expect(&mut self, name: &str, call: &Value) -> Result<(), String> {
        let found = self.call(name, call["args"].as_array().map(Vec::as_slice).unwrap_or_default())?;
        if let Some(expected) = call["result"].as_i64()
            && found != expected
            && found != i64::from(expected as i32)
        {
            return Err(format!("{name} returns {found} instead of {expected}"));
        }
        if let Some(name) = call["save"].as_str() {
            self.saved.insert(name.to_owned(), found);
        }
        Ok(())
    }

    fn op(&mut self, op: &Value) -> Result<(), String> {
        match op["op"].as_str().unwrap_or_default() {
            "call" => self.expect(op["f"].as_str().unwrap_or_default(), op),
            "write" => {
                let at = self.number(&op["at"])? as u32 as usize;
                let memory = self.memory()?;
                let text = op["text"].as_str().unwrap_or_default();
                memory.write(&mut self.store, at, text.as_bytes()).map_err(|e| e.to_string())
            }
            "load32" => {
                let bytes = self.read(self.number(&op["at"])?, 4)?;
                let found = i64::from(u32::from_le_bytes(bytes.try_into().unwrap_or_default()));
                self.saved.insert(op["save"].as_str().unwrap_or_default().to_owned(), found);
                Ok(())
            }
            "read" => {
                let bytes = self.read(self.number(&op["at"])?, self.number(&op["len"])?)?;
                let found: String = Sha256::digest(&bytes).iter().map(|byte| format!("{byte:02x}")).collect();
                if op["sha256"].as_str() == Some(&found) {
                    return Ok(());
                }
                Err(format!("other bytes: {}", String::from_utf8_lossy(&bytes)))
            }
            other => Err(format!("`{other}` is no operation that this test knows")),
        }
    }

    fn memory(&mut self) -> Result<Memory, String> {
        self.instance.get_memory(&mut self.store, "memory").ok_or_else(|| "it exports no memory".to_owned())
    }

    fn read(&mut self, at: i64, length: i64) -> Result<Vec<u8>, String> {
        let memory = self.memory()?;
        let mut bytes = vec![0; length as u32 as usize];
        memory.read(&self.store, at as u32 as usize, &mut bytes).map_err(|e| e.to_string())?;
        Ok(bytes)
    }
}
