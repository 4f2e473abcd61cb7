//! The query language as scripts/alerts evaluates it: subtle cases, by its reference.

use serde_json::{Value, json};

use crate::support::call;

/// Runs a query over these rows of AzureMetrics.
fn run(query: &str, rows: &Value) -> Value {
    let argument = json!({ "query": query, "rows": { "AzureMetrics": rows }, "now": 1_000_000 });
    call("run", &argument).unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// Checks the values of expressions.
#[track_caller]
fn assert_values(expected: &[(&str, Value)]) {
    let named = expected.iter().enumerate().map(|(number, (expression, _))| format!("v{number} = {expression}"));
    let query = format!("AzureMetrics | project {}", named.collect::<Vec<_>>().join(", "));
    let row = &run(&query, &json!([{ "Total": 1.0 }]))[0];
    for (number, (expression, expected)) in expected.iter().enumerate() {
        assert_eq!(&row[format!("v{number}")], expected, "{expression}");
    }
}

#[test]
fn only_integers_divide_to_integers() {
    assert_values(&[
        ("7 / 2", json!(3)),
        ("-7 / 2", json!(-3)),
        ("7 / 2.0", json!(3.5)),
        ("tolong('7') / 2", json!(3)),
        ("todouble(7) / 2", json!(3.5)),
        ("100.0 * 1 / 8", json!(12.5)),
        ("90s / 1m", json!(1.5)),
    ]);
}

#[test]
fn null_is_not_a_number_and_not_equal_to_any() {
    assert_values(&[
        ("tolong('x') + 1", Value::Null),
        ("tolong('x') > 0", Value::Null),
        ("tolong('x') == 0", json!(false)),
        ("tolong('x') != 0", json!(true)),
        ("tolong('x') == tolong('y')", Value::Null),
        ("tolong('x') > 0 or true", json!(true)),
        ("tolong('x') > 0 and false", json!(false)),
        ("iff(tolong('x') > 0, 'yes', 'no')", json!("no")),
        ("coalesce(tolong('x'), 3)", json!(3)),
        ("tostring(parse_json('{}').a)", json!("")),
        ("isempty(tostring(parse_json('{}').a))", json!(true)),
        ("tolong(parse_json('{\"a\":{\"b\":7}}').a.b)", json!(7)),
        ("tostring(parse_json('not json').a)", json!("")),
        ("tolong('')", Value::Null),
    ]);
}

#[test]
fn texts_are_searched_without_case_and_compared_with_case() {
    assert_values(&[
        ("'Batch' contains 'ATC'", json!(true)),
        ("'Batch' startswith 'bat'", json!(true)),
        ("'Batch' == 'batch'", json!(false)),
        ("'a failedAttempt' has 'failed'", json!(false)),
        ("'a failed attempt' has 'FAILED'", json!(true)),
        ("'batch' in ('batch', 'start')", json!(true)),
        ("'Batch' in ('batch', 'start')", json!(false)),
    ]);
}

#[test]
fn aggregates_ignore_null_and_a_summary_without_keys_has_one_row() {
    let rows = json!([
        { "MetricName": "a", "Total": 1.0, "TimeGenerated": 1 },
        { "MetricName": "a", "Total": null, "TimeGenerated": 2 },
        { "MetricName": "b", "Total": 5.0, "TimeGenerated": 3 },
    ]);
    let all = "summarize n = count(), sum(Total), max(Total), avg(Total), countif(Total > 0), dcount(MetricName)";
    let expected =
        json!([{ "n": 3, "sum_Total": 6, "max_Total": 5, "avg_Total": 3, "countif_": 2, "dcount_MetricName": 2 }]);
    assert_eq!(run(&format!("AzureMetrics | {all}"), &rows), expected);
    let none = run("AzureMetrics | where Total > 100.0 | summarize n = count(), sum(Total), max(Total)", &rows);
    assert_eq!(none, json!([{ "n": 0, "sum_Total": 0, "max_Total": null }]));
    let by = run("AzureMetrics | where Total > 100.0 | summarize n = count() by MetricName", &rows);
    assert_eq!(by, json!([]));
    let newest = run("AzureMetrics | summarize arg_max(TimeGenerated, Total) by MetricName", &rows);
    let expected = json!([
        { "MetricName": "a", "TimeGenerated": 2, "Total": null },
        { "MetricName": "b", "TimeGenerated": 3, "Total": 5 },
    ]);
    assert_eq!(newest, expected);
    let mixed = run("AzureMetrics | summarize x = max(TimeGenerated) - min(TimeGenerated), y = sum(Total) + 1", &rows);
    assert_eq!(mixed, json!([{ "x": 2, "y": 7 }]));
}

#[test]
fn rows_are_sorted_in_descending_order_by_default_with_nulls_last() {
    let rows = json!([{ "Total": 2.0 }, { "Total": null }, { "Total": 3.0 }]);
    let sorted = |order: &str| {
        let rows = run(&format!("AzureMetrics | order by Total {order} | project Total"), &rows);
        rows.as_array().expect("rows").iter().map(|row| row["Total"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(sorted(""), [json!(3), json!(2), Value::Null]);
    assert_eq!(sorted("asc"), [Value::Null, json!(2), json!(3)]);
}

#[test]
fn bins_start_at_multiples_and_ago_is_relative_to_now() {
    assert_values(&[
        ("bin(7, 5)", json!(5)),
        ("bin(-1, 5)", json!(-5)),
        ("now() - ago(15m)", json!(900_000)),
        ("bin(now(), 1m)", json!(960_000)),
    ]);
}

#[test]
fn let_declares_a_value_a_table_or_the_first_value_of_a_table() {
    let rows = json!([{ "Total": 2.0 }, { "Total": 3.0 }]);
    let query = "let least = 2.5; let much = AzureMetrics | where Total > least; \
                 let sum = toscalar(much | summarize sum(Total)); \
                 AzureMetrics | project Total = Total + coalesce(sum, 0.0)";
    assert_eq!(run(query, &rows), json!([{ "Total": 5 }, { "Total": 6 }]));
}

#[test]
fn an_unsupported_expression_is_an_error() {
    for query in [
        "AzureMetrics | join kind=inner (AzureMetrics) on MetricName",
        "AzureMetrics | summarize percentile(Total, 95)",
        "AzureMetrics | extend x = strlen(MetricName)",
        "AzureMetrics | mv-expand x = parse_json('[1]')",
        "AzureMetrics | where MetricName matches regex 'a'",
    ] {
        let argument = json!({ "query": query, "rows": { "AzureMetrics": [{ "MetricName": "a", "Total": 1.0 }] } });
        let error = call("run", &argument).expect_err(query);
        assert!(error.contains("does not support"), "{query}: {error}");
    }
}
