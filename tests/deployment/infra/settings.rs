//! Compares the app settings of infra/ with those that the handler and the host read.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use devicestate::{
    config::{self, Config, OverflowConfig, QueueConfig},
    silence_watch,
};
use devicestate_engine::{
    function_app::{FunctionApp, Trigger, apply_overrides},
    settings::Settings,
    telemetry::drone::Drone,
};
use devicestate_telemetry::load;

use super::{
    app_settings::{APPS, App, app_settings},
    sources::{FUNCTIONS, Sources, assert_detected, assert_no_faults},
};

/// Settings that the handler reads and infra/ does not set, each with the reason.
const NOT_SET: [(&str, &str); 18] = [
    ("AzureFunctionsJobHost__extensions__eventHubs__maxEventBatchSize", "host.json has it"),
    ("AzureFunctionsJobHost__extensions__eventHubs__maxWaitTime", "host.json has it"),
    ("AzureFunctionsJobHost__extensions__eventHubs__minEventBatchSize", "host.json has it"),
    ("AzureFunctionsJobHost__extensions__http__routePrefix", "the default of the host is used"),
    ("AzureFunctionsJobHost__functionTimeout", "host.json has it"),
    ("AzureWebJobsDeadLetterStorage", "another name of DeadLetterStorage"),
    ("AzureWebJobsServiceBusConnection", "another name of ServiceBusConnection"),
    ("AzureWebJobsServiceBusConnection__fullyQualifiedNamespace", "another name of ServiceBusConnection"),
    ("CosmosConnection", "a connection string would contain a key"),
    ("CosmosConnection__managedIdentityResourceId", "the handler rejects it: clientId selects the identity"),
    ("DeadLetterDirectory", "an instance loses its disk when it ends"),
    ("DeadLetterSqlitePath", "only `devicestate local` sets it: in Azure the queue is in a storage account"),
    ("DeadLetterStorage", "a connection string would contain a key"),
    ("DeadLetterStorage__accountName", "the service URIs are set"),
    ("DeadLetterStorage__managedIdentityResourceId", "the handler rejects it: clientId selects the identity"),
    ("REGION_NAME", "Azure sets it"),
    ("FUNCTIONS_CUSTOMHANDLER_PORT", "the host sets it"),
    ("FUNCTIONS_HTTPWORKER_PORT", "an older host sets it"),
];

/// Settings that are also not set without sessions: the disabled function has no queue.
const NOT_SET_WITHOUT_SESSIONS: [&str; 2] = ["ServiceBusConnection", "ServiceBusConnection__fullyQualifiedNamespace"];

