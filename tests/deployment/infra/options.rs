//! Protection that a parameter turns on: audit logs, locks, and a function app that only its network reaches.

use std::path::Path;

use super::{
    bicep::{Template, to_source},
    sources::{Sources, assert_detected, assert_no_faults},
};

/// Parameters of main.bicep and their defaults: who wants more turns it on.
const DEFAULTS: [[&str; 2]; 4] = [
    ["hostStorageRoles", "'containers'"],
    ["privateFunctionApp", "false"],
    ["auditLogs", "false"],
    ["deleteLocks", "false"],
];

/// Template, a module of it, parameter, and its value.
const MODULE_PARAMETERS: [[&str; 4]; 18] = [
    ["main", "network", "withFunctionApp", "isAppPrivate"],
    ["main", "documents", "deleteLock", "deleteLocks"],
    ["main", "region", "privateFunctionApp", "isAppPrivate"],
    ["main", "region", "sitesZoneId", "network.?outputs.sitesZoneId ?? nothing"],
    ["main", "region", "auditLogs", "auditLogs"],
    ["main", "region", "deleteLocks", "deleteLocks"],
    ["main", "region", "vaultName", "iotHub.?outputs.vaultName ?? nothing"],
    ["region", "deadLetters", "deleteLock", "deleteLocks"],
    ["region", "functionApp", "endpointSubnetId", "privateFunctionApp ? endpointSubnetId : ''"],
    ["region", "functionApp", "sitesZoneId", "sitesZoneId"],
    ["region", "audit", "workspaceName", "monitoring.outputs.workspaceName"],
    ["region", "audit", "deadLetterStorageName", "deadLetters.outputs.name"],
    ["region", "audit", "hostStorageName", "hostStorage.outputs.name"],
    ["region", "audit", "accountId", "accountId"],
    ["region", "audit", "vaultName", "vaultName"],
    ["function-app", "endpoint", "targetId", "app.id"],
    ["function-app", "endpoint", "service", "'sites'"],
    ["function-app", "endpoint", "dnsZoneIds", "[sitesZoneId]"],
];

/// Template, a module or resource of it, and its condition.
const CONDITIONS: [[&str; 3]; 9] = [
    ["region", "audit", "auditLogs"],
    ["audit", "messageLogs", "always"],
    ["audit", "blobLogs", "always"],
    ["audit", "hostLogs", "always"],
    ["audit", "accountLogs", "!empty(accountId)"],
    ["audit", "vaultLogs", "!empty(vaultName)"],
    ["documents", "keep", "deleteLock"],
    ["dead-letters", "keep", "deleteLock"],
    ["function-app", "endpoint", "isPrivate"],
];

/// Template, resource, property, and its value.
const RESOURCE_PROPERTIES: [[&str; 4]; 14] = [
    ["audit", "messageLogs", "scope", "deadLetters::queues"],
    ["audit", "messageLogs", "properties", "{workspaceId: workspace.id, logs: storageLogs}"],
    ["audit", "blobLogs", "scope", "deadLetters::blobs"],
    ["audit", "blobLogs", "properties", "{workspaceId: workspace.id, logs: storageLogs}"],
    // A row for each checkpoint would cost more than everything else.
    ["audit", "hostLogs", "properties.logs", "[{category: 'StorageDelete', enabled: true}]"],
    ["audit", "hostLogs", "scope", "host::blobs"],
    ["audit", "accountLogs", "scope", "account"],
    ["audit", "accountLogs", "properties.logs", "[{category: 'ControlPlaneRequests', enabled: true}]"],
    ["audit", "vaultLogs", "scope", "vault"],
    ["audit", "vaultLogs", "properties.logs", "[{categoryGroup: 'audit', enabled: true}]"],
    ["documents", "keep", "scope", "account"],
    ["documents", "keep", "properties.level", "'CanNotDelete'"],
    ["dead-letters", "keep", "scope", "account"],
    ["dead-letters", "keep", "properties.level", "'CanNotDelete'"],
];

/// Template, variable or output, and its value.
const NAMES: [[&str; 3]; 6] = [
    [
        "audit",
        "storageLogs",
        "[for ['StorageRead', 'StorageWrite', 'StorageDelete']: {category: category, enabled: true}]",
    ],
    ["network", "functionAppZones", "{sites: 'privatelink.azurewebsites.net'}"],
    [
        "network",
        "allZones",
        "items(union(zones, withIotHub ? iotHubZones : {}, withFunctionApp ? functionAppZones : {}))",
    ],
    ["network", "sitesZoneId", "resourceId('Microsoft.Network/privateDnsZones', functionAppZones.sites)"],
    ["iot-hub", "vaultName", "vault.name"],
    ["dead-letters", "name", "account.name"],
];

