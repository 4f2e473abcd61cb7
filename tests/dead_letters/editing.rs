//! The command `edit`: corrected telemetry is replayed.

use std::{
    fs,
    path::{Path, PathBuf},
};

use devicestate_test_oracle::protobuf::Message;
use devicestate_test_storage::bench::{Bench, CommandOutput};
use devicestate_test_support::{Batch, Event, base64};
use serde_json::json;

#[cfg(target_os = "linux")]
use crate::run_on_terminal;
use crate::{DRY_RUN, on_both_queues};

on_both_queues![
    an_edited_event_is_replayed_under_its_own_version,
    an_edit_overwrites_no_newer_reading,
    an_editor_shows_protobuf_as_json,
    an_editor_shows_the_device_of_unreadable_bytes,
    an_unchanged_text_is_not_replayed,
    an_edit_that_still_fails_is_rejected_and_kept,
    an_edit_without_a_terminal_and_without_yes_is_a_dry_run,
    a_failed_editor_changes_nothing_and_leaves_no_file,
    visual_takes_precedence_over_editor_and_both_may_have_options,
    an_edit_without_a_store_fails_before_the_editor_opens,
    an_edit_to_another_device_is_refused_without_an_option,
    an_edit_without_a_terminal_and_an_editor_leaves_no_file,
    a_byte_order_mark_and_other_line_ends_of_an_editor_are_skipped,
];

/// Puts the dead letter of an event whose battery is text, and returns its id.
fn put_one_dead_letter(bench: &Bench) -> String {
    let event = Event::json(7, &json!({"deviceId": "drone-1", "battery": "0.25"})).partition_key("drone-1");
    id_of(bench, event)
}

fn id_of(bench: &Bench, event: Event) -> String {
    let reply = bench.handle(&Batch::of([event]));
    reply.dead_letter()["Id"].as_str().expect("an id").to_owned()
}

/// Runs `edit` with these editors and its own temporary folder.
fn edit(bench: &Bench, words: &[&str], editors: &[(&str, &str)]) -> CommandOutput {
    let folder = temporary_folder(bench);
    fs::create_dir_all(&folder).expect("a folder");
    let audit = bench.app.path("audit.jsonl");
    let mut command = bench.command(&[&["edit"], words].concat());
    command.arg("--audit").arg(audit).env("TMPDIR", folder).envs(editors.iter().copied());
    command.env("PATH", std::env::var_os("PATH").expect("a path"));
    CommandOutput::from(command.output().expect("the binary runs"))
}

fn temporary_folder(bench: &Bench) -> PathBuf {
    bench.app.path("temporary")
}

/// Returns the files left in the temporary folder.
fn files_left(bench: &Bench) -> Vec<PathBuf> {
    let files = fs::read_dir(temporary_folder(bench)).expect("a folder").flatten();
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
}

fn correction(bench: &Bench, text: &str) -> String {
    let path = bench.app.path("corrected.json");
    fs::write(&path, text).expect("a file");
    path.to_str().expect("a path of text").to_owned()
}

fn assert_prints(result: &CommandOutput, words: &[&str]) {
    for word in words {
        assert!(
            result.output.contains(word) || result.errors.contains(word),
            "{word:?}:\n{}\n{}",
            result.output,
            result.errors
        );
    }
}

