//! A private network: each service has a private endpoint in it with a name, and the app reaches them through it.

use super::{
    bicep::to_source,
    expected::{Expected, compare, find_template},
    sources::{Sources, assert_detected, assert_no_faults},
};

/// The network, and who gets its subnets and zones.
const EXPECTED: Expected = Expected {
    properties: &[
        // In a private network, all traffic of the app, also for its package and secrets, goes through its subnet.
        ["function-app", "app", "properties.virtualNetworkSubnetId", "empty(subnetId) ? null : subnetId"],
        ["function-app", "app", "properties.outboundVnetRouting", "empty(subnetId) ? null : {allTraffic: true}"],
        [
            "network",
            "network",
            "properties.subnets",
            "[{name: 'functions', properties: {addressPrefix: '10.0.0.0/24', defaultOutboundAccess: true, \
             delegations: [{name: 'flex-consumption', properties: {serviceName: 'Microsoft.App/environments'}}]}}, \
             {name: 'endpoints', properties: {addressPrefix: '10.0.1.0/24'}}]",
        ],
        ["network", "links", "properties.virtualNetwork.id", "network.id"],
        [
            "private-endpoint",
            "endpoint",
            "properties.privateLinkServiceConnections",
            "[{name: service, properties: {privateLinkServiceId: targetId, groupIds: [service]}}]",
        ],
        ["private-endpoint", "endpoint", "properties.subnet.id", "subnetId"],
        [
            "private-endpoint",
            "names",
            "properties.privateDnsZoneConfigs",
            "[for dnsZoneIds: {name: 'zone${index}', properties: {privateDnsZoneId: zoneId}}]",
        ],
        // Azure Resource Manager writes the secret.
        ["iot-hub", "vault", "properties.networkAcls.bypass", "'AzureServices'"],
    ],
    parameters: &[
        ["main", "iotHub", "iotHubZoneIds", "network.?outputs.iotHubZoneIds ?? []"],
        ["main", "iotHub", "vaultZoneId", "network.?outputs.vaultZoneId ?? nothing"],
        ["main", "documents", "dnsZoneId", "network.?outputs.cosmosZoneId ?? nothing"],
        ["main", "documents", "endpointSubnetId", "network.?outputs.endpointSubnetId ?? nothing"],
        ["main", "iotHub", "endpointSubnetId", "network.?outputs.endpointSubnetId ?? nothing"],
        ["main", "network", "withIotHub", "usesIotHub"],
        ["main", "region", "blobZoneId", "network.?outputs.blobZoneId ?? nothing"],
        ["main", "region", "queueZoneId", "network.?outputs.queueZoneId ?? nothing"],
        ["main", "region", "tableZoneId", "network.?outputs.tableZoneId ?? nothing"],
        ["main", "region", "serviceBusZoneId", "network.?outputs.serviceBusZoneId ?? nothing"],
        ["main", "region", "functionSubnetId", "network.?outputs.functionSubnetId ?? nothing"],
        ["main", "region", "endpointSubnetId", "network.?outputs.endpointSubnetId ?? nothing"],
        ["region", "eventHubs", "dnsZoneId", "serviceBusZoneId"],
        ["region", "functionApp", "subnetId", "functionSubnetId"],
    ],
    conditions: &[["main", "network", "privateNetwork"]],
    values: &[
        [
            "network",
            "zones",
            "{blob: 'privatelink.blob.${storageSuffix}', queue: 'privatelink.queue.${storageSuffix}', \
             table: 'privatelink.table.${storageSuffix}', cosmos: 'privatelink.documents.azure.com', \
             serviceBus: 'privatelink.servicebus.windows.net'}",
        ],
        [
            "network",
            "iotHubZones",
            "{iotHub: 'privatelink.azure-devices.net', vault: 'privatelink.vaultcore.azure.net'}",
        ],
        ["network", "functionSubnetId", "network::functions.id"],
        ["network", "endpointSubnetId", "network::endpoints.id"],
        ["network", "blobZoneId", "resourceId('Microsoft.Network/privateDnsZones', zones.blob)"],
        ["network", "queueZoneId", "resourceId('Microsoft.Network/privateDnsZones', zones.queue)"],
        ["network", "tableZoneId", "resourceId('Microsoft.Network/privateDnsZones', zones.table)"],
        ["network", "cosmosZoneId", "resourceId('Microsoft.Network/privateDnsZones', zones.cosmos)"],
        ["network", "serviceBusZoneId", "resourceId('Microsoft.Network/privateDnsZones', zones.serviceBus)"],
        ["network", "vaultZoneId", "resourceId('Microsoft.Network/privateDnsZones', iotHubZones.vault)"],
    ],
};

