//! `devicestate local --ui`: the live page of a run.

use std::process::Command;

use devicestate_test_support::{EventStream, Framing, program::devicestate, request};
use serde_json::{Value, json};

use crate::{
    listening::Listening,
    support::{Workspace, count, function_app},
};

/// Returns the port and the token of a printed address.
fn page_of(run: &Listening) -> (u16, String) {
    let line = run.printed.iter().find(|line| line.contains("/?token=")).expect("the page's address");
    let address = line.split("http://127.0.0.1:").nth(1).expect("an address");
    let (port, token) = address.split_once("/?token=").expect("a token");
    (port.parse().expect("a port"), token.to_owned())
}

/// Reads the events of the page until one of this name has the expected data, and returns the data.
fn wait_for_event(run: &Listening, name: &str, is_expected: impl Fn(&Value) -> bool) -> Value {
    let (port, token) = page_of(run);
    let mut stream = EventStream::open(port, &format!("/live/devices?token={token}")).expect("events");
    loop {
        let data = stream.expect(name);
        if is_expected(&data) {
            return data;
        }
    }
}

fn get(run: &Listening, path: &str) -> Value {
    let (port, token) = page_of(run);
    let authorization = format!("Bearer {token}");
    let headers = [("Authorization", &*authorization)];
    let response = request(port, "GET", path, &headers, b"", Framing::Length).expect("an answer");
    assert_eq!(response.status, 200, "{path}");
    response.json()
}

#[test]
fn the_page_shows_the_figures_and_dead_letters_of_a_run_and_stays_after_its_input() {
    let workspace = Workspace::new();
    let run = Listening::start(workspace.local(&[
        "--ui",
        "0",
        "--devices",
        "3",
        "--events",
        "100",
        "--invalid-events",
        "1%",
    ]));
    let figures = wait_for_event(&run, "figures", |figures| figures["processed"] == 303);
    assert_eq!((&figures["received"], &figures["deadLettered"]), (&json!(303), &json!(3)), "{figures}");
    let partitions = figures["partitions"].as_array().expect("an array");
    let expected: Vec<_> = (0..4).map(|n| json!({ "partition": n.to_string(), "waiting": 0, "lagMs": 0 })).collect();
    assert_eq!(*partitions, expected);

    let letters = wait_for_event(&run, "deadLetters", |letters| letters["total"] == 3);
    let command = letters["groups"][0]["command"].as_str().expect("a command");
    let (program, state) = (devicestate(), workspace.state());
    let beginning = format!("Telemetry=drone {} dead-letters ", program.display());
    assert!(command.starts_with(&beginning) && command.contains(&format!(" --state {}", state.display())), "{command}");

    let info = get(&run, "/live/info");
    assert_eq!((&info["run"], &info["partitions"], &info["listen"]), (&json!(true), &json!(4), &Value::Null), "{info}");
    let list = get(&run, "/api/devices");
    let id = list["devices"][0]["id"].as_str().expect("an id");
    let device = get(&run, &format!("/live/device?id={id}"));
    let partition = device["readings"][0]["partition"].as_str().expect("a partition");
    assert!(["0", "1", "2", "3"].contains(&partition), "{device}");

    let report = run.end("-INT", 0);
    assert_eq!((count(&report, "received"), &report["interrupted"]), (303, &false.into()));
}

#[test]
fn the_page_and_events_by_http_share_a_port() {
    let workspace = Workspace::new();
    let root = function_app(&workspace, |_, _| {});
    let run = Listening::start(workspace.local(&["--listen", "--ui", "0", "--app-root", root.to_str().expect("text")]));
    let (port, _) = page_of(&run);
    let address = format!("http://127.0.0.1:{port}/telemetry/messages");
    assert!(run.printed.iter().any(|line| line.contains(&format!("curl {address} "))), "{:?}", run.printed);
    assert_eq!(get(&run, "/live/info")["listen"], address);
    // Without a token, but not from a web page.
    let status_of = |headers: &[(&str, &str)]| {
        let body = br#"{"deviceId":"d","battery":1}"#;
        request(port, "POST", "/telemetry/messages", headers, body, Framing::Length).expect("an answer").status
    };
    assert_eq!((status_of(&[]), status_of(&[("Origin", "https://evil.example")])), (201, 403));
    wait_for_event(&run, "figures", |figures| figures["processed"] == 1);
    let report = run.end("-TERM", 0);
    assert_eq!((count(&report, "receivedByHttp"), count(&report, "devices")), (1, 1));
}

#[test]
fn the_demonstration_stays_with_its_page_and_is_checked_at_the_end() {
    let workspace = Workspace::new();
    let run = Listening::start(workspace.local(&["--ui", "0"]));
    let figures = wait_for_event(&run, "figures", |figures| {
        let waiting = figures["partitions"].as_array().expect("an array").iter().map(|partition| &partition["waiting"]);
        figures["processed"] == figures["received"]
            && figures["batches"] != 0
            && waiting.clone().all(|waiting| *waiting == 0)
    });
    let report = run.end("-INT", 0);
    assert!(figures["processed"].as_u64() <= Some(count(&report, "received")), "{figures} {report}");
    assert_eq!(
        (&report["check"]["differentDocuments"], &report["check"]["documents"]),
        (&json!(0), &json!(2)),
        "{report}"
    );
}

#[test]
fn documents_in_the_handlers_memory_have_no_page() {
    let workspace = Workspace::new();
    let mut local: Command = workspace.local(&["--ui", "0", "--devices", "1"]);
    let output = local.env("StateStore", "memory").output().expect("the binary runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{errors}");
    assert!(errors.contains("set StateStore to sqlite") && errors.contains("--ui"), "{errors}");
}
