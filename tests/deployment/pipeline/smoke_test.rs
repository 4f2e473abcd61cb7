//! `scripts/smoke-test.js` against the real handler, behind a stand-in for the host and before a stand-in for the account.

use std::{path::Path, sync::Arc};

use devicestate_test_support::{listener::Listener, program::devicestate};
use serde_json::json;

use super::{
    azure::{APP, Azure, Ended, MASTER_KEY, STANDBY},
    host::{Host, Repeats},
};

const DEVICE: &str = "smoke-test-drill";

/// A deployed environment with everything in it.
struct Deployed {
    account: Listener,
    azure: Arc<Azure>,
    host: Host,
}

impl Deployed {
    /// With this host, and the drill of a staging environment.
    fn with(repeats: Repeats) -> Self {
        Self::set(repeats, &[("RetryDrillDevice", DEVICE)])
    }

    fn set(repeats: Repeats, settings: &[(&str, &str)]) -> Self {
        Self::with_outputs(repeats, settings, &[])
    }

    /// With a second region.
    fn in_two_regions() -> Self {
        let outputs = [
            ("STANDBY_FUNCTION_APP_NAME", STANDBY),
            ("STANDBY_FUNCTION_APP_HOST_NAME", "standby.invalid"),
            ("STANDBY_LOG_ANALYTICS_WORKSPACE_ID", "9c1b0c0e-0000-0000-0000-000000000001"),
        ];
        Self::with_outputs(Repeats::Yes, &[("RetryDrillDevice", DEVICE)], &outputs)
    }

    fn with_outputs(repeats: Repeats, settings: &[(&str, &str)], more: &[(&str, &str)]) -> Self {
        let account = Listener::start();
        let outputs = [
            ("AZURE_FUNCTION_APP_HOST_NAME", "function-app.invalid"),
            ("COSMOS_ENDPOINT", account.endpoint()),
            ("COSMOS_DATABASE", "devicestate"),
            ("COSMOS_CONTAINER", "devices"),
            ("LOG_ANALYTICS_WORKSPACE_ID", "9c1b0c0e-0000-0000-0000-000000000000"),
        ];
        let azure = Arc::new(Azure::deployed(&[&outputs, more].concat()));
        let drill = settings.iter().find(|(name, _)| *name == "RetryDrillDevice");
        azure.knows("drill-device", drill.map_or("", |(_, device)| device));
        let cosmos = [("StateStore", "cosmos"), ("CosmosConnection", account.connection_string())];
        let host = Host::start(&azure, &[&cosmos, settings].concat(), repeats);
        Self { account, azure, host }
    }

    /// The smoke test of this environment, in a hurry.
    fn tested(&self, options: &[&str]) -> Ended {
        let given = ["--environment", "staging", "--url", &self.host.url, "--every", "0.1", "--package", &package()];
        self.azure.run("smoke-test.js", &[&given[..], options].concat())
    }

    fn altitude(&self, device: &str) -> Option<f64> {
        self.account.documents().get(device).map(|document| document["Altitude"].as_f64().expect("a number"))
    }
}

/// The folder with the program, as if it were a package.
fn package() -> String {
    Path::new(devicestate()).parent().expect("a folder").display().to_string()
}

#[test]
fn the_event_is_followed_to_its_document_and_through_the_forced_503() {
    let deployed = Deployed::with(Repeats::Yes);
    deployed.account.put(&json!({"id": DEVICE, "Altitude": 1.0, "Battery": 0.75, "Versions": {}}));
    let ended = deployed.tested(&["--deadline", "60"]);
    ended.assert(0, &[]);
    let altitude = deployed.altitude(DEVICE).expect("a document").to_string();
    for words in [
        "the host took the event",
        &format!("altitude {altitude} (before: 1"),
        "attempt 1 was answered 503",
        "attempt 2 applied it: RetryCount 1",
    ] {
        assert!(ended.said.contains(words), "{words:?} is not in: {}", ended.said);
    }
    let log = deployed.azure.log("az.log");
    assert!(log.contains("account get-access-token"), "the documents are read by identity");
    assert!(
        log.contains("| where TimeGenerated > datetime(2"),
        "no other run's attempts are taken for this one's: {log}"
    );
}

#[test]
fn each_run_needs_a_reading_of_its_own() {
    let deployed = Deployed::with(Repeats::Yes);
    deployed.tested(&["--deadline", "60"]).assert(0, &[]);
    let first = deployed.altitude(DEVICE);
    deployed.tested(&["--deadline", "60"]).assert(0, &[]);
    assert!(first < deployed.altitude(DEVICE), "another altitude");
}

#[test]
fn a_host_that_does_not_repeat_fails_the_test_and_an_older_document_does_not_help() {
    let deployed = Deployed::with(Repeats::Never);
    deployed.account.put(&json!({"id": DEVICE, "Altitude": 1.0, "Battery": 0.75, "Versions": {}}));
    let ended = deployed.tested(&["--deadline", "2"]);
    ended.assert(1, &["the document of smoke-test-drill did not come within 2 s", "its altitude is 1"]);
}

#[test]
fn a_function_without_a_retry_policy_fails_the_test_though_the_document_comes() {
    let deployed = Deployed::with(Repeats::NoPolicy);
    let ended = deployed.tested(&["--deadline", "2"]);
    assert!(deployed.altitude(DEVICE).is_some(), "the document came");
    ended.assert(1, &["failed first attempts: 0", "applied in their first attempt: 1", "retry policy"]);
}

