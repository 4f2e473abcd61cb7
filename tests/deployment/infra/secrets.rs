//! No app setting can hold a secret: a preview of a deployment shows them all. A secret must be a Key Vault reference.

use super::{
    bicep::{Template, Value, to_source},
    expected::find_template,
    sources::{Sources, assert_detected, assert_no_faults},
};

/// Properties of resources that an output may have. The connection string of Application Insights has a key, which is not
/// sufficient to write to it.
const PUBLIC_PROPERTIES: [&str; 7] = [
    "ConnectionString",
    "documentEndpoint",
    "eventHubEndpoints.events.path",
    "primaryEndpoints.blob",
    "primaryEndpoints.queue",
    "primaryEndpoints.table",
    "secretUri",
];

#[test]
fn no_app_setting_can_hold_a_secret() {
    assert_no_faults(&faults(&Sources::read()));
}

#[test]
fn an_app_setting_that_can_hold_a_secret_is_detected() {
    let keys = "account.listKeys().keys[0].value";
    for (file, from, to, words) in [
        (
            "main",
            "InvocationBudget: invocationBudget",
            "InvocationBudget: listKeys('a', '1').primaryKey",
            "InvocationBudget",
        ),
        ("main", "StateStore: 'cosmos'", "StateStore: 'AccountKey=c2VjcmV0'", "StateStore"),
        ("main", "@description('The log level", "@secure()\n@description('The log level", "LogLevel"),
        (
            "main",
            "@Microsoft.KeyVault(SecretUri=${iotHub.?outputs.connectionSecretUri ?? ''})",
            "${iotHub.?outputs.key ?? ''}",
            "key",
        ),
        (
            "main",
            "@description('For staging: the id",
            "@secure()\n@description('For staging: the id",
            "RetryDrillDevice",
        ),
        ("modules/dead-letters", "account.properties.primaryEndpoints.queue", keys, "queueServiceUri"),
        ("modules/documents", "account.properties.documentEndpoint", keys, "CosmosConnection__accountEndpoint"),
        (
            "modules/monitoring",
            "insights.properties.ConnectionString",
            "insights.properties.InstrumentationKey",
            "CONNECTION",
        ),
        (
            "modules/region",
            "SessionQueueName: sessionQueueName",
            "SessionQueueName: plan.properties.name",
            "SessionQueueName",
        ),
    ] {
        assert_detected(&faults(&Sources::read().with_template(file, from, to)), words);
    }
}

fn faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let main = &templates[0];
    let region = find_template(&templates, "region");
    let mut faults = Vec::new();
    for (template, module, param) in [(main, "region", "settings"), (region, "functionApp", "appSettings")] {
        let module = template.module(module).expect("a module");
        let mut settings = Vec::new();
        collect(template, module.params.get(param).expect("settings"), &mut settings);
        assert!(settings.len() > 10, "{param}: {settings:?}");
        for (name, value) in settings {
            let reason = secret(&templates, template, &to_source(value));
            faults.extend(reason.map(|reason| format!("{name} can hold a secret: {reason}")));
        }
    }
    faults
}

/// Collects the settings of an expression, in each branch of its conditions.
fn collect<'a>(template: &'a Template, value: &'a Value, into: &mut Vec<(&'a str, &'a Value)>) {
    match value {
        Value::Object(settings) => into.extend(settings.iter().map(|(name, value)| (name.as_str(), value))),
        Value::Call(_, parts) | Value::Either(_, parts) => parts.iter().for_each(|part| collect(template, part, into)),
        // What a module is given is checked where it is given.
        Value::Other(name) => {
            if let Some(value) = template.variable(name) {
                collect(template, value, into);
            }
        }
        other => panic!("not settings: {other:?}"),
    }
}

/// Returns why the value of an expression can be a secret: a key, a secret parameter, or a property that is not known as public.
fn secret(templates: &[Template], template: &Template, expression: &str) -> Option<String> {
    if let Some(word) =
        ["listKeys", "getSecret", "Key=", "Password="].into_iter().find(|word| expression.contains(word))
    {
        return Some(word.to_owned());
    }
    let paths = expression.split(|letter: char| !(letter.is_alphanumeric() || "_.?:".contains(letter)));
    paths.filter(|path| path.starts_with(char::is_alphabetic)).find_map(|path| {
        let path = path.replace('?', "");
        let (name, rest) = path.split_once('.').unwrap_or((&path, ""));
        if template.param(name).is_some_and(|param| param.is_secure) {
            return Some(format!("{name} is @secure()"));
        }
        if let Some(variable) = template.variable(name) {
            return secret(templates, template, &to_source(variable));
        }
        if let Some(output) = rest.strip_prefix("outputs.") {
            let module = template.module(name)?;
            let target = templates.iter().find(|template| template.path == module.path)?;
            let value = target.outputs.iter().find(|(name, _)| name == output).map(|(_, value)| to_source(value));
            return value.map_or(Some(format!("{path} is unknown")), |value| secret(templates, target, &value));
        }
        let property = rest.strip_prefix("properties.")?;
        (!PUBLIC_PROPERTIES.contains(&property)).then(|| format!("{path} is not known as public"))
    })
}
