//! `scripts/alerts/draw.js`: the workbook and the alerts as a page.

use devicestate_test_support::report_page::ReportPage;
use serde_json::json;

use crate::{
    support::{call, deployed, node},
    telemetry::{Telemetry, is_of_batch},
};

/// Draws telemetry, and returns the page.
fn draw(telemetry: &Telemetry) -> ReportPage {
    let html =
        call("draw", &json!({ "rows": telemetry.0, "options": { "window": "5m", "steps": 4 } })).expect("a page");
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("page.html");
    std::fs::write(&path, html.as_str().expect("text")).expect("written");
    ReportPage::read(&path)
}

/// Returns how many charts have this state of an alert.
fn count_of_state(page: &ReportPage, state: &str) -> usize {
    page.texts.iter().filter(|text| *text == state).count()
}

#[test]
fn each_alert_is_drawn_with_its_threshold_and_each_item_of_the_workbook_has_its_title() {
    let page = draw(&Telemetry::healthy());
    let (alerts, _) = deployed();
    for alert in &alerts {
        let name = alert["name"].as_str().expect("a name");
        assert!(page.texts.iter().any(|text| text == name), "{name}");
    }
    let thresholds = page.texts.iter().filter(|text| text.starts_with("threshold ")).count();
    let without = page.texts.iter().find(|text| text.starts_with("Without data")).expect("metrics of other services");
    assert_eq!(thresholds, alerts.len() - without.split(", ").count(), "{without}");
    // A state stands in the chart's heading and in the table.
    assert_eq!((count_of_state(&page, "fires"), count_of_state(&page, "has fired")), (0, 0), "{:?}", page.texts);
    let workbook = std::fs::read_to_string(crate::support::ROOT.to_owned() + "/infra/workbook.json").expect("a file");
    let workbook: serde_json::Value = serde_json::from_str(&workbook).expect("JSON");
    let items = workbook["items"].as_array().expect("items").iter();
    for title in items.filter_map(|item| item["content"]["title"].as_str()) {
        assert!(page.texts.iter().any(|text| text.starts_with(title)), "{title}");
    }
    // 31 minutes with 200 events each.
    assert!(page.html.contains("applied: at most 200"), "{}", page.html);
}

#[test]
fn an_alert_that_fires_for_a_time_is_marked_and_hostile_issues_are_text() {
    let mut telemetry = Telemetry::healthy().without(is_of_batch);
    for minute in 0..=30 {
        let dead_lettered = if (10..15).contains(&minute) { 5 } else { 0 };
        let outcome = json!({ "applied": 100 - dead_lettered, "deadLettered": dead_lettered });
        telemetry.batch(minute, "0", &outcome).batch(minute, "1", &json!({}));
    }
    let issue = "<script>alert(1)</script> \u{1} &amp;";
    let reason = json!({ "reason": issue, "lagMs": 10 });
    telemetry.failed(12, "0", &reason);
    let page = draw(&telemetry);
    assert_eq!(count_of_state(&page, "has fired"), 2, "in the heading and in the table: {:?}", page.texts);
    assert_eq!(page.after("dead-letter-rate"), "has fired", "the first chart");
    assert!(page.texts.iter().any(|text| text.starts_with("<script>alert(1)</script>") && text.ends_with("&amp;")));
}

#[test]
fn options_that_are_not_valid_and_files_without_telemetry_are_refused() {
    let folder = tempfile::tempdir().expect("a folder");
    let (page, other) = (folder.path().join("page.html"), folder.path().join("other.jsonl"));
    std::fs::write(&other, "{\"a\":1}\n").expect("written");
    let other = other.to_str().expect("text");
    let page_option = ["--html", page.to_str().expect("text")];
    for (arguments, part) in [
        (vec![other], "--html PAGE"),
        (page_option.to_vec(), "missing argument FILE"),
        ([&[other, "--window", "soon"], &page_option[..]].concat(), "soon is not a timespan"),
        ([&[other], &page_option[..]].concat(), "has no telemetry"),
    ] {
        let output = node("scripts/alerts/draw.js").args(&arguments).output().expect("Node.js");
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.code() == Some(2) && error.contains(part), "{arguments:?}: {error}");
        assert!(!page.exists(), "{arguments:?}");
    }
}