#[test]
fn without_the_drill_no_log_is_asked_for() {
    let deployed = Deployed::set(Repeats::Yes, &[]);
    deployed.tested(&["--deadline", "60", "--no-drill"]).assert(0, &[]);
    assert!(deployed.altitude("smoke-test").is_some(), "the document came");
    assert!(!deployed.azure.log("az.log").contains("log-analytics"));
}

#[test]
fn the_app_of_the_standby_region_is_asked_for_its_own_key_and_its_own_logs() {
    let deployed = Deployed::in_two_regions();
    deployed.tested(&["--standby", "--deadline", "60"]).assert(0, &[]);
    assert!(deployed.altitude(DEVICE).is_some(), "the document came");
    let log = deployed.azure.log("az.log");
    assert!(log.contains(&format!("keys list --query masterKey --name {STANDBY} ")), "{log}");
    assert!(log.contains("--workspace 9c1b0c0e-0000-0000-0000-000000000001 "), "{log}");
    assert!(!log.contains(&format!("--name {APP} ")), "the first one is lost, and not asked: {log}");
}

#[test]
fn with_two_regions_both_apps_are_looked_at_before_anything_is_sent_and_the_standby_is_tested_first() {
    let deployed = Deployed::in_two_regions();
    let options = ["--environment", "staging", "--deadline", "0", "--every", "0.1", "--package", &package()];
    let ended = deployed.azure.run("smoke-test.js", &options);
    ended.assert(1, &["the admin endpoint of https://standby.invalid did not take the event within 0 s"]);
    let log = deployed.azure.log("az.log");
    for app in [STANDBY, APP] {
        assert!(log.contains(&format!("keys list --query masterKey --name {app} ")), "{app} is not in: {log}");
    }
    let ended = deployed.azure.run("smoke-test.js", &[&options[..], &["--first"]].concat());
    ended.assert(1, &["the admin endpoint of https://function-app.invalid did not take the event within 0 s"]);
}

#[test]
fn a_standby_is_one_of_a_deployment() {
    let deployed = Deployed::with(Repeats::Yes);
    deployed.tested(&["--standby"]).assert(2, &["no second region in rg-devicestate-staging", "standbyLocation"]);
    let options = ["--standby", "--url", &deployed.host.url, "--package", &package()];
    deployed.azure.run("smoke-test.js", &options).assert(2, &["--standby needs --environment NAME"]);
    assert_eq!(deployed.account.documents().len(), 0);
}

#[test]
fn an_app_of_this_machine_needs_no_key_and_no_login() {
    let (account, azure) = (Listener::start(), Arc::new(Azure::deployed(&[])));
    let settings = [("StateStore", "cosmos"), ("CosmosConnection", account.connection_string())];
    let host = Host::local(&azure, &settings);
    let options = ["--url", &host.url, "--every", "0.1", "--deadline", "60", "--package", &package()];
    azure.run_with("smoke-test.js", &options, &settings).assert(0, &[]);
    assert!(account.documents().contains_key("smoke-test"), "the document came");
    assert_eq!(azure.log("az.log"), "");
}

#[test]
fn a_drill_that_the_app_does_not_set_is_told_before_anything_is_sent() {
    let deployed = Deployed::set(Repeats::Yes, &[]);
    deployed.tested(&[]).assert(2, &["no setting RetryDrillDevice", "--no-drill"]);
    assert_eq!(deployed.account.documents().len(), 0);
}

#[test]
fn a_missing_right_is_told_before_anything_is_sent() {
    for (right, words) in [
        ("outputs.json", "scripts/deploy-infra.sh"),
        ("key", "the master key of func-devicestate-test"),
        ("traces.json", "Log Analytics Reader"),
        ("token.json", "the documents cannot be read"),
    ] {
        let deployed = Deployed::with(Repeats::Yes);
        // The handler has told of its start by now, and is quiet.
        deployed.azure.knows_no(right);
        deployed.tested(&["--deadline", "2"]).assert(2, &[words]);
        assert_eq!(deployed.account.documents().len(), 0, "{right}");
    }
}

#[test]
fn a_wrong_key_is_told_at_once() {
    let deployed = Deployed::with(Repeats::Yes);
    deployed.azure.knows("key", "of another app");
    deployed.tested(&[]).assert(1, &["refuses the event with status 401", "master key"]);
}

/// An error about a header that cannot be sent would show it.
#[test]
fn a_key_that_cannot_be_sent_is_not_told() {
    let deployed = Deployed::with(Repeats::Yes);
    deployed.azure.knows("key", &format!("{MASTER_KEY}\nand more"));
    deployed.tested(&["--deadline", "0"]).assert(1, &["did not take the event", "its last answer: none (TypeError)"]);
}

#[test]
fn a_host_that_nobody_reaches_fails_the_test_within_its_deadline() {
    let deployed = Deployed::with(Repeats::Yes);
    let ended = deployed.azure.run(
        "smoke-test.js",
        &["--environment", "staging", "--deadline", "1", "--every", "0.1", "--package", &package()],
    );
    let words =
        "the admin endpoint of https://function-app.invalid did not take the event within 1 s; its last answer: none (";
    ended.assert(1, &[words]);
}
