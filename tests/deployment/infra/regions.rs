//! Two regions: shared and separate resources, and what a deployment must not change.

use super::{
    app_settings::{App, app_settings},
    bicep::{Value, to_source},
    expected::{Expected, compare, find_template},
    sources::{Sources, assert_detected, assert_no_faults},
};

/// What both regions share, and what each has for itself.
const EXPECTED: Expected = Expected {
    properties: &[
        ["pairing", "first", "name", "firstNamespace"],
        ["pairing", "pair", "parent", "first"],
        ["pairing", "pair", "name", "alias"],
        [
            "pairing",
            "pair",
            "properties.partnerNamespace",
            "resourceId('Microsoft.EventHub/namespaces', secondNamespace)",
        ],
        [
            "pairing",
            "remembered",
            "properties.tags",
            "union(resourceGroup().?tags ?? {}, {'${pairedTag}': secondNamespace})",
        ],
        ["pairing", "remembered", "dependsOn", "[pair]"],
    ],
    parameters: &[
        ["main", "region", "token", "place.token"],
        ["main", "region", "location", "place.location"],
        ["main", "region", "namespace", "place.namespace"],
        ["main", "region", "withHub", "place.withHub"],
        ["main", "region", "keepsNamespace", "place.keepsNamespace"],
        ["main", "region", "azdService", "place.azdService"],
        ["main", "region", "withEventHubs", "!usesIotHub"],
        ["region", "eventHubs", "name", "namespace"],
        ["region", "eventHubs", "isKept", "keepsNamespace"],
        ["region", "deadLetters", "name", "'stdead${token}'"],
        ["region", "hostStorage", "name", "'sthost${token}'"],
    ],
    conditions: &[
        ["main", "pairing", "hasTwoStreams && !isPaired"],
        // Azure rejects every change of the second namespace of a pair.
        ["event-hubs", "namespace", "!isKept"],
        ["event-hubs", "hub", "withHub"],
        ["event-hubs", "group", "withHub"],
        ["region", "deadLetters", "always"],
        ["region", "hostStorage", "always"],
    ],
    values: &[
        ["main", "hasTwoStreams", "!empty(standbyLocation) && !usesIotHub && !privateNetwork"],
        ["main", "regions", "hasTwoStreams ? [first, second] : [first]"],
        // The names of the first region are those of a deployment with one.
        ["main", "firstToken", "uniqueString(resourceGroup().id, environmentName)"],
        ["main", "secondToken", "uniqueString(resourceGroup().id, environmentName, standbyLocation)"],
        ["main", "firstNamespace", "'evhns-devicestate-${firstToken}'"],
        ["main", "secondNamespace", "'evhns-devicestate-${secondToken}'"],
        ["main", "alias", "'evhns-devicestate-${firstToken}-alias'"],
        ["main", "isPaired", "contains(groupTags, pairedTag) ? groupTags[pairedTag] == secondNamespace : false"],
        [
            "main",
            "first",
            "{token: firstToken, location: location, namespace: firstNamespace, withHub: true, keepsNamespace: false, \
             azdService: 'handler'}",
        ],
        // No hub, because the pairing requires that; no service, because azd supports one app per service.
        [
            "main",
            "second",
            "{token: secondToken, location: standbyLocation, namespace: secondNamespace, withHub: false, \
             keepsNamespace: isPaired, azdService: ''}",
        ],
        ["main", "AZURE_FUNCTION_APP_NAME", "region[0].outputs.functionAppName"],
        // The name is part of the path of the checkpoints, also with an IoT Hub.
        [
            "main",
            "EVENT_HUBS_NAMESPACE",
            "usesIotHub ? (iotHub.?outputs.namespace ?? '') : region[0].outputs.eventHubsNamespace",
        ],
        ["main", "HOST_STORAGE_NAME", "region[0].outputs.hostStorageName"],
        [
            "main",
            "EVENT_HUBS_FOR_PRODUCERS",
            "hasTwoStreams ? '${alias}.servicebus.windows.net' : region[0].outputs.eventHubsNamespace",
        ],
        ["main", "EVENT_HUBS_ALIAS", "hasTwoStreams ? alias : ''"],
        ["main", "STANDBY_FUNCTION_APP_NAME", "hasTwoStreams ? region[1].outputs.functionAppName : ''"],
        ["main", "STANDBY_EVENT_HUBS_NAMESPACE", "hasTwoStreams ? region[1].outputs.eventHubsNamespace : ''"],
        ["main", "STANDBY_DEAD_LETTER_STORAGE_QUEUE_URI", "hasTwoStreams ? region[1].outputs.deadLetterQueueUri : ''"],
        ["main", "STANDBY_DEAD_LETTER_STORAGE_BLOB_URI", "hasTwoStreams ? region[1].outputs.deadLetterBlobUri : ''"],
        ["main", "STANDBY_HOST_STORAGE_NAME", "hasTwoStreams ? region[1].outputs.hostStorageName : ''"],
        ["main", "STANDBY_LOG_ANALYTICS_WORKSPACE_ID", "hasTwoStreams ? region[1].outputs.workspaceId : ''"],
        // It must not be the alias.
        ["event-hubs", "fullyQualifiedNamespace", "'${name}.servicebus.windows.net'"],
    ],
};

