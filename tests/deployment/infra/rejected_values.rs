//! Values that Azure would reject in the middle of a deployment: the template rejects them first, with words. And which principal is
//! named as operator or sender.

use serde_json::{Value as Json, json};

use super::{
    evaluate::{DEPLOYER, Deployment},
    sources::{Sources, assert_detected, assert_no_faults},
};

const ID: &str = "11111111-1111-1111-1111-111111111111";
const OTHER_ID: &str = "22222222-2222-2222-2222-222222222222";
const LETTERS: &str = "aaaaaaaa-aaaa-aaaa-aaaa-aaaaaaaaaaaa";
const CAPITALS: &str = "AAAAAAAA-AAAA-AAAA-AAAA-AAAAAAAAAAAA";

/// A parameter of a module that main.bicep deploys, parameters of the deployment, and the result: a value or the words of the
/// rejection.
fn cases() -> Vec<(&'static str, &'static str, Json, Result<Json, &'static str>)> {
    let multiple = "cosmosMaximumThroughput must be a multiple of 1000";
    let region = "standbyLocation must be another region";
    let ready = "alwaysReadyInstances must be 0, or at least 2";
    let units = "iotHubUnits must be at most 10";
    let path = "Each of cosmosIndexedPaths";
    let ids = "must be object ids";
    let private = "privateFunctionApp must be false without privateNetwork";
    let location = |standby: &str| json!({ "location": "westeurope", "standbyLocation": standby });
    vec![
        ("documents", "maximumThroughput", json!({}), Ok(json!(1000))),
        ("documents", "maximumThroughput", json!({ "cosmosMaximumThroughput": 1500 }), Err(multiple)),
        ("documents", "standbyLocation", location(""), Ok(json!(""))),
        ("documents", "standbyLocation", location("northeurope"), Ok(json!("northeurope"))),
        ("documents", "standbyLocation", location("westeurope"), Err(region)),
        ("documents", "standbyLocation", location("West Europe"), Err(region)),
        ("documents", "indexedPaths", json!({}), Ok(json!(["/Heard/?", "/SilentSince/?"]))),
        ("documents", "indexedPaths", json!({ "cosmosIndexedPaths": ["/a/*"] }), Ok(json!(["/a/*"]))),
        ("documents", "indexedPaths", json!({ "cosmosIndexedPaths": [] }), Ok(json!([]))),
        ("documents", "indexedPaths", json!({ "cosmosIndexedPaths": ["/Heard/?", "/a"] }), Err(path)),
        ("documents", "indexedPaths", json!({ "cosmosIndexedPaths": ["a/?"] }), Err(path)),
        ("iotHub", "units", json!({ "iotHubSku": "S2", "iotHubUnits": 11 }), Ok(json!(11))),
        ("iotHub", "units", json!({ "iotHubSku": "S3", "iotHubUnits": 10 }), Ok(json!(10))),
        ("iotHub", "units", json!({ "iotHubSku": "S3", "iotHubUnits": 11 }), Err(units)),
        ("region", "alwaysReadyInstances", json!({ "alwaysReadyInstances": 1 }), Ok(json!(1))),
        ("region", "alwaysReadyInstances", json!({ "zoneRedundantInstances": true }), Ok(json!(0))),
        (
            "region",
            "alwaysReadyInstances",
            json!({ "zoneRedundantInstances": true, "alwaysReadyInstances": 1 }),
            Err(ready),
        ),
        ("region", "privateFunctionApp", json!({}), Ok(json!(false))),
        ("region", "privateFunctionApp", json!({ "privateNetwork": true }), Ok(json!(false))),
        ("region", "privateFunctionApp", json!({ "privateFunctionApp": true }), Err(private)),
        (
            "region",
            "privateFunctionApp",
            json!({ "privateFunctionApp": true, "privateNetwork": true }),
            Ok(json!(true)),
        ),
        // None is named; one is named twice; a mail address is named.
        ("documents", "operatorPrincipalIds", json!({}), Ok(json!([DEPLOYER]))),
        ("region", "operatorPrincipalIds", json!({}), Ok(json!([DEPLOYER]))),
        ("region", "senderPrincipalIds", json!({}), Ok(json!([DEPLOYER]))),
        (
            "region",
            "operatorPrincipalIds",
            json!({ "operatorPrincipalIds": [ID, OTHER_ID, ID] }),
            Ok(json!([ID, OTHER_ID])),
        ),
        ("region", "senderPrincipalIds", json!({ "senderPrincipalIds": [ID, ID] }), Ok(json!([ID]))),
        // In capitals it is the same one.
        (
            "documents",
            "operatorPrincipalIds",
            json!({ "operatorPrincipalIds": [CAPITALS, LETTERS] }),
            Ok(json!([LETTERS])),
        ),
        ("region", "senderPrincipalIds", json!({ "senderPrincipalIds": [CAPITALS] }), Ok(json!([LETTERS]))),
        ("documents", "operatorPrincipalIds", json!({ "operatorPrincipalIds": ["me@example.com"] }), Err(ids)),
        ("documents", "operatorPrincipalIds", json!({ "senderPrincipalIds": ["me@example.com"] }), Err(ids)),
    ]
}

