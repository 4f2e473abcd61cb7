//! Each store selects by a filter exactly the documents that `Filter::matches` defines.

use std::{
    collections::BTreeMap,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering},
    },
};

use devicestate_engine::{
    clock::Clock,
    device_state::{Document, document_id},
    store::{Filter, Operator, RequestCharge, Scalar, Selection, StateStore},
};
use devicestate_sqlite::SqliteStore;
use fastrand::Rng;
use rusqlite::Connection;
use serde_json::{Map, Value, json};

use super::kinds::{NamedStore, for_each_store, open};

for_each_store![
    a_store_selects_the_documents_that_a_filter_matches,
    a_list_with_a_filter_is_read_in_pages,
    a_filter_that_selects_nothing_gives_an_empty_page,
];

const SEEDS: u64 = 300;

/// Names of readings, also with the characters that mean something in a query, and reserved ones, which are not readings.
const NAMES: [&str; 15] = [
    "battery",
    "model",
    "motor.temp",
    "a b",
    "ünï\u{10348}",
    "x\"] OR 1=1 --",
    "x\\\"] = @p0",
    "y'; DROP",
    "@p0",
    "Heard",
    "SilentSince",
    "Versions",
    "id",
    "_ts",
    "ttl",
];

const TEXTS: [&str; 10] =
    ["", "a", "aa", "b", "Z", "\u{ff5e}", "\u{10348}", "\" OR true --", "\\", "2024-11-21T00:46:40.123Z"];

const DEVICES: [&str; 12] =
    ["drone-1", "drone-12", "drone", "hall#4", "hall#", "hall", " a", "a ", "a b", "ünï", "50%", "a~b"];

/// Ids of documents that another program created.
const OTHER_IDS: [&str; 4] = ["~zz", "hall~234x~", "~2f", "hall~2"];

const TIMES: [i64; 4] = [1_732_150_000_123, 1_732_150_000_124, 1_732_150_060_000, 0];

fn pick<T: Clone>(random: &mut Rng, items: &[T]) -> T {
    items[random.usize(..items.len())].clone()
}

fn number(random: &mut Rng) -> f64 {
    pick(random, &[0.0, -0.0, 0.2, 1.0, -1.5, 9_007_199_254_740_992.0, 1e300])
}

fn value(random: &mut Rng) -> Value {
    match random.u8(..9) {
        0 => Value::Null,
        1 => random.bool().into(),
        2 | 3 => number(random).into(),
        4 => pick(random, &[0_i64, 1, 2]).into(),
        5 => json!([1, "a"]),
        6 => json!({"battery": 1, "Versions": {"Heard": 1}}),
        _ => pick(random, &TEXTS).into(),
    }
}

fn document(random: &mut Rng, id: &str) -> Document {
    let (mut stored, mut versions) = (Map::from_iter([("id".to_owned(), json!(id))]), Map::new());
    for name in
        ["battery", "model", "motor.temp", "a b", "ünï\u{10348}", "x\"] OR 1=1 --", "x\\\"] = @p0", "y'; DROP", "@p0"]
    {
        if random.bool() {
            stored.insert(name.into(), value(random));
            versions.insert(name.into(), json!([pick(random, &TIMES), 1, 2]));
        }
    }
    if random.bool() {
        versions.insert("Heard".into(), json!([pick(random, &TIMES), 1, 2]));
    }
    if random.u8(..4) == 0 {
        stored.insert("SilentSince".into(), json!("2024-11-21T00:46:40.123Z"));
    }
    stored.insert("Versions".into(), versions.into());
    serde_json::from_value(stored.into()).expect("a document")
}

fn filter(random: &mut Rng, depth: u8) -> Filter {
    match random.u8(if depth == 0 { 2..12 } else { 0..12 }) {
        0 => Filter::All((0..random.u8(..4)).map(|_| filter(random, depth - 1)).collect()),
        1 => Filter::Any((0..random.u8(..4)).map(|_| filter(random, depth - 1)).collect()),
        2 => Filter::Device(pick(random, &DEVICES).into()),
        3 => {
            let device: &str = pick(random, &DEVICES);
            let end = random.usize(..=device.chars().count());
            Filter::DevicePrefix(device.chars().take(end).collect())
        }
        4 => Filter::HeardUntil(pick(random, &TIMES)),
        5 => Filter::HeardSince(pick(random, &TIMES)),
        6 => Filter::IsMarkedSilent,
        7 => Filter::Exists(pick(random, &NAMES).into()),
        _ => Filter::Compare {
            name: pick(random, &NAMES).into(),
            operator: pick(
                random,
                &[
                    Operator::Equal,
                    Operator::NotEqual,
                    Operator::Less,
                    Operator::LessOrEqual,
                    Operator::Greater,
                    Operator::GreaterOrEqual,
                ],
            ),
            value: match random.u8(..5) {
                0 => Scalar::Boolean(random.bool()),
                1 | 2 => Scalar::Number(number(random)),
                _ => Scalar::Text(pick(random, &TEXTS).into()),
            },
        },
    }
}

