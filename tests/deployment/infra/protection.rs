//! What protects a resource: TLS, no keys, no public access in a private network, no deletion for good. Azure's own types say
//! which resources have such a property.

use serde_json::Value as Json;

use super::{
    bicep::{Resource, Template, to_source},
    changes::assert_each_change_is_detected,
    sources::{Sources, assert_detected, assert_no_faults},
};

/// Only a private endpoint reaches a resource that has one.
const PRIVATE: &str = "isPrivate ? 'Disabled' : 'Enabled'";

/// Properties by their names in Azure's types, with the only allowed values. A resource whose type has one must set it.
const PROTECTIONS: [(&str, &[&str]); 16] = [
    ("DisableLocalAuth", &["true"]),
    ("allowBlobPublicAccess", &["false"]),
    ("allowSharedKeyAccess", &["false"]),
    ("defaultToOAuthAuthentication", &["true"]),
    ("disableKeyBasedMetadataWriteAccess", &["true"]),
    ("disableLocalAuth", &["true"]),
    ("enablePurgeProtection", &["true"]),
    ("enableRbacAuthorization", &["true"]),
    ("enableSoftDelete", &["true"]),
    ("httpsOnly", &["true"]),
    ("minTlsVersion", &["'1.2'", "'1.3'"]),
    ("minimalTlsVersion", &["'Tls12'"]),
    ("minimumTlsVersion", &["'1.2'", "'TLS1_2'", "'TLS1_3'"]),
    ("publicNetworkAccess", &[PRIVATE]),
    ("scmMinTlsVersion", &["'1.2'", "'1.3'"]),
    ("supportsHttpsTrafficOnly", &["true"]),
];

/// Properties that are not set: type, path and reason.
const NOT_SET: [[&str; 3]; 4] = [
    ["Microsoft.Devices/IotHubs", "properties.disableLocalAuth", "the built-in endpoint supports only a key"],
    [
        "Microsoft.OperationalInsights/workspaces",
        "properties.features.disableLocalAuth",
        "its key can only add logs, and no role here allows reading it; not tried with Application Insights",
    ],
    ["Microsoft.Web/sites", "properties.siteConfig.publicNetworkAccess", "the property of the app itself decides"],
    [
        "Microsoft.Web/sites",
        "properties.siteConfig.scmMinTlsVersion",
        "the service's default is 1.2; not known whether Flex Consumption takes the property",
    ],
];

/// Values of the whole declaration: module, resource, path and value.
const VALUES: [[&str; 4]; 2] = [
    ["function-app", "app", "identity.type", "'UserAssigned'"],
    ["iot-hub", "vault", "properties.networkAcls.defaultAction", "isPrivate ? 'Deny' : 'Allow'"],
];

#[test]
fn every_resource_requires_tls_and_identities_and_is_closed_in_a_private_network() {
    assert_no_faults(&faults(&Sources::read().templates()));
}

#[test]
fn each_protection_that_a_resource_loses_is_detected() {
    let types = types();
    let lost = |resource: &Resource| {
        let required = required(resource, &types).into_iter().filter(|(path, _)| resource.body.at(path).is_some());
        let lost = required.flat_map(|(path, _)| {
            let name = path.rsplit('.').next().expect("a name");
            let set = format!("{name}: {}", to_source(resource.body.at(&path).expect("a value")));
            assert_eq!(resource.source.matches(&set).count(), 1, "{}: {set}", resource.symbol);
            let weaker = match set.rsplit(' ').next() {
                Some("true") => format!("{name}: false"),
                Some("false") => format!("{name}: true"),
                _ if name.contains("Tls") => format!("{name}: '1.0'"),
                _ => format!("{name}: 'Enabled'"),
            };
            [resource.source.replace(&set, ""), resource.source.replace(&set, &weaker)]
        });
        lost.collect()
    };
    let changes = assert_each_change_is_detected(&Sources::read(), lost, faults);
    assert!(changes > 2 * PROTECTIONS.len(), "{changes}");
}

