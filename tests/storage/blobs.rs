//! Storing dead letters that do not fit into a queue in blobs.

use azure_core::http::Url;
use azure_storage_blob::{BlobClient, BlobClientOptions, models::BlobClientGetPropertiesResultHeaders as _};
use devicestate_azure::{Blobs, Service, StorageErrorKind};
use devicestate_engine::dead_letter::{Overflow as _, OverflowError};
use devicestate_test_storage::azurite::{
    ACCOUNT, KEY, SHARED, WRONG_KEY, connection, connection_string, signing_options,
};

use crate::storage_error;

/// Returns a client of the blob at this URL.
fn blob(location: &str) -> BlobClient {
    let options = BlobClientOptions { client_options: signing_options(), ..BlobClientOptions::default() };
    BlobClient::new(Url::parse(location).expect("an address"), None, Some(options)).expect("a blob")
}

/// Reads the blob at this URL.
pub(crate) async fn read(location: &str) -> Vec<u8> {
    blob(location).download(None).await.expect("downloaded").body.collect().await.expect("bytes").to_vec()
}

#[tokio::test]
async fn a_dead_letter_is_stored_at_the_returned_url() {
    let blobs = Blobs::new(&SHARED.connection(), "kept").expect("a blob service");
    let location = blobs.put("0af1-22", b"first".to_vec()).await.expect("stored");
    let port = SHARED.blob_port;
    assert_eq!(location, format!("http://127.0.0.1:{port}/{ACCOUNT}/kept/0af1-22.json"));
    assert_eq!(read(&location).await, b"first");
}

/// Portals and browsers then show the blob instead of saving it.
#[tokio::test]
async fn a_stored_dead_letter_has_the_content_type_of_json() {
    let blobs = Blobs::new(&SHARED.connection(), "typed").expect("a blob service");
    let location = blobs.put("0af1-22", b"{}".to_vec()).await.expect("stored");
    let properties = blob(&location).get_properties(None).await.expect("properties");
    assert_eq!(properties.content_type().expect("a header").as_deref(), Some("application/json"));
}

#[tokio::test]
async fn a_second_put_with_the_same_name_replaces_the_blob() {
    let blobs = Blobs::new(&SHARED.connection(), "replaced").expect("a blob service");
    let first = blobs.put("same", b"first, and longer".to_vec()).await.expect("stored");
    let second = blobs.put("same", b"second".to_vec()).await.expect("stored");
    assert_eq!(first, second);
    assert_eq!(read(&second).await, b"second");
}

/// Two handlers that find the container missing at the same time both create it.
#[tokio::test]
async fn concurrent_puts_without_a_container_all_succeed() {
    let blobs = Blobs::new(&SHARED.connection(), "race").expect("a blob service");
    let names: Vec<String> = (0..16).map(|number| number.to_string()).collect();
    let puts = names.iter().map(|name| blobs.put(name, name.clone().into_bytes()));
    for (name, location) in names.iter().zip(futures_util::future::join_all(puts).await) {
        assert_eq!(read(&location.expect("stored")).await, name.as_bytes());
    }
}

/// The signature covers the path as it is sent, so special characters show whether both are encoded in the same way.
#[tokio::test]
async fn names_with_special_characters_are_signed_as_they_are_sent() {
    let blobs = Blobs::new(&SHARED.connection(), "odd").expect("a blob service");
    for name in ["a b", "ü\u{1f681}", "100%", "a+b=c&d", "a/b", "[x]'(y)!*;:@$,", "%2F"] {
        let location =
            blobs.put(name, name.as_bytes().to_vec()).await.unwrap_or_else(|error| panic!("{name}: {error}"));
        assert_eq!(read(&location).await, name.as_bytes(), "{location}");
    }
}

/// It is larger than one request of the SDK, which sends it in blocks with their ids as query parameters.
#[tokio::test]
async fn a_dead_letter_of_many_megabytes_is_stored_completely() {
    let blobs = Blobs::new(&SHARED.connection(), "large").expect("a blob service");
    let bytes: Vec<u8> = (0..9_000_000_u32).map(|number| number.to_le_bytes()[1]).collect();
    let location = blobs.put("large", bytes.clone()).await.expect("stored");
    assert!(read(&location).await == bytes, "byte for byte");
}

#[tokio::test]
async fn a_shared_access_signature_is_not_in_the_returned_url() {
    let signature = account_signature("rwcl");
    let text = connection_string([SHARED.blob_port, SHARED.queue_port], &format!("SharedAccessSignature={signature}"));
    let connection = connection(&text);
    let blobs = Blobs::new(&connection, "signature").expect("a blob service");
    let location = blobs.put("one", b"1".to_vec()).await.expect("stored");
    assert!(!location.contains('?'), "{location}");
    assert_eq!(read(&location).await, b"1");
    assert!(!format!("{connection:?}").contains("sig="), "{connection:?}");
    assert_eq!(connection.endpoint(Service::Blob).and_then(Url::query), None);
}

#[tokio::test]
async fn a_signature_without_the_permission_is_reported_and_not_printed() {
    let signature = account_signature("r");
    let text = connection_string([SHARED.blob_port, SHARED.queue_port], &format!("SharedAccessSignature={signature}"));
    let blobs = Blobs::new(&connection(&text), "too-little").expect("a blob service");
    let error = error_texts(blobs.put("one", b"1".to_vec()).await);
    for word in ["the blob one.json in the container too-little", "shared access signature", "DeadLetterStorage"] {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    assert!(!error.contains("sig=") && !error.contains("sv="), "{error}");
}

#[tokio::test]
async fn a_wrong_key_is_reported_and_not_printed() {
    let blobs = Blobs::new(&connection(&SHARED.connection_string(WRONG_KEY)), "wrong").expect("a blob service");
    let error = blobs.put("one", b"1".to_vec()).await.expect_err("the key is wrong");
    let OverflowError::WriteFailed(cause) = &error else { panic!("{error}") };
    let storage = storage_error(&**cause);
    assert!(matches!(storage.kind, StorageErrorKind::WrongKey(_)), "{storage:?}");
    let error = error_texts(Err(error));
    for word in ["the blob one.json", "the account key was rejected", "setting `DeadLetterStorage`", "127.0.0.1"] {
        assert!(error.contains(word), "{word:?} is not in: {error}");
    }
    for secret in [WRONG_KEY, KEY] {
        assert!(!error.contains(secret), "{error}");
    }
}

/// Returns both texts of an error: `Display` and `Debug`.
fn error_texts(result: Result<String, OverflowError>) -> String {
    let error = result.expect_err("it cannot be stored");
    format!("{error} {error:?}")
}

/// Returns a shared access signature of the account with these permissions, valid for a hundred years.
fn account_signature(permissions: &str) -> String {
    const EXPIRY: &str = "2124-11-20T00:00:00Z";
    const VERSION: &str = "2022-11-02";
    let to_sign = format!("{ACCOUNT}\n{permissions}\nbq\nsco\n\n{EXPIRY}\n\nhttps,http\n{VERSION}\n\n");
    let key = azure_core::credentials::Secret::new(KEY);
    let signature = azure_core::hmac::hmac_sha256(&to_sign, &key).expect("a signature");
    let signature = signature.replace('+', "%2B").replace('/', "%2F").replace('=', "%3D");
    format!("?sv={VERSION}&ss=bq&srt=sco&sp={permissions}&se={EXPIRY}&spr=https,http&sig={signature}")
}