#[test]
fn audit_logs_locks_and_a_private_function_app_are_deployed_only_if_wanted() {
    assert_no_faults(&faults(&Sources::read()));
}

#[test]
fn a_protection_that_is_missing_weaker_or_not_wanted_is_detected() {
    for (file, from, to, word) in [
        ("main", "param auditLogs bool = false", "param auditLogs bool = true", "auditLogs"),
        ("main", "param deleteLocks bool = false", "param deleteLocks bool = true", "deleteLocks"),
        ("main", "param privateFunctionApp bool = false", "param privateFunctionApp bool = true", "privateFunctionApp"),
        ("main", "deleteLock: deleteLocks", "deleteLock: false", "documents.deleteLock"),
        ("main", "auditLogs: auditLogs", "auditLogs: false", "region.auditLogs"),
        ("main", "privateFunctionApp: isAppPrivate", "privateFunctionApp: privateFunctionApp", "privateFunctionApp"),
        ("main", "withFunctionApp: isAppPrivate", "withFunctionApp: false", "withFunctionApp"),
        ("main", "network.?outputs.sitesZoneId", "network.?outputs.blobZoneId", "sitesZoneId"),
        ("modules/region", "= if (auditLogs)", "=", "audit"),
        ("modules/region", "privateFunctionApp ? endpointSubnetId : ''", "endpointSubnetId", "endpointSubnetId"),
        ("modules/region", "deleteLock: deleteLocks", "deleteLock: false", "deadLetters.deleteLock"),
        ("modules/audit", "'StorageRead', ", "", "storageLogs"),
        ("modules/audit", "category: 'StorageDelete'", "category: 'StorageWrite'", "hostLogs"),
        ("modules/audit", "'ControlPlaneRequests'", "'DataPlaneRequests'", "accountLogs"),
        ("modules/audit", "scope: deadLetters::queues", "scope: host::blobs", "messageLogs"),
        ("modules/documents", "'CanNotDelete'", "'ReadOnly'", "documents: keep"),
        ("modules/dead-letters", "= if (deleteLock)", "=", "keep"),
        ("modules/function-app", "service: 'sites'", "service: 'site'", "endpoint.service"),
        ("modules/network", "privatelink.azurewebsites.net", "azurewebsites.net", "functionAppZones"),
        ("modules/network", "withFunctionApp ? functionAppZones : {}", "functionAppZones", "allZones"),
    ] {
        let changed = Sources::read().with(&format!("infra/{file}.bicep"), from, to);
        assert_detected(&faults(&changed), word);
    }
}

fn faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let mut faults = Vec::new();
    let mut expect = |what: String, expected: &str, value: Option<String>| {
        if value.as_deref() != Some(expected) {
            faults.push(format!("{what} is {value:?}, but must be {expected}"));
        }
    };
    let template = |name: &str| find_template(&templates, name);
    let module = |name: &str, symbol: &str| template(name).modules.iter().find(|module| module.symbol == symbol);
    let resource =
        |name: &str, symbol: &str| template(name).resources.iter().find(|resource| resource.symbol == symbol);
    for [name, expected] in DEFAULTS {
        let param = templates[0].params.iter().find(|param| param.name == name);
        let default = param.and_then(|param| param.default.as_ref());
        expect(format!("main: the default of {name}"), expected, default.map(to_source));
    }
    for [name, symbol, param, expected] in MODULE_PARAMETERS {
        let value = module(name, symbol).and_then(|module| module.params.get(param)).map(to_source);
        expect(format!("{name}: {symbol}.{param}"), expected, value);
    }
    for [name, symbol, expected] in CONDITIONS {
        let of_module = module(name, symbol).map(|module| module.condition.clone());
        let condition = of_module.or_else(|| resource(name, symbol).map(|resource| resource.condition.clone()));
        let condition = condition.map(|condition| condition.unwrap_or_else(|| "always".to_owned()));
        expect(format!("{name}: the condition of {symbol}"), expected, condition);
    }
    for [name, symbol, path, expected] in RESOURCE_PROPERTIES {
        let value = resource(name, symbol).and_then(|resource| resource.body.at(path)).map(to_source);
        expect(format!("{name}: {symbol}.{path}"), expected, value);
    }
    for [file, name, expected] in NAMES {
        let output = template(file).outputs.iter().find(|(output, _)| output == name).map(|(_, value)| value);
        expect(format!("{file}: {name}"), expected, output.or_else(|| template(file).variable(name)).map(to_source));
    }
    faults
}

fn find_template<'a>(templates: &'a [Template], name: &str) -> &'a Template {
    let path = if name == "main" { "infra/main.bicep".to_owned() } else { format!("infra/modules/{name}.bicep") };
    templates.iter().find(|template| template.path == Path::new(&path)).expect("a template of infra/")
}
