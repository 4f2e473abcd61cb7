//! Errors that end the handler before it listens: the exit code is neither 0 nor 200, and standard error names the setting.

use std::{fs, net::TcpListener};

use devicestate_test_support::{App, Batch, FUNCTION, SESSIONS};
use serde_json::json;

/// Checks that the handler of this app does not start and that its error has these words.
#[track_caller]
fn assert_rejected(app: &App, words: &[&str]) {
    assert_error(app.fails_to_start(), words);
}

#[track_caller]
fn assert_error((status, errors): (std::process::ExitStatus, String), words: &[&str]) {
    let code = status.code().expect("an exit code");
    // The host never restarts a handler with exit code 0, and always one with 200.
    assert!(code != 0 && code != 200, "{code}: {errors}");
    for word in words {
        assert!(errors.contains(word), "{word:?} is not in: {errors}");
    }
    assert!(errors.lines().count() <= 3, "the host keeps only the last three lines: {errors}");
    assert!(!errors.contains("panic"), "{errors}");
}

#[test]
fn a_missing_state_store_is_rejected() {
    assert_rejected(&App::shipped().without("StateStore"), &["StateStore", "missing"]);
    assert_rejected(&App::shipped().with("StateStore", ""), &["StateStore", "missing"]);
}

#[test]
fn an_unknown_state_store_is_rejected() {
    assert_rejected(&App::shipped().with("StateStore", "redis"), &["StateStore", "\"redis\"", "sqlite"]);
}

#[test]
fn a_missing_sqlite_path_is_rejected() {
    assert_rejected(&App::shipped().without("SqlitePath"), &["SqlitePath", "missing"]);
}

#[test]
fn a_file_that_is_not_a_database_is_rejected() {
    let app = App::shipped();
    let text = "not a database, but a text of more than a hundred bytes. ".repeat(20);
    fs::write(app.path("state.db"), &text).expect("a file in the temporary folder");
    assert_rejected(&app, &["SqlitePath", "state.db", "not an SQLite database"]);
    assert_eq!(fs::read_to_string(app.path("state.db")).expect("the file"), text, "it is unchanged");
}

#[test]
fn a_database_of_another_program_is_rejected_and_unchanged() {
    let app = App::shipped();
    let connection = rusqlite::Connection::open(app.path("state.db")).expect("a database");
    connection.execute_batch("CREATE TABLE invoices (id INTEGER)").expect("a table");
    drop(connection);
    assert_rejected(&app, &["SqlitePath", "another program"]);
    let connection = rusqlite::Connection::open(app.path("state.db")).expect("a database");
    let tables = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get::<_, i64>(0));
    assert_eq!(tables.expect("a count"), 1);
}

#[test]
fn a_database_that_cannot_be_opened_is_rejected() {
    let app = App::shipped();
    let path = app.path("no-such-folder/state.db").display().to_string();
    assert_rejected(&app.with("SqlitePath", path), &["SqlitePath", "no-such-folder"]);
}

#[test]
fn a_database_that_another_process_locks_is_rejected() {
    let app = App::shipped();
    let connection = rusqlite::Connection::open(app.path("state.db")).expect("a database");
    connection.execute_batch("BEGIN EXCLUSIVE").expect("the lock");
    assert_rejected(&app, &["SqlitePath", "state.db", "lock"]);
}

#[test]
fn an_invalid_budget_is_rejected() {
    for value in ["soon", "60", "00:00:00", "-00:01:00"] {
        assert_rejected(&App::shipped().with("InvocationBudget", value), &["InvocationBudget", value, "duration"]);
    }
}

#[test]
fn a_budget_of_less_than_a_second_or_more_than_a_day_is_rejected() {
    let unlimited = || App::shipped().with("AzureFunctionsJobHost__functionTimeout", "-1");
    // The last is longer than any time span of the host, and the one before cannot be multiplied.
    for value in [
        "00:00:00.0000001",
        "00:00:00.9999999",
        "1.00:00:00.0000001",
        "24000000000000.00:00:00",
        "200000000000000.00:00:00",
    ] {
        assert_rejected(
            &unlimited().with("InvocationBudget", value),
            &["InvocationBudget", value, "duration", "00:00:01"],
        );
    }
    for value in ["00:00:01", "1.00:00:00"] {
        let app = unlimited().with("InvocationBudget", value);
        app.start().invoke(&Batch::example().envelope()).assert_all_applied(3);
    }
    for value in ["10675199.02:48:05.4775808", "200000000000000.00:00:00"] {
        let app = App::shipped().with("AzureFunctionsJobHost__functionTimeout", value);
        assert_rejected(&app, &["AzureFunctionsJobHost__functionTimeout", value]);
        let app = App::shipped().with_host(|host| host["functionTimeout"] = value.into());
        assert_rejected(&app, &["host.json", value]);
    }
    drop(App::shipped().with_host(|host| host["functionTimeout"] = (-1).into()).start());
}

