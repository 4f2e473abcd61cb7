//! Compares the app settings of infra/ with those that the handler and the host read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
};

use devicestate::config::{self, Config, OverflowConfig, QueueConfig};
use devicestate_engine::{
    function_app::{FunctionApp, Trigger, apply_overrides},
    settings::Settings,
};

use super::{
    app_settings::{APPS, App, app_settings},
    sources::{FUNCTIONS, Sources, assert_detected, assert_no_faults},
};

/// Settings that the handler reads and infra/ does not set, each with the reason.
const LEFT_ALONE: [(&str, &str); 15] = [
    ("AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize", "host.json says it"),
    ("AzureFunctionsJobHost__functionTimeout", "host.json says it"),
    ("AzureWebJobsDeadLetterStorage", "another name of DeadLetterStorage"),
    ("AzureWebJobsServiceBusConnection", "another name of ServiceBusConnection"),
    ("AzureWebJobsServiceBusConnection__fullyQualifiedNamespace", "another name of ServiceBusConnection"),
    ("CosmosConnection", "a connection string would have a key in it"),
    ("CosmosConnection__managedIdentityResourceId", "the handler rejects it: clientId selects the identity"),
    ("DeadLetterDirectory", "a disk of an instance is gone with it"),
    ("DeadLetterSqlitePath", "`devicestate local` sets it: a disk of an instance has no queue"),
    ("DeadLetterStorage", "a connection string would have a key in it"),
    ("DeadLetterStorage__accountName", "the addresses are given"),
    ("DeadLetterStorage__managedIdentityResourceId", "the handler rejects it: clientId selects the identity"),
    ("REGION_NAME", "Azure sets it"),
    ("FUNCTIONS_CUSTOMHANDLER_PORT", "the host sets it"),
    ("FUNCTIONS_HTTPWORKER_PORT", "an older host sets it"),
];

/// Additional ones without sessions: the disabled function has no queue.
const LEFT_ALONE_WITHOUT_SESSIONS: [&str; 2] =
    ["ServiceBusConnection", "ServiceBusConnection__fullyQualifiedNamespace"];

/// Settings that the host reads with any bindings.
const OF_THE_HOST: [&str; 6] = [
    "AzureWebJobsStorage__blobServiceUri",
    "AzureWebJobsStorage__tableServiceUri",
    "AzureWebJobsStorage__credential",
    "AzureWebJobsStorage__clientId",
    "APPLICATIONINSIGHTS_CONNECTION_STRING",
    "APPLICATIONINSIGHTS_AUTHENTICATION_STRING",
];

#[test]
fn infra_sets_what_the_handler_and_the_host_read_and_nothing_else() {
    assert_no_faults(&faults(&Sources::read()));
}

#[test]
fn every_setting_that_is_misspelled_is_detected() {
    let sources = Sources::read();
    let names: BTreeSet<String> =
        APPS.into_iter().flat_map(|app| app_settings(&sources.templates(), app).into_keys()).collect();
    assert!(names.len() > 25, "{names:?}");
    for name in names {
        // Two swapped letters, a typical typo.
        let middle = name.len() / 2;
        let mut letters: Vec<char> = name.chars().collect();
        letters.swap(middle, middle + 1);
        let misspelled: String = letters.into_iter().collect();
        if misspelled == name {
            continue;
        }
        let file = file_of(&sources, &name);
        let changed = sources.with(file, &as_key(&name), &as_key(&misspelled));
        assert_detected(&faults(&changed), &misspelled);
    }
}

/// Returns the file of a setting: the one for all regions, or for each region.
fn file_of(sources: &Sources, name: &str) -> &'static str {
    let mut files = ["infra/main.bicep", "infra/modules/region.bicep"].into_iter();
    files.find(|file| sources.text(file).contains(&as_key(name))).expect("a file that gives it")
}

/// Returns a setting as an object key, quoted if it has dots.
fn as_key(name: &str) -> String {
    if name.contains('.') { format!(" '{name}':") } else { format!(" {name}:") }
}

#[test]
fn a_missing_setting_is_detected() {
    let changed = Sources::read().with("infra/main.bicep", "        LogLevel: logLevel\n", "");
    assert_detected(&faults(&changed), "LogLevel is read by the handler");
    let changed =
        Sources::read().with("infra/main.bicep", "        CosmosContainer: documents.outputs.containerName\n", "");
    assert_detected(&faults(&changed), "CosmosContainer is read by the handler");
}

#[test]
fn a_misspelled_connection_of_a_binding_is_detected() {
    let of_the_stream = ["EventHubConnection", "DeadLetterStorage", "%EventHubName%", "%EventHubConsumerGroup%"];
    let of_sessions = ["ServiceBusConnection", "DeadLetterStorage", "%SessionQueueName%"];
    let names = of_the_stream.map(|name| ("RawTelemetryFunction", name)).into_iter();
    for (function, name) in names.chain(of_sessions.map(|name| ("SessionTelemetryFunction", name))) {
        let misspelled = name.replacen('n', "m", 1).replacen("tt", "t", 1).replacen("ssi", "si", 1);
        let misspelled = if misspelled == name { name.replacen('a', "e", 1) } else { misspelled };
        let changed = Sources::read().with(&format!("{function}/function.json"), name, &misspelled);
        assert_detected(&faults(&changed), misspelled.trim_matches('%'));
    }
}

/// Settings without a default.
const REQUIRED: [&str; 5] = [
    "StateStore",
    "CosmosConnection__accountEndpoint",
    "CosmosConnection__credential",
    "CosmosConnection__clientId",
    // Infra sets the regions; otherwise the handler would read REGION_NAME.
    "CosmosPreferredRegions",
];

