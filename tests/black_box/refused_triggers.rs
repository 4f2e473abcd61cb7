//! Triggers with which the host would lose or change events: refused at the start, or named in a warning.

use devicestate_test_support::{App, Batch, FUNCTION, SESSIONS};
use serde_json::{Value, json};

const BINARY: &str = r#"set `"dataType": "binary"` in the trigger"#;

/// Checks that the handler does not start, and that its error is one line about this file with these words.
#[track_caller]
fn assert_refused(app: &App, function: &str, words: &[&str]) {
    let (status, errors) = app.fails_to_start();
    assert_eq!(status.code(), Some(1), "{errors}");
    let file = format!("{function}/function.json");
    assert!(errors.lines().count() == 1 && errors.contains(&file), "{errors}");
    for word in words {
        assert!(errors.contains(word), "{word:?} is not in: {errors}");
    }
}

/// Returns the warnings about this function's file that a start of the handler logs.
fn warnings(app: &App, function: &str) -> Vec<String> {
    let errors = app.start().stop();
    let lines = errors.lines().filter(|line| line.contains(&format!("{function}/function.json")));
    lines.inspect(|line| assert!(line.contains(r#""level":"WARN""#), "{line}")).map(str::to_owned).collect()
}

fn without_retry(function: &mut Value) {
    function.as_object_mut().expect("an object").remove("retry");
}

/// Changes the trigger of the function for sessions.
fn with_session_trigger(name: &str, value: Value) -> App {
    App::shipped().with_session_function(|function| function["bindings"][0][name] = value)
}

#[test]
fn batches_without_a_data_type_are_refused() {
    let words = ["dataType is not set", "fails the entire batch", BINARY];
    assert_refused(&App::shipped().with_trigger("many", None), FUNCTION, &words);
    assert_refused(&App::shipped().with_trigger("many", Some("Undefined")), FUNCTION, &words);
}

#[test]
fn single_events_must_be_binary_since_other_bodies_overwrite_their_metadata() {
    for data_type in [Some("string"), None] {
        let app = App::shipped().with_trigger("one", data_type);
        assert_refused(&app, FUNCTION, &["overwrite", "sequence number", BINARY]);
    }
}

#[test]
fn messages_must_be_binary_since_other_bodies_overwrite_their_metadata() {
    for data_type in [json!("string"), json!("undefined"), Value::Null] {
        let app = with_session_trigger("dataType", data_type);
        assert_refused(&app, SESSIONS, &["overwrite", "session and sequence number", BINARY]);
    }
}

#[test]
fn messages_that_the_host_does_not_complete_are_refused() {
    for value in [json!(false), json!("False")] {
        let app = with_session_trigger("autoCompleteMessages", value);
        assert_refused(&app, SESSIONS, &["autoCompleteMessages", "delivered again", "remove it"]);
    }
    assert_eq!(warnings(&with_session_trigger("autoCompleteMessages", true.into()), SESSIONS).len(), 0);
}

#[test]
fn the_tools_work_with_an_app_that_the_handler_refuses() {
    let app = App::shipped();
    drop(app.start());
    let app = app.with_trigger("many", None);
    app.fails_to_start();
    let listed = app.tool().args(["dead-letters", "list", "-o", "json", "--state"]).arg(app.path("state.db")).output();
    let listed = listed.expect("the binary runs");
    assert_eq!(listed.status.code(), Some(0), "{}", String::from_utf8_lossy(&listed.stderr));
}

#[test]
fn a_refused_trigger_of_a_disabled_function_is_one_warning() {
    let app = with_session_trigger("dataType", "string".into());
    let app = app.with(format!("AzureWebJobs.{SESSIONS}.Disabled").as_str(), "true");
    let handler = app.start();
    handler.invoke(&Batch::example().envelope()).assert_all_applied(3);
    drop(handler);
    let [warning] = &warnings(&app, SESSIONS)[..] else { panic!("one warning") };
    assert!(warning.contains("is not served") && warning.contains("overwrite"), "{warning}");
}

#[test]
fn batches_without_retries_are_a_warning_at_each_start() {
    let none = App::shipped().with_function(without_retry);
    let zero = App::shipped().with_function(|function| function["retry"]["maxRetryCount"] = 0.into());
    for app in [none, zero] {
        for _ in 0..2 {
            let [warning] = &warnings(&app, FUNCTION)[..] else { panic!("one warning") };
            for word in ["no retries", "dead letters", r#"\"retry\": {\"strategy\""#, r#"\"maxRetryCount\": -1"#] {
                assert!(warning.contains(word), "{word:?} is not in: {warning}");
            }
        }
    }
}

/// The last attempt makes dead letters, so that a batch is never lost.
#[test]
fn a_limited_number_of_retries_is_no_warning() {
    let limited = App::shipped().with_function(|function| function["retry"]["maxRetryCount"] = 1.into());
    for app in [App::shipped(), limited] {
        assert_eq!(warnings(&app, FUNCTION), [""; 0]);
        assert_eq!(warnings(&app, SESSIONS), [""; 0], "Service Bus delivers a message again");
    }
}

#[test]
fn a_data_type_that_changes_bodies_is_a_warning() {
    let app = App::shipped().with_trigger("many", Some("string"));
    let [warning] = &warnings(&app, FUNCTION)[..] else { panic!("one warning") };
    for word in ["invalid UTF-8", "protobuf", r#"set `\"dataType\": \"binary\"`"#] {
        assert!(warning.contains(word), "{word:?} is not in: {warning}");
    }
    assert_eq!(warnings(&App::shipped().with_trigger("one", Some("binary")), FUNCTION), [""; 0]);
}

#[test]
fn a_disabled_function_has_no_warning() {
    let app = App::shipped().with_function(without_retry);
    let app = app.with(format!("AzureWebJobs.{FUNCTION}.Disabled").as_str(), "true");
    assert_eq!(warnings(&app, FUNCTION), [""; 0]);
}
