//! Connections in the format of Functions: every valid form, and invalid ones.

use azure_core::http::Url;
use devicestate_azure::{Blobs, Service, StorageConnection, StorageQueue};
use devicestate_engine::{
    queue::DeadLetterQueue as _,
    settings::{ConfigError, Settings},
};
use devicestate_test_storage::azurite::{SETTING, SHARED, WRONG_KEY, connection};

fn settings<const N: usize>(values: [(&str, &str); N]) -> Settings {
    let mut settings = Settings::default();
    for (part, value) in values {
        settings.set(format!("{SETTING}{part}"), value);
    }
    settings
}

fn read<const N: usize>(values: [(&str, &str); N]) -> Result<Option<StorageConnection>, ConfigError> {
    StorageConnection::from_settings(&settings(values), SETTING)
}

fn endpoints(connection: &StorageConnection) -> [Option<&str>; 2] {
    [Service::Blob, Service::Queue].map(|service| connection.endpoint(service).map(Url::as_str))
}

#[test]
fn a_connection_string_results_in_the_endpoints_of_its_account() {
    for (rest, blob, queue) in [
        ("", "https://drones.blob.core.windows.net/", "https://drones.queue.core.windows.net/"),
        (
            ";DefaultEndpointsProtocol=http",
            "http://drones.blob.core.windows.net/",
            "http://drones.queue.core.windows.net/",
        ),
        (
            ";EndpointSuffix=core.chinacloudapi.cn;",
            "https://drones.blob.core.chinacloudapi.cn/",
            "https://drones.queue.core.chinacloudapi.cn/",
        ),
        (
            ";QueueEndpoint=https://queues.example.com/",
            "https://drones.blob.core.windows.net/",
            "https://queues.example.com/",
        ),
        (
            "; BlobEndpoint = http://127.0.0.1:9/drones/ ; queueendpoint=http://127.0.0.1:8/drones",
            "http://127.0.0.1:9/drones",
            "http://127.0.0.1:8/drones",
        ),
    ] {
        let connection = connection(&format!("AccountName=drones;AccountKey={WRONG_KEY}{rest}"));
        assert_eq!(endpoints(&connection), [Some(blob), Some(queue)], "{rest}");
    }
}

#[test]
fn development_storage_is_azurite_on_its_default_ports() {
    for text in ["UseDevelopmentStorage=true", "usedevelopmentstorage=True;"] {
        let expected = ["http://127.0.0.1:10000/devstoreaccount1", "http://127.0.0.1:10001/devstoreaccount1"];
        assert_eq!(endpoints(&connection(text)), expected.map(Some));
    }
}

/// The ports are those of another Azurite, with the account and key of `UseDevelopmentStorage=true`.
#[tokio::test]
async fn a_connection_string_with_any_form_of_azurites_url_is_usable() {
    let complete = SHARED.connection_string(devicestate_test_storage::azurite::KEY);
    for (number, text) in
        [complete.clone(), complete.replace("devstoreaccount1;Q", "devstoreaccount1/;Q")].iter().enumerate()
    {
        let queue = StorageQueue::new(&connection(text), &format!("forms-{number}")).expect("a queue service");
        queue.create_if_missing().await.expect("a queue");
        queue.put(b"{}").await.expect("put");
        assert_eq!(queue.count().await.expect("counted"), 1);
    }
}

#[test]
fn an_identity_needs_only_the_services() {
    let both = read([
        ("__blobServiceUri", "https://drones.blob.core.windows.net/"),
        ("__queueServiceUri", "https://drones.queue.core.windows.net"),
        ("__credential", "managedidentity"),
        ("__clientId", "7c1d"),
    ]);
    let both = both.expect("well-formed").expect("a connection");
    let expected = ["https://drones.blob.core.windows.net/", "https://drones.queue.core.windows.net/"].map(Some);
    assert_eq!(endpoints(&both), expected);
    let by_name = read([("__accountName", "drones")]).expect("well-formed").expect("a connection");
    assert_eq!(endpoints(&by_name), expected);
    let one = read([("__queueServiceUri", "https://drones.queue.core.windows.net")]);
    assert_eq!(endpoints(&one.expect("well-formed").expect("a connection")), [None, expected[1]]);
}

#[test]
fn without_settings_there_is_no_connection() {
    assert_eq!(read([]), Ok(None));
    assert_eq!(read([("", "")]), Ok(None));
    assert_eq!(read([("Other", "AccountName=drones")]), Ok(None));
}

#[test]
fn a_connection_string_takes_precedence_over_an_identity() {
    let both = read([("", "UseDevelopmentStorage=true"), ("__blobServiceUri", "https://drones.blob.core.windows.net")]);
    let both = both.expect("well-formed").expect("a connection");
    assert_eq!(both.endpoint(Service::Blob).and_then(Url::port), Some(10_000));
}

#[test]
fn an_invalid_connection_string_is_rejected_without_the_key() {
    let key = format!("AccountKey={WRONG_KEY}");
    for (text, words) in [
        (format!("the key is {}", &WRONG_KEY[..20]), "not a connection string"),
        (key.clone(), "has no AccountName"),
        ("AccountName=drones".to_owned(), "has no AccountKey"),
        (format!("AccountName=drones;AccountKey={}", &WRONG_KEY[1..]), "not base64"),
        (format!("AccountName={WRONG_KEY};{key}"), "account name"),
        (format!("AccountName=drones;{key};{key}"), "occurs twice"),
        (format!("AccountName=drones;{key};BlobEndpoint=drones.example.com"), "BlobEndpoint"),
        (format!("AccountName=drones;{key};BlobEndpoint=drones/?sig={WRONG_KEY}"), "BlobEndpoint"),
        (format!("AccountName=drones;{key};QueueEndpoint=https://drones/?sig={WRONG_KEY}"), "QueueEndpoint"),
        (format!("AccountName=drones;{key};DefaultEndpointsProtocol=ftp"), "DefaultEndpointsProtocol"),
        (format!("SharedAccessSignature=sv=1&sig={WRONG_KEY}"), "BlobEndpoint"),
        ("UseDevelopmentStorage=no".to_owned(), "UseDevelopmentStorage"),
        (
            "UseDevelopmentStorage=true;DevelopmentStorageProxyUri=http://azurite".to_owned(),
            "DevelopmentStorageProxyUri",
        ),
    ] {
        let error = read([("", &text)]).expect_err(&text).to_string();
        assert!(error.starts_with("the setting `DeadLetterStorage` "), "{error}");
        assert!(error.contains(words), "{words:?} is not in: {error}");
        assert!(!error.contains(&WRONG_KEY[1..20]), "{error}");
    }
}

