//! The input of a run, and how it is sent to the broker.

use std::{iter, path::PathBuf, sync::atomic::Ordering::Relaxed, thread};

use devicestate_engine::rate_limit::RateLimit;
use devicestate_terminal::interrupt::Shutdown;
use tokio::sync::{mpsc, watch};

use crate::{
    broker::Broker,
    hub::Sent,
    invalid_events::InvalidEvents,
    options::{Input, Options, Simulation},
    packing::{Packing, pack},
    report::InputReport,
    setup::Setup,
    simulator::{Encoding, Simulator},
    source::{self, SourceError},
    statistics::Statistics,
};

/// The sample telemetry, in the folder of the function app.
const SAMPLE: &str = "samples/px4-flights.jsonl";

/// The input instead of the sample, for a function app without samples.
const WITHOUT_SAMPLE: Simulation = Simulation { devices: 10, events: 1_000, encoding: Encoding::Json, seed: 1 };

/// Limits the events that are read before they can be sent.
const READ_AHEAD_EVENTS: usize = 1_024;

/// The events of an input, in order.
pub(super) type Events = Box<dyn Iterator<Item = Result<Sent, SourceError>> + Send>;

/// Opens the input and describes it for the report.
pub(super) fn open_input(options: &Options, setup: &Setup) -> Result<(InputReport, Events), SourceError> {
    let sample = setup.app.root.join(SAMPLE);
    let file = |path: &PathBuf| source::open(path, &setup.telemetry, options.pack);
    let simulated = |simulation: Simulation| -> (InputReport, Events) {
        let Simulation { devices, events, encoding, seed } = simulation;
        let simulator = Simulator::new(devices, events, encoding, seed).in_turns_of(options.pack);
        let records = simulator.map(|sent| {
            let device = sent.partition_key.clone().unwrap_or_default();
            Ok((sent, Packing::Record(device)))
        });
        (InputReport::Simulation(simulation), Box::new(pack(records, options.pack)))
    };
    Ok(match &options.input {
        Input::Sample if sample.exists() => (InputReport::Sample { file: SAMPLE.into() }, file(&sample)?),
        Input::Sample => simulated(WITHOUT_SAMPLE),
        Input::File(path) => (InputReport::File { file: path.clone() }, file(path)?),
        Input::Simulation(simulation) => simulated(*simulation),
        Input::None => (InputReport::Http, Box::new(iter::empty())),
    })
}

/// The input and how it is sent.
pub(super) struct Feed {
    events: mpsc::Receiver<Result<Sent, SourceError>>,
    invalid_events: InvalidEvents,
    rate_limit: RateLimit,
    /// Whether a signal ended the sending before the end of the input.
    pub(super) is_stopped: bool,
}

impl Feed {
    /// Starts to read the input in a separate thread. It may wait for standard input, and then ends with the process.
    pub(super) fn start(input: Events, invalid_events: InvalidEvents, rate_limit: RateLimit) -> Self {
        let (sender, events) = mpsc::channel(READ_AHEAD_EVENTS);
        thread::spawn(move || {
            for event in input {
                if sender.blocking_send(event).is_err() {
                    return;
                }
            }
        });
        Self { events, invalid_events, rate_limit, is_stopped: false }
    }

    /// Sends up to `limit` events of the input and the invalid ones among them, until the input or the run ends.
    pub(super) async fn send(
        &mut self,
        broker: &impl Broker,
        statistics: &Statistics,
        mut stop: watch::Receiver<Shutdown>,
        mut limit: u64,
    ) -> Result<(), SourceError> {
        let Self { events: input, invalid_events, rate_limit, is_stopped } = self;
        let sending = async {
            let mut events = Vec::new();
            loop {
                // Many at a time: the thread would otherwise be woken for each event that leaves a full channel.
                let count = usize::try_from(limit).unwrap_or(usize::MAX).min(READ_AHEAD_EVENTS);
                if count == 0 || input.recv_many(&mut events, count).await == 0 {
                    return Ok(());
                }
                limit -= events.len() as u64;
                for event in events.drain(..) {
                    let valid = event?;
                    let invalid = invalid_events.following(&valid);
                    statistics.invalid_added.fetch_add(invalid.len() as u64, Relaxed);
                    for sent in [valid].into_iter().chain(invalid) {
                        rate_limit.wait(1).await;
                        broker.send(sent).await;
                        statistics.received.fetch_add(1, Relaxed);
                    }
                }
            }
        };
        tokio::select! {
            ended = sending => ended,
            _ = stop.wait_for(|shutdown| *shutdown >= Shutdown::Draining) => {
                *is_stopped = true;
                Ok(())
            }
        }
    }
}
