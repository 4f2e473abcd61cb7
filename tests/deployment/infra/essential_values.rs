//! Values that are essential for the system, and whose changes nothing else would detect.

use std::path::Path;

use super::{
    bicep::{Value, to_source},
    expected::{Expected, compare, find_template},
    sources::{Sources, assert_detected, assert_no_faults},
};

/// Values whose change breaks a deployment, or loses data.
const EXPECTED: Expected = Expected {
    properties: &[
        // An ETag condition protects only within one write region, which the service can move automatically.
        ["documents", "account", "properties.enableMultipleWriteLocations", "false"],
        ["documents", "account", "properties.enableAutomaticFailover", "true"],
        ["documents", "account", "properties.consistencyPolicy.defaultConsistencyLevel", "'Session'"],
        ["documents", "container", "properties.resource.partitionKey", "{paths: ['/id'], kind: 'Hash', version: 2}"],
        ["documents", "container", "properties.resource.indexingPolicy.indexingMode", "'consistent'"],
        ["documents", "container", "properties.resource.indexingPolicy.excludedPaths", "[{path: '/*'}]"],
        ["documents", "container", "properties.options.autoscaleSettings.maxThroughput", "maximumThroughput"],
        // Publishing uses no password.
        ["function-app", "noFtpPassword", "properties.allow", "false"],
        ["function-app", "noScmPassword", "properties.allow", "false"],
        ["iot-hub", "hub", "properties.authorizationPolicies", "[{keyName: policy, rights: 'ServiceConnect'}]"],
        [
            "iot-hub",
            "connection",
            "properties.value",
            "'Endpoint=${hub.properties.eventHubEndpoints.events.endpoint};SharedAccessKeyName=${policy};\
             SharedAccessKey=${listKeys('${hub.id}/IotHubKeys/${policy}', hub.apiVersion).primaryKey};\
             EntityPath=${hub.properties.eventHubEndpoints.events.path}'",
        ],
        // Required by Flex Consumption.
        ["function-app", "plan", "sku", "{name: 'FC1', tier: 'FlexConsumption'}"],
        ["function-app", "plan", "properties", "{reserved: true, zoneRedundant: zoneRedundant}"],
        ["function-app", "app", "kind", "'functionapp,linux'"],
        ["function-app", "app", "properties.functionAppConfig.runtime", "{name: 'custom', version: '1.0'}"],
        ["function-app", "app", "properties.functionAppConfig.deployment.storage.value", "packageContainerUri"],
        ["function-app", "app", "properties.keyVaultReferenceIdentity", "identityId"],
        ["function-app", "settings", "properties", "appSettings"],
        [
            "function-app",
            "app",
            "properties.functionAppConfig.scaleAndConcurrency.maximumInstanceCount",
            "maximumInstanceCount",
        ],
        // azd finds the app by it.
        ["function-app", "app", "tags", "union(tags, empty(azdService) ? {} : {azd-service-name: azdService})"],
        // Dead letters survive the loss of a region, checkpoints that of a zone.
        ["dead-letters", "account", "sku.name", "redundancy"],
        ["host-storage", "account", "sku.name", "zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS'"],
        ["event-hubs", "hub", "properties.retentionDescription.retentionTimeInHours", "retentionHours"],
        // False would be rejected when the service has spread the namespace by itself.
        ["event-hubs", "namespace", "properties.zoneRedundant", "zoneRedundant ? true : null"],
        ["event-hubs", "namespace", "sku", "{name: 'Standard', tier: 'Standard', capacity: throughputUnits}"],
        ["event-hubs", "namespace", "properties.isAutoInflateEnabled", "maximumThroughputUnits > throughputUnits"],
        [
            "event-hubs",
            "namespace",
            "properties.maximumThroughputUnits",
            "maximumThroughputUnits > throughputUnits ? maximumThroughputUnits : 0",
        ],
        ["event-hubs", "hub", "properties.retentionDescription.cleanupPolicy", "'Delete'"],
        ["event-hubs", "hub", "properties.partitionCount", "partitionCount"],
        // A failover needs an order of the regions, and a mistake the last days.
        [
            "documents",
            "account",
            "properties.locations",
            "[for regions: {locationName: region, failoverPriority: index, isZoneRedundant: zoneRedundant}]",
        ],
        [
            "documents",
            "account",
            "properties.backupPolicy",
            "{type: 'Continuous', continuousModeProperties: {tier: 'Continuous7Days'}}",
        ],
        ["dead-letters", "blobs", "properties.deleteRetentionPolicy", "{enabled: true, days: 14}"],
        // Changes of one account at the same time fail, and two assignments of one name are one.
        ["documents", "stateWriter", "dependsOn", "[database::container]"],
        ["documents", "operatorsMayRead", "dependsOn", "[handlersMayWrite]"],
        ["documents", "operatorsMayWrite", "dependsOn", "[operatorsMayRead]"],
        ["documents", "handlersMayWrite", "name", "guid(account.id, principalId, 'devicestate-state-writer')"],
        ["documents", "operatorsMayRead", "name", "guid(account.id, principalId, 'reader')"],
        ["documents", "operatorsMayWrite", "name", "guid(account.id, principalId, 'devicestate-state-writer')"],
        ["function-app", "settings", "name", "'appsettings'"],
        // It cannot be changed later.
        ["iot-hub", "vault", "properties.softDeleteRetentionInDays", "7"],
        [
            "iot-hub",
            "hub",
            "properties.eventHubEndpoints",
            "{events: {partitionCount: partitionCount, retentionTimeInDays: retentionDays}}",
        ],
        // Logs and metrics arrive where the alerts look.
        ["monitoring", "insights", "properties.WorkspaceResourceId", "workspace.id"],
        ["monitoring", "workspace", "properties.retentionInDays", "retentionDays"],
        ["monitoring", "workspace", "properties.workspaceCapping.dailyQuotaGb", "dailyQuotaGB"],
        ["alerts", "logRules", "properties.enabled", "true"],
        ["alerts", "metricRules", "properties.enabled", "true"],
        ["alerts", "streamMetrics", "scope", "stream"],
        ["alerts", "iotHubMetrics", "scope", "iotHub"],
    ],
    parameters: &[
        ["main", "iotHub", "retentionDays", "retentionHours / 24"],
        ["main", "documents", "zoneRedundant", "zoneRedundantDocuments"],
        ["region", "deadLetters", "redundancy", "deadLetterRedundancy"],
        // The platform rejects zone-redundant instances with other storage.
        ["region", "hostStorage", "zoneRedundant", "zoneRedundant || zoneRedundantInstances"],
        ["region", "functionApp", "packageContainerUri", "hostStorage.outputs.packageContainerUri"],
        ["region", "functionApp", "zoneRedundant", "zoneRedundantInstances"],
    ],
    conditions: &[
        ["main", "iotHub", "usesIotHub"],
        ["region", "eventHubs", "withEventHubs"],
        ["alerts", "streamMetrics", "!usesIotHub"],
        ["alerts", "iotHubMetrics", "usesIotHub"],
    ],
    values: &[
        ["main", "usesIotHub", "eventSource == 'iotHub'"],
        // Without a version, so that a new key is found.
        ["iot-hub", "connectionSecretUri", "vault::connection.properties.secretUri"],
        ["iot-hub", "namespace", "split(split(hub.properties.eventHubEndpoints.events.endpoint, '/')[2], ':')[0]"],
        [
            "host-storage",
            "packageContainerUri",
            "'${account.properties.primaryEndpoints.blob}${account::blobs::packages.name}'",
        ],
        ["main", "tags", "{azd-env-name: environmentName, product: 'devicestate'}"],
        ["main", "DEAD_LETTER_STORAGE_QUEUE_URI", "region[0].outputs.deadLetterQueueUri"],
        ["main", "DEAD_LETTER_STORAGE_BLOB_URI", "region[0].outputs.deadLetterBlobUri"],
    ],
};

