//! The report of a run.

use std::fmt;

use devicestate_terminal::Table;
use hdrhistogram::Histogram;
use serde::Serialize;

use crate::{
    counts::Counts,
    error::Error,
    metrics::{Metrics, Window},
    monitor::Usage,
    options::Options,
    process::Memory,
    repeat::Repeat,
};

/// The result of a run: options and measurements. It serializes to the JSON output.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
pub(crate) struct Report {
    url: String,
    function: String,
    events: u32,
    /// Records per event.
    pack: u32,
    devices: u32,
    connections: u8,
    /// The measured time.
    seconds: f64,
    warm: u32,
    batches: Option<u32>,
    body_bytes: u32,
    large_body: Option<u32>,
    content_type: Option<String>,
    content_length: bool,
    seed: u64,
    pid: Option<u32>,
    /// All requests with a reply, also before the measured time; the counts are compared with these.
    requests: u64,
    events_sent: u64,
    events_per_second: f64,
    records_per_second: f64,
    requests_per_second: f64,
    latency_ms: Option<Latency>,
    large_latency_ms: Option<Latency>,
    handler: Option<Handler>,
    driver_cpu_percent: f64,
    counts: CountsReport,
    /// The records that the handler decoded; 0 if it does not count them, or if events have one.
    #[serde(skip)]
    decoded_records: u64,
    /// The repeated last batch of each connection.
    repeated: Repeat,
}

/// Latencies of the replies in the measured time, in milliseconds.
#[derive(Serialize)]
struct Latency {
    p50: f64,
    p99: f64,
    p999: f64,
    max: f64,
}

/// The handler's processor time and memory.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct Handler {
    /// Percent of one core.
    cpu_percent: f64,
    /// Processor time per event, in nanoseconds.
    ns_per_event: f64,
    /// Processor time per record, in nanoseconds.
    ns_per_record: f64,
    peak_bytes: u64,
    resident_bytes: u64,
}

/// The handler's own counts, with their source.
#[derive(Serialize)]
pub(crate) struct CountsReport {
    pub(crate) from: &'static str,
    #[serde(flatten)]
    pub(crate) counts: Counts,
}

impl Report {
    #[expect(clippy::cast_precision_loss, reason = "fewer than 2^52 events are sent")]
    pub(crate) fn new(
        options: &Options,
        window: &Window,
        metrics: &Metrics,
        usage: &Usage,
        memory: Option<Memory>,
        counts: CountsReport,
        repeated: Repeat,
    ) -> Result<Self, Error> {
        let measured = metrics.measured.borrow();
        if measured.requests == 0 {
            return Err(Error::NothingMeasured);
        }
        let seconds = window.end.map_or(usage.seconds, |end| (end - window.begin).as_secs_f64());
        let events = measured.events as f64;
        let records = events * f64::from(options.pack);
        let handler = usage.handler.zip(memory).map(|(cpu, Memory { peak, resident })| Handler {
            cpu_percent: 100.0 * cpu / usage.seconds,
            ns_per_event: 1e9 * cpu / events,
            ns_per_record: 1e9 * cpu / records,
            peak_bytes: peak,
            resident_bytes: resident,
        });
        Ok(Self {
            url: options.url.to_string(),
            function: options.function.clone(),
            events: options.events,
            pack: options.pack,
            devices: options.devices,
            connections: options.connections,
            seconds,
            warm: if options.batches.is_some() { 0 } else { options.warm },
            batches: options.batches,
            body_bytes: options
                .body
                .as_ref()
                .map_or(options.body_bytes, |body| u32::try_from(body.len()).unwrap_or(u32::MAX)),
            large_body: options.large_body,
            content_type: options.content_type.clone(),
            content_length: options.content_length,
            seed: options.seed,
            pid: options.pid,
            requests: metrics.requests.get(),
            events_sent: metrics.events.get(),
            events_per_second: events / seconds,
            records_per_second: records / seconds,
            requests_per_second: measured.requests as f64 / seconds,
            latency_ms: Latency::from_histogram(&measured.latencies),
            large_latency_ms: Latency::from_histogram(&measured.large_latencies),
            handler,
            driver_cpu_percent: 100.0 * usage.driver / usage.seconds,
            counts,
            decoded_records: metrics.decoded_records.get(),
            repeated,
        })
    }

