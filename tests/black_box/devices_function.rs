//! The function with the HTTP trigger: the recorded requests of a running host, and others that the host could send.

use devicestate_test_support::{
    App, Batch, DEVICES, Event, Framing, Handler, Recording, Response, recording, repository_file,
};
use serde_json::{Value, json};

/// The name of the function of the recordings.
const RECORDED: &str = "Devices";

/// The key of the caller in the recordings, and in their queries.
const KEYS: [&str; 2] = ["a-host-key", "code=abc"];

/// Returns an app with the shipped function also under the recorded name.
fn app() -> App {
    let app = App::shipped();
    app.add_function(RECORDED, &repository_file("DevicesFunction/function.json"));
    app
}

/// Stores devices with these ids, each with its number as the battery.
fn store(handler: &Handler, ids: &[&str]) {
    let event = |(number, id): (usize, &&str)| {
        Event::json(i64::try_from(number).expect("few"), &json!({ "deviceId": id, "battery": number }))
    };
    let events: Vec<_> = ids.iter().enumerate().map(event).collect();
    handler.invoke(&Batch::of(events).envelope()).assert_all_applied(ids.len() as u64);
}

/// Returns the answer in a reply: its status, its headers and its body.
#[track_caller]
fn answer(response: &Response) -> (u64, Value, Value) {
    assert_eq!(response.status, 200);
    assert!(response.header("content-type").is_some_and(|kind| kind.starts_with("application/json")));
    let reply = response.json();
    assert_eq!((&reply["Logs"], &reply["ReturnValue"]), (&json!([]), &Value::Null));
    let answer = &reply["Outputs"]["res"];
    let body = answer["body"].as_str().expect("a text");
    let body = if body.is_empty() { Value::Null } else { serde_json::from_str(body).expect("JSON") };
    let headers = answer["headers"].as_object().expect("headers");
    assert!(headers.values().all(Value::is_string), "{headers:?}");
    (answer["statusCode"].as_u64().expect("a status"), headers.clone().into(), body)
}

/// Returns the envelope of a request.
fn envelope(method: &str, url: &str, headers: &Value) -> String {
    json!({ "Data": { "req": { "Url": url, "Method": method, "Headers": headers } }, "Metadata": {} }).to_string()
}

fn get(handler: &Handler, path_and_query: &str) -> (u64, Value, Value) {
    let envelope = envelope("GET", &format!("https://app.azurewebsites.net{path_and_query}"), &json!({}));
    answer(&handler.call(DEVICES, "id", envelope.as_bytes(), Framing::Chunked(1_024)))
}

#[test]
fn each_recorded_request_is_answered_with_its_device() {
    let app = app();
    let handler = app.start();
    store(&handler, &["drone-1", "a", "a#b", "a#b/c?d e%f", "a#b%2Fc?d e%f", "你"]);
    let send = |recording: &Recording| answer(&recording.send(handler.port));
    for (name, id, battery) in [("device", "drone-1", 0.0), ("device-unicode", "你", 5.0)] {
        let recording = recording(&format!("http-envelope-{name}"));
        assert_eq!(recording.function(), RECORDED);
        let (status, headers, body) = send(&recording);
        assert_eq!((status, &body["id"], &body["readings"]["Battery"]), (200, &json!(id), &json!(battery)), "{name}");
        assert_eq!(body["versions"].is_object(), name == "device", "{body}");
        assert_eq!(headers["content-type"], "application/json");
        assert_eq!(headers["cache-control"], "private, no-cache");
        assert!(headers["etag"].as_str().is_some_and(|etag| etag.starts_with("W/\"")), "{headers}");
    }
    // Its query has a parameter that the API does not have. Without it, the id is decoded once.
    let escaped = recording("http-envelope-device-escaped");
    let (status, _, body) = send(&escaped);
    assert_eq!(
        (status, &body["detail"]),
        (400, &json!("the parameter `x` is unknown: this request has `select`, `versions`"))
    );
    let without_query = String::from_utf8(escaped.body()).expect("text").replacen("?x=%C3%A4%26", "", 1);
    let response = handler.call(RECORDED, "id", without_query.as_bytes(), Framing::Chunked(1_024));
    let (status, _, body) = answer(&response);
    assert_eq!((status, &body["id"], &body["readings"]["Battery"]), (200, &json!("a#b/c?d e%f"), &json!(3.0)));

    let (status, _, body) = send(&recording("http-envelope-list"));
    assert_eq!((status, body["devices"].as_array().expect("a list").len()), (200, 6));
    let errors = handler.stop() + &app.log();
    assert!(KEYS.iter().all(|key| !errors.contains(key)), "{errors}");
}

/// The host decodes the path of the request except for `%2F`, and repeats the result in `Url` without a second encoding.
#[test]
fn an_id_that_looks_encoded_returns_its_own_device() {
    let app = App::shipped();
    let handler = app.start();
    let ids = ["A", "%41", "50%", "50%25", "a/b", "a#b", "a%23b"];
    store(&handler, &ids);
    for (id, url, parameter) in [
        ("%41", "%41", "%41"),
        ("50%", "50%25", "50%"),
        ("50%25", "50%25", "50%25"),
        ("a/b", "a%2Fb", "a%2Fb"),
        ("a#b", "a%23b", "a#b"),
        ("a%23b", "a%23b", "a%23b"),
    ] {
        let request =
            json!({ "Url": format!("http://h/api/devices/{url}"), "Method": "GET", "Params": { "id": parameter } });
        let envelope = json!({ "Data": { "req": request }, "Metadata": {} }).to_string();
        let (status, _, body) = answer(&handler.call(DEVICES, "id", envelope.as_bytes(), Framing::Length));
        assert_eq!((status, &body["id"]), (200, &json!(id)), "{body}");
    }
}

