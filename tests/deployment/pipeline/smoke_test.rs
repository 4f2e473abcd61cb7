//! `scripts/smoke-test.js` against the real handler, with a stand-in host and a stand-in Cosmos DB account.

use std::{
    fs,
    io::{ErrorKind, Write as _},
    net::{Ipv4Addr, TcpListener},
    path::Path,
    sync::Arc,
    thread,
};

use devicestate_test_support::{listener::Listener, program::devicestate};
use serde_json::json;

use super::{
    azure::{APP, Azure, MASTER_KEY, STANDBY, ScriptResult},
    host::{Host, Retries},
};

const DEVICE: &str = "smoke-test-drill";

/// A complete deployed environment.
struct Deployed {
    account: Listener,
    azure: Arc<Azure>,
    host: Host,
}

impl Deployed {
    /// Creates an environment with this host and the drill setting of staging.
    fn with(retry_mode: Retries) -> Self {
        Self::with_settings(retry_mode, &[("RetryDrillDevice", DEVICE)])
    }

    fn with_settings(retry_mode: Retries, settings: &[(&str, &str)]) -> Self {
        Self::with_outputs(retry_mode, settings, &[])
    }

    /// Creates an environment with a second region.
    fn in_two_regions() -> Self {
        let outputs = [
            ("STANDBY_FUNCTION_APP_NAME", STANDBY),
            ("STANDBY_FUNCTION_APP_HOST_NAME", "standby.invalid"),
            ("STANDBY_LOG_ANALYTICS_WORKSPACE_ID", "9c1b0c0e-0000-0000-0000-000000000001"),
        ];
        Self::with_outputs(Retries::Yes, &[("RetryDrillDevice", DEVICE)], &outputs)
    }

    fn with_outputs(retry_mode: Retries, settings: &[(&str, &str)], more: &[(&str, &str)]) -> Self {
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
        azure.set("drill-device", drill.map_or("", |(_, device)| device));
        let cosmos = [("StateStore", "cosmos"), ("CosmosConnection", account.connection_string())];
        let host = Host::start(&azure, &[&cosmos, settings].concat(), retry_mode);
        Self { account, azure, host }
    }

    /// Runs the smoke test of this environment with short intervals.
    fn test(&self, options: &[&str]) -> ScriptResult {
        let given = ["--environment", "staging", "--url", &self.host.url, "--every", "0.1", "--package", &package()];
        self.azure.run("smoke-test.js", &[&given[..], options].concat())
    }

    fn altitude(&self, device: &str) -> Option<f64> {
        self.account.documents().get(device).map(|document| document["position.altitude"].as_f64().expect("a number"))
    }
}

/// Returns the folder of the program, which serves as a package.
fn package() -> String {
    Path::new(devicestate()).parent().expect("a folder").display().to_string()
}

#[test]
fn the_smoke_test_follows_the_event_through_the_forced_503_to_its_document() {
    let deployed = Deployed::with(Retries::Yes);
    deployed.account.put(&json!({"id": DEVICE, "position.altitude": 1.0, "Versions": {}}));
    let result = deployed.test(&["--deadline", "60"]);
    result.assert(0, &[]);
    let altitude = deployed.altitude(DEVICE).expect("a document").to_string();
    for words in [
        "the host accepted the event",
        &format!("position.altitude {altitude} (before: 1)"),
        "attempt 1 was answered with 503",
        "attempt 2 (RetryCount 1) applied it",
    ] {
        assert!(result.stdout.contains(words), "{words:?} is not in: {}", result.stdout);
    }
    let log = deployed.azure.log("az.log");
    assert!(log.contains("account get-access-token"), "the documents are read with an identity");
    assert!(log.contains("| where TimeGenerated > datetime(2"), "attempts of other runs are excluded: {log}");
}

#[test]
fn each_smoke_test_sends_another_reading() {
    let deployed = Deployed::with(Retries::Yes);
    deployed.test(&["--deadline", "60"]).assert(0, &[]);
    let first = deployed.altitude(DEVICE);
    deployed.test(&["--deadline", "60"]).assert(0, &[]);
    assert!(first < deployed.altitude(DEVICE), "the altitude differs between runs");
}

#[test]
fn a_host_that_does_not_retry_fails_the_smoke_test_despite_an_older_document() {
    let deployed = Deployed::with(Retries::Never);
    deployed.account.put(&json!({"id": DEVICE, "position.altitude": 1.0, "Versions": {}}));
    let result = deployed.test(&["--deadline", "2"]);
    result.assert(
        1,
        &[
            "the document of smoke-test-drill was not updated within 2 s",
            r#"but is {"id":"smoke-test-drill","position.altitude":1"#,
        ],
    );
}