/// Module, private endpoint, its resource, service and zones, and what it waits for: most services support one change at a time.
const ENDPOINTS: [[&str; 6]; 10] = [
    ["dead-letters", "queueEndpoint", "account.id", "'queue'", "[queueZoneId]", "nothing"],
    ["dead-letters", "blobEndpoint", "account.id", "'blob'", "[blobZoneId]", "[queueEndpoint]"],
    [
        "documents",
        "endpoint",
        "account.id",
        "'Sql'",
        "[dnsZoneId]",
        "[account::handlersMayWrite, account::operatorsMayWrite]",
    ],
    ["event-hubs", "endpoint", "namespace.id", "'namespace'", "[dnsZoneId]", "[group]"],
    ["function-app", "endpoint", "app.id", "'sites'", "[sitesZoneId]", "[app::settings]"],
    ["host-storage", "blobEndpoint", "account.id", "'blob'", "[blobZoneId]", "nothing"],
    ["host-storage", "tableEndpoint", "account.id", "'table'", "[tableZoneId]", "[blobEndpoint]"],
    ["iot-hub", "hubEndpoint", "hub.id", "'iotHub'", "iotHubZoneIds", "[group]"],
    ["iot-hub", "vaultEndpoint", "vault.id", "'vault'", "[vaultZoneId]", "nothing"],
    ["service-bus", "endpoint", "namespace.id", "'namespace'", "[dnsZoneId]", "[queue]"],
];

#[test]
fn every_service_is_reached_through_the_private_network() {
    assert_no_faults(&faults(&Sources::read()));
}

#[test]
fn a_service_that_stays_open_or_is_not_reached_is_detected() {
    for (file, from, to, word) in [
        ("modules/documents", "service: 'Sql'", "service: 'Sq'", "endpoint.service"),
        ("modules/documents", ", account::operatorsMayWrite]", "]", "dependsOn of endpoint"),
        ("modules/event-hubs", "  dependsOn: [group]\n", "", "dependsOn of endpoint"),
        ("modules/service-bus", "  dependsOn: [queue]\n", "", "dependsOn of endpoint"),
        ("modules/network", "defaultOutboundAccess: true", "defaultOutboundAccess: false", "subnets"),
        ("modules/network", "privatelink.vaultcore.azure.net", "privatelink.vault.azure.net", "privatelink.vault"),
        ("main", "outputs.cosmosZoneId", "outputs.serviceBusZoneId", "serviceBusZoneId"),
        ("modules/network", "'Microsoft.App/environments'", "'Microsoft.Web/serverFarms'", "subnets"),
        ("modules/function-app", "{ allTraffic: true }", "{ allTraffic: false }", "outboundVnetRouting"),
        (
            "modules/function-app",
            "empty(subnetId) ? null : subnetId",
            "empty(subnetId) ? subnetId : null",
            "virtualNetworkSubnetId",
        ),
        ("modules/iot-hub", "bypass: 'AzureServices'", "bypass: 'None'", "networkAcls.bypass"),
        ("modules/private-endpoint", "groupIds: [service]", "groupIds: [name]", "privateLinkServiceConnections"),
        ("modules/dead-letters", "dnsZoneIds: [queueZoneId]", "dnsZoneIds: [blobZoneId]", "queueEndpoint.dnsZoneIds"),
        ("modules/network", "zones.blob)", "zones.queue)", "blobZoneId"),
        ("modules/network", "virtualNetwork: { id: network.id }", "virtualNetwork: { id: name }", "links"),
        ("modules/function-app", "  dependsOn: [app::settings]\n", "", "dependsOn of endpoint"),
        (
            "main",
            "endpointSubnetId: network.?outputs.endpointSubnetId ?? nothing\n    dnsZoneId",
            "endpointSubnetId: nothing\n    dnsZoneId",
            "documents.endpointSubnetId",
        ),
        (
            "main",
            "endpointSubnetId: network.?outputs.endpointSubnetId ?? nothing\n    iot",
            "endpointSubnetId: nothing\n    iot",
            "iotHub.endpointSubnetId",
        ),
        ("modules/network", "10.0.1.0/24", "10.0.0.128/25", "subnets"),
        ("modules/network", "= network::functions.id", "= network::endpoints.id", "functionSubnetId"),
        ("modules/private-endpoint", "privateDnsZoneId: zoneId", "privateDnsZoneId: subnetId", "privateDnsZoneConfigs"),
        ("modules/private-endpoint", "subnet: { id: subnetId }", "subnet: { id: targetId }", "subnet"),
    ] {
        assert_detected(&faults(&Sources::read().with_template(file, from, to)), word);
    }
}

fn faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let mut faults = EXPECTED.faults(&templates);
    let mut expect =
        |what: &str, expected: &str, value: Option<String>| compare(&mut faults, what, expected, value.as_deref());
    for [module, symbol, target, service, zones, waits_for] in ENDPOINTS {
        let endpoint = find_template(&templates, module).module(symbol);
        let at = format!("{module}: {symbol}");
        for (param, expected) in [("targetId", target), ("service", service), ("dnsZoneIds", zones)] {
            let value = endpoint.and_then(|endpoint| endpoint.params.get(param)).map(to_source);
            expect(&format!("{at}.{param}"), expected, value);
        }
        let waits = endpoint.map(|endpoint| endpoint.waits_for.clone().unwrap_or_else(|| "nothing".to_owned()));
        expect(&format!("{module}: dependsOn of {symbol}"), waits_for, waits);
        let condition = endpoint.and_then(|endpoint| endpoint.condition.clone());
        expect(&format!("{module}: the condition of {symbol}"), "isPrivate", condition);
    }
    faults
}
