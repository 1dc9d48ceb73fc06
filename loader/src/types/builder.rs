//! Types with indices of 64 bits, and memories with pages of other sizes.

use super::{MemoryType, TableType, ValType};
use crate::error::{Error, Result};
use wasmc_artifacts::abi::WASM_PAGE_SIZE;

impl TableType {
    /// A type with indices of 64 bits from its element type, which is a
    /// [`RefType`](crate::RefType) or the [`ValType`] of one, and its limits in
    /// elements.
    pub fn new64(element: impl Into<ValType>, minimum: u64, maximum: Option<u64>) -> TableType {
        TableType { element: element.into(), minimum, maximum, table64: true }
    }
}

impl MemoryType {
    /// A memory with indices of 64 bits and limits in pages of 64 KiB.
    ///
    /// # Panics
    /// If the limits are impossible; [`MemoryTypeBuilder::build`] says so
    /// instead.
    pub fn new64(minimum: u64, maximum: Option<u64>) -> MemoryType {
        let ty = MemoryTypeBuilder::new().memory64(true).min(minimum).max(maximum).build();
        ty.unwrap_or_else(|error| panic!("{error}"))
    }

    /// Any type of memory.
    pub fn builder() -> MemoryTypeBuilder {
        MemoryTypeBuilder::new()
    }
}

/// Makes a [`MemoryType`]: at first a 32-bit memory of at least 0 pages of 64
/// KiB without a maximum, which is not shared.
///
/// ```
/// use wasmc_loader::MemoryTypeBuilder;
/// let ty = MemoryTypeBuilder::new().memory64(true).page_size_log2(0).min(100).max(Some(5000)).build()?;
/// assert_eq!((ty.page_size(), ty.maximum(), ty.is_64()), (1, Some(5000), true));
/// # Ok::<(), wasmc_loader::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct MemoryTypeBuilder(MemoryType);

impl Default for MemoryTypeBuilder {
    fn default() -> Self {
        Self::new()
    }
}

impl MemoryTypeBuilder {
    /// The defaults.
    pub fn new() -> Self {
        MemoryTypeBuilder(MemoryType::new(0, None))
    }

    /// The least number of pages.
    pub fn min(&mut self, minimum: u64) -> &mut Self {
        self.0.minimum = minimum;
        self
    }

    /// The largest number of pages, if there is one.
    pub fn max(&mut self, maximum: Option<u64>) -> &mut Self {
        self.0.maximum = maximum;
        self
    }

    /// Whether indices have 64 bits.
    pub fn memory64(&mut self, memory64: bool) -> &mut Self {
        self.0.memory64 = memory64;
        self
    }

    /// Whether threads can share it.
    pub fn shared(&mut self, shared: bool) -> &mut Self {
        self.0.shared = shared;
        self
    }

    /// Base-2 logarithm of the bytes in a page: 0 or 16.
    pub fn page_size_log2(&mut self, page_size_log2: u8) -> &mut Self {
        self.0.page_shift = page_size_log2;
        self
    }

    /// The type.
    ///
    /// # Errors
    /// If pages are neither of 1 nor of 64 KiB, the limits contradict each
    /// other or are beyond what indices can address, or a shared memory has no
    /// maximum.
    pub fn build(&self) -> Result<MemoryType> {
        let ty = &self.0;
        let known = [0, WASM_PAGE_SIZE.trailing_zeros() as u8];
        if !known.contains(&ty.page_shift) {
            let shift = ty.page_shift;
            return Err(Error::msg(format!("pages of 2^{shift} bytes are not supported; they have 1 or 65536")));
        }
        let limit = ty.limit();
        let largest = ty.maximum.unwrap_or(ty.minimum);
        if ty.minimum > largest {
            let minimum = ty.minimum;
            return Err(Error::msg(format!("the minimum of {minimum} pages is larger than the maximum of {largest}")));
        }
        if largest > limit {
            return Err(Error::msg(format!(
                "{largest} pages of {} bytes are too many for indices of {} bits, which address {limit}",
                ty.page_size(),
                if ty.memory64 { 64 } else { 32 }
            )));
        }
        if ty.shared && ty.maximum.is_none() {
            return Err(Error::msg("a shared memory needs a maximum"));
        }
        Ok(ty.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_are_held_to_the_size_of_indices_and_pages() {
        let limits = |memory64, shift, pages| {
            MemoryTypeBuilder::new().memory64(memory64).page_size_log2(shift).min(pages).build().map(|ty| ty.minimum())
        };
        for (memory64, shift, most) in
            [(false, 16, 1 << 16), (false, 0, u64::from(u32::MAX)), (true, 16, 1 << 48), (true, 0, u64::MAX)]
        {
            assert_eq!(limits(memory64, shift, most).unwrap(), most);
            if let Some(more) = most.checked_add(1) {
                assert!(limits(memory64, shift, more).unwrap_err().to_string().contains(&more.to_string()));
            }
        }
        assert!(limits(true, 12, 1).unwrap_err().to_string().contains("2^12"));
        assert!(MemoryTypeBuilder::new().min(2).max(Some(1)).build().unwrap_err().to_string().contains("maximum of 1"));
        assert!(MemoryTypeBuilder::new().shared(true).build().unwrap_err().to_string().contains("maximum"));
    }

    #[test]
    fn types_with_wide_indices_say_so() {
        let ty = MemoryType::new64(1, Some(1 << 40));
        assert!(ty.is_64() && ty.to_string().contains("i64"), "{ty}");
        let ty = TableType::new64(ValType::FUNCREF, 3, None);
        assert!(ty.is_64() && ty.to_string().contains("i64"), "{ty}");
        assert_eq!(
            MemoryType::builder().page_size_log2(0).build().unwrap().to_string(),
            "memory of 0.. pages of 1 bytes"
        );
    }
}
