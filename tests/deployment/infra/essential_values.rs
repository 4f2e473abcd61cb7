//! Values that are essential for the system, and whose changes nothing else would detect.

use std::path::Path;

use super::{
    bicep::{Value, to_source},
    sources::{Sources, assert_detected, assert_no_faults},
};

/// Module, resource, property, and its value in the source.
const RESOURCE_PROPERTIES: [[&str; 4]; 26] = [
    // An ETag condition protects only within one write region, which the service can move automatically.
    ["documents", "account", "properties.enableMultipleWriteLocations", "false"],
    ["documents", "account", "properties.enableAutomaticFailover", "true"],
    ["documents", "account", "properties.consistencyPolicy.defaultConsistencyLevel", "'Session'"],
    ["documents", "container", "properties.resource.partitionKey.paths", "['/id']"],
    ["documents", "container", "properties.resource.indexingPolicy.indexingMode", "'consistent'"],
    ["documents", "container", "properties.resource.indexingPolicy.excludedPaths", "[{path: '/*'}]"],
    ["documents", "container", "properties.options.autoscaleSettings.maxThroughput", "maximumThroughput"],
    // No service allows access without an identity.
    ["documents", "account", "properties.disableLocalAuth", "true"],
    ["event-hubs", "namespace", "properties.disableLocalAuth", "true"],
    ["monitoring", "insights", "properties.DisableLocalAuth", "true"],
    ["dead-letters", "account", "properties.allowSharedKeyAccess", "false"],
    ["host-storage", "account", "properties.allowSharedKeyAccess", "false"],
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
    ["function-app", "plan", "sku.name", "'FC1'"],
    ["function-app", "app", "properties.functionAppConfig.runtime", "{name: 'custom', version: '1.0'}"],
    ["function-app", "app", "properties.functionAppConfig.deployment.storage.value", "packageContainerUri"],
    [
        "function-app",
        "app",
        "properties.functionAppConfig.deployment.storage.authentication.type",
        "'UserAssignedIdentity'",
    ],
    ["function-app", "app", "properties.keyVaultReferenceIdentity", "identityId"],
    ["function-app", "settings", "properties", "appSettings"],
    // Dead letters survive the loss of a region, checkpoints that of a zone.
    ["dead-letters", "account", "sku.name", "redundancy"],
    ["host-storage", "account", "sku.name", "zoneRedundant ? 'Standard_ZRS' : 'Standard_LRS'"],
    ["event-hubs", "hub", "properties.retentionDescription.retentionTimeInHours", "retentionHours"],
    // False would be rejected when the service has spread the namespace by itself.
    ["event-hubs", "namespace", "properties.zoneRedundant", "zoneRedundant ? true : null"],
];

/// Template, a module of it, parameter, and its value.
const MODULE_PARAMETERS: [[&str; 4]; 30] = [
    ["main", "iotHub", "consumerGroup", "consumerGroup"],
    ["main", "iotHub", "retentionDays", "retentionHours / 24"],
    ["main", "iotHub", "iotHubZoneIds", "network.?outputs.iotHubZoneIds ?? []"],
    ["main", "iotHub", "vaultZoneId", "network.?outputs.vaultZoneId ?? nothing"],
    ["main", "documents", "dnsZoneId", "network.?outputs.cosmosZoneId ?? nothing"],
    ["main", "documents", "zoneRedundant", "zoneRedundantDocuments"],
    ["main", "network", "withIotHub", "usesIotHub"],
    ["main", "region", "hubName", "hubName"],
    ["main", "region", "consumerGroup", "consumerGroup"],
    ["main", "region", "blobZoneId", "network.?outputs.blobZoneId ?? nothing"],
    ["main", "region", "queueZoneId", "network.?outputs.queueZoneId ?? nothing"],
    ["main", "region", "tableZoneId", "network.?outputs.tableZoneId ?? nothing"],
    ["main", "region", "serviceBusZoneId", "network.?outputs.serviceBusZoneId ?? nothing"],
    ["main", "region", "functionSubnetId", "network.?outputs.functionSubnetId ?? nothing"],
    ["main", "region", "endpointSubnetId", "network.?outputs.endpointSubnetId ?? nothing"],
    ["main", "region", "zoneRedundantInstances", "zoneRedundantInstances"],
    ["main", "region", "deadLetterRedundancy", "deadLetterRedundancy"],
    ["region", "eventHubs", "hubName", "hubName"],
    ["region", "eventHubs", "consumerGroup", "consumerGroup"],
    ["region", "eventHubs", "dnsZoneId", "serviceBusZoneId"],
    ["region", "eventHubs", "zoneRedundant", "zoneRedundant"],
    ["region", "deadLetters", "redundancy", "deadLetterRedundancy"],
    ["region", "deadLetters", "blobZoneId", "blobZoneId"],
    ["region", "deadLetters", "queueZoneId", "queueZoneId"],
    ["region", "hostStorage", "blobZoneId", "blobZoneId"],
    // The platform rejects zone-redundant instances with other storage.
    ["region", "hostStorage", "zoneRedundant", "zoneRedundant || zoneRedundantInstances"],
    ["region", "hostStorage", "tableZoneId", "tableZoneId"],
    ["region", "functionApp", "packageContainerUri", "hostStorage.outputs.packageContainerUri"],
    ["region", "functionApp", "subnetId", "functionSubnetId"],
    ["region", "functionApp", "zoneRedundant", "zoneRedundantInstances"],
];

