//! The progress bar, where there is a terminal.

use std::{
    io::{self, Write as _},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::{task::JoinHandle, time::interval};

use super::statistics::Statistics;

/// A bar, and what keeps it going.
pub(super) struct Progress {
    bar: ProgressBar,
    updates: JoinHandle<()>,
}

impl Progress {
    /// Starts it; `events` is how many there will be, where that is known.
    pub(super) fn start(events: Option<u64>, statistics: &Arc<Statistics>) -> Self {
        let bar = match events {
            Some(events) => ProgressBar::new(events)
                .with_style(style("{elapsed_precise} {wide_bar} {human_pos}/{human_len} events, {msg}")),
            None => {
                ProgressBar::new_spinner().with_style(style("{elapsed_precise} {spinner} {human_pos} events, {msg}"))
            }
        };
        let (shown, statistics) = (bar.clone(), Arc::clone(statistics));
        let updates = tokio::spawn(async move {
            let mut tick = interval(Duration::from_millis(100));
            loop {
                tick.tick().await;
                let (done, received) = (statistics.done.load(Relaxed), statistics.received.load(Relaxed));
                shown.set_position(done);
                let rate = u128::from(done) * 1_000 / shown.elapsed().as_millis().max(1);
                shown.set_message(format!("{rate} events/s, {} waiting", received.saturating_sub(done)));
            }
        });
        Self { bar, updates }
    }

    /// What says something beside it.
    pub(super) fn teller(&self) -> impl Fn(&str) + Send + use<> {
        let bar = self.bar.clone();
        move |text| {
            if bar.is_hidden() {
                // A bar without a terminal prints nothing. Whoever read this may be gone, by the same Ctrl-C.
                let _ = writeln!(io::stderr(), "devicestate: {text}");
            } else {
                bar.println(text);
            }
        }
    }

    /// Takes it away.
    pub(super) fn end(self) {
        self.updates.abort();
        self.bar.finish_and_clear();
    }
}

fn style(template: &str) -> ProgressStyle {
    ProgressStyle::with_template(template).expect("the template is valid")
}
