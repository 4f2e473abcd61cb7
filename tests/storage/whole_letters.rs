//! Dead letters that did not fit into the queue, had back from blobs: only from there, and only what was kept.

use azure_core::http::Url;
use azure_storage_blob::{BlobClient, BlobClientOptions};
use devicestate_azure::{Blobs, StorageErrorKind};
use devicestate_engine::dead_letter::{Fingerprint, Overflow as _, OverflowError, Pointer};
use devicestate_test_storage::{
    azurite::{ACCOUNT, KEY, SHARED, WRONG_KEY, connection, connection_string, signing},
    proxy::{self, ProxyAction},
};

use crate::storage_error;

fn bytes(length: u32) -> Vec<u8> {
    (0..length).map(|number| number.to_le_bytes()[1]).collect()
}

fn blobs(container: &str) -> Blobs {
    Blobs::new(&SHARED.connection(), container).expect("a blob service")
}

async fn kept(blobs: &Blobs, bytes: &[u8]) -> Pointer {
    let location = blobs.put("0af1-22", bytes.to_vec()).await.expect("kept");
    Pointer { location, fingerprint: Fingerprint::of(bytes) }
}

#[tokio::test]
async fn a_blob_is_given_back_byte_for_byte() {
    // None, some, and more than the SDK reads at once of itself.
    for length in [0, 60_000, 9_000_000] {
        let (blobs, bytes) = (blobs("given-back"), bytes(length));
        let pointer = kept(&blobs, &bytes).await;
        assert!(pointer.fetch(&blobs).await.expect("given back") == bytes, "{length} bytes");
    }
}

/// All of these are there for whoever goes where they lead, but for the other host, which would be told.
#[tokio::test]
async fn another_host_and_another_container_are_never_asked() {
    let elsewhere = proxy::start(SHARED.blob_port, |what| panic!("the other host was asked: {what}"));
    let (here, other) = (blobs("here"), blobs("other"));
    kept(&here, b"here").await;
    let secret = other.put("secret", b"secret".to_vec()).await.expect("kept");
    here.put("below/secret", b"secret".to_vec()).await.expect("kept");
    for location in [
        &*secret,
        "below/secret.json",
        "../other/secret.json",
        &format!("http://127.0.0.1:{elsewhere}/{ACCOUNT}/here/secret.json"),
        &format!("http://127.0.0.1:{}/{ACCOUNT}/here/../other/secret.json", SHARED.blob_port),
    ] {
        let pointer = Pointer { location: location.to_owned(), fingerprint: Fingerprint::of(b"secret") };
        let error = pointer.fetch(&here).await.expect_err("it is not here");
        assert!(matches!(error, OverflowError::Missing { .. }) && error.is_message_specific(), "{location}: {error}");
    }
    // The name alone counts, so one that is here is found here.
    let location = format!("http://127.0.0.1:{elsewhere}/{ACCOUNT}/other/0af1-22.json");
    let pointer = Pointer { location, fingerprint: Fingerprint::of(b"here") };
    assert_eq!(pointer.fetch(&here).await.expect("given back"), b"here");
}

#[tokio::test]
async fn a_location_that_ends_in_no_name_of_a_dead_letter_is_not_looked_for() {
    let blobs = blobs("no-names");
    let pointer = kept(&blobs, b"kept").await;
    for location in ["", "https://host/container/", "../../etc/passwd", &format!("{}?sig=secret", pointer.location)] {
        let error = Pointer { location: location.to_owned(), ..pointer.clone() }.fetch(&blobs).await;
        let error = error.expect_err("it has no name");
        assert!(matches!(error, OverflowError::NoName { .. }) && error.is_message_specific(), "{location}: {error}");
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_blob_that_was_changed_is_told_and_not_given_back() {
    let blobs = blobs("changed");
    let pointer = kept(&blobs, b"as it was").await;
    kept(&blobs, b"as it is now").await;
    let error = pointer.fetch(&blobs).await.expect_err("it is another one");
    assert!(matches!(error, OverflowError::Changed { .. }) && error.is_message_specific(), "{error}");
    for word in ["0af1-22.json", "9 bytes", "12 bytes"] {
        assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
    }
}

#[tokio::test]
async fn a_blob_or_a_container_that_is_not_there_is_told_with_the_settings() {
    let missing = blobs("missing");
    let pointer = kept(&missing, b"deleted").await;
    let options = BlobClientOptions { client_options: signing(), ..BlobClientOptions::default() };
    let url = Url::parse(&pointer.location).expect("an address");
    let blob = BlobClient::new(url, None, Some(options)).expect("a blob");
    blob.delete(None).await.expect("deleted");
    for (blobs, container) in [(missing, "missing"), (blobs("no-container"), "no-container")] {
        let error = pointer.fetch(&blobs).await.expect_err("it is not there");
        // Without a container none of them is there.
        assert_eq!(error.is_message_specific(), container == "missing", "{error}");
        let place = format!("container {container} at 127.0.0.1:{}", SHARED.blob_port);
        for word in ["0af1-22.json", &place, &pointer.location, "DeadLetterContainer or DeadLetterStorage"] {
            assert!(error.to_string().contains(word), "{word:?} is not in: {error}");
        }
    }
}

/// The outages have the rest of what stops a run.
#[tokio::test]
async fn a_key_that_is_refused_is_no_matter_of_one_dead_letter_and_is_not_told() {
    let pointer = kept(&blobs("read-key"), b"kept").await;
    let wrong = Blobs::new(&connection(&SHARED.connection_string(WRONG_KEY)), "read-key").expect("a blob service");
    let error = pointer.fetch(&wrong).await.expect_err("it is not the key");
    let OverflowError::Unread(cause) = &error else { panic!("{error}") };
    let storage = storage_error(&**cause);
    assert!(matches!(storage.kind, StorageErrorKind::WrongKey(_)) && !error.is_message_specific(), "{error}");
    let text = format!("{error} {error:?}");
    for word in ["the blob 0af1-22.json in the container read-key", "setting `DeadLetterStorage`"] {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
    assert!(!text.contains(WRONG_KEY), "{text}");
}

#[tokio::test]
async fn a_blob_in_the_archive_is_its_own_matter_and_a_service_that_is_busy_is_not() {
    let pointer = kept(&blobs("archive"), b"kept").await;
    for (status, code, is_message_specific) in [(409, "BlobArchived", true), (503, "ServerBusy", false)] {
        let port = proxy::start(SHARED.blob_port, move |_| ProxyAction::Refused(status, code));
        let connection = connection(&connection_string([port, port], &format!("AccountKey={KEY}")));
        let blobs = Blobs::new(&connection, "archive").expect("a blob service");
        let error = pointer.fetch(&blobs).await.expect_err("it is refused");
        assert!(matches!(error, OverflowError::Unread(_) | OverflowError::Refused(_)), "{error}");
        assert_eq!(error.is_message_specific(), is_message_specific, "{error}");
        assert!(error.to_string().contains(code), "{error}");
    }
}