/// Region-specific settings of a function app in region.bicep.
const REGION_SETTINGS: [[&str; 2]; 6] = [
    ["EventHubConnection__fullyQualifiedNamespace", "eventHubs.?outputs.fullyQualifiedNamespace ?? ''"],
    ["AzureWebJobsStorage__blobServiceUri", "hostStorage.outputs.blobServiceUri"],
    ["AzureWebJobsStorage__tableServiceUri", "hostStorage.outputs.tableServiceUri"],
    ["DeadLetterStorage__queueServiceUri", "deadLetters.outputs.queueServiceUri"],
    ["DeadLetterStorage__blobServiceUri", "deadLetters.outputs.blobServiceUri"],
    ["APPLICATIONINSIGHTS_CONNECTION_STRING", "monitoring.outputs.connectionString"],
];

#[test]
fn each_region_has_its_resources_and_the_paired_namespace_is_not_deployed_again() {
    assert_no_faults(&faults(&Sources::read()));
}

#[test]
fn resources_of_another_region_and_repeated_deployments_are_detected() {
    for (file, from, to, word) in [
        // The app of a region reads the alias.
        ("modules/region", "eventHubs.?outputs.fullyQualifiedNamespace ?? ''\n      E", "'alias'\n      E", "fullyQ"),
        ("modules/event-hubs", "'${name}.servicebus", "'${name}-alias.servicebus", "-alias"),
        ("modules/region", "name: namespace", "name: 'evhns-devicestate-alias'", "eventHubs.name"),
        ("main", "namespace: place.namespace", "namespace: alias", "region.namespace"),
        // The second namespace gets a hub, or is changed while it is paired.
        ("modules/event-hubs", "eventhubs@2024-01-01' = if (withHub) {", "eventhubs@2024-01-01' = {", "hub"),
        ("modules/event-hubs", "namespaces@2024-01-01' = if (!isKept) {", "namespaces@2024-01-01' = {", "namespace"),
        ("main", "withHub: false", "withHub: true", "second"),
        ("main", "keepsNamespace: isPaired", "keepsNamespace: false", "second"),
        ("main", "(hasTwoStreams && !isPaired)", "(hasTwoStreams)", "pairing"),
        ("main", "  dependsOn: [region]\n", "", "follow the regions"),
        ("modules/pairing", "parent: first", "parent: second", "parent"),
        ("modules/pairing", "namespaces', secondNamespace)", "namespaces', firstNamespace)", "partnerNamespace"),
        ("modules/pairing", ": secondNamespace }", ": firstNamespace }", "remembered"),
        ("modules/pairing", "dependsOn: [pair]", "dependsOn: [first]", "remembered"),
        // Both regions would use a resource that each needs for itself.
        ("modules/region", "name: 'sthost${token}'", "name: 'sthost'", "hostStorage.name"),
        ("modules/region", "name: 'stdead${token}'", "name: 'stdead'", "deadLetters.name"),
        ("modules/region", "name: 'monitoring-${token}'", "name: 'monitoring'", "deployment"),
        ("main", "region-${place.token}", "region", "deployment"),
        ("main", "'${location},${standbyLocation}'", "'${standbyLocation},${location}'", "CosmosPreferredRegions"),
        ("main", "region[1].outputs.hostStorageName", "region[0].outputs.hostStorageName", "STANDBY_HOST_STORAGE"),
        ("main", "'${alias}.servicebus", "'${firstNamespace}.servicebus", "EVENT_HUBS_FOR_PRODUCERS"),
        // A deployment of one region would get other names.
        ("main", "var firstToken = uniqueString(", "var firstToken = uniqueString(standbyLocation, ", "firstToken"),
    ] {
        assert_detected(&faults(&Sources::read().with_template(file, from, to)), word);
    }
}

#[test]
fn the_apps_of_both_regions_have_the_same_settings() {
    let templates = Sources::read().templates();
    let [first, standby] = [App::First, App::Standby].map(|app| app_settings(&templates, app));
    assert!(first.keys().eq(standby.keys()));
    assert!(first.len() > 25, "{first:?}");
}

fn faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let mut faults = EXPECTED.faults(&templates);
    let mut expect =
        |what: &str, expected: &str, value: Option<String>| compare(&mut faults, what, expected, value.as_deref());
    let [main, region] = ["main", "region"].map(|name| find_template(&templates, name));
    expect("main: region", "regions", main.module("region").and_then(|module| module.loop_source.clone()));
    expect(
        "main: dependsOn of the pairing, which must follow the regions",
        "[region]",
        main.module("pairing").and_then(|module| module.waits_for.clone()),
    );

    let own = region.module("functionApp").and_then(|app| app.params.get("appSettings"));
    let Some(Value::Call(_, parts)) = own else { panic!("appSettings must be a call of union()") };
    let Some(Value::Either(_, events)) = region.variable("eventHubSettings") else {
        panic!("eventHubSettings must be a conditional expression")
    };
    for [name, expected] in REGION_SETTINGS {
        let value = parts.iter().chain(events).find_map(|part| part.get(name));
        expect(name, expected, value.map(to_source));
    }

    let settings = main.module("region").and_then(|module| module.params.get("settings"));
    let Some(Value::Call(_, parts)) = settings else { panic!("settings must be a call of union()") };
    expect(
        "CosmosPreferredRegions: the write region first, in both",
        "empty(standbyLocation) ? location : '${location},${standbyLocation}'",
        parts.iter().find_map(|part| part.get("CosmosPreferredRegions")).map(to_source),
    );
    // The deployments of two regions in a resource group must have different names.
    let in_each_region = region.modules.iter().map(|module| (module, "${token}"));
    let regions =
        main.modules.iter().filter(|module| module.loop_source.is_some()).map(|module| (module, "${place.token}"));
    for (module, part) in in_each_region.chain(regions) {
        let name = module.name.clone().unwrap_or_default();
        if !name.contains(part) {
            faults.push(format!("the deployment {name} of {} has the same name in both regions", module.symbol));
        }
    }
    faults
}
