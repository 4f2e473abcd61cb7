//! The statistics, the formatting and the machine.

use serde_json::{Value, json};

/// Evaluates an expression with these modules.
#[track_caller]
fn evaluate(expression: &str) -> Value {
    let modules = [
        "median, quantile, ratio, spread from figures.js",
        "mebibytes, number, table from tables.js",
        "describe, loadWarning, machine from machine.js",
    ];
    super::evaluate(&modules, expression)
}

#[test]
fn the_median_of_an_even_number_of_values_is_between_the_middle_two() {
    let found = evaluate("[median([9, 1, 10]), median([4, 1, 2, 100]), median([7]), median([])]");
    assert_eq!(found, json!([9, 3, 7, null]));
}

#[test]
fn a_quantile_is_one_of_the_values() {
    let hundred = "[...Array(100).keys()].map((n) => 100 - n)";
    let found = evaluate(&format!("[0, 0.5, 0.99, 1].map((part) => quantile({hundred}, part))"));
    assert_eq!(found, json!([1, 50, 99, 100]));
    assert_eq!(evaluate("[quantile([3], 0.99), quantile([], 0.5)]"), json!([3, null]));
}

#[test]
fn missing_values_do_not_count() {
    let found = evaluate("[spread([3, undefined, 1, NaN, 2]), spread([undefined]), spread([])]");
    assert_eq!(found, json!([{"median": 2, "min": 1, "max": 3}, null, null]));
}

#[test]
fn a_ratio_is_the_second_value_divided_by_the_first_or_null() {
    assert_eq!(
        evaluate("[ratio(4, 2), ratio(0, 2), ratio(1, undefined), ratio(null, 1)]"),
        json!([0.5, null, null, null])
    );
}

#[test]
fn numbers_have_thousands_separators() {
    let found = evaluate(
        "[number(1234567.891, 2), number(999), number(-1000), number(0.5), number(undefined), number(1e3, 3)]",
    );
    assert_eq!(found, json!(["1,234,567.89", "999", "-1,000", "1", "-", "1,000.000"]));
    assert_eq!(evaluate("mebibytes(3 * 2 ** 20 / 2)"), "1.5 MiB");
}

#[test]
fn columns_of_words_are_left_aligned_and_of_figures_right_aligned() {
    let found = evaluate("table(['WHO', 'HOW', 'N'], [['a', 'well', '1,000'], ['bcde', 'bad', '7']])");
    assert_eq!(found, "WHO   HOW       N\na     well  1,000\nbcde  bad       7");
}

#[test]
fn the_machine_has_everything_that_a_figure_depends_on() {
    let machine = evaluate("machine()");
    assert!(machine["cores"].as_u64() >= Some(1) && machine["memoryBytes"].as_u64() > Some(0), "{machine}");
    for member in ["date", "cpu", "os", "kernel"] {
        assert!(machine[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {machine}");
    }
    assert!(machine["versions"]["node"].as_str().is_some_and(|version| version.starts_with('v')), "{machine}");
    for member in ["isPinned", "commit", "isTreeDirty", "loadBefore"] {
        assert!(machine.get(member).is_some(), "{member}: {machine}");
    }
    let table = evaluate("describe({ ...machine(), isPinned: false, isTreeDirty: true, commit: 'abc' })");
    let table = table.as_str().expect("text");
    assert!(table.contains("abc with uncommitted changes") && table.contains("taskset is not available"), "{table}");
}

#[test]
fn a_busy_machine_causes_a_warning() {
    let found = evaluate("[1.2, 0.51, 0.5, 0].map((loadBefore) => loadWarning({ loadBefore }))");
    let [high, above, limit, zero] = found.as_array().expect("a list").as_slice() else { panic!("{found}") };
    assert!(
        high.as_str().is_some_and(|warning| warning.contains("1.20") && warning.contains("the machine is busy")),
        "{high}"
    );
    assert!(above.is_string() && limit.is_null() && zero.is_null(), "{found}");
}