#[test]
fn a_function_without_a_retry_policy_fails_the_smoke_test_despite_an_updated_document() {
    let deployed = Deployed::with(Retries::NoPolicy);
    let result = deployed.test(&["--deadline", "2"]);
    assert!(deployed.altitude(DEVICE).is_some(), "the document is updated");
    result.assert(1, &["Failed first attempts: 0", "applied in their first attempt: 1", "retry policy"]);
}

#[test]
fn without_the_drill_no_log_is_queried() {
    let deployed = Deployed::with_settings(Retries::Yes, &[]);
    deployed.test(&["--deadline", "60", "--no-drill"]).assert(0, &[]);
    assert!(deployed.altitude("smoke-test").is_some(), "the document is updated");
    assert!(!deployed.azure.log("az.log").contains("log-analytics"));
}

#[test]
fn an_app_for_drones_needs_no_option() {
    let deployed = Deployed::with_settings(Retries::Yes, &[("Telemetry", "drone")]);
    let result = deployed.test(&["--deadline", "60", "--no-drill"]);
    result.assert(0, &[]);
    assert!(result.stdout.contains("smoke-test: Altitude 1"), "{}", result.stdout);
}

/// The number is found in each of these documents, and another one in none.
#[test]
fn an_app_with_a_telemetry_file_gets_the_event_of_its_fleet() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telemetry.json");
    for (telemetry, event, found) in [
        (r#"{"objects": "whole"}"#, None, "position.altitude 1"),
        (
            r#"{"device": "/dev", "readings": {"Readings": "/values"}}"#,
            Some(r#"{"dev":"{device}","values":[{"uptime":{number}}]}"#),
            "Readings.0.uptime 1",
        ),
        (
            r#"{"device": "/dev", "readings": {"At": {"from": "/at", "type": "time"}}}"#,
            Some(r#"{"dev":"{device}","at":"{time}"}"#),
            "At 1",
        ),
    ] {
        fs::write(&file, telemetry).expect("a file in the temporary folder");
        let settings = [("TelemetryFile", file.to_str().expect("a path of UTF-8"))];
        let deployed = Deployed::with_settings(Retries::Yes, &settings);
        let mut options = vec!["--deadline", "60", "--no-drill"];
        options.extend(event.iter().flat_map(|event| ["--event", *event]));
        let result = deployed.test(&options);
        result.assert(0, &[]);
        assert!(result.stdout.contains(&format!("smoke-test: {found}")), "{}", result.stdout);
    }
}

#[test]
fn an_event_that_the_telemetry_file_does_not_read_fails_the_smoke_test_with_the_option() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let file = folder.path().join("telemetry.json");
    fs::write(&file, r#"{"device": "/dev"}"#).expect("a file in the temporary folder");
    let settings = [("TelemetryFile", file.to_str().expect("a path of UTF-8"))];
    let deployed = Deployed::with_settings(Retries::Yes, &settings);
    let result = deployed.test(&["--deadline", "1", "--no-drill"]);
    result.assert(1, &["but is missing", r#"does not read {"deviceId":"{device}""#, "use --event"]);
}

#[test]
fn a_template_without_the_number_or_that_is_not_json_is_an_error() {
    let azure = Azure::deployed(&[]);
    for (event, words) in [
        (r#"{"deviceId":"{device}"}"#, "must contain {device} and {number}"),
        ("{device} {number}", "must be JSON when its placeholders are replaced"),
    ] {
        azure.run("smoke-test.js", &["--environment", "staging", "--event", event]).assert(2, &[words]);
    }
}

#[test]
fn the_standby_is_tested_with_its_own_key_and_logs() {
    let deployed = Deployed::in_two_regions();
    deployed.test(&["--standby", "--deadline", "60"]).assert(0, &[]);
    assert!(deployed.altitude(DEVICE).is_some(), "the document is updated");
    let log = deployed.azure.log("az.log");
    assert!(log.contains(&format!("keys list --query masterKey --name {STANDBY} ")), "{log}");
    assert!(log.contains("--workspace 9c1b0c0e-0000-0000-0000-000000000001 "), "{log}");
    assert!(!log.contains(&format!("--name {APP} ")), "the first region is lost and must not be queried: {log}");
}

#[test]
fn with_two_regions_both_apps_are_checked_before_the_standby_is_tested() {
    let deployed = Deployed::in_two_regions();
    let options = ["--environment", "staging", "--deadline", "0", "--every", "0.1", "--package", &package()];
    let result = deployed.azure.run("smoke-test.js", &options);
    result.assert(1, &["the admin endpoint of https://standby.invalid did not accept the event within 0 s"]);
    let log = deployed.azure.log("az.log");
    for app in [STANDBY, APP] {
        assert!(log.contains(&format!("keys list --query masterKey --name {app} ")), "{app} is not in: {log}");
    }
    let result = deployed.azure.run("smoke-test.js", &[&options[..], &["--first"]].concat());
    result.assert(1, &["the admin endpoint of https://function-app.invalid did not accept the event within 0 s"]);
}

#[test]
fn a_standby_needs_a_deployment_with_two_regions() {
    let deployed = Deployed::with(Retries::Yes);
    deployed.test(&["--standby"]).assert(2, &["no second region in rg-devicestate-staging", "standbyLocation"]);
    let options = ["--standby", "--url", &deployed.host.url, "--package", &package()];
    deployed.azure.run("smoke-test.js", &options).assert(2, &["--standby needs --environment NAME"]);
    assert_eq!(deployed.account.documents().len(), 0);
}

#[test]
fn a_local_app_needs_no_key_and_no_login() {
    let (account, azure) = (Listener::start(), Arc::new(Azure::deployed(&[])));
    let settings = [("StateStore", "cosmos"), ("CosmosConnection", account.connection_string())];
    let host = Host::local(&azure, &settings);
    let options = ["--url", &host.url, "--every", "0.1", "--deadline", "60", "--package", &package()];
    azure.run_with("smoke-test.js", &options, &settings).assert(0, &[]);
    assert!(account.documents().contains_key("smoke-test"), "the document is updated");
    assert_eq!(azure.log("az.log"), "");
}

#[test]
fn a_missing_drill_setting_is_reported_before_anything_is_sent() {
    let deployed = Deployed::with_settings(Retries::Yes, &[]);
    deployed.test(&[]).assert(2, &["no setting RetryDrillDevice", "--no-drill"]);
    assert_eq!(deployed.account.documents().len(), 0);
}

#[test]
fn a_missing_permission_is_reported_before_anything_is_sent() {
    for (file, words) in [
        ("outputs.json", "scripts/deploy-infra.sh"),
        ("key", "the master key of func-devicestate-test"),
        ("traces.json", "Log Analytics Reader"),
        ("token.json", "the documents cannot be read"),
    ] {
        let deployed = Deployed::with(Retries::Yes);
        // The handler has already written its start record, and writes nothing more.
        deployed.azure.remove(file);
        deployed.test(&["--deadline", "2"]).assert(2, &[words]);
        assert_eq!(deployed.account.documents().len(), 0, "{file}");
    }
}

#[test]
fn a_wrong_key_is_reported_immediately() {
    let deployed = Deployed::with(Retries::Yes);
    deployed.azure.set("key", "of another app");
    deployed.test(&[]).assert(1, &["rejects the event with status 401", "master key"]);
}

/// Node.js's error for an invalid header contains its value.
#[test]
fn a_key_that_is_not_a_valid_header_is_not_printed() {
    let deployed = Deployed::with(Retries::Yes);
    deployed.azure.set("key", &format!("{MASTER_KEY}\nand more"));
    deployed.test(&["--deadline", "0"]).assert(1, &["did not accept the event", "its last response: none (TypeError)"]);
}

/// Node.js would follow a redirect and send the header with the key again.
#[test]
fn the_key_is_not_sent_to_an_address_that_another_one_names() {
    let listen = || TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
    let (asked, named) = (listen(), listen());
    let address = |listener: &TcpListener| format!("http://{}", listener.local_addr().expect("its address"));
    let (url, location) = (address(&asked), address(&named));
    thread::spawn(move || {
        for mut stream in asked.incoming().flatten() {
            let answer = format!(
                "HTTP/1.1 307 Temporary Redirect\r\nLocation: {location}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"
            );
            // The client may be gone.
            let _ = stream.write_all(answer.as_bytes());
        }
    });
    let deployed = Deployed::with(Retries::Yes);
    let options =
        ["--environment", "staging", "--url", &url, "--every", "0.1", "--deadline", "1", "--package", &package()];
    deployed.azure.run("smoke-test.js", &options).assert(1, &["307"]);
    named.set_nonblocking(true).expect("a listener");
    assert_eq!(named.accept().map(|_| ()).map_err(|error| error.kind()), Err(ErrorKind::WouldBlock));
}

#[test]
fn an_unreachable_host_fails_the_smoke_test_within_the_deadline() {
    let deployed = Deployed::with(Retries::Yes);
    let result = deployed.azure.run(
        "smoke-test.js",
        &["--environment", "staging", "--deadline", "1", "--every", "0.1", "--package", &package()],
    );
    let words = "the admin endpoint of https://function-app.invalid did not accept the event within 1 s; its last response: none (";
    result.assert(1, &[words]);
}
