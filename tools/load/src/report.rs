//! What was measured, for people and for machines.

use std::fmt;

use devicestate_terminal::Table;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{
    counts::Counts,
    error::Error,
    options::Options,
    process::Memory,
    repeat::Repeat,
    tally::{Tally, Window},
    watch::Used,
};

/// All of it. Serialised, it is the JSON.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    url: String,
    function: String,
    events: u32,
    devices: u32,
    connections: u8,
    /// Those that count.
    seconds: f64,
    warm: u32,
    batches: Option<u32>,
    body_bytes: u32,
    large_body: Option<u32>,
    content_type: Option<String>,
    content_length: bool,
    seed: u64,
    pid: Option<u32>,
    /// All that were answered, also those before the clock counted: what the counts are held against.
    requests: u64,
    events_sent: u64,
    events_per_second: f64,
    requests_per_second: f64,
    latency_ms: Option<Latency>,
    large_latency_ms: Option<Latency>,
    handler: Option<Handler>,
    driver_cpu_percent: f64,
    counts: CountsReport,
    /// What came of the last batch of each connection when it came again.
    repeated: Repeat,
}

/// Of the replies that count, in milliseconds.
#[derive(Serialize)]
struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// What the handler's process used.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Handler {
    /// Of one core.
    cpu_percent: f64,
    /// Processor time for each event.
    ns_per_event: f64,
    peak_bytes: u64,
    resident_bytes: u64,
}

/// What the handler says that it did.
#[derive(Serialize)]
pub(crate) struct CountsReport {
    pub(crate) from: &'static str,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

impl Report {
    #[expect(clippy::cast_precision_loss, reason = "nobody sends 2^52 events")]
    pub(crate) fn new(
        options: &Options,
        window: &Window,
        tally: &Tally,
        used: &Used,
        memory: Option<Memory>,
        counts: CountsReport,
        repeated: Repeat,
    ) -> Result<Self, Error> {
        let counted = tally.counted.borrow();
        if counted.requests == 0 {
            return Err(Error::NothingCounted);
        }
        let seconds = window.end.map_or(used.seconds, |end| (end - window.begin).as_secs_f64());
        let events = counted.events as f64;
        let handler = used.handler.zip(memory).map(|(cpu, Memory { peak, resident })| Handler {
            cpu_percent: 100.0 * cpu / used.seconds,
            ns_per_event: 1e9 * cpu / events,
            peak_bytes: peak,
            resident_bytes: resident,
        });
        Ok(Self {
            url: options.url.to_string(),
            function: options.function.clone(),
            events: options.events,
            devices: options.devices,
            connections: options.connections,
            seconds,
            warm: if options.batches.is_some() { 0 } else { options.warm },
            batches: options.batches,
            body_bytes: options.body_bytes,
            large_body: options.large_body,
            content_type: options.content_type.clone(),
            content_length: options.content_length,
            seed: options.seed,
            pid: options.pid,
            requests: tally.requests.get(),
            events_sent: tally.events.get(),
            events_per_second: events / seconds,
            requests_per_second: counted.requests as f64 / seconds,
            latency_ms: Latency::of(&counted.latencies),
            large_latency_ms: Latency::of(&counted.large_latencies),
            handler,
            driver_cpu_percent: 100.0 * used.driver / used.seconds,
            counts,
            repeated,
        })
    }

    /// What the handler's counts lack of all events applied, and superseded when they came again.
    pub(crate) fn missing(&self) -> Vec<String> {
        let CountsReport { from, counts } = &self.counts;
        let Counts { applied, superseded, dead_lettered } = counts;
        let from = match *from {
            "state" => "GET /state of the handler",
            _ => "the records in the replies' Logs",
        };
        let mut missing = Vec::new();
        if counts.sum() != self.events_sent {
            missing.push(format!("{} events were sent, and {from} counted {}", self.events_sent, counts.sum()));
        }
        if superseded + dead_lettered > 0 {
            missing.push(format!(
                "each event was good, and newer than all before it, but {from} counted {superseded} as superseded, \
                 {dead_lettered} as dead-lettered, and {applied} as applied"
            ));
        }
        if !self.repeated.is_superseded() {
            let Repeat { events, counts: Counts { applied, superseded, dead_lettered } } = self.repeated;
            missing.push(format!(
                "each connection's last batch was sent again, {events} events in all and none of them new, but {from} \
                 counted {applied} as applied, {superseded} as superseded, and {dead_lettered} as dead-lettered: does \
                 the handler keep state?"
            ));
        }
        missing
    }
}

impl Latency {
    #[expect(clippy::cast_precision_loss, reason = "nothing lasts 2^52 ns, which are 52 days")]
    fn of(nanoseconds: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| nanoseconds.value_at_quantile(quantile) as f64 / 1e6;
        let max = nanoseconds.max() as f64 / 1e6;
        (!nanoseconds.is_empty()).then(|| Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(
            f,
            "Connections: {}. Events in a batch: {}. Devices of each connection: {}. Counted: {:.1} s.\n",
            self.connections, self.events, self.devices, self.seconds
        )?;
        let mut table = Table::new(["", ""]);
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        row("events/s", format!("{:.0}", self.events_per_second));
        row("requests/s", format!("{:.0}", self.requests_per_second));
        let latencies = [("", &self.latency_ms), ("large bodies, ", &self.large_latency_ms)];
        for (of, latency) in latencies.into_iter().filter_map(|(of, latency)| Some((of, latency.as_ref()?))) {
            row(&format!("{of}p50 ms"), format!("{:.3}", latency.p50));
            row(&format!("{of}p99 ms"), format!("{:.3}", latency.p99));
            row(&format!("{of}p99.9 ms"), format!("{:.3}", latency.p999));
            row(&format!("{of}max ms"), format!("{:.3}", latency.max));
        }
        if let Some(Handler { cpu_percent, ns_per_event, peak_bytes, resident_bytes }) = &self.handler {
            row("handler, % of a core", format!("{cpu_percent:.0}"));
            row("handler, ns per event", format!("{ns_per_event:.0}"));
            row("handler, peak MB", format!("{:.1}", megabytes(*peak_bytes)));
            row("handler, resident MB", format!("{:.1}", megabytes(*resident_bytes)));
        }
        row("driver, % of a core", format!("{:.0}", self.driver_cpu_percent));
        row("requests", self.requests.to_string());
        row("events sent", self.events_sent.to_string());
        let CountsReport { from, counts: Counts { applied, superseded, dead_lettered } } = &self.counts;
        row(&format!("applied, by {from}"), applied.to_string());
        row("superseded", superseded.to_string());
        row("dead-lettered", dead_lettered.to_string());
        row("sent again at the end", self.repeated.events.to_string());
        row("superseded of these", self.repeated.counts.superseded.to_string());
        let text = table.to_string();
        // Its head is empty.
        f.write_str(text.trim_start_matches('\n'))
    }
}

#[expect(clippy::cast_precision_loss, reason = "no process has 2^52 bytes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
