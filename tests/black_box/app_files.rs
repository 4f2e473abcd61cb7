//! The files of the function app: the properties on which the handler depends.

use std::fs;

use devicestate_test_support::{repository_file, root};
use serde_json::{Map, Value, json};

fn binding(kind: &str) -> Value {
    function_binding("RawTelemetryFunction", kind)
}

fn function_binding(function: &str, kind: &str) -> Value {
    let function = repository_file(&format!("{function}/function.json"));
    let bindings = function["bindings"].as_array().expect("bindings");
    let matching: Vec<_> = bindings.iter().filter(|binding| binding["type"] == kind).collect();
    assert_eq!(matching.len(), 1, "{function}");
    matching[0].clone()
}

#[test]
fn host_json_has_the_extension_bundle_of_the_bindings() {
    let host = repository_file("host.json");
    assert_eq!(host["version"], "2.0");
    let expected = json!({"id": "Microsoft.Azure.Functions.ExtensionBundle", "version": "[4.*, 5.0.0)"});
    assert_eq!(host["extensionBundle"], expected);
}

#[test]
fn host_json_starts_this_binary_as_the_custom_handler() {
    let handler = &repository_file("host.json")["customHandler"];
    assert_eq!(handler["description"]["defaultExecutablePath"], "devicestate");
    assert_eq!(handler["description"]["arguments"], json!(["serve"]));
    assert_ne!(handler["enableForwardingHttpRequest"], true);
}

#[test]
fn host_json_sets_the_function_timeout() {
    assert_eq!(repository_file("host.json")["functionTimeout"], "00:05:00");
}

#[test]
fn host_json_sets_the_batch_size_where_the_extension_reads_it() {
    let host = repository_file("host.json");
    let event_hubs = &host["extensions"]["eventHubs"];
    let number = |name: &str| event_hubs[name].as_u64().unwrap_or_else(|| panic!("no {name} in {event_hubs}"));
    assert!(number("maxEventBatchSize") >= 100);
    assert!(number("minEventBatchSize") <= number("maxEventBatchSize"), "or the host does not start");
    assert_eq!(event_hubs["maxWaitTime"], "00:00:02", "how much older a state may be");
    assert!(number("prefetchCount") >= number("maxEventBatchSize"));
    assert_eq!(number("batchCheckpointFrequency"), 1, "a checkpoint with each batch");
    assert_eq!(event_hubs["initialOffsetOptions"]["type"], "fromStart", "no event is skipped");
}

#[test]
fn host_json_keeps_session_messages_in_order_and_closes_idle_sessions() {
    let host = repository_file("host.json");
    let service_bus = &host["extensions"]["serviceBus"];
    assert_eq!(service_bus["maxConcurrentCallsPerSession"], 1, "one message of a device at a time");
    assert_eq!(service_bus["sessionIdleTimeout"], "00:00:01", "the default is a minute, for a single message");
    assert_eq!(service_bus["maxAutoLockRenewalDuration"], "00:05:00", "longer than InvocationBudget");
    assert_eq!(service_bus["maxConcurrentSessions"], 64, "as many messages as scale out an instance");
    assert!(service_bus["autoCompleteMessages"].is_null(), "a custom handler cannot complete a message itself");
}

#[test]
fn host_json_excludes_exceptions_and_traces_from_sampling() {
    let host = repository_file("host.json");
    let excluded = &host["logging"]["applicationInsights"]["samplingSettings"]["excludedTypes"];
    let excluded: Vec<_> = excluded.as_str().expect("text").split(';').collect();
    assert!(excluded.contains(&"Exception") && excluded.contains(&"Trace"), "{excluded:?}");
}

/// Which lines pass is tested in crates/engine; here that no function is forgotten. A prefix for all functions would drop the
/// records of a function that has no entry of its own.
#[test]
fn host_json_logs_the_records_of_every_function_and_not_the_rows_of_each_invocation() {
    let logging = &repository_file("host.json")["logging"];
    let mut expected = json!({"Host.Aggregator": "Warning"});
    for folder in fs::read_dir(root()).expect("the repository").map(|entry| entry.expect("an entry").path()) {
        if folder.join("function.json").is_file() {
            let name = folder.file_name().expect("a name").to_string_lossy();
            expected[format!("Function.{name}")] = "Warning".into();
            // The function for requests has no records.
            if name != "DevicesFunction" {
                expected[format!("Function.{name}.User")] = "Information".into();
            }
        }
    }
    assert_eq!(expected.as_object().map(Map::len), Some(10), "{expected}");
    assert_eq!(logging["logLevel"], expected);
    assert_eq!(logging["applicationInsights"]["samplingSettings"]["maxTelemetryItemsPerSecond"], 1);
}

#[test]
fn the_trigger_delivers_binary_batches_and_reads_its_names_from_settings() {
    let trigger = binding("eventHubTrigger");
    for (name, value) in [
        ("direction", "in"),
        ("name", "messages"),
        ("connection", "EventHubConnection"),
        ("eventHubName", "%EventHubName%"),
        ("consumerGroup", "%EventHubConsumerGroup%"),
        ("cardinality", "many"),
        ("dataType", "binary"),
    ] {
        assert_eq!(trigger[name], value, "{name}");
    }
}

#[test]
fn dead_letters_go_to_a_storage_queue() {
    let queue = binding("queue");
    for (name, value) in [
        ("direction", "out"),
        ("name", "deadLetterMessages"),
        ("queueName", "deadletterqueue"),
        ("connection", "DeadLetterStorage"),
    ] {
        assert_eq!(queue[name], value, "{name}");
    }
}

