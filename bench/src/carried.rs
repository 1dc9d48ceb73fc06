//! Artifacts inside a program: in a shared library, which the system's compiler
//! driver makes and this process loads.

use std::ffi::CString;
use std::fs;
use std::os::unix::ffi::OsStrExt as _;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context as _, Result, bail, ensure};
use wasmc_loader::LinkedArtifact;

use crate::runtime::Carrier;

/// Puts an artifact into a library beside it.
pub fn carry(artifact: &Path, carrier: Carrier) -> Result<PathBuf> {
    let name = carrier.name();
    let section = match carrier {
        Carrier::Embedded => ".section .rodata.artifact,\"a\"",
        Carrier::Linked => ".section .text.artifact,\"ax\"",
    };
    let source = artifact.with_extension(format!("{name}.s"));
    let library = artifact.with_extension(format!("{name}.so"));
    if library.exists() {
        return Ok(library);
    }
    let page = if cfg!(target_arch = "x86_64") { 0x1000 } else { 0x10000 };
    let text = format!(
        "{section}\n.balign {page}\n.globl artifact, artifact_end\nartifact:\n.incbin {artifact:?}\nartifact_end:\n\
         .balign {page}\n.section .note.GNU-stack,\"\"\n"
    );
    fs::write(&source, text)?;
    let mut driver = Command::new("cc");
    driver.args(["-shared", "-nostdlib", "-o"]).arg(&library).arg(&source);
    let output = driver.output().context("cannot start cc, which links an artifact into a library")?;
    ensure!(output.status.success(), "cannot link an artifact: {}", String::from_utf8_lossy(&output.stderr));
    Ok(library)
}

/// Loads such a library, for ever.
pub fn open(library: &Path) -> Result<LinkedArtifact> {
    let library = CString::new(library.as_os_str().as_bytes())?;
    // SAFETY: the library was made by `carry` and has nothing but the artifact
    // between the two symbols; it is never unloaded.
    unsafe {
        let handle = libc::dlopen(library.as_ptr(), libc::RTLD_NOW | libc::RTLD_LOCAL);
        let [start, end] = [c"artifact", c"artifact_end"]
            .map(|name| if handle.is_null() { std::ptr::null_mut() } else { libc::dlsym(handle, name.as_ptr()) });
        if start.is_null() || end.is_null() {
            bail!("cannot load {library:?}");
        }
        Ok(LinkedArtifact::new(start.cast(), end.cast()))
    }
}