#[test]
fn another_meaning_of_private_and_another_identity_are_detected() {
    for (file, from, to, word) in [
        ("documents", "isPrivate = !empty(endpointSubnetId)", "isPrivate = empty(endpointSubnetId)", "isPrivate"),
        ("function-app", "type: 'UserAssigned'\n", "type: 'SystemAssigned'\n", "identity.type"),
        ("iot-hub", "isPrivate ? 'Deny' : 'Allow'", "'Allow'", "defaultAction"),
    ] {
        let sources = Sources::read().with(&format!("infra/modules/{file}.bicep"), from, to);
        assert_detected(&faults(&sources.templates()), word);
    }
}

/// Returns Azure's types.
fn types() -> Json {
    serde_json::from_str(include_str!("resource-types.json")).expect("JSON")
}

/// Returns the properties that this resource must set, as paths with their allowed values.
fn required(resource: &Resource, types: &Json) -> Vec<(String, &'static [&'static str])> {
    let mut found = Vec::new();
    collect(&types[&resource.type_name], "", &mut found);
    let own = resource.type_name.split('@').next().unwrap_or_default();
    let is_exception = |path: &str| NOT_SET.iter().any(|row| row[0] == own && row[1] == path);
    found.into_iter().filter(|(path, _)| !is_exception(path)).collect()
}

/// Collects the protections of a type; properties of lists are not those of the resource itself.
fn collect(shape: &Json, path: &str, found: &mut Vec<(String, &'static [&'static str])>) {
    for (name, shape) in shape["of"].as_object().into_iter().flatten() {
        let path = if path.is_empty() { name.clone() } else { format!("{path}.{name}") };
        if let Some((_, allowed)) = PROTECTIONS.iter().find(|(own, _)| own == name) {
            found.push((path.clone(), allowed));
        }
        collect(shape, &path, found);
    }
}

fn faults(templates: &[Template]) -> Vec<String> {
    let types = types();
    let mut faults = Vec::new();
    for template in templates {
        let module = template.name();
        for resource in template.resources.iter().filter(|resource| !resource.is_existing) {
            let mut expect = |path: &str, allowed: &[&str]| {
                let value = resource.body.at(path).map(to_source);
                if !value.as_deref().is_some_and(|value| allowed.contains(&value)) {
                    let symbol = &resource.symbol;
                    faults.push(format!("{module}: {path} of {symbol} is {value:?}, but must be one of {allowed:?}"));
                }
            };
            for (path, allowed) in required(resource, &types) {
                expect(&path, allowed);
            }
            for [_, _, path, value] in VALUES.iter().filter(|row| row[..2] == [module, resource.symbol.as_str()]) {
                expect(path, &[value]);
            }
        }
        let is_private = template.variable("isPrivate").map(to_source);
        if is_private.as_deref().is_some_and(|value| value != "!empty(endpointSubnetId)") {
            faults
                .push(format!("{module}: isPrivate is {is_private:?}, but must be whether it has a private endpoint"));
        }
    }
    faults
}

/// A reason that no longer applies would hide a property that is lost.
#[test]
fn every_property_that_is_not_set_is_one_of_a_resource() {
    let types = types();
    let templates = Sources::read().templates();
    let used: Vec<&str> =
        templates.iter().flat_map(|template| &template.resources).map(|own| own.type_name.as_str()).collect();
    for [name, path, reason] in NOT_SET {
        let versions = types
            .as_object()
            .expect("types")
            .iter()
            .filter(|(own, _)| own.split('@').next() == Some(name) && used.contains(&own.as_str()));
        let mut found = Vec::new();
        versions.for_each(|(_, shape)| collect(shape, "", &mut found));
        assert!(found.iter().any(|(own, _)| own == path), "{name} has no {path} ({reason})");
    }
}
