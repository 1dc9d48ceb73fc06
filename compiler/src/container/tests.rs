//! Writes images with a synthetic text and reads them back.

use super::*;
use cranelift_codegen::ir::{AbiParam, Function, InstBuilder, Signature, types};
use cranelift_codegen::isa::CallConv;
use cranelift_codegen::isa::unwind::UnwindInfo;
use cranelift_codegen::{Context, settings};
use object::{Object, ObjectSection, ObjectSymbol};
use wasmc_artifacts::container::metadata_offset;

/// A real function and its unwind information: something that calls itself.
fn function(arch: Arch) -> (Vec<u8>, UnwindInfo) {
    use cranelift_codegen::ir::{ExtFuncData, ExternalName, UserExternalName, UserFuncName};
    use settings::Configurable;
    let mut flags = settings::builder();
    flags.set("preserve_frame_pointers", "true").unwrap();
    let isa = cranelift_codegen::isa::lookup_by_name(&format!("{}-unknown-linux", arch.name())).unwrap();
    let isa = isa.finish(settings::Flags::new(flags)).unwrap();
    let mut signature = Signature::new(CallConv::Tail);
    signature.params.push(AbiParam::new(types::I64));
    signature.returns.push(AbiParam::new(types::I64));
    let mut function = Function::with_name_signature(UserFuncName::user(0, 0), signature.clone());
    let signature = function.import_signature(signature);
    let name = function.declare_imported_user_function(UserExternalName::new(0, 0));
    let data = ExtFuncData { name: ExternalName::user(name), signature, colocated: true, patchable: false };
    let callee = function.import_function(data);
    let block = function.dfg.make_block();
    let parameter = function.dfg.append_block_param(block, types::I64);
    let mut cursor = cranelift_codegen::cursor::FuncCursor::new(&mut function);
    use cranelift_codegen::cursor::Cursor;
    cursor.insert_block(block);
    let call = cursor.ins().call(callee, &[parameter]);
    let result = cursor.func.dfg.first_result(call);
    let sum = cursor.ins().iadd(result, parameter);
    cursor.ins().return_(&[sum]);
    let mut context = Context::for_function(function);
    let code = context.compile(&*isa, &mut Default::default()).unwrap();
    let unwind = code.create_unwind_info(&*isa).unwrap().unwrap();
    (code.code_buffer().to_vec(), unwind)
}

/// A text of several functions and some data, with everything that refers to it.
struct Sample {
    arch: Arch,
    text: Vec<u8>,
    names: Vec<String>,
    functions: Vec<(u32, u32)>,
    unwind: UnwindInfo,
    debug: Vec<DebugSection>,
}

const FUNCTIONS: usize = 20;

impl Sample {
    fn new(arch: Arch) -> Sample {
        let (code, unwind) = function(arch);
        let (mut text, mut functions) = (Vec::new(), Vec::new());
        for _ in 0..FUNCTIONS {
            text.resize(text.len().next_multiple_of(32), 0);
            functions.push((text.len() as u32, code.len() as u32));
            text.extend_from_slice(&code);
        }
        text.extend_from_slice(b"table");
        let names = (0..FUNCTIONS).map(|i| format!("function {i} <späte>")).collect();
        let mut bytes = vec![1, 2, 3];
        bytes.extend_from_slice(&u64::from(functions[1].0).to_le_bytes());
        let debug = vec![DebugSection { name: ".debug_test", bytes, text_addresses: vec![3], section_offsets: vec![] }];
        Sample { arch, text, names, functions, unwind, debug }
    }