/// App settings whose values are keywords of the host.
const SETTINGS: [[&str; 2]; 6] = [
    ["AzureWebJobsStorage__credential", "'managedidentity'"],
    ["AzureWebJobsStorage__clientId", "clientId"],
    ["APPLICATIONINSIGHTS_AUTHENTICATION_STRING", "'ClientId=${clientId};Authorization=AAD'"],
    ["DeadLetterStorage__credential", "'managedidentity'"],
    ["DeadLetterStorage__clientId", "clientId"],
    ["CosmosConnection__clientId", "clientId"],
];

#[test]
fn the_essential_values_are_correct() {
    assert_no_faults(&faults(&Sources::read()));
}

#[test]
fn a_changed_value_is_detected() {
    for (file, from, to, word) in [
        (
            "modules/documents.bicep",
            "enableMultipleWriteLocations: false",
            "enableMultipleWriteLocations: true",
            "Multiple",
        ),
        ("modules/documents.bicep", "paths: ['/id']", "paths: ['/Id']", "/Id"),
        ("modules/event-hubs.bicep", "zoneRedundant ? true : null", "zoneRedundant", "properties.zoneRedundant"),
        (
            "modules/region.bicep",
            "zoneRedundant || zoneRedundantInstances",
            "zoneRedundant",
            "hostStorage.zoneRedundant",
        ),
        ("main.bicep", "zoneRedundant: zoneRedundantDocuments", "zoneRedundant: true", "documents.zoneRedundant"),
        ("modules/function-app.bicep", "version: '1.0'", "version: '2.0'", "2.0"),
        (
            "modules/function-app.bicep",
            "keyVaultReferenceIdentity: identityId",
            "keyVaultReferenceIdentity: location",
            "keyVault",
        ),
        ("modules/iot-hub.bicep", "/IotHubKeys/${policy}", "/IotHubKeys/iothubowner", "connection"),
        ("modules/iot-hub.bicep", "'ServiceConnect'", "'RegistryWrite'", "RegistryWrite"),
        ("modules/monitoring.bicep", "kind: 'web'", "kind: 'web'\n  // listKeys", "monitoring.bicep"),
        ("main.bicep", "eventSource == 'iotHub'", "eventSource != 'iotHub'", "usesIotHub"),
        ("modules/region.bicep", "= if (withEventHubs)", "= if (!withEventHubs)", "eventHubs"),
        (
            "modules/region.bicep",
            "EventHubConnection__credential: 'managedidentity'",
            "EventHubConnection__credential: 'managedidentiy'",
            "managedidentiy",
        ),
        ("modules/region.bicep", "Authorization=AAD", "Authorisation=AAD", "Authorisation"),
        ("main.bicep", "retentionHours / 24", "retentionHours / 12", "retentionDays"),
    ] {
        assert_detected(&changed(file, from, to), word);
    }
}

