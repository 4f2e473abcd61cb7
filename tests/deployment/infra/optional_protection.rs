//! Protection that a parameter turns on: audit logs, locks, and a function app that only its network reaches.

use super::{
    expected::Expected,
    sources::{Sources, assert_detected, assert_no_faults},
};

/// What the parameters turn on, and their defaults.
const EXPECTED: Expected = Expected {
    properties: &[
        ["audit", "messageLogs", "scope", "deadLetters::queues"],
        ["audit", "messageLogs", "properties", "{workspaceId: workspace.id, logs: storageLogs}"],
        ["audit", "blobLogs", "scope", "deadLetters::blobs"],
        ["audit", "blobLogs", "properties", "{workspaceId: workspace.id, logs: storageLogs}"],
        // A row for each checkpoint would cost more than everything else.
        ["audit", "hostLogs", "properties.logs", "[{category: 'StorageDelete', enabled: true}]"],
        ["audit", "hostLogs", "scope", "host::blobs"],
        ["audit", "hostLogs", "properties.workspaceId", "workspace.id"],
        ["audit", "accountLogs", "scope", "account"],
        ["audit", "accountLogs", "properties.workspaceId", "workspace.id"],
        ["audit", "accountLogs", "properties.logs", "[{category: 'ControlPlaneRequests', enabled: true}]"],
        ["audit", "vaultLogs", "scope", "vault"],
        ["audit", "vaultLogs", "properties.workspaceId", "workspace.id"],
        ["audit", "vaultLogs", "properties.logs", "[{categoryGroup: 'audit', enabled: true}]"],
        ["documents", "keep", "scope", "account"],
        ["documents", "keep", "properties.level", "'CanNotDelete'"],
        ["dead-letters", "keep", "scope", "account"],
        ["dead-letters", "keep", "properties.level", "'CanNotDelete'"],
    ],
    parameters: &[
        ["main", "network", "withFunctionApp", "isAppPrivate"],
        ["main", "documents", "deleteLock", "deleteLocks"],
        ["main", "region", "privateFunctionApp", "isAppPrivate"],
        ["main", "region", "sitesZoneId", "network.?outputs.sitesZoneId ?? nothing"],
        ["main", "region", "vaultName", "iotHub.?outputs.vaultName ?? nothing"],
        ["region", "deadLetters", "deleteLock", "deleteLocks"],
        ["region", "functionApp", "endpointSubnetId", "privateFunctionApp ? endpointSubnetId : ''"],
        ["region", "audit", "workspaceName", "monitoring.outputs.workspaceName"],
        ["region", "audit", "deadLetterStorageName", "deadLetters.outputs.name"],
        ["region", "audit", "hostStorageName", "hostStorage.outputs.name"],
    ],
    conditions: &[
        ["region", "audit", "auditLogs"],
        ["audit", "messageLogs", "always"],
        ["audit", "blobLogs", "always"],
        ["audit", "hostLogs", "always"],
        ["audit", "accountLogs", "!empty(accountId)"],
        ["audit", "vaultLogs", "!empty(vaultName)"],
        ["documents", "keep", "deleteLock"],
        ["dead-letters", "keep", "deleteLock"],
    ],
    values: &[
        // Who wants more turns it on.
        ["main", "hostStorageRoles", "'containers'"],
        ["main", "privateFunctionApp", "false"],
        ["main", "auditLogs", "false"],
        ["main", "deleteLocks", "false"],
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
    ],
};

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
        ("main", "privateFunctionApp: isAppPrivate", "privateFunctionApp: privateFunctionApp", "privateFunctionApp"),
        ("main", "withFunctionApp: isAppPrivate", "withFunctionApp: false", "withFunctionApp"),
        ("main", "network.?outputs.sitesZoneId", "network.?outputs.blobZoneId", "sitesZoneId"),
        ("modules/region", "= if (auditLogs)", "=", "audit"),
        ("modules/region", "privateFunctionApp ? endpointSubnetId : ''", "endpointSubnetId", "endpointSubnetId"),
        ("modules/region", "deleteLock: deleteLocks", "deleteLock: false", "deadLetters.deleteLock"),
        ("modules/audit", "'StorageRead', ", "", "storageLogs"),
        ("modules/audit", "category: 'StorageDelete'", "category: 'StorageWrite'", "hostLogs"),
        ("modules/audit", "workspaceId: workspace.id", "workspaceId: account.id", "hostLogs.properties.workspaceId"),
        ("modules/audit", "'ControlPlaneRequests'", "'DataPlaneRequests'", "accountLogs"),
        ("modules/audit", "scope: deadLetters::queues", "scope: host::blobs", "messageLogs"),
        ("modules/documents", "'CanNotDelete'", "'ReadOnly'", "documents: keep"),
        ("modules/dead-letters", "= if (deleteLock)", "=", "keep"),
        ("modules/network", "privatelink.azurewebsites.net", "azurewebsites.net", "functionAppZones"),
        ("modules/network", "withFunctionApp ? functionAppZones : {}", "functionAppZones", "allZones"),
    ] {
        assert_detected(&faults(&Sources::read().with_template(file, from, to)), word);
    }
}

fn faults(sources: &Sources) -> Vec<String> {
    EXPECTED.faults(&sources.templates())
}
