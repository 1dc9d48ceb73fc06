//! The collector against a model: graphs of objects of hand-made types.

use super::heap::{Extent, Heap, HeapSettings};
use super::object::Descriptor;
use super::trace::Marks;
use crate::vm::structs::VMStoreContext;
use std::collections::{BTreeSet, HashMap};
use wasmc_artifacts::abi::descriptor::ObjectKind::{self, Array, Exception, Struct};
use wasmc_artifacts::abi::descriptor::{Descriptor as Description, array_size};

/// A type, with its descriptor.
struct Type {
    descriptor: &'static [u64],
    /// Bytes of an object or element.
    size: usize,
    /// Where references are.
    refs: Vec<usize>,
    kind: ObjectKind,
}

impl Type {
    fn new(kind: ObjectKind, size: usize, refs: &[usize]) -> Type {
        let offsets = refs.iter().map(|at| *at as u32).collect();
        let bytes = Description { kind, supers: Vec::new(), size: size as u32, refs: offsets }.encode();
        let mut words: Vec<u64> = bytes
            .chunks(8)
            .map(|chunk| {
                let mut word = [0; 8];
                word[..chunk.len()].copy_from_slice(chunk);
                u64::from_le_bytes(word)
            })
            .collect();
        words.shrink_to_fit();
        Type { descriptor: Vec::leak(words), size, refs: refs.to_vec(), kind }
    }

    fn descriptor(&self) -> *const Descriptor {
        self.descriptor.as_ptr().cast()
    }

    /// Bytes of an object, an array of so many elements.
    fn bytes(&self, length: usize) -> usize {
        if self.kind == Array { array_size(self.size as u32, length as u32) as usize } else { self.size }
    }

    /// Where references are in an object, an array of so many elements.
    fn references(&self, length: usize) -> Vec<usize> {
        match self.kind {
            Array if self.refs.is_empty() => Vec::new(),
            Array => (0..length).map(|i| 12 + 4 * i).collect(),
            _ => self.refs.clone(),
        }
    }
}

/// A value as the model has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Value {
    /// Null, an i31 or a value of the host's: the bits do not change.
    Plain(u32),
    Object(usize),
}

struct Object {
    ty: usize,
    length: usize,
    fill: u8,
    refs: Vec<Value>,
}

/// A heap and what should be in it.
struct World {
    heap: Heap,
    context: VMStoreContext,
    types: Vec<Type>,
    roots: Vec<u32>,
    wanted: Vec<Value>,
    objects: Vec<Object>,
    seed: u64,
    marked: Seen,
}

#[derive(Default)]
struct Seen(BTreeSet<u32>);

impl Marks for Seen {
    fn mark(&mut self, reference: u32) {
        self.0.insert(reference >> 3);
    }
}

impl World {
    fn new(settings: HeapSettings) -> World {
        let types = vec![
            Type::new(Struct, 24, &[8, 12]),
            Type::new(Struct, 16, &[]),
            Type::new(Struct, 8, &[]),
            Type::new(Struct, 104, &[8, 60, 100]),
            Type::new(Exception, 32, &[16, 28]),
            Type::new(Array, 4, &[0]),
            Type::new(Array, 1, &[]),
            Type::new(Array, 16, &[]),
        ];
        let (mut heap, context) = (Heap::default(), VMStoreContext::default());
        heap.configure(settings);
        heap.enter(&context).unwrap();
        let (roots, wanted, objects) = (Vec::new(), Vec::new(), Vec::new());
        World { heap, context, types, roots, wanted, objects, seed: 88_172_645_463_325_252, marked: Seen::default() }
    }

    fn random(&mut self, below: usize) -> usize {
        self.seed ^= self.seed << 13;
        self.seed ^= self.seed >> 7;
        self.seed ^= self.seed << 17;
        (self.seed >> 11) as usize % below
    }

