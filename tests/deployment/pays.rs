//! docs/operate/costs.md: what a million records cost, and what they would cost with the pattern of the reference
//! implementation, which reads and writes a document for each event.

use crate::{
    capacity::{Fleet, check_rows, different, figure, further_us},
    costs::FLEETS,
    page::{COSTS, Values, number},
};

const INPUTS: [&str; 3] = ["fleet", "batch", "packed"];

/// Returns the µs of an event in a batch of this size, without operations on Cosmos DB: linear in 1/batch between the measured
/// sizes 1, 100 and 1,000.
fn measured_us(v: &Values, program: &str, batch: f64) -> f64 {
    let at = |size: &str| v.get(&format!("{program}_us_{size}"));
    let (single, hundred, thousand) = (at("1"), at("100"), at("1000"));
    let between = |small: f64, at_small: f64, large: f64, at_large: f64| {
        let each_batch = (at_small - at_large) / (1.0 / small - 1.0 / large);
        at_large + each_batch * (1.0 / batch - 1.0 / large)
    };
    if batch < 100.0 { between(1.0, single, 100.0, hundred) } else { between(100.0, hundred, 1000.0, thousand) }
}

/// Returns the figures of a fleet: with batches that wait for this many events, and with this many records in an event.
fn figures(v: &Values, name: &str, smallest: f64, records: f64) -> Vec<(&'static str, String)> {
    let (_, devices, every) = FLEETS.into_iter().find(|fleet| fleet.0 == name).expect("a fleet");
    let fleet = Fleet::packed(v, devices, every, records);
    let wait = if smallest > 1.0 { v.get("wait_s") } else { 0.0 };
    let batch = fleet.batch(v, wait, smallest, v.get("largest_batch"));
    let writes = different(fleet.devices / fleet.partitions, batch) / batch;
    let reads = (fleet.instances_with(v, batch).1 / fleet.events).min(writes);
    let operations_us = (reads + writes) * v.get("operation_cpu_us");
    let event_us = measured_us(v, "chain", batch) + further_us(v, records) + operations_us;
    let reference_us = measured_us(v, "csharp", batch) + 2.0 * v.get("operation_cpu_us");
    let thousands = |of_an_event: f64| figure(1e3 * of_an_event / records);
    vec![
        ("executions", thousands(1.0 / batch)),
        ("operations", thousands(reads + writes)),
        ("RU", thousands(reads * v.get("read_ru") + writes * v.get("write_ru"))),
        // µs per record are seconds per million records.
        ("processor, s", figure(event_us / records)),
        // The reference has one record in an event.
        ("C#, s", if records > 1.0 { "–".into() } else { figure(reference_us) }),
    ]
}

pub(crate) fn check_table(v: &Values) {
    check_rows(COSTS, "A million records", &INPUTS, |row| {
        let of = |fleet| figures(v, fleet, number(row["batch"]), number(row["packed"]));
        let mut fleets = row["fleet"].split(", ").map(of);
        let first = fleets.next().expect("a fleet");
        assert!(fleets.all(|figures| figures == first), "the fleets of {row:?} differ");
        first
    });
}

#[test]
fn the_figures_of_a_million_records_follow_from_the_values() {
    let v = &Values::read();
    check_table(v);
    let units_of = |name: &str, devices, every| {
        let units = |records| figure(Fleet::packed(v, devices, every, records).throughput_units);
        format!("{name} {} instead of {}", units(8.0), units(1.0))
    };
    let [_, _, c, d] = FLEETS.map(|(name, devices, every)| units_of(name, devices, every));
    let units = figure(1e3 * (v.get("read_ru") + v.get("write_ru")));
    let reference = format!("2,000 operations and {units} RU in each row");
    for sentence in [format!("Throughput units: {c}, {d}."), reference] {
        assert!(COSTS.words().contains(&sentence), "{sentence}");
    }
}
