//! `.eh_frame` and its search table.

use super::Error;
use cranelift_codegen::gimli::write::{Address, CallFrameInstruction, CommonInformationEntry, EhFrame, EndianVec};
use cranelift_codegen::gimli::write::{FrameTable, Result as GimliResult};
use cranelift_codegen::gimli::{
    AArch64, DW_EH_PE_datarel, DW_EH_PE_pcrel, DW_EH_PE_sdata4, DW_EH_PE_udata4, DwEhPe, Encoding, Format,
    LittleEndian, X86_64,
};
use cranelift_codegen::isa::unwind::UnwindInfo;
use wasmc_artifacts::abi::Arch;

/// How to unwind through one function.
#[derive(Debug, Clone, Copy)]
pub struct Unwind<'a> {
    /// First byte of the function, in the text.
    pub offset: u32,
    /// Bytes of its code.
    pub length: u32,
    /// What Cranelift says about it; must be of the System V kind.
    pub info: &'a UnwindInfo,
}

/// Distance of a code address from the start of its entry: the entry's length
/// and the distance to its CIE come first, both 32 bits wide.
const ADDRESS_IN_ENTRY: usize = 8;

/// An entry of length 0, where run-time unwinders stop.
const END_MARK: [u8; 4] = [0; 4];

/// Bytes before the rows of the search table.
const SEARCH_HEADER: u64 = 12;

/// The unwind information of a text, before either has an address.
#[derive(Debug)]
pub(super) struct Frames {
    /// The section; code addresses in it are still to be filled in.
    section: Vec<u8>,
    /// Of each entry: its function's offset in the text, its own in the section.
    entries: Vec<(u32, u32)>,
}

impl Frames {
    pub(super) fn new(arch: Arch, unwind: &[Unwind<'_>]) -> Result<Frames, Error> {
        if unwind.is_empty() {
            return Ok(Frames { section: Vec::new(), entries: Vec::new() });
        }
        let mut table = FrameTable::default();
        let cie = table.add_cie(common_entry(arch));
        for function in unwind {
            let UnwindInfo::SystemV(info) = function.info else {
                return Err(error(function, "it is not of the System V kind"));
            };
            // gimli subtracts the entry's own position, which is refilled below.
            table.add_fde(cie, info.to_fde(Address::Constant(u64::from(function.offset))));
        }
        let mut section = EhFrame(EndianVec::new(LittleEndian));
        let written: GimliResult<()> = table.write_eh_frame(&mut section);
        written.map_err(|reason| error(&unwind[0], &reason.to_string()))?;
        let mut section = section.0.into_vec();
        let entries = entries(&section, unwind);
        section.extend_from_slice(&END_MARK);
        Ok(Frames { section, entries })
    }

    /// Bytes of the section.
    pub(super) fn length(&self) -> u64 {
        self.section.len() as u64
    }

    /// The section's content when it is at `section_at` and the text at `text_at`.
    pub(super) fn bytes(&self, section_at: u64, text_at: u64) -> Vec<u8> {
        let mut bytes = self.section.clone();
        for (function, entry) in &self.entries {
            let field = *entry as usize + ADDRESS_IN_ENTRY;
            let distance = relative(text_at + u64::from(*function), section_at + field as u64);
            bytes[field..field + 4].copy_from_slice(&distance);
        }
        bytes
    }

    /// The section's content for a linker, which fills in where functions are
    /// and adds an end mark itself; and for each function, the field that
    /// needs the distance to it, and its offset in the text.
    pub(super) fn unplaced(&self) -> (Vec<u8>, Vec<(u32, u32)>) {
        let mut bytes = self.section[..self.section.len().saturating_sub(END_MARK.len())].to_vec();
        let field = |&(function, entry): &(u32, u32)| (entry + ADDRESS_IN_ENTRY as u32, function);
        let fields: Vec<_> = self.entries.iter().map(field).collect();
        for (field, _) in &fields {
            bytes[*field as usize..][..4].fill(0);
        }
        (bytes, fields)
    }

    /// Bytes of the search table.
    pub(super) fn search_length(&self) -> u64 {
        if self.entries.is_empty() { 0 } else { SEARCH_HEADER + 8 * self.entries.len() as u64 }
    }

    /// `.eh_frame_hdr` when it is at `search_at`: the section's address, the
    /// number of functions, then for each the code and the entry, by address.
    pub(super) fn search(&self, search_at: u64, section_at: u64, text_at: u64) -> Vec<u8> {
        let encodings = [pe(DW_EH_PE_pcrel, DW_EH_PE_sdata4), DW_EH_PE_udata4, pe(DW_EH_PE_datarel, DW_EH_PE_sdata4)];
        let mut out = Vec::with_capacity(self.search_length() as usize);
        out.push(1);
        out.extend(encodings.map(|encoding| encoding.0));
        out.extend_from_slice(&relative(section_at, search_at + 4));
        out.extend_from_slice(&(self.entries.len() as u32).to_le_bytes());
        let mut entries = self.entries.clone();
        entries.sort_unstable();
        for (function, entry) in entries {
            out.extend_from_slice(&relative(text_at + u64::from(function), search_at));
            out.extend_from_slice(&relative(section_at + u64::from(entry), search_at));
        }
        out
    }
}

/// The distance from `base` to `address`, of which the layout makes sure that
/// it fits 32 bits.
fn relative(address: u64, base: u64) -> [u8; 4] {
    (address.wrapping_sub(base) as u32).to_le_bytes()
}

fn error(function: &Unwind<'_>, reason: &str) -> Error {
    Error::Unwind { offset: function.offset, reason: reason.to_owned() }
}

fn pe(application: DwEhPe, format: DwEhPe) -> DwEhPe {
    DwEhPe(application.0 | format.0)
}

/// Pairs every function with its entry: entries follow each other in the
/// order of the functions, only a CIE (whose second word is 0) has none.
fn entries(section: &[u8], unwind: &[Unwind<'_>]) -> Vec<(u32, u32)> {
    let word = |at: usize| section.get(at..)?.first_chunk().map(|b| u32::from_le_bytes(*b));
    let mut found = Vec::with_capacity(unwind.len());
    let mut functions = unwind.iter();
    let mut at = 0;
    while let (Some(length), Some(cie)) = (word(at), word(at + 4)) {
        if cie != 0 {
            found.extend(functions.next().map(|function| (function.offset, at as u32)));
        }
        at += 4 + length as usize;
    }
    debug_assert_eq!(found.len(), unwind.len(), "every function has an entry");
    found
}

/// The state at a function's first instruction, as its caller left it.
fn common_entry(arch: Arch) -> CommonInformationEntry {
    let encoding = Encoding { address_size: 8, format: Format::Dwarf32, version: 1 };
    let mut entry = match arch {
        Arch::X86_64 => {
            let mut entry = CommonInformationEntry::new(encoding, 1, -8, X86_64::RA);
            entry.add_instruction(CallFrameInstruction::Cfa(X86_64::RSP, 8));
            entry.add_instruction(CallFrameInstruction::Offset(X86_64::RA, -8));
            entry
        }
        Arch::Aarch64 => {
            let mut entry = CommonInformationEntry::new(encoding, 4, -8, AArch64::X30);
            entry.add_instruction(CallFrameInstruction::Cfa(AArch64::SP, 0));
            entry
        }
    };
    entry.fde_address_encoding = pe(DW_EH_PE_pcrel, DW_EH_PE_sdata4);
    entry
}
