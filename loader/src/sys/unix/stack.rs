//! Where the current thread's stack is, and what becomes of it in a fork.

use std::ops::Range;

/// The addresses of the current thread's stack, if the system tells.
#[cfg(any(target_os = "linux", target_os = "android"))]
pub(crate) fn stack_bounds() -> Option<Range<usize>> {
    let mut attributes = std::mem::MaybeUninit::<libc::pthread_attr_t>::uninit();
    let mut low = std::ptr::null_mut();
    let mut size = 0;
    // SAFETY: the attributes are initialised by the first call, read by the
    // second, and destroyed once if the first call succeeded.
    let found = unsafe {
        if libc::pthread_getattr_np(libc::pthread_self(), attributes.as_mut_ptr()) != 0 {
            return None;
        }
        let found = libc::pthread_attr_getstack(attributes.as_ptr(), &raw mut low, &raw mut size) == 0;
        libc::pthread_attr_destroy(attributes.as_mut_ptr());
        found
    };
    let low = low as usize;
    (found && size > 0).then(|| low..low + size)
}

/// The addresses of the current thread's stack, if the system tells.
#[cfg(target_vendor = "apple")]
pub(crate) fn stack_bounds() -> Option<Range<usize>> {
    // SAFETY: both functions only read the current thread's description.
    let (high, size) = unsafe {
        let thread = libc::pthread_self();
        (libc::pthread_get_stackaddr_np(thread) as usize, libc::pthread_get_stacksize_np(thread))
    };
    Some(high.checked_sub(size)?..high)
}

/// The addresses of the current thread's stack: not known on this system.
#[cfg(not(any(target_os = "linux", target_os = "android", target_vendor = "apple")))]
pub(crate) fn stack_bounds() -> Option<Range<usize>> {
    None
}

/// Has `child` called in every process that is forked off this one, if the system
/// has room to note it.
///
/// # Safety
/// The function does nothing that takes a lock or allocates.
pub(crate) unsafe fn after_fork(child: unsafe extern "C" fn()) {
    // SAFETY: the caller's.
    unsafe { libc::pthread_atfork(None, None, Some(child)) };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_local_variable_is_within_the_stack_of_any_thread() {
        let check = || {
            let local = 0u8;
            let bounds = stack_bounds().expect("this system tells the bounds");
            assert!(bounds.contains(&(&raw const local as usize)));
        };
        check();
        std::thread::Builder::new().stack_size(256 << 10).spawn(check).unwrap().join().unwrap();
    }
}
