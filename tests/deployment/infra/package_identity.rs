//! The published packages: only their own identity reads and writes them, and only publishing uses that identity.

use super::{
    bicep::{Resource, Template, to_source},
    changes::assert_each_change_is_detected,
    expected::find_template,
    roles::assignment,
    sources::{Sources, assert_detected, assert_no_faults},
};

/// Modules that get the identity, with what they get.
const MODULES: [[&str; 4]; 4] = [
    ["main", "region", "packageIdentityId", "packageIdentities[index].id"],
    ["main", "region", "packagePrincipalId", "packageIdentities[index].properties.principalId"],
    ["region", "hostStorage", "packagePrincipalId", "packagePrincipalId"],
    ["region", "functionApp", "packageIdentityId", "packageIdentityId"],
];

/// Resources that name it, with how often: the role names its principal twice, and the app assigns it and publishes with it.
const RESOURCES: [(&str, &str, usize); 2] = [("host-storage", "packagesMayBePublished", 2), ("function-app", "app", 2)];

/// Roles on blobs, the scopes of the host's own, and the scopes that include the packages.
const BLOB_ROLES: [&str; 2] = ["roles.storageBlobDataContributor", "roles.storageBlobDataOwner"];
const HOST_SCOPES: [&str; 3] = ["account::blobs::checkpoints", "account::blobs::keys", "account::blobs::locks"];
const SCOPES_WITH_PACKAGES: [&str; 3] = ["account", "account::blobs", "account::blobs::packages"];

#[test]
fn by_default_only_an_identity_for_publishing_reads_and_writes_the_packages() {
    assert_no_faults(&faults(&Sources::read()));
}

#[test]
fn another_use_of_that_identity_and_another_identity_on_the_packages_are_detected() {
    for (file, from, to, word) in [
        ("main", "packageIdentities[index].id", "identities[index].id", "packageIdentityId"),
        ("main", "packageIdentities[index].properties", "packageIdentities[0].properties", "packagePrincipalId"),
        ("main", "clientId: identities[index]", "clientId: packageIdentities[index]", "clientId"),
        (
            "main",
            "[for index in range(0, length(regions)): identities",
            "[for index in range(0, length(regions)): packageIdentities",
            "handlerPrincipalIds",
        ),
        ("main", "id-devicestate-package-", "id-devicestate-", "same name"),
        (
            "main",
            "param hostStorageRoles string = 'containers'",
            "param hostStorageRoles string = 'account'",
            "hostMayOwnBlobs",
        ),
        ("main", "hostStorageRoles: hostStorageRoles", "hostStorageRoles: 'account'", "hostStorageRoles"),
        ("modules/region", "hostStorageRoles: hostStorageRoles", "hostStorageRoles: 'account'", "hostStorageRoles"),
        ("modules/region", "packagePrincipalId: packagePrincipalId", "packagePrincipalId: principalId", "hostStorage"),
        (
            "modules/region",
            "AzureWebJobsStorage__clientId: clientId",
            "AzureWebJobsStorage__clientId: packageIdentityId",
            "appSettings",
        ),
        ("modules/host-storage", "= if (!hasContainerRoles)", "=", "hostMayOwnBlobs"),
        ("modules/host-storage", "== 'containers'", "!= 'containers'", "hasContainerRoles"),
        ("modules/host-storage", "scope: account::blobs::keys", "scope: account::blobs::packages", "hostMayOwnKeys"),
        ("modules/host-storage", "scope: account::blobs::keys", "scope: account", "hostMayOwnKeys"),
        ("modules/host-storage", "name: 'packages'", "name: 'azure-webjobs-secrets'", "same name"),
        (
            "modules/function-app",
            "keyVaultReferenceIdentity: identityId",
            "keyVaultReferenceIdentity: packageIdentityId",
            "app",
        ),
        ("modules/function-app", "ResourceId: packageIdentityId", "ResourceId: identityId", "app"),
    ] {
        assert_detected(&faults(&Sources::read().with_template(file, from, to)), word);
    }
}

#[test]
fn each_role_of_the_handler_that_would_include_the_packages_is_detected() {
    let on_packages = |resource: &Resource| {
        let assignment = assignment(resource, &mut Vec::new());
        let Some(scope) = assignment.map(|[_, scope, _]| scope).filter(|scope| HOST_SCOPES.contains(&scope.as_str()))
        else {
            return Vec::new();
        };
        let with = |wider: &str| resource.source.replace(&format!("scope: {scope}\n"), &format!("scope: {wider}\n"));
        if resource.source.contains("handlerPrincipalId") {
            SCOPES_WITH_PACKAGES.map(with).to_vec()
        } else {
            Vec::new()
        }
    };
    let changes = assert_each_change_is_detected(&Sources::read(), on_packages, handler_faults);
    assert_eq!(changes, HOST_SCOPES.len() * SCOPES_WITH_PACKAGES.len());
}

