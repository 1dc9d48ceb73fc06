//! The interface by which a program tells debuggers about code that is in no
//! file they know of: "JIT Compilation Interface" in gdb's manual, which lldb
//! implements too.
//!
//! A debugger that is there sets a breakpoint on a function of a known name,
//! and reads a list of symbol files when it is hit; one that is attached later
//! reads the list then.

#[cfg(target_os = "linux")]
pub(crate) use listed::Announced;
#[cfg(not(target_os = "linux"))]
pub(crate) use nothing::Announced;

#[cfg(target_os = "linux")]
mod listed {
    use std::ptr::null_mut;
    use std::sync::{Mutex, PoisonError};

    /// An element of the list.
    #[repr(C)]
    struct Entry {
        next: *mut Entry,
        previous: *mut Entry,
        symbols: *const u8,
        length: u64,
    }

    /// The head of the list, and what happened to it last.
    #[repr(C)]
    struct Descriptor {
        version: u32,
        action: u32,
        relevant: *mut Entry,
        first: *mut Entry,
    }

    const REGISTER: u32 = 1;
    const UNREGISTER: u32 = 2;

    // Both names are the interface's. They are weak because another library in
    // the process may have them as well, and all must share one list.
    std::arch::global_asm!(
        ".pushsection .text.__jit_debug_register_code,\"ax\",@progbits",
        ".weak __jit_debug_register_code",
        ".type __jit_debug_register_code,@function",
        "__jit_debug_register_code:",
        "ret",
        ".size __jit_debug_register_code, . - __jit_debug_register_code",
        ".popsection",
        ".pushsection .data.__jit_debug_descriptor,\"aw\",@progbits",
        ".balign 8",
        ".weak __jit_debug_descriptor",
        ".type __jit_debug_descriptor,@object",
        "__jit_debug_descriptor:",
        ".long 1, 0",
        ".quad 0, 0",
        ".size __jit_debug_descriptor, 24",
        ".popsection",
    );

    // SAFETY: defined above, or elsewhere in the process with the same layout
    // and meaning, which gdb's manual fixes.
    unsafe extern "C" {
        static mut __jit_debug_descriptor: Descriptor;
        fn __jit_debug_register_code();
    }

    /// Held while the list is changed. Other libraries that have the interface
    /// do not know this lock; the interface offers none.
    static LIST: Mutex<()> = Mutex::new(());

    /// A symbol file that debuggers know of as long as the value lives.
    pub(crate) struct Announced {
        entry: *mut Entry,
        _symbols: Box<[u8]>,
    }

    // SAFETY: the entry is reached only through the list, under its lock.
    unsafe impl Send for Announced {}
    // SAFETY: as above; there is no access through a shared reference.
    unsafe impl Sync for Announced {}

    impl Announced {
        /// Announces an ELF file whose addresses are those of this process.
        pub(crate) fn new(symbols: Box<[u8]>) -> Announced {
            let _lock = LIST.lock().unwrap_or_else(PoisonError::into_inner);
            let entry = Entry {
                next: null_mut(),
                previous: null_mut(),
                symbols: symbols.as_ptr(),
                length: symbols.len() as u64,
            };
            let entry = Box::into_raw(Box::new(entry));
            // SAFETY: the lock is held, so nobody else of ours changes the
            // list; its entries are alive, since they leave it before they
            // are freed; `entry` is new and ours.
            unsafe {
                let list = &raw mut __jit_debug_descriptor;
                (*entry).next = (*list).first;
                if !(*entry).next.is_null() {
                    (*(*entry).next).previous = entry;
                }
                (*list).first = entry;
                (*list).relevant = entry;
                (*list).action = REGISTER;
                __jit_debug_register_code();
            }
            Announced { entry, _symbols: symbols }
        }
    }

    impl Drop for Announced {
        fn drop(&mut self) {
            let _lock = LIST.lock().unwrap_or_else(PoisonError::into_inner);
            // SAFETY: the lock is held; the entry is in the list since `new`,
            // so its neighbours are alive; after this nothing refers to it,
            // and `new` got it from a `Box`.
            unsafe {
                let list = &raw mut __jit_debug_descriptor;
                let Entry { next, previous, .. } = *self.entry;
                if previous.is_null() {
                    (*list).first = next;
                } else {
                    (*previous).next = next;
                }
                if !next.is_null() {
                    (*next).previous = previous;
                }
                (*list).relevant = self.entry;
                (*list).action = UNREGISTER;
                __jit_debug_register_code();
                (*list).relevant = null_mut();
                drop(Box::from_raw(self.entry));
            }
        }
    }

    #[cfg(test)]
    mod tests {
        use super::*;

        /// What is in the list, as lengths of symbol files.
        fn lengths() -> Vec<u64> {
            let _lock = LIST.lock().unwrap();
            let mut lengths = Vec::new();
            // SAFETY: the lock is held, and all entries are alive.
            unsafe {
                let list = &raw const __jit_debug_descriptor;
                let mut entry = (*list).first;
                while !entry.is_null() {
                    lengths.push((*entry).length);
                    entry = (*entry).next;
                }
            }
            lengths
        }

        #[test]
        fn the_list_has_what_lives() {
            let new = |length: usize| Announced::new(vec![0; length].into());
            let (first, second, third) = (new(701), new(702), new(703));
            let ours = || lengths().into_iter().filter(|length| (701..=703).contains(length)).collect::<Vec<_>>();
            assert_eq!(ours(), [703, 702, 701]);
            drop(second);
            assert_eq!(ours(), [703, 701]);
            drop(third);
            drop(first);
            assert!(ours().is_empty());
        }
    }
}

#[cfg(not(target_os = "linux"))]
mod nothing {
    /// Debuggers here are told nothing.
    pub(crate) struct Announced;

    impl Announced {
        pub(crate) fn new(_symbols: Box<[u8]>) -> Announced {
            Announced
        }
    }
}