/// Settings that the host reads with any bindings, and one that only requests of the read API need.
const HOST_SETTINGS: [&str; 7] = [
    "CosmosIndexedPaths",
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
        APPS.into_iter().flat_map(|app| app_settings(&with_drill(&sources).templates(), app).into_keys()).collect();
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
    files.find(|file| sources.text(file).contains(&as_key(name))).expect("a file that sets it")
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
    let stream_names = ["EventHubConnection", "DeadLetterStorage", "%EventHubName%", "%EventHubConsumerGroup%"];
    let session_names = ["ServiceBusConnection", "DeadLetterStorage", "%SessionQueueName%"];
    let names = stream_names.map(|name| ("RawTelemetryFunction", name)).into_iter();
    for (function, name) in names.chain(session_names.map(|name| ("SessionTelemetryFunction", name))) {
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
    let required = settings.iter().filter(|(name, _)| REQUIRED.contains(&name.as_str()));
    let read = |settings: Settings| {
        let telemetry = load(&settings, Path::new("")).expect("valid settings").description;
        let drone = Drone::from_settings(&settings).expect("valid settings");
        format!("{:?} {telemetry} {drone:?}", Config::from_settings(&settings).expect("valid settings"))
    };
    assert_eq!(read(to_settings(&settings)), read(to_settings(required)));
}

/// The regions share the documents, and each has its own records.
#[test]
fn silent_devices_are_watched_if_wanted_and_by_the_first_region_only() {
    let sources = Sources::read();
    let wanted =
        sources.with("infra/main.bicep", "param silentAfter string = ''", "param silentAfter string = '00:30:00'");
    for (sources, app, is_disabled) in [
        (&sources, App::First, "true"),
        (&wanted, App::First, "false"),
        (&wanted, App::WithIotHub, "false"),
        (&wanted, App::Standby, "true"),
    ] {
        let settings = app_settings(&sources.templates(), app);
        assert_eq!(settings["AzureWebJobs.SilenceWatchFunction.Disabled"], is_disabled, "{app:?}");
    }
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
    let templates = with_drill(sources).templates();
    APPS.into_iter().flat_map(|app| app_faults(sources, &app_settings(&templates, app), app)).collect()
}

/// Returns the sources of a deployment with a device for the drill: only then its setting is set.
fn with_drill(sources: &Sources) -> Sources {
    let param = "param retryDrillDevice string = ";
    sources.with("infra/main.bicep", &format!("{param}''"), &format!("{param}'smoke-test'"))
}

fn app_faults(sources: &Sources, set: &BTreeMap<String, String>, which: App) -> Vec<String> {
    let mut app = function_app(sources);
    let settings = to_settings(set);
    config::locate_queues(&settings, &mut app);
    let mut faults = Vec::new();
    let mut host_settings: BTreeSet<String> = HOST_SETTINGS.into_iter().map(str::to_owned).collect();
    let mut needed = host_settings.clone();

    // The same calls as in `serve`.
    let config = Config::from_settings(&settings);
    faults.extend(config.as_ref().err().map(|error| format!("{which:?}: {error}")));
    drop((config::log_level(&settings), config::port(&settings)));
    // The settings of the drones' format are read only for drones.
    let mut of_drones = settings.clone();
    of_drones.set("Telemetry", "drone");
    for settings in [&settings, &of_drones] {
        faults.extend(load(settings, Path::new("")).err().map(|error| format!("{which:?}: {error}")));
    }
    drop(apply_overrides(&settings, &mut app.host.clone()));
    for function in &app.functions {
        let overflow = config
            .as_ref()
            .map(|config| OverflowConfig::from_settings(&settings, &config.store, &function.dead_letters));
        match overflow {
            Ok(Ok(OverflowConfig::Blobs { .. })) | Err(_) => {}
            other => faults
                .push(format!("{which:?}: dead letters too large for the queue are not stored in blobs: {other:?}")),
        }
        match QueueConfig::from_settings(&settings, &function.dead_letters) {
            Ok(QueueConfig::Storage { .. }) => {}
            other => {
                faults.push(format!("{which:?}: the timer function does not inspect the queue of infra/: {other:?}"));
            }
        }
        // The host resolves the settings of the bindings in this way.
        let connection = function.trigger.connection();
        let by_identity =
            ["fullyQualifiedNamespace", "credential", "clientId"].map(|part| format!("{connection}__{part}"));
        let (texts, trigger_settings) = match &function.trigger {
            Trigger::EventHub(trigger) => {
                let texts = vec![&trigger.event_hub_name, &trigger.consumer_group];
                let with_key = vec![connection.to_owned()];
                (texts, if which == App::WithIotHub { with_key } else { by_identity.to_vec() })
            }
            Trigger::ServiceBus(trigger) => {
                let mut all = vec![format!("AzureWebJobs.{}.Disabled", function.name)];
                if which == App::WithSessions {
                    all.extend(by_identity);
                    if trigger.source.fully_qualified_namespace.is_empty() {
                        faults.push(format!("{which:?}: the handler has no setting for the namespace of its messages"));
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
    let watches = app.timers.iter().filter(|timer| timer.trigger.name == silence_watch::BINDING);
    needed.extend(watches.map(|timer| format!("AzureWebJobs.{}.Disabled", timer.name)));
    host_settings.extend(needed.iter().cloned());
    faults.extend(
        needed
            .iter()
            .filter(|name| !set.contains_key(*name))
            .map(|name| format!("{which:?}: {name} is read by the host and not set")),
    );

    let read = settings.names_read();
    let mut not_set: BTreeSet<&str> = NOT_SET.into_iter().map(|(name, _)| name).collect();
    if which != App::WithSessions {
        not_set.extend(NOT_SET_WITHOUT_SESSIONS);
    }
    faults.extend(
        read.iter()
            .filter(|name| !set.contains_key(*name) && !not_set.contains(name.as_str()))
            .map(|name| format!("{which:?}: {name} is read by the handler and not set")),
    );
    faults.extend(
        not_set
            .iter()
            .filter(|name| !read.contains(**name))
            .map(|name| format!("{which:?}: {name} is listed as not set, but is not read")),
    );
    faults.extend(
        set.keys()
            .filter(|name| !read.contains(*name) && !host_settings.contains(*name))
            .map(|name| format!("{which:?}: {name} is set, but not read")),
    );
    faults
}

fn to_settings<'a>(settings: impl IntoIterator<Item = (&'a String, &'a String)>) -> Settings {
    let mut to_settings = Settings::default();
    settings.into_iter().for_each(|(name, value)| to_settings.set(name, value));
    to_settings
}

fn function_app(sources: &Sources) -> FunctionApp {
    let root = tempfile::tempdir().expect("a temporary folder");
    for path in FUNCTIONS.into_iter().chain(["host.json"]) {
        let to = root.path().join(path);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder");
        fs::write(to, sources.text(path)).expect("a file in the temporary folder");
    }
    FunctionApp::load(root.path(), &Settings::default()).expect("a function app")
}
