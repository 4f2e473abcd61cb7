//! The parts that only calculate.

use serde_json::{Value, json};

/// What an expression over the modules comes to.
#[track_caller]
fn evaluated(expression: &str) -> Value {
    let modules = [
        "median, quantile, ratio, spread from figures.js",
        "mebibytes, number, table from tables.js",
        "busy, describe, machine from machine.js",
    ];
    super::evaluated(&modules, expression)
}

#[test]
fn the_median_is_the_middle_one_or_between_the_two_in_the_middle() {
    let found = evaluated("[median([9, 1, 10]), median([4, 1, 2, 100]), median([7]), median([])]");
    assert_eq!(found, json!([9, 3, 7, null]));
}

#[test]
fn a_quantile_is_one_of_the_values_and_no_more_than_its_part_is_below_it() {
    let hundred = "[...Array(100).keys()].map((n) => 100 - n)";
    let found = evaluated(&format!("[0, 0.5, 0.99, 1].map((part) => quantile({hundred}, part))"));
    assert_eq!(found, json!([1, 50, 99, 100]));
    assert_eq!(evaluated("[quantile([3], 0.99), quantile([], 0.5)]"), json!([3, null]));
}

#[test]
fn rounds_without_a_figure_do_not_count() {
    let found = evaluated("[spread([3, undefined, 1, NaN, 2]), spread([undefined]), spread([])]");
    assert_eq!(found, json!([{"median": 2, "min": 1, "max": 3}, null, null]));
}

#[test]
fn a_ratio_is_how_many_times_the_first_the_second_is_and_none_where_one_is_not_known() {
    assert_eq!(
        evaluated("[ratio(4, 2), ratio(0, 2), ratio(1, undefined), ratio(null, 1)]"),
        json!([0.5, null, null, null])
    );
}

#[test]
fn numbers_have_their_thousands_apart() {
    let found = evaluated(
        "[number(1234567.891, 2), number(999), number(-1000), number(0.5), number(undefined), number(1e3, 3)]",
    );
    assert_eq!(found, json!(["1,234,567.89", "999", "-1,000", "1", "-", "1,000.000"]));
    assert_eq!(evaluated("mebibytes(3 * 2 ** 20 / 2)"), "1.5 MiB");
}

#[test]
fn columns_line_up_words_to_the_left_and_figures_to_the_right() {
    let found = evaluated("table(['WHO', 'HOW', 'N'], [['a', 'well', '1,000'], ['bcde', 'ill', '7']])");
    assert_eq!(found, "WHO   HOW       N\na     well  1,000\nbcde  ill       7");
}

#[test]
fn the_machine_says_all_that_a_figure_depends_on() {
    let machine = evaluated("machine()");
    assert!(machine["cores"].as_u64() >= Some(1) && machine["memoryBytes"].as_u64() > Some(0), "{machine}");
    for member in ["date", "cpu", "os", "kernel"] {
        assert!(machine[member].as_str().is_some_and(|text| !text.is_empty()), "{member}: {machine}");
    }
    assert!(machine["versions"]["node"].as_str().is_some_and(|version| version.starts_with('v')), "{machine}");
    for member in ["pinned", "commit", "treeIsDirty", "loadBefore"] {
        assert!(machine.get(member).is_some(), "{member}: {machine}");
    }
    let told = evaluated("describe({ ...machine(), pinned: false, treeIsDirty: true, commit: 'abc' })");
    let told = told.as_str().expect("text");
    assert!(told.contains("abc with changes that are not committed") && told.contains("there is no taskset"), "{told}");
}

#[test]
fn a_machine_that_does_something_else_already_is_warned_of() {
    let found = evaluated("[1.2, 0.51, 0.5, 0].map((loadBefore) => busy({ loadBefore }))");
    let [loud, louder, idle, idler] = found.as_array().expect("a list").as_slice() else { panic!("{found}") };
    assert!(
        loud.as_str().is_some_and(|warning| warning.contains("1.20") && warning.contains("something else")),
        "{loud}"
    );
    assert!(louder.is_string() && idle.is_null() && idler.is_null(), "{found}");
}
