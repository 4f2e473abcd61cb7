//! Each test and each line of a template that `docs/operate/threat-model.md` names exists.

use std::{fs, path::Path};

use devicestate_test_support::root;

/// Returns the references of a page, as `file::name`: the code spans with two colons.
fn references(page: &str) -> impl Iterator<Item = (&str, &str)> {
    page.split('`').skip(1).step_by(2).filter_map(|code| code.split_once("::"))
}

/// Returns the references that lead nowhere.
fn faults(page: &str) -> Vec<String> {
    let is_there = |file: &str, name: &str| {
        let Ok(text) = fs::read_to_string(root().join(file)) else { return false };
        match Path::new(file).extension().and_then(|extension| extension.to_str()) {
            Some("rs") => text.contains(&format!("fn {name}(")),
            Some("mjs") => text.contains(&format!("test(\"{}\"", name.replace('_', " "))),
            _ => text.contains(name),
        }
    };
    references(page)
        .filter(|(file, name)| !is_there(file, name))
        .map(|(file, name)| format!("{file} has no {name}"))
        .collect()
}

#[test]
fn what_the_threat_model_names_exists() {
    let page = fs::read_to_string(root().join("docs/operate/threat-model.md")).expect("the threat model");
    assert_eq!(faults(&page), [""; 0]);
    assert!(references(&page).count() > 40, "{}", references(&page).count());
}

#[test]
fn a_test_or_a_line_that_does_not_exist_is_detected() {
    let page = "`tests/page/devices.test.mjs::ids_and_readings` `tests/dependencies.rs::the_deployed_program` `no/file.rs::f` \
                `infra/main.bicep::param noSuch` `infra/main.bicep::param location`";
    assert_eq!(faults(page).len(), 4);
}