#[test]
fn a_state_that_the_caller_has_is_not_sent_again() {
    let app = App::shipped();
    let handler = app.start();
    store(&handler, &["drone-1"]);
    let (_, headers, _) = get(&handler, "/api/devices/drone-1");
    let headers = json!({ "If-None-Match": ["\"other\"", headers["etag"]] });
    let envelope = envelope("GET", "http://h/api/devices/drone-1", &headers);
    let (status, headers, body) = answer(&handler.call(DEVICES, "id", envelope.as_bytes(), Framing::Length));
    // The body is there, but empty: without one, the host would ignore the status.
    assert_eq!((status, &body, &headers["content-type"]), (304, &Value::Null, &json!("application/json")));
}

#[test]
fn a_path_that_is_not_below_the_route_and_a_wrong_method_are_problems() {
    let app = App::shipped();
    let handler = app.start();
    store(&handler, &["a", "devices"]);
    for (path, status) in [
        ("/API/Devices/a?Code=key", 200),
        ("/api/devices/b", 404),
        ("/api/devices/a/b", 404),
        ("/./api/devices", 404),
        ("/api/../api/devices/a", 404),
        ("/api/devices/x/../a", 404),
        ("/api/devices/%ff", 400),
        ("/api/devices/a#b", 400),
        ("", 404),
    ] {
        let (found, headers, body) = get(&handler, path);
        assert_eq!(found, status, "{path}: {body}");
        if status != 200 {
            assert_eq!(
                (&headers["content-type"], &body["status"]),
                (&json!("application/problem+json"), &json!(status))
            );
        }
    }
    let envelope = envelope("DELETE", "http://h/api/devices/a", &json!({}));
    let (status, headers, _) = answer(&handler.call(DEVICES, "id", envelope.as_bytes(), Framing::Length));
    assert_eq!((status, &headers["allow"]), (405, &json!("GET")));
}

#[test]
fn a_malformed_envelope_is_a_problem_in_a_complete_reply() {
    let app = App::shipped();
    let handler = app.start();
    let deep = format!("{{\"Data\":{}", "[".repeat(100_000));
    let large = envelope("GET", "http://h/api/devices", &json!({ "X": "x".repeat(2 << 20) }));
    for envelope in [
        "",
        "null",
        "[]",
        "{}",
        "not JSON",
        r#"{"Data":[]}"#,
        r#"{"Data":{"req":null}}"#,
        r#"{"Data":{"req":{"Url":1,"Method":"GET"}}}"#,
        r#"{"Data":{"req":{"Url":"/api/devices","Method":"GET"}}}"#,
        r#"{"Data":{"REQ":{"Url":"http://h/api/devices","Method":"GET"}}}"#,
        "{\"Data\":{\"req\":{\"Url\":\"http://h/api/devices?code=a-host-key",
        &deep,
        &large,
    ] {
        let response = handler.call(DEVICES, "id", envelope.as_bytes(), Framing::Chunked(16_384));
        let (status, _, body) = answer(&response);
        assert_eq!((status, &body["status"]), (400, &json!(400)), "{envelope:.100}");
        assert!(!body.to_string().contains(KEYS[0]), "{body}");
    }
    let errors = handler.stop() + &app.log();
    assert!(!errors.contains(KEYS[0]), "{errors}");
}

#[test]
fn the_route_and_the_prefix_of_the_files_are_used_and_the_answer_may_be_the_return_value() {
    let app = App::shipped().with_host(|host| host["extensions"]["http"] = json!({ "routePrefix": "" }));
    app.add_function(
        "State",
        &json!({ "bindings": [
        { "type": "HttpTrigger", "direction": "in", "name": "request", "route": "v1/{tenant}/{id}" },
        { "type": "http", "direction": "out", "name": "$return" },
    ] }),
    );
    let handler = app.start();
    store(&handler, &["a"]);
    let body = envelope("GET", "http://h/v1/any/a", &json!({})).replace("\"req\"", "\"request\"");
    let reply = handler.call("State", "id", body.as_bytes(), Framing::Length).json();
    assert_eq!((&reply["Outputs"], &reply["ReturnValue"]["statusCode"]), (&json!({}), &json!(200)));
    assert_eq!(get(&handler, "/devices/a").0, 200);
}

#[test]
fn a_function_that_anyone_may_call_is_a_warning_and_one_without_an_answer_is_not_served() {
    let app = App::shipped();
    let mut function = repository_file("DevicesFunction/function.json");
    function["bindings"][0]["authLevel"] = "Anonymous".into();
    app.add_function("Open", &function);
    function["bindings"].as_array_mut().expect("bindings").pop();
    app.add_function("Mute", &function);
    let handler = app.start();
    let body = envelope("GET", "http://h/api/devices", &json!({}));
    assert_eq!(handler.call("Open", "id", body.as_bytes(), Framing::Length).status, 200);
    assert_eq!(handler.call("Mute", "id", body.as_bytes(), Framing::Length).status, 404);
    store(&handler, &["a"]);
    let errors = handler.stop();
    let warning = "anyone who knows the address can read the state of every device";
    assert!(errors.contains("Open/function.json") && errors.contains(warning), "{errors}");
    assert!(errors.contains("an output binding of type \\\"http\\\" is missing"), "{errors}");
}
