//! Runs a WASI command and collects what it leaves behind.

use crate::build::Problem;
use std::path::Path;
use wasmc_loader::{Engine, Linker, Module, Store};
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
}

impl Command {
    /// Runs the command with `scratch` as the place of its folders.
    pub(crate) fn run(&self, engine: &Engine, module: &Module, scratch: &Path) -> Result<Ended, Problem> {
        let (stdout, stderr) = (MemoryOutputPipe::new(64 << 20), MemoryOutputPipe::new(64 << 20));
        let wasi = self.context(scratch, &stdout, &stderr).map_err(|e| e.to_string())?;
        let mut linker: Linker<Host> = Linker::new(engine);
        let linked = wasmc_wasi::add_to_linker(&mut linker, |host| &mut host.wasi).and_then(|()| {
            linker.func_wrap("bench", "start", |mut caller: wasmc_loader::Caller<'_, Host>| {
                caller.data_mut().timed += 1;
            })?;
            linker.func_wrap("bench", "end", || {})?;
            if self.stubs {
                linker.define_unknown_imports_as_traps(module)?;
            }
            Ok(())
        });
        linked.map_err(|e| format!("cannot define the imports: {e:#}"))?;
        let mut store = Store::new(engine, Host { wasi, timed: 0 });
        let instance = linker.instantiate(&mut store, module).map_err(|e| format!("cannot instantiate: {e:#}"))?;
        let start = instance.get_typed_func::<(), ()>(&mut store, "_start").map_err(|e| format!("{e:#}"))?;
        let exit = match start.call(&mut store, ()) {
            Ok(()) => Ok(0),
            Err(error) => error.downcast_ref::<I32Exit>().map(|exit| exit.0).ok_or_else(|| format!("{error:?}")),
        };
        Ok(Ended { exit, stdout: stdout.contents(), stderr: stderr.contents(), timed: store.data().timed })
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
