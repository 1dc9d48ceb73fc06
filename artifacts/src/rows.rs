//! Fixed-width little-endian rows, and tables of them that are read in place.
//!
//! A row is declared once with [`row!`](crate::row): encoding and decoding
//! come from the same list of fields and so cannot drift apart. The
//! declaration's own text is part of the ABI fingerprint.

use std::marker::PhantomData;

/// A scalar that a row can hold.
pub trait Scalar: Copy {
    /// Width in bytes.
    const SIZE: usize;
    /// Reads the value from the first `SIZE` bytes; `None` if there are fewer.
    fn get(bytes: &[u8]) -> Option<Self>;
    /// Appends the value.
    fn put(self, out: &mut Vec<u8>);
}

macro_rules! scalars {
    ($($t:ty),*) => {$(
        impl Scalar for $t {
            const SIZE: usize = size_of::<$t>();
            #[inline]
            fn get(bytes: &[u8]) -> Option<Self> {
                Some(<$t>::from_le_bytes(bytes.get(..Self::SIZE)?.try_into().ok()?))
            }
            fn put(self, out: &mut Vec<u8>) {
                out.extend_from_slice(&self.to_le_bytes());
            }
        }
    )*};
}
scalars!(u8, u32, u64);

impl<const N: usize> Scalar for [u8; N] {
    const SIZE: usize = N;
    #[inline]
    fn get(bytes: &[u8]) -> Option<Self> {
        bytes.get(..N)?.try_into().ok()
    }
    fn put(self, out: &mut Vec<u8>) {
        out.extend_from_slice(&self);
    }
}

/// A record of fixed width.
pub trait Row: Copy {
    /// Width in bytes.
    const SIZE: usize;
    /// The declaration, as text, for the ABI fingerprint.
    const DEFINITION: &'static str;
    /// Decodes a row from the first `SIZE` bytes; `None` if there are fewer.
    fn decode(bytes: &[u8]) -> Option<Self>;
    /// Appends the encoding.
    fn encode(&self, out: &mut Vec<u8>);
}

/// Declares a [`Row`](crate::rows::Row): a struct whose fields are stored in
/// order, little-endian, without padding.
#[macro_export]
macro_rules! row {
    ($(#[$meta:meta])* $vis:vis struct $name:ident { $($(#[$fmeta:meta])* $fvis:vis $field:ident: $t:ty,)* }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis struct $name { $($(#[$fmeta])* $fvis $field: $t,)* }

        impl $crate::rows::Row for $name {
            const SIZE: usize = 0 $(+ <$t as $crate::rows::Scalar>::SIZE)*;
            const DEFINITION: &'static str =
                concat!(stringify!($name), "{", $(stringify!($field), ":", stringify!($t), ",",)* "}");
            #[inline]
            fn decode(bytes: &[u8]) -> Option<Self> {
                // One check of the length: those of the fields are then known to hold.
                let bytes = bytes.first_chunk::<{ <$name as $crate::rows::Row>::SIZE }>()?;
                let mut at = 0;
                $(
                    let $field = <$t as $crate::rows::Scalar>::get(bytes.get(at..)?)?;
                    at += <$t as $crate::rows::Scalar>::SIZE;
                )*
                debug_assert_eq!(at, <Self as $crate::rows::Row>::SIZE);
                Some($name { $($field,)* })
            }
            fn encode(&self, out: &mut Vec<u8>) {
                $($crate::rows::Scalar::put(self.$field, out);)*
            }
        }
    };
}

/// A table of rows inside a file, decoded row by row when asked.
#[derive(Debug)]
pub struct Rows<'a, R> {
    bytes: &'a [u8],
    row: PhantomData<R>,
}

impl<R> Clone for Rows<'_, R> {
    fn clone(&self) -> Self {
        *self
    }
}
impl<R> Copy for Rows<'_, R> {}

/// What follows the first `index` rows of `size` bytes. Not generic, so that
/// there is it once.
fn rest(bytes: &[u8], index: usize, size: usize) -> Option<&[u8]> {
    bytes.get(index.checked_mul(size)?..)
}

impl<'a, R: Row> Rows<'a, R> {
    /// A view of `bytes`; a trailing part of a row is ignored.
    pub fn new(bytes: &'a [u8]) -> Self {
        Rows { bytes, row: PhantomData }
    }

    /// Number of rows.
    #[inline]
    pub fn len(&self) -> usize {
        self.bytes.len() / R::SIZE
    }

    /// Whether there is no row.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The row at `index`, if there is one.
    #[inline]
    pub fn get(&self, index: usize) -> Option<R> {
        R::decode(rest(self.bytes, index, R::SIZE)?)
    }

    /// All rows in order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = R> + use<'a, R> {
        Iter { rest: *self }
    }

    /// The rows `first .. first + count`, if all of them exist.
    pub fn range(&self, first: u32, count: u32) -> Option<Rows<'a, R>> {
        let start = (first as usize).checked_mul(R::SIZE)?;
        let end = (count as usize).checked_mul(R::SIZE)?.checked_add(start)?;
        Some(Rows::new(self.bytes.get(start..end)?))
    }

    /// The number of leading rows for which `pred` holds, for a table sorted
    /// so that those come first.
    pub fn partition_point(&self, mut pred: impl FnMut(&R) -> bool) -> usize {
        let (mut low, mut high) = (0, self.len());
        while low < high {
            let middle = low + (high - low) / 2;
            match self.get(middle) {
                Some(row) if pred(&row) => low = middle + 1,
                _ => high = middle,
            }
        }
        low
    }
}

/// The rows that are left.
struct Iter<'a, R> {
    rest: Rows<'a, R>,
}

impl<R: Row> Iterator for Iter<'_, R> {
    type Item = R;

    #[inline]
    fn next(&mut self) -> Option<R> {
        let row = R::decode(self.rest.bytes)?;
        self.rest.bytes = self.rest.bytes.get(R::SIZE..)?;
        Some(row)
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.rest.len(), Some(self.rest.len()))
    }
}

impl<R: Row> ExactSizeIterator for Iter<'_, R> {}

#[cfg(test)]
mod tests {
    use super::*;

    row! {
        struct Pair { left: u32, right: u64, }
    }

    #[test]
    fn a_row_decodes_to_what_was_encoded() {
        let mut bytes = Vec::new();
        for i in 0..5u32 {
            Pair { left: i, right: u64::from(i) << 40 }.encode(&mut bytes);
        }
        let rows = Rows::<Pair>::new(&bytes);
        assert_eq!(rows.len(), 5);
        assert_eq!(rows.get(3), Some(Pair { left: 3, right: 3 << 40 }));
        assert_eq!(rows.get(5), None);
        assert_eq!(rows.partition_point(|r| r.left < 2), 2);
        assert_eq!(rows.range(4, 1).unwrap().len(), 1);
        assert!(rows.range(4, 2).is_none());
        assert!(rows.range(u32::MAX, u32::MAX).is_none());
    }
}
