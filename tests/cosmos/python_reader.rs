//! An independent reader of the documents: Microsoft's Python client.

use std::{
    collections::BTreeMap,
    path::{Path, PathBuf},
    process::Command,
};

use devicestate_test_support::{Batch, Fold, listener::Listener};
use serde_json::{Value, json};

use super::{app, battery, deliver, event};

/// The client's package in a tested version.
const PACKAGE: &str = "azure-cosmos==4.17.1";

/// Returns a Python with the package, in a virtual environment in the target folder that is created once.
fn python() -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder of Cargo's");
    let environment = target.join("python-azure-cosmos");
    let python = environment.join("bin/python");
    run(Command::new("python3").args(["-m", "venv"]).arg(&environment));
    run(Command::new(&python).args(["-m", "pip", "install", "--quiet", "--disable-pip-version-check", PACKAGE]));
    python
}

fn run(command: &mut Command) -> String {
    let output = command.output().unwrap_or_else(|error| panic!("{command:?}: {error}"));
    assert!(output.status.success(), "{command:?}: {}", String::from_utf8_lossy(&output.stderr));
    String::from_utf8(output.stdout).expect("text")
}

fn by_id(documents: &Value) -> BTreeMap<String, Value> {
    let documents = documents.as_array().expect("an array").iter().cloned();
    let documents = documents.map(|mut document| {
        document.as_object_mut().expect("an object").retain(|name, _| !name.starts_with('_'));
        (document["id"].as_str().expect("an id").to_owned(), document)
    });
    documents.collect()
}

#[test]
#[ignore = "needs python3 and, the first time, PyPI: cargo test --test cosmos -- --ignored reader"]
fn a_python_program_reads_the_same_documents() {
    let listener = Listener::start();
    let complete = event(
        7,
        "drone-2",
        json!({
            "battery": 0.123_456_789_012_345_67,
            "flightMode": "landing",
            "position": {"latitude": 47.5, "longitude": -8.25, "altitude": 1e-7},
            "health": {"gyrometerOK": true, "accelerometerOK": false},
        }),
    );
    let batch =
        Batch::of([battery(1, "drone-1", 0.25), battery(2, "drone-3", 0.125), complete, battery(9, "höhe 7", 1.0)]);
    deliver(&app(&listener).start(), &batch).reply.assert_all_applied(4);

    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/cosmos/reader.py");
    let mut reader = Command::new(python());
    reader.arg(script).env("ENDPOINT", listener.endpoint()).env("KEY", listener.key());
    let output: Value = serde_json::from_str(&run(&mut reader)).expect("JSON");
    let mut expected = listener.documents();
    let mut folded = Fold::from_batches([&batch]).documents();
    folded.get_mut("drone-2").expect("a document")["FlightMode"] = 4.into();
    assert_eq!(expected, folded);
    for method in ["listed", "read"] {
        assert_eq!(by_id(&output[method]), expected, "{method}");
    }
    expected.remove("drone-2");
    expected.remove("drone-3");
    assert_eq!(by_id(&output["found"]), expected, "found by a query");
}
