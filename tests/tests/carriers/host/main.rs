//! `host CARRIER`; `host wait CARRIER` begins when it gets a line;
//! `host library FILE` has the library do it.

use std::ffi::{CString, c_char, c_int, c_void};

unsafe extern "C" {
    fn dlopen(name: *const c_char, flags: c_int) -> *mut c_void;
    fn dlsym(library: *mut c_void, name: *const c_char) -> *mut c_void;
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match [&arguments[0][..], arguments.get(1).map_or("", |second| second)] {
        ["library", file] => {
            let file = CString::new(file).unwrap();
            // SAFETY: the library is the one beside this file, and its
            // function has this type.
            unsafe {
                let library = dlopen(file.as_ptr(), 2);
                assert!(!library.is_null(), "cannot load {file:?}");
                let print = dlsym(library, c"print_linked_and_embedded".as_ptr());
                std::mem::transmute::<*mut c_void, extern "C" fn()>(print)();
            }
        }
        ["wait", carrier] => {
            println!("waiting");
            std::io::stdin().read_line(&mut String::new()).unwrap();
            print!("{}", host::run(carrier));
        }
        [carrier, _] => print!("{}", host::run(carrier)),
    }
}
