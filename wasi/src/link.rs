//! WASI's functions as imports of the loader's [`Linker`].

use crate::abi::{preview0, preview1};
use crate::ctx::WasiCtx;
use crate::functions::for_each_function;
use wasi_common::I32Exit;
use wasmc_loader::{Caller, Error, Extern, Linker, Memory, SharedMemory};
use wiggle::GuestMemory;

/// Defines WASI in a linker: preview 1 as `wasi_snapshot_preview1` and its
/// predecessor as `wasi_unstable`. `get` finds the guest's context in the
/// store's data.
///
/// The guest has to export its memory as `memory`. A guest that calls
/// `proc_exit` ends with the error [`I32Exit`], one that passes an invalid
/// pointer with a [`Fault`](crate::Fault).
///
/// # Errors
/// The linker has one of the functions already.
pub fn add_to_linker<T: 'static>(
    linker: &mut Linker<T>,
    get: impl Fn(&mut T) -> &mut WasiCtx + Send + Sync + Copy + 'static,
) -> Result<(), Error> {
    add_preview1(linker, get)?;
    add_preview0(linker, get)
}

macro_rules! define_adder {
    ($add:ident as $module:literal from $snapshot:ident {
        $($name:ident($($arg:ident: $ty:ident),*) $(strings $field:ident $buffer:ident)? $(socket $fd:ident)?;)*
    }) => {
        fn $add<T: 'static>(
            linker: &mut Linker<T>,
            get: impl Fn(&mut T) -> &mut WasiCtx + Send + Sync + Copy + 'static,
        ) -> Result<(), Error> {
            linker.func_wrap($module, "proc_exit", |_: Caller<'_, T>, status: i32| -> Result<(), Error> {
                Err(Error::new(I32Exit(status)))
            })?;
            $(
                linker.func_wrap(
                    $module,
                    stringify!($name),
                    move |mut caller: Caller<'_, T>, $($arg: $ty),*| -> Result<i32, Error> {
                        let done = match guest_memory(&mut caller)? {
                            OwnOrShared::Own(memory) => {
                                let (bytes, data) = memory.data_and_store_mut(&mut caller);
                                $snapshot::$name(get(data), GuestMemory::Unshared(bytes), $($arg),*)
                            }
                            OwnOrShared::Shared(memory) => {
                                let bytes = GuestMemory::Shared(memory.data());
                                $snapshot::$name(get(caller.data_mut()), bytes, $($arg),*)
                            }
                        };
                        done.map_err(Error::new)
                    },
                )?;
            )*
            Ok(())
        }
    };
}

macro_rules! define_adders {
    (shared { $($shared:tt)* } preview1 { $($added:tt)* }) => {
        define_adder!(add_preview0 as "wasi_unstable" from preview0 { $($shared)* });
        define_adder!(add_preview1 as "wasi_snapshot_preview1" from preview1 { $($shared)* $($added)* });
    };
}

for_each_function!(define_adders);

/// A memory of one thread or of several.
enum OwnOrShared {
    Own(Memory),
    Shared(SharedMemory),
}

/// The memory that the guest's pointers are meant for.
fn guest_memory<T>(caller: &mut Caller<'_, T>) -> Result<OwnOrShared, Error> {
    match caller.get_export("memory") {
        Some(Extern::Memory(memory)) => Ok(OwnOrShared::Own(memory)),
        Some(Extern::SharedMemory(memory)) => Ok(OwnOrShared::Shared(memory)),
        _ => Err(Error::msg(
            "WASI finds no memory named \"memory\" among the calling module's exports: export its memory under that \
             name, and let the module call WASI's functions, not the host",
        )),
    }
}