/// Module, private endpoint, the service of its resource, and what it waits for: most services support one change at a time.
const ENDPOINTS: [[&str; 4]; 9] = [
    ["dead-letters", "queueEndpoint", "'queue'", "nothing"],
    ["dead-letters", "blobEndpoint", "'blob'", "[queueEndpoint]"],
    ["documents", "endpoint", "'Sql'", "[account::handlersMayWrite, account::operatorsMayWrite]"],
    ["event-hubs", "endpoint", "'namespace'", "[group]"],
    ["host-storage", "blobEndpoint", "'blob'", "nothing"],
    ["host-storage", "tableEndpoint", "'table'", "[blobEndpoint]"],
    ["iot-hub", "hubEndpoint", "'iotHub'", "[group]"],
    ["iot-hub", "vaultEndpoint", "'vault'", "nothing"],
    ["service-bus", "endpoint", "'namespace'", "[queue]"],
];

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
    let changed = |file: &str, from: &str, to: &str| faults(&Sources::read().with(&format!("infra/{file}"), from, to));
    for (file, from, to, word) in [
        (
            "modules/documents.bicep",
            "enableMultipleWriteLocations: false",
            "enableMultipleWriteLocations: true",
            "Multiple",
        ),
        ("modules/documents.bicep", "paths: ['/id']", "paths: ['/Id']", "/Id"),
        ("modules/documents.bicep", "service: 'Sql'", "service: 'Sq'", "Sq"),
        ("modules/documents.bicep", ", account::operatorsMayWrite]", "]", "dependsOn of endpoint"),
        ("modules/event-hubs.bicep", "  dependsOn: [group]\n", "", "dependsOn of endpoint"),
        ("modules/service-bus.bicep", "  dependsOn: [queue]\n", "", "dependsOn of endpoint"),
        ("modules/event-hubs.bicep", "zoneRedundant ? true : null", "zoneRedundant", "properties.zoneRedundant"),
        ("modules/network.bicep", "defaultOutboundAccess: true", "defaultOutboundAccess: false", "the way out"),
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
        (
            "modules/network.bicep",
            "privatelink.vaultcore.azure.net",
            "privatelink.vault.azure.net",
            "privatelink.vault",
        ),
        ("modules/monitoring.bicep", "kind: 'web'", "kind: 'web'\n  // listKeys", "monitoring.bicep"),
        ("main.bicep", "outputs.cosmosZoneId", "outputs.serviceBusZoneId", "serviceBusZoneId"),
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
        ("modules/region.bicep", "blobZoneId: blobZoneId", "blobZoneId: queueZoneId", "queueZoneId"),
    ] {
        assert_detected(&changed(file, from, to), word);
    }
}

