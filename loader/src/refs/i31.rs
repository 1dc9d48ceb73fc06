//! Integers of 31 bits.

use std::fmt;
use wasmc_artifacts::abi::descriptor::I31_BIT;

/// A 31-bit integer: what references of type `i31` hold in place of an
/// address.
#[derive(Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Default)]
pub struct I31(u32);

const BITS: u32 = u32::MAX >> 1;

impl I31 {
    /// A number below 2^31.
    pub fn new_u32(value: u32) -> Option<I31> {
        (value <= BITS).then_some(I31(value))
    }

    /// A number from -2^30 up to below 2^30.
    pub fn new_i32(value: i32) -> Option<I31> {
        let wrapped = Self::wrapping_i32(value);
        (wrapped.get_i32() == value).then_some(wrapped)
    }

    /// The lowest 31 bits of a number.
    pub fn wrapping_u32(value: u32) -> I31 {
        I31(value & BITS)
    }

    /// The lowest 31 bits of a number.
    pub fn wrapping_i32(value: i32) -> I31 {
        I31(value as u32 & BITS)
    }

    /// The number, extended with zeros.
    pub fn get_u32(&self) -> u32 {
        self.0
    }

    /// The number, extended with its sign.
    pub fn get_i32(&self) -> i32 {
        (self.0 << 1) as i32 >> 1
    }

    /// As compiled code has it.
    pub(crate) fn raw(self) -> u32 {
        self.0 << 1 | I31_BIT
    }

    /// The number that compiled code has so, if it is one.
    pub(crate) fn of_raw(raw: u32) -> Option<I31> {
        (raw & I31_BIT != 0).then_some(I31(raw >> 1))
    }
}

impl fmt::Debug for I31 {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "I31({})", self.0)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_have_31_bits() {
        assert_eq!(I31::new_u32(BITS).map(|i| (i.get_u32(), i.get_i32())), Some((BITS, -1)));
        assert_eq!(I31::new_u32(BITS + 1), None);
        for value in [0, 1, -1, (1 << 30) - 1, -(1 << 30)] {
            assert_eq!(I31::new_i32(value).map(|i| i.get_i32()), Some(value));
        }
        assert_eq!((I31::new_i32(1 << 30), I31::new_i32(-(1 << 30) - 1)), (None, None));
        assert_eq!(I31::wrapping_u32(u32::MAX).get_u32(), BITS);
        assert_eq!(I31::wrapping_i32(1 << 30).get_i32(), -(1 << 30));
        for value in [I31::wrapping_u32(0), I31::wrapping_u32(77), I31::wrapping_i32(-5)] {
            assert_eq!(I31::of_raw(value.raw()), Some(value));
            assert_ne!(value.raw(), 0);
        }
        assert_eq!(I31::of_raw(8), None);
    }
}
