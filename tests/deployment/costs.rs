//! docs/operate/costs.md: every amount follows from the prices that it states and from the formulas of capacity.md.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use devicestate_test_support::root;
use serde_json::Value as Json;

use crate::{
    capacity::{Fleet, MONTH, different, figure},
    page::{COSTS, Page, Values, cells},
};

const ALERTS: &str = include_str!("../../infra/alerts.json");
const MAIN: &str = include_str!("../../infra/main.bicep");
const README: &str = include_str!("../../README.md");

/// The fleets of the page: letter, devices, seconds between two events of a device.
pub(crate) const FLEETS: [(&str, f64, f64); 4] =
    [("A", 10.0, 60.0), ("B", 1_000.0, 10.0), ("C", 100_000.0, 60.0), ("D", 10_000_000.0, 600.0)];

/// How events are sent and processed; as shipped or with one change.
#[derive(Clone, Copy)]
struct Settings {
    records: f64,
    wait: f64,
    smallest_batch: f64,
    checkpoint_frequency: f64,
    has_log_levels: bool,
    samples: f64,
}

impl Settings {
    fn shipped(v: &Values) -> Self {
        Self {
            records: 1.0,
            wait: v.get("wait_s"),
            smallest_batch: v.get("smallest_batch"),
            checkpoint_frequency: 1.0,
            has_log_levels: true,
            samples: v.get("samples_s"),
        }
    }

    fn unbatched(self) -> Self {
        Self { wait: 0.0, smallest_batch: 1.0, ..self }
    }
}

/// The amounts of a fleet, in dollars a month, and what they follow from.
struct Bill {
    batches: f64,
    instances: f64,
    throughput_units: f64,
    ingress: f64,
    executions: f64,
    checkpoints: f64,
    instance_time: f64,
    documents: f64,
    log_rows: f64,
    alert_rules: f64,
    second_region: f64,
}

impl Bill {
    fn new(v: &Values, devices: f64, every: f64, with: Settings) -> Self {
        let fleet = Fleet::packed(v, devices, every, with.records);
        let batch = fleet.batch(v, with.wait, with.smallest_batch, v.get("largest_batch"));
        let batches = fleet.events / batch;
        let (instances, reads) = fleet.instances_with(v, batch);
        let writes = batches * different(fleet.devices / fleet.partitions, batch);
        let busy = (batches / instances * v.get("execution_s")).min(1.0);
        let gb_seconds = instances * busy * v.get("instance_gb") * MONTH;
        let samples = (instances * with.samples).min(batches * v.get("samples_batch"));
        let record = 2.0 * v.get("record_bytes") + v.get("row_bytes");
        let row_bytes = record + if with.has_log_levels { 0.0 } else { v.get("host_bytes_batch") };
        let log_gb = (batches * row_bytes + samples * v.get("sample_bytes")) * MONTH / 1e9;
        let least = fleet.request_units(v).1 / 10.0;
        let written = writes * v.get("write_ru");
        let document_gb = devices * v.get("document_bytes") / 1e9;
        let stored = |units: f64| units.max(least) / 100.0 * v.get("ru_100") + document_gb * v.get("document_gb");
        let replicated_gb = writes * v.get("document_bytes") * MONTH / 1e9;
        let above_free = |amount: f64, free: &str| (amount - v.get(free)).max(0.0);
        Self {
            batches,
            instances,
            throughput_units: fleet.throughput_units * v.get("namespace_unit"),
            ingress: fleet.events * MONTH / 1e6 * v.get("ingress_million"),
            executions: above_free(batches * MONTH, "free_executions") / 1e6 * v.get("execution_million"),
            checkpoints: (batches / with.checkpoint_frequency + fleet.partitions / v.get("lease_s")) * MONTH / 1e6
                * v.get("blob_write_million"),
            instance_time: above_free(gb_seconds, "free_gb_seconds") * v.get("gb_second"),
            documents: stored(written + reads.min(writes) * v.get("read_ru")),
            log_rows: above_free(log_gb, "free_log_gb") * v.get("log_gb"),
            alert_rules: alert_rules(v, &SINGLE),
            second_region: v.get("namespace_unit")
                + stored(written)
                + above_free(replicated_gb, "free_egress_gb") * v.get("egress_gb")
                + alert_rules(v, &STANDBY),
        }
    }

    fn total(&self) -> f64 {
        self.throughput_units
            + self.ingress
            + self.executions
            + self.checkpoints
            + self.instance_time
            + self.documents
            + self.log_rows
            + self.alert_rules
    }
}

/// Rules that the default deployment does not have, and those that a standby region does not have.
const SINGLE: [&str; 2] = ["dead-letter-sub-queue", "silent-devices"];
const STANDBY: [&str; 3] = ["dead-letter-sub-queue", "silent-devices", "account-throttled"];

