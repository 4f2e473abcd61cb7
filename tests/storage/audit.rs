//! The audit trail in blobs: one blob per run, complete and without duplicate lines, also if responses are lost.

use std::sync::{
    Arc,
    atomic::{AtomicUsize, Ordering::Relaxed},
};

use azure_storage_blob::{BlobClient, BlobClientOptions, models::BlobClientGetPropertiesResultHeaders as _};
use devicestate_azure::{BlobAudit, StorageErrorKind};
use devicestate_dead_letters::{Action, AuditError, AuditLine, AuditTrail as _, Outcome};
use devicestate_engine::clock::Clock;
use devicestate_test_storage::{
    azurite::{ACCOUNT, Azurite, KEY, SHARED, WRONG_KEY, connection, connection_string, signing_options},
    proxy::{self, ProxyAction},
};

use crate::blobs::read;
use crate::storage_error;

/// 2026-11-21T15:23:29Z.
struct StoppedClock;

impl Clock for StoppedClock {
    fn now_ms(&self) -> i64 {
        1_795_274_609_000
    }
}

/// Returns a line with this number as its message id.
pub(crate) fn line(number: usize) -> AuditLine {
    AuditLine {
        time: "2026-11-21T15:23:29.000Z".into(),
        operator: "ada@bridge".into(),
        action: Action::Replay,
        outcome: Outcome::Superseded,
        queue: "the queue q at drones.queue.core.windows.net".into(),
        store: None,
        message_id: number.to_string(),
        id: None,
        device_id: None,
        issue: None,
        original: None,
        edited: None,
    }
}

/// Returns a line of at least this many bytes.
fn large(number: usize, length: usize) -> AuditLine {
    AuditLine { original: Some(number.to_string().repeat(length)), ..line(number) }
}

fn trail(port: u16, container: &str) -> BlobAudit {
    let connection = connection(&connection_string([port, port], &format!("AccountKey={KEY}")));
    BlobAudit::new(&connection, container, Action::Replay, &StoppedClock).expect("a blob service")
}

/// Returns the name of the trail's blob.
fn name(trail: &BlobAudit) -> String {
    let place = trail.location();
    let name = place.strip_prefix("the blob ").and_then(|place| place.split_once(" in ")).expect("a name");
    name.0.to_owned()
}

fn address(container: &str, name: &str) -> String {
    format!("{}/{container}/{name}", Azurite::url(SHARED.blob_port))
}

/// Reads the lines of the trail.
async fn read_lines(container: &str, name: &str) -> Vec<AuditLine> {
    let text = String::from_utf8(read(&address(container, name)).await).expect("text");
    text.lines().map(|line| serde_json::from_str(line).expect("a complete line")).collect()
}

#[tokio::test]
async fn each_run_has_its_own_blob_named_by_time_and_action() {
    let (one, other) = (trail(SHARED.blob_port, "audit-names"), trail(SHARED.blob_port, "audit-names"));
    for (trail, number) in [(&one, 1), (&other, 2)] {
        trail.append(&[line(number)]).await.expect("appended");
        let name = name(trail);
        let suffix = name.strip_prefix("audit/2026/11/21/152329-replay-").and_then(|rest| rest.strip_suffix(".jsonl"));
        let suffix = suffix.unwrap_or_else(|| panic!("{name}"));
        assert!(suffix.len() == 8 && suffix.bytes().all(|byte| byte.is_ascii_hexdigit()), "{name}");
        assert_eq!(read_lines("audit-names", &name).await, [line(number)]);
        let place = format!("the blob {name} in the container audit-names at 127.0.0.1:{}", SHARED.blob_port);
        assert_eq!(trail.location(), place);
    }
    assert_ne!(name(&one), name(&other));
}

#[tokio::test]
async fn lines_of_many_appends_are_in_order() {
    let trail = trail(SHARED.blob_port, "audit-many");
    for number in 0..5 {
        trail.append(&[line(2 * number), line(2 * number + 1)]).await.expect("appended");
    }
    let name = name(&trail);
    assert_eq!(read_lines("audit-many", &name).await, (0..10).map(line).collect::<Vec<_>>());
    let options = BlobClientOptions { client_options: signing_options(), ..BlobClientOptions::default() };
    let url = address("audit-many", &name).parse().expect("an address");
    let blob = BlobClient::new(url, None, Some(options)).expect("a blob");
    let properties = blob.get_properties(None).await.expect("properties");
    assert_eq!(properties.content_type().expect("a header").as_deref(), Some("application/x-ndjson"));
    assert_eq!(properties.blob_committed_block_count().expect("a header"), Some(5), "one block for an append");
}

#[tokio::test]
async fn lines_larger_than_a_block_are_complete() {
    let trail = trail(SHARED.blob_port, "audit-large");
    // Some fill blocks together, and one is larger than a block.
    let lines: Vec<_> = (0..5).map(|number| large(number, if number == 3 { 9_000_000 } else { 1_500_000 })).collect();
    trail.append(&lines).await.expect("appended");
    trail.append(&[line(5)]).await.expect("appended");
    let written = read_lines("audit-large", &name(&trail)).await;
    assert!(written[..5] == lines && written[5..] == [line(5)], "{} lines", written.len());
}

