//! The progress of a long compilation, shown on a terminal.

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

/// A compilation that is over sooner shows no bar.
const PATIENCE: Duration = Duration::from_millis(700);

/// Counts functions, and draws a bar when that takes long. Where stderr is not
/// a terminal nothing is drawn.
pub(crate) struct Progress {
    started: Instant,
    total: AtomicUsize,
    bar: Option<OnceLock<ProgressBar>>,
}

impl Progress {
    pub(crate) fn new(visible: bool) -> Arc<Progress> {
        Arc::new(Progress { started: Instant::now(), total: AtomicUsize::new(0), bar: visible.then(OnceLock::new) })
    }

    /// What the compiler calls.
    pub(crate) fn callback(self: &Arc<Self>) -> wasmc::Progress {
        let this = Arc::clone(self);
        Arc::new(move |done, total| this.advance(done, total))
    }

    fn advance(&self, done: usize, total: usize) {
        self.total.store(total, Ordering::Relaxed);
        let Some(bar) = &self.bar else { return };
        if bar.get().is_none() && self.started.elapsed() < PATIENCE {
            return;
        }
        let bar = bar.get_or_init(|| {
            let style = ProgressStyle::with_template("{bar:40} {human_pos}/{human_len} functions, {eta} left");
            let bar = ProgressBar::with_draw_target(Some(total as u64), ProgressDrawTarget::stderr_with_hz(10));
            bar.with_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()))
        });
        bar.set_position(done as u64);
    }

    /// Takes the bar away. The number of functions compiled.
    pub(crate) fn finish(&self) -> usize {
        if let Some(bar) = self.bar.as_ref().and_then(OnceLock::get) {
            bar.finish_and_clear();
        }
        self.total.load(Ordering::Relaxed)
    }
}
