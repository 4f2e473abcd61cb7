//! Invalid settings end the handler at its start: the error names the setting and never contains the key.

use devicestate_test_support::{App, base64};

/// Checks that the handler does not start, with an error of one line that has these words and not the key.
#[track_caller]
fn assert_rejected(settings: &[(&str, &str)], words: &[&str]) {
    let app =
        settings.iter().fold(App::shipped().with("StateStore", "cosmos"), |app, (name, value)| app.with(name, *value));
    let (status, errors) = app.fails_to_start();
    assert_eq!(status.code(), Some(1), "{errors}");
    for word in words {
        assert!(errors.contains(word), "{word:?} is not in: {errors}");
    }
    assert_eq!(errors.lines().count(), 1, "{errors}");
    assert!(!errors.contains(&key()) && !errors.contains(KEY), "the key is in: {errors}");
}

const KEY: &str = "the secret of these tests";

fn key() -> String {
    base64(KEY)
}

#[test]
fn a_missing_connection_is_rejected() {
    assert_rejected(&[], &["CosmosConnection__accountEndpoint", "CosmosConnection", "missing"]);
}

#[test]
fn an_invalid_connection_string_is_rejected() {
    let key = key();
    let account = "AccountEndpoint=https://a.documents.azure.com:443/";
    for (connection, word) in [
        (key.trim_end_matches('=').to_owned(), "connection string"),
        (format!("{account};{KEY}"), "connection string"),
        (format!("{account};AccountKey={key};AccountKey={key}"), "twice"),
        (account.to_owned(), "no AccountKey"),
        (format!("{account};AccountKey="), "no AccountKey"),
        (format!("{account};AccountKey={KEY}"), "base64"),
        (format!("AccountKey={key}"), "no AccountEndpoint"),
        (format!("AccountEndpoint=a.documents.azure.com;AccountKey={key};"), "AccountEndpoint"),
        (format!("AccountEndpoint=ftp://a.documents.azure.com;AccountKey={key};"), "AccountEndpoint"),
    ] {
        assert_rejected(&[("CosmosConnection", &connection)], &["CosmosConnection", word]);
    }
}

/// A key must not be sent over an unencrypted connection.
#[test]
fn an_unencrypted_remote_url_is_rejected() {
    let connection = format!("AccountEndpoint=http://a.documents.azure.com/;AccountKey={};", key());
    assert_rejected(&[("CosmosConnection", &connection)], &["CosmosConnection", "https"]);
    let settings = [("CosmosConnection__accountEndpoint", "http://a.documents.azure.com/")];
    assert_rejected(&settings, &["CosmosConnection__accountEndpoint", "https"]);
}

#[test]
fn an_unknown_identity_is_rejected() {
    let endpoint = ("CosmosConnection__accountEndpoint", "https://a.documents.azure.com/");
    assert_rejected(
        &[endpoint, ("CosmosConnection__credential", "password")],
        &["CosmosConnection__credential", "managedidentity"],
    );
    let resource = ("CosmosConnection__managedIdentityResourceId", "/subscriptions/1");
    assert_rejected(&[endpoint, resource], &["CosmosConnection__managedIdentityResourceId"]);
}

#[test]
fn an_invalid_cache_size_is_rejected() {
    let connection = format!("AccountEndpoint=http://127.0.0.1:1/;AccountKey={};", key());
    let settings = [("CosmosConnection", connection.as_str()), ("DocumentCacheMegabytes", "-1")];
    assert_rejected(&settings, &["DocumentCacheMegabytes", "-1"]);
}