#[test]
#[cfg(unix)]
fn a_setting_that_is_not_utf_8_is_rejected() {
    use std::{ffi::OsString, os::unix::ffi::OsStringExt as _};
    for setting in ["LogLevel", "StateStore", "SqlitePath", "DeadLetterDirectory", "TelemetryFormat"] {
        let app = App::shipped().with(setting, OsString::from_vec(b"/tmp/\xFF".to_vec()));
        assert_rejected(&app, &[&format!("`{setting}`"), "UTF-8"]);
    }
    let app = App::shipped().with("LS_COLORS", OsString::from_vec(b"\xFF".to_vec()));
    drop(app.start());
}

#[test]
fn a_value_that_may_be_a_secret_is_not_repeated() {
    let account_key = "AccountKey=c2VjcmV0";
    for value in [
        account_key,
        "accesskey=c2VjcmV0",
        "?sv=2024&SIG=c2VjcmV0",
        "SharedAccessSignature c2VjcmV0",
        "a password: c2VjcmV0 too",
        "c2VjcmV0c2VjcmV0",
        &"c2VjcmV0".repeat(12_000),
    ] {
        for setting in ["StateStore", "TelemetryFormat", "InvocationBudget", "StoreConcurrency", "LogLevel"] {
            let (status, errors) = App::shipped().with(setting, value).fails_to_start();
            assert!(errors.contains(setting) && !errors.contains("c2VjcmV0"), "{setting}: {errors}");
            assert!(errors.len() < 1_000, "{setting}: {} bytes", errors.len());
            assert_error((status, errors), &["not its value of", "hidden", "may be a secret"]);
        }
    }
    for value in ["sqlite, not cosmos", "application/pro", "-5.123456789:123456789:123456789"] {
        assert_rejected(&App::shipped().with("StateStore", value), &["StateStore", value]);
    }
    let (_, errors) = App::shipped().fails_to_start_with(&[("FUNCTIONS_CUSTOMHANDLER_PORT", account_key)]);
    assert!(errors.contains("FUNCTIONS_CUSTOMHANDLER_PORT") && !errors.contains("c2VjcmV0"), "{errors}");
}

#[test]
fn a_budget_too_large_for_the_function_timeout_is_rejected() {
    let words = ["InvocationBudget", "functionTimeout", "00:05:00", "maxEventBatchSize", "1000"];
    assert_rejected(&App::shipped().with("InvocationBudget", "00:05:00"), &words);
    // 20 ms for each of 1000 dead letters exceed the remaining 20 s.
    assert_rejected(&App::shipped().with("InvocationBudget", "00:04:40"), &words);
    drop(App::shipped().with("InvocationBudget", "00:04:39").start());
}

#[test]
fn the_budget_must_leave_time_for_the_largest_batch() {
    let larger = |host: &mut serde_json::Value| host["extensions"]["eventHubs"]["maxEventBatchSize"] = 12_000.into();
    assert_rejected(&App::shipped().with_host(larger), &["InvocationBudget", "12000"]);
}

#[test]
fn an_unknown_telemetry_format_is_rejected() {
    let app = App::shipped().with("TelemetryFormat", "xml");
    assert_rejected(&app, &["TelemetryFormat", "\"xml\"", "`auto`, `json` or `protobuf`"]);
}

#[test]
fn other_invalid_settings_are_rejected() {
    for (setting, value) in [
        ("DeviceIdFromIoTHub", "perhaps"),
        ("IoTHubTime", "sent"),
        ("HeardEvery", "often"),
        ("HeardEvery", "-00:05:00"),
        ("SilentAfter", "15m"),
        ("SilentAfter", "00:09:59"),
        ("MaxReadings", "0"),
        ("StoreConcurrency", "0"),
        ("StoreConcurrency", "many"),
        ("DeadLetterAfterAttempts", "0"),
        ("DeadLetterAfterAttempts", "-1"),
        ("LogLevel", "loud"),
    ] {
        assert_rejected(&App::shipped().with(setting, value), &[setting, value]);
    }
}