    /// Returns a line for each mismatch between the handler's counts and the events sent.
    pub(crate) fn mismatches(&self) -> Vec<String> {
        let CountsReport { from, counts } = &self.counts;
        let Counts { applied, superseded, dead_lettered } = counts;
        let from = match *from {
            "state" => "GET /state of the handler",
            _ => "the records in the replies' Logs",
        };
        let mut mismatches = Vec::new();
        if counts.sum() != self.events_sent {
            mismatches.push(format!("{}, but {from} counted {}", were_sent(self.events_sent), counts.sum()));
        }
        let records_sent = self.events_sent * u64::from(self.pack);
        if self.decoded_records > 0 && self.decoded_records != records_sent {
            let decoded = self.decoded_records;
            mismatches.push(format!("{records_sent} records were sent, but the replies' Logs counted {decoded}"));
        }
        if superseded + dead_lettered > 0 {
            mismatches.push(format!(
                "every event was valid and newer than all before it, but {from} counted {superseded} as superseded, \
                 {dead_lettered} as dead-lettered, and {applied} as applied"
            ));
        }
        if !self.repeated.is_superseded() {
            let Repeat { events, counts: Counts { applied, superseded, dead_lettered } } = self.repeated;
            mismatches.push(format!(
                "each connection's last batch was sent again ({events} events in total, all superseded), but {from} counted \
                 {applied} as applied, {superseded} as superseded, and {dead_lettered} as dead-lettered; check that the \
                 handler keeps state"
            ));
        }
        mismatches
    }
}

impl Latency {
    #[expect(clippy::cast_precision_loss, reason = "no latency reaches 2^52 ns, which is 52 days")]
    fn from_histogram(nanoseconds: &Histogram<u64>) -> Option<Self> {
        let at = |quantile| nanoseconds.value_at_quantile(quantile) as f64 / 1e6;
        let max = nanoseconds.max() as f64 / 1e6;
        (!nanoseconds.is_empty()).then(|| Self { p50: at(0.5), p99: at(0.99), p999: at(0.999), max })
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(
            f,
            "Connections: {}. Events per batch: {}. Records per event: {}. Devices per connection: {}. Measured time: {:.1} s.\n",
            self.connections, self.events, self.pack, self.devices, self.seconds
        )?;
        let mut table = Table::new(["", ""]);
        let mut row = |name: &str, value: String| table.row([name.to_owned(), value]);
        row("events/s", format!("{:.0}", self.events_per_second));
        if self.pack > 1 {
            row("records/s", format!("{:.0}", self.records_per_second));
        }
        row("requests/s", format!("{:.0}", self.requests_per_second));
        let latencies = [("", &self.latency_ms), ("large bodies, ", &self.large_latency_ms)];
        for (prefix, latency) in latencies.into_iter().filter_map(|(prefix, latency)| Some((prefix, latency.as_ref()?)))
        {
            row(&format!("{prefix}p50 ms"), format!("{:.3}", latency.p50));
            row(&format!("{prefix}p99 ms"), format!("{:.3}", latency.p99));
            row(&format!("{prefix}p99.9 ms"), format!("{:.3}", latency.p999));
            row(&format!("{prefix}max ms"), format!("{:.3}", latency.max));
        }
        if let Some(Handler { cpu_percent, ns_per_event, ns_per_record, peak_bytes, resident_bytes }) = &self.handler {
            row("handler, % of a core", format!("{cpu_percent:.0}"));
            row("handler, ns per event", format!("{ns_per_event:.0}"));
            if self.pack > 1 {
                row("handler, ns per record", format!("{ns_per_record:.0}"));
            }
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
        row("repeated at the end", self.repeated.events.to_string());
        row("superseded of the repeated", self.repeated.counts.superseded.to_string());
        let text = table.to_string();
        // The table's header is empty.
        f.write_str(text.trim_start_matches('\n'))
    }
}

/// Returns `1 event was sent` or `2 events were sent`.
fn were_sent(events: u64) -> String {
    if events == 1 { "1 event was sent".to_owned() } else { format!("{events} events were sent") }
}

#[expect(clippy::cast_precision_loss, reason = "no process has 2^52 bytes")]
fn megabytes(bytes: u64) -> f64 {
    bytes as f64 / 1e6
}