/// Returns the price of the alert rules except these.
fn alert_rules(v: &Values, except: &[&str]) -> f64 {
    let rules: Json = serde_json::from_str(ALERTS).expect("JSON");
    let price = |rule: &Json| match (rule["query"].is_string(), rule["frequency"].as_str()) {
        (false, _) => v.get("rule_metric"),
        (true, Some("PT5M")) => v.get("rule_5"),
        (true, _) => v.get("rule_15"),
    };
    let rules = rules.as_array().expect("alerts").iter();
    rules.filter(|rule| !except.contains(&rule["name"].as_str().expect("a name"))).map(price).sum()
}

/// Returns the groups of functions that scale by themselves: one for all with an HTTP trigger, and one for each other function.
fn scaling_groups(is_counted: impl Fn(&str) -> bool) -> usize {
    let folders = fs::read_dir(root()).expect("the repository").map(|entry| entry.expect("an entry").path());
    let kinds = folders.filter_map(|folder| {
        let name = folder.file_name()?.to_str()?.to_owned();
        let function: Json = serde_json::from_slice(&fs::read(folder.join("function.json")).ok()?).expect("JSON");
        let is_http = function["bindings"][0]["type"] == "httpTrigger";
        is_counted(&name).then(|| if is_http { "http".to_owned() } else { name })
    });
    kinds.collect::<BTreeSet<_>>().len()
}

/// Returns an amount in dollars and cents.
fn cents(amount: f64) -> String {
    format!("${amount:.2}")
}

/// Returns the sentences that the page must have.
fn sentences(v: &Values) -> Vec<String> {
    let (unit, rules) = (v.get("namespace_unit"), alert_rules(v, &SINGLE));
    let documents = Fleet::new(v, 1.0, 3600.0).request_units(v).1 / 10.0 / 100.0 * v.get("ru_100");
    let network = |endpoints: f64, zones: f64| endpoints * v.get("endpoint") + zones * v.get("zone");
    let metric = v.get("rule_metric");
    let run = v.get("execution_s") * v.get("instance_gb") * v.get("gb_second") + v.get("execution_million") / 1e6;
    let minutely = MONTH / 60.0 * run;
    let ready = v.get("ready_gb_second") * v.get("instance_gb") * MONTH;
    let busy = v.get("gb_second") * v.get("instance_gb") * MONTH;
    let is_enabled = |name: &str| !MAIN.contains(&format!("'AzureWebJobs.{name}.Disabled'"));
    let enabled = scaling_groups(|name| is_enabled(name) && name != "SessionTelemetryFunction");
    let groups = f64::from(u8::try_from(enabled).expect("few"));
    vec![
        format!(
            "Smallest (one throughput unit, documents, alert rules): **{}** and cents for storage. With serverless Cosmos DB {}; with \
             an IoT Hub instead of Event Hubs {}.",
            cents(unit + documents + rules),
            cents(unit + rules),
            cents(v.get("iot_hub") + documents + rules)
        ),
        format!("`standbyLocation`: + {}", cents(unit + documents + alert_rules(v, &STANDBY))),
        format!(
            "`privateNetwork` (6 endpoints, 5 zones): + {}; with an IoT Hub (7, 7) {}; `privateFunctionApp` (1, 1): + {}",
            cents(network(6.0, 5.0)),
            cents(network(7.0, 7.0)),
            cents(network(1.0, 1.0))
        ),
        format!(
            "`sessions`: + {}; in a private network {}",
            cents(v.get("bus_base") + metric),
            cents(v.get("premium") + v.get("endpoint") + metric)
        ),
        format!("`silentAfter` (a rule, a run each minute): + {}", cents(v.get("rule_5") + minutely)),
        format!("`auditLogs`: {} per GB", cents(v.get("log_gb"))),
        format!(
            "A million session messages cost up to ${}, and an execution",
            figure(v.get("bus_operations") * v.get("bus_price_1"))
        ),
        format!(
            "`alwaysReadyInstances`: + {} each; an instance that is always busy costs {}",
            cents(ready),
            cents(busy)
        ),
        format!(
            "`zoneRedundantInstances`: + {}: two always-ready instances for each of {enabled} scaling groups, {} more for \
             each that `sessions` and `silentAfter` enable",
            cents(2.0 * groups * ready),
            cents(2.0 * ready)
        ),
    ]
}

/// Returns the amounts of the table of fleets, by row, for one column.
fn fleet_column(v: &Values, devices: f64, every: f64, with: Settings) -> BTreeMap<&'static str, String> {
    let bill = Bill::new(v, devices, every, with);
    let logged = Bill::new(v, devices, every, Settings { has_log_levels: false, ..with });
    let rows = [
        ("batches/s", bill.batches),
        ("instances", bill.instances),
        ("throughput units", bill.throughput_units),
        ("ingress events", bill.ingress),
        ("executions", bill.executions),
        ("checkpoints, leases", bill.checkpoints),
        ("instance time", bill.instance_time),
        ("documents (RU)", bill.documents),
        ("log rows", bill.log_rows),
        ("alert rules", bill.alert_rules),
        ("total", bill.total()),
        ("+ host's rows, if logged", logged.total() - bill.total()),
        ("+ second region", bill.second_region),
    ];
    rows.into_iter().map(|(name, value)| (name, figure(value))).collect()
}

