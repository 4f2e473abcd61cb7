//! Parts of an earlier infra/ with what the compiler (CLI 0.49.2) made of them: the comparison itself is tested with them, also
//! when infra/ was changed since it was compiled.

use std::path::Path;

use serde_json::Value as Json;

use super::{
    super::{
        bicep::Template,
        sources::{Sources, assert_detected, assert_no_faults},
    },
    Comparison, Findings,
};

/// Name, source, and what the compiler made of it. `parameters` is a part of the main template, the others are modules.
const EXAMPLES: [(&str, &str, &str); 4] = [
    ("documents", include_str!("example/documents.bicep"), include_str!("example/documents.json")),
    ("event-hubs", include_str!("example/event-hubs.bicep"), include_str!("example/event-hubs.json")),
    ("pairing", include_str!("example/pairing.bicep"), include_str!("example/pairing.json")),
    ("parameters", include_str!("example/parameters.bicep"), include_str!("example/parameters.json")),
];

/// Compares an example with what the compiler made of it, each occurrence of a text in one of both replaced.
#[track_caller]
fn findings(name: &str, in_source: [&str; 2], in_compiled: [&str; 2]) -> Findings {
    let (_, text, json) = EXAMPLES.into_iter().find(|(own, ..)| *own == name).expect("an example");
    let changed = |text: &str, [from, to]: [&str; 2]| {
        assert!(text.contains(from), "{name} does not contain {from:?}");
        text.replace(from, to)
    };
    let (text, json) = (changed(text, in_source), changed(json, in_compiled));
    let path = format!("infra/modules/{name}.bicep");
    let sources = Sources::of(&[(&path, &text), ("infra/roles.json", include_str!("example/roles.json"))]);
    let template = Template::parse(Path::new(&path), &text);
    let compiled: Json = serde_json::from_str(&json).unwrap_or_else(|error| panic!("{in_compiled:?}: {error}"));
    let mut findings = Findings::default();
    Comparison { template: &template, compiled: &compiled, findings: &mut findings }.all(&sources);
    findings
}

#[test]
fn the_reader_reads_the_examples_as_the_compiler_does() {
    for (name, ..) in EXAMPLES {
        let findings = findings(name, ["", ""], ["", ""]);
        assert_no_faults(&findings.faults);
        assert_no_faults(&findings.untranslated);
        assert!(findings.equal > 25, "{findings:?}");
    }
}

