//! Errors that end the handler before it listens: the exit code is not 0, and standard error names the setting.

use std::{fs, net::TcpListener};

use devicestate_test_support::{App, FUNCTION, SESSIONS};
use serde_json::json;

/// The handler of this app must not start, and must say these words.
#[track_caller]
fn assert_refused(app: &App, words: &[&str]) {
    assert_told(app.fails_to_start(), words);
}

#[track_caller]
fn assert_told((status, errors): (std::process::ExitStatus, String), words: &[&str]) {
    let code = status.code().expect("it ends by itself");
    // 0 is never restarted, and 200 is restarted for ever.
    assert!(code != 0 && code != 200, "{code}: {errors}");
    for word in words {
        assert!(errors.contains(word), "{word:?} is not in: {errors}");
    }
    assert!(errors.lines().count() <= 3, "the host keeps only the last three lines: {errors}");
    assert!(!errors.contains("panic"), "{errors}");
}

#[test]
fn a_missing_state_store_is_named() {
    assert_refused(&App::shipped().without("StateStore"), &["StateStore", "missing"]);
    assert_refused(&App::shipped().with("StateStore", ""), &["StateStore", "missing"]);
}

#[test]
fn an_unknown_state_store_is_named() {
    assert_refused(&App::shipped().with("StateStore", "redis"), &["StateStore", "\"redis\"", "sqlite"]);
}

#[test]
fn a_missing_sqlite_path_is_named() {
    assert_refused(&App::shipped().without("SqlitePath"), &["SqlitePath", "missing"]);
}

#[test]
fn a_file_that_is_no_database_is_named() {
    let app = App::shipped();
    let text = "no database, but a text of more than a hundred bytes. ".repeat(20);
    fs::write(app.path("state.db"), &text).expect("a file in the temporary folder");
    assert_refused(&app, &["SqlitePath", "state.db", "not an SQLite database"]);
    assert_eq!(fs::read_to_string(app.path("state.db")).expect("the file"), text, "it is left as it was");
}

#[test]
fn a_database_of_another_program_is_named_and_left_alone() {
    let app = App::shipped();
    let connection = rusqlite::Connection::open(app.path("state.db")).expect("a database");
    connection.execute_batch("CREATE TABLE invoices (id INTEGER)").expect("a table");
    drop(connection);
    assert_refused(&app, &["SqlitePath", "another program"]);
    let connection = rusqlite::Connection::open(app.path("state.db")).expect("a database");
    let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    assert_eq!(tables.expect("a count"), 1);
}

#[test]
fn a_database_that_cannot_be_opened_is_named() {
    let app = App::shipped();
    let path = app.path("no-such-folder/state.db").display().to_string();
    assert_refused(&app.with("SqlitePath", path), &["SqlitePath", "no-such-folder"]);
}

#[test]
fn a_database_that_another_process_holds_is_named() {
    let app = App::shipped();
    let connection = rusqlite::Connection::open(app.path("state.db")).expect("a database");
    connection.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
    assert_refused(&app, &["SqlitePath", "state.db", "lock"]);
}

#[test]
fn a_budget_that_is_no_time_span_is_named() {
    for value in ["soon", "60", "00:00:00", "-00:01:00"] {
        assert_refused(&App::shipped().with("InvocationBudget", value), &["InvocationBudget", value, "time span"]);
    }
}

#[test]
fn a_budget_too_large_for_the_function_timeout_is_named_with_all_that_matters() {
    let words = ["InvocationBudget", "functionTimeout", "00:05:00", "maxEventBatchSize", "1000"];
    assert_refused(&App::shipped().with("InvocationBudget", "00:05:00"), &words);
    // Twenty milliseconds for each of a thousand dead letters do not fit any more.
    assert_refused(&App::shipped().with("InvocationBudget", "00:04:40"), &words);
    drop(App::shipped().with("InvocationBudget", "00:04:39").start());
}

#[test]
fn a_larger_batch_needs_a_smaller_budget() {
    let larger = |host: &mut serde_json::Value| host["extensions"]["eventHubs"]["maxEventBatchSize"] = 12_000.into();
    assert_refused(&App::shipped().with_host(larger), &["InvocationBudget", "12000"]);
}

#[test]
fn an_unknown_telemetry_format_is_named() {
    let app = App::shipped().with("TelemetryFormat", "xml");
    assert_refused(&app, &["TelemetryFormat", "\"xml\"", "auto, json or protobuf"]);
}

