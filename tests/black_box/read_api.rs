//! The read API by plain HTTP: `serve --api`.

use std::thread;

use devicestate_test_support::{App, Batch, Event, Framing, Handler, Response, request};
use rusqlite::Connection;
use serde_json::{Value, json};

fn get(port: u16, path: &str) -> Response {
    get_with(port, path, &[])
}

fn get_with(port: u16, path: &str, headers: &[(&str, &str)]) -> Response {
    request(port, "GET", path, headers, b"", Framing::Length).expect("an answer")
}

/// Checks that an answer is a problem document, and returns its detail.
#[track_caller]
fn problem(response: &Response, status: u16) -> String {
    let body = response.json();
    assert_eq!((response.status, &body["status"]), (status, &json!(status)), "{body}");
    assert_eq!(response.header("content-type"), Some("application/problem+json"));
    body["detail"].as_str().expect("a detail").to_owned()
}

/// Encodes every byte of a text.
fn encoded(text: &str) -> String {
    text.bytes().fold(String::new(), |encoded, byte| format!("{encoded}%{byte:02x}"))
}

/// Stores devices with these ids.
fn store(handler: &Handler, ids: &[&str]) {
    let event = |(number, id): (usize, &&str)| {
        Event::json(i64::try_from(number).expect("few"), &json!({ "deviceId": id, "battery": 0.5 }))
    };
    let events: Vec<_> = ids.iter().enumerate().map(event).collect();
    handler.invoke(&Batch::of(events).envelope()).assert_all_applied(ids.len() as u64);
}

#[test]
fn each_hard_id_returns_its_own_device_by_path_and_by_query() {
    const IDS: [&str; 13] = [
        "a/b",
        "a",
        "a%2Fb",
        "a%252Fb",
        "..",
        ".",
        "../a",
        "a b",
        "a+b",
        "a#b?c=d&id=a",
        "\u{1}\n\u{7f}",
        "你",
        "summary",
    ];
    let app = App::shipped();
    let (handler, port) = app.start_with_api();
    store(&handler, &IDS);
    for id in IDS {
        let by_query = get(port, &format!("/api/devices?id={}", encoded(id)));
        assert_eq!((by_query.status, &by_query.json()["id"]), (200, &json!(id)));
        if id != "summary" {
            let by_path = get(port, &format!("/api/devices/{}", encoded(id)));
            assert_eq!((by_path.status, &by_path.json()["id"]), (200, &json!(id)));
        }
    }
    let long = "a".repeat(1_024);
    for (path, status) in [
        ("/api/devices/a/b".to_owned(), 404),
        ("/api/devices/../devices/a".to_owned(), 404),
        ("/api//devices/a".to_owned(), 404),
        ("/api/devicesa".to_owned(), 404),
        ("/".to_owned(), 404),
        ("/api/devices/%ff".to_owned(), 400),
        ("/api/devices/%".to_owned(), 400),
        (format!("/api/devices/{long}"), 400),
        (format!("/api/devices/{}", &long[1..]), 404),
    ] {
        problem(&get(port, &path), status);
    }
}