/// With default parameters, the deployed handler has the settings of the README.
#[test]
fn the_defaults_of_infra_are_those_of_the_handler() {
    let templates = Sources::read().templates();
    let settings = app_settings(&templates, App::First);
    // The drill setting is empty by default, which means not set.
    let without_drill = settings.iter().filter(|(name, _)| *name != "RetryDrillDevice");
    let required = settings.iter().filter(|(name, _)| REQUIRED.contains(&name.as_str()));
    let read =
        |settings: Settings| format!("{:?}", Config::from_settings(&settings).expect("settings that make sense"));
    assert_eq!(read(collected(without_drill)), read(collected(required)));
}

#[test]
fn a_flex_consumption_app_has_no_setting_for_its_runtime() {
    let templates = Sources::read().templates();
    for app in APPS {
        let settings = app_settings(&templates, app);
        assert!(!settings.contains_key("FUNCTIONS_WORKER_RUNTIME"), "Flex Consumption rejects it");
        assert!(!settings.contains_key("FUNCTIONS_EXTENSION_VERSION"), "Flex Consumption does not support it");
    }
}

fn faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    APPS.into_iter().flat_map(|app| faults_with(sources, &app_settings(&templates, app), app)).collect()
}

fn faults_with(sources: &Sources, given: &BTreeMap<String, String>, which: App) -> Vec<String> {
    let mut app = function_app(sources);
    let settings = collected(given);
    config::locate_queues(&settings, &mut app);
    let mut faults = Vec::new();
    let mut of_the_host: BTreeSet<String> = OF_THE_HOST.into_iter().map(str::to_owned).collect();
    let mut needed = of_the_host.clone();

    // Like `serve`.
    let config = Config::from_settings(&settings);
    faults.extend(config.as_ref().err().map(|error| format!("{which:?}: {error}")));
    drop((config::log_level(&settings), config::port(&settings)));
    drop(apply_overrides(&settings, &mut app.host.clone()));
    for function in &app.functions {
        let overflow = config
            .as_ref()
            .map(|config| OverflowConfig::from_settings(&settings, &config.store, &function.dead_letters));
        match overflow {
            Ok(Ok(OverflowConfig::Blobs { .. })) | Err(_) => {}
            other => faults.push(format!("{which:?}: dead letters too large for the queue have no blobs: {other:?}")),
        }
        match QueueConfig::from_settings(&settings, &function.dead_letters) {
            Ok(QueueConfig::Storage { .. }) => {}
            other => faults.push(format!("{which:?}: the timer function looks at no queue of infra/: {other:?}")),
        }
        // Like the host for the bindings.
        let connection = function.trigger.connection();
        let by_identity =
            ["fullyQualifiedNamespace", "credential", "clientId"].map(|part| format!("{connection}__{part}"));
        let (texts, trigger_settings) = match &function.trigger {
            Trigger::EventHub(trigger) => {
                let texts = vec![&trigger.event_hub_name, &trigger.consumer_group];
                let of_a_key = vec![connection.to_owned()];
                (texts, if which == App::WithIotHub { of_a_key } else { by_identity.to_vec() })
            }
            Trigger::ServiceBus(trigger) => {
                let mut all = vec![format!("AzureWebJobs.{}.Disabled", function.name)];
                if which == App::WithSessions {
                    all.extend(by_identity);
                    if trigger.source.fully_qualified_namespace.is_empty() {
                        faults.push(format!("{which:?}: the handler does not know the namespace of its messages"));
                    }
                }
                (vec![&trigger.queue_name], all)
            }
        };
        for text in texts {
            faults.extend(settings.resolve(text).err().map(|error| format!("{which:?}: {error}")));
        }
        let queue = &function.dead_letters.connection;
        let queue_settings = ["queueServiceUri", "credential", "clientId"].map(|part| format!("{queue}__{part}"));
        needed.extend(trigger_settings.into_iter().chain(queue_settings));
    }
    of_the_host.extend(needed.iter().cloned());
    faults.extend(
        needed
            .iter()
            .filter(|name| !given.contains_key(*name))
            .map(|name| format!("{which:?}: {name} is read by the host and not set")),
    );

    let asked = settings.names_read();
    let mut left_alone: BTreeSet<&str> = LEFT_ALONE.into_iter().map(|(name, _)| name).collect();
    if which != App::WithSessions {
        left_alone.extend(LEFT_ALONE_WITHOUT_SESSIONS);
    }
    faults.extend(
        asked
            .iter()
            .filter(|name| !given.contains_key(*name) && !left_alone.contains(name.as_str()))
            .map(|name| format!("{which:?}: {name} is read by the handler and not set")),
    );
    faults.extend(
        left_alone
            .iter()
            .filter(|name| !asked.contains(**name))
            .map(|name| format!("{which:?}: {name} is listed as not set, but is not read")),
    );
    faults.extend(
        given
            .keys()
            .filter(|name| !asked.contains(*name) && !of_the_host.contains(*name))
            .map(|name| format!("{which:?}: {name} is set, but not read")),
    );
    faults
}

fn collected<'a>(settings: impl IntoIterator<Item = (&'a String, &'a String)>) -> Settings {
    let mut collected = Settings::default();
    settings.into_iter().for_each(|(name, value)| collected.set(name, value));
    collected
}

fn function_app(sources: &Sources) -> FunctionApp {
    let root = tempfile::tempdir().expect("a temporary folder");
    for path in FUNCTIONS.into_iter().chain(["host.json"]) {
        let to = root.path().join(path);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::write(to, sources.text(path)).expect("a file in the temporary folder");
    }
    FunctionApp::load(root.path()).expect("a function app")
}
