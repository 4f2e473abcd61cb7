//! Every role assignment of the templates: role, principal and scope, and no other.

use super::{
    bicep::{Resource, Template, Value, to_source},
    changes::assert_each_change_is_detected,
    sources::{Sources, assert_detected, assert_no_faults},
};

/// Azure's built-in roles: the ids are the same in every subscription.
const BUILT_IN: [(&str, &str, &str); 16] = [
    ("eventHubsDataReceiver", "Azure Event Hubs Data Receiver", "a638d3c7-ab3a-418d-83e6-5f17a39d4fde"),
    ("eventHubsDataSender", "Azure Event Hubs Data Sender", "2b629674-e913-4c01-ae53-ef4638d8f975"),
    ("iotHubRegistryContributor", "IoT Hub Registry Contributor", "4ea46cd5-c1b2-4a8e-910b-273211f9ce47"),
    ("keyVaultSecretsUser", "Key Vault Secrets User", "4633458b-17de-408a-b874-0445c86b69e6"),
    ("logAnalyticsReader", "Log Analytics Reader", "73c42c96-874c-492b-b04d-ab87d138a893"),
    ("monitoringMetricsPublisher", "Monitoring Metrics Publisher", "3913510d-42f4-4e42-8a64-420c390055eb"),
    ("reader", "Reader", "acdd72a7-3385-48ef-bd42-f606fba81ae7"),
    ("serviceBusDataOwner", "Azure Service Bus Data Owner", "090c5cfd-751d-490a-894a-3ce6f1109419"),
    ("serviceBusDataReceiver", "Azure Service Bus Data Receiver", "4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0"),
    ("serviceBusDataSender", "Azure Service Bus Data Sender", "69a216fc-b8fb-44d8-bc22-1f3c2cd27a39"),
    ("storageBlobDataContributor", "Storage Blob Data Contributor", "ba92f5b4-2d11-453d-a403-e96b0029c9fe"),
    ("storageBlobDataOwner", "Storage Blob Data Owner", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"),
    ("storageQueueDataContributor", "Storage Queue Data Contributor", "974c5e8b-45b9-4653-ba55-5f855dd0fb88"),
    ("storageQueueDataMessageSender", "Storage Queue Data Message Sender", "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a"),
    ("storageQueueDataReader", "Storage Queue Data Reader", "19e7f393-937e-4f77-808e-94535e297925"),
    ("storageTableDataContributor", "Storage Table Data Contributor", "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"),
];

/// Cosmos DB Built-in Data Reader.
const COSMOS_READER: &str = "'${account.id}/sqlRoleDefinitions/00000000-0000-0000-0000-000000000001'";

/// Data actions of Cosmos DB that the handler and operators need: one for the client's start, and one per store operation.
const STATE_WRITER: [&str; 5] = [
    "Microsoft.DocumentDB/databaseAccounts/readMetadata",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/read",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/create",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/replace",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/executeQuery",
];

const HANDLER: &str = "handlerPrincipalId";
const HANDLERS: &str = "handlerPrincipalIds";
const OPERATORS: &str = "operatorPrincipalIds";
const PACKAGE: &str = "packagePrincipalId";

/// Module, role, scope and principal.
const ASSIGNMENTS: [[&str; 4]; 26] = [
    ["dead-letters", "roles.storageBlobDataContributor", "account", OPERATORS],
    ["dead-letters", "roles.storageBlobDataContributor", "account::blobs::container", HANDLER],
    ["dead-letters", "roles.storageQueueDataContributor", "account", OPERATORS],
    ["dead-letters", "roles.storageQueueDataMessageSender", "account::queues::queue", HANDLER],
    ["dead-letters", "roles.storageQueueDataReader", "account::queues::queue", HANDLER],
    ["documents", COSMOS_READER, "account.id", OPERATORS],
    ["documents", "stateWriter.id", "account.id", HANDLERS],
    ["documents", "stateWriter.id", "account.id", OPERATORS],
    ["event-hubs", "roles.eventHubsDataReceiver", "namespace", HANDLER],
    ["event-hubs", "roles.eventHubsDataSender", "namespace", "senderPrincipalIds"],
    ["host-storage", "roles.reader", "account", HANDLER],
    ["host-storage", "roles.storageBlobDataContributor", "account::blobs::checkpoints", OPERATORS],
    ["host-storage", "roles.storageBlobDataContributor", "account::blobs::packages", PACKAGE],
    ["host-storage", "roles.storageBlobDataOwner", "account", HANDLER],
    ["host-storage", "roles.storageBlobDataOwner", "account::blobs::checkpoints", HANDLER],
    ["host-storage", "roles.storageBlobDataOwner", "account::blobs::keys", HANDLER],
    ["host-storage", "roles.storageBlobDataOwner", "account::blobs::locks", HANDLER],
    ["host-storage", "roles.storageTableDataContributor", "account", HANDLER],
    ["iot-hub", "roles.iotHubRegistryContributor", "hub", OPERATORS],
    ["iot-hub", "roles.keyVaultSecretsUser", "vault", HANDLER],
    ["monitoring", "roles.logAnalyticsReader", "workspace", OPERATORS],
    ["monitoring", "roles.monitoringMetricsPublisher", "insights", HANDLER],
    ["service-bus", "roles.serviceBusDataOwner", "queue", HANDLER],
    ["service-bus", "roles.serviceBusDataReceiver", "queue", HANDLER],
    ["service-bus", "roles.serviceBusDataReceiver", "queue", OPERATORS],
    ["service-bus", "roles.serviceBusDataSender", "queue", "senderPrincipalIds"],
];

/// Assignments that depend on a parameter: module, symbol and condition.
const CONDITIONS: [[&str; 3]; 6] = [
    ["host-storage", "hostMayOwnCheckpoints", "hasContainerRoles"],
    ["host-storage", "hostMayOwnLocks", "hasContainerRoles"],
    ["host-storage", "hostMayOwnKeys", "hasContainerRoles"],
    ["host-storage", "hostMayListContainers", "hasContainerRoles"],
    ["host-storage", "hostMayOwnBlobs", "!hasContainerRoles"],
    ["service-bus", "handlerMayOwn", "handlerMayManage"],
];

#[test]
fn exactly_the_intended_roles_are_assigned() {
    assert_no_faults(&faults(&Sources::read()));
}

#[test]
fn every_role_id_that_is_misspelled_is_detected() {
    for (name, _, id) in BUILT_IN {
        let misspelled = id.replacen(&id[..1], "9", 1).replacen("-4", "-5", 1);
        assert_detected(&faults(&Sources::read().with("infra/roles.json", id, &misspelled)), name);
    }
    let changed = |file: &str, from: &str, to: &str| {
        faults(&Sources::read().with(&format!("infra/modules/{file}.bicep"), from, to))
    };
    assert_detected(&changed("documents", "000000000001'", "000000000003'"), "000000000003");
    assert_detected(&changed("documents", "items/replace", "item/replace"), "item/replace");
    assert_detected(
        &changed("host-storage", "roles.storageBlobDataOwner", "roles.storageBlobOwner"),
        "storageBlobOwner",
    );
}

#[test]
fn a_wrong_missing_too_wide_or_misassigned_role_is_detected() {
    let changed = |file: &str, from: &str, to: &str| {
        faults(&Sources::read().with(&format!("infra/modules/{file}.bicep"), from, to))
    };
    assert_detected(&changed("event-hubs", "roles.eventHubsDataReceiver", "roles.eventHubsDataSender"), "Receiver");
    assert_detected(&changed("dead-letters", "scope: account::queues::queue", "scope: account"), "MessageSender");
    assert_detected(&changed("service-bus", "scope: queue", "scope: namespace"), "serviceBusDataReceiver");
    assert_detected(&changed("service-bus", "roles.serviceBusDataSender", "roles.serviceBusDataReceiver"), "Sender");
    assert_detected(&changed("documents", "stateWriter.id", COSMOS_READER), "stateWriter.id");
    assert_detected(&changed("event-hubs", "in senderPrincipalIds", "in [handlerPrincipalId]"), "senderPrincipalIds");
    assert_detected(
        &changed(
            "host-storage",
            "resource hostMayOwnBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01'",
            "resource hostMayOwnBlobs 'Microsoft.Authorization/roleAssignments@2022-04-01' existing",
        ),
        "storageBlobDataOwner",
    );
    assert_detected(
        &changed("host-storage", "scope: account::blobs::checkpoints", "scope: account"),
        "account::blobs::checkpoints",
    );
    assert_detected(
        &changed("documents", "in handlerPrincipalIds", "in [handlerPrincipalIds[0]]"),
        "handlerPrincipalIds",
    );
    assert_detected(&changed("host-storage", "guid(account::blobs::keys.id,", "guid(account.id,"), "hostMayOwnKeys");
    for (file, from, to, word) in [
        ("modules/region", "handlerPrincipalId: principalId", "handlerPrincipalId: clientId", "handlerPrincipalId"),
        ("modules/region", "operatorPrincipalIds: operator", "operatorPrincipalIds: sender", "operatorPrincipalIds"),
        (
            "main",
            "principalId: identities[index].properties.p",
            "principalId: identities[0].properties.p",
            "principalId",
        ),
        ("main", "clientId: identities[index]", "clientId: identities[0]", "clientId"),
        ("main", "range(0, length(regions))", "range(0, 1)", "handlerPrincipalIds"),
    ] {
        assert_detected(&faults(&Sources::read().with_template(file, from, to)), word);
    }
}

#[test]
fn each_assignment_with_a_wider_scope_another_principal_another_role_or_another_condition_is_detected() {
    let changes = assert_each_change_is_detected(&Sources::read(), widened, assignment_faults);
    // Of each, at least two wider scopes, another principal and another role.
    assert!(changes >= 4 * ASSIGNMENTS.len(), "{changes}");
}

/// Returns the declarations of an assignment that allows more, or allows it to others.
fn widened(resource: &Resource) -> Vec<String> {
    let Some([role, scope, principal]) = assignment(resource, &mut Vec::new()) else { return Vec::new() };
    let with = |from: &str, to: &str| {
        assert!(resource.source.contains(from), "{} does not contain {from:?}", resource.symbol);
        resource.source.replace(from, to)
    };
    let line = format!("scope: {scope}\n");
    // Without a scope it would be the resource group.
    let mut changed = vec![with(&line, "\n"), with(&line, "scope: resourceGroup()\n")];
    let wider = scope.match_indices("::").map(|(end, _)| with(&line, &format!("scope: {}\n", &scope[..end])));
    changed.extend(wider);
    let stronger = match role.as_str() {
        COSMOS_READER | "stateWriter.id" => "'${account.id}/sqlRoleDefinitions/00000000-0000-0000-0000-000000000002'",
        "roles.storageBlobDataOwner" => "roles.storageTableDataContributor",
        _ => "roles.storageBlobDataOwner",
    };
    changed.push(with(&role, stronger));
    changed.push(match &resource.loop_source {
        Some(principals) => with(&format!("in {principals}:"), &format!("in concat({principals}, ['someone']):")),
        None => with(&format!("principalId: {principal}\n"), "principalId: someoneElse\n"),
    });
    if let Some(condition) = &resource.condition {
        changed.push(with(&format!("= if ({condition}) "), "= "));
        changed.push(with(&format!("= if ({condition}) "), "= if (true) "));
    }
    changed
}

#[test]
fn the_document_names_every_role() {
    let document = include_str!("../../../docs/operate/deploy.md");
    for (_, name, _) in BUILT_IN {
        assert!(document.contains(name.trim_start_matches("Azure ")), "docs/operate/deploy.md does not name {name}");
    }
}

fn faults(sources: &Sources) -> Vec<String> {
    let mut faults = Vec::new();
    let file = sources.json("infra/roles.json");
    let to_source: Vec<(&str, Option<&str>)> =
        file.as_object().expect("roles").iter().map(|(name, id)| (name.as_str(), id.as_str())).collect();
    let known = BUILT_IN.map(|(name, _, id)| (name, Some(id)));
    faults.extend(
        to_source
            .iter()
            .filter(|role| !known.contains(role))
            .map(|role| format!("infra/roles.json: {role:?} is not a role")),
    );

    let templates = sources.templates();
    faults.extend(assignment_faults(&templates));
    faults.extend(templates.iter().flat_map(principal_faults));

    let actions = templates.iter().flat_map(|template| &template.resources).find_map(|resource| {
        let is_role = resource.type_name.contains("/sqlRoleDefinitions@");
        is_role.then(|| resource.body.at("properties.permissions").cloned()).flatten()
    });
    let list = Value::List(STATE_WRITER.map(|action| Value::Text(action.into())).to_vec());
    let permission = Value::List(vec![Value::Object(vec![("dataActions".into(), list)])]);
    if actions.as_ref() != Some(&permission) {
        faults.push(format!("the actions of the state writer are {actions:?}"));
    }
    faults
}

/// Returns the assignments that are not as listed.
fn assignment_faults(templates: &[Template]) -> Vec<String> {
    let mut faults = Vec::new();
    let mut assigned: Vec<[String; 4]> = Vec::new();
    for template in templates {
        let module = template.name().to_owned();
        for resource in template.resources.iter().filter(|resource| !resource.is_existing) {
            let Some([role, scope, principal]) = assignment(resource, &mut faults) else { continue };
            let condition = CONDITIONS.iter().find(|[file, symbol, _]| *file == module && *symbol == resource.symbol);
            let condition = condition.map(|[_, _, condition]| *condition);
            if resource.condition.as_deref() != condition {
                faults.push(format!(
                    "{module}: the condition of {} is {:?}, but must be {condition:?}",
                    resource.symbol, resource.condition
                ));
            }
            let principal = resource.loop_source.clone().unwrap_or(principal);
            assigned.push([module.clone(), role, scope, principal]);
        }
    }
    let expected: Vec<[String; 4]> = ASSIGNMENTS.iter().map(|row| row.map(str::to_owned)).collect();
    faults.extend(
        assigned.iter().filter(|row| !expected.contains(row)).map(|row| format!("assigned, but not intended: {row:?}")),
    );
    faults.extend(
        expected.iter().filter(|row| !assigned.contains(row)).map(|row| format!("intended, but not assigned: {row:?}")),
    );
    faults
}

/// Returns the intended assignments of a template.
pub(super) fn intended(template: &Template) -> usize {
    ASSIGNMENTS.iter().filter(|[own, ..]| *own == template.name()).count()
}

/// Returns role, scope and principal of an assignment.
pub(crate) fn assignment(resource: &Resource, faults: &mut Vec<String>) -> Option<[String; 3]> {
    let body = |path: &str| match resource.body.at(path) {
        Some(Value::Other(text)) => text.clone(),
        other => format!("{other:?}"),
    };
    if resource.type_name.contains("/sqlRoleAssignments@") {
        return Some([body("properties.roleDefinitionId"), body("properties.scope"), body("properties.principalId")]);
    }
    if !resource.type_name.starts_with("Microsoft.Authorization/roleAssignments@") {
        return None;
    }
    // The same role in the name and in the assignment: otherwise a second deployment would be rejected.
    let role = |path: &str| match resource.body.at(path) {
        Some(Value::Call(_, arguments)) => match arguments.last() {
            Some(Value::Other(role)) => role.clone(),
            other => format!("{other:?}"),
        },
        other => format!("{other:?}"),
    };
    let (in_name, assigned) = (role("name"), role("properties.roleDefinitionId"));
    if in_name != assigned {
        faults.push(format!("{}: its name is derived from {in_name}, but it assigns {assigned}", resource.symbol));
    }
    let [scope, principal] = [body("scope"), body("properties.principalId")];
    // Two assignments of one name would be one.
    let name = resource.body.get("name").map(to_source).unwrap_or_default();
    if name != format!("guid({scope}.id, {principal}, {in_name})") {
        faults.push(format!("{}: its name {name} is not derived from {scope} and {principal}", resource.symbol));
    }
    Some([assigned, scope, principal])
}

/// Returns the faults of the principals that the modules get: each region its own, the documents all of them.
fn principal_faults(template: &Template) -> Vec<String> {
    let in_main = template.path.ends_with("main.bicep");
    let expected = |module: &str, param: &str| match param {
        HANDLER if module == "iotHub" => Some("identities[0].properties.principalId"),
        HANDLER => Some("principalId"),
        PACKAGE if in_main => Some("packageIdentities[index].properties.principalId"),
        PACKAGE => Some(PACKAGE),
        HANDLERS => Some("[for range(0, length(regions)): identities[index].properties.principalId]"),
        "identityId" if in_main => Some("identities[index].id"),
        "principalId" => Some("identities[index].properties.principalId"),
        "clientId" => Some("identities[index].properties.clientId"),
        "identityId" => Some("identityId"),
        // rejected_values.rs evaluates what main.bicep passes to the documents.
        OPERATORS if in_main && module == "documents" => None,
        OPERATORS if in_main => Some("operators"),
        "senderPrincipalIds" if in_main => Some("senders"),
        OPERATORS => Some(OPERATORS),
        "senderPrincipalIds" => Some("senderPrincipalIds"),
        _ => None,
    };
    let set = template.modules.iter().flat_map(|module| {
        module.params.properties().iter().map(move |(name, value)| (module.symbol.as_str(), name, to_source(value)))
    });
    set.filter_map(|(module, name, value)| {
        let expected = expected(module, name)?;
        (value != expected).then(|| format!("{module} gets {value} as {name}, but must get {expected}"))
    })
    .collect()
}