/// Creates documents of all kinds, and returns them by id.
async fn create_documents(store: &dyn StateStore, random: &mut Rng) -> BTreeMap<String, Document> {
    let devices = DEVICES.iter().map(|device| document_id(device).into_owned());
    let ids = devices.chain(OTHER_IDS.map(str::to_owned)).chain((0..24).map(|n| format!("sensor-{n}")));
    let documents: BTreeMap<_, _> = ids.map(|id| (id.clone(), document(random, &id))).collect();
    for document in documents.values() {
        store.create(document, &RequestCharge::default()).await.expect("a creation");
    }
    documents
}

fn ids(documents: &[Document]) -> Vec<&str> {
    documents.iter().map(|document| document.id.as_str()).collect()
}

fn matching<'a>(documents: &'a BTreeMap<String, Document>, filter: &Filter) -> Vec<&'a str> {
    documents.values().filter(|document| filter.matches(document)).map(|document| document.id.as_str()).collect()
}

async fn a_store_selects_the_documents_that_a_filter_matches((name, store): NamedStore) {
    let mut random = Rng::with_seed(7);
    let documents = create_documents(&*store, &mut random).await;
    let mut sizes = BTreeMap::new();
    for seed in 0..SEEDS {
        let filter = filter(&mut random, 2);
        let charge = RequestCharge::default();
        let page = store.list(Selection { filter: &filter, after: None, limit: 1_000 }, &charge).await.expect("a page");
        let expected = matching(&documents, &filter);
        assert_eq!(ids(&page.documents), expected, "{name}, {seed}: {filter:?}");
        assert_eq!(page.invalid, [] as [String; 0], "{name}");
        assert_eq!(store.count(&filter, &charge).await, Ok(expected.len() as u64), "{name}, {seed}: {filter:?}");
        *sizes.entry(expected.len()).or_insert(0) += 1;
    }
    assert!(sizes.len() > 20, "the filters select too few different numbers of documents: {sizes:?}");
}

async fn a_list_with_a_filter_is_read_in_pages((name, store): NamedStore) {
    let documents = create_documents(&*store, &mut Rng::with_seed(8)).await;
    let filter = Filter::Any(vec![Filter::IsMarkedSilent, Filter::Exists("battery".into())]);
    let expected = matching(&documents, &filter);
    let (mut listed, mut after) = (Vec::new(), None::<String>);
    loop {
        let selection = Selection { filter: &filter, after: after.as_deref(), limit: 3 };
        let page = store.list(selection, &RequestCharge::default()).await.expect("a page");
        assert!(page.documents.len() == 3 || listed.len() + page.documents.len() == expected.len(), "{name}");
        if page.last_id.is_none() {
            break;
        }
        after = page.last_id;
        listed.extend(page.documents.into_iter().map(|document| document.id));
    }
    assert_eq!(listed, expected, "{name}");
}

async fn a_filter_that_selects_nothing_gives_an_empty_page((name, store): NamedStore) {
    create_documents(&*store, &mut Rng::with_seed(9)).await;
    let charge = RequestCharge::default();
    for filter in [Filter::Any(vec![]), Filter::Exists("missing".into()), Filter::Device("missing".into())] {
        let page = store.list(Selection { filter: &filter, after: None, limit: 10 }, &charge).await;
        assert_eq!(page, Ok(devicestate_engine::store::Page::default()), "{name}: {filter:?}");
        assert_eq!(store.count(&filter, &charge).await, Ok(0), "{name}: {filter:?}");
    }
}

