//! Runs a WASI command and collects what it leaves behind.

use std::path::Path;
use wasmc_loader::{Caller, Engine, Linker, Module, Store, Val};
use wasmc_wasi::pipe::{MemoryInputPipe, MemoryOutputPipe};
use wasmc_wasi::{DirPerms, FilePerms, I32Exit, WasiCtx, WasiCtxBuilder};

/// What a command is given.
#[derive(Debug, Default)]
pub(crate) struct Command {
    /// The arguments, the program's name first.
    pub(crate) arguments: Vec<String>,
    /// Folders: below the scratch folder, and what the guest calls them.
    pub(crate) folders: Vec<(String, String)>,
    pub(crate) stdin: String,
    /// Whether functions that nobody provides trap when they are called.
    pub(crate) stubs: bool,
}

/// How a command ended, and what it wrote.
#[derive(Debug)]
pub(crate) struct Ended {
    /// The exit code, or why there is none.
    pub(crate) exit: Result<i32, String>,
    pub(crate) stdout: Vec<u8>,
    pub(crate) stderr: Vec<u8>,
    /// How often the guest said that what is to be timed begins.
    pub(crate) timed: u32,
}

struct Host {
    wasi: WasiCtx,
    timed: u32,
    /// What was printed by other means than WASI, in UTF-16.
    printed: Vec<u16>,
}

impl Host {
    fn print(&mut self, text: &str) {
        self.printed.extend(text.encode_utf16());
    }
}

impl Command {
    /// Runs the command with `scratch` as the place of its folders.
    pub(crate) fn run(&self, engine: &Engine, module: &Module, scratch: &Path) -> Result<Ended, String> {
        let (stdout, stderr) = (MemoryOutputPipe::new(64 << 20), MemoryOutputPipe::new(64 << 20));
        let wasi = self.context(scratch, &stdout, &stderr).map_err(|e| e.to_string())?;
        let mut linker: Linker<Host> = Linker::new(engine);
        let linked = wasmc_wasi::add_to_linker(&mut linker, |host| &mut host.wasi).and_then(|()| {
            linker.func_wrap("bench", "start", |mut caller: Caller<'_, Host>| {
                caller.data_mut().timed += 1;
            })?;
            linker.func_wrap("bench", "end", || {})?;
            add_printing(&mut linker)?;
            // The page around a program that was made for the web.
            if self.stubs || module.imports().any(|import| import.module() == "js") {
                linker.define_unknown_imports_as_traps(module)?;
            }
            Ok(())
        });
        linked.map_err(|e| format!("cannot define the imports: {e:#}"))?;
        let mut store = Store::new(engine, Host { wasi, timed: 0, printed: Vec::new() });
        let instance = linker.instantiate(&mut store, module).map_err(|e| format!("cannot instantiate: {e:#}"))?;
        // Some compilers give it a result, which means nothing.
        let start = instance.get_func(&mut store, "_start").ok_or("it does not export _start")?;
        let mut results = vec![Val::I32(0); start.ty(&store).results().len()];
        let exit = match start.call(&mut store, &[], &mut results) {
            Ok(()) => Ok(0),
            Err(error) => error.downcast_ref::<I32Exit>().map(|exit| exit.0).ok_or_else(|| format!("{error:?}")),
        };
        let mut stdout = stdout.contents().to_vec();
        stdout.extend(String::from_utf16_lossy(&store.data().printed).into_bytes());
        Ok(Ended { exit, stdout, stderr: stderr.contents(), timed: store.data().timed })
    }

    fn context(
        &self,
        scratch: &Path,
        stdout: &MemoryOutputPipe,
        stderr: &MemoryOutputPipe,
    ) -> Result<WasiCtx, wasmc_wasi::Error> {
        let mut builder = WasiCtxBuilder::new();
        builder.args(&self.arguments)?;
        builder.stdin(MemoryInputPipe::new(self.stdin.as_bytes()));
        builder.stdout(stdout.clone()).stderr(stderr.clone());
        for (host, guest) in &self.folders {
            builder.preopened_dir(scratch.join(host), guest, DirPerms::all(), FilePerms::all())?;
        }
        Ok(builder.build())
    }
}

/// What programs of languages with objects print with instead of WASI, and the
/// arithmetic that they leave to the host.
fn add_printing(linker: &mut Linker<Host>) -> wasmc_loader::Result<()> {
    fn unit(mut caller: Caller<'_, Host>, unit: i32) {
        caller.data_mut().printed.push(unit as u16);
    }
    linker.func_wrap("spectest", "print_char", unit)?;
    linker.func_wrap("env", "write_char", |mut caller: Caller<'_, Host>, character: i32| {
        let character = char::from_u32(character as u32).unwrap_or(char::REPLACEMENT_CHARACTER);
        caller.data_mut().print(character.encode_utf8(&mut [0; 4]));
    })?;
    linker.func_wrap("env", "write_i32", |mut caller: Caller<'_, Host>, number: i32| {
        caller.data_mut().print(&number.to_string());
    })?;
    linker.func_wrap("env", "write_i64", |mut caller: Caller<'_, Host>, number: i64| {
        caller.data_mut().print(&number.to_string());
    })?;
    linker.func_wrap("env", "write_f64", |mut caller: Caller<'_, Host>, number: f64| {
        caller.data_mut().print(&format!("{number:?}"));
    })?;
    linker.func_wrap("env", "f64_to_string", |caller: Caller<'_, Host>, number: f64, at: i32| {
        write(caller, at, &format!("{number:?}"))
    })?;
    linker.func_wrap(
        "env",
        "f64_format_precision",
        |caller: Caller<'_, Host>, number: f64, digits: i32, at: i32| {
            write(caller, at, &format!("{number:.*}", digits as u32 as usize))
        },
    )?;
    linker.func_wrap("env", "math_pow", f64::powf)?;
    Ok(())
}

/// Writes text into the guest's memory; its length in bytes.
fn write(mut caller: Caller<'_, Host>, at: i32, text: &str) -> wasmc_loader::Result<i32> {
    let memory = caller.get_export("memory").and_then(|export| export.into_memory());
    let memory = memory.ok_or_else(|| wasmc_loader::Error::msg("the guest exports no memory to write into"))?;
    memory.write(&mut caller, at as u32 as usize, text.as_bytes())?;
    Ok(text.len() as i32)
}

/// Fails unless the text is the one expected, but for white space at the end.
pub(crate) fn same_text(what: &str, found: &[u8], expected: &[u8]) -> Result<(), String> {
    if found.trim_ascii_end() == expected.trim_ascii_end() {
        return Ok(());
    }
    let show = |bytes: &[u8]| {
        let text = String::from_utf8_lossy(bytes).into_owned();
        if text.len() > 2000 {
            format!("{}… ({} bytes)", text.chars().take(2000).collect::<String>(), text.len())
        } else {
            text
        }
    };
    Err(format!("{what} differs\n--- expected\n{}\n--- found\n{}", show(expected), show(found)))
}