fn faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let mut faults = handler_faults(&templates);
    for template in &templates {
        let name = template.name();
        for module in &template.modules {
            for (param, value) in module.params.properties() {
                let value = to_source(value);
                let expected = MODULES.iter().find(|row| row[..3] == [name, module.symbol.as_str(), param.as_str()]);
                let expected = expected.map(|row| row[3]);
                let names_it = value.contains("packageIdentit") || value.contains("packagePrincipalId");
                if expected.map_or(names_it, |expected| value != expected) {
                    faults.push(format!("{name}: {} gets {value} as {param}, not {expected:?}", module.symbol));
                }
                if param == "hostStorageRoles" && value != "hostStorageRoles" {
                    faults.push(format!("{name}: {} gets {value} as hostStorageRoles", module.symbol));
                }
            }
        }
        for resource in &template.resources {
            let source = resource.source.as_str();
            let uses = source.matches("packageIdentityId").count() + source.matches("packagePrincipalId").count();
            let expected = RESOURCES.iter().find(|(module, symbol, _)| *module == name && *symbol == resource.symbol);
            let expected = expected.map_or(0, |(_, _, uses)| *uses);
            if uses != expected {
                faults.push(format!("{name}: {} names the identity of the packages {uses} times", resource.symbol));
            }
        }
        faults.extend(same_names(template));
    }
    let app = find_template(&templates, "function-app");
    let app = app.resources.iter().find(|resource| resource.symbol == "app").expect("the app");
    let storage = app.body.at("properties.functionAppConfig.deployment.storage.authentication");
    let expected = "{type: 'UserAssignedIdentity', userAssignedIdentityResourceId: packageIdentityId}";
    let value = storage.map(to_source);
    if value.as_deref() != Some(expected) {
        faults.push(format!("function-app: the app publishes with {value:?}, not {expected}"));
    }
    let identity = app.body.get("identity").map(to_source);
    let expected = "{type: 'UserAssigned', userAssignedIdentities: {'${identityId}': {}, '${packageIdentityId}': {}}}";
    if identity.as_deref() != Some(expected) {
        faults.push(format!("function-app: the app has the identities {identity:?}, not {expected}"));
    }
    faults
}

/// Returns the roles that give the handler the packages, unless a parameter asks for that.
fn handler_faults(templates: &[Template]) -> Vec<String> {
    let mut faults = Vec::new();
    let main = &templates[0];
    let default = main.param("hostStorageRoles");
    let default = default.and_then(|param| param.default.as_ref()?.text()).expect("a default").to_owned();
    let storage = find_template(templates, "host-storage");
    let has_container_roles = storage.variable("hasContainerRoles").map(to_source).unwrap_or_default();
    if has_container_roles != "hostStorageRoles == 'containers'" {
        faults.push(format!("host-storage: hasContainerRoles is {has_container_roles}"));
    }
    let has_container_roles = default == "containers";
    for resource in &storage.resources {
        let Some([role, scope, principal]) = assignment(resource, &mut Vec::new()) else { continue };
        let is_deployed = match resource.condition.as_deref() {
            Some("hasContainerRoles") => has_container_roles,
            Some("!hasContainerRoles") => !has_container_roles,
            _ => true,
        };
        let includes_packages = BLOB_ROLES.contains(&role.as_str()) && SCOPES_WITH_PACKAGES.contains(&scope.as_str());
        if is_deployed && includes_packages && principal == "handlerPrincipalId" {
            faults.push(format!("host-storage: {} gives the handler the packages: {role} on {scope}", resource.symbol));
        }
    }
    faults
}

/// Returns identities and containers of one name: one resource would be both.
fn same_names(template: &Template) -> Vec<String> {
    let of_type = |resource: &&Resource| {
        ["/userAssignedIdentities@", "/containers@"].iter().any(|part| resource.type_name.contains(part))
    };
    let mut names: Vec<String> =
        template.resources.iter().filter(of_type).filter_map(|own| own.body.get("name").map(to_source)).collect();
    names.sort();
    let repeated = names.windows(2).filter(|pair| pair[0] == pair[1]);
    repeated.map(|pair| format!("{}: two resources have the same name {}", template.name(), pair[0])).collect()
}
