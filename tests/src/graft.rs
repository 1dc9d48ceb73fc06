//! Functions grafted onto a real program: its own are called in another order,
//! and by the host. The rest of the program stays as it is, byte by byte.

use std::collections::HashMap;
use std::ops::Range;
use wasmparser::{KnownCustom, Name, Parser, Payload};

/// The numbers of the sections that are added to.
const TYPES: u8 = 1;
const FUNCTIONS: u8 = 3;
const EXPORTS: u8 = 7;
const CODE: u8 = 10;
const DATA: u8 = 11;
const DATA_COUNT: u8 = 12;

/// `i32` in a type.
const I32: u8 = 0x7f;

/// An instruction of a function that is added, or several.
pub enum Op<'a> {
    /// Calls the program's function of this name.
    Call(&'a str),
    /// A number.
    Const(i32),
    /// An argument.
    Arg(u32),
    /// What is at the address on the stack.
    Load,
    /// Puts a number where the address below it says.
    Store,
    /// Puts two numbers' bits together.
    Or,
    /// Forgets a value.
    Drop,
}

/// A program with what is added to it.
pub struct Graft<'a> {
    wasm: &'a [u8],
    /// Sections by number and content, custom ones left out.
    sections: Vec<(u8, Range<usize>)>,
    names: HashMap<&'a str, u32>,
    functions: u32,
    /// By number of the section: how many entries are added, and their bytes.
    added: HashMap<u8, (u32, Vec<u8>)>,
    types: u32,
}

