//! The state file: what happens when it is deleted, moved or replaced while a handler has it open, when a document in it is damaged,
//! and when its path has a meaning of its own in SQLite.

use std::{fs, path::Path, process::Output};

use devicestate_test_support::{App, Batch, Event, Handler, Reply};
use rusqlite::Connection;
use serde_json::json;

/// A batch with one event of a device.
fn event(device: &str, sequence_number: i64) -> Batch {
    let battery = f64::from(i32::try_from(sequence_number).expect("a small number")) / 10.0;
    Batch::of([Event::json(sequence_number, &json!({"deviceId": device, "battery": battery}))])
}

/// Sends a batch that must be answered with 503, and returns the reason.
#[track_caller]
fn reason_of_503(handler: &Handler, batch: Batch) -> String {
    let response = handler.post("1f2e", batch.retry(0, -1).envelope().to_string().as_bytes());
    let reply = response.json();
    assert_eq!(response.status, 503, "{reply}");
    reply["error"].as_str().expect("a reason").to_owned()
}

/// Changes the files next to a running handler.
type Change = fn(&Path);

#[test]
fn a_state_file_that_is_deleted_moved_or_replaced_is_a_503_and_nothing_is_applied() {
    let changes: [(&str, Change, &str); 6] = [
        ("deleted", |file| fs::remove_file(file).expect("a file"), "was deleted or moved away"),
        ("moved", |file| fs::rename(file, file.with_extension("old")).expect("a file"), "was deleted or moved away"),
        (
            "folder deleted",
            |file| fs::remove_dir_all(file.parent().expect("a folder")).expect("a folder"),
            "was deleted or moved away",
        ),
        (
            "replaced",
            |file| {
                fs::copy(file, file.with_extension("copy")).expect("a copy");
                fs::rename(file.with_extension("copy"), file).expect("a file");
            },
            "was replaced",
        ),
        ("log deleted", |file| fs::remove_file(file.with_extension("db-wal")).expect("a log"), "was deleted"),
        ("index deleted", |file| fs::remove_file(file.with_extension("db-shm")).expect("an index"), "was deleted"),
    ];
    for (name, change, expected) in changes {
        let app = App::shipped();
        let folder = app.path("data");
        fs::create_dir(&folder).expect("a folder");
        let app = app.with("SqlitePath", folder.join("state.db").display().to_string());
        let handler = app.start();
        handler.invoke(&event("a", 1).envelope()).assert_all_applied(1);
        change(&folder.join("state.db"));
        // A new device, a newer event, and one that would be superseded by a document that the handler does not remember.
        for batch in [event("b", 2), event("a", 3)] {
            let reason = reason_of_503(&handler, batch);
            assert!(reason.contains(expected) && reason.contains("state.db"), "{name}: {reason}");
        }
    }
}

#[test]
fn a_state_file_that_is_moved_back_is_written_again() {
    let app = App::shipped();
    let handler = app.start();
    handler.invoke(&event("a", 1).envelope()).assert_all_applied(1);
    fs::rename(app.path("state.db"), app.path("elsewhere")).expect("a file");
    reason_of_503(&handler, event("a", 2));
    fs::rename(app.path("elsewhere"), app.path("state.db")).expect("a file");
    handler.invoke(&event("a", 2).envelope()).assert_all_applied(1);
    assert_eq!(handler.readings("a")["Battery"], 0.2);
}

/// Before this, an SQLite connection that was closed deleted the log of the new file, by its path.
#[test]
fn a_handler_whose_file_was_replaced_leaves_the_log_of_the_new_file() {
    let app = App::shipped();
    let handler = app.start();
    handler.invoke(&event("a", 1).envelope()).assert_all_applied(1);
    for suffix in ["", "-wal", "-shm"] {
        fs::remove_file(app.path(&format!("state.db{suffix}"))).expect("a file");
    }
    let other = app.start();
    other.invoke(&event("b", 1).envelope()).assert_all_applied(1);
    reason_of_503(&handler, event("a", 2));
    drop(handler);
    other.invoke(&event("b", 2).envelope()).assert_all_applied(1);
    assert_eq!(other.readings("b")["Battery"], 0.2);
    assert_eq!(other.state("a"), None);
}

/// Replaces the text of a stored document by bytes.
fn damage(app: &App, device: &str, bytes: &[u8]) {
    let connection = Connection::open(app.path("state.db")).expect("the state file");
    let changed = connection
        .execute("UPDATE documents SET document = CAST(? AS TEXT) WHERE id = ?", rusqlite::params![bytes, device]);
    assert_eq!(changed, Ok(1));
}

