//! Every parameter is a setting of azd's environment, in infra/main.parameters.json.
//!
//! What azd makes of the file is modelled on azd 1.31 (cli/azd/pkg/infra/provisioning/bicep/bicep_provider.go, and
//! drone/envsubst 1.0.3). Whole arrays need azd 1.23.4, which azure.yaml requires.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{
    bicep::{Param, Value, to_source},
    evaluate::Deployment,
    sources::{Sources, assert_detected, assert_no_faults},
};

const FILE: &str = "infra/main.parameters.json";

/// Settings that azd itself sets.
const OWN_SETTINGS: [(&str, &str); 2] = [("environmentName", "AZURE_ENV_NAME"), ("location", "AZURE_LOCATION")];

type Environment = BTreeMap<String, String>;

#[test]
fn every_parameter_is_a_setting_of_azd_with_the_default_of_the_template() {
    assert_no_faults(&faults(&Sources::read()));
}

#[test]
fn a_setting_that_azd_would_not_pass_on_is_detected() {
    for (from, to, words) in [
        ("\"eventSource\"", "\"eventSorce\"", "eventSorce is not a parameter"),
        ("\"eventSource\"", "\"eventSorce\"", "eventSource is not in the file"),
        ("DEVICESTATE_SESSIONS=", "DEVICESTATE_SESSION=", "sessions"),
        ("MEMORY_MB=2048", "MEMORY_MB=4096", "instanceMemoryMB"),
        ("ALERT_EMAILS=[]", "ALERT_EMAILS=", "alertEmails"),
        ("\"${DEVICESTATE_ALERT_EMAILS=[]}\"", "[\"${DEVICESTATE_ALERT_EMAILS}\"]", "alertEmails"),
        ("\\\"/SilentSince/?\\\"", "\\\"/SilentSince\\\"", "cosmosIndexedPaths"),
        ("[\\\"/Heard/?\\\",", "[/Heard/?,", "cosmosIndexedPaths"),
        ("ZONE_REDUNDANT_DOCUMENTS}", "ZONE_REDUNDANT_DOCUMENTS=true}", "zoneRedundantDocuments"),
        ("QUOTA_GB=-1", "QUOTA_GB=none", "logDailyQuotaGB"),
        ("HEARD_EVERY=00:05:00", "HEARD_EVERY=", "heardEvery"),
    ] {
        assert_detected(&faults(&Sources::read().with(FILE, from, to)), words);
    }
}

fn faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let template = &templates[0];
    let file = sources.json(FILE);
    let file = file["parameters"].as_object().expect("parameters");
    let mut faults: Vec<String> = file
        .keys()
        .filter(|name| template.param(name).is_none())
        .map(|name| format!("{name} is not a parameter of infra/main.bicep"))
        .collect();
    for param in &template.params {
        let name = &param.name;
        let Some(entry) = file.get(name) else {
            faults.push(format!("{name} is not in the file"));
            continue;
        };
        let setting = setting(name);
        let with = |value: Option<&str>| {
            passed_on(param, entry, &value.map(|value| (setting.clone(), value.into())).into_iter().collect())
        };
        let mut expect = |value: Option<&str>, expected: Option<Json>| {
            let result = with(value);
            if result != Ok(expected.clone()) {
                faults
                    .push(format!("{name}: with {setting} {value:?} azd passes on {result:?}, but must {expected:?}"));
            }
        };
        if OWN_SETTINGS.iter().all(|(own, _)| own != name) {
            let default = param.default.as_ref().expect("a default");
            let literal = Deployment::new(&templates, []).evaluate(default).expect("a value");
            // Without a value the template decides: for an empty text, and for a default that is another parameter.
            let decided_there = literal == "" || template.param(&to_source(default)).is_some();
            let default = (!decided_there).then_some(literal);
            expect(None, default.clone());
            // A pipeline sets a variable without a value to an empty text.
            expect(Some(""), default);
        }
        let (text, value) = match param.type_name.as_str() {
            "string" => ("northeurope", json!("northeurope")),
            "int" => ("7", json!(7)),
            "bool" if param.default == Some(Value::Bool(false)) => ("true", json!(true)),
            "bool" => ("false", json!(false)),
            "array" => (r#"["a","b/?"]"#, json!(["a", "b/?"])),
            other => panic!("{name} is an {other}"),
        };
        expect(Some(text), Some(value));
        // docs/operate/deploy.md says so.
        if ["bool", "int"].contains(&param.type_name.as_str()) {
            expect(Some("yes"), None);
        }
    }
    faults
}

/// Returns the name of a parameter's setting: `instanceMemoryMB` is `DEVICESTATE_INSTANCE_MEMORY_MB`.
fn setting(parameter: &str) -> String {
    if let Some((_, own)) = OWN_SETTINGS.iter().find(|(name, _)| *name == parameter) {
        return (*own).to_owned();
    }
    let mut setting = "DEVICESTATE_".to_owned();
    let mut last = '_';
    for letter in parameter.chars() {
        if letter.is_uppercase() && last.is_lowercase() {
            setting.push('_');
        }
        setting.extend(letter.to_uppercase());
        last = letter;
    }
    setting
}

/// Returns the value of a parameter that azd passes on; `None` leaves it to the template.
fn passed_on(param: &Param, entry: &Json, environment: &Environment) -> Result<Option<Json>, String> {
    let json = |text: &str| serde_json::from_str::<Json>(text).map_err(|error| format!("{error}: {text}"));
    if let ("array", Some(text)) = (param.type_name.as_str(), entry["value"].as_str()) {
        let (text, is_unset) = substituted(text, environment)?;
        return if text.is_empty() && is_unset { Ok(None) } else { json(&text).map(Some) };
    }
    // The values are inserted into the JSON as they are.
    let (text, is_unset) = substituted(&entry.to_string(), environment)?;
    let value = json(&text)?["value"].take();
    let Some(text) = value.as_str() else { return Ok(Some(value)) };
    Ok(match param.type_name.as_str() {
        _ if text.is_empty() && is_unset => None,
        "bool" => text.parse::<bool>().ok().map(Json::from),
        "int" => text.parse::<i64>().ok().map(Json::from),
        // An empty text replaces only a default that is not empty.
        "string" if text.is_empty() && param.default.as_ref().map(to_source).as_deref() == Some("''") => None,
        _ => Some(value),
    })
}

/// Replaces `${NAME}` and `${NAME=default}`. The default, up to the first brace, also replaces an empty value. Returns the text,
/// and whether a setting is not set.
fn substituted(text: &str, environment: &Environment) -> Result<(String, bool), String> {
    let (mut rest, mut result, mut is_unset) = (text, String::new(), false);
    while let Some((before, after)) = rest.split_once("${") {
        let (inner, after) = after.split_once('}').ok_or_else(|| format!("missing brace: {text}"))?;
        let (name, default) = inner.split_once('=').unwrap_or((inner, ""));
        let value = environment.get(name);
        is_unset |= value.is_none();
        result.push_str(before);
        result.push_str(value.filter(|value| !value.is_empty()).map_or(default, String::as_str));
        rest = after;
    }
    Ok((result + rest, is_unset))
}