#[test]
fn a_loss_of_data_or_of_an_alert_and_a_failing_deployment_are_detected() {
    for (file, from, to, word) in [
        (
            "modules/alerts.bicep",
            "enabled: true\n      scopes: [workspace.id]",
            "enabled: false\n      scopes: [workspace.id]",
            "logRules",
        ),
        (
            "modules/alerts.bicep",
            "diagnosticSettings@2021-05-01-preview' = if (!usesIotHub)",
            "diagnosticSettings@2021-05-01-preview' = if (usesIotHub)",
            "streamMetrics",
        ),
        (
            "modules/dead-letters.bicep",
            "        enabled: true\n        days: 14",
            "        enabled: false\n        days: 14",
            "deleteRetentionPolicy",
        ),
        ("modules/documents.bicep", "type: 'Continuous'", "type: 'Periodic'", "backupPolicy"),
        ("modules/documents.bicep", "failoverPriority: index", "failoverPriority: 0", "failoverPriority"),
        (
            "modules/documents.bicep",
            "isZoneRedundant: zoneRedundant",
            "isZoneRedundant: !zoneRedundant",
            "isZoneRedundant",
        ),
        (
            "modules/iot-hub.bicep",
            "vault::connection.properties.secretUri",
            "vault::connection.properties.secretUriWithVersion",
            "connectionSecretUri",
        ),
        ("modules/event-hubs.bicep", "cleanupPolicy: 'Delete'", "cleanupPolicy: 'Compact'", "cleanupPolicy"),
        ("modules/function-app.bicep", "name: 'appsettings'", "name: 'connectionstrings'", "settings.name"),
        (
            "modules/documents.bicep",
            "  @batchSize(1)\n  resource handlersMayWrite",
            "  resource handlersMayWrite",
            "handlersMayWrite",
        ),
        ("modules/documents.bicep", "      dependsOn: [handlersMayWrite]\n", "", "operatorsMayRead.dependsOn"),
        ("modules/documents.bicep", "    dependsOn: [database::container]\n", "", "stateWriter.dependsOn"),
        (
            "modules/documents.bicep",
            "guid(account.id, principalId, 'reader')",
            "guid(account.id, principalId, 'devicestate-state-writer')",
            "operatorsMayRead.name",
        ),
        (
            "modules/monitoring.bicep",
            "WorkspaceResourceId: workspace.id",
            "WorkspaceResourceId: workspace.name",
            "WorkspaceResourceId",
        ),
        ("modules/event-hubs.bicep", "capacity: throughputUnits", "capacity: 1 + throughputUnits", "namespace.sku"),
        ("modules/event-hubs.bicep", "maximumThroughputUnits > throughputUnits\n", "false\n", "isAutoInflate"),
        ("modules/function-app.bicep", "    zoneRedundant: zoneRedundant\n", "    zoneRedundant: false\n", "plan"),
        ("modules/function-app.bicep", "'azd-service-name'", "'azd-service'", "app.tags"),
        (
            "modules/host-storage.bicep",
            "${account::blobs::packages.name}'",
            "${account::blobs::keys.name}'",
            "packageContainerUri",
        ),
        ("modules/iot-hub.bicep", "softDeleteRetentionInDays: 7", "softDeleteRetentionInDays: 90", "softDelete"),
        ("modules/documents.bicep", "version: 2", "version: 1", "partitionKey"),
        ("main.bicep", "'azd-env-name': environmentName", "'azd-env': environmentName", "tags"),
    ] {
        assert_detected(&changed(file, from, to), word);
    }
}