#[test]
fn a_damaged_document_costs_only_the_events_of_its_device() {
    for bytes in [&b"{\"id\":\"a\xff\"}"[..], b"{\"id\":\"b\",\"Versions\":{}}", b"{\"id\":\"other\",\"Versions\":{}}"]
    {
        let app = App::shipped().with("DeadLetterAfterAttempts", "2");
        drop(
            app.start().invoke(
                &Batch::of([
                    Event::json(1, &json!({"deviceId": "a", "battery": 0.1})),
                    Event::json(2, &json!({"deviceId": "b", "battery": 0.1})),
                ])
                .envelope(),
            ),
        );
        damage(&app, "a", bytes);
        let handler = app.start();
        let batch = Batch::of([
            Event::json(3, &json!({"deviceId": "a", "battery": 0.3})),
            Event::json(4, &json!({"deviceId": "b", "battery": 0.4})),
        ]);
        let envelope = batch.retry(0, -1).envelope();
        let reply = Reply::from_response(&handler.post("1f2e", envelope.to_string().as_bytes()));
        assert_eq!(reply.counts(), [2, 1, 0, 1], "{reply:?}");
        let issue = reply.dead_letter()["Issue"].as_str().expect("a text");
        assert!(issue.contains("the stored document \"a\" is invalid"), "{issue}");
        assert_eq!(handler.readings("b")["Battery"], 0.4);
    }
}

#[test]
fn the_list_of_devices_shows_the_others_and_warns_of_a_damaged_document() {
    for bytes in [&b"{\"id\":\"a\xff\"}"[..], b"{\"id\":\"a\",\"Versions\":{}}", b"not JSON"] {
        let app = App::shipped();
        let handler = app.start();
        for device in ["a", "zz"] {
            handler.invoke(&event(device, 1).envelope()).assert_all_applied(1);
        }
        drop(handler);
        damage(&app, "zz", bytes);
        for output in ["json", "jsonl", "table"] {
            let listed = app.run(&["devices", "list", "-o", output]);
            let (text, errors) = (String::from_utf8_lossy(&listed.stdout), String::from_utf8_lossy(&listed.stderr));
            assert_eq!(listed.status.code(), Some(0), "{errors}");
            assert!(text.contains("0.1") && text.matches("0.1").count() == 1, "{text}");
            assert!(errors.contains("warning: the stored document \"zz\" is invalid"), "{errors}");
        }
        let shown = app.run(&["devices", "show", "zz"]);
        assert_eq!(shown.status.code(), Some(2), "{}", String::from_utf8_lossy(&shown.stderr));
    }
}

/// <https://github.com/hassio-addons/app-sqlite-web/issues/68>: people write `:memory:` where a path is expected.
#[test]
fn a_path_that_is_no_file_for_sqlite_is_rejected() {
    for (path, word) in [
        (":memory:", "StateStore"),
        ("file:state.db", "without `file:`"),
        ("file:/tmp/x.db?mode=memory", "without `file:`"),
        ("file::memory:", "without `file:`"),
    ] {
        let app = App::shipped().with("SqlitePath", path);
        let (status, errors) = app.fails_to_start();
        assert_eq!(status.code(), Some(1), "{errors}");
        assert!(errors.contains("`SqlitePath`") && errors.contains(path) && errors.contains(word), "{errors}");
        for command in [&["devices", "list", "--state"][..], &["dead-letters", "list", "--state"]] {
            let output = app.run(&[command, &[path]].concat());
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(2), "{errors}");
            assert!(errors.contains(word), "{errors}");
        }
    }
    // A path that is not special is a file, whatever its characters.
    let app = App::shipped();
    let app = app.with("SqlitePath", "./file:state?mode=memory#%20.db");
    app.start().invoke(&event("a", 1).envelope()).assert_all_applied(1);
    assert!(app.path("file:state?mode=memory#%20.db").is_file());
    let shown = app.run(&["devices", "show", "a", "-o", "json"]);
    assert_eq!(shown.status.code(), Some(0), "{}", String::from_utf8_lossy(&shown.stderr));
}