#[tokio::test]
async fn concurrent_appends_are_all_written() {
    let trail = trail(SHARED.blob_port, "audit-together");
    let lines: Vec<_> = (0..20).map(line).collect();
    let appends = lines.iter().map(|line| trail.append(std::slice::from_ref(line)));
    for appended in futures_util::future::join_all(appends).await {
        appended.expect("appended");
    }
    let mut written = read_lines("audit-together", &name(&trail)).await;
    written.sort_by_key(|line| line.message_id.parse::<usize>().expect("a number"));
    assert_eq!(written, lines);
}

/// Returns whether a request appends a block to a blob.
fn is_append(what: &str) -> bool {
    what.starts_with("PUT ") && what.contains("comp=appendblock")
}

/// Starts a proxy that handles append requests by their number, from 0, and forwards all other requests.
fn start_append_proxy(decide: fn(usize) -> ProxyAction) -> u16 {
    let mut number = 0;
    proxy::start(SHARED.blob_port, move |what| {
        if !is_append(what) {
            return ProxyAction::Forward;
        }
        number += 1;
        decide(number - 1)
    })
}

#[tokio::test]
async fn a_block_whose_response_is_lost_is_written_once() {
    // The first block of the trail, and the last one.
    let port =
        start_append_proxy(
            |number| if matches!(number, 0 | 3) { ProxyAction::DropResponse } else { ProxyAction::Forward },
        );
    let trail = trail(port, "audit-lost");
    for number in 0..4 {
        trail.append(&[line(number)]).await.expect("appended");
    }
    assert_eq!(read_lines("audit-lost", &name(&trail)).await, (0..4).map(line).collect::<Vec<_>>());
}

#[tokio::test]
async fn a_blob_whose_creation_response_is_lost_is_not_created_again() {
    let mut is_first = true;
    let port = proxy::start(SHARED.blob_port, move |what| {
        let is_create = what.starts_with("PUT ") && what.contains(".jsonl") && !what.contains('?');
        if is_create && std::mem::take(&mut is_first) { ProxyAction::DropResponse } else { ProxyAction::Forward }
    });
    // Creates the container, so that the proxy loses the response of the successful creation.
    trail(SHARED.blob_port, "audit-made").append(&[line(0)]).await.expect("appended");
    let trail = trail(port, "audit-made");
    for number in 0..2 {
        trail.append(&[line(number)]).await.expect("appended");
    }
    assert_eq!(read_lines("audit-made", &name(&trail)).await, [line(0), line(1)]);
}

/// The client gives up after some tries, but the first one has written the block.
#[tokio::test]
async fn after_a_failed_append_the_same_lines_are_written_once() {
    // The number of appends that get a response.
    let answered = Arc::new(AtomicUsize::new(2));
    let left = Arc::clone(&answered);
    let port = proxy::start(SHARED.blob_port, move |what| {
        let is_lost = is_append(what) && left.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_err();
        if is_lost { ProxyAction::DropResponse } else { ProxyAction::Forward }
    });
    let trail = trail(port, "audit-failed");
    let two_blocks = [large(1, 3_000_000), large(2, 3_000_000)];
    trail.append(&[line(0)]).await.expect("appended");
    trail.append(&two_blocks).await.expect_err("no answer for the second block");
    answered.store(2, Relaxed);
    trail.append(&two_blocks).await.expect("appended");
    trail.append(&[line(3)]).await.expect_err("no answer");
    answered.store(usize::MAX, Relaxed);
    trail.append(&[line(4)]).await.expect("appended");
    let written = read_lines("audit-failed", &name(&trail)).await;
    let [one, two] = two_blocks;
    assert!(written == [line(0), one, two, line(3), line(4)], "{} lines", written.len());
}

#[tokio::test]
async fn a_run_continues_in_a_second_blob_if_the_first_is_full() {
    let port = start_append_proxy(|number| {
        if number == 2 { ProxyAction::Respond(409, "BlockCountExceedsLimit") } else { ProxyAction::Forward }
    });
    let trail = trail(port, "audit-full");
    for number in 0..4 {
        trail.append(&[line(number)]).await.expect("appended");
    }
    let name = name(&trail);
    assert_eq!(read_lines("audit-full", &name).await, [line(0), line(1)]);
    let second = name.replace(".jsonl", "-2.jsonl");
    assert_eq!(read_lines("audit-full", &second).await, [line(2), line(3)]);
}

#[tokio::test]
async fn appending_no_lines_creates_the_blob() {
    let trail = trail(SHARED.blob_port, "audit-nothing");
    trail.append(&[]).await.expect("a blob");
    let name = name(&trail);
    assert_eq!(read_lines("audit-nothing", &name).await, []);
    trail.append(&[line(0)]).await.expect("appended");
    assert_eq!(read_lines("audit-nothing", &name).await, [line(0)]);
}

#[tokio::test]
async fn a_rejected_append_is_reported_without_the_key() {
    let connection = connection(&SHARED.connection_string(WRONG_KEY));
    let trail = BlobAudit::new(&connection, "audit-key", Action::Discard, &StoppedClock).expect("a blob service");
    let error = trail.append(&[line(0)]).await.expect_err("the key is wrong");
    let AuditError::WriteFailed(cause) = &error else { panic!("{error}") };
    let storage = storage_error(&**cause);
    assert!(matches!(storage.kind, StorageErrorKind::WrongKey(_)), "{storage:?}");
    let text = format!("{error} {error:?}");
    for word in [
        "-discard-",
        "in the container audit-key",
        "nothing is done without an audit line",
        "setting `DeadLetterStorage`",
    ] {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!text.contains(WRONG_KEY) && !text.contains(ACCOUNT), "{text}");
}
