//! The alerts and saved queries: all are deployed, with the same text as on one machine, and with values that Azure Monitor
//! accepts.

use std::{collections::BTreeSet, path::Path, process::Command};

use devicestate_test_support::root;
use serde_json::Value as Json;

use super::{
    bicep::{Template, Value, to_source},
    expected::{Expected, find_template},
    sources::{Sources, assert_detected, assert_no_faults},
};

const MODULE: &str = "infra/modules/alerts.bicep";
const PRELUDE: &str = "records";

/// Allowed windows and frequencies in minutes, of rules over logs and of rules over metrics; the service rejects others.
const LOG_RULE_MINUTES: [&[u32]; 2] = [
    &[5, 10, 15, 30, 45, 60, 120, 180, 240, 300, 360, 1440, 2880],
    &[1, 5, 10, 15, 30, 45, 60, 120, 180, 240, 300, 360],
];
const METRIC_RULE_MINUTES: [&[u32]; 2] = [&[1, 5, 15, 30, 60, 360, 720, 1440], &[1, 5, 15, 30, 60]];

/// What is deployed of alerts and queries, and what the module gets.
const EXPECTED: Expected = Expected {
    properties: &[
        [
            "alerts",
            "logRules",
            "properties.criteria.allOf",
            "[{query: 'let window = ${toLower(replace(alert.window, 'PT', ''))};\\n${known}${texts[alert.query]}', \
             metricMeasureColumn: alert.measure, timeAggregation: alert.aggregation, operator: alert.operator, threshold: \
             alert.threshold, failingPeriods: {numberOfEvaluationPeriods: 1, minFailingPeriodsToAlert: 1}}]",
        ],
        ["alerts", "logRules", "properties.scopes", "[workspace.id]"],
        ["alerts", "logRules", "properties.windowSize", "alert.window"],
        ["alerts", "logRules", "properties.evaluationFrequency", "alert.frequency"],
        ["alerts", "logRules", "properties.actions", "empty(emails) ? {} : {actionGroups: [group.id]}"],
        [
            "alerts",
            "metricRules",
            "properties.criteria.allOf",
            "[{criterionType: 'StaticThresholdCriterion', name: alert.name, metricNamespace: \
             alert.source.namespace, metricName: alert.metric[alert.source.key], dimensions: alert.metric.dimensions, \
             timeAggregation: alert.aggregation, operator: alert.operator, threshold: alert.threshold}]",
        ],
        ["alerts", "metricRules", "properties.scopes", "[alert.source.id]"],
        ["alerts", "metricRules", "properties.windowSize", "alert.window"],
        ["alerts", "metricRules", "properties.evaluationFrequency", "alert.frequency"],
        ["alerts", "metricRules", "properties.actions", "empty(emails) ? [] : [{actionGroupId: group.id}]"],
        ["alerts", "streamMetrics", "scope", "stream"],
        ["alerts", "streamMetrics", "properties.metrics", "[{category: 'AllMetrics', enabled: true}]"],
        ["alerts", "iotHubMetrics", "scope", "iotHub"],
        ["alerts", "savedQueries", "etag", "'*'"],
        ["alerts", "savedQueries", "properties.query", "'${whole}${query.text}'"],
    ],
    parameters: &[
        ["main", "region", "accountId", "index == 0 ? documents.outputs.accountId : ''"],
        ["main", "region", "iotHubName", "iotHub.?outputs.name ?? nothing"],
        ["region", "alerts", "namespace", "withEventHubs ? namespace : ''"],
    ],
    values: &[
        ["alerts", "known", "'let retention = ${retentionHours}h;\\n${loadTextContent('../queries/records.kql')}\\n'"],
        ["alerts", "whole", "'let window = 15m;\\n${known}'"],
        ["alerts", "logAlerts", "filter(all, alert => contains(alert, 'query'))"],
        [
            "alerts",
            "measured",
            "map(filter(all, alert => contains(alert, 'metric')), alert => union(alert, { source: sources[alert.metric.of] }))",
        ],
        ["alerts", "metricAlerts", "filter(measured, alert => !empty(alert.source.id))"],
        // Each of the metrics' resources, by its own type.
        [
            "alerts",
            "sources",
            "{stream: usesIotHub ? {id: resourceId('Microsoft.Devices/IotHubs', iotHubName), namespace: \
             'Microsoft.Devices/IotHubs', key: 'iotHub'} : {id: resourceId('Microsoft.EventHub/namespaces', namespace), \
             namespace: 'Microsoft.EventHub/namespaces', key: 'name'}, sessions: {id: empty(sessionNamespace) ? '' : \
             resourceId('Microsoft.ServiceBus/namespaces', sessionNamespace), namespace: 'Microsoft.ServiceBus/namespaces', \
             key: 'name'}, documents: {id: accountId, namespace: 'Microsoft.DocumentDB/databaseAccounts', key: 'name'}}",
        ],
    ],
    ..Expected::NOTHING
};