#[test]
fn an_invalid_identity_is_rejected_with_its_setting() {
    for (values, words) in [
        ([("__queueServiceUri", "drones.queue.core.windows.net"), ("", "")], "DeadLetterStorage__queueServiceUri"),
        ([("__queueServiceUri", "http://drones.queue.core.windows.net"), ("", "")], "must start with https"),
        ([("__blobServiceUri", "https://drones/?sv=1&sig=c2VjcmV0"), ("", "")], "DeadLetterStorage__blobServiceUri"),
        // The end of a connection string, pasted after a URL.
        (
            [("__blobServiceUri", "https://drones.blob.core.windows.net/;AccountKey=c2VjcmV0"), ("", "")],
            "DeadLetterStorage__blobServiceUri",
        ),
        (
            [("__queueServiceUri", "https://drones.queue.core.windows.net;AccountKey=c2VjcmV0"), ("", "")],
            "DeadLetterStorage__queueServiceUri",
        ),
        ([("__accountName", "https://drones"), ("", "")], "DeadLetterStorage__accountName"),
        ([("__accountName", "drones"), ("__credential", "password")], "DeadLetterStorage__credential"),
    ] {
        let error = read(values).expect_err(words).to_string();
        assert!(error.contains(words), "{words:?} is not in: {error}");
        assert!(!error.contains("c2VjcmV0"), "{error}");
    }
}

#[test]
fn a_client_without_its_service_is_rejected_at_its_creation() {
    let identity = read([("__queueServiceUri", "https://drones.queue.core.windows.net")]);
    let identity = identity.expect("well-formed").expect("a connection");
    let error = Blobs::new(&identity, "c").err().expect("no blob service").to_string();
    assert!(error.contains("`DeadLetterStorage__blobServiceUri` is missing"), "{error}");
    let signature = connection("SharedAccessSignature=sv=1;BlobEndpoint=https://drones.blob.core.windows.net");
    let error = StorageQueue::new(&signature, "q").err().expect("no queue service").to_string();
    assert!(error.contains("`DeadLetterStorage` has neither QueueEndpoint nor AccountName"), "{error}");
}

#[test]
fn a_connection_has_the_read_only_copy_of_its_account() {
    let key = format!("AccountKey={WRONG_KEY}");
    for (rest, expected) in [
        ("", "https://drones-secondary.queue.core.windows.net/"),
        (";EndpointSuffix=core.chinacloudapi.cn", "https://drones-secondary.queue.core.chinacloudapi.cn/"),
        (
            ";QueueEndpoint=https://drones.z07.queue.storage.azure.net/",
            "https://drones-secondary.z07.queue.storage.azure.net/",
        ),
        (";QueueEndpoint=http://127.0.0.1:8/drones/", "http://127.0.0.1:8/drones-secondary"),
        (
            ";QueueEndpoint=https://queues.example.com;QueueSecondaryEndpoint=https://copy.example.com/",
            "https://copy.example.com/",
        ),
    ] {
        let secondary = connection(&format!("AccountName=drones;{key}{rest}")).secondary().expect(rest);
        assert_eq!(endpoints(&secondary), [None, Some(expected)], "{rest}");
    }
    let development = connection("UseDevelopmentStorage=true").secondary().expect("the address has a known form");
    assert_eq!(endpoints(&development), [None, Some("http://127.0.0.1:10001/devstoreaccount1-secondary")]);
    let identity = read([("__accountName", "drones")]).expect("well-formed").expect("a connection");
    let identity = identity.secondary().expect("the address has a known form");
    assert_eq!(endpoints(&identity), [None, Some("https://drones-secondary.queue.core.windows.net/")]);
}

#[test]
fn a_url_without_a_known_read_only_copy_is_rejected() {
    for address in ["https://queues.example.com", "https://10.0.0.4", "http://127.0.0.1:8/a/b", "https://drones"] {
        let connection = connection(&format!("AccountName=drones;AccountKey={WRONG_KEY};QueueEndpoint={address}"));
        let error = StorageQueue::secondary(&connection, "q").err().expect("no address").to_string();
        for word in ["DeadLetterStorage", "QueueSecondaryEndpoint"] {
            assert!(error.contains(word), "{word:?} is not in: {error}");
        }
        assert!(!error.contains(WRONG_KEY), "{error}");
    }
}

#[test]
fn debug_of_a_connection_prints_no_secret() {
    let key = format!("AccountName=drones;AccountKey={WRONG_KEY}");
    let signature =
        "SharedAccessSignature=?sv=1&sig=c2VjcmV0;QueueEndpoint=https://drones.queue.core.windows.net".to_owned();
    for text in [key, signature] {
        let shown = format!("{:?}", connection(&text));
        assert!(shown.contains("drones"), "{shown}");
        assert!(!shown.contains(WRONG_KEY) && !shown.contains("sig"), "{shown}");
    }
}