/// An editor that removes the quotes around the number.
const CORRECTING_EDITOR: (&str, &str) = ("EDITOR", r#"sed -i 's/"0.25"/0.25/'"#);

fn an_edited_event_is_replayed_under_its_own_version(bench: &Bench) {
    let id = put_one_dead_letter(bench);
    let result = edit(bench, &[&id[..8], "--yes"], &[CORRECTING_EDITOR]).assert_exit_code(0);
    assert_prints(&result, &["It would be applied:", "AFTER REPLAY", "applied                                1"]);
    let document = &bench.documents()["drone-1"];
    assert_eq!(document["Battery"], 0.25);
    let version = Event::new(7, "").position();
    assert_eq!(
        (&document["Versions"]["Battery"][0], &document["Versions"]["Battery"][1]),
        (&json!(version.0), &json!(7))
    );
    assert_eq!((bench.count(), files_left(bench)), (0, vec![]));
    let lines = fs::read_to_string(bench.app.path("audit.jsonl")).expect("the audit trail");
    let line: serde_json::Value = serde_json::from_str(&lines).expect("one line");
    assert_eq!((&line["action"], &line["outcome"], &line["id"]), (&json!("edit"), &json!("applied"), &json!(id)));
    assert_eq!(line["original"], base64(json!({"deviceId": "drone-1", "battery": "0.25"}).to_string()));
    assert_eq!(line["edited"], base64("{\n  \"battery\": 0.25,\n  \"deviceId\": \"drone-1\"\n}\n"));
}

fn an_edit_overwrites_no_newer_reading(bench: &Bench) {
    let id = put_one_dead_letter(bench);
    bench.handle(&Batch::of([Event::json(9, &json!({"deviceId": "drone-1", "battery": 0.75}))]));
    let file = correction(bench, r#"{"deviceId":"drone-1","battery":0.25,"flightMode":1}"#);
    edit(bench, &[&id, "--file", &file, "--yes"], &[]).assert_exit_code(0);
    let document = &bench.documents()["drone-1"];
    assert_eq!((&document["Battery"], &document["FlightMode"]), (&json!(0.75), &json!(1)));
    assert_eq!(bench.count(), 0);
    assert!(Path::new(&file).exists(), "the given file stays");
}

fn an_editor_shows_protobuf_as_json(bench: &Bench) {
    let id = id_of(bench, Event::protobuf(7, Message::with_device("drone-1").double(2, 0.5).varint(3, 99)));
    edit(bench, &[&id, "--yes"], &[("EDITOR", r#"sed -i 's/"flightMode": 99/"flightMode": "Landing"/'"#)])
        .assert_exit_code(0);
    let document = &bench.documents()["drone-1"];
    assert_eq!((&document["Battery"], &document["FlightMode"]), (&json!(0.5), &json!(4)));
    assert_eq!(bench.count(), 0);
}

fn an_editor_shows_the_device_of_unreadable_bytes(bench: &Bench) {
    for (number, body) in [(1, &b"\xff\xfe\x00hello"[..]), (2, b"")] {
        let id = id_of(bench, Event::new(number, body).partition_key("drone-1"));
        let editor = ("EDITOR", r#"sed -i 's/"drone-1"/"drone-1","battery":0.5/'"#);
        edit(bench, &[&id, "--yes"], &[editor]).assert_exit_code(0);
        assert_eq!(bench.documents()["drone-1"]["Versions"]["Battery"][1], number);
    }
    assert_eq!(bench.count(), 0);
}

fn an_unchanged_text_is_not_replayed(bench: &Bench) {
    let id = put_one_dead_letter(bench);
    let result = edit(bench, &[&id, "--yes"], &[("EDITOR", "true")]).assert_exit_code(0);
    assert_prints(&result, &["The text was not changed: nothing to replay."]);
    assert_eq!((bench.count(), files_left(bench), bench.documents().len()), (1, vec![], 0));
}

fn an_edit_that_still_fails_is_rejected_and_kept(bench: &Bench) {
    let id = put_one_dead_letter(bench);
    for (editor, reason) in [
        (r#"sed -i 's/"0.25"/0.25,/'"#, "it is not valid JSON: "),
        (r#"sed -i 's/"0.25"/"half"/'"#, "battery: invalid type: string \"half\", expected a number"),
    ] {
        let result = edit(bench, &[&id, "--yes"], &[("EDITOR", editor)]).assert_exit_code(1);
        let files_left = files_left(bench);
        let [file] = &files_left[..] else { panic!("{files_left:?}") };
        let file = file.to_str().expect("a path of text");
        assert_prints(&result, &["the corrected telemetry was not replayed: ", reason]);
        assert_prints(&result, &[&format!("the text is kept: devicestate dead-letters edit {id} --file {file}")]);
        assert!(!bench.is_local() || result.errors.contains(" --state "), "{}", result.errors);
        fs::remove_file(file).expect("removed");
    }
    assert_eq!((bench.count(), bench.documents().len()), (1, 0));
}

fn an_edit_without_a_terminal_and_without_yes_is_a_dry_run(bench: &Bench) {
    let id = put_one_dead_letter(bench);
    let result = edit(bench, &[&id], &[CORRECTING_EDITOR]).assert_exit_code(0);
    let files_left = files_left(bench);
    let [file] = &files_left[..] else { panic!("{files_left:?}") };
    let file = file.to_str().expect("a path of text");
    assert_prints(&result, &["It would be applied:", DRY_RUN, "The text is kept: ", file]);
    assert_eq!((bench.count(), bench.documents().len()), (1, 0));
    assert!(!bench.app.path("audit.jsonl").exists(), "nothing changed");
    let dry_run = bench.json(&["edit", &id, "--file", file], 0);
    let changes = json!([{"device": "drone-1", "reading": "Battery", "stored": null, "afterReplay": 0.25}]);
    let expected = json!({
        "id": id, "dryRun": true, "outcome": "applied", "telemetry": "drone", "changes": changes, "file": file,
    });
    assert_eq!((dry_run, bench.count()), (expected, 1));
    edit(bench, &[&id, "--file", file, "--yes"], &[]).assert_exit_code(0);
    assert_eq!(bench.documents()["drone-1"]["Battery"], 0.25);
}

fn a_failed_editor_changes_nothing_and_leaves_no_file(bench: &Bench) {
    let id = put_one_dead_letter(bench);
    for editor in ["false", "no-such-editor-anywhere"] {
        let result = edit(bench, &[&id, "--yes"], &[("EDITOR", editor)]).assert_exit_code(2);
        assert_prints(&result, &[editor, "VISUAL or EDITOR", "nothing changed"]);
        assert_eq!((bench.count(), files_left(bench)), (1, vec![]));
    }
    let result = edit(bench, &[&id, "--yes"], &[("EDITOR", "f() { echo 7 >\"$1\"; false; }; f")]).assert_exit_code(2);
    let files_left = files_left(bench);
    assert_prints(&result, &["the saved text is in ", files_left[0].to_str().expect("a path of text")]);
    assert_eq!((bench.count(), bench.documents().len()), (1, 0));
}

fn visual_takes_precedence_over_editor_and_both_may_have_options(bench: &Bench) {
    let id = put_one_dead_letter(bench);
    edit(bench, &[&id, "--yes"], &[("VISUAL", CORRECTING_EDITOR.1), ("EDITOR", "false")]).assert_exit_code(0);
    assert_eq!(bench.documents()["drone-1"]["Battery"], 0.25);
    let id = id_of(bench, Event::json(8, &json!({"deviceId": "drone-1", "battery": "0.25"})));
    edit(bench, &[&id, "--yes"], &[("VISUAL", ""), CORRECTING_EDITOR]).assert_exit_code(0);
    assert_eq!(bench.count(), 0);
}

fn an_edit_without_a_store_fails_before_the_editor_opens(bench: &Bench) {
    let id = put_one_dead_letter(bench);
    let result = edit(bench, &[&id, "--yes"], &[("EDITOR", "touch \"$TMPDIR\"/opened.json"), ("StateStore", "memory")]);
    assert_prints(&result.assert_exit_code(2), &["StateStore is memory"]);
    assert_eq!((bench.count(), files_left(bench)), (1, vec![]), "the editor was not opened");
}

fn an_edit_to_another_device_is_refused_without_an_option(bench: &Bench) {
    let other = correction(bench, r#"{"deviceId":"drone-2","battery":0.25}"#);
    let ids = [
        // The device is in the body: of an event that cannot be decoded, and of one with an invalid value.
        put_one_dead_letter(bench),
        id_of(bench, Event::json(8, &json!({"deviceId": "drone-1", "flightMode": 99}))),
        id_of(bench, Event::protobuf(9, Message::with_device("drone-1").varint(3, 99))),
    ];
    for id in &ids {
        let result = edit(bench, &[id, "--file", &other, "--yes"], &[]).assert_exit_code(1);
        assert_prints(&result, &["its device id is \"drone-2\", and that of the dead letter is \"drone-1\""]);
        assert_prints(&result, &["--allow-device-change", "the text is kept: "]);
    }
    assert_eq!((bench.count(), bench.documents().len()), (3, 0));
    edit(bench, &[&ids[0], "--file", &other, "--yes", "--allow-device-change"], &[]).assert_exit_code(0);
    assert_eq!((bench.count(), bench.documents()["drone-2"]["Battery"].clone()), (2, json!(0.25)));
    // Without a device there is nothing to compare: the partition key is a guess.
    let nameless = id_of(bench, Event::json(10, &json!({"battery": 0.5})).partition_key("drone-1"));
    edit(bench, &[&nameless, "--file", &other, "--yes"], &[]).assert_exit_code(0);
}

fn an_edit_without_a_terminal_and_an_editor_leaves_no_file(bench: &Bench) {
    let id = put_one_dead_letter(bench);
    let result = edit(bench, &[&id, "--yes"], &[("VISUAL", ""), ("EDITOR", "")]).assert_exit_code(2);
    assert_prints(&result, &["there is no terminal", "use --file FILE"]);
    assert_eq!((bench.count(), files_left(bench)), (1, vec![]));
}

fn a_byte_order_mark_and_other_line_ends_of_an_editor_are_skipped(bench: &Bench) {
    let id = put_one_dead_letter(bench);
    let unchanged = ("EDITOR", r"sed -i '1s/^/\xef\xbb\xbf/; s/$/\r/'");
    let result = edit(bench, &[&id, "--yes"], &[unchanged]).assert_exit_code(0);
    assert_prints(&result, &["The text was not changed"]);
    let utf16: Vec<u8> = "\u{feff}{}".encode_utf16().flat_map(u16::to_le_bytes).collect();
    let file = bench.app.path("utf-16.json");
    fs::write(&file, utf16).expect("a file");
    let result = edit(bench, &[&id, "--file", file.to_str().expect("text"), "--yes"], &[]).assert_exit_code(2);
    assert_prints(&result, &["it is UTF-16 text; save it as UTF-8"]);
    assert_eq!(bench.count(), 1);
    let corrected = ("EDITOR", r#"sed -i '1s/^/\xef\xbb\xbf/; s/"0.25"/0.25/; s/$/\r/'"#);
    edit(bench, &[&id, "--yes"], &[corrected]).assert_exit_code(0);
    assert_eq!((bench.count(), bench.documents()["drone-1"]["Battery"].clone()), (0, json!(0.25)));
}

#[test]
fn an_id_for_a_record_that_had_none_is_no_change_of_a_device() {
    let bench = Bench::local().with("Telemetry", "json");
    let event = Event::json(1, &json!([{"deviceId": "g", "x": 1}, {"deviceId": "h", "x": 2}, {"x": 3}]));
    let reply = bench.handle(&Batch::of([event]));
    let id = reply.dead_letter()["Id"].as_str().expect("an id").to_owned();
    let edit_records = |ids: [&str; 3], code: i32| {
        let records: Vec<_> = ids.iter().zip(1..).map(|(id, x)| json!({"deviceId": id, "x": x})).collect();
        let file = correction(&bench, &json!(records).to_string());
        edit(&bench, &[&id, "--file", &file], &[]).assert_exit_code(code)
    };
    for changed in [["g", "j", "k"], ["i", "h", "k"], ["i", "j", "k"]] {
        assert_prints(&edit_records(changed, 1), &["--allow-device-change"]);
    }
    assert_prints(&edit_records(["g", "h", "k"], 0), &["telemetry: any JSON", "It would be applied:"]);
    assert_prints(&edit_records(["g", "h", "h"], 0), &["It would be applied:"]);
}

#[test]
#[cfg(target_os = "linux")]
fn an_edit_on_a_terminal_asks_before_it_replays() {
    let bench = Bench::local();
    let id = put_one_dead_letter(&bench);
    let file = correction(&bench, r#"{"deviceId":"drone-1","battery":0.25}"#);
    for (answer, left) in [("n", 1), ("", 1), ("y", 0)] {
        let (code, said) = run_on_terminal(&bench, &["edit", &id, "--file", &file], answer);
        assert!(code == Some(0) && said.contains("Replay it? [y/N]"), "{said}");
        assert_eq!((bench.count(), said.contains("Nothing changed.\r\nThe text is kept")), (left, left == 1), "{said}");
    }
    assert_eq!(bench.documents()["drone-1"]["Battery"], 0.25);
}