/// Returns the effects of changes in the table of settings, by row, for one fleet.
fn change_column(v: &Values, devices: f64, every: f64) -> BTreeMap<&'static str, String> {
    let shipped = Settings::shipped(v);
    let total = |with| Bill::new(v, devices, every, with).total();
    let change = |with| {
        let change = total(with) - total(shipped);
        format!("{}{}", if change < 0.0 { "-" } else { "+" }, figure(change.abs()))
    };
    let rows = [
        ("`minEventBatchSize` 1", shipped.unbatched()),
        ("`minEventBatchSize` 1,000, `maxWaitTime` 1 min", Settings { wait: 60.0, smallest_batch: 1000.0, ..shipped }),
        ("`batchCheckpointFrequency` 10", Settings { checkpoint_frequency: 10.0, ..shipped }),
        ("without `logLevel`", Settings { has_log_levels: false, ..shipped }),
        ("8 records in an event", Settings { records: 8.0, ..shipped }),
        ("`maxTelemetryItemsPerSecond` 20", Settings { samples: v.get("samples_default_s"), ..shipped }),
    ];
    rows.into_iter().map(|(name, with)| (name, change(with))).collect()
}

/// What the page must have: sentences, and the cells of its tables by section and column.
pub(crate) struct Expected {
    sentences: Vec<String>,
    columns: Vec<(&'static str, String, BTreeMap<&'static str, String>)>,
}

impl Expected {
    pub(crate) fn new(v: &Values) -> Self {
        let shipped = Settings::shipped(v);
        let mut columns = Vec::new();
        for (letter, devices, every) in FLEETS {
            let of = |with| fleet_column(v, devices, every, with);
            let (unbatched, batched) = (of(shipped.unbatched()), of(shipped));
            if unbatched == batched {
                columns.push(("Fleets", letter.to_owned(), batched));
            } else {
                columns.push(("Fleets", format!("{letter} 1"), unbatched));
                columns.push(("Fleets", format!("{letter} 100"), batched));
            }
            columns.push(("Savings", letter.to_owned(), change_column(v, devices, every)));
        }
        Self { sentences: sentences(v), columns }
    }

    /// Returns what of this is not on the page, or differs.
    fn faults(&self, page: Page) -> Vec<String> {
        let words = page.words();
        let missing = self.sentences.iter().filter(|sentence| !words.contains(sentence.as_str()));
        let mut faults: Vec<_> = missing.cloned().collect();
        for (section, column, expected) in &self.columns {
            let rows = page.table(section);
            let cells =
                rows.iter().map(|row| (row["$ a month"], row.get(column.as_str()).copied().unwrap_or_default()));
            let actual: BTreeMap<_, _> = cells.collect();
            let expected: BTreeMap<_, _> = expected.iter().map(|(name, value)| (*name, value.as_str())).collect();
            if actual != expected {
                faults.push(format!("{section}, {column}: {actual:?} instead of {expected:?}"));
            }
        }
        faults
    }
}

/// Checks that the page has a fault if this text is added to any of its parts.
fn assert_each_is_checked<'a>(parts: impl IntoIterator<Item = &'a str>, least: usize, other: &str) {
    let expected = Expected::new(&Values::read());
    let mut count = 0;
    for part in parts {
        let changed = COSTS.with(part, &format!("{part}{other}"));
        assert_ne!(expected.faults(changed), [""; 0], "{part} can be changed");
        count += 1;
    }
    assert!(count >= least, "{count} amounts");
}

#[test]
fn every_amount_follows_from_the_prices() {
    assert_eq!(Expected::new(&Values::read()).faults(COSTS), [""; 0]);
}

#[test]
fn other_texts_name_the_same_amounts() {
    let v = &Values::read();
    let smallest = &sentences(v)[0];
    let (_, amount) = smallest.split_once("**$").expect("the amount");
    let dollars: f64 = amount[..amount.find('*').expect("its end")].parse().expect("a number");
    let names = |text: &str, dollars: f64| text.contains(&format!("about {dollars:.0} US dollars"));
    assert!(names(README, dollars), "README.md: {dollars}");
    assert!(names(MAIN, v.get("premium")), "infra/main.bicep");
}

#[test]
fn a_changed_amount_of_a_table_is_detected() {
    for (section, least) in [("Fleets", 13 * 7), ("Savings", 6 * 4)] {
        let lines = COSTS.blocks(section).next_back().expect("a table").lines().skip(1);
        assert_each_is_checked(lines.flat_map(|line| cells(line).skip(1)), least, "1");
    }
}

#[test]
fn a_changed_amount_of_a_sentence_is_detected() {
    let words = COSTS.section("Idle").split_whitespace();
    assert_each_is_checked(words.filter_map(|word| Some(&word[..=word.find('$')?])), 14, "9");
}

#[test]
fn a_changed_price_is_detected() {
    for line in COSTS.blocks("Prices").flat_map(str::lines) {
        let price = cells(line).nth(1).expect("a price");
        let changed = COSTS.with(price, &format!("1{price}"));
        assert_ne!(Expected::new(&Values::of(changed)).faults(changed), [""; 0], "nothing follows from: {line}");
    }
}
