//! Every system call that the loader makes fails, one after the other: that is
//! an error, and leaves nothing behind.

use crate::child;
use crate::guests::{self, Tenant};
use crate::inject;
use crate::sequence::{Guest, all, check_message, configs, instances, intact};
use crate::usage::Usage;
use wasmc_loader::{Engine, InstantiationStrategy, Result};

/// Runs `work` again and again, each time with other system calls failing: one
/// of them, two (what fails for want of a mapping is tried twice), or all from
/// one on. `after` is run each time with none failing.
fn fail_each(work: impl Fn() -> Result<()>, after: impl Fn()) {
    let mut failed = 0;
    for many in [1, 2, usize::MAX] {
        for first in 1.. {
            let (result, calls) = inject::failing(first, many, &work);
            if let Err(error) = result {
                failed += 1;
                check_message(&error);
            }
            after();
            if calls < first {
                break;
            }
        }
    }
    assert!(failed > 20, "only {failed} system calls matter");
}

#[test]
fn whatever_system_call_fails_nothing_is_left() {
    child::alone("failures::whatever_system_call_fails_nothing_is_left", || {
        let guest = Guest::new();
        inject::arm();
        for config in configs() {
            all(&config, &guest).unwrap();
            let before = Usage::now();
            fail_each(|| all(&config, &guest), || before.assert_flat(0, 256));
            all(&config, &guest).unwrap();
        }
    });
}

#[test]
fn whatever_system_call_fails_a_pool_loses_no_slot() {
    child::alone("failures::whatever_system_call_fails_a_pool_loses_no_slot", || {
        let guest = Guest::new();
        inject::arm();
        for config in configs() {
            let engine = Engine::new(&config).unwrap();
            let pres = guest.load(&engine).unwrap();
            instances(&pres[0], &pres[1]).unwrap();
            intact(&engine, &pres);
            let before = Usage::now();
            let after = || {
                intact(&engine, &pres);
                before.assert_flat(40, 1024);
            };
            fail_each(|| instances(&pres[0], &pres[1]), after);
        }
    });
}

/// The first engine of a process tries out what the system can do.
#[test]
fn what_is_tried_out_while_the_system_fails_is_tried_out_again() {
    const NAME: &str = "failures::what_is_tried_out_while_the_system_fails_is_tried_out_again";
    let case = |step: &str| {
        let artifact = guests::artifact(guests::SMALL);
        inject::arm();
        let first = step.parse().unwrap();
        let start = || {
            let engine = Engine::new(&guests::pool(2))?;
            let pre = guests::link(&guests::load(&engine, &artifact)?)?;
            let mut tenant = Tenant::new(&pre)?;
            tenant.settle(guests::SMALL_FIRST, 1);
            tenant.store.reset()
        };
        let _ = inject::failing(first, 4, start);
        let engine = Engine::new(&guests::pool(2)).unwrap();
        assert_eq!(engine.instantiation_strategy(), InstantiationStrategy::PoolingCopyOnWrite);
        let pre = guests::link(&guests::load(&engine, &artifact).unwrap()).unwrap();
        let mut tenant = Tenant::new(&pre).unwrap();
        tenant.settle(guests::SMALL_FIRST, 1);
        if !cfg!(feature = "portable-unix") && wasmc_tests::kernel_tells_written_pages() {
            pre.module().record_working_set(&tenant.store, &tenant.instance).unwrap();
        }
    };
    for first in (1..80).step_by(2) {
        child::run(NAME, &first.to_string(), case);
        if child::is_child() {
            break;
        }
    }
}
