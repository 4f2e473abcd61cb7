//! docs/operate/capacity.md: every figure in its tables follows from the values that it states.

use std::{
    cell::RefCell,
    collections::{BTreeMap, BTreeSet},
};

use serde_json::Value;

use crate::infra::{bicep, sources::Sources};

const DOCUMENT: &str = include_str!("../../docs/operate/capacity.md");
const SETTINGS: &str = include_str!("../../docs/reference/settings.md");
const HOST_JSON: &str = include_str!("../../host.json");

/// The values of the document, by name.
struct Values {
    all: BTreeMap<&'static str, f64>,
    used: RefCell<BTreeSet<&'static str>>,
}

impl Values {
    fn read() -> Self {
        let named = cells_of_all_tables().filter_map(|cells| {
            let name = cells[0].strip_prefix('`')?.strip_suffix('`')?;
            Some((name, number(cells[1])))
        });
        let mut all = BTreeMap::new();
        for (name, value) in named {
            assert!(all.insert(name, value).is_none(), "{name} is defined twice");
        }
        Self { all, used: RefCell::default() }
    }

    fn get(&self, name: &str) -> f64 {
        let (name, value) = self.all.get_key_value(name).unwrap_or_else(|| panic!("no value `{name}`"));
        self.used.borrow_mut().insert(*name);
        *value
    }
}

/// Returns the rows of all tables.
fn cells_of_all_tables() -> impl Iterator<Item = Vec<&'static str>> {
    DOCUMENT.lines().filter_map(cells)
}

