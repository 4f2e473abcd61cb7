//! Settings that cannot be meant end the handler at its start: the line names the setting and never the key.

use devicestate_test_support::{App, base64};

/// The handler must not start, and must say these words in one line, and not the key.
#[track_caller]
fn assert_refused(settings: &[(&str, &str)], words: &[&str]) {
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
fn no_connection_at_all_is_named() {
    assert_refused(&[], &["CosmosConnection__accountEndpoint", "CosmosConnection", "missing"]);
}

#[test]
fn a_connection_string_that_is_none_is_named() {
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
        assert_refused(&[("CosmosConnection", &connection)], &["CosmosConnection", word]);
    }
}

/// A key over an unencrypted connection is a key for everybody on the way.
#[test]
fn an_unencrypted_address_is_refused_unless_it_is_this_machine() {
    let connection = format!("AccountEndpoint=http://a.documents.azure.com/;AccountKey={};", key());
    assert_refused(&[("CosmosConnection", &connection)], &["CosmosConnection", "https"]);
    let settings = [("CosmosConnection__accountEndpoint", "http://a.documents.azure.com/")];
    assert_refused(&settings, &["CosmosConnection__accountEndpoint", "https"]);
}

#[test]
fn an_identity_that_is_unknown_is_refused_by_its_settings_name() {
    let endpoint = ("CosmosConnection__accountEndpoint", "https://a.documents.azure.com/");
    assert_refused(
        &[endpoint, ("CosmosConnection__credential", "password")],
        &["CosmosConnection__credential", "managedidentity"],
    );
    let resource = ("CosmosConnection__managedIdentityResourceId", "/subscriptions/1");
    assert_refused(&[endpoint, resource], &["CosmosConnection__managedIdentityResourceId"]);
}

#[test]
fn a_cache_of_no_size_that_can_be_is_named() {
    let connection = format!("AccountEndpoint=http://127.0.0.1:1/;AccountKey={};", key());
    let settings = [("CosmosConnection", connection.as_str()), ("DocumentCacheMegabytes", "-1")];
    assert_refused(&settings, &["DocumentCacheMegabytes", "-1"]);
}
