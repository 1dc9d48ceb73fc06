//! What the loader relies on to leave wasm code whose entry stub got lost with
//! its file: see "Leaving wasm" in `wasmc_artifacts::abi`.

use gimli::{BaseAddresses, CfaRule, EhFrame, LittleEndian, Register, RegisterRule, UnwindContext, UnwindSection};
use object::{Object, ObjectSection, ObjectSymbol};
use wasmc::{OptLevel, Options, Target};
use wasmc_artifacts::abi::Arch;

/// Registers in DWARF's numbering, and where they are below the frame pointer.
fn saved(arch: Arch) -> (Register, Vec<(u16, i64)>) {
    match arch {
        // rbx, r12 to r15 from -48 on.
        Arch::X86_64 => (Register(6), [3, 12, 13, 14, 15].into_iter().zip((-48..0).step_by(8)).collect()),
        // d8 to d15, then x19 to x28, from -144 on.
        Arch::Aarch64 => (Register(29), (72..80).chain(19..29).zip((-144..0).step_by(8)).collect()),
    }
}

/// A module with exported functions of many types: few and many parameters,
/// of every type, more than registers hold; several results.
fn module() -> Vec<u8> {
    let mut text = String::from("(module (memory 1)");
    for count in 0..24 {
        for ty in ["i32", "i64", "f32", "f64", "v128"] {
            let params = vec![ty; count].join(" ");
            let results = vec![ty; count % 4].join(" ");
            text += &format!("(func (export \"{ty}{count}\") (param {params}) (result {results}) unreachable)");
        }
    }
    wat::parse_str(text + ")").unwrap()
}

#[test]
fn entry_stubs_save_registers_where_the_loader_looks_and_stay_within_a_page() {
    let wasm = module();
    for (triple, arch) in [("x86_64-unknown-linux-gnu", Arch::X86_64), ("aarch64-unknown-linux-gnu", Arch::Aarch64)] {
        for level in [OptLevel::None, OptLevel::Basic, OptLevel::Speed, OptLevel::Size] {
            let mut options = Options::new();
            options.target = Target::new(triple).unwrap();
            options.opt_level = level;
            check(&wasmc::compile(&wasm, &options).unwrap(), arch);
        }
    }
}

fn check(artifact: &[u8], arch: Arch) {
    let file = object::File::parse(artifact).unwrap();
    let (text, section) = (file.section_by_name(".text").unwrap(), file.section_by_name(".eh_frame").unwrap());
    let bases = BaseAddresses::default().set_eh_frame(section.address()).set_text(text.address());
    let frames = EhFrame::new(section.data().unwrap(), LittleEndian);
    let (frame_pointer, saved) = saved(arch);
    let mut seen = 0;
    for stub in file.symbols().filter(|symbol| {
        let name = symbol.name().unwrap();
        name.starts_with("wasmc.native_entry") || name.starts_with("wasmc.array_entry")
    }) {
        let name = stub.name().unwrap();
        let (start, end) = (stub.address(), stub.address() + stub.size() - 1);
        assert_eq!(start / 4096, end / 4096, "{name} is in two pages");
        let frame = frames.fde_for_address(&bases, end, EhFrame::cie_from_offset).unwrap();
        let mut context = UnwindContext::new();
        let row = frame.unwind_info_for_address(&frames, &bases, &mut context, end).unwrap();
        // The frame pointer points to its own saved value, below the return address.
        assert_eq!(row.cfa(), &CfaRule::RegisterAndOffset { register: frame_pointer, offset: 16 }, "{name}");
        for (register, below) in &saved {
            assert_eq!(row.register(Register(*register)), Some(RegisterRule::Offset(below - 16)), "{name}: {register}");
        }
        seen += 1;
    }
    // Two for each type; those without parameters are the same for all.
    assert!(seen >= 2 * 5 * 20, "{seen} stubs");
}