#[test]
fn all_alerts_and_queries_are_deployed_with_allowed_values() {
    assert_no_faults(&faults(&Sources::read()));
}

#[test]
fn missing_queries_and_invalid_values_are_detected() {
    let changed = |path: &str, from: &str, to: &str| faults(&Sources::read().with(path, from, to));
    for (path, from, to, words) in [
        (MODULE, "'../queries/costs.kql'", "'../queries/cost.kql'", "costs"),
        (MODULE, "{ name: 'lag', text", "{ name: 'lags', text", "lags"),
        (MODULE, "${known}${texts[alert.query]}", "${texts[alert.query]}", "logRules"),
        (MODULE, "    etag: '*'\n", "", "etag"),
        ("infra/main.bicep", "index == 0 ? documents", "index == 1 ? documents", "accountId"),
        (MODULE, "category: 'AllMetrics'", "category: 'allMetrics'", "streamMetrics"),
        (MODULE, "'Microsoft.Devices/IotHubs', iotHubName", "'Microsoft.Devices/IotHubs', namespace", "sources"),
        (MODULE, "let retention = ${retentionHours}h;", "let retention = ${retentionHours}d;", "known"),
        ("infra/alerts.json", "\"query\": \"lag\"", "\"query\": \"lags\"", "lags"),
        ("infra/alerts.json", "\"PT5M\"", "\"PT7M\"", "PT7M"),
        ("infra/alerts.json", "\"frequency\": \"PT1H\"", "\"frequency\": \"PT3H\"", "dead-letters-expiring"),
        ("infra/alerts.json", "\"severity\": 0", "\"severity\": 5", "severity"),
        ("infra/alerts.json", "\"GreaterThan\"", "\"Greater\"", "Greater"),
        ("infra/alerts.json", "\"of\": \"stream\"", "\"of\": \"hub\"", "hub"),
        ("infra/workbook.json", "\"query\": \"costs\"", "\"query\": \"cost\"", "cost"),
    ] {
        assert_detected(&changed(path, from, to), words);
    }
}

#[test]
fn the_script_runs_the_deployed_text() {
    let sources = Sources::read();
    let program = "const { query } = require('./scripts/alerts/deployed.js'); \
                   process.stdout.write(query(process.argv[1], { window: '15m', retention: '168h' }))";
    let text = |name: &str| sources.text(&format!("infra/queries/{name}.kql"));
    let deployed = format!("let window = 15m;\nlet retention = 168h;\n{}\n{}", text(PRELUDE), text("lag"));
    let mut node = Command::new("node");
    let output = node.current_dir(root()).args(["-e", program, "lag"]).output().expect("Node.js");
    assert_eq!(String::from_utf8_lossy(&output.stdout), deployed);
}

/// Returns the names of the query files.
fn query_files(sources: &Sources) -> BTreeSet<String> {
    let names = sources.paths("kql").into_iter().filter_map(Path::file_stem);
    names.map(|name| name.to_string_lossy().into_owned()).filter(|name| name != PRELUDE).collect()
}