    fn at(&self, reference: u32) -> *mut u8 {
        self.heap.base().unwrap().as_ptr().wrapping_add(reference as usize)
    }

    fn collect(&mut self, extent: Extent) -> bool {
        self.collect_for(extent, 0)
    }

    fn collect_for(&mut self, extent: Extent, size: usize) -> bool {
        let World { heap, context, roots, marked, .. } = self;
        marked.0.clear();
        // SAFETY: the roots are all references that are used.
        unsafe {
            heap.collect(context, extent, size, Some(marked), |tracer| {
                for root in roots.iter_mut() {
                    *root = tracer.root(*root);
                }
            })
        }
    }

    fn place(&mut self, size: usize) -> Option<usize> {
        if self.heap.is_beyond(size) {
            return None;
        }
        if self.heap.stress() {
            self.collect(Extent::Full);
        }
        if let Some(at) = self.heap.place(&self.context, size) {
            return Some(at);
        }
        for extent in [self.heap.due(), Extent::Full] {
            self.collect_for(extent, size);
            if extent == Extent::Full && self.heap.is_full() {
                return None;
            }
            if let Some(at) = self.heap.place(&self.context, size) {
                return Some(at);
            }
        }
        None
    }

    /// Allocates an object whose references are roots or plain values, and
    /// makes it a root.
    fn allocate(&mut self, ty: usize, length: usize) -> bool {
        let size = self.types[ty].bytes(length);
        let Some(at) = self.place(size) else { return false };
        let descriptor = self.types[ty].descriptor();
        let object = self.at(at as u32);
        let fill = self.random(256) as u8;
        // SAFETY: room for the object.
        unsafe {
            object.write_bytes(fill, size);
            object.cast::<*const Descriptor>().write(descriptor);
            if self.types[ty].kind == Array {
                object.add(8).cast::<u32>().write(length as u32);
            }
        }
        let mut refs = Vec::new();
        for offset in self.types[ty].references(length) {
            let (bits, value) = self.value();
            // SAFETY: in the object.
            unsafe { object.add(offset).cast::<u32>().write(bits) };
            refs.push(value);
        }
        self.objects.push(Object { ty, length, fill, refs });
        self.roots.push(at as u32);
        self.wanted.push(Value::Object(self.objects.len() - 1));
        true
    }

    fn value(&mut self) -> (u32, Value) {
        let plain = |bits| (bits, Value::Plain(bits));
        match self.random(8) {
            0 => plain(0),
            1 => plain((self.random(1 << 20) as u32) << 1 | 1),
            2 => plain((self.random(1 << 10) as u32) << 3 | 2),
            _ if self.roots.is_empty() => plain(0),
            _ => {
                let index = self.random(self.roots.len());
                (self.roots[index], self.wanted[index])
            }
        }
    }

    /// Changes a reference in an object that is a root.
    fn mutate(&mut self) {
        let root = self.random(self.roots.len().max(1));
        let Some(Value::Object(id)) = self.wanted.get(root).copied() else { return };
        let offsets = self.types[self.objects[id].ty].references(self.objects[id].length);
        if offsets.is_empty() {
            return;
        }
        let field = self.random(offsets.len());
        let (bits, value) = self.value();
        // SAFETY: in the object.
        unsafe { self.at(self.roots[root]).add(offsets[field]).cast::<u32>().write(bits) };
        self.objects[id].refs[field] = value;
    }

    fn forget(&mut self, count: usize) {
        for _ in 0..count.min(self.roots.len()) {
            let index = self.random(self.roots.len());
            self.roots.swap_remove(index);
            self.wanted.swap_remove(index);
        }
    }