#[test]
fn the_session_trigger_delivers_single_binary_messages_and_shares_the_queue() {
    let trigger = function_binding("SessionTelemetryFunction", "serviceBusTrigger");
    let expected = json!({"type": "serviceBusTrigger", "direction": "in", "name": "message",
                          "connection": "ServiceBusConnection", "queueName": "%SessionQueueName%",
                          "isSessionsEnabled": true, "cardinality": "one", "dataType": "binary"});
    assert_eq!(trigger, expected);
    assert_eq!(function_binding("SessionTelemetryFunction", "queue"), binding("queue"));
    // A retry policy of this trigger is not documented, and not needed: Service Bus redelivers the message.
    assert_eq!(repository_file("SessionTelemetryFunction/function.json")["retry"], Value::Null);
}

#[test]
fn the_retry_policy_is_unlimited() {
    let expected = json!({"strategy": "exponentialBackoff", "maxRetryCount": -1,
                          "minimumInterval": "00:00:01", "maximumInterval": "00:01:00"});
    assert_eq!(repository_file("RawTelemetryFunction/function.json")["retry"], expected);
}

#[test]
fn the_timers_fire_each_hour_and_each_minute_and_catch_up_after_a_missed_one() {
    for (function, name, schedule) in
        [("DeadLetterWatchFunction", "timer", "0 0 * * * *"), ("SilenceWatchFunction", "silence", "0 * * * * *")]
    {
        let expected = json!({"bindings": [{"type": "timerTrigger", "direction": "in", "name": name,
                              "schedule": schedule, "useMonitor": true, "runOnStartup": false}]});
        assert_eq!(repository_file(&format!("{function}/function.json")), expected);
    }
}

#[test]
fn callers_of_the_read_api_need_a_function_key_and_can_only_read() {
    let trigger = &repository_file("DevicesFunction/function.json")["bindings"][0];
    assert_eq!((&trigger["authLevel"], &trigger["methods"]), (&json!("function"), &json!(["get"])));
}

/// Its address may end with `?code=KEY`. The host's logs and its telemetry of requests leave out the query, except with the option
/// `enableQueryStringTracing` (`WebJobsTelemetryInitializer`).
#[test]
fn the_host_does_not_log_the_key_of_a_caller() {
    let host = repository_file("host.json").to_string().to_lowercase();
    assert!(host.contains("applicationinsights") && !host.contains("querystring"), "{host}");
}

/// The key of every Cosmos DB emulator, published in its documentation.
const COSMOS_EMULATOR_KEY: &str =
    "C2y6yDjf5/R+ob0N8A7Cgv30VRDJIWEHLM+4QDU5DE2nQ9nDuVTqobD4b8mGGyPMbIZnqyMsEcaGQy67XIw/Jw==";

#[test]
fn the_local_settings_use_emulators_only_and_contain_no_secret() {
    let settings = repository_file("local.settings.json");
    assert_ne!(settings["IsEncrypted"], true);
    let values = settings["Values"].as_object().expect("values");
    let text = |name: &str| values[name].as_str().unwrap_or_else(|| panic!("{name} is not a string"));
    assert_eq!(text("FUNCTIONS_WORKER_RUNTIME"), "custom");
    for storage in ["AzureWebJobsStorage", "DeadLetterStorage"] {
        assert_eq!(text(storage), "UseDevelopmentStorage=true");
    }
    for name in ["EventHubConnection", "ServiceBusConnection"] {
        let namespace = text(name);
        assert!(namespace.starts_with("Endpoint=sb://localhost;"), "{namespace}");
        assert!(namespace.contains("UseDevelopmentEmulator=true"), "{namespace}");
    }
    // The emulators here do not include Service Bus.
    assert_eq!(text("AzureWebJobs.SessionTelemetryFunction.Disabled"), "true");
    let cosmos = text("CosmosConnection");
    assert!(cosmos.starts_with("AccountEndpoint=http://localhost:8081/;"), "{cosmos}");
    for (name, value) in values {
        let value = value.as_str().expect("settings are text");
        for part in value.split(';').filter_map(|part| part.split_once('=')) {
            match part {
                ("AccountKey", key) => {
                    assert_eq!(key, COSMOS_EMULATOR_KEY, "{name} holds a key that is not the emulator's");
                }
                ("SharedAccessKey", key) => assert_eq!(key, "SAS_KEY_VALUE", "the emulator's"),
                _ => {}
            }
        }
        assert!(!value.contains(".windows.net") && !value.contains(".azure.com"), "{name} is not an emulator's");
    }
}

#[test]
fn the_local_settings_have_every_setting_of_the_bindings() {
    let settings = repository_file("local.settings.json");
    for name in [
        "EventHubConnection",
        "EventHubName",
        "EventHubConsumerGroup",
        "ServiceBusConnection",
        "SessionQueueName",
        "DeadLetterStorage",
        "StateStore",
    ] {
        assert!(settings["Values"][name].as_str().is_some_and(|value| !value.is_empty()), "{name}");
    }
}

#[test]
fn the_emulator_has_the_hub_of_the_local_settings() {
    let settings = repository_file("local.settings.json");
    let hub = repository_file("emulators/event-hubs.json");
    let hub = &hub["UserConfig"]["NamespaceConfig"][0]["Entities"][0];
    assert_eq!(hub["Name"], settings["Values"]["EventHubName"]);
    assert_eq!(hub["ConsumerGroups"][0]["Name"], settings["Values"]["EventHubConsumerGroup"]);
}