#[test]
fn other_settings_that_make_no_sense_are_named() {
    for (setting, value) in [
        ("DeviceIdFromIoTHub", "perhaps"),
        ("StoreConcurrency", "0"),
        ("StoreConcurrency", "many"),
        ("DeadLetterAfterAttempts", "0"),
        ("DeadLetterAfterAttempts", "-1"),
        ("LogLevel", "loud"),
    ] {
        assert_refused(&App::shipped().with(setting, value), &[setting, value]);
    }
}

#[test]
fn a_port_in_use_is_named() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let told = App::shipped().fails_to_start_with(&[("FUNCTIONS_CUSTOMHANDLER_PORT", &port)]);
    assert_told(told, &["FUNCTIONS_CUSTOMHANDLER_PORT", &port]);
}

#[test]
fn a_missing_port_and_one_that_is_none_are_named() {
    assert_told(App::shipped().fails_to_start_with(&[]), &["FUNCTIONS_CUSTOMHANDLER_PORT", "missing"]);
    for value in ["http", "70000", "-1"] {
        let told = App::shipped().fails_to_start_with(&[("FUNCTIONS_CUSTOMHANDLER_PORT", value)]);
        assert_told(told, &["FUNCTIONS_CUSTOMHANDLER_PORT", value, "port"]);
    }
}

#[test]
fn a_folder_that_is_no_function_app_is_named() {
    let app = App::shipped();
    fs::remove_file(app.path("host.json")).expect("the file is there");
    assert_refused(&app, &["host.json", "FUNCTIONS_APP_ROOT_PATH"]);
}

/// A timer alone has no events to bring.
#[test]
fn an_app_without_a_function_that_takes_telemetry_is_named() {
    let app = App::shipped();
    for function in [FUNCTION, SESSIONS] {
        fs::remove_dir_all(app.path(function)).expect("the folder is there");
    }
    assert_refused(&app, &["function.json", "eventHubTrigger", "serviceBusTrigger", "FUNCTIONS_APP_ROOT_PATH"]);
}

#[test]
fn a_function_without_a_queue_for_its_dead_letters_is_named() {
    let app = App::shipped().with_function(|function| {
        function["bindings"].as_array_mut().expect("bindings").retain(|binding| binding["type"] != "queue");
    });
    assert_refused(&app, &["function.json", "\"queue\"", "dead letters"]);
}

#[test]
fn files_that_say_what_cannot_be_are_named() {
    let app = App::shipped().with_host(|host| host["functionTimeout"] = "five minutes".into());
    assert_refused(&app, &["host.json", "five minutes"]);
    let app = App::shipped().with_trigger("several", Some("binary"));
    assert_refused(&app, &["function.json", "several"]);
    let app = App::shipped().with_function(|function| function["retry"]["minimumInterval"] = "soon".into());
    assert_refused(&app, &["function.json", "soon"]);
    let app = App::shipped();
    fs::write(app.path("host.json"), "{").expect("a file in the temporary folder");
    assert_refused(&app, &["host.json"]);
}

#[test]
fn a_setting_that_is_almost_right_is_pointed_out() {
    let app = App::shipped().with("INVOCATIONBUDGET", "00:00:30").with("CosmosConnection:accountEndpoint", "https://x");
    let said = app.start().stop();
    assert!(said.contains("the setting INVOCATIONBUDGET has no effect: its name must be InvocationBudget"), "{said}");
    // With documents in SQLite nobody would look for it under any name.
    assert!(!said.contains("accountEndpoint"), "{said}");
}

#[test]
fn a_setting_that_is_almost_right_is_pointed_out_where_the_right_one_is_missing() {
    let app = App::shipped().with("StateStore", "cosmos").with("CosmosConnection:accountEndpoint", "https://x");
    assert_refused(
        &app,
        &["CosmosConnection__accountEndpoint is missing", "the setting CosmosConnection:accountEndpoint has no effect"],
    );
}

#[test]
fn a_timer_without_a_name_is_named_by_its_file() {
    let app = App::shipped();
    app.add_function("Hourly", &json!({"bindings": [{"type": "timerTrigger", "schedule": "0 0 * * * *"}]}));
    assert_refused(&app, &["Hourly", "function.json", "timerTrigger", "name"]);
}
