//! What belongs to a queue is out: the place of the large dead letters, or that of the audit trail.

use std::{fs, path::Path};

use devicestate_test_storage::bench::Bench;
use devicestate_test_support::read_letter;
use serde_json::json;

use crate::{
    broken::{ALWAYS, Broken, How, Kind, fill, on_both_broken, trail as lines_of},
    large::{fill_large, pointers},
};

on_both_broken![
    a_place_that_the_setting_does_not_lead_to_counts_no_failed_replay,
    a_large_one_that_was_deleted_or_changed_fails_alone,
    without_an_audit_trail_nothing_is_deleted_exported_or_imported,
];

/// The folder of the large ones, in a state file's bench.
fn folder(bench: &Bench) -> std::path::PathBuf {
    format!("{}-dead-letters", bench.state().display()).into()
}

fn assert_not_counted(bench: &Bench) {
    for body in bench.visible() {
        assert_eq!(read_letter(&body).get("Replay"), None);
    }
}

fn a_place_that_the_setting_does_not_lead_to_counts_no_failed_replay(broken: &mut Broken) {
    fill_large(broken, 3);
    let setting = if broken.is_local() { "DeadLetterDirectory" } else { "DeadLetterContainer" };
    let nowhere = if broken.is_local() { "/nowhere/at/all" } else { "nowhere-at-all" };
    broken.set(setting, Some(nowhere));
    let trail = broken.app.path("trail.jsonl");
    let audit = trail.to_str().expect("text");
    for words in [&["replay", "--yes", "--audit", audit][..], &["replay"], &["export", "--audit", audit]] {
        let said = broken.run(words).assert_exit_code(2);
        assert!(said.errors.contains(setting), "{}", said.errors);
    }
    assert_eq!((broken.count(), lines_of(&trail).len()), (3, 0));
    assert_not_counted(broken);
    // Listing needs none of it.
    assert_eq!(broken.json(&["list"], 0).as_array().map(Vec::len), Some(3));
}

fn a_large_one_that_was_deleted_or_changed_fails_alone(broken: &mut Broken) {
    fill_large(broken, 4);
    let locations = pointers(broken);
    let name =
        |at: usize| locations[at]["Location"].as_str().expect("a place").rsplit('/').next().expect("a name").to_owned();
    if broken.is_local() {
        fs::remove_file(folder(broken).join(name(0))).expect("a file");
        fs::write(folder(broken).join(name(1)), "{}").expect("a file");
    } else {
        broken.remove_blob(&name(0));
        broken.write_blob(&name(1), b"{}");
    }
    let done = broken.json(&["replay", "--yes"], 1);
    assert_eq!((&done["Applied"], &done["FailedAgain"]), (&json!(2), &json!(2)), "{done}");
    assert_eq!(broken.count(), 2);
    for body in broken.visible() {
        let replay = &read_letter(&body)["Replay"];
        let issue = replay["Issue"].as_str().expect("an issue");
        assert_eq!(replay["Attempts"], 1);
        assert!(issue.contains("is not there") || issue.contains("not the dead letter that was stored"), "{issue}");
    }
    // Exported as far as they are there, and told.
    let said = broken.run(&["export"]).assert_exit_code(1);
    assert_eq!(said.output.lines().count(), 2);
    assert!(said.errors.contains("2 are not whole"), "{}", said.errors);
}

fn without_an_audit_trail_nothing_is_deleted_exported_or_imported(broken: &Broken) {
    fill(broken, 3);
    let exported = broken.run(&["export"]).assert_exit_code(0).output;
    let file = broken.app.path("kept.jsonl");
    fs::write(&file, exported).expect("a file");
    let path = file.to_str().expect("text");
    // Nobody can make a file below a file, whoever runs this.
    let nowhere = file.join("trail.jsonl");
    let assert_nothing_is_done = |audit: &[&str]| {
        for words in [&["replay", "--yes"][..], &["discard", "--all", "--yes"], &["export"], &["import", path]] {
            let said = broken.run(&[words, audit].concat()).assert_exit_code(2);
            assert!(said.errors.contains("audit trail"), "{}", said.errors);
            assert_eq!(broken.count(), 3, "{words:?}");
            if words == ["export"] {
                assert_eq!(said.output, "", "nothing leaves the queue without a line");
            }
        }
        broken.assert_all_visible(3);
    };
    assert_nothing_is_done(&["--audit", nowhere.to_str().expect("text")]);
    if !broken.is_local() {
        broken.fail(Kind::Trail, 0, ALWAYS, How::Refused);
        assert_nothing_is_done(&[]);
        broken.repair();
    }
    let done = broken.json(&["replay", "--yes"], 0);
    assert_eq!((&done["Applied"], broken.count()), (&json!(3), 0), "no document was written before the trail was sure");
}

#[test]
#[ignore = "just test-azure"]
fn blobs_that_are_out_in_the_middle_stop_the_run_and_count_nothing() {
    for how in [How::Refused, How::Cut] {
        let mut broken = Broken::azurite();
        fill_large(&mut broken, 6);
        broken.fail(Kind::Fetch, 3, ALWAYS, how);
        let said = broken.run(&["replay", "--yes"]).assert_exit_code(2);
        assert!(said.errors.contains("DeadLetterStorage"), "{}", said.errors);
        let left = broken.count();
        assert_eq!(left, 3, "what could be fetched was replayed");
        assert_not_counted(&broken);
        broken.assert_all_visible(3);
        broken.fail(Kind::Fetch, 0, ALWAYS, how);
        let said = broken.run(&["export"]).assert_exit_code(2);
        assert!(said.errors.contains("DeadLetterStorage"), "{}", said.errors);
        broken.repair();
        let done = broken.json(&["replay", "--yes"], 0);
        assert_eq!((&done["Applied"], broken.count()), (&json!(3), 0));
    }
}

#[test]
fn a_folder_that_is_away_stops_the_run_and_counts_nothing() {
    let mut broken = Broken::local();
    fill_large(&mut broken, 2);
    let away = Path::new(&folder(&broken)).with_extension("away");
    fs::rename(folder(&broken), &away).expect("a folder");
    let said = broken.run(&["replay", "--yes"]).assert_exit_code(2);
    assert!(said.errors.contains("DeadLetterDirectory"), "{}", said.errors);
    assert_not_counted(&broken);
    fs::rename(&away, folder(&broken)).expect("a folder");
    assert_eq!(broken.json(&["replay", "--yes"], 0)["Applied"], 2);
}
