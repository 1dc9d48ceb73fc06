//! Arguments that no honest guest passes.

use super::*;
use crate::Fault;
use crate::abi::{answer, preview0};
use crate::functions::for_each_function;
use std::cell::UnsafeCell;
use std::io::Error as IoError;

/// Values at which bounds are easily got wrong, and ordinary ones.
const VALUES: [i64; 12] =
    [0, 1, 3, 4, 8, 0xfff9, 0x10000, 0x7fff_ffff, 0x8000_0000, 0xffff_fff8, 0xffff_ffff, i64::MIN];

/// A generator good enough to pick from [`VALUES`] (Knuth's MMIX constants).
struct Picker(u64);

impl Picker {
    fn pick(&mut self) -> i64 {
        self.0 = self.0.wrapping_mul(6364136223846793005).wrapping_add(1442695040888963407);
        VALUES[(self.0 >> 33) as usize % VALUES.len()]
    }
}

fn bytes<'a>(own: &'a mut [u8], shared: &'a Option<Vec<UnsafeCell<u8>>>) -> GuestMemory<'a> {
    match shared {
        Some(shared) => GuestMemory::Shared(shared),
        None => GuestMemory::Unshared(own),
    }
}

/// Calls every function of a snapshot with picked arguments.
macro_rules! call_all {
    ($snapshot:ident, $guest:ident, $picker:ident {
        $($name:ident($($arg:ident: $ty:ident),*) $(strings $field:ident $buffer:ident)? $(socket $fd:ident)?;)*
    }) => {
        $(
            // A poll may sleep for as long as it is told.
            if stringify!($name) != "poll_oneoff" {
                // Either outcome is right; panicking is not.
                let _ = $snapshot::$name(&mut $guest.ctx, bytes(&mut $guest.memory, &$guest.shared), $($picker.pick() as call_all!(@ $arg $ty)),*);
            }
        )*
    };
    (@ $arg:ident $ty:ident) => { $ty };
}

macro_rules! call_everything {
    (shared { $($shared:tt)* } preview1 { $($added:tt)* }) => {
        fn call_everything(guest: &mut Guest, picker: &mut Picker) {
            call_all!(preview1, guest, picker { $($shared)* $($added)* });
            call_all!(preview0, guest, picker { $($shared)* });
        }
    };
}

for_each_function!(call_everything);

#[test]
fn no_argument_makes_a_function_panic() {
    let folder = tempfile::tempdir().expect("scratch folder");
    std::fs::write(folder.path().join("file"), "text").expect("scratch file");
    let mut picker = Picker(1);
    for round in 0..300 {
        let ctx = WasiCtxBuilder::new()
            .args(["program", "", "argument"])
            .and_then(|ctx| ctx.env("NAME", ""))
            .and_then(|ctx| ctx.preopened_dir(folder.path(), "/", DirPerms::all(), FilePerms::all()))
            .expect("valid context")
            .build();
        let mut guest = Guest::new(ctx);
        guest.put(0, "file");
        if round % 10 == 0 {
            guest.memory = Vec::new();
        }
        if round % 3 == 0 {
            guest.shared = Some(guest.memory.iter().copied().map(UnsafeCell::new).collect());
        }
        call_everything(&mut guest, &mut picker);
    }
}

#[test]
fn strings_that_would_pass_the_last_address_are_a_fault() {
    let ctx = WasiCtxBuilder::new().args(["", "b"]).expect("valid arguments").build();
    // All of a 32-bit address space; only the pages touched exist.
    let mut guest = Guest { ctx, memory: vec![0; 1 << 32], shared: None };
    let fault =
        preview1::args_get(&mut guest.ctx, GuestMemory::Unshared(&mut guest.memory), RESULT, -1).expect_err("no room");
    assert!(matches!(fault, Fault::Pointer(_)), "{fault}");
}

#[test]
fn pointers_out_of_bounds_are_a_fault() {
    let mut guest = Guest::new(WasiCtxBuilder::new().build());
    let fault = preview1::clock_time_get(&mut guest.ctx, GuestMemory::Unshared(&mut guest.memory), 0, 0, 0x10000)
        .expect_err("outside");
    assert!(fault.to_string().contains("invalid pointer"), "{fault}");
    let fault = preview1::random_get(&mut guest.ctx, GuestMemory::Unshared(&mut guest.memory), 0xfff0, 17)
        .expect_err("outside");
    assert!(matches!(fault, Fault::Pointer(_)), "{fault}");
}

#[test]
fn values_out_of_range_are_error_numbers() {
    let mut guest = Guest::new(WasiCtxBuilder::new().build());
    assert_eq!(
        preview1::fd_seek(&mut guest.ctx, GuestMemory::Unshared(&mut guest.memory), 0, 0, 9, RESULT).ok(),
        Some(errno::INVAL)
    );
    assert_eq!(
        preview1::clock_res_get(&mut guest.ctx, GuestMemory::Unshared(&mut guest.memory), 99, RESULT).ok(),
        Some(errno::INVAL)
    );
    let folder = tempfile::tempdir().expect("scratch folder");
    let mut guest = Guest::in_folder(folder.path(), DirPerms::all(), FilePerms::all());
    guest.memory[TEXT as usize] = 0xff;
    let created = preview1::path_create_directory(&mut guest.ctx, GuestMemory::Unshared(&mut guest.memory), 3, TEXT, 1);
    assert_eq!(created.ok(), Some(errno::ILSEQ));
}

#[test]
fn system_errors_without_a_number_in_the_implementation_get_one() {
    let number = |error: IoError| {
        let error = wasi_common::Error::from(error).downcast().expect_err("no number");
        answer(error).expect("not a fault")
    };
    // EXDEV, EROFS, and one that means nothing to WASI, as Linux numbers them.
    assert_eq!(number(IoError::from_raw_os_error(18)), errno::XDEV);
    assert_eq!(number(IoError::from_raw_os_error(30)), errno::ROFS);
    assert_eq!(number(IoError::from_raw_os_error(530)), errno::IO);
    assert_eq!(number(IoError::other("host stream failed")), errno::IO);
}

#[test]
fn socket_functions_tell_no_socket_from_not_open() {
    let mut guest = Guest::new(WasiCtxBuilder::new().build());
    assert_eq!(
        preview1::sock_shutdown(&mut guest.ctx, GuestMemory::Unshared(&mut guest.memory), 1, 1).ok(),
        Some(errno::NOTSOCK)
    );
    assert_eq!(
        preview1::sock_shutdown(&mut guest.ctx, GuestMemory::Unshared(&mut guest.memory), 9, 1).ok(),
        Some(errno::BADF)
    );
}

#[test]
fn contexts_that_c_strings_cannot_express_are_refused() {
    let message = |error: crate::Error| error.to_string();
    let mut builder = WasiCtxBuilder::new();
    assert!(message(builder.arg("a\0b").map(drop).expect_err("zero")).contains("argument \"a\\0b\""));
    assert!(message(builder.env("A=B", "").map(drop).expect_err("=")).contains("\"A=B\""));
    assert!(message(builder.env("A", "\0").map(drop).expect_err("zero")).contains("zero byte"));
    let missing = builder.preopened_dir("/no/such/folder", "/", DirPerms::all(), FilePerms::all()).map(drop);
    assert!(message(missing.expect_err("missing")).starts_with("cannot preopen folder /no/such/folder: "));
}
