//! Gives a guest references to files of the host's.
//!
//! ```sh
//! cargo run -p wasmc-examples --bin externref [FILE...]
//! ```

use std::fs::File;
use std::io::{BufRead, BufReader};
use wasmc_loader::{Caller, Context, Engine, ExternRef, Linker, Module, Result, RootScope, Rooted, Store};

/// What the guest gets references to.
struct Text {
    name: String,
    reader: BufReader<File>,
}

impl Drop for Text {
    fn drop(&mut self) {
        println!("{} is closed", self.name);
    }
}

fn main() -> Result<()> {
    let mut files: Vec<String> = std::env::args().skip(1).collect();
    if files.is_empty() {
        files.push("README.md".to_owned());
    }

    let artifact = wasmc::compile(include_bytes!("guests/lines.wat"), &wasmc::Options::new())?;
    let engine = Engine::default();
    // SAFETY: the artifact was made by wasmc a moment ago.
    let module = unsafe { Module::from_bytes(&engine, &artifact)? };
    let mut linker = Linker::new(&engine);
    linker.func_wrap("host", "next_line", next_line)?;

    let mut store = Store::new(&engine, ());
    let instance = linker.instantiate(&mut store, &module)?;
    let measure = instance.get_typed_func::<Option<Rooted<ExternRef>>, (i32, i32)>(&mut store, "measure")?;
    for name in files {
        // References that the host makes in a scope are given up at its end.
        let mut scope = RootScope::new(&mut store);
        let file = File::open(&name).with_context(|| format!("cannot open {name}"))?;
        let text = Text { name: name.clone(), reader: BufReader::new(file) };
        let reference = ExternRef::new(&mut scope, text)?;
        let (lines, longest) = measure.call(&mut scope, Some(reference))?;
        println!("{name} has {lines} lines; the longest has {longest} bytes");
    }
    // Nothing refers to the files any more: neither the host nor the guest.
    store.gc();
    println!("done");
    Ok(())
}

/// The host function behind `host.next_line`.
fn next_line(mut caller: Caller<'_, ()>, text: Option<Rooted<ExternRef>>) -> Result<i32> {
    let text = text.context("the guest passed null")?;
    let value = text.data_mut(&mut caller)?.context("the guest passed a value of its own")?;
    let text = value.downcast_mut::<Text>().context("the guest passed something that is no file")?;
    let mut line = String::new();
    let length = text.reader.read_line(&mut line)?;
    if length == 0 { Ok(-1) } else { Ok(i32::try_from(line.trim_end_matches('\n').len())?) }
}
