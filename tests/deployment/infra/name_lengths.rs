//! The lengths of names: a service rejects a longer one only in the middle of a deployment.

use super::{
    bicep::{Resource, to_source},
    sources::{Sources, assert_detected, assert_no_faults},
};

/// The longest names of Azure's resource types, by Microsoft's naming rules.
const LONGEST: [(&str, usize); 13] = [
    ("Microsoft.Devices/IotHubs", 50),
    ("Microsoft.DocumentDB/databaseAccounts", 44),
    ("Microsoft.Insights/actionGroups", 260),
    ("Microsoft.Insights/components", 260),
    ("Microsoft.Insights/scheduledQueryRules", 260),
    ("Microsoft.KeyVault/vaults", 24),
    ("Microsoft.ManagedIdentity/userAssignedIdentities", 128),
    ("Microsoft.Network/virtualNetworks", 64),
    ("Microsoft.OperationalInsights/workspaces", 63),
    ("Microsoft.ServiceBus/namespaces", 50),
    (STORAGE, 24),
    ("Microsoft.Web/serverfarms", 60),
    ("Microsoft.Web/sites", 60),
];

/// Its names have only lower-case letters and digits.
const STORAGE: &str = "Microsoft.Storage/storageAccounts";

/// The longest texts of the parts of names; `uniqueString` returns 13 characters.
const PARTS: [(&str, &str); 4] = [
    ("${token}", "abcdefghijklm"),
    ("${place.token}", "abcdefghijklm"),
    ("${firstToken}", "abcdefghijklm"),
    ("${alert.name}", "dead-letters-expiring"),
];

#[test]
fn no_name_is_longer_than_its_service_allows() {
    assert_no_faults(&faults(&Sources::read()));
    let long_identity = format!("'id-{}-", "devicestate-".repeat(10));
    for (file, from, to, word) in [
        ("main", "'id-devicestate-package-", long_identity.as_str(), "userAssignedIdentities"),
        ("main", "'cosmos-devicestate-", "'cosmos-devicestate-with-all-documents-", "databaseAccounts"),
        ("modules/region", "'sthost${token}'", "'sthost-${token}'", "storageAccounts"),
        ("modules/region", "'stdead${token}'", "'stdeadletters${token}'", "storageAccounts"),
        ("modules/iot-hub", "'kv-${token}'", "'kv-devicestate-${token}'", "vaults"),
        ("modules/function-app", "'func-devicestate-${token}'", "'func-${location}-${token}'", "sites"),
    ] {
        assert_detected(&faults(&Sources::read().with_template(file, from, to)), word);
    }
}

fn faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let variable = |name: String| templates.iter().find_map(|own| own.variable(&name)).map_or(name, to_source);
    let mut faults = Vec::new();
    for template in &templates {
        let of_type = |resource: &Resource| {
            let own = resource.type_name.split('@').next().unwrap_or_default();
            let (type_name, longest) = LONGEST.iter().find(|(name, _)| *name == own)?;
            Some((*type_name, *longest, to_source(resource.body.get("name")?)))
        };
        let new = template.resources.iter().filter(|resource| !resource.is_existing);
        for (type_name, longest, name) in new.filter_map(of_type) {
            // A module gets its name from its caller.
            let calls = templates.iter().flat_map(|own| &own.modules).filter(|call| call.path == template.path);
            let passed = calls.filter_map(|call| call.params.get(&name)).map(to_source).map(variable);
            let names: Vec<String> = if name.starts_with('\'') { vec![name] } else { passed.collect() };
            let is_valid = |name: &String| {
                let parts = PARTS.iter().fold(name.clone(), |name, (part, text)| name.replace(part, text));
                let Some(text) = parts.strip_prefix('\'').and_then(|text| text.strip_suffix('\'')) else {
                    return false;
                };
                let is_plain = text.chars().all(|letter| letter.is_ascii_digit() || letter.is_ascii_lowercase());
                !text.contains("${") && text.len() <= longest && (type_name != STORAGE || is_plain)
            };
            if names.is_empty() || !names.iter().all(is_valid) {
                faults.push(format!("{type_name}: {names:?} may be longer than {longest}, or invalid"));
            }
        }
    }
    faults
}
