//! Modules from wasm-smith: valid, of any shape, meaning nothing.

use crate::choices::Choices;
use crate::features::Features;
use arbitrary::Unstructured;
use wasm_encoder::reencode::{Error, Reencode};
use wasm_encoder::{CodeSection, Instruction};
use wasm_smith::{Config, Module};
use wasmparser::{FunctionBody, Operator, Parser};

/// Calls, loop iterations and units of bulk work after which a module stops
/// itself.
const FUEL: u32 = 1000;

/// A module made from the bytes, if they can be one.
///
/// It stops after a while and leaves nothing open: sizes have limits that
/// memory suffices for, and floats have one NaN unless the sides see to that.
pub fn generate(bytes: &[u8], canonical_nans: bool, features: Features) -> Option<Vec<u8>> {
    let mut choices = Choices::new(bytes);
    let mut config = config(&mut choices, features);
    config.canonicalize_nans = canonical_nans;
    let mut module = Module::new(config, &mut Unstructured::new(choices.rest())).ok()?;
    module.ensure_termination(FUEL).ok()?;
    let wasm = module.to_bytes();
    Some(if features.threads { without_waits(&wasm).expect("the module is a valid one") } else { wasm })
}

/// The module with timeouts of 0: nobody would ever notify.
fn without_waits(wasm: &[u8]) -> Result<Vec<u8>, Error> {
    let mut module = wasm_encoder::Module::new();
    Impatient.parse_core_module(&mut module, Parser::new(0), wasm)?;
    Ok(module.finish())
}

struct Impatient;

impl Reencode for Impatient {
    type Error = std::convert::Infallible;

    fn parse_function_body(&mut self, code: &mut CodeSection, body: FunctionBody<'_>) -> Result<(), Error> {
        let mut function = self.new_function_with_parsed_locals(&body)?;
        let mut reader = body.get_operators_reader()?;
        while !reader.eof() {
            let operator = reader.read()?;
            if matches!(operator, Operator::MemoryAtomicWait32 { .. } | Operator::MemoryAtomicWait64 { .. }) {
                function.instruction(&Instruction::Drop);
                function.instruction(&Instruction::I64Const(0));
            }
            function.instruction(&self.instruction(operator)?);
        }
        code.function(&function);
        Ok(())
    }
}

fn config(choices: &mut Choices<'_>, features: Features) -> Config {
    // Objects and tags have types that imports and parameters are rarely made
    // of; modules without them get farther with everything else.
    let objects = choices.below(2) == 1;
    let gc = features.gc && objects;
    Config {
        // Those are not counted by the fuel.
        limit_arrays_in_const_exprs: true,
        allow_start_export: choices.below(4) == 1,
        // Random addresses hit nothing; these modules get farther.
        disallow_traps: choices.below(2) == 1,
        export_everything: true,
        max_funcs: 12,
        max_imports: choices.pick(&[0, 0, 10]),
        max_instructions: choices.pick(&[20, 100, 1000]),
        max_memories: if features.multi_memory { choices.pick(&[1, 1, 3]) } else { 1 },
        max_memory32_bytes: 1 << 20,
        max_memory64_bytes: 1 << 20,
        max_tables: choices.pick(&[1, 4]),
        max_table_elements: 500,
        max_tags: 8,
        memory_max_size_required: true,
        table_max_size_required: true,
        min_data_segments: choices.below(3),
        min_element_segments: choices.below(3),
        min_funcs: 4,
        min_globals: 2,
        min_memories: u32::from(choices.below(8) != 1),
        min_tables: u32::from(choices.below(4) != 1),
        min_tags: usize::from(features.exceptions),
        min_types: 4,
        tail_call_enabled: features.tail_call && choices.below(2) == 0,
        custom_page_sizes_enabled: features.custom_page_sizes,
        exceptions_enabled: features.exceptions,
        gc_enabled: gc,
        memory64_enabled: features.memory64,
        threads_enabled: features.threads,
        wide_arithmetic_enabled: features.wide_arithmetic,
        // What the sides may answer differently, or one of them does not have.
        acquire_release_atomics_enabled: false,
        compact_imports_enabled: false,
        custom_descriptors_enabled: false,
        multibyte_array_access_enabled: false,
        relaxed_simd_enabled: false,
        shared_everything_threads_enabled: false,
        ..Config::default()
    }
}