fn cells(line: &'static str) -> Option<Vec<&'static str>> {
    let line = line.strip_prefix('|')?.strip_suffix('|')?;
    Some(line.split('|').map(str::trim).collect())
}

/// Returns a table's rows, with cells by column.
fn table(section: &str) -> Vec<BTreeMap<&'static str, &'static str>> {
    let heading = format!("\n## {section}\n");
    let (_, text) = DOCUMENT.split_once(&heading).unwrap_or_else(|| panic!("no section {section}"));
    let mut lines = text.lines().skip_while(|line| !line.starts_with('|')).map_while(cells);
    let columns = lines.next().expect("the names of the columns");
    let rows: Vec<_> = lines.skip(1).map(|cells| columns.iter().copied().zip(cells).collect()).collect();
    assert!(!rows.is_empty(), "no rows in {section}");
    rows
}

fn number(text: &str) -> f64 {
    text.replace(',', "").parse().unwrap_or_else(|_| panic!("{text} is not a number"))
}

/// Formats a figure like the document: three significant digits, thousands separators.
fn figure(value: f64) -> String {
    let decimals = (0..12).find(|digits| value.abs() * 10_f64.powi(*digits) >= 100.0 - 1e-9).unwrap_or(0);
    let text = format!("{value:.*}", usize::try_from(decimals).expect("small"));
    let (integer, rest) = text.split_once('.').unwrap_or((&text, ""));
    let groups: Vec<_> =
        integer.as_bytes().rchunks(3).rev().map(|group| str::from_utf8(group).expect("digits")).collect();
    let rest = rest.trim_end_matches('0');
    if rest.is_empty() { groups.join(",") } else { format!("{}.{rest}", groups.join(",")) }
}

/// Rounds up, with a tolerance for floating point errors.
fn up(value: f64) -> f64 {
    (value - 1e-9).ceil()
}

/// Compares computed figures with those of the document.
fn check(section: &str, inputs: &[&str], compute: impl Fn(&dyn Fn(&str) -> f64) -> Vec<(&'static str, String)>) {
    for row in table(section) {
        let expected: BTreeMap<_, _> = compute(&|column| number(row[column])).into_iter().collect();
        let computed = |column: &&str| !inputs.contains(column);
        assert!(row.keys().filter(|column| computed(column)).eq(expected.keys()), "columns of {section}");
        for (column, expected) in expected {
            assert_eq!(row[column], expected, "{section}: {column} in {row:?}");
        }
    }
}

/// The hub load of a number of devices that send at an interval in seconds.
struct Fleet {
    devices: f64,
    events: f64,
    bytes: f64,
    partitions: f64,
    tier: &'static str,
    units: String,
    hubs: f64,
    clusters: f64,
}

impl Fleet {
    fn new(v: &Values, devices: f64, every: f64) -> Self {
        let events = devices / every;
        let bytes = events * v.get("event_bytes");
        let units = up(f64::max(events / v.get("tu_events"), bytes / v.get("tu_bytes")));
        let partitions = up(f64::max(events / v.get("partition_events"), bytes / v.get("partition_bytes")));
        let partitions = partitions.max(v.get("partitions_min"));
        let fits = |bytes_or_units, most, hub| bytes_or_units <= v.get(most) && partitions <= v.get(hub);
        let capacity_units = up(f64::max(events / v.get("cu_events"), bytes / v.get("cu_bytes")));
        let (tier, units, hubs, clusters) = if fits(units, "tu_max", "hub_partitions_standard") {
            ("Standard", format!("{} TU", figure(units)), 1.0, 1.0)
        } else if fits(bytes, "premium_bytes", "hub_partitions_premium") {
            ("Premium", "measure".into(), 1.0, 1.0)
        } else {
            let hubs = up(partitions / v.get("hub_partitions_dedicated"));
            ("Dedicated", format!("{} CU", figure(capacity_units)), hubs, up(capacity_units / v.get("cu_max")))
        };
        Self { devices, events, bytes, partitions, tier, units, hubs, clusters }
    }

    /// Returns instances, and reads per second.
    fn instances(&self, v: &Values) -> (f64, f64) {
        let with_reads = |reads| {
            let operations = self.events + reads;
            let cpu = self.events * v.get("event_cpu_us") + operations * v.get("operation_cpu_us");
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
    fn request_units(&self, v: &Values) -> (f64, f64) {
        let (_, reads) = self.instances(v);
        let need = self.events * v.get("write_ru") + reads * v.get("read_ru");
        (need, (up(need * v.get("headroom") / 1000.0) * 1000.0).max(v.get("autoscale_min")))
    }
}

/// Returns the expected number of different devices, of n, in a number of events.
fn different(n: f64, events: f64) -> f64 {
    if n > 1.0 { (n * (1.0 - (1.0 - 1.0 / n).powf(events))).min(events) } else { 1.0 }
}

fn check_measured(v: &Values) {
    let inputs = ["devices", "partitions", "largest batch", "events", "batches", "reads", "writes", "RU"];
    check("Operations and request units, measured", &inputs, |cell| {
        let of_writes = cell("RU") - cell("reads") * v.get("read_ru");
        vec![
            ("writes per event", figure(cell("writes") / cell("events"))),
            ("RU for a write", figure(of_writes / cell("writes"))),
        ]
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
            ("invalid events a queue takes", format!("{} %", figure(bad))),
        ]
    });
}

fn check_coalescing(v: &Values) {
    check("What coalescing brings", &["devices", "every, s", "wait, s", "largest batch"], |cell| {
        let fleet = Fleet::new(v, cell("devices"), cell("every, s"));
        let wait = cell("wait, s").max(v.get("operation_ms") / 1e3);
        let batch = (fleet.events / fleet.partitions * wait).clamp(1.0, cell("largest batch"));
        let documents = different(fleet.devices / fleet.partitions, batch);
        let writes = fleet.events * documents / batch;
        let batches = fleet.events / batch;
        vec![
            ("partitions", figure(fleet.partitions)),
            ("batch", figure(batch)),
            ("documents", figure(documents)),
            ("writes per event", figure(documents / batch)),
            ("writes/s", figure(writes)),
            ("RU/s", figure(writes * v.get("write_ru"))),
            ("batches/s", figure(batches)),
            ("logs, GB a day", figure(batches * 86_400.0 * v.get("log_bytes") / 1e9)),
        ]
    });
}

fn check_outage(v: &Values) {
    let inputs = ["devices of a partition", "events/s arriving", "operations per document"];
    check("After an outage", &inputs, |cell| {
        let (batch, arriving) = (v.get("largest_batch"), cell("events/s arriving"));
        let documents = different(cell("devices of a partition"), batch);
        let each = cell("operations per document") * v.get("operation_ms") / 1e3;
        let handler = batch / (documents * each / v.get("concurrency"));
        let drains = handler.min(v.get("tu_egress_events"));
        vec![
            ("documents", figure(documents)),
            ("handler, events/s", figure(handler)),
            ("drains, events/s", figure(drains)),
            ("minutes for an hour", figure(60.0 * arriving / (drains - arriving))),
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
const MONTH: f64 = 730.0 * 3600.0;

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
    check_hub(v);
    check_store(v);
    check_coalescing(v);
    check_outage(v);
    check_iot_hub(v);
    check_sessions(v);
    let unused: Vec<_> = v.all.keys().filter(|name| !v.used.borrow().contains(*name)).collect();
    assert!(unused.is_empty(), "no table uses {unused:?}");
}

#[test]
fn the_values_of_the_app_are_its_defaults() {
    let (v, host) = (Values::read(), serde_json::from_str::<Value>(HOST_JSON).expect("host.json"));
    let templates = Sources::read().templates();
    let default = |name: &str| {
        let param = templates[0].params.iter().find(|param| param.name == name).expect("a parameter of main.bicep");
        param.default.clone()
    };
    assert_eq!(default("partitionCount"), Some(bicep::Value::Number(32)));
    assert_eq!(figure(v.get("partitions_min")), "32");
    // "As shipped" in the text.
    assert_eq!(default("maximumThroughputUnits"), Some(bicep::Value::Number(10)));
    assert_eq!(default("cosmosMaximumThroughput"), Some(bicep::Value::Number(1000)));
    assert_eq!(Some(v.get("largest_batch")), host["extensions"]["eventHubs"]["maxEventBatchSize"].as_f64());
    let sessions = &host["extensions"]["serviceBus"];
    assert_eq!(Some(v.get("sessions_at_a_time")), sessions["maxConcurrentSessions"].as_f64());
    assert_eq!(sessions["sessionIdleTimeout"], format!("00:00:0{}", v.get("session_idle_s")));
    let concurrency = format!("| `StoreConcurrency` | `{}` |", v.get("concurrency"));
    assert!(SETTINGS.contains(&concurrency), "{concurrency} is not in docs/reference/settings.md");
    // The documents' texts, the id, the tag and the overhead, in `DocumentCacheMegabytes`' 64.
    let cached = (64.0 * f64::from(1 << 20) / (v.get("document_bytes") + 11.0 + 38.0 + 160.0)).floor();
    assert!((cached - v.get("cached_documents")).abs() < 0.5, "{cached}");
}

#[test]
fn the_handler_can_start_with_every_proposed_batch_size() {
    let host = serde_json::from_str::<Value>(HOST_JSON).expect("host.json");
    assert_eq!(host["functionTimeout"], "00:05:00");
    for row in table("What coalescing brings") {
        let seconds = 60.0 + 0.02 * number(row["largest batch"]);
        assert!(seconds < 300.0, "{seconds} s in {row:?}");
    }
}
