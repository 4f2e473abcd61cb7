//! The progress bar, where there is a terminal.

use std::{
    io::{self, Write as _},
    sync::{Arc, atomic::Ordering::Relaxed},
    time::Duration,
};

use indicatif::{ProgressBar, ProgressStyle};
use tokio::{task::JoinHandle, time::interval};

use crate::{PROGRAM, counts::Counts};

/// A bar, and what keeps it going.
pub(crate) struct Progress {
    bar: ProgressBar,
    updates: JoinHandle<()>,
}

impl Progress {
    /// Starts it; so many events there will be.
    pub(crate) fn start(events: u64, counts: &Arc<Counts>) -> Self {
        let template = "{elapsed_precise} {wide_bar} {human_pos}/{human_len} events, {msg}";
        let style = ProgressStyle::with_template(template).expect("the template is valid");
        let bar = ProgressBar::new(events).with_style(style);
        let (shown, counts) = (bar.clone(), Arc::clone(counts));
        let updates = tokio::spawn(async move {
            let mut tick = interval(Duration::from_millis(100));
            loop {
                tick.tick().await;
                let sent = counts.events.load(Relaxed);
                shown.set_position(sent);
                let rate = u128::from(sent) * 1_000 / shown.elapsed().as_millis().max(1);
                shown.set_message(format!("{rate} events/s, {} retries", counts.retries.load(Relaxed)));
            }
        });
        Self { bar, updates }
    }

    /// What says something beside it.
    pub(crate) fn teller(&self) -> impl Fn(&str) + Send + use<> {
        let bar = self.bar.clone();
        move |text| {
            if bar.is_hidden() {
                // A bar without a terminal prints nothing. Whoever read this may be gone, by the same Ctrl-C.
                let _ = writeln!(io::stderr(), "{PROGRAM}: {text}");
            } else {
                bar.println(text);
            }
        }
    }

    /// Takes it away.
    pub(crate) fn end(self) {
        self.updates.abort();
        self.bar.finish_and_clear();
    }
}
