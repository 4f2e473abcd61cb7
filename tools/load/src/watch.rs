//! What is looked at beside the connections: the processor time as counting begins and ends, progress, and silence.

use std::{
    cell::Cell,
    convert::Infallible,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::{
    error::Error,
    options::Options,
    process::Process,
    tally::{Tally, Window},
};

/// How long a reply may take.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);

/// How often progress is looked at.
const GLANCE: Duration = Duration::from_millis(100);

/// Looks on.
pub(crate) struct Watch<'a> {
    options: &'a Options,
    window: Window,
    tally: &'a Tally,
    bar: ProgressBar,
    begin: Cell<Option<Look>>,
    end: Cell<Option<Look>>,
}

/// Processor time until a moment.
#[derive(Debug, Clone, Copy)]
struct Look {
    at: Instant,
    driver: Duration,
    handler: Option<Duration>,
}

/// What was used in the time that counts.
pub(crate) struct Used {
    pub(crate) seconds: f64,
    /// Seconds of processor time.
    pub(crate) driver: f64,
    pub(crate) handler: Option<f64>,
}

impl<'a> Watch<'a> {
    pub(crate) fn new(options: &'a Options, window: Window, tally: &'a Tally) -> Self {
        let batches = options.batches.map(|batches| u64::from(batches) * u64::from(options.connections));
        let (length, unit) = match batches {
            Some(batches) => (batches, "batches"),
            None => (u64::from(options.warm + options.seconds), "seconds"),
        };
        let template = format!("{{elapsed_precise}} {{wide_bar}} {{human_pos}}/{{human_len}} {unit}: {{msg}}");
        let style = ProgressStyle::with_template(&template).expect("the template is valid");
        let bar = ProgressBar::new(length).with_style(style).with_finish(ProgressFinish::AndClear);
        Self { options, window, tally, bar, begin: Cell::default(), end: Cell::default() }
    }

    /// Looks on until it is dropped, or until nothing moves any more.
    pub(crate) async fn look_on(&self) -> Result<Infallible, Error> {
        let started = Instant::now();
        let (mut seen, mut seen_at) = (0, started);
        loop {
            let now = Instant::now();
            if self.begin.get().is_none() && now >= self.window.begin {
                self.begin.set(Some(self.look()?));
            }
            if self.end.get().is_none() && self.window.is_over(now) {
                self.end.set(Some(self.look()?));
            }
            let requests = self.tally.requests.get();
            if requests > seen {
                (seen, seen_at) = (requests, now);
            } else if now - seen_at > PATIENCE {
                return Err(Error::Silence(PATIENCE));
            }
            self.bar.set_position(self.options.batches.map_or(started.elapsed().as_secs(), |_| requests));
            self.bar.set_message(format!("{} events", self.tally.events.get()));
            let next = [Some(self.window.begin), self.window.end].into_iter().flatten().filter(|moment| *moment > now);
            let next = next.chain([now + GLANCE]).min().expect("one is there");
            tokio::time::sleep_until(next.into()).await;
        }
    }

    /// What was used, when everything is answered.
    pub(crate) fn used(&self) -> Result<Used, Error> {
        let end = match self.end.get() {
            Some(end) => end,
            None => self.look()?,
        };
        let begin = self.begin.get().ok_or(Error::NothingCounted)?;
        let handler = end.handler.zip(begin.handler).map(|(end, begin)| end.saturating_sub(begin).as_secs_f64());
        Ok(Used {
            seconds: (end.at - begin.at).as_secs_f64(),
            driver: end.driver.saturating_sub(begin.driver).as_secs_f64(),
            handler,
        })
    }

    fn look(&self) -> Result<Look, Error> {
        let handler = self
            .options
            .pid
            .map(|pid| Process(pid).processor_time().map_err(|error| Error::ProcessGone { pid, error }));
        let driver = Process::own().processor_time().map_err(Error::NoProc)?;
        Ok(Look { at: Instant::now(), driver, handler: handler.transpose()? })
    }
}
