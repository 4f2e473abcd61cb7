//! A progress bar on a terminal.

use std::{
    io::{self, Write as _},
    time::Duration,
};

use devicestate_engine::text::clean;
use indicatif::{ProgressBar, ProgressStyle};
use tokio::{task::JoinHandle, time::interval};

/// A progress bar that is updated ten times per second, until [`Progress::end`].
pub struct Progress {
    program: &'static str,
    bar: ProgressBar,
    updates: JoinHandle<()>,
}

impl Progress {
    /// Starts a bar for the program of this name, within a runtime. `events` is the total, if it is known. `status` returns how
    /// many are done and a text to show with them.
    #[must_use]
    pub fn start(
        program: &'static str,
        events: Option<u64>,
        status: impl Fn() -> (u64, String) + Send + 'static,
    ) -> Self {
        let bar = match events {
            Some(events) => ProgressBar::new(events)
                .with_style(style("{elapsed_precise} {wide_bar} {human_pos}/{human_len} events, {msg}")),
            None => {
                ProgressBar::new_spinner().with_style(style("{elapsed_precise} {spinner} {human_pos} events, {msg}"))
            }
        };
        let shown = bar.clone();
        let updates = tokio::spawn(async move {
            let mut tick = interval(Duration::from_millis(100));
            loop {
                tick.tick().await;
                let (done, more) = status();
                shown.set_position(done);
                let rate = u128::from(done) * 1_000 / shown.elapsed().as_millis().max(1);
                shown.set_message(format!("{rate} events/s, {more}"));
            }
        });
        Self { program, bar, updates }
    }

    /// Returns a function that prints a line above the bar, or to standard error without a terminal.
    pub fn line_printer(&self) -> impl Fn(&str) + Send + use<> {
        let (program, bar) = (self.program, self.bar.clone());
        move |text| {
            let text = clean(text);
            if bar.is_hidden() {
                // A bar without a terminal prints nothing. An error is ignored: Ctrl-C may have ended the reader too.
                let _ = writeln!(io::stderr(), "{program}: {text}");
            } else {
                bar.println(text);
            }
        }
    }

    /// Removes the bar.
    pub fn end(self) {
        self.updates.abort();
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid")
}