#[test]
fn every_difference_in_what_the_compiler_wrote_is_detected() {
    for (name, from, to, words) in [
        // Resources: type, version, name, condition, loop, properties.
        (
            "event-hubs",
            "\"Microsoft.EventHub/namespaces/eventhubs\"",
            "\"Microsoft.EventHub/namespaces/hubs\"",
            "resource hub",
        ),
        ("event-hubs", "\"2022-04-01\"", "\"2022-04-02\"", "no such resource"),
        (
            "event-hubs",
            "parameters('name'), parameters('hubName'))]\",\n      \"prop",
            "parameters('name'), 'telemetry')]\",\n      \"prop",
            "resource hub",
        ),
        (
            "event-hubs",
            "\"condition\": \"[not(parameters('isKept'))]\"",
            "\"condition\": \"[parameters('isKept')]\"",
            "namespace: condition",
        ),
        ("event-hubs", "\"condition\": \"[not(parameters('isKept'))]\",", "", "namespace: condition"),
        ("event-hubs", "length(parameters('senderPrincipalIds'))", "length(createArray(1))", "sendersMaySend: loop"),
        ("event-hubs", "\"minimumTlsVersion\": \"1.2\"", "\"minimumTlsVersion\": \"1.0\"", "minimumTlsVersion"),
        ("event-hubs", "\"disableLocalAuth\": true", "\"disableLocalAuth\": false", "disableLocalAuth"),
        ("event-hubs", "\"disableLocalAuth\": true,", "", "disableLocalAuth"),
        ("event-hubs", "'Disabled', 'Enabled'", "'Enabled', 'Disabled'", "publicNetworkAccess"),
        ("event-hubs", "\"capacity\": \"[parameters('throughputUnits')]\"", "\"capacity\": 1", "capacity"),
        ("documents", "copyIndex('includedPaths')", "copyIndex('locations')", "includedPaths"),
        ("documents", "length(parameters('indexedPaths'))", "length(createArray())", "includedPaths"),
        ("documents", "items/replace\"", "items/delete\"", "dataActions"),
        (
            "documents",
            "\"name\": \"account::operatorsMayRead\"",
            "\"name\": \"operatorsMayRead\"",
            "operatorsMayRead: loop",
        ),
        // Roles: scope, role, principal.
        (
            "event-hubs",
            "\"scope\": \"[resourceId('Microsoft.EventHub/namespaces', parameters('name'))]\"",
            "\"scope\": \"[resourceGroup().id]\"",
            "scope",
        ),
        (
            "event-hubs",
            "roleDefinitions', variables('roles').eventHubsDataSender",
            "roleDefinitions', variables('roles').storageBlobDataOwner",
            "roleDefinitionId",
        ),
        ("event-hubs", "a638d3c7-ab3a-418d-83e6-5f17a39d4fde", "b24988ac-6180-42a0-ab88-20f7382dd24c", "roles.json"),
        (
            "event-hubs",
            "\"principalId\": \"[parameters('handlerPrincipalId')]\"",
            "\"principalId\": \"[parameters('dnsZoneId')]\"",
            "principalId",
        ),
        // Modules: condition, name, parameters, dependencies.
        (
            "event-hubs",
            "\"condition\": \"[variables('isPrivate')]\"",
            "\"condition\": \"[not(variables('isPrivate'))]\"",
            "module endpoint: condition",
        ),
        ("event-hubs", "\"value\": \"namespace\"", "\"value\": \"namespaces\"", "endpoint: service"),
        ("event-hubs", "\"event-hubs-endpoint\"", "\"event-hub-endpoint\"", "endpoint"),
        (
            "pairing",
            "'Microsoft.EventHub/namespaces/disasterRecoveryConfigs', ",
            "'Microsoft.EventHub/namespaces', ",
            "waits for pair",
        ),
        ("documents", "\"account::handlersMayWrite\"\n", "\"account\"\n", "module endpoint: waits for"),
        // Parameters: default, allowed values, limits, and outputs.
        ("parameters", "\"defaultValue\": 32", "\"defaultValue\": 16", "partitionCount"),
        ("parameters", "\"bool\",\n      \"defaultValue\": true", "\"bool\"", "zoneRedundant: has a default"),
        ("parameters", "\"iotHub\"\n", "\"iotHub\", \"kafka\"\n", "eventSource: allowed"),
        ("parameters", "2048,", "1024,", "instanceMemoryMB: allowed"),
        ("parameters", "\"maxValue\": 32", "\"maxValue\": 1024", "partitionCount: limits"),
        ("parameters", "\"minLength\": 1,", "", "environmentName: limits"),
        ("parameters", "\"environmentName\":", "\"environment\":", "environmentName"),
        (
            "parameters",
            "\"value\": \"[variables('consumerGroup')]\"",
            "\"value\": \"devicestates\"",
            "output EVENT_HUB_CONSUMER_GROUP",
        ),
        ("parameters", "\"EVENT_HUBS_ALIAS\":", "\"EVENT_HUB_ALIAS\":", "EVENT_HUBS_ALIAS"),
        ("parameters", "\"hubName\": \"telemetry\"", "\"hubName\": \"telemetries\"", "variable hubName"),
    ] {
        let faults = findings(name, ["", ""], [from, to]).faults;
        assert_detected(&faults, words);
    }
}

/// A reader that misses something is detected, too.
#[test]
fn every_difference_in_what_the_reader_read_is_detected() {
    for (name, from, to, words) in [
        ("event-hubs", "= if (!isKept)", "= if (isKept)", "namespace: condition"),
        ("event-hubs", "scope: namespace", "scope: hub", "scope"),
        ("event-hubs", "in senderPrincipalIds", "in [handlerPrincipalId]", "sendersMaySend"),
        ("event-hubs", "service: 'namespace'", "service: 'namespaces'", "service"),
        ("documents", "    dependsOn: [database::container]\n", "    dependsOn: [missing]\n", "stateWriter"),
        ("parameters", "param partitionCount int = 32", "param partitionCount int", "partitionCount: has a default"),
        ("parameters", "@maxValue(32)\n", "", "partitionCount: limits"),
        ("parameters", "output EVENT_HUBS_ALIAS ", "output EVENT_HUBS ", "EVENT_HUBS_ALIAS"),
    ] {
        let findings = findings(name, [from, to], ["", ""]);
        let all: Vec<String> = findings.faults.into_iter().chain(findings.untranslated).collect();
        assert_detected(&all, words);
    }
}
