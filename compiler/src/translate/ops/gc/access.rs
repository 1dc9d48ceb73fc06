//! Reading and writing parts of objects.

use crate::translate::{Translator, clif_type, trap_code};
use crate::types::TypeIndex;
use cranelift_codegen::ir::{AliasRegion, AliasRegionData, InstBuilder, MemFlagsData, Value, types};
use wasmc_artifacts::abi::descriptor::{ARRAY_LENGTH, storage_size};
use wasmc_artifacts::abi::{HEAP_NULL_GUARD, StorageType, Trap};

/// How a packed value becomes one of 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Extend {
    /// It is not packed.
    None,
    /// With copies of its sign.
    Signed,
    /// With zeros.
    Unsigned,
}

/// Parts of objects that never overlap parts of another name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(in crate::translate) enum Part {
    /// How far the heap is used.
    Heap,
    /// What is in exceptions.
    Exception,
    /// Addresses of descriptors.
    Descriptor,
    /// Lengths of arrays.
    Length,
    /// A field of structs, by the topmost type that has it.
    Field(TypeIndex, u32),
    /// Elements of arrays, by the topmost type that has them.
    Elements(TypeIndex),
}

impl Translator<'_> {
    /// The alias region of a part: what is stored to one does not change what
    /// was loaded from another.
    fn part_region(&mut self, part: Part) -> AliasRegion {
        /// Regions below this number are those that every function has.
        const FIRST: usize = 16;
        let next = self.parts.len();
        let func = &mut self.b.func;
        *self.parts.entry(part).or_insert_with(|| {
            let description = match part {
                Part::Heap => "heap's end",
                Part::Exception => "exceptions",
                Part::Descriptor => "descriptors",
                Part::Length => "lengths",
                Part::Field(..) => "field",
                Part::Elements(_) => "elements",
            };
            let data = AliasRegionData { user_id: (FIRST + next) as u32, description: description.into() };
            func.dfg.alias_regions.insert(data)
        })
    }

    /// Flags for accesses to a part of an object that is known to be there.
    /// Nothing is aligned to more than 8 bytes.
    pub(in crate::translate) fn part_flags(&mut self, part: Part) -> MemFlagsData {
        let region = self.part_region(part);
        MemFlagsData::new().with_notrap().with_alias_region(Some(region))
    }

    /// Flags for the first access, `offset` bytes into an object, through a
    /// reference that may be null: then it traps.
    ///
    /// Null is an address in the part of the heap that is never accessible, so
    /// that the access itself finds out, unless it is too far from there.
    pub(super) fn first_flags(&mut self, part: Part, reference: Value, offset: u32, trap: Trap) -> MemFlagsData {
        let flags = self.part_flags(part);
        if self.is_non_null(reference) {
            return flags;
        }
        if offset < HEAP_NULL_GUARD {
            return flags.with_trap_code(Some(trap_code(trap)));
        }
        self.b.ins().trapz(reference, trap_code(trap));
        flags
    }

    /// Reads what is stored at an address.
    pub(super) fn load_stored(
        &mut self,
        storage: StorageType,
        extend: Extend,
        flags: MemFlagsData,
        address: Value,
        offset: i32,
    ) -> Value {
        let ins = self.b.ins();
        match (storage, extend) {
            (StorageType::I8, Extend::Signed) => ins.sload8(types::I32, flags, address, offset),
            (StorageType::I8, _) => ins.uload8(types::I32, flags, address, offset),
            (StorageType::I16, Extend::Signed) => ins.sload16(types::I32, flags, address, offset),
            (StorageType::I16, _) => ins.uload16(types::I32, flags, address, offset),
            (StorageType::Val(ty), _) => ins.load(clif_type(ty), flags, address, offset),
        }
    }

    /// Writes a value to an address.
    pub(super) fn store_stored(
        &mut self,
        storage: StorageType,
        value: Value,
        flags: MemFlagsData,
        address: Value,
        offset: i32,
    ) {
        match storage {
            StorageType::I8 => self.b.ins().istore8(flags, value, address, offset),
            StorageType::I16 => self.b.ins().istore16(flags, value, address, offset),
            StorageType::Val(_) => {
                let value = self.canonical(value);
                self.b.ins().store(flags, value, address, offset)
            }
        };
    }

    /// An array's length; traps if the reference is null.
    pub(super) fn load_length(&mut self, array: Value) -> Value {
        let flags = self.first_flags(Part::Length, array, ARRAY_LENGTH, Trap::NullReference);
        let address = self.object_address(array);
        self.b.ins().load(types::I32, flags, address, ARRAY_LENGTH as i32)
    }

    /// The zero or null of a storage type.
    pub(super) fn default_stored(&mut self, storage: StorageType) -> Value {
        self.zero(clif_type(storage.unpack()))
    }

    /// Bytes of an element of arrays of type `ty`, and what it holds.
    pub(super) fn element(&self, ty: TypeIndex) -> (StorageType, u32) {
        let array = self.env.module.types.get(ty).ty.as_array();
        let storage = array.unwrap_or_else(|| unreachable!("validation has seen an array type")).element.storage;
        (storage, storage_size(storage))
    }

    /// The name of the elements of arrays of type `ty`.
    pub(super) fn elements_part(&self, ty: TypeIndex) -> Part {
        Part::Elements(self.env.facts.objects.get(ty).origins[0])
    }
}
