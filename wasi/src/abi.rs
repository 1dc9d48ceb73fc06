//! WASI's functions over the bytes of a guest's memory, shared or not: their wasm signatures
//! on this side, wasi-common's generated functions on the other.
//!
//! What wasi-common answers is put right here where it would panic, or would
//! end a guest for an error that has a number.

use crate::ctx::WasiCtx;
use crate::error::Fault;
use crate::functions::for_each_function;
use std::future::Future;
use std::io::ErrorKind;
use std::pin::pin;
use std::task::{Context, Poll, Waker};
use wasi_common::snapshots::preview_1::error::Errno;
use wiggle::{GuestError, GuestMemory, GuestPtr};

macro_rules! define_functions {
    ($snapshot:ident over $implementation:path {
        $($name:ident($($arg:ident: $ty:ident),*) $(strings $field:ident $buffer:ident)? $(socket $fd:ident)?;)*
    }) => {
        /// One function per WASI function; each gives the error number to
        /// return, or what ends the guest.
        #[allow(clippy::too_many_arguments, reason = "WASI's signatures are what they are")]
        pub(crate) mod $snapshot {
            use super::*;
            use $implementation as implementation;
            $(
                pub(crate) fn $name(
                    ctx: &mut WasiCtx,
                    mut memory: GuestMemory<'_>,
                    $($arg: $ty),*
                ) -> Result<i32, Fault> {
                    $(check_buffer(&memory, $buffer, ctx.inner.$field.cumulative_size())?;)?
                    let errno = run(implementation::$name(&mut ctx.inner, &mut memory, $($arg),*))?;
                    $(let errno = refine_socket_error(ctx, $fd, errno);)?
                    Ok(errno)
                }
            )*
        }
    };
}

macro_rules! define_snapshots {
    (shared { $($shared:tt)* } preview1 { $($added:tt)* }) => {
        define_functions!(preview0 over wasi_common::snapshots::preview_0::wasi_unstable { $($shared)* });
        define_functions!(preview1 over wasi_common::snapshots::preview_1::wasi_snapshot_preview1 {
            $($shared)* $($added)*
        });
    };
}

for_each_function!(define_snapshots);

/// Runs a function to its end. Nothing in this crate's context ever waits in
/// the asynchronous sense, so one poll is enough; a stream of the host's own
/// making that does wait is told apart.
fn run(call: impl Future<Output = wiggle::error::Result<i32>>) -> Result<i32, Fault> {
    match pin!(call).poll(&mut Context::from_waker(Waker::noop())) {
        Poll::Ready(Ok(errno)) => Ok(errno),
        Poll::Ready(Err(error)) => answer(error),
        Poll::Pending => Err(Fault::Asynchronous),
    }
}

/// What wasi-common has no number for: gives the number if there is one after
/// all, or ends the guest.
#[cold]
pub(crate) fn answer(error: wiggle::error::Error) -> Result<i32, Fault> {
    if let Some(error) = error.downcast_ref::<std::io::Error>() {
        return Ok(errno_of(error) as i32);
    }
    match error.downcast::<GuestError>() {
        Ok(error) => match errno_of_guest_error(&error) {
            Some(errno) => Ok(errno as i32),
            None => Err(Fault::Pointer(error)),
        },
        Err(error) => Err(Fault::Other(format!("{error:#}"))),
    }
}

/// A pointer that the guest got wrong ends it, as the WASI documents say; a
/// value out of its range is an error that the guest is told.
fn errno_of_guest_error(error: &GuestError) -> Option<Errno> {
    match error {
        GuestError::InvalidFlagValue(_) | GuestError::InvalidEnumValue(_) => Some(Errno::Inval),
        GuestError::TryFromIntError(_) => Some(Errno::Inval),
        GuestError::InvalidUtf8(_) => Some(Errno::Ilseq),
        GuestError::InFunc { err, .. } => errno_of_guest_error(err),
        GuestError::PtrOverflow
        | GuestError::PtrOutOfBounds(_)
        | GuestError::PtrNotAligned(..)
        | GuestError::SliceLengthsDiffer => None,
    }
}

/// The numbers for system errors that wasi-common leaves out.
fn errno_of(error: &std::io::Error) -> Errno {
    match error.kind() {
        ErrorKind::CrossesDevices => return Errno::Xdev,
        ErrorKind::ReadOnlyFilesystem => return Errno::Rofs,
        ErrorKind::ExecutableFileBusy => return Errno::Txtbsy,
        ErrorKind::NotFound => return Errno::Noent,
        ErrorKind::PermissionDenied => return Errno::Perm,
        ErrorKind::BrokenPipe => return Errno::Pipe,
        ErrorKind::WouldBlock => return Errno::Again,
        ErrorKind::Unsupported => return Errno::Notsup,
        ErrorKind::InvalidInput => return Errno::Inval,
        ErrorKind::StorageFull => return Errno::Nospc,
        _ => {}
    }
    use rustix::io::Errno as System;
    match error.raw_os_error().map(System::from_raw_os_error) {
        Some(System::NXIO) => Errno::Nxio,
        Some(System::NODEV) => Errno::Nodev,
        Some(System::NOTTY) => Errno::Notty,
        Some(System::NOLCK) => Errno::Nolck,
        Some(System::NOSYS) => Errno::Nosys,
        Some(System::DEADLK) => Errno::Deadlk,
        Some(System::ISCONN) => Errno::Isconn,
        _ => Errno::Io,
    }
}

/// wasi-common panics where the strings would go on past the last address of
/// a 4 GiB memory.
fn check_buffer(memory: &GuestMemory<'_>, buffer: i32, size: u32) -> Result<(), Fault> {
    let buffer = GuestPtr::<[u8]>::new((buffer.cast_unsigned(), size));
    memory.as_slice(buffer).map(drop).map_err(Fault::Pointer)
}

/// wasi-common says "not open" of everything that is not a socket.
fn refine_socket_error(ctx: &WasiCtx, fd: i32, errno: i32) -> i32 {
    let open = || ctx.inner.table().contains_key(fd.cast_unsigned());
    if errno == Errno::Badf as i32 && open() { Errno::Notsock as i32 } else { errno }
}
