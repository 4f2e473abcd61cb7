//! The operators' pages of the alerts.

use std::{collections::BTreeSet, fs};

use crate::support::{ROOT, deployed};

/// The sections after the meaning, which follows the title.
const SECTIONS: [&str; 3] = ["## Investigate", "## Repair", "## Exercise"];

fn page(name: &str) -> String {
    let path = format!("{ROOT}/docs/operate/alerts/{name}.md");
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"))
}

/// Returns the commands of a page: the lines of its code blocks.
fn commands(page: &str) -> Vec<&str> {
    let blocks = page.split("```").skip(1).step_by(2);
    blocks.flat_map(|block| block.lines().skip(1)).filter(|line| !line.trim().is_empty()).collect()
}

#[test]
fn each_alert_has_a_page_with_all_sections() {
    let (alerts, queries) = deployed();
    for alert in &alerts {
        let name = alert["name"].as_str().expect("a name");
        let page = page(name);
        let mut rest = page.as_str();
        for section in SECTIONS {
            let at = rest.find(section).unwrap_or_else(|| panic!("{section} is missing or out of order in {name}.md"));
            rest = &rest[at + section.len()..];
        }
        assert!(!commands(&page).is_empty(), "{name}.md has no command");
        for named_query in page.match_indices("kql ").map(|(at, word)| &page[at + word.len()..]) {
            let named_query = named_query.split([' ', '`', '\n', '#']).next().expect("a word");
            assert!(
                queries.iter().any(|query| query == named_query),
                "{name}.md names {named_query:?}, which is not a query"
            );
        }
    }
}

#[test]
fn the_pages_and_the_list_have_exactly_the_alerts() {
    let (alerts, _) = deployed();
    let names: BTreeSet<String> =
        alerts.iter().map(|alert| alert["name"].as_str().expect("a name").to_owned()).collect();
    let files = fs::read_dir(format!("{ROOT}/docs/operate/alerts")).expect("the folder");
    let names_of_files = files.map(|file| file.expect("a file").file_name().into_string().expect("a name"));
    let pages: BTreeSet<String> = names_of_files
        .filter(|file| file != "README.md")
        .map(|file| file.strip_suffix(".md").expect("a page").to_owned())
        .collect();
    assert_eq!(pages, names);
    let list = page("README");
    for alert in &alerts {
        let name = alert["name"].as_str().expect("a name");
        let line = list.lines().find(|line| line.starts_with(&format!("* `{name}`, ")));
        let line = line.unwrap_or_else(|| panic!("{name} is missing in the list"));
        let number = alert["threshold"].as_i64().expect("a number");
        for part in [format!("`, {}: ", alert["severity"]), time(&alert["frequency"]), time(&alert["window"])] {
            assert!(line.contains(&part), "the list has {line:?} for {name}, but {part:?} is deployed");
        }
        // A threshold of 1 needs no number.
        assert!(
            number <= 1 || line.contains(&number.to_string()),
            "the list has {line:?} for {name}, without {number}"
        );
    }
}

/// Converts `PT15M` to the list's notation.
fn time(duration: &serde_json::Value) -> String {
    match duration.as_str().expect("a duration") {
        "PT1H" => "hour".into(),
        duration => {
            let time = duration.strip_prefix("PT").expect("a duration");
            time.replace('M', " min").replace('H', " h")
        }
    }
}