#[test]
fn values_that_azure_would_reject_are_rejected_with_words_and_all_others_are_deployed() {
    assert_no_faults(&faults(&Sources::read()));
}

#[test]
fn a_missing_or_wrong_rejection_is_detected() {
    for (from, to, words) in [
        ("cosmosMaximumThroughput % 1000 == 0", "cosmosMaximumThroughput % 500 == 0", "1500"),
        ("isOneRegion ? fail('standbyLocation must", "isOneRegion ? fail('standbyLocation may", "westeurope"),
        ("replace(standbyLocation, ' ', '')", "standbyLocation", "West Europe"),
        ("var isOneRegion = toLower(", "var isOneRegion = (", "West Europe"),
        ("endsWith(path, '/*')", "endsWith(path, '/a')", "/a/*"),
        ("!startsWith(path, '/') || ", "", "\"a/?\""),
        ("iotHubUnits > 10", "iotHubUnits > 11", "11"),
        ("zoneRedundantInstances && alwaysReadyInstances == 1", "alwaysReadyInstances == 1", "alwaysReadyInstances"),
        ("privateFunctionApp && !privateNetwork", "privateFunctionApp && privateNetwork", "privateFunctionApp"),
        ("length(id) != 36", "length(id) != 14", "me@example.com"),
        ("concat(operatorPrincipalIds, senderPrincipalIds)", "concat(operatorPrincipalIds, [])", "me@example.com"),
        ("union(map(operatorPrincipalIds, id => toLower(id)), [])", "map(operatorPrincipalIds, id => toLower(id))", ID),
        ("map(operatorPrincipalIds, id => toLower(id))", "operatorPrincipalIds", CAPITALS),
        ("map(senderPrincipalIds, id => toLower(id))", "senderPrincipalIds", CAPITALS),
        ("      senderPrincipalIds: senders\n", "      senderPrincipalIds: operators\n", ID),
    ] {
        assert_detected(&faults(&Sources::read().with("infra/main.bicep", from, to)), words);
    }
}

fn faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let template = &templates[0];
    let mut faults = Vec::new();
    for (module, param, parameters, expected) in cases() {
        let at = format!("{module}.{param} with {parameters}");
        let Json::Object(parameters) = parameters else { panic!("not parameters: {parameters}") };
        let module = template.module(module).expect("a module of main.bicep");
        let value = module.params.get(param).expect("a parameter of the module");
        let result = Deployment::new(&templates, parameters).evaluate(value);
        let is_expected = match (&result, &expected) {
            (Ok(value), Ok(expected)) => value == expected,
            (Err(words), Err(expected)) => words.contains(expected),
            _ => false,
        };
        if !is_expected {
            faults.push(format!("{at} is {result:?}, but must be {expected:?}"));
        }
    }
    faults
}