fn faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let module = find_template(&templates, "alerts");
    let query_files = query_files(sources);
    let mut faults = loading_faults(module, &query_files);
    faults.extend(EXPECTED.faults(&templates));
    let known: Vec<&str> =
        module.variable("sources").expect("sources").properties().iter().map(|(name, _)| name.as_str()).collect();
    let alerts = sources.json("infra/alerts.json");
    for alert in alerts.as_array().expect("alerts") {
        faults.extend(alert_faults(alert, &query_files, &known));
    }
    let book = sources.json("infra/workbook.json");
    let queries = book["items"].as_array().expect("items").iter().filter_map(|item| item["content"]["query"].as_str());
    faults.extend(
        queries
            .filter(|name| !query_files.contains(*name))
            .map(|name| format!("the workbook has {name}, which is not a query")),
    );
    faults
}

/// Returns the faults of the queries that the module loads: exactly the files, under their own names.
fn loading_faults(module: &Template, query_files: &BTreeSet<String>) -> Vec<String> {
    let Some(Value::List(queries)) = module.variable("queries") else { panic!("queries are a list") };
    let mut faults = Vec::new();
    let mut loading_faults = BTreeSet::new();
    for query in queries {
        let name = query.get("name").and_then(Value::text).expect("a name");
        let text = query.get("text").map(to_source);
        if text != Some(format!("loadTextContent('../queries/{name}.kql')")) {
            faults.push(format!("the query {name} is {text:?}"));
        }
        loading_faults.insert(name.to_owned());
    }
    faults.extend(
        query_files.symmetric_difference(&loading_faults).map(|name| format!("{name} has no file, or is not deployed")),
    );
    faults
}

fn alert_faults(alert: &Json, query_files: &BTreeSet<String>, known: &[&str]) -> Vec<String> {
    let name = alert["name"].as_str().unwrap_or_default();
    let mut faults = Vec::new();
    let mut report = |what: String| faults.push(format!("alert {name}: {what}"));
    let allowed = match (alert["query"].as_str(), alert["metric"]["of"].as_str()) {
        (Some(query), None) => {
            if !query_files.contains(query) {
                report(format!("{query} is not a query"));
            }
            if alert["measure"].as_str().is_none_or(str::is_empty) {
                report("it has no measure".into());
            }
            LOG_RULE_MINUTES
        }
        (None, Some(of)) => {
            if !known.contains(&of) {
                report(format!("the resource {of} does not exist"));
            }
            METRIC_RULE_MINUTES
        }
        _ => {
            report("it must have either a query or a metric".into());
            return faults;
        }
    };
    let times = ["window", "frequency"].map(|key| alert[key].as_str().unwrap_or_default());
    let minutes = times.map(minutes);
    for ((time, minutes), allowed) in times.iter().zip(minutes).zip(allowed) {
        if !minutes.is_some_and(|minutes| allowed.contains(&minutes)) {
            report(format!("the service does not accept {time}"));
        }
    }
    if minutes[1] > minutes[0] {
        report("its window is shorter than its frequency".into());
    }
    if alert["severity"].as_u64().is_none_or(|severity| severity > 4) {
        report(format!("severity {} is invalid", alert["severity"]));
    }
    for (key, words) in [
        ("operator", &["GreaterThan", "GreaterThanOrEqual", "LessThan", "LessThanOrEqual"][..]),
        ("aggregation", &["Average", "Count", "Maximum", "Minimum", "Total"]),
    ] {
        let word = alert[key].as_str().unwrap_or_default();
        if !words.contains(&word) {
            report(format!("{word:?} is not a valid {key}"));
        }
    }
    if !alert["threshold"].is_i64() {
        report("the threshold must be an integer".into());
    }
    for key in ["title", "description"] {
        if alert[key].as_str().is_none_or(str::is_empty) {
            report(format!("it has no {key}"));
        }
    }
    faults
}

/// Converts `PT15M` to minutes.
fn minutes(duration: &str) -> Option<u32> {
    let time = duration.strip_prefix("PT")?;
    let hours = time.strip_suffix('H').and_then(|hours| hours.parse::<u32>().ok());
    hours.map(|hours| hours * 60).or_else(|| time.strip_suffix('M')?.parse().ok())
}
