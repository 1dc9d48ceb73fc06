//! `struct.*`

use super::access::{Extend, Part};
use crate::translate::{Symbol, Translator};
use crate::types::TypeIndex;
use cranelift_codegen::ir::Value;
use wasmc_artifacts::abi::{HeapType, RefType, StorageType, Trap, ValType};

impl Translator<'_> {
    fn storage(&self, ty: TypeIndex, field: u32) -> StorageType {
        let fields = self.env.module.types.get(ty).ty.as_struct();
        fields.unwrap_or_else(|| unreachable!("validation has seen a struct type")).fields[field as usize].storage
    }

    /// The type of a reference to an object of type `ty`.
    pub(super) fn reference_to(&self, ty: TypeIndex) -> RefType {
        RefType::new(false, HeapType::Concrete(self.env.module.types.concrete(ty)))
    }

    fn new_struct(&mut self, ty: TypeIndex, values: &[Value]) {
        let facts = self.env.facts;
        let object = facts.objects.get(ty);
        let descriptor = self.symbol_address(Symbol::Descriptor(ty));
        let reference = self.allocate_object(descriptor, object.layout.size);
        let address = self.object_address(reference);
        for (field, value) in (0..).zip(values) {
            let flags = self.part_flags(Part::Field(object.origins[field as usize], field));
            let (storage, offset) = (self.storage(ty, field), object.layout.offsets[field as usize]);
            self.store_stored(storage, *value, flags, address, offset as i32);
        }
        self.push_typed(reference, ValType::Ref(self.reference_to(ty)));
    }

    pub(in crate::translate) fn visit_struct_new(&mut self, ty: u32) {
        let ty = self.type_index(ty);
        let values = self.pop_many(self.env.facts.objects.get(ty).layout.offsets.len());
        self.new_struct(ty, &values);
    }

    pub(in crate::translate) fn visit_struct_new_default(&mut self, ty: u32) {
        let ty = self.type_index(ty);
        let fields = self.env.facts.objects.get(ty).layout.offsets.len() as u32;
        let values: Vec<Value> = (0..fields).map(|field| self.default_stored(self.storage(ty, field))).collect();
        self.new_struct(ty, &values);
    }

    fn get_field(&mut self, ty: u32, field: u32, extend: Extend) {
        let ty = self.type_index(ty);
        let facts = self.env.facts;
        let object = facts.objects.get(ty);
        let (storage, offset) = (self.storage(ty, field), object.layout.offsets[field as usize]);
        let reference = self.pop();
        let part = Part::Field(object.origins[field as usize], field);
        let flags = self.first_flags(part, reference, offset, Trap::NullReference);
        let address = self.object_address(reference);
        let value = self.load_stored(storage, extend, flags, address, offset as i32);
        self.learn(reference, self.reference_to(ty));
        self.push_typed(value, storage.unpack());
    }

    pub(in crate::translate) fn visit_struct_get(&mut self, ty: u32, field: u32) {
        self.get_field(ty, field, Extend::None);
    }

    pub(in crate::translate) fn visit_struct_get_s(&mut self, ty: u32, field: u32) {
        self.get_field(ty, field, Extend::Signed);
    }

    pub(in crate::translate) fn visit_struct_get_u(&mut self, ty: u32, field: u32) {
        self.get_field(ty, field, Extend::Unsigned);
    }

    pub(in crate::translate) fn visit_struct_set(&mut self, ty: u32, field: u32) {
        let ty = self.type_index(ty);
        let facts = self.env.facts;
        let object = facts.objects.get(ty);
        let (storage, offset) = (self.storage(ty, field), object.layout.offsets[field as usize]);
        let (reference, value) = self.pop2();
        let part = Part::Field(object.origins[field as usize], field);
        let flags = self.first_flags(part, reference, offset, Trap::NullReference);
        let address = self.object_address(reference);
        self.store_stored(storage, value, flags, address, offset as i32);
        self.learn(reference, self.reference_to(ty));
    }
}