    /// Compares what can be reached with the model, sharing included; how many
    /// objects and bytes that is.
    fn check(&self) -> (usize, usize) {
        let mut known: HashMap<usize, u32> = HashMap::new();
        let mut places: HashMap<u32, usize> = HashMap::new();
        let mut todo: Vec<(u32, Value)> = self.roots.iter().copied().zip(self.wanted.iter().copied()).collect();
        let mut bytes = 0;
        while let Some((bits, value)) = todo.pop() {
            let id = match value {
                Value::Plain(plain) => {
                    assert_eq!(bits, plain);
                    continue;
                }
                Value::Object(id) => id,
            };
            assert_eq!(bits & 7, 0);
            if let Some(place) = known.insert(id, bits) {
                assert_eq!(place, bits, "two copies of an object");
                continue;
            }
            assert_eq!(places.insert(bits, id), None, "two objects in one place");
            let Object { ty, length, fill, refs } = &self.objects[id];
            let (at, ty) = (self.at(bits), &self.types[*ty]);
            // SAFETY: an object of this type is there.
            let content = unsafe { std::slice::from_raw_parts(at, ty.bytes(*length)) };
            assert_eq!(content[..8], (ty.descriptor() as u64).to_ne_bytes());
            let offsets = ty.references(*length);
            let mut expected = vec![*fill; content.len()];
            let first = if ty.kind == Array { 12 } else { 8 };
            expected[..first].copy_from_slice(&content[..first]);
            for (offset, value) in offsets.iter().zip(refs) {
                let reference = &content[*offset..offset + 4];
                expected[*offset..offset + 4].copy_from_slice(reference);
                todo.push((u32::from_ne_bytes(reference.try_into().unwrap()), *value));
            }
            assert!(content == expected, "the content of an object of {} bytes has changed", content.len());
            bytes += content.len();
        }
        (known.len(), bytes)
    }
}

fn settings(limit: usize, initial: usize, stress: bool) -> HeapSettings {
    HeapSettings { limit, initial, stress }
}

#[test]
fn random_graphs_stay_what_they_are() {
    for (stress, steps, limit) in [(false, 20_000, 1 << 30), (true, 600, 1 << 30), (false, 20_000, 2 << 20)] {
        let mut world = World::new(settings(limit, 64 << 10, stress));
        for step in 0..steps {
            let ty = world.random(world.types.len());
            let length = match world.random(200) {
                0 => world.random(40_000),
                _ => world.random(20),
            };
            let allocated = world.allocate(ty, length);
            assert!(allocated || limit < 1 << 30);
            world.mutate();
            if world.roots.len() > 300 || !allocated {
                world.forget(200);
            }
            if step % 997 == 0 {
                let extent = if world.random(2) == 0 { Extent::Minor } else { Extent::Full };
                assert!(world.collect(extent));
            }
            if step % 499 == 0 {
                world.check();
            }
        }
        assert!(world.collect(Extent::Full));
        let (_, bytes) = world.check();
        assert_eq!(
            world.heap.used(&world.context),
            bytes,
            "a full collection keeps what can be reached and nothing else"
        );
        assert!(world.heap.collections() > 10);
    }
}

#[test]
fn cycles_die_and_marks_are_those_of_what_is_alive() {
    let mut world = World::new(HeapSettings::default());
    for _ in 0..1000 {
        assert!(world.allocate(0, 0));
    }
    assert_eq!(world.heap.collections(), 0);
    for index in 0..1000 {
        let object = world.at(world.roots[index]);
        // SAFETY: fields of the object.
        unsafe {
            object.add(8).cast::<u32>().write(world.roots[(index + 1) % 1000]);
            object.add(12).cast::<u32>().write((index as u32) << 3 | 2);
        }
    }
    world.roots.truncate(1);
    assert!(world.collect(Extent::Full));
    assert_eq!(world.heap.used(&world.context), 1000 * 24);
    assert!(world.marked.0.iter().copied().eq(0..1000));
    world.roots.clear();
    assert!(world.collect(Extent::Full));
    assert_eq!(world.heap.used(&world.context), 0);
    assert!(world.marked.0.is_empty());
}

