//! `host.json` and `function.json` in every form that the host reads: byte order mark, comments, letter case, and files of
//! functions that this handler does not serve.

use std::fs;

use devicestate_test_support::{App, Batch, FUNCTION, Handler, Reply, SESSIONS, root};
use serde_json::json;

/// Returns the shipped app with another `function.json` of the event hub's function.
fn with_function_text(text: impl AsRef<[u8]>) -> App {
    let app = App::shipped();
    fs::write(app.path(FUNCTION).join("function.json"), text).expect("a file in the temporary folder");
    app
}

/// Returns a file of a public bug report.
fn case(path: &str) -> Vec<u8> {
    fs::read(root().join("tests/fixtures/cases").join(path)).expect("a fixture")
}

/// Adds a function whose `function.json` has this text.
fn add_function_text(app: &App, name: &str, text: impl AsRef<[u8]>) {
    fs::create_dir(app.path(name)).expect("a folder for the function");
    fs::write(app.path(name).join("function.json"), text).expect("a file in the temporary folder");
}

#[track_caller]
fn assert_serves_the_event_hub(handler: &Handler) {
    handler.invoke(&Batch::example().envelope()).assert_all_applied(3);
}

/// Checks that the app is served, and that the log has one warning, about this file for this reason.
#[track_caller]
fn assert_warned(app: &App, function: &str, reason: &str) {
    let handler = app.start();
    assert_serves_the_event_hub(&handler);
    let errors = handler.stop();
    let lines: Vec<_> = errors.lines().filter(|line| line.contains(&format!("{function}/function.json"))).collect();
    let [line] = lines[..] else { panic!("one warning about {function}: {errors}") };
    assert!(line.contains(r#""level":"WARN""#) && line.contains(reason), "{line}");
}

#[test]
fn a_byte_order_mark_is_skipped() {
    let bytes = case("14-function-json-with-bom/RawTelemetryFunction/function.json");
    assert!(bytes.starts_with(b"\xEF\xBB\xBF"), "an editor must not remove the mark");
    assert_serves_the_event_hub(&with_function_text(bytes).start());

    let app = App::shipped();
    add_function_text(&app, "Hello", case("14-function-json-with-bom/Hello/function.json"));
    let handler = app.start();
    assert_serves_the_event_hub(&handler);
    assert!(!handler.stop().contains("Hello"), "a function of another kind is not worth a line");
}

#[test]
fn files_in_utf_16_are_read() {
    let text = fs::read_to_string(root().join("host.json")).expect("the shipped file");
    for (mark, to_bytes) in [([0xFF, 0xFE], u16::to_le_bytes as fn(u16) -> [u8; 2]), ([0xFE, 0xFF], u16::to_be_bytes)] {
        let app = App::shipped();
        let bytes: Vec<u8> = mark.into_iter().chain(text.encode_utf16().flat_map(to_bytes)).collect();
        fs::write(app.path("host.json"), bytes).expect("a file in the temporary folder");
        assert_serves_the_event_hub(&app.start());
    }
}

#[test]
fn names_and_values_are_read_in_any_letter_case() {
    for file in ["16-letter-case/many/function.json", "16-letter-case/type/function.json"] {
        assert_serves_the_event_hub(&with_function_text(case(file)).start());
    }
    let app = App::shipped()
        .with_function(|function| {
            function["bindings"][0] = json!({"Type": "EVENTHUBTRIGGER", "Direction": "In", "NAME": "messages",
                "Connection": "EventHubConnection", "EventHubName": "telemetry", "Cardinality": "Many",
                "DataType": "Binary"});
            function["bindings"][1]["Type"] = "Queue".into();
            function["bindings"][1].as_object_mut().expect("a binding").remove("type");
            function["retry"] = json!({"Strategy": "ExponentialBackoff", "MaxRetryCount": -1,
                "MinimumInterval": "00:00:01", "MaximumInterval": "00:01:00"});
        })
        .with_host(|host| {
            host["extensions"] = json!({"EventHubs": {"MaxEventBatchSize": "1000"},
                "queues": {"messageEncoding": "Base64"}});
            host["FunctionTimeout"] = host["functionTimeout"].take();
            host.as_object_mut().expect("an object").remove("functionTimeout");
        });
    let handler = app.start();
    assert_serves_the_event_hub(&handler);
    assert_eq!(handler.post("6b0a", b"not json").status, 503, "the retry policy is read");
    drop(handler);
    // The timeout of five minutes and the batches of 1,000 are read.
    let (_, errors) = app.with("InvocationBudget", "00:04:41").fails_to_start();
    assert!(errors.contains("functionTimeout") && errors.contains("1000"), "{errors}");
}

#[test]
fn integers_may_be_written_with_a_point() {
    let app = App::shipped()
        .with_function(|function| function["retry"]["maxRetryCount"] = json!(-1.0))
        .with_host(|host| host["extensions"]["eventHubs"]["maxEventBatchSize"] = json!(12_000.0));
    let (_, errors) = app.fails_to_start();
    assert!(errors.contains("InvocationBudget") && errors.contains("12000"), "{errors}");
    let app = app.with_host(|host| host["extensions"]["eventHubs"]["maxEventBatchSize"] = json!(1e3));
    assert_serves_the_event_hub(&app.start());
    let app = app.with_host(|host| host["extensions"]["eventHubs"]["maxEventBatchSize"] = json!(0.5));
    assert!(app.fails_to_start().1.contains("host.json"));
}

#[test]
fn comments_and_trailing_commas_are_skipped() {
    let text = fs::read_to_string(root().join(FUNCTION).join("function.json")).expect("the shipped file");
    let text = text
        .replace("\"many\",", "\"many\", // \"one\" has no order\n")
        .replace("{\n", "{ /* \"a\": { */\n")
        .replace("\"EventHubConnection\"", "'EventHubConnection'")
        .replace("\"consumerGroup\":", "consumerGroup:")
        .replace("    }\n  ]", "    },\n  ]");
    assert!(serde_json::from_str::<serde_json::Value>(&text).is_err(), "{text}");
    let app = with_function_text(format!("// the event hub\n{text}\n/* end */"));
    let host = fs::read_to_string(root().join("host.json")).expect("the shipped file");
    fs::write(app.path("host.json"), host.replace("\"00:05:00\",", "\"00:05:00\", /* \", */")).expect("a file");
    assert_serves_the_event_hub(&app.start());
    let (_, errors) = app.with("InvocationBudget", "00:04:41").fails_to_start();
    assert!(errors.contains("functionTimeout"), "{errors}");
}

#[test]
fn a_file_that_the_host_cannot_read_is_one_warning() {
    for (text, reason) in [
        ("", "EOF while parsing"),
        ("{", "EOF while parsing"),
        ("[]", "not an object"),
        ("{}", "no bindings"),
        (r#"{"bindings":[]}"#, "no bindings"),
        (r#"{"Bindings":[{"type":"httpTrigger"}]}"#, "no bindings"),
        (r#"{"bindings":[1]}"#, "not an object"),
    ] {
        let app = App::shipped();
        add_function_text(&app, "Second", text);
        assert_warned(&app, "Second", reason);
    }
    let app = App::shipped();
    add_function_text(&app, "{name}", r#"{"bindings":[{"type":"eventHubTrigger"}]}"#);
    assert_warned(&app, "{name}", "name of a function");
}

#[test]
fn files_below_the_folders_of_the_functions_are_not_read() {
    let app = App::shipped();
    let deep = app.path("node_modules").join("pack");
    fs::create_dir_all(&deep).expect("a folder");
    fs::write(deep.join("function.json"), "{").expect("a file in the temporary folder");
    let handler = app.start();
    assert_serves_the_event_hub(&handler);
    assert!(!handler.stop().contains("node_modules"));
}

#[test]
fn an_invalid_file_of_a_disabled_function_is_one_warning() {
    let second = json!({"bindings": [{"type": "eventHubTrigger", "name": "events", "connection": "EventHubConnection",
        "eventHubName": "other", "cardinality": "many", "dataType": "binary"}]});
    let mut disabled_in_the_file = second.clone();
    disabled_in_the_file["disabled"] = true.into();
    let app = App::shipped();
    app.add_function("Second", &disabled_in_the_file);
    assert_warned(&app, "Second", "dead letters");

    for (setting, value) in [("AzureWebJobs.Second.Disabled", "True"), ("AzureWebJobs_Second_Disabled", "1")] {
        let app = App::shipped().with(setting, value);
        app.add_function("Second", &second);
        assert_warned(&app, "Second", "dead letters");
    }
    // A text is the name of a setting.
    disabled_in_the_file["disabled"] = "SecondIsOff".into();
    let app = App::shipped().with("SecondIsOff", "1");
    app.add_function("Second", &disabled_in_the_file);
    assert_warned(&app, "Second", "dead letters");

    for (setting, function) in [("AzureWebJobs.Second.Disabled", &second), ("SecondIsOff", &disabled_in_the_file)] {
        let app = App::shipped().with(setting, "false");
        app.add_function("Second", function);
        let (_, errors) = app.fails_to_start();
        assert!(errors.contains("Second/function.json") && errors.contains("dead letters"), "{errors}");
    }
}

#[test]
fn an_app_whose_only_function_cannot_be_read_is_rejected_with_the_reason() {
    let app = with_function_text("{").without_sessions();
    let (_, errors) = app.fails_to_start();
    assert!(errors.contains("RawTelemetryFunction/function.json") && errors.contains("EOF"), "{errors}");
}

#[test]
fn a_disabled_function_is_served_for_the_admin_endpoint() {
    let app = App::shipped().with(format!("AzureWebJobs.{FUNCTION}.Disabled").as_str(), "true");
    let handler = app.start();
    Reply::from_response(&handler.post("6b0b", Batch::example().envelope().to_string().as_bytes()))
        .assert_all_applied(3);
    drop(handler);
    assert!(app.path(SESSIONS).exists());
}
