//! `host CARRIER`; `host wait CARRIER` begins when it gets a line;
//! `host library FILE` has the library do it; `host threads FILE` has it
//! say where it drops what it waited for.

use std::ffi::{CString, c_char, c_int, c_void};

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

/// Calls a function of the library beside this file.
fn call(file: &str, function: &str) {
    let [file, function] = [file, function].map(|text| CString::new(text).unwrap());
    // SAFETY: the library has such functions, all of this type.
    unsafe {
        let library = dlopen(file.as_ptr(), 2);
        assert!(!library.is_null(), "cannot load {file:?}");
        let found = dlsym(library, function.as_ptr());
        std::mem::transmute::<*mut c_void, extern "C" fn()>(found)();
    }
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match [&arguments[0][..], arguments.get(1).map_or("", |second| second)] {
        ["library", file] => call(file, "print_linked_and_embedded"),
        ["threads", file] => call(file, "print_threads"),
        ["wait", carrier] => {
            println!("waiting");
            std::io::stdin().read_line(&mut String::new()).unwrap();
            print!("{}", host::run(carrier));
        }
        [carrier, _] => print!("{}", host::run(carrier)),
    }
}
