//! The picture: well-formed, and with a mark for every event.

use std::{collections::BTreeMap, fs};

use devicestate_test_support::root;
use quick_xml::{Reader, events::Event};
use serde_json::Value;
use tempfile::TempDir;

use crate::experiment::{SMALL, printed};

/// The dots of each way, by what they say.
type Dots = BTreeMap<String, BTreeMap<String, usize>>;

/// Reads the picture to its end, which fails where it is not well-formed, and counts the dots outside the windows.
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
        if let (Some(kind), [way]) = (attribute("class").strip_prefix("mark "), &groups[..]) {
            let of_way = dots.entry(way.clone()).or_default();
            *of_way.entry(kind.to_owned()).or_default() += attribute("d").matches('M').count();
        }
    }
    assert!(groups.is_empty() && elements > 0, "{groups:?} are not closed");
    dots
}

#[test]
fn the_picture_has_a_mark_for_every_event_of_its_key_and_shows_disorder_and_repeats() {
    let folder = TempDir::new().expect("a temporary folder");
    let path = folder.path().join("ordering.svg");
    let arguments = ["--format", "json", "--svg", path.to_str().expect("text")];
    let ways = ["--way", "a", "--way", "b", "--way", "c", "--way", "d"];
    let report: Value = serde_json::from_str(&printed(&[&SMALL[..], &arguments, &ways].concat())).expect("JSON");
    let svg = fs::read_to_string(&path).expect("the picture");
    let dots = dots(&svg);
    let lists: Vec<Vec<u32>> = serde_json::from_value(report["pictured"]["lists"].clone()).expect("lists");
    assert_eq!(dots.keys().collect::<Vec<_>>(), ["way-a", "way-b", "way-c", "way-d"]);
    for (of_way, list) in dots.values().zip(&lists) {
        assert_eq!(of_way.values().sum::<usize>(), list.len(), "{of_way:?}");
    }
    let kinds = |way: &str| dots[way].keys().map(String::as_str).collect::<Vec<_>>();
    assert_eq!([kinds("way-b"), kinds("way-c")], [["next"], ["next"]]);
    assert_eq!(kinds("way-d"), ["again", "next"], "repeats and no disorder");
    assert_eq!(dots["way-d"]["again"], lists[3].len() - 100);
    // Whether this key has lost its order among many is chance; the marks say what its list says.
    let mut highest = 0;
    let mut overtaken = 0;
    for number in &lists[0] {
        overtaken += usize::from(*number < highest);
        highest = highest.max(*number);
    }
    assert_eq!(dots["way-a"].get("late").copied().unwrap_or_default(), overtaken);
    assert!(svg.contains(report["pictured"]["key"].as_str().expect("a key")));
}

#[test]
fn the_picture_of_the_docs_is_one_of_a_thousand_events_and_small_enough_for_a_page() {
    let path = root().join("docs/reports/ordering.svg");
    let svg = fs::read_to_string(path).expect("the committed picture");
    assert!(svg.len() < 100_000, "{} bytes", svg.len());
    let dots = dots(&svg);
    assert_eq!(dots.len(), 5, "a panel for each way");
    let sum = |way: &str| dots[way].values().sum::<usize>();
    assert_eq!(["way-a", "way-b", "way-c", "way-e"].map(sum), [1_000; 4]);
    assert!(dots["way-a"]["late"] > 0 && dots["way-d"]["again"] > 0);
}