impl<'a> Graft<'a> {
    /// A program that says what its functions are called.
    ///
    /// # Panics
    /// If it is no module.
    pub fn new(wasm: &'a [u8]) -> Graft<'a> {
        let mut graft =
            Graft { wasm, sections: Vec::new(), names: HashMap::new(), functions: 0, added: HashMap::new(), types: 0 };
        for payload in Parser::new(0).parse_all(wasm) {
            let payload = payload.expect("a valid module");
            if let Some((id, range)) = payload.as_section().filter(|(id, _)| *id != 0) {
                graft.sections.push((id, range.start as usize..range.end as usize));
            }
            match payload {
                Payload::TypeSection(types) => graft.types = types.count(),
                Payload::ImportSection(imports) => {
                    let imports = imports.into_imports().map(|import| import.expect("an import"));
                    graft.functions +=
                        imports.filter(|import| matches!(import.ty, wasmparser::TypeRef::Func(_))).count() as u32;
                }
                Payload::FunctionSection(functions) => graft.functions += functions.count(),
                Payload::CustomSection(section) => {
                    let KnownCustom::Name(names) = section.as_known() else { continue };
                    for names in names {
                        let Ok(Name::Function(names)) = names else { continue };
                        let names = names.into_iter().map(|naming| naming.expect("a name"));
                        graft.names.extend(names.map(|naming| (naming.name, naming.index)));
                    }
                }
                _ => {}
            }
        }
        graft
    }

    /// Exports functions of the program, under the names that they have in it.
    ///
    /// # Panics
    /// If one is not there.
    pub fn export(&mut self, names: &[&str]) -> &mut Self {
        for name in names {
            self.export_as(name, self.function(name));
        }
        self
    }

    /// Adds and exports a function that takes and returns so many `i32`.
    ///
    /// # Panics
    /// If it calls what is not there.
    pub fn define(&mut self, name: &str, params: usize, results: usize, body: &[Op<'_>]) -> &mut Self {
        let mut ty = vec![0x60];
        for count in [params, results] {
            leb(&mut ty, count as u32);
            ty.extend(std::iter::repeat_n(I32, count));
        }
        self.add(TYPES, &ty);
        let mut index = Vec::new();
        leb(&mut index, self.types);
        self.types += 1;
        self.add(FUNCTIONS, &index);

        let mut code = vec![0]; // No locals.
        for op in body {
            self.encode(&mut code, op);
        }
        code.push(0x0b);
        let mut entry = Vec::new();
        leb(&mut entry, code.len() as u32);
        entry.extend(code);
        self.add(CODE, &entry);
        self.export_as(name, self.functions);
        self.functions += 1;
        self
    }

    /// Puts bytes into memory.
    pub fn data(&mut self, at: i32, bytes: &[u8]) -> &mut Self {
        let mut entry = vec![0, 0x41];
        signed_leb(&mut entry, at);
        entry.push(0x0b);
        leb(&mut entry, bytes.len() as u32);
        entry.extend(bytes);
        self.add(DATA, &entry);
        self
    }

    /// The whole.
    pub fn finish(&self) -> Vec<u8> {
        let mut out = self.wasm[..8].to_vec();
        for (id, range) in &self.sections {
            let content = &self.wasm[range.clone()];
            let mut section = Vec::new();
            match self.added.get(id) {
                None if *id == DATA_COUNT => {
                    let (count, _) = read_leb(content);
                    leb(&mut section, count + self.added.get(&DATA).map_or(0, |(added, _)| *added));
                }
                None => section.extend(content),
                Some((added, bytes)) => {
                    let (count, length) = read_leb(content);
                    leb(&mut section, count + added);
                    section.extend(&content[length..]);
                    section.extend(bytes);
                }
            }
            out.push(*id);
            leb(&mut out, section.len() as u32);
            out.extend(section);
        }
        out
    }

    fn function(&self, name: &str) -> u32 {
        *self.names.get(name).unwrap_or_else(|| panic!("the program has no function `{name}`"))
    }

    fn add(&mut self, section: u8, entry: &[u8]) {
        let (count, bytes) = self.added.entry(section).or_default();
        *count += 1;
        bytes.extend(entry);
    }

    fn export_as(&mut self, name: &str, function: u32) {
        let mut entry = Vec::new();
        leb(&mut entry, name.len() as u32);
        entry.extend(name.as_bytes());
        entry.push(0);
        leb(&mut entry, function);
        self.add(EXPORTS, &entry);
    }

    fn encode(&self, code: &mut Vec<u8>, op: &Op<'_>) {
        match op {
            Op::Call(name) => {
                code.push(0x10);
                leb(code, self.function(name));
            }
            Op::Const(value) => {
                code.push(0x41);
                signed_leb(code, *value);
            }
            Op::Arg(index) => {
                code.push(0x20);
                leb(code, *index);
            }
            Op::Load => code.extend([0x28, 2, 0]),
            Op::Store => code.extend([0x36, 2, 0]),
            Op::Or => code.push(0x72),
            Op::Drop => code.push(0x1a),
        }
    }
}

fn leb(out: &mut Vec<u8>, mut value: u32) {
    while value >= 0x80 {
        out.push(value as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}

fn signed_leb(out: &mut Vec<u8>, mut value: i32) {
    while !(-0x40..0x40).contains(&value) {
        out.push(value as u8 & 0x7f | 0x80);
        value >>= 7;
    }
    out.push(value as u8 & 0x7f);
}

/// A number, and how many bytes it takes.
fn read_leb(bytes: &[u8]) -> (u32, usize) {
    let length = bytes.iter().position(|byte| *byte < 0x80).expect("the end of a number") + 1;
    let value = bytes[..length].iter().rev().fold(0, |value, byte| value << 7 | u32::from(byte & 0x7f));
    (value, length)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_added_is_there_and_the_rest_stays() {
        let wasm = wat::parse_str(
            r#"(module (import "env" "f" (func)) (memory 1) (data (i32.const 8) "\05")
                (func $twice (param i32) (result i32) (i32.add (local.get 0) (local.get 0)))
                (func (export "first") (result i32) (i32.load8_u (i32.const 8))))"#,
        );
        let wasm = wasm.unwrap();
        let mut graft = Graft::new(&wasm);
        graft.export(&["twice"]).data(1000, b"\x07\0\0\0");
        let body = [Op::Arg(0), Op::Const(1000), Op::Load, Op::Or, Op::Call("twice")];
        graft.define("more", 1, 1, &body);
        graft.define("put", 2, 0, &[Op::Arg(0), Op::Arg(1), Op::Store, Op::Const(-70), Op::Drop]);
        let grafted = graft.finish();
        wasmparser::validate(&grafted).unwrap();
        let exports = Parser::new(0).parse_all(&grafted).filter_map(|payload| match payload.unwrap() {
            Payload::ExportSection(exports) => Some(exports.into_iter().map(|e| e.unwrap().name.to_owned())),
            _ => None,
        });
        assert_eq!(exports.flatten().collect::<Vec<_>>(), ["first", "twice", "more", "put"]);
    }
}
