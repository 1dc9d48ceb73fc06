//! Where instances live and how they come to be: every strategy and setting
//! has to pass the same list of behaviours, which is `behaviours!` below. What
//! is particular to pools, limits and resets is in modules of its own.

mod calls;
mod exhaustion;
mod fresh;
mod images;
mod limiters;
mod limits;
mod pool;
mod resets;
mod resident;
mod settings;
mod sizes;
#[cfg(target_os = "linux")]
mod smaps;
mod types;
mod working_set;

use settings::Setting;
use wasmc_loader::{Engine, Instance, InstancePre, Linker, Module, Result, Store, WasmParams, WasmResults};

/// What has to be so under every setting. Each is a function that takes one.
macro_rules! behaviours {
    ($setting:ident) => {
        behaviours! { $setting:
            fresh::statics_and_zeros_are_as_at_first,
            fresh::globals_are_as_at_first_after_a_trap,
            fresh::globals_of_every_type_are_as_at_first,
            fresh::the_size_of_a_memory_is_as_at_first,
            fresh::tables_are_as_at_first_in_content_and_size,
            fresh::dropped_segments_are_there_again,
            fresh::what_the_host_changed_is_as_at_first,
            fresh::the_start_function_runs_for_every_call,
            fresh::every_byte_that_was_written_is_as_at_first,
            fresh::imported_values_of_one_store_do_not_reach_the_next,
            sizes::growth_ends_at_the_limit_of_the_module,
            sizes::a_static_heap_begins_with_extra_pages_and_does_not_grow,
            sizes::a_dynamic_heap_grows_to_the_configured_limit,
            sizes::an_imported_memory_grows_to_its_own_limit,
            sizes::the_tail_of_a_memory_is_inaccessible_again,
            sizes::smaller_and_larger_modules_follow_one_another,
            sizes::several_memories_are_as_at_first,
            sizes::a_module_without_memory_works,
            calls::recursion_works_just_under_the_limit_and_traps_just_over_it,
            calls::ten_thousand_and_one_calls_leave_no_instance_behind,
            calls::two_missing_imports_are_both_named,
            calls::a_missing_import_may_be_allowed_and_names_itself_when_called,
            calls::a_trap_leaves_the_next_call_clean,
            calls::a_panic_of_the_host_leaves_the_next_call_clean,
            calls::an_error_of_the_host_leaves_the_next_call_clean,
            calls::eight_threads_do_not_disturb_each_other,
            calls::host_functions_get_and_give_values,
            calls::pointers_from_a_guest_are_checked,
            limiters::a_limiter_is_asked_for_everything_that_an_instance_takes,
            limiters::memories_and_tables_grow_to_the_limits_of_the_store,
            limiters::growth_in_vain_can_end_the_code,
            limiters::a_limiter_can_fail_and_panic,
            limiters::numbers_of_things_in_a_store_are_limited,
            limiters::what_is_made_for_a_module_is_limited,
            images::the_engine_reports_the_strategy_and_modules_how_memories_begin,
            images::a_sparse_image_is_mapped_as_a_whole,
            images::an_artifact_of_a_file_works_like_one_of_bytes,
            working_set::a_recorded_working_set_changes_nothing_that_can_be_seen,
        }
    };
    ($setting:ident: $($module:ident::$name:ident,)*) => {
        mod $setting {$(
            #[test]
            fn $name() {
                super::$module::$name(&super::Setting::named(stringify!($setting)));
            }
        )*}
    };
}

macro_rules! under {
    ($($setting:ident)*) => {
        $(behaviours!($setting);)*
        /// All settings that the list of behaviours is tried with.
        pub const SETTINGS: &[&str] = &[$(stringify!($setting)),*];
    };
}

under! {
    pooling_copy_on_write recreate_instance_copy_on_write pooling recreate_instance legacy_instance_reuse
    next_available random nothing_kept nothing_kept_copied batched overflowing crowded no_spare_slots
    reset_of_instance reset_of_store reset_of_copies reset_on_demand
    embedded_pooling_copy_on_write embedded_recreate_instance_copy_on_write embedded_pooling
    embedded_recreate_instance embedded_legacy_instance_reuse
    linked_pooling_copy_on_write linked_recreate_instance_copy_on_write linked_pooling
    linked_recreate_instance linked_legacy_instance_reuse
}

/// Compiles text.
fn compile(text: &str) -> Vec<u8> {
    let wasm = wat::parse_str(text).unwrap_or_else(|e| panic!("{e}"));
    let mut options = wasmc::Options::new();
    options.jobs = std::num::NonZeroUsize::new(1);
    wasmc::compile(&wasm, &options).unwrap_or_else(|e| panic!("{e:?}"))
}

/// Loads what [`compile`] returned.
fn try_load(engine: &Engine, artifact: &[u8]) -> Result<Module> {
    wasmc_tests::carriers::load(engine, artifact)
}

fn module(engine: &Engine, text: &str) -> Module {
    try_load(engine, &compile(text)).unwrap_or_else(|e| panic!("{e:?}"))
}

/// A module without imports, ready to be instantiated.
fn pre(module: &Module) -> InstancePre<()> {
    Linker::new(module.engine()).instantiate_pre(module).unwrap_or_else(|e| panic!("{e:?}"))
}

/// Calls an export.
fn call<P: WasmParams, R: WasmResults, T>(
    store: &mut Store<T>,
    instance: Instance,
    name: &str,
    params: P,
) -> Result<R> {
    instance.get_typed_func::<P, R>(&mut *store, name)?.call(store, params)
}