/// Names that are written with escapes, members that occur twice, and other things that another program may write.
#[tokio::test]
async fn the_text_of_a_document_is_read_as_the_document() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let store = SqliteStore::new(open(&path));
    let other = Connection::open(&path).expect("a connection");
    let texts = [
        r#"{"id":"a","\u0062attery":1}"#,
        r#"{"battery":"text","id":"b","battery":1,"Versions":null}"#,
        r#"{"battery":1,"id":"c","battery":null,"Versions":{"Heard":[5,1,2],"Heard":[9,1,2]}}"#,
        r#" { "Versions" : {"Heard":[1,1,2],"battery":[1,1,1]}, "Versions":{}, "id":"d", "battery":1.0e0 } "#,
        r#"{"id":"e","model":{"battery":1,"SilentSince":"2024-11-21T00:46:40.123Z"},"Versions":{"Hea\u0072d":[9,1,2]}}"#,
        // When the device was last heard is in the versions of the document, and not in those of a value.
        r#"{"id":"f","model":{"Versions":{"Heard":[9,1,2]}}}"#,
        r#"{"id":"g","Versions":{"Heard":[9,1,2]},"model":{"Versions":{"Heard":[5,1,2]}}}"#,
        r#"{"id":"h","Versions":{"Heard":[5,1,2]},"model":{"Versions":{"Heard":[9,1,2]},"a":1}}"#,
        r#"{"id":"i","Versions":{"Heard":[5,1,2],"{":[9,1,2]},"battery" : [1] }"#,
        r#"{"id":"j","Versions":{"Heard":[9,1,2],"battery":[5,1,2],"Heard":[5,1,2]}}"#,
        r#"{"id":"k","model":"battery","Versions":{"battery":[5,1,2],"Heard":[9,1,2]}}"#,
        r#"{"id":"l","battery":"text","Versions":{"Heard":[5,1,2]}}"#,
        r#"{"id":"m","battery":1,"Versions":{},"model":{"a":[{"Heard":[9,1,2]}]}}"#,
    ];
    for text in texts {
        let document: Document = serde_json::from_str(text).expect("a document");
        let insert = "INSERT INTO documents (id, etag, document) VALUES (?, '', ?)";
        assert_eq!(other.execute(insert, [&*document.id, text]), Ok(1));
    }
    let battery = |value| Filter::Compare { name: "battery".into(), operator: Operator::Equal, value };
    for filter in [
        battery(Scalar::Number(1.0)),
        battery(Scalar::Text("text".into())),
        Filter::Exists("battery".into()),
        Filter::HeardUntil(5),
        Filter::HeardSince(9),
        Filter::IsMarkedSilent,
    ] {
        let documents = texts.map(|text| serde_json::from_str::<Document>(text).expect("a document"));
        let expected: Vec<_> = documents.into_iter().filter(|document| filter.matches(document)).collect();
        let charge = RequestCharge::default();
        let page = store.list(Selection { filter: &filter, after: None, limit: 10 }, &charge).await.expect("a page");
        assert_eq!((page.documents, page.invalid), (expected.clone(), vec![]), "{filter:?}");
        assert_eq!(store.count(&filter, &charge).await, Ok(expected.len() as u64), "{filter:?}");
    }
}

/// A clock that is a minute later at each look.
#[derive(Default)]
struct FastClock(AtomicI64);

impl Clock for FastClock {
    fn now_ms(&self) -> i64 {
        self.0.fetch_add(60_000, Ordering::Relaxed)
    }
}

/// Otherwise a filter that selects few of many devices would need more time than a caller waits.
#[tokio::test]
async fn a_list_that_takes_long_ends_early_and_continues_there() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let store = SqliteStore::with_clock(open(&path), Arc::new(FastClock::default()));
    let other = Connection::open(&path).expect("a connection");
    let insert = "WITH RECURSIVE n (i) AS (SELECT 1001 UNION ALL SELECT i + 1 FROM n WHERE i < 2300)
        INSERT INTO documents (id, etag, document) SELECT i, '', json_object('id', CAST(i AS TEXT), 'n', i) FROM n";
    assert_eq!(other.execute(insert, []), Ok(1_300));
    let filter = Filter::Compare { name: "n".into(), operator: Operator::Equal, value: Scalar::Number(2_200.0) };
    let (mut pages, mut after) = (Vec::new(), None::<String>);
    loop {
        let selection = Selection { filter: &filter, after: after.as_deref(), limit: 10 };
        let page = store.list(selection, &RequestCharge::default()).await.expect("a page");
        pages.push((page.documents.len(), page.is_partial));
        if !page.is_partial {
            break;
        }
        after = page.last_id;
    }
    assert_eq!(pages, [(0, true), (0, true), (1, true), (0, false)]);
    // Without a filter, the pages are full.
    let page = store.list(Selection::every(None, 1_200), &RequestCharge::default()).await.expect("a page");
    assert_eq!((page.documents.len(), page.is_partial), (1_200, false));
}

/// A document is invalid for a filter if what the filter needs is invalid.
#[tokio::test]
async fn a_filter_does_not_hide_a_document_that_it_cannot_decide() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("state.db");
    let store = SqliteStore::new(open(&path));
    let other = Connection::open(&path).expect("a connection");
    for (id, text) in [
        ("a", "{"),
        ("b", r#"{"id":"other"}"#),
        ("c", r#"{"id":"c","Versions":{"Heard":1}}"#),
        ("d", r#"{"id":"d","Versions":[]}"#),
        ("e", r#"{"id":"e"} {}"#),
        ("f", r#"{"id":"f"}"#),
    ] {
        assert_eq!(other.execute("INSERT INTO documents (id, etag, document) VALUES (?, '', ?)", [id, text]), Ok(1));
    }
    let charge = RequestCharge::default();
    let filter = Filter::HeardUntil(1);
    let page = store.list(Selection { filter: &filter, after: None, limit: 10 }, &charge).await.expect("a page");
    assert_eq!((page.documents.len(), page.invalid.len()), (1, 5), "{page:?}");
    assert_eq!(page.last_id.as_deref(), Some("f"));
    assert_eq!(store.count(&Filter::HeardUntil(1), &charge).await, Ok(1));
    // Documents without this reading cannot be selected, whether they are valid or not.
    let filter = Filter::Exists("battery".into());
    let page = store.list(Selection { filter: &filter, after: None, limit: 10 }, &charge).await.expect("a page");
    assert_eq!(page, devicestate_engine::store::Page::default());
}
