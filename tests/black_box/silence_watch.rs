//! The silence watch (the timer function of each minute), with the documents of a state file.

use devicestate_test_support::{
    App, Batch, DEAD_LETTER_MONITOR, Event, Framing, Handler, Response, SILENCE_WATCH, queue_records, read_record,
    repository_file,
};
use rusqlite::Connection;
use serde_json::{Value, json};

/// An app whose devices are silent as soon as a millisecond has passed since their last event was stored.
fn app() -> App {
    App::shipped().with("HeardEvery", "00:00:00").with("SilentAfter", "00:00:00.001")
}

fn call(handler: &Handler, function: &str) -> Response {
    handler.call(function, "3f21", b"{}", Framing::Length)
}

/// Runs the watch and returns its summary.
fn watch(handler: &Handler) -> Value {
    let response = call(handler, SILENCE_WATCH);
    let json = response.json();
    assert_eq!((response.status, &json["Outputs"]), (200, &json!({})), "{json}");
    assert_eq!(json["Logs"].as_array().map(Vec::len), Some(1), "{json}");
    let summary = read_record(json["Logs"][0].as_str().expect("a line"));
    assert_eq!((&summary["record"], &summary["isComplete"]), (&"silenceWatch".into(), &true.into()));
    summary
}

/// Runs the watch until it counts one device of this kind.
fn watch_until(handler: &Handler, kind: &str) {
    assert!((0..1_000).any(|_| watch(handler)[kind] == 1), "no device is {kind}");
}

/// Returns the records of devices in the log: the kind, the device and since when it was silent.
fn records(app: &App) -> Vec<[Value; 3]> {
    let log = app.log();
    let lines = log.lines().filter(|line| line.contains(r#""record":"device"#));
    let records = lines.map(read_record);
    records.map(|record| ["record", "deviceId", "silentSince"].map(|field| record[field].clone())).collect()
}

fn send(handler: &Handler, number: i64) {
    let event = Event::json(number, &json!({"deviceId": "drone-1", "battery": 0.5}));
    handler.invoke(&Batch::of([event]).envelope()).assert_all_applied(1);
}

#[test]
fn a_device_that_falls_silent_and_returns_is_recorded_in_the_log_and_marked() {
    let app = app();
    let handler = app.start();
    send(&handler, 1);
    watch_until(&handler, "silent");
    let marked = handler.state("drone-1").expect("a document");
    assert_eq!(marked["SilentSince"], marked["Heard"], "{marked}");
    assert_eq!(watch(&handler)["silent"], 0, "it is marked");
    let show = || String::from_utf8(app.run(&["devices", "show", "drone-1"]).stdout).expect("text");
    assert!(show().contains(" ago, silent since then)\n"), "{}", show());
    // The cached document of the batches is that before the mark.
    send(&handler, 2);
    watch_until(&handler, "back");
    assert!(show().contains(" ago)\n"), "{}", show());
    let document = handler.state("drone-1").expect("a document");
    assert!(document["SilentSince"].is_null() && document["Heard"] != marked["Heard"], "{document}");
    handler.stop();
    let since = &marked["Heard"];
    let [silent, back] = ["deviceSilent", "deviceBack"].map(|kind| [json!(kind), json!("drone-1"), since.clone()]);
    assert_eq!(records(&app)[..2], [silent, back]);
}

#[test]
fn without_the_setting_the_watch_does_nothing() {
    let app = App::shipped();
    let handler = app.start();
    send(&handler, 1);
    let response = call(&handler, SILENCE_WATCH);
    assert_eq!((response.status, response.json()), (200, json!({"Outputs": {}, "Logs": [], "ReturnValue": null})));
}

#[test]
fn a_store_that_fails_is_reported_in_the_reply_and_once_in_the_log() {
    let app = app();
    let handler = app.start();
    let state = Connection::open(app.path("state.db")).expect("the state file");
    state.execute_batch("DROP TABLE documents").expect("the table");
    let response = call(&handler, SILENCE_WATCH);
    let body = response.json();
    assert_eq!(response.status, 503, "{body}");
    let error = body["error"].as_str().expect("a text");
    assert!(error.starts_with("which devices are silent is unknown: "), "{error}");
    let errors = handler.stop();
    let lines: Vec<_> = errors.lines().filter(|line| line.contains("devices are silent")).collect();
    let [line] = lines[..] else { panic!("one line: {errors}") };
    assert!(line.contains("\"ERROR\"") && line.contains(SILENCE_WATCH), "{line}");
    assert!(app.log().contains(r#""record":"silenceWatch""#), "what was done so far");
}

#[test]
fn the_name_of_the_binding_says_what_a_timer_function_watches() {
    let app = app();
    let state = app.path("state.db").display().to_string();
    let app = app.with("DeadLetterSqlitePath", state);
    app.add_function("Daily", &repository_file(&format!("{SILENCE_WATCH}/function.json")));
    app.add_function("Hourly", &repository_file(&format!("{DEAD_LETTER_MONITOR}/function.json")));
    let handler = app.start();
    assert!(String::from_utf8_lossy(&call(&handler, "Daily").body).contains("silenceWatch"));
    assert_eq!(queue_records(&call(&handler, "Hourly")).len(), 1);
}
