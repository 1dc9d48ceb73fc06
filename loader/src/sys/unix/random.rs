//! Random numbers from the system.

use std::io;

/// Fills `bytes` with random numbers that nobody can predict.
///
/// # Errors
/// If the system has none to give.
pub(crate) fn random(bytes: &mut [u8]) -> io::Result<()> {
    // More than that the function refuses.
    for part in bytes.chunks_mut(256) {
        // SAFETY: the pointer and the length are those of the slice.
        if unsafe { libc::getentropy(part.as_mut_ptr().cast(), part.len()) } != 0 {
            return Err(io::Error::last_os_error());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn random_bytes_differ_throughout_and_between_calls() {
        let (mut first, mut second) = ([0; 1000], [0; 1000]);
        random(&mut first).unwrap();
        random(&mut second).unwrap();
        // That any 8 bytes are equal has a chance of less than one in 2^50.
        for (a, b) in first.chunks(8).zip(second.chunks(8)) {
            assert_ne!(a, [0; 8]);
            assert_ne!(a, b);
        }
        random(&mut []).unwrap();
    }
}
