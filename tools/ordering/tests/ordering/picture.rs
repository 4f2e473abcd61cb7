//! The picture: it is well-formed, and has a mark for every event.

use std::{collections::BTreeMap, fs};

use devicestate_test_support::{output_schema::read_output, root};
use quick_xml::{Reader, events::Event};
use serde_json::Value;
use tempfile::TempDir;

use crate::experiment::{SMALL, run_successfully};

/// The number of dots of each strategy, by kind.
type Dots = BTreeMap<String, BTreeMap<String, usize>>;

/// Parses the picture, which must be well-formed, and counts the dots outside the insets.
fn dots(svg: &str) -> Dots {
    let mut reader = Reader::from_str(svg);
    reader.config_mut().check_comments = true;
    let (mut dots, mut groups) = (Dots::new(), Vec::new());
    let mut elements = 0;
    loop {
        let event = reader.read_event().expect("well-formed XML");
        let (Event::Start(element) | Event::Empty(element)) = &event else {
            match event {
                Event::End(element) if element.name().as_ref() == b"g" => drop(groups.pop()),
                Event::Text(text) => drop(text.decode().expect("text")),
                Event::Eof => break,
                _ => {}
            }
            continue;
        };
        elements += 1;
        let attributes: BTreeMap<String, String> = element
            .attributes()
            .map(|attribute| attribute.expect("an attribute"))
            .map(|attribute| (attribute.key.as_ref().to_vec(), attribute.value.to_vec()))
            .map(|(key, value)| (String::from_utf8(key).expect("UTF-8"), String::from_utf8(value).expect("UTF-8")))
            .collect();
        let attribute = |name: &str| attributes.get(name).cloned().unwrap_or_default();
        if element.name().as_ref() == b"g" {
            groups.push(attribute("id"));
        }
        if let (Some(kind), [strategy]) = (attribute("class").strip_prefix("mark "), &groups[..]) {
            let of_strategy = dots.entry(strategy.clone()).or_default();
            *of_strategy.entry(kind.to_owned()).or_default() += attribute("d").matches('M').count();
        }
    }
    assert!(groups.is_empty() && elements > 0, "{groups:?} are not closed");
    dots
}

#[test]
fn the_picture_has_a_mark_for_every_event_of_its_key_and_shows_disorder_and_repeats() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("ordering.svg");
    let arguments = ["--output", "json", "--svg", path.to_str().expect("text")];
    let strategies = ["--strategy", "a", "--strategy", "b", "--strategy", "c", "--strategy", "d"];
    let report: Value = read_output(run_successfully(&[&SMALL[..], &arguments, &strategies].concat()), Some(0));
    let svg = fs::read_to_string(&path).expect("the picture");
    let dots = dots(&svg);
    let lists: Vec<Vec<u32>> = serde_json::from_value(report["pictured"]["lists"].clone()).expect("lists");
    assert_eq!(dots.keys().collect::<Vec<_>>(), ["strategy-a", "strategy-b", "strategy-c", "strategy-d"]);
    for (of_strategy, list) in dots.values().zip(&lists) {
        assert_eq!(of_strategy.values().sum::<usize>(), list.len(), "{of_strategy:?}");
    }
    let kinds = |strategy: &str| dots[strategy].keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!([kinds("strategy-b"), kinds("strategy-c")], [["next"], ["next"]]);
    assert_eq!(kinds("strategy-d"), ["next", "repeated"], "repeats and no disorder");
    assert_eq!(dots["strategy-d"]["repeated"], lists[3].len() - 100);
    // Whether this key lost its order is random; the marks must agree with its list.
    let mut highest = 0;
    let mut overtaken = 0;
    for number in &lists[0] {
        overtaken += usize::from(*number < highest);
        highest = highest.max(*number);
    }
    assert_eq!(dots["strategy-a"].get("overtaken").copied().unwrap_or_default(), overtaken);
    assert!(svg.contains(report["pictured"]["key"].as_str().expect("a key")));
}

#[test]
fn the_committed_picture_shows_a_thousand_events_in_less_than_100_kb() {
    let path = root().join("docs/reports/ordering.svg");
    let svg = fs::read_to_string(path).expect("the committed picture");
    assert!(svg.len() < 100_000, "{} bytes", svg.len());
    let dots = dots(&svg);
    assert_eq!(dots.len(), 5, "a panel per strategy");
    let sum = |strategy: &str| dots[strategy].values().sum::<usize>();
    assert_eq!(["strategy-a", "strategy-b", "strategy-c", "strategy-e"].map(sum), [1_000; 4]);
    assert!(dots["strategy-a"]["overtaken"] > 0 && dots["strategy-d"]["repeated"] > 0);
}
