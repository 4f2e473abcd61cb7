//! Monitors a run: processor times at the start and the end of the measured time, progress, and missing replies.

use std::{
    cell::Cell,
    convert::Infallible,
    time::{Duration, Instant},
};

use indicatif::{ProgressBar, ProgressFinish, ProgressStyle};

use crate::{
    error::Error,
    metrics::{Metrics, Window},
    options::Options,
    process::Process,
};

/// The longest time without a reply; after it the run fails.
pub(crate) const MAX_REPLY_TIME: Duration = Duration::from_mins(1);

/// The interval between progress updates.
const UPDATE_INTERVAL: Duration = Duration::from_millis(100);

/// Monitors a run.
pub(crate) struct Monitor<'a> {
    options: &'a Options,
    window: Window,
    metrics: &'a Metrics,
    bar: ProgressBar,
    begin: Cell<Option<Sample>>,
    end: Cell<Option<Sample>>,
}

/// Processor times at one moment.
#[derive(Debug, Clone, Copy)]
struct Sample {
    at: Instant,
    driver: Duration,
    handler: Option<Duration>,
}

/// The processor time used in the measured time.
pub(crate) struct Usage {
    pub(crate) seconds: f64,
    /// Seconds of processor time.
    pub(crate) driver: f64,
    pub(crate) handler: Option<f64>,
}

impl<'a> Monitor<'a> {
    pub(crate) fn new(options: &'a Options, window: Window, metrics: &'a Metrics) -> Self {
        let batches = options.batches.map(|batches| u64::from(batches) * u64::from(options.connections));
        let (length, unit) = match batches {
            Some(batches) => (batches, "batches"),
            None => (u64::from(options.warm + options.seconds), "seconds"),
        };
        let template = format!("{{elapsed_precise}} {{wide_bar}} {{human_pos}}/{{human_len}} {unit}: {{msg}}");
        let style = ProgressStyle::with_template(&template).expect("the template is valid");
        let bar = ProgressBar::new(length).with_style(style).with_finish(ProgressFinish::AndClear);
        Self { options, window, metrics, bar, begin: Cell::default(), end: Cell::default() }
    }

    /// Monitors until it is dropped.
    ///
    /// # Errors
    ///
    /// No reply arrives for [`MAX_REPLY_TIME`], or a processor time cannot be read.
    pub(crate) async fn run(&self) -> Result<Infallible, Error> {
        let started = Instant::now();
        let (mut replies, mut replied_at) = (0, started);
        loop {
            let now = Instant::now();
            if self.begin.get().is_none() && now >= self.window.begin {
                self.begin.set(Some(self.sample()?));
            }
            if self.end.get().is_none() && self.window.is_over(now) {
                self.end.set(Some(self.sample()?));
            }
            let requests = self.metrics.requests.get();
            if requests > replies {
                (replies, replied_at) = (requests, now);
            } else if now - replied_at > MAX_REPLY_TIME {
                return Err(Error::NoReply(MAX_REPLY_TIME));
            }
            self.bar.set_position(self.options.batches.map_or(started.elapsed().as_secs(), |_| requests));
            self.bar.set_message(format!("{} events", self.metrics.events.get()));
            let next = [Some(self.window.begin), self.window.end].into_iter().flatten().filter(|time| *time > now);
            let next = next.chain([now + UPDATE_INTERVAL]).min().expect("there is at least one");
            tokio::time::sleep_until(next.into()).await;
        }
    }

    /// Returns the usage, after the last reply.
    ///
    /// # Errors
    ///
    /// The measured time never began, or a processor time cannot be read.
    pub(crate) fn usage(&self) -> Result<Usage, Error> {
        let end = match self.end.get() {
            Some(end) => end,
            None => self.sample()?,
        };
        let begin = self.begin.get().ok_or(Error::NothingMeasured)?;
        let handler = end.handler.zip(begin.handler).map(|(end, begin)| end.saturating_sub(begin).as_secs_f64());
        Ok(Usage {
            seconds: (end.at - begin.at).as_secs_f64(),
            driver: end.driver.saturating_sub(begin.driver).as_secs_f64(),
            handler,
        })
    }

    /// Reads the processor times.
    fn sample(&self) -> Result<Sample, Error> {
        let handler = self
            .options
            .pid
            .map(|pid| Process(pid).processor_time().map_err(|error| Error::ProcessLost { pid, error }));
        let driver = Process::own().processor_time().map_err(Error::NoProc)?;
        Ok(Sample { at: Instant::now(), driver, handler: handler.transpose()? })
    }
}
