//! docs/operate/capacity.md: every figure in its tables follows from the values that it states.

use std::collections::BTreeMap;

use serde_json::Value;

use crate::{
    costs::Expected,
    infra::{bicep, sources::Sources},
    page::{CAPACITY, Page, Values, number},
    pays,
};

const SETTINGS: &str = include_str!("../../docs/reference/settings.md");
const HOST_JSON: &str = include_str!("../../host.json");

/// Formats a figure like the document: three significant digits, thousands separators.
pub(crate) fn figure(value: f64) -> String {
    let decimals = (0..12).find(|digits| value.abs() * 10_f64.powi(*digits) >= 100.0 - 1e-9).unwrap_or(0);
    let text = format!("{value:.*}", usize::try_from(decimals).expect("small"));
    let (integer, rest) = text.split_once('.').unwrap_or((&text, ""));
    let groups: Vec<_> =
        integer.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).expect("digits")).collect();
    let rest = rest.trim_end_matches('0');
    if rest.is_empty() { groups.join(",") } else { format!("{}.{rest}", groups.join(",")) }
}

/// Rounds up, with a tolerance for floating point errors.
pub(crate) fn up(value: f64) -> f64 {
    (value - 1e-9).ceil()
}

/// Compares computed figures with those of the document.
fn check(section: &str, inputs: &[&str], compute: impl Fn(&dyn Fn(&str) -> f64) -> Vec<(&'static str, String)>) {
    check_rows(CAPACITY, section, inputs, |row| compute(&|column| number(row[column])));
}

/// Compares figures that are computed from a row with those of a page.
pub(crate) fn check_rows(
    page: Page,
    section: &str,
    inputs: &[&str],
    compute: impl Fn(&BTreeMap<&str, &str>) -> Vec<(&'static str, String)>,
) {
    for row in page.table(section) {
        let expected: BTreeMap<_, _> = compute(&row).into_iter().collect();
        let computed = |column: &&str| !inputs.contains(column);
        assert!(row.keys().filter(|column| computed(column)).eq(expected.keys()), "columns of {section}");
        for (column, expected) in expected {
            assert_eq!(row[column], expected, "{section}: {column} in {row:?}");
        }
    }
}

/// The hub load of a number of devices that send at an interval in seconds.
pub(crate) struct Fleet {
    pub(crate) devices: f64,
    pub(crate) events: f64,
    bytes: f64,
    pub(crate) partitions: f64,
    /// The µs of an event in host and handler, without its batch and the operations.
    event_us: f64,
    tier: &'static str,
    /// Throughput units, if the tier is Standard.
    pub(crate) throughput_units: f64,
    units: String,
    hubs: f64,
    clusters: f64,
}

impl Fleet {
    pub(crate) fn new(v: &Values, devices: f64, every: f64) -> Self {
        Self::packed(v, devices, every, 1.0)
    }

    /// Returns the load of devices that each collect this many records in an event.
    pub(crate) fn packed(v: &Values, devices: f64, every: f64, records: f64) -> Self {
        let events = devices / every / records;
        let bytes = events * (v.get("event_bytes") + further_bytes(v, records));
        let throughput_units = up(f64::max(events / v.get("tu_events"), bytes / v.get("tu_bytes")));
        let partitions = up(f64::max(events / v.get("partition_events"), bytes / v.get("partition_bytes")));
        let partitions = partitions.max(v.get("partitions_min"));
        let fits = |bytes_or_units, most, hub| bytes_or_units <= v.get(most) && partitions <= v.get(hub);
        let capacity_units = up(f64::max(events / v.get("cu_events"), bytes / v.get("cu_bytes")));
        let (tier, units, hubs, clusters) = if fits(throughput_units, "tu_max", "hub_partitions_standard") {
            ("Standard", format!("{} TU", figure(throughput_units)), 1.0, 1.0)
        } else if fits(bytes, "premium_bytes", "hub_partitions_premium") {
            ("Premium", "measure".into(), 1.0, 1.0)
        } else {
            let hubs = up(partitions / v.get("hub_partitions_dedicated"));
            ("Dedicated", format!("{} CU", figure(capacity_units)), hubs, up(capacity_units / v.get("cu_max")))
        };
        let event_us = event_us(v, records);
        Self { devices, events, bytes, partitions, event_us, tier, throughput_units, units, hubs, clusters }
    }

    /// Returns the size of a batch that waits this many seconds for the smallest size. It grows until an instance for each
    /// partition suffices.
    pub(crate) fn batch(&self, v: &Values, wait: f64, smallest: f64, largest: f64) -> f64 {
        let per_second = self.events / self.partitions;
        let waiting = (per_second * wait).min(smallest);
        let each = self.event_us + v.get("operation_cpu_us");
        let spare = self.partitions * v.get("core_share") * 1e6 - self.events * each;
        let keeping_up = if spare > 0.0 { self.events * v.get("host_batch_us") / spare } else { largest };
        waiting.max(per_second * v.get("operation_ms") / 1e3).max(keeping_up).clamp(1.0, largest)
    }

    /// Returns instances, and reads per second, as shipped.
    fn instances(&self, v: &Values) -> (f64, f64) {
        self.instances_with(v, self.batch(v, v.get("wait_s"), v.get("smallest_batch"), v.get("largest_batch")))
    }

    /// Returns instances, and reads per second, with batches of this size.
    pub(crate) fn instances_with(&self, v: &Values, batch: f64) -> (f64, f64) {
        let with_reads = |reads| {
            let operations = self.events + reads;
            let of_event = self.event_us + v.get("host_batch_us") / batch;
            let cpu = self.events * of_event + operations * v.get("operation_cpu_us");
            up(cpu / 1e6 / v.get("core_share")).clamp(1.0, self.partitions)
        };
        let cached = |instances: f64| instances * v.get("cached_documents") >= self.devices;
        let instances = with_reads(0.0);
        if cached(instances) {
            return (instances, 0.0);
        }
        let instances = with_reads(self.events);
        (instances, if cached(instances) { 0.0 } else { self.events })
    }

    /// Returns the required RU/s, and the autoscale maximum.
    pub(crate) fn request_units(&self, v: &Values) -> (f64, f64) {
        let (_, reads) = self.instances(v);
        let need = self.events * v.get("write_ru") + reads * v.get("read_ru");
        (need, (up(need * v.get("headroom") / 1000.0) * 1000.0).max(v.get("autoscale_min")))
    }
}

/// Returns the bytes of all records of an event but one.
fn further_bytes(v: &Values, records: f64) -> f64 {
    (records - 1.0) * v.get("body_bytes")
}

/// Returns the µs that the records of an event but one add to it, in host and handler.
pub(crate) fn further_us(v: &Values, records: f64) -> f64 {
    v.get("host_kb_us") * further_bytes(v, records) / 1e3 + v.get("event_cpu_us") * (records - 1.0)
}

/// Returns the µs of an event with this many records, in host and handler.
fn event_us(v: &Values, records: f64) -> f64 {
    v.get("host_event_us") + v.get("event_cpu_us") + further_us(v, records)
}

/// Returns the expected number of different devices, of n, in a number of events.
pub(crate) fn different(n: f64, events: f64) -> f64 {
    if n > 1.0 { (n * (1.0 - (1.0 - 1.0 / n).powf(events))).min(events) } else { 1.0 }
}

fn check_measured(v: &Values) {
    let inputs = ["devices", "partitions", "packed", "records", "reads", "writes", "RU"];
    check("Operations and request units, measured", &inputs, |cell| {
        let of_writes = cell("RU") - cell("reads") * v.get("read_ru");
        vec![
            ("writes per record", figure(cell("writes") / cell("records"))),
            ("RU for a write", figure(of_writes / cell("writes"))),
        ]
    });
}

fn check_host(v: &Values) {
    let inputs = ["largest batch", "bytes", "properties", "events/s", "host, µs", "handler, µs"];
    check("What an event costs", &inputs, |cell| {
        let (host, handler) = (cell("host, µs"), cell("handler, µs"));
        if cell("properties") < 1.0 {
            let further = (cell("bytes") - v.get("event_bytes")).max(0.0);
            let formula = v.get("host_event_us")
                + v.get("host_kb_us") * further / 1e3
                + v.get("host_batch_us") / cell("largest batch");
            let most = if cell("largest batch") < 100.0 { 2.0 } else { 1.25 };
            assert!((0.99..most).contains(&(formula / host)), "{formula} µs instead of {host}");
        }
        // As the text says.
        assert!((0.02..0.065).contains(&(handler / (host + handler))), "{handler} µs beside {host}");
        Vec::new()
    });
}

fn check_memory(v: &Values) {
    check("Memory", &["event, KB"], |cell| {
        let bytes = cell("event, KB") * 1e3;
        let host = v.get("host_bytes") * (bytes + v.get("host_metadata"));
        let handler = v.get("handler_bytes") * (bytes + v.get("handler_metadata"));
        let partition = (host + handler + 2.0 * bytes) / 1e6;
        let largest = |memory: f64| {
            let batch = (memory - v.get("idle_mb")) / v.get("partitions_min") / partition;
            figure(batch.floor().min(v.get("largest_batch")))
        };
        vec![("512 MB", largest(512.0)), ("2,048 MB", largest(2048.0)), ("4,096 MB", largest(4096.0))]
    });
}

fn check_hub(v: &Values) {
    check("Event Hubs and the function app", &["devices", "every, s"], |cell| {
        let fleet = Fleet::new(v, cell("devices"), cell("every, s"));
        let (instances, _) = fleet.instances(v);
        let limits = [
            ("H", fleet.hubs > 1.0),
            ("K", fleet.clusters > 1.0),
            ("Q", instances > v.get("quota_cores")),
            ("I", instances > v.get("app_instances") * fleet.hubs),
            ("C", fleet.request_units(v).1 > v.get("container_ru")),
        ];
        let hit: Vec<_> = limits.iter().filter(|(_, hit)| *hit).map(|(letter, _)| *letter).collect();
        vec![
            ("events/s", figure(fleet.events)),
            ("MB/s", figure(fleet.bytes / 1e6)),
            ("tier", fleet.tier.into()),
            ("units", fleet.units.clone()),
            ("partitions", figure(fleet.partitions)),
            ("hubs", figure(fleet.hubs)),
            ("instances", figure(instances)),
            ("limits", if hit.is_empty() { "–".into() } else { hit.join(" ") }),
        ]
    });
}

fn check_store(v: &Values) {
    check("Cosmos DB", &["devices", "every, s"], |cell| {
        let fleet = Fleet::new(v, cell("devices"), cell("every, s"));
        let (need, most) = fleet.request_units(v);
        let bytes = fleet.devices * v.get("document_bytes");
        let bad = (100.0 * v.get("queue_messages") / fleet.events).min(100.0);
        let physical = f64::max(up(most / v.get("partition_ru")), up(bytes / 1e9 / v.get("partition_gb")));
        vec![
            ("writes/s", figure(fleet.events)),
            ("reads/s", figure(fleet.instances(v).1)),
            ("RU/s", figure(need)),
            ("autoscale max", figure(most)),
            ("documents, MB", figure(bytes / 1e6)),
            ("physical partitions", figure(physical)),
            ("invalid, at most", format!("{} %", figure(bad))),
        ]
    });
}

fn check_wait(v: &Values) {
    check("The wait", &["devices", "every, s", "wait, s", "smallest batch", "largest batch"], |cell| {
        let fleet = Fleet::new(v, cell("devices"), cell("every, s"));
        let batch = fleet.batch(v, cell("wait, s"), cell("smallest batch"), cell("largest batch"));
        let documents = different(fleet.devices / fleet.partitions, batch);
        let writes = fleet.events * documents / batch;
        let batches = fleet.events / batch;
        vec![
            ("batch", figure(batch)),
            ("writes per event", figure(documents / batch)),
            ("writes/s", figure(writes)),
            ("batches/s", figure(batches)),
        ]
    });
}

fn check_outage(v: &Values) {
    let inputs = ["devices", "arriving/s", "operations per document"];
    check("After an outage", &inputs, |cell| {
        let (batch, arriving) = (v.get("largest_batch"), cell("arriving/s"));
        let documents = different(cell("devices"), batch);
        let each = cell("operations per document") * v.get("operation_ms") / 1e3;
        let handler = batch / (documents * each / v.get("concurrency"));
        let operations = documents / batch * cell("operations per document");
        let event = event_us(v, 1.0) + v.get("host_batch_us") / batch;
        let core = 1e6 / (event + operations * v.get("operation_cpu_us"));
        let drains = handler.min(core).min(v.get("tu_egress_events"));
        vec![
            ("documents", figure(documents)),
            ("handler/s", figure(handler)),
            ("drains/s", figure(drains)),
            ("minutes", figure(60.0 * arriving / (drains - arriving))),
        ]
    });
}

fn check_iot_hub(v: &Values) {
    check("IoT Hub instead of Event Hubs", &["devices", "every, s"], |cell| {
        let sends = cell("devices") / cell("every, s");
        let units = |messages, per_second, most| {
            let by_second = if sends > 100.0 { up(sends / v.get(per_second)) } else { 1.0 };
            let units = up(sends * 86_400.0 / v.get(messages)).max(by_second).max(1.0);
            if units > v.get(most) { "–".into() } else { figure(units) }
        };
        vec![
            ("messages a day", figure(sends * 86_400.0)),
            ("S1 units", units("s1_messages", "s1_sends", "small_units")),
            ("S2 units", units("s2_messages", "s2_sends", "small_units")),
            ("S3 units", units("s3_messages", "s3_sends", "large_units")),
        ]
    });
}

/// Seconds of a month of 730 hours.
pub(crate) const MONTH: f64 = 730.0 * 3600.0;

fn check_sessions(v: &Values) {
    check("Service Bus sessions", &["devices", "every, s"], |cell| {
        let messages = cell("devices") / cell("every, s");
        let operations = messages * v.get("bus_operations");
        let a_month = operations * MONTH;
        // The part between these two, at this price per million.
        let part = |from: f64, to: f64, price: &str| (a_month.min(to) - from).max(0.0) / 1e6 * v.get(price);
        let (included, first, second) = (v.get("bus_included"), v.get("bus_step_1"), v.get("bus_step_2"));
        let dollars = v.get("bus_base")
            + part(included, first, "bus_price_1")
            + part(first, second, "bus_price_2")
            + part(second, f64::INFINITY, "bus_price_3");
        let slot = v.get("session_idle_s") + 2.0 * v.get("operation_ms") / 1e3;
        let is_standard = operations <= v.get("bus_credits");
        vec![
            ("messages/s", figure(messages)),
            ("tier", if is_standard { "Standard" } else { "Premium" }.into()),
            ("operations, million a month", figure(a_month / 1e6)),
            ("$ a month", if is_standard { figure(dollars) } else { "–".into() }),
            ("instances", figure(up(messages * slot / v.get("sessions_at_a_time")).max(1.0))),
        ]
    });
}

#[test]
fn every_figure_follows_from_the_values_and_every_value_is_used() {
    let v = &Values::read();
    check_measured(v);
    check_host(v);
    check_memory(v);
    check_hub(v);
    check_store(v);
    check_wait(v);
    check_outage(v);
    check_iot_hub(v);
    check_sessions(v);
    // Costs follow from these values, too.
    Expected::new(v);
    pays::check_table(v);
    assert_eq!(v.unused(), Vec::<&str>::new(), "no table uses these values");
}

#[test]
fn the_values_of_the_app_are_its_defaults() {
    let (v, host) = (Values::read(), serde_json::from_str::<Value>(HOST_JSON).expect("host.json"));
    let templates = Sources::read().templates();
    let default = |name: &str| {
        let param = templates[0].param(name).expect("a parameter of main.bicep");
        param.default.clone()
    };
    assert_eq!(default("partitionCount"), Some(bicep::Value::Number(32)));
    assert_eq!(figure(v.get("partitions_min")), "32");
    // "As shipped" in the text.
    assert_eq!(default("maximumThroughputUnits"), Some(bicep::Value::Number(10)));
    assert_eq!(default("cosmosMaximumThroughput"), Some(bicep::Value::Number(1000)));
    let event_hubs = &host["extensions"]["eventHubs"];
    assert_eq!(Some(v.get("largest_batch")), event_hubs["maxEventBatchSize"].as_f64());
    assert_eq!(Some(v.get("smallest_batch")), event_hubs["minEventBatchSize"].as_f64());
    assert_eq!(event_hubs["maxWaitTime"], format!("00:00:0{}", v.get("wait_s")));
    assert_eq!(event_hubs["prefetchCount"].as_f64(), Some(2.0 * v.get("largest_batch")));
    assert_eq!(event_hubs["batchCheckpointFrequency"], 1);
    let samples = &host["logging"]["applicationInsights"]["samplingSettings"]["maxTelemetryItemsPerSecond"];
    assert_eq!(Some(v.get("samples_s")), samples.as_f64());
    assert_eq!(default("instanceMemoryMB"), Some(bicep::Value::Number(2048)));
    assert_eq!(figure(v.get("instance_gb")), "2");
    let sessions = &host["extensions"]["serviceBus"];
    assert_eq!(Some(v.get("sessions_at_a_time")), sessions["maxConcurrentSessions"].as_f64());
    assert_eq!(sessions["sessionIdleTimeout"], format!("00:00:0{}", v.get("session_idle_s")));
    let concurrency = format!("* `StoreConcurrency` (`{}`;", v.get("concurrency"));
    assert!(SETTINGS.contains(&concurrency), "{concurrency} is not in docs/reference/settings.md");
    // What a drone's document counts in the cache (a test of the engine states it), in `DocumentCacheMegabytes`' 64.
    let cached = (64.0 * f64::from(1 << 20) / 1_060.0).floor();
    assert!((cached - v.get("cached_documents")).abs() < 0.5, "{cached}");
}

#[test]
fn the_handler_can_start_with_every_proposed_batch_size() {
    let host = serde_json::from_str::<Value>(HOST_JSON).expect("host.json");
    assert_eq!(host["functionTimeout"], "00:05:00");
    for row in CAPACITY.table("The wait") {
        let seconds = 60.0 + 0.02 * number(row["largest batch"]);
        assert!(seconds < 300.0, "{seconds} s in {row:?}");
    }
}