fn faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let main = &templates[0];
    let mut faults = Vec::new();
    let mut expect = |what: String, expected: &str, value: Option<String>| {
        if value.as_deref() != Some(expected) {
            faults.push(format!("{what} is {value:?}, but must be {expected}"));
        }
    };
    let find_template = |module: &str| {
        let path = format!("infra/modules/{module}.bicep");
        templates.iter().find(|template| template.path == Path::new(&path)).expect("a module of infra/")
    };
    for [module, symbol, path, expected] in RESOURCE_PROPERTIES {
        let resource = find_template(module).resources.iter().find(|resource| resource.symbol == symbol);
        let value = resource.and_then(|resource| resource.body.at(path));
        expect(format!("{module}: {symbol}.{path}"), expected, value.map(to_source));
    }
    let calls = |template: &str| if template == "main" { main } else { find_template(template) };
    for [template, symbol, param, expected] in MODULE_PARAMETERS {
        let module = calls(template).modules.iter().find(|module| module.symbol == symbol);
        let value = module.and_then(|module| module.params.get(param)).map(to_source);
        expect(format!("{template}: {symbol}.{param}"), expected, value);
    }
    for [module, symbol, service, waits_for] in ENDPOINTS {
        let endpoint = find_template(module).modules.iter().find(|endpoint| endpoint.symbol == symbol);
        expect(
            format!("{module}: {symbol}"),
            service,
            endpoint.and_then(|endpoint| endpoint.params.get("service")).map(to_source),
        );
        let waits = endpoint.map(|endpoint| endpoint.waits_for.clone().unwrap_or_else(|| "nothing".to_owned()));
        expect(format!("{module}: dependsOn of {symbol}"), waits_for, waits);
        expect(format!("{module}: {symbol}"), "isPrivate", endpoint.and_then(|endpoint| endpoint.condition.clone()));
    }
    for (template, symbol, expected) in [
        ("main", "network", "privateNetwork"),
        ("main", "iotHub", "usesIotHub"),
        ("region", "eventHubs", "withEventHubs"),
        ("region", "serviceBus", "withSessions"),
    ] {
        let module = calls(template).modules.iter().find(|module| module.symbol == symbol);
        expect(
            format!("{template}: the condition of {symbol}"),
            expected,
            module.and_then(|module| module.condition.clone()),
        );
    }
    expect("main.bicep: usesIotHub".into(), "eventSource == 'iotHub'", main.variable("usesIotHub").map(to_source));

    let app = find_template("region").modules.iter().find(|module| module.symbol == "functionApp");
    let Some(Value::Call(_, parts)) = app.and_then(|app| app.params.get("appSettings")) else {
        panic!("appSettings must be a call of union()")
    };
    for [name, expected] in SETTINGS {
        expect(name.to_owned(), expected, parts.iter().find_map(|part| part.get(name)).map(to_source));
    }
    for (template, name, expected) in [
        (find_template("region"), "EventHubConnection__credential", "'managedidentity'"),
        (find_template("region"), "EventHubConnection__clientId", "clientId"),
        (main, "EventHubConnection", "'@Microsoft.KeyVault(SecretUri=${iotHub.?outputs.connectionSecretUri ?? ''})'"),
    ] {
        let Some(Value::Either(_, branches)) = template.variable("eventHubSettings") else {
            panic!("eventHubSettings must be a conditional expression")
        };
        expect(name.to_owned(), expected, branches.iter().find_map(|settings| settings.get(name)).map(to_source));
    }
    let zones = [
        (
            "zones",
            "{blob: 'privatelink.blob.${storageSuffix}', queue: 'privatelink.queue.${storageSuffix}', table: \
                   'privatelink.table.${storageSuffix}', cosmos: 'privatelink.documents.azure.com', serviceBus: \
                   'privatelink.servicebus.windows.net'}",
        ),
        ("iotHubZones", "{iotHub: 'privatelink.azure-devices.net', vault: 'privatelink.vaultcore.azure.net'}"),
    ];
    for (variable, expected) in zones {
        expect(format!("network: {variable}"), expected, find_template("network").variable(variable).map(to_source));
    }
    let network = find_template("network").resources.iter().find(|resource| resource.symbol == "network");
    let subnets = network.and_then(|network| network.body.at("properties.subnets"));
    let Some(Value::List(subnets)) = subnets else { panic!("the network has no subnets") };
    let functions = subnets.iter().find(|subnet| subnet.get("name").and_then(Value::text) == Some("functions"));
    expect(
        "network: the way out of the functions' subnet".into(),
        "true",
        functions.and_then(|subnet| subnet.at("properties.defaultOutboundAccess")).map(to_source),
    );
    // The built-in endpoint of an IoT Hub supports only a key.
    let iot_hub = Path::new("infra/modules/iot-hub.bicep");
    let has_keys = |path: &&Path| sources.text(path.to_str().expect("a path")).contains("listKeys");
    let with_keys = sources.paths("bicep").into_iter().filter(|path| *path != iot_hub).filter(has_keys);
    faults.extend(with_keys.map(|path| format!("{} uses account keys", path.display())));
    faults
}
