//! Progress: a bar with the remaining time on a terminal, plain lines elsewhere.
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, Write};

/// Told of each case that is done.
#[derive(Debug)]
pub(crate) struct Progress {
    bar: Option<ProgressBar>,
    total: usize,
    done: usize,
}

impl Progress {
    /// For that many cases, on standard error.
    pub(crate) fn new(total: usize) -> Progress {
        let bar = std::io::stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(
                Some(total as u64),
                ProgressDrawTarget::stderr_with_hz(8),
            );
            let style = ProgressStyle::with_template(
                "{bar:32} {pos}/{len} cases, {elapsed} elapsed, about {eta} left  {wide_msg}",
            );
            bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_bar()));
            bar
        });
        Progress { bar, total, done: 0 }
    }

    /// A case begins.
    pub(crate) fn begin(&self, case: &str) {
        if let Some(bar) = &self.bar {
            bar.set_message(case.to_owned());
        }
    }

    /// A case is done.
    pub(crate) fn end(&mut self, case: &str) {
        self.done += 1;
        match &self.bar {
            Some(bar) => bar.inc(1),
            // A log wants a line now and then, not one for each of two thousand cases.
            None if self.total <= 40 || self.done.is_multiple_of(self.total.div_ceil(20)) => {
                let _ = writeln!(std::io::stderr(), "[{}/{}] {case}", self.done, self.total);
            }
            None => {}
        }
    }

    /// Everything is done.
    pub(crate) fn finish(&self) {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
    }
}