#[test]
fn lists_continue_after_a_restart_and_invalid_parameters_are_problems() {
    let app = App::shipped();
    let (handler, port) = app.start_with_api();
    let ids: Vec<_> = (0..5).map(|number| format!("drone-{number}")).collect();
    store(&handler, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let first = get(port, "/api/devices?limit=3&where=Battery%3C1").json();
    let token = first["continuation"].as_str().expect("a token").to_owned();
    drop(handler);
    let (_handler, port) = app.start_with_api();
    let second = get(port, &format!("/api/devices?where=Battery%3C1&continuation={token}")).json();
    let ids = |list: &Value| {
        list["devices"].as_array().expect("a list").iter().map(|device| device["id"].clone()).collect::<Vec<_>>()
    };
    assert_eq!([ids(&first), ids(&second)].concat(), ["drone-0", "drone-1", "drone-2", "drone-3", "drone-4"]);

    for (query, part) in [
        ("limit=0", "from 1 to 1000"),
        ("limit=1000000000", "from 1 to 1000"),
        ("where=Battery%3C", "at character 9: expected a number"),
        ("where=a%3D1%3B+DROP+TABLE+documents", "at character 4: expected a name, a value"),
        ("where=%ff", "not UTF-8"),
        ("continuation=AAAA", "begin again without it"),
        (&format!("continuation={token}"), "begin again without it"),
        ("limits=1", "did you mean `limit`?"),
    ] {
        let detail = problem(&get(port, &format!("/api/devices?{query}")), 400);
        assert!(detail.contains(part), "{query}: {detail}");
    }
    // An injection is a text that no device has.
    let none = get(port, &format!("/api/devices?where={}", encoded("Model = '''; DROP TABLE documents; --'")));
    assert_eq!(none.json(), json!({ "devices": [] }));
    let summary = get(port, "/api/devices/summary?by=Battery").json();
    assert_eq!((&summary["devices"], &summary["by"]["values"]), (&json!(5), &json!([{ "value": 0.5, "devices": 5 }])));
}

#[test]
fn only_get_is_answered_web_pages_are_refused_and_keys_are_not_repeated() {
    const KEY: &str = "a-secret-key";
    let app = App::shipped();
    let (handler, port) = app.start_with_api();
    store(&handler, &["a"]);
    for method in ["POST", "PUT", "DELETE", "OPTIONS", "PATCH"] {
        let response = request(port, method, "/api/devices/a", &[], b"{}", Framing::Length).expect("an answer");
        problem(&response, 405);
        assert_eq!(response.header("allow"), Some("GET"), "{method}");
    }
    let description = get(port, "/openapi.json").json();
    assert_eq!(description["openapi"], "3.1.0");
    problem(&get_with(port, "/api/devices/a", &[("Origin", "http://127.0.0.1:1")]), 403);
    problem(&get_with(port, "http://example.com/api/devices/a", &[]), 403);
    // An image or a script of a page has no `Origin`. An address that was typed is from none.
    for (site, status) in [("cross-site", 403), ("same-site", 403), ("same-origin", 200), ("none", 200)] {
        assert_eq!(get_with(port, "/api/devices/a", &[("Sec-Fetch-Site", site)]).status, status, "{site}");
    }

    let device = get(port, &format!("/api/devices/a?code={KEY}"));
    let etag = device.header("etag").expect("a tag").to_owned();
    let headers = [("x-functions-key", KEY), ("If-None-Match", &*etag)];
    let unchanged = get_with(port, "/api/devices/a", &headers);
    assert_eq!((unchanged.status, unchanged.body.len(), unchanged.header("etag")), (304, 0, Some(&*etag)));
    let mut answers = vec![device];
    for query in [
        format!("code={KEY}&limit=0"),
        format!("kode={KEY}"),
        format!("limit={KEY}"),
        format!("where={KEY}&code={KEY}"),
    ] {
        answers.push(get(port, &format!("/api/devices?{query}")));
    }
    // The filter is the caller's own text, of which an error repeats the part that it is about.
    let last = answers.pop().expect("an answer");
    assert_eq!(last.status, 400);
    assert!(answers.iter().all(|answer| !String::from_utf8_lossy(&answer.body).contains(KEY)));
    let errors = handler.stop() + &app.log();
    assert!(!errors.contains(KEY), "{errors}");
}

#[test]
fn a_thousand_parallel_readers_get_their_own_devices() {
    const READERS: usize = 1_000;
    let app = App::shipped();
    let (handler, port) = app.start_with_api();
    let ids: Vec<_> = (0..100).map(|number| format!("drone/{number}")).collect();
    store(&handler, &ids.iter().map(String::as_str).collect::<Vec<_>>());
    let correct = thread::scope(|scope| {
        let readers: Vec<_> = (0..READERS)
            .map(|reader| {
                let id = &ids[reader % ids.len()];
                scope.spawn(move || get(port, &format!("/api/devices/{}", encoded(id))).json()["id"] == **id)
            })
            .collect();
        readers.into_iter().map(|reader| reader.join().expect("an answer")).filter(|is_correct| *is_correct).count()
    });
    assert_eq!(correct, READERS);
}

#[test]
fn an_invalid_document_is_named_and_hides_no_other() {
    let app = App::shipped();
    let (handler, port) = app.start_with_api();
    store(&handler, &["a", "b"]);
    let database = Connection::open(app.path("state.db")).expect("the state file");
    database.execute("UPDATE documents SET document = '{\"id\":1}' WHERE id = 'a'", []).expect("a document");
    let detail = problem(&get(port, "/api/devices/a"), 500);
    assert_eq!(detail, "the stored document of the device \"a\" is invalid; the log of the handler has the reason");
    let list = get(port, "/api/devices").json();
    assert_eq!((&list["devices"][0]["id"], list["invalid"].as_array().map(Vec::len)), (&json!("b"), Some(1)), "{list}");
    assert_eq!(get(port, "/api/devices/b").status, 200);
}

#[test]
fn a_damaged_state_file_is_a_problem_and_the_reason_is_in_the_log() {
    let app = App::shipped();
    let (handler, port) = app.start_with_api();
    store(&handler, &["a"]);
    let database = Connection::open(app.path("state.db")).expect("the state file");
    database.execute_batch("PRAGMA wal_checkpoint(TRUNCATE); DROP TABLE documents;").expect("a table");
    let detail = problem(&get(port, "/api/devices/a"), 503);
    assert_eq!(detail, "the store refuses requests; the log of the handler has the reason");
    problem(&get(port, "/api/devices"), 503);
    let errors = handler.stop();
    assert!(errors.contains("the store fails a request of the read API"), "{errors}");
}

#[test]
fn a_port_that_is_in_use_names_the_option() {
    let app = App::shipped();
    let (_handler, port) = app.start_with_api();
    let output = app
        .tool()
        .args(["serve", "--port", "0", "--api", &port.to_string()])
        .env("FUNCTIONS_APP_ROOT_PATH", app.path(""))
        .output();
    let output = output.expect("the binary");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{errors}");
    assert!(errors.contains("(option `--api`)"), "{errors}");
}