#[test]
fn a_folder_as_state_file_has_one_message_in_all_commands() {
    let app = App::shipped();
    let folder = app.path("folder");
    fs::create_dir(&folder).expect("a folder");
    let folder = folder.to_str().expect("text");
    let app = app.with("SqlitePath", folder);
    let mut messages = vec![app.fails_to_start().1];
    for command in [&["devices", "list"][..], &["dead-letters", "list"], &["local", "--devices", "1"]] {
        let output = app.run(&[command, &["--state", folder]].concat());
        assert_eq!(output.status.code(), Some(2));
        messages.push(String::from_utf8_lossy(&output.stderr).into_owned());
    }
    for message in messages {
        assert!(message.contains("it is a folder; set the path of a file"), "{message}");
    }
}

#[test]
fn a_handler_removes_the_unfinished_dead_letters_of_a_killed_one_at_its_start() {
    let app = App::shipped();
    let folder = app.path("state.db-dead-letters");
    fs::create_dir(&folder).expect("a folder");
    fs::write(folder.join("0af1-22.json"), "{}").expect("a file");
    fs::write(folder.join("0af1c2d40af1c2d40af1c2d40af1c2d4-0123abcd.9f.unfinished"), "{").expect("a file");
    drop(app.start());
    let left: Vec<_> = fs::read_dir(&folder).expect("a folder").map(|file| file.expect("a file").file_name()).collect();
    assert_eq!(left, ["0af1-22.json"]);
}

/// Runs a command as a user who may read the app's folder and write nothing.
#[cfg(unix)]
fn run_without_write_access(app: &App, arguments: &[&str]) -> Output {
    const OTHER_USER: u32 = 65_534;
    use std::os::unix::{fs::PermissionsExt as _, process::CommandExt as _};
    let set_mode =
        |path: &Path, mode| fs::set_permissions(path, fs::Permissions::from_mode(mode)).expect("a file of this test");
    let (folder, file) = (app.path(""), app.path("state.db"));
    set_mode(&folder, 0o555);
    set_mode(&file, 0o444);
    let mut command = app.tool();
    // Permissions do not limit root.
    if fs::metadata("/proc/self").is_ok_and(|process| std::os::unix::fs::MetadataExt::uid(&process) == 0) {
        command.uid(OTHER_USER).gid(OTHER_USER);
    }
    let output = command.args(arguments).output().expect("the binary");
    set_mode(&folder, 0o755);
    set_mode(&file, 0o644);
    output
}

#[cfg(unix)]
#[test]
fn commands_that_only_read_need_no_write_access_and_create_no_file() {
    let app = App::shipped();
    let handler = app.start();
    let batch = Batch::of([Event::json(1, &json!({"deviceId": "a", "battery": 0.1})), Event::new(2, "not JSON")]);
    let reply = handler.invoke(&batch.envelope());
    drop(handler);
    let connection = Connection::open(app.path("state.db")).expect("the state file");
    let insert = "INSERT INTO dead_letters (inserted_ms, text) VALUES (0, CAST(? AS BLOB))";
    assert_eq!(connection.execute(insert, [reply.dead_letter().to_string()]), Ok(1));
    // The last connection moves the log into the file.
    drop(connection);
    let files = || {
        let names = fs::read_dir(app.path("")).expect("a folder").map(|file| file.expect("a file").file_name());
        let mut names: Vec<_> = names.collect();
        names.sort_unstable();
        names
    };
    let before = files();
    assert!(!before.iter().any(|name| name.to_string_lossy().contains("-wal")), "{before:?}");
    for (command, word) in [
        (&["devices", "list"][..], "0.1"),
        (&["devices", "show", "a"], "0.1"),
        (&["dead-letters", "list", "--peek"], "not a JSON object"),
    ] {
        let state = app.path("state.db").display().to_string();
        let arguments = [command, &["--state", &state]].concat();
        for output in [run_without_write_access(&app, &arguments), app.run(&arguments)] {
            let errors = String::from_utf8_lossy(&output.stderr);
            assert_eq!(output.status.code(), Some(0), "{command:?}: {errors}");
            assert!(String::from_utf8_lossy(&output.stdout).contains(word), "{command:?}");
            assert_eq!(files(), before, "{command:?}");
        }
    }
    // With a log, which a running or killed handler leaves, too.
    let handler = app.start();
    handler.invoke(&event("b", 3).envelope()).assert_all_applied(1);
    let assert_shows_log = || {
        let output = run_without_write_access(&app, &["devices", "list"]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(0), "{errors}");
        assert!(String::from_utf8_lossy(&output.stdout).contains("0.3"), "{errors}");
    };
    assert_shows_log();
    drop(handler);
    assert_shows_log();
}
