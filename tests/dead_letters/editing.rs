//! Telemetry put right by a person, and replayed.

use std::{
    fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use devicestate_test_oracle::protobuf::Message;
use devicestate_test_storage::bench::{Bench, CommandOutput};
use devicestate_test_support::{Batch, Event, base64};
use serde_json::json;

use crate::on_both_queues;

on_both_queues![
    what_an_editor_saves_is_replayed_under_the_events_own_version,
    a_newer_reading_stays,
    protobuf_is_offered_as_json_and_replayed_as_json,
    bytes_that_are_nothing_are_offered_with_the_device,
    text_that_stays_as_it_was_does_nothing,
    what_still_fails_is_refused_and_kept,
    without_a_terminal_and_without_yes_nothing_is_done,
    an_editor_that_fails_does_nothing_and_leaves_nothing,
    visual_goes_before_editor_and_either_may_have_options,
    what_could_not_be_replayed_is_told_before_anybody_has_worked_on_it,
];

/// An event with a battery that is text, which fails, and its dead letter's id.
fn put_one(bench: &Bench) -> String {
    let event = Event::json(7, &json!({"deviceId": "drone-1", "battery": "0.25"})).partition_key("drone-1");
    id_of(bench, event)
}

fn id_of(bench: &Bench, event: Event) -> String {
    let reply = bench.handle(&Batch::of([event]));
    reply.dead_letter()["Id"].as_str().expect("an id").to_owned()
}

/// Edits with these editors, in a folder of temporary files of its own.
fn edit(bench: &Bench, words: &[&str], editors: &[(&str, &str)]) -> CommandOutput {
    let folder = temporary(bench);
    fs::create_dir_all(&folder).expect("a folder");
    let audit = bench.app.path("audit.jsonl");
    let mut command = bench.command(&[&["edit"], words].concat());
    command.arg("--audit").arg(audit).env("TMPDIR", folder).envs(editors.iter().copied());
    command.env("PATH", std::env::var_os("PATH").expect("a path"));
    CommandOutput::from(command.output().expect("the binary runs"))
}

fn temporary(bench: &Bench) -> PathBuf {
    bench.app.path("temporary")
}

/// What was left in the folder of temporary files.
fn kept(bench: &Bench) -> Vec<PathBuf> {
    let files = fs::read_dir(temporary(bench)).expect("a folder").flatten();
    files.map(|file| file.path()).filter(|path| path.extension().is_some_and(|end| end == "json")).collect()
}

fn correction(bench: &Bench, text: &str) -> String {
    let path = bench.app.path("corrected.json");
    fs::write(&path, text).expect("a file");
    path.to_str().expect("a path of text").to_owned()
}

fn says(said: &CommandOutput, words: &[&str]) {
    for word in words {
        assert!(
            said.output.contains(word) || said.errors.contains(word),
            "{word:?}:\n{}\n{}",
            said.output,
            said.errors
        );
    }
}

/// The JSON editor that takes the quotes off the number.
const RIGHT: (&str, &str) = ("EDITOR", r#"sed -i 's/"0.25"/0.25/'"#);

fn what_an_editor_saves_is_replayed_under_the_events_own_version(bench: &Bench) {
    let id = put_one(bench);
    let said = edit(bench, &[&id[..8], "--yes"], &[RIGHT]).assert_exit_code(0);
    says(&said, &["It would be applied:", "AFTER A REPLAY", "applied                                1"]);
    let document = &bench.documents()["drone-1"];
    assert_eq!(document["Battery"], 0.25);
    let version = Event::new(7, "").position();
    assert_eq!(
        (&document["Versions"]["Battery"][0], &document["Versions"]["Battery"][1]),
        (&json!(version.0), &json!(7))
    );
    assert_eq!((bench.count(), kept(bench)), (0, vec![]));
    let lines = fs::read_to_string(bench.app.path("audit.jsonl")).expect("the audit trail");
    let line: serde_json::Value = serde_json::from_str(&lines).expect("one line");
    assert_eq!((&line["Action"], &line["Outcome"], &line["Id"]), (&json!("edit"), &json!("applied"), &json!(id)));
    assert_eq!(line["Original"], base64(json!({"deviceId": "drone-1", "battery": "0.25"}).to_string()));
    assert_eq!(line["Edited"], base64("{\n  \"battery\": 0.25,\n  \"deviceId\": \"drone-1\"\n}\n"));
}

fn a_newer_reading_stays(bench: &Bench) {
    let id = put_one(bench);
    bench.handle(&Batch::of([Event::json(9, &json!({"deviceId": "drone-1", "battery": 0.75}))]));
    let file = correction(bench, r#"{"deviceId":"drone-1","battery":0.25,"flightMode":1}"#);
    edit(bench, &[&id, "--from", &file, "--yes"], &[]).assert_exit_code(0);
    let document = &bench.documents()["drone-1"];
    assert_eq!((&document["Battery"], &document["FlightMode"]), (&json!(0.75), &json!(1)));
    assert_eq!(bench.count(), 0);
    assert!(Path::new(&file).exists(), "a person's own file stays");
}

fn protobuf_is_offered_as_json_and_replayed_as_json(bench: &Bench) {
    let id = id_of(bench, Event::protobuf(7, Message::with_device("drone-1").double(2, 0.5).varint(3, 99)));
    edit(bench, &[&id, "--yes"], &[("EDITOR", r#"sed -i 's/"flightMode": 99/"flightMode": "Landing"/'"#)])
        .assert_exit_code(0);
    let document = &bench.documents()["drone-1"];
    assert_eq!((&document["Battery"], &document["FlightMode"]), (&json!(0.5), &json!(4)));
    assert_eq!(bench.count(), 0);
}

fn bytes_that_are_nothing_are_offered_with_the_device(bench: &Bench) {
    for (number, body) in [(1, &b"\xff\xfe\x00hello"[..]), (2, b"")] {
        let id = id_of(bench, Event::new(number, body).partition_key("drone-1"));
        let editor = ("EDITOR", r#"sed -i 's/"drone-1"/"drone-1","battery":0.5/'"#);
        edit(bench, &[&id, "--yes"], &[editor]).assert_exit_code(0);
        assert_eq!(bench.documents()["drone-1"]["Versions"]["Battery"][1], number);
    }
    assert_eq!(bench.count(), 0);
}

fn text_that_stays_as_it_was_does_nothing(bench: &Bench) {
    let id = put_one(bench);
    let said = edit(bench, &[&id, "--yes"], &[("EDITOR", "true")]).assert_exit_code(0);
    says(&said, &["nothing was changed, and nothing is done"]);
    assert_eq!((bench.count(), kept(bench), bench.documents().len()), (1, vec![], 0));
}

fn what_still_fails_is_refused_and_kept(bench: &Bench) {
    let id = put_one(bench);
    for (editor, reason) in [
        (r#"sed -i 's/"0.25"/0.25,/'"#, "it is not valid JSON: "),
        (r#"sed -i 's/"0.25"/"half"/'"#, "battery: invalid type: string \"half\", expected a number"),
    ] {
        let said = edit(bench, &[&id, "--yes"], &[("EDITOR", editor)]).assert_exit_code(1);
        let kept = kept(bench);
        let [file] = &kept[..] else { panic!("{kept:?}") };
        let file = file.to_str().expect("a path of text");
        says(&said, &["the corrected telemetry is not replayed: ", reason]);
        says(&said, &[&format!("the text is kept: devicestate dead-letters edit {id} --from {file}")]);
        assert!(!bench.is_local() || said.errors.contains(" --state "), "{}", said.errors);
        // Put right, it goes on from there.
        fs::remove_file(file).expect("removed");
    }
    assert_eq!((bench.count(), bench.documents().len()), (1, 0));
}

fn without_a_terminal_and_without_yes_nothing_is_done(bench: &Bench) {
    let id = put_one(bench);
    let said = edit(bench, &[&id], &[RIGHT]).assert_exit_code(1);
    let kept = kept(bench);
    let [file] = &kept[..] else { panic!("{kept:?}") };
    let file = file.to_str().expect("a path of text");
    says(&said, &["It would be applied:", "no terminal", "nothing is done", "the text is kept: ", file]);
    assert_eq!((bench.count(), bench.documents().len()), (1, 0));
    assert!(!bench.app.path("audit.jsonl").exists(), "nothing was done");
    edit(bench, &[&id, "--from", file, "--yes"], &[]).assert_exit_code(0);
    assert_eq!(bench.documents()["drone-1"]["Battery"], 0.25);
}

fn an_editor_that_fails_does_nothing_and_leaves_nothing(bench: &Bench) {
    let id = put_one(bench);
    for editor in ["false", "no-such-editor-anywhere"] {
        let said = edit(bench, &[&id, "--yes"], &[("EDITOR", editor)]).assert_exit_code(2);
        says(&said, &[editor, "VISUAL or EDITOR", "nothing is done"]);
        assert_eq!((bench.count(), kept(bench)), (1, vec![]));
    }
    let said = edit(bench, &[&id, "--yes"], &[("EDITOR", "f() { echo 7 >\"$1\"; false; }; f")]).assert_exit_code(2);
    let kept = kept(bench);
    says(&said, &["what it has saved is in ", kept[0].to_str().expect("a path of text")]);
    assert_eq!((bench.count(), bench.documents().len()), (1, 0));
}

fn visual_goes_before_editor_and_either_may_have_options(bench: &Bench) {
    let id = put_one(bench);
    edit(bench, &[&id, "--yes"], &[("VISUAL", RIGHT.1), ("EDITOR", "false")]).assert_exit_code(0);
    assert_eq!(bench.documents()["drone-1"]["Battery"], 0.25);
    let id = id_of(bench, Event::json(8, &json!({"deviceId": "drone-1", "battery": "0.25"})));
    edit(bench, &[&id, "--yes"], &[("VISUAL", ""), RIGHT]).assert_exit_code(0);
    assert_eq!(bench.count(), 0);
}

fn what_could_not_be_replayed_is_told_before_anybody_has_worked_on_it(bench: &Bench) {
    let id = put_one(bench);
    let said = edit(bench, &[&id, "--yes"], &[("EDITOR", "touch \"$TMPDIR\"/opened.json"), ("StateStore", "memory")]);
    says(&said.assert_exit_code(2), &["StateStore is memory"]);
    assert_eq!((bench.count(), kept(bench)), (1, vec![]), "the editor was not opened");
}

/// By `script` of util-linux: it gives the tool a terminal of its own.
#[test]
#[cfg(target_os = "linux")]
fn on_a_terminal_a_person_is_asked_and_must_say_yes() {
    let bench = Bench::local();
    let id = put_one(&bench);
    let file = correction(&bench, r#"{"deviceId":"drone-1","battery":0.25}"#);
    for (answer, left) in [("n", 1), ("", 1), ("y", 0)] {
        let tool = bench.command(&["edit", &id, "--from", &file]);
        let words = [tool.get_program()].into_iter().chain(tool.get_args());
        let words: Vec<_> = words.map(|word| format!("'{}'", word.to_str().expect("text"))).collect();
        let mut script = Command::new("script");
        script.args(["-q", "-e", "-c", &words.join(" "), "/dev/null"]).current_dir(bench.app.path(""));
        let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script");
        let mut stdin = child.stdin.take().expect("a pipe");
        writeln!(stdin, "{answer}").expect("it reads");
        let output = child.wait_with_output().expect("it ends");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success() && said.contains("Replay it? [y/N]"), "{said}");
        assert_eq!((bench.count(), said.contains("nothing is done; the text is kept")), (left, left == 1), "{said}");
    }
    assert_eq!(bench.documents()["drone-1"]["Battery"], 0.25);
}