#[test]
fn everything_moves_in_every_full_collection() {
    let mut world = World::new(settings(1 << 30, 64 << 10, true));
    for ty in 0..4 {
        assert!(world.allocate(ty, 3));
    }
    for _ in 0..5 {
        let before = world.roots.clone();
        assert!(world.collect(Extent::Full));
        assert!(world.roots.iter().zip(before).all(|(now, before)| *now != before));
        assert_eq!(world.context.heap_limit.get(), 0);
        world.check();
    }
}

#[test]
fn garbage_takes_no_more_memory_than_the_nursery() {
    let mut world = World::new(settings(1 << 30, 256 << 10, false));
    for _ in 0..200_000 {
        assert!(world.place(24).is_some());
    }
    assert!(world.heap.collections() >= 200_000 * 24 / (256 << 10));
    assert!(world.heap.resident() <= 512 << 10, "{} bytes", world.heap.resident());
}

#[test]
fn the_heap_grows_with_what_is_alive_and_shrinks_again() {
    let mut world = World::new(settings(1 << 30, 64 << 10, false));
    for _ in 0..300 {
        assert!(world.allocate(6, 100_000));
    }
    assert!(world.collect(Extent::Full));
    let (_, bytes) = world.check();
    assert!(bytes > 30_000_000 && world.heap.resident() >= bytes);
    world.roots.truncate(1);
    world.wanted.truncate(1);
    assert!(world.collect(Extent::Full));
    world.check();
    assert!(world.heap.resident() < 16 << 20, "{} bytes", world.heap.resident());
    world.roots.clear();
    world.wanted.clear();
    world.heap.leave(&world.context);
    assert_eq!((world.context.heap_next.get(), world.context.heap_limit.get()), (0, 0));
    assert!(world.heap.base().is_none());
    assert_eq!(world.heap.resident(), 0);
    world.heap.enter(&world.context).unwrap();
    assert!(world.heap.resident() < 2 << 20, "{} bytes wait for the next store", world.heap.resident());
}

#[test]
fn a_heap_at_its_limit_refuses_and_goes_on_once_something_dies() {
    for limit in [4096, 100_000, 3 << 20] {
        let mut world = World::new(settings(limit, 1 << 20, false));
        assert!(world.place(limit + 8).is_none());
        for round in 0..5 {
            let mut count = 0;
            while world.allocate(0, 0) {
                count += 1;
            }
            assert!(count * 24 <= limit && count * 24 > limit / 10 * 9, "{count} objects in {limit} bytes");
            assert!(!world.allocate(3, 0), "round {round}");
            world.check();
            world.forget(usize::MAX);
            assert!(world.allocate(6, limit / 2));
            world.forget(1);
        }
    }
}

#[test]
fn what_was_asked_for_and_never_written_harms_nobody() {
    let mut world = World::new(settings(1 << 30, 64 << 10, false));
    let array = world.types[5].bytes(30_001);
    for size in [8, 4096, array, 40] {
        let at = world.place(size).unwrap();
        // SAFETY: just placed.
        unsafe { world.at(at as u32).write_bytes(0xff, size) };
        assert!(world.allocate(0, 0));
    }
    for extent in [Extent::Minor, Extent::Full] {
        assert!(world.collect(extent));
        assert_eq!(world.check().1, world.heap.used(&world.context));
    }
}

#[test]
fn another_store_finds_an_empty_heap_in_the_same_place() {
    let mut world = World::new(HeapSettings::default());
    let base = world.heap.base();
    while world.heap.collections() < 3 {
        assert!(world.allocate(0, 0));
    }
    world.heap.leave(&world.context);
    world.heap.configure(settings(1 << 20, 1 << 16, false));
    assert_eq!(world.heap.used(&world.context), 0);
    assert_eq!(world.heap.enter(&world.context).ok(), base);
    assert_eq!((world.heap.used(&world.context), world.heap.collections()), (0, 0));
    world.roots.clear();
    world.wanted.clear();
    assert!(world.allocate(0, 0));
    world.check();
}