#[test]
fn a_port_in_use_is_rejected() {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a port");
    let port = listener.local_addr().expect("an address").port().to_string();
    let result = App::shipped().fails_to_start_with(&[("FUNCTIONS_CUSTOMHANDLER_PORT", &port)]);
    assert_error(result, &["FUNCTIONS_CUSTOMHANDLER_PORT", &port]);
}

#[test]
fn a_missing_or_invalid_port_is_rejected() {
    assert_error(App::shipped().fails_to_start_with(&[]), &["FUNCTIONS_CUSTOMHANDLER_PORT", "missing"]);
    for value in ["http", "70000", "-1"] {
        let result = App::shipped().fails_to_start_with(&[("FUNCTIONS_CUSTOMHANDLER_PORT", value)]);
        assert_error(result, &["FUNCTIONS_CUSTOMHANDLER_PORT", value, "port"]);
    }
}

#[test]
fn a_folder_that_is_not_a_function_app_is_rejected() {
    let app = App::shipped();
    fs::remove_file(app.path("host.json")).expect("the file is there");
    assert_rejected(&app, &["host.json", "FUNCTIONS_APP_ROOT_PATH"]);
}

/// An app with only a timer function receives no events.
#[test]
fn an_app_without_a_telemetry_function_is_rejected() {
    let app = App::shipped();
    for function in [FUNCTION, SESSIONS] {
        fs::remove_dir_all(app.path(function)).expect("the folder is there");
    }
    assert_rejected(&app, &["function.json", "eventHubTrigger", "serviceBusTrigger", "FUNCTIONS_APP_ROOT_PATH"]);
}

#[test]
fn a_function_without_a_dead_letter_queue_is_rejected() {
    let app = App::shipped().with_function(|function| {
        function["bindings"].as_array_mut().expect("bindings").retain(|binding| binding["type"] != "queue");
    });
    assert_rejected(&app, &["function.json", "\"queue\"", "dead letters"]);
}

#[test]
fn a_name_of_a_binding_that_the_host_rejects_is_rejected() {
    for (binding, name) in
        [(0, "$return"), (0, "my-messages"), (1, "$Return"), (1, "dead_letters"), (1, "1st"), (1, "")]
    {
        let app = App::shipped().with_function(|function| function["bindings"][binding]["name"] = name.into());
        assert_rejected(&app, &["function.json", "name", &format!("{name:?}")]);
    }
}

#[test]
fn invalid_app_files_are_rejected() {
    let app = App::shipped().with_host(|host| host["functionTimeout"] = "five minutes".into());
    assert_rejected(&app, &["host.json", "five minutes"]);
    let app = App::shipped().with_trigger("several", Some("binary"));
    assert_rejected(&app, &["function.json", "several"]);
    let app = App::shipped().with_function(|function| function["retry"]["minimumInterval"] = "soon".into());
    assert_rejected(&app, &["function.json", "soon"]);
    let app = App::shipped();
    fs::write(app.path("host.json"), "{").expect("a file in the temporary folder");
    assert_rejected(&app, &["host.json"]);
}

#[test]
fn a_misspelled_setting_is_reported() {
    let app = App::shipped().with("INVOCATIONBUDGET", "00:00:30").with("CosmosConnection:accountEndpoint", "https://x");
    let errors = app.start().stop();
    let expected = "the setting `INVOCATIONBUDGET` has no effect: rename it to `InvocationBudget`";
    assert!(errors.contains(expected), "{errors}");
    // With documents in SQLite, this setting is not used under any name.
    assert!(!errors.contains("accountEndpoint"), "{errors}");
}

#[test]
fn a_misspelled_setting_is_reported_if_the_right_one_is_missing() {
    let app = App::shipped().with("StateStore", "cosmos").with("CosmosConnection:accountEndpoint", "https://x");
    assert_rejected(
        &app,
        &[
            "`CosmosConnection__accountEndpoint` is missing",
            "the setting `CosmosConnection:accountEndpoint` has no effect",
        ],
    );
}

#[test]
fn a_timer_without_a_name_is_rejected() {
    let app = App::shipped();
    app.add_function("Hourly", &json!({"bindings": [{"type": "timerTrigger", "schedule": "0 0 * * * *"}]}));
    assert_rejected(&app, &["Hourly", "function.json", "timerTrigger", "name"]);
}
