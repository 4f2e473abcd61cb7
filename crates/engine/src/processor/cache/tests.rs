//! Compares the cache's estimate with the memory of the process.
//!
//! The ordinary tier measures 20,000 documents. For a million:
//!
//! ```sh
//! cargo test --release --package devicestate-engine --lib -- --ignored --nocapture memory_of_cached_documents
//! ```

use std::{env, fs, process::Command};

use arcstr::literal;
use serde_json::json;

use super::*;
use crate::device_state::{Name, Reading, Update, Version};

/// The number of documents, if not a million.
const DOCUMENTS: &str = "CACHED_DOCUMENTS";

const LIMIT_BYTES: u64 = 64 << 20;

fn tag(number: usize) -> ETag {
    ETag(format!("\"0000d826-0700-0000-0000-{number:012x}\""))
}

/// Returns the resident memory of this process.
#[expect(clippy::cast_precision_loss, reason = "far less than 2^52 bytes")]
fn resident_bytes() -> f64 {
    let status = fs::read_to_string("/proc/self/status").expect("/proc");
    let kilobytes = status.lines().find_map(|line| line.strip_prefix("VmRSS:")?.split_whitespace().next());
    (kilobytes.and_then(|kilobytes| kilobytes.parse::<u64>().ok()).expect("VmRSS in kB") << 10) as f64
}

/// Returns a document as it is after a write: its names are those of the decoder.
fn written(number: usize, readings: &[Reading]) -> Document {
    let (mut document, mut update) = (Document::new(format!("drone-{number}")), Update::default());
    let version = Version { time_ms: 1_732_150_000_123, sequence_number: 42, source: 913, record: 0 };
    update.fold(version, readings);
    update.hear(version);
    document.merge(&update);
    document
}

/// Returns a document as the store returns it: it has its own names.
fn read(document: &Document) -> Document {
    let json = serde_json::to_vec(document).expect("JSON");
    serde_json::from_slice(&json).expect("a document")
}

fn readings(count: usize, value: impl Fn(usize) -> serde_json::Value) -> Vec<Reading> {
    (0..count).map(|index| Reading { name: Name::from(format!("reading-{index:02}")), value: value(index) }).collect()
}

fn kinds() -> [(&'static str, Vec<Reading>); 6] {
    let position =
        |index| json!({"lat": 52.5 + f64::from(u32::try_from(index).unwrap_or(0)), "lon": 13.4, "fix": "3d"});
    let object = json!((0..30).map(|index| (format!("cell-{index}"), json!(index))).collect::<serde_json::Map<_, _>>());
    [
        ("11 numbers", readings(11, |index| json!(index))),
        ("1 number", readings(1, |index| json!(index))),
        ("60 numbers", readings(60, |index| json!(index))),
        ("8 strings", readings(8, |index| json!(format!("a state that has some words, {index}")))),
        ("4 objects, 2 arrays", readings(6, |index| if index < 4 { position(index) } else { json!([1, 2, 3.5, "x"]) })),
        ("a large object", readings(1, |_| object.clone())),
    ]
}

#[test]
#[ignore = "the ordinary tier runs it for fewer documents"]
#[expect(clippy::cast_precision_loss, reason = "far less than 2^52 bytes")]
fn memory_of_cached_documents() {
    let count = env::var(DOCUMENTS).map_or(1_000_000, |count| count.parse().expect("a number"));
    let kinds = kinds();
    let part = count / kinds.len() / 2;
    // What was measured before stays, so that no freed memory is used again.
    let mut caches = Vec::new();
    let mut measure = |kind: &str, document: &dyn Fn(usize) -> Document| {
        let cache = DocumentCache::new(1 << 40);
        let before = resident_bytes();
        (0..part).for_each(|number| cache.insert(&document(number), &tag(number)));
        let (resident, estimate) = (resident_bytes() - before, cache.bytes() as f64);
        println!("{kind}: {:.0} bytes a document, estimate {:.2}", resident / part as f64, estimate / resident);
        assert!((estimate / resident - 1.0).abs() < 0.2, "{kind}: {resident} bytes, estimate {estimate}");
        caches.push(cache);
    };
    for (kind, readings) in &kinds {
        measure(kind, &|number| written(number, readings));
        measure(&format!("{kind}, read"), &|number| read(&written(number, readings)));
    }
    let cache = DocumentCache::new(LIMIT_BYTES.min(count as u64 * 500));
    let before = resident_bytes();
    for number in 0..count {
        let (_, readings) = &kinds[number % kinds.len()];
        cache.insert(&written(number, readings), &tag(number));
    }
    let (resident, limit) = (resident_bytes() - before, LIMIT_BYTES.min(count as u64 * 500) as f64);
    println!("{count} documents of all kinds in {limit} bytes: {resident} bytes");
    assert!((resident / limit - 1.0).abs() < 0.2, "{resident} bytes, limit {limit}");
}

#[test]
fn the_estimate_of_an_entry_is_at_most_a_fifth_from_its_memory() {
    // In a process of its own, so that other tests take no memory at the same time.
    let mut child = Command::new(env::current_exe().expect("a test program is a file"));
    child.args(["--exact", "--ignored", "--nocapture", "processor::cache::tests::memory_of_cached_documents"]);
    let output = child.env(DOCUMENTS, "20000").output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(output.status.success() && text.contains("1 passed"), "{text}{}", String::from_utf8_lossy(&output.stderr));
}

/// `docs/operate/capacity.md` has the number of documents that fit into 64 MiB.
#[test]
fn a_drones_document_counts_1060_bytes() {
    let names = [
        literal!("AccelerometerOK"),
        literal!("Altitude"),
        literal!("Battery"),
        literal!("FlightMode"),
        literal!("GyrometerOK"),
        literal!("Latitude"),
        literal!("Longitude"),
        literal!("MagnetometerOK"),
    ];
    let readings = names.map(|name| Reading { name, value: json!(1) });
    let cache = DocumentCache::new(1 << 20);
    cache.insert(&written(12345, &readings), &tag(7));
    assert_eq!(cache.bytes(), 1060);
}

#[test]
fn the_estimate_does_not_change_while_a_document_is_cached() {
    let cache = DocumentCache::new(1 << 20);
    let readings = readings(3, |index| json!(index));
    cache.insert(&written(7, &readings), &tag(7));
    let estimate = cache.bytes();
    let others: Vec<_> = (0..100).map(|number| written(number, &readings)).collect();
    assert_eq!(cache.bytes(), estimate);
    cache.remove("drone-7");
    assert_eq!(cache.bytes(), 0, "{} documents share the names", others.len());
}