    /// The file, written with `change` made to the image.
    fn write(&self, container: Container, change: impl FnOnce(&mut Image<'_>)) -> (Placement, Vec<u8>) {
        let functions = self.names.iter().zip(&self.functions);
        let mut symbols: Vec<_> = functions
            .map(|(name, (offset, size))| Symbol { name, offset: *offset, size: *size, kind: SymbolKind::Function })
            .collect();
        let table = self.text.len() as u32 - 5;
        symbols.push(Symbol { name: "read-only table", offset: table, size: 5, kind: SymbolKind::Data });
        symbols.push(Symbol { name: "", offset: table, size: 0, kind: SymbolKind::Data });
        let unwind = |&(offset, length): &(u32, u32)| Unwind { offset, length, info: &self.unwind };
        let unwind: Vec<_> = self.functions.iter().map(unwind).collect();
        let metadata = vec![0x77; 1000];
        let mut image = Image {
            arch: self.arch,
            os: if container == Container::Elf { Os::Linux } else { Os::Macos },
            page_shift: if self.arch == Arch::X86_64 { 12 } else { 14 },
            container,
            text: &self.text,
            symbols: &symbols,
            unwind: &unwind,
            metadata_length: metadata.len(),
            pages: &[&[1; 4096], &[2; 70_000]],
            data: &[b"first", b"", b"second"],
            debug: &self.debug,
            strip: false,
        };
        change(&mut image);
        let placement = place(&image).unwrap();
        let file = write(&image, &placement, &metadata[..image.metadata_length]);
        (placement, file)
    }
}

/// All kinds of file.
fn samples() -> impl Iterator<Item = (Sample, Container)> {
    [Arch::X86_64, Arch::Aarch64]
        .into_iter()
        .flat_map(|arch| [Container::Elf, Container::MachO].map(|container| (Sample::new(arch), container)))
}

fn at(file: &[u8], offset: u64, length: usize) -> &[u8] {
    &file[offset as usize..offset as usize + length]
}

#[test]
fn everything_is_where_the_placement_says() {
    for (sample, container) in samples() {
        let (placement, file) = sample.write(container, |_| {});
        assert_eq!(Container::of(&file), Some(container));
        assert_eq!(metadata_offset(&file), Ok(placement.metadata as usize));
        assert_eq!(at(&file, placement.text.offset, sample.text.len()), sample.text);
        assert_eq!(placement.mapped, placement.text.offset + sample.text.len() as u64);
        for (name, (offset, length)) in sample.names.iter().zip(&placement.names) {
            assert_eq!(at(&file, u64::from(*offset), *length as usize), name.as_bytes());
        }
        assert_eq!(placement.names.last(), Some(&(0, 0)), "a symbol without name has none");
        let page = if sample.arch == Arch::X86_64 { 1 << 12 } else { 1 << 14 };
        for offset in placement.pages.iter().chain([&placement.text.offset]) {
            assert_eq!(offset % page, 0);
        }
        assert_eq!(at(&file, placement.pages[1], 70_000), [2; 70_000]);
        let end = placement.pages[1] + 70_000;
        let padding = end.next_multiple_of(page) - end;
        assert!(at(&file, end, padding as usize).iter().all(|b| *b == 0));
        assert_eq!(at(&file, placement.data[0], 5), b"first");
        assert_eq!(at(&file, placement.data[2], 6), b"second");
    }
}

#[test]
fn the_content_hash_is_that_of_the_content() {
    for (sample, container) in samples() {
        let (placement, file) = sample.write(container, |_| {});
        let hash_at = placement.metadata as usize + Header::CONTENT_HASH_OFFSET;
        assert_eq!(file[hash_at..hash_at + 32], content_digest(&file, hash_at).unwrap());
        assert_eq!(file, sample.write(container, |_| {}).1, "the same image gives the same file");
    }
}

#[test]
fn goblin_sees_segments_that_are_aligned_separate_and_never_writable_code() {
    use goblin::elf::program_header::{PF_W, PF_X, PT_LOAD};
    for (sample, container) in samples() {
        let (_, file) = sample.write(container, |_| {});
        let (mut ranges, page): (Vec<(u64, u64)>, _) = match goblin::Object::parse(&file).unwrap() {
            goblin::Object::Elf(elf) => {
                assert!(elf.program_headers.iter().all(|h| h.p_flags & (PF_W | PF_X) != PF_W | PF_X));
                assert!(elf.dynrels.is_empty() && elf.dynrelas.is_empty() && elf.pltrelocs.is_empty());
                assert!(elf.shdr_relocs.is_empty() && elf.dynsyms.is_empty());
                let loads: Vec<_> = elf.program_headers.iter().filter(|h| h.p_type == PT_LOAD).collect();
                assert!(loads.iter().all(|h| h.p_offset == h.p_vaddr));
                (loads.iter().map(|h| (h.p_offset, h.p_offset + h.p_filesz)).collect(), loads[0].p_align)
            }
            goblin::Object::Mach(goblin::mach::Mach::Binary(mach)) => {
                assert!(mach.segments.iter().all(|s| s.initprot & 6 != 6 && s.fileoff == s.vmaddr));
                assert!(mach.relocations().unwrap().is_empty());
                assert!(mach.imports().unwrap().is_empty());
                let page = if sample.arch == Arch::X86_64 { 1 << 12 } else { 1 << 14 };
                (mach.segments.iter().map(|s| (s.fileoff, s.fileoff + s.filesize)).collect(), page)
            }
            other => panic!("{other:?} is neither ELF nor Mach-O"),
        };
        ranges.sort_unstable();
        assert!(ranges.iter().all(|(start, end)| start % page == 0 && *end <= file.len() as u64));
        assert!(ranges.windows(2).all(|pair| pair[0].1 <= pair[1].0), "{ranges:x?} overlap");
    }
}

#[test]
fn object_sees_every_symbol_and_no_relocation() {
    for (sample, container) in samples() {
        let (placement, file) = sample.write(container, |_| {});
        let parsed = object::File::parse(&*file).unwrap();
        assert!(parsed.sections().all(|section| section.relocations().next().is_none()));
        let prefix = if container == Container::Elf { "" } else { "_" };
        let symbols: Vec<_> = parsed.symbols().filter(|symbol| symbol.is_definition()).collect();
        for (symbol, (name, (offset, size))) in symbols.iter().zip(sample.names.iter().zip(&sample.functions)) {
            assert_eq!(symbol.name().unwrap(), format!("{prefix}{name}"));
            assert_eq!(symbol.address(), placement.text.offset + u64::from(*offset));
            assert!(container == Container::MachO || symbol.size() == u64::from(*size));
            assert_eq!(symbol.section_index(), Some(parsed.section_by_name(".text").unwrap().index()));
        }
        let mut ranges: Vec<_> = parsed.sections().filter_map(|section| section.file_range()).collect();
        ranges.sort_unstable();
        assert!(ranges.windows(2).all(|pair| pair[0].0 + pair[0].1 <= pair[1].0), "{ranges:x?} overlap");
    }
}

#[test]
fn addresses_in_debug_sections_are_those_of_the_text() {
    for (sample, container) in samples() {
        let (placement, file) = sample.write(container, |_| {});
        let parsed = object::File::parse(&*file).unwrap();
        let section = parsed.section_by_name(".debug_test").unwrap().data().unwrap();
        assert_eq!(section[..3], [1, 2, 3]);
        let address = placement.text.offset + u64::from(sample.functions[1].0);
        assert_eq!(section[3..], address.to_le_bytes());
        if container == Container::Elf {
            let list = parsed.section_by_name(wasmc_artifacts::container::ELF_ADDRESSES).unwrap().data().unwrap();
            let place = u32::from_le_bytes(list.try_into().unwrap());
            assert_eq!(at(&file, place.into(), 8), address.to_le_bytes());
        }
    }
}

#[test]
fn every_function_can_be_found_and_unwound() {
    use gimli::{BaseAddresses, EhFrame, EhFrameHdr, LittleEndian, UnwindSection};
    for (sample, container) in samples() {
        let (placement, file) = sample.write(container, |_| {});
        let section = at(&file, placement.eh_frame.offset, placement.eh_frame.length as usize);
        let bases = BaseAddresses::default().set_eh_frame(placement.eh_frame.offset).set_text(placement.text.offset);
        let frames = EhFrame::new(section, LittleEndian);
        let parsed = object::File::parse(&*file).unwrap();
        let search = parsed.section_by_name(".eh_frame_hdr");
        assert_eq!(search.is_some(), container == Container::Elf);
        for (offset, size) in &sample.functions {
            let address = placement.text.offset + u64::from(offset + size - 1);
            let entry = frames.fde_for_address(&bases, address, EhFrame::cie_from_offset).unwrap();
            assert_eq!(entry.initial_address(), placement.text.offset + u64::from(*offset));
            assert_eq!(entry.len(), u64::from(*size));
            if let Some(search) = &search {
                let bases = bases.clone().set_eh_frame_hdr(search.address());
                let header = EhFrameHdr::new(search.data().unwrap(), LittleEndian).parse(&bases, 8).unwrap();
                let table = header.table().unwrap();
                let found = table.fde_for_address(&frames, &bases, address, EhFrame::cie_from_offset).unwrap();
                assert_eq!(found.offset(), entry.offset());
            }
        }
    }
}

#[test]
fn an_object_file_carries_the_artifact_and_what_tools_need_to_see_into_it() {
    for (sample, container) in samples() {
        let mut made = None;
        let debug = &sample.debug;
        let (placement, file) = sample.write(container, |image| {
            image.debug = &[];
            let placement = place(image).unwrap();
            let artifact = write(image, &placement, &[0x77; 1000]);
            made = Some(relocatable(image, &placement, &artifact, &symbol_for("späte-1"), debug).unwrap());
        });
        let made = made.unwrap();
        let parsed = object::File::parse(&*made).unwrap();
        assert_eq!(parsed.kind(), object::ObjectKind::Relocatable);
        let prefix = if container == Container::Elf { "" } else { "_" };
        let find = |name: &str| {
            let name = format!("{prefix}{name}");
            parsed.symbols().find(|symbol| symbol.name() == Ok(&name)).unwrap_or_else(|| panic!("no {name}"))
        };
        let (start, end) = (find("wasmc_sp_te_1"), find("wasmc_sp_te_1_end"));
        assert!(start.is_global() && end.is_global());
        let section = parsed.section_by_index(start.section_index().unwrap()).unwrap();
        assert_eq!(section.kind(), object::SectionKind::Text);
        let data = section.data().unwrap();
        assert!(data.starts_with(&file) && data.len().is_multiple_of(section.align() as usize));
        assert!(data[file.len()..].iter().all(|byte| *byte == 0), "padded with zeros");
        assert_eq!(end.address() - start.address(), file.len() as u64);
        let function = find(&sample.names[1]);
        assert_eq!(function.address() - start.address(), placement.text.offset + u64::from(sample.functions[1].0));
        let relocations = |name: &str| parsed.section_by_name(name).unwrap().relocations().count();
        assert!(container == Container::MachO || relocations(".eh_frame") == FUNCTIONS);
        assert_eq!(relocations(".debug_test"), 1);
    }
}

#[test]
fn stripping_leaves_no_name() {
    for (sample, container) in samples() {
        let (placement, file) = sample.write(container, |image| image.strip = true);
        assert!(placement.names.iter().all(|name| *name == (0, 0)));
        assert_eq!(object::File::parse(&*file).unwrap().symbols().count(), 0);
        assert!(!file.windows(8).any(|window| window == b"function"));
    }
}

#[test]
fn an_image_without_code_and_data_is_a_valid_file() {
    for (sample, container) in samples() {
        let (placement, file) = sample.write(container, |image| {
            (image.text, image.symbols, image.unwind) = (&[], &[], &[]);
            (image.pages, image.data, image.debug) = (&[], &[], &[]);
        });
        goblin::Object::parse(&file).unwrap();
        object::File::parse(&*file).unwrap();
        assert_eq!(metadata_offset(&file), Ok(placement.metadata as usize));
        assert!(placement.mapped <= file.len() as u64);
    }
}

#[test]
fn what_does_not_fit_is_an_error() {
    for (sample, container) in samples() {
        let large = vec![0; (1 << 31) + 1];
        sample.write(container, |image| {
            let too_large = Image { text: &large, symbols: &[], unwind: &[], ..*image };
            assert!(matches!(place(&too_large), Err(Error::TooLarge { what: "the machine code", .. })));
            let metadata = Image { metadata_length: usize::MAX, ..*image };
            assert!(matches!(place(&metadata), Err(Error::TooLarge { what: "the metadata", .. })));
            let pages: [&[u8]; 3] = [&large; 3];
            let images = place(&Image { pages: &pages, ..*image });
            assert!(matches!(images, Err(Error::TooLarge { what, .. }) if what != "the machine code"));
            let short = Image { text: &image.text[..9], ..*image };
            assert!(matches!(place(&short), Err(Error::OutsideText { .. })));
        });
    }
}