/// Returns the faults after a change of a file of infra/.
fn changed(file: &str, from: &str, to: &str) -> Vec<String> {
    faults(&Sources::read().with(&format!("infra/{file}"), from, to))
}

fn faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let mut faults = EXPECTED.faults(&templates);
    let mut expect =
        |what: &str, expected: &str, value: Option<String>| compare(&mut faults, what, expected, value.as_deref());
    let find_template = |name: &str| find_template(&templates, name);
    let app = find_template("region").module("functionApp");
    let Some(Value::Call(_, parts)) = app.and_then(|app| app.params.get("appSettings")) else {
        panic!("appSettings must be a call of union()")
    };
    for [name, expected] in SETTINGS {
        expect(name, expected, parts.iter().find_map(|part| part.get(name)).map(to_source));
    }
    for (template, name, expected) in [
        (find_template("region"), "EventHubConnection__credential", "'managedidentity'"),
        (find_template("region"), "EventHubConnection__clientId", "clientId"),
        (
            &templates[0],
            "EventHubConnection",
            "'@Microsoft.KeyVault(SecretUri=${iotHub.?outputs.connectionSecretUri ?? ''})'",
        ),
    ] {
        let Some(Value::Either(_, branches)) = template.variable("eventHubSettings") else {
            panic!("eventHubSettings must be a conditional expression")
        };
        expect(name, expected, branches.iter().find_map(|settings| settings.get(name)).map(to_source));
    }
    let documents = find_template("documents");
    for resource in documents.resources.iter().filter(|resource| resource.loop_source.is_some()) {
        let one_by_one = format!("@batchSize(1)\n  resource {} ", resource.symbol);
        if !sources.text("infra/modules/documents.bicep").contains(&one_by_one) {
            faults.push(format!("documents: {} does not follow one after the other", resource.symbol));
        }
    }
    // The built-in endpoint of an IoT Hub supports only a key.
    let iot_hub = Path::new("infra/modules/iot-hub.bicep");
    let has_keys = |path: &&Path| sources.text(path.to_str().expect("a path")).contains("listKeys");
    let with_keys = sources.paths("bicep").into_iter().filter(|path| *path != iot_hub).filter(has_keys);
    faults.extend(with_keys.map(|path| format!("{} uses account keys", path.display())));
    faults
}
