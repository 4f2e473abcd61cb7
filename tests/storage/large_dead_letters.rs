//! Reading large dead letters back from blobs: only from their container, and only with an unchanged content.

use azure_core::http::Url;
use azure_storage_blob::{BlobClient, BlobClientOptions};
use devicestate_azure::{Blobs, StorageErrorKind};
use devicestate_engine::dead_letter::{Fingerprint, Overflow as _, OverflowError, Pointer};
use devicestate_test_storage::{
    azurite::{ACCOUNT, KEY, SHARED, WRONG_KEY, connection, connection_string, signing_options},
    proxy::{self, ProxyAction},
};

use crate::storage_error;

fn bytes(length: u32) -> Vec<u8> {
    (0..length).map(|number| number.to_le_bytes()[1]).collect()
}

fn blobs(container: &str) -> Blobs {
    Blobs::new(&SHARED.connection(), container).expect("a blob service")
}

async fn store(blobs: &Blobs, bytes: &[u8]) -> Pointer {
    let location = blobs.put("0af1-22", bytes.to_vec()).await.expect("stored");
    Pointer { location, fingerprint: Fingerprint::of_bytes(bytes) }
}

#[tokio::test]
async fn a_blob_is_read_byte_for_byte() {
    // Empty, small, and larger than the SDK's default request.
    for length in [0, 60_000, 9_000_000] {
        let (blobs, bytes) = (blobs("read-back"), bytes(length));
        let pointer = store(&blobs, &bytes).await;
        assert!(pointer.fetch(&blobs).await.expect("fetched") == bytes, "{length} bytes");
    }
}

/// All of these blobs exist at their locations. A request to the other host would panic.
#[tokio::test]
async fn another_host_and_another_container_are_never_read() {
    let other_host = proxy::start(SHARED.blob_port, |what| panic!("a request to the other host: {what}"));
    let (here, other) = (blobs("here"), blobs("other"));
    store(&here, b"here").await;
    let secret = other.put("secret", b"secret".to_vec()).await.expect("stored");
    here.put("below/secret", b"secret".to_vec()).await.expect("stored");
    for location in [
        &*secret,
        "below/secret.json",
        "../other/secret.json",
        &format!("http://127.0.0.1:{other_host}/{ACCOUNT}/here/secret.json"),
        &format!("http://127.0.0.1:{}/{ACCOUNT}/here/../other/secret.json", SHARED.blob_port),
    ] {
        let pointer = Pointer { location: location.to_owned(), fingerprint: Fingerprint::of_bytes(b"secret") };
        let error = pointer.fetch(&here).await.expect_err("the blob is not in this container");
        assert!(matches!(error, OverflowError::Missing { .. }) && error.is_message_specific(), "{location}: {error}");
    }
    // Only the name is used, so a blob of this name is found in this container.
    let location = format!("http://127.0.0.1:{other_host}/{ACCOUNT}/other/0af1-22.json");
    let pointer = Pointer { location, fingerprint: Fingerprint::of_bytes(b"here") };
    assert_eq!(pointer.fetch(&here).await.expect("fetched"), b"here");
}

#[tokio::test]
async fn a_location_without_the_name_of_a_dead_letter_is_rejected() {
    let blobs = blobs("no-names");
    let pointer = store(&blobs, b"kept").await;
    for location in ["", "https://host/container/", "../../etc/passwd", &format!("{}?sig=secret", pointer.location)] {
        let error = Pointer { location: location.to_owned(), ..pointer.clone() }.fetch(&blobs).await;
        let error = error.expect_err("the location is invalid");
        assert!(
            matches!(error, OverflowError::InvalidLocation { .. }) && error.is_message_specific(),
            "{location}: {error}"
        );
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_changed_blob_is_reported_and_not_returned() {
    let blobs = blobs("changed");
    let pointer = store(&blobs, b"as it was").await;
    store(&blobs, b"as it is now").await;
    let error = pointer.fetch(&blobs).await.expect_err("the blob was changed");
    assert!(matches!(error, OverflowError::Changed { .. }) && error.is_message_specific(), "{error}");
    for word in ["0af1-22.json", "9 bytes", "12 bytes"] {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
}

#[tokio::test]
async fn a_missing_blob_or_container_is_reported_with_the_settings() {
    let missing = blobs("missing");
    let pointer = store(&missing, b"deleted").await;
    let options = BlobClientOptions { client_options: signing_options(), ..BlobClientOptions::default() };
    let url = Url::parse(&pointer.location).expect("an address");
    let blob = BlobClient::new(url, None, Some(options)).expect("a blob");
    blob.delete(None).await.expect("deleted");
    for (blobs, container) in [(missing, "missing"), (blobs("no-container"), "no-container")] {
        let error = pointer.fetch(&blobs).await.expect_err("the blob is missing");
        // A missing container concerns all dead letters.
        assert_eq!(error.is_message_specific(), container == "missing", "{error}");
        let container_name_and_host = format!("container {container} at 127.0.0.1:{}", SHARED.blob_port);
        for word in [
            "0af1-22.json",
            &container_name_and_host,
            &pointer.location,
            "`DeadLetterContainer` or `DeadLetterStorage`",
        ] {
            assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
        }
    }
}

/// The module `outages` tests the other errors that end a replay.
#[tokio::test]
async fn a_rejected_key_is_not_an_error_of_one_message_and_is_not_printed() {
    let pointer = store(&blobs("read-key"), b"kept").await;
    let wrong = Blobs::new(&connection(&SHARED.connection_string(WRONG_KEY)), "read-key").expect("a blob service");
    let error = pointer.fetch(&wrong).await.expect_err("the key is wrong");
    let OverflowError::ReadFailed(cause) = &error else { panic!("{error}") };
    let storage = storage_error(&**cause);
    assert!(matches!(storage.kind, StorageErrorKind::WrongKey(_)) && !error.is_message_specific(), "{error}");
    let text = format!("{error} {error:?}");
    for word in ["the blob 0af1-22.json in the container read-key", "setting `DeadLetterStorage`"] {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!text.contains(WRONG_KEY), "{text}");
}

#[tokio::test]
async fn an_archived_blob_is_an_error_of_one_message_and_a_busy_service_is_not() {
    let pointer = store(&blobs("archive"), b"kept").await;
    for (status, code, is_message_specific) in [(409, "BlobArchived", true), (503, "ServerBusy", false)] {
        let port = proxy::start(SHARED.blob_port, move |_| ProxyAction::Respond(status, code));
        let connection = connection(&connection_string([port, port], &format!("AccountKey={KEY}")));
        let blobs = Blobs::new(&connection, "archive").expect("a blob service");
        let error = pointer.fetch(&blobs).await.expect_err("the request is rejected");
        assert!(matches!(error, OverflowError::ReadFailed(_) | OverflowError::ReadRejected(_)), "{error}");
        assert_eq!(error.is_message_specific(), is_message_specific, "{error}");
        assert!(error.to_string().contains(code), "{error}");
    }
}
