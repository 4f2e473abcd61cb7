//! The JSON Schema of the telemetry file accepts and refuses what the program does.

use devicestate_telemetry::file::TelemetryFile;
use devicestate_test_support::repository_file;
use jsonschema::Validator;
use serde_json::{Value, json};

fn schema() -> Validator {
    let schema = repository_file("docs/reference/telemetry.schema.json");
    jsonschema::meta::validate(&schema).expect("a schema");
    jsonschema::draft202012::new(&schema).expect("a schema of draft 2020-12")
}

#[track_caller]
fn check(files: &[Value], is_valid: bool) {
    let schema = schema();
    for file in files {
        let parsed = TelemetryFile::parse(file.to_string().as_bytes());
        assert_eq!(parsed.is_ok(), is_valid, "{file}: {parsed:?}");
        assert_eq!(schema.is_valid(file), is_valid, "{file}");
    }
}

#[expect(clippy::needless_pass_by_value, reason = "it is called with literals")]
fn reading(rule: Value) -> Value {
    json!({"readings": {"t": rule}})
}

#[expect(clippy::needless_pass_by_value, reason = "it is called with literals")]
fn wildcard(rule: Value) -> Value {
    json!({"readings": {"*": rule}})
}

#[test]
fn both_accept_valid_files() {
    let condition = json!({"from": "/a", "exists": true});
    let files = [
        json!({}),
        json!({"$schema": "./telemetry.schema.json"}),
        json!({"device": "", "records": "", "null": "clear", "objects": "whole"}),
        json!({"device": ["/a~1b/~0", "body:", "body:/x/0", "property:a b", "cloudevent:source", "iothub", "partitionKey", "contentType"]}),
        json!({"records": "lines"}),
        json!({"records": "/a/b", "time": {"from": ["/ts"], "format": "unix_ns", "newest": "device", "notBefore": "2026-01-01T00:00:00+01:00", "required": true}}),
        json!({"when": condition, "ignore": []}),
        json!({"when": [condition], "ignore": [condition, [condition, {"from": "/b", "equals": [null, 1, "x", true], "startsWith": ""}]]}),
        json!({"kinds": [{}], "records": "/x"}),
        json!({"kinds": [{"name": "a", "when": condition, "records": "/x", "device": "/d"}, {"readings": {}}], "null": "ignore"}),
        json!({"avro": {"schemas": "a.avsc"}, "protobuf": {"descriptors": "a.binpb", "message": "a.B"}}),
        json!({"avro": {"schemas": ["schemas/*.avsc"], "ids": {"1": "a.avsc"}}}),
        json!({"protobuf": {"descriptors": "a.binpb", "message": "a.B", "defaults": true}}),
        reading(json!("/t")),
        reading(json!(["/t", "property:t"])),
        reading(json!({"value": [1, {"x": null}]})),
        reading(json!({"from": "/t", "type": "integer", "required": false, "range": [0, null]})),
        reading(json!({"from": "/t", "range": [-1.5, 1], "scale": 2, "offset": 0.5, "type": "number"})),
        reading(json!({"from": "/t", "values": {"on": 1, "off": 0.5}, "type": "string"})),
        reading(json!({"from": "/t", "values": {"on": 1}})),
        reading(json!({"from": "/t", "format": "unix"})),
        reading(json!({"from": "/t", "type": "time", "format": "iso8601_utc"})),
        wildcard(json!(true)),
        wildcard(json!("/data")),
        wildcard(json!({"from": "/data", "include": ["a", "b*", "*"], "exclude": [], "prefix": "x.", "value": "/v"})),
        wildcard(json!({"from": "/metrics", "name": "/name", "value": "/value"})),
    ];
    check(&files, true);
}

#[test]
fn both_refuse_files_that_are_not_valid() {
    let condition = json!({"from": "/a", "exists": true});
    let files = [
        json!([]),
        json!({"devise": "/a"}),
        json!({"$schema": 1}),
        json!({"device": "a"}),
        json!({"device": []}),
        json!({"device": "/a~2"}),
        json!({"device": "property:"}),
        json!({"device": "IoTHub"}),
        json!({"records": "events"}),
        json!({"records": ["/a"]}),
        json!({"null": "drop"}),
        json!({"objects": true}),
        json!({"time": "/ts"}),
        json!({"time": {}}),
        json!({"time": {"from": "/ts", "format": "iso"}}),
        json!({"time": {"from": "/ts", "newest": "event"}}),
        json!({"time": {"from": "/ts", "notBefore": 5}}),
        json!({"when": {}}),
        json!({"when": {"from": "/a"}}),
        json!({"when": {"exists": true, "equals": 1}}),
        json!({"when": []}),
        json!({"when": {"from": "/a", "equals": {}}}),
        json!({"when": {"from": "/a", "equals": []}}),
        json!({"when": {"from": "/a", "startsWith": 1}}),
        json!({"ignore": condition}),
        json!({"when": condition, "kinds": [{}]}),
        json!({"kinds": []}),
        json!({"kinds": [{"ignore": []}]}),
        json!({"records": "/a", "kinds": [{"records": "/b"}]}),
        json!({"avro": {}}),
        json!({"avro": {"schemas": []}}),
        json!({"avro": {"schemas": ""}}),
        json!({"avro": {"ids": {"1": 2}}}),
        json!({"protobuf": {"descriptors": "a"}}),
        json!({"protobuf": {"descriptors": 1, "message": "a"}}),
        json!({"protobuf": {"descriptors": "a", "message": "a", "defaults": 1}}),
        json!({"readings": []}),
        json!({"readings": {"id": "/a"}}),
        json!({"readings": {"Versions": "/a"}}),
        json!({"readings": {"Heard": "/a"}}),
        json!({"readings": {"SilentSince": "/a"}}),
        json!({"readings": {"ttl": "/a"}}),
        json!({"readings": {"_x": "/a"}}),
        json!({"readings": {"": "/a"}}),
        json!({"readings": {"n".repeat(257): "/a"}}),
        reading(json!("t")),
        reading(json!(true)),
        reading(json!({})),
        reading(json!({"value": null})),
        reading(json!({"value": 1, "from": "/t"})),
        reading(json!({"from": "/t", "type": "float"})),
        reading(json!({"from": "/t", "required": 1})),
        reading(json!({"from": "/t", "range": [null, null]})),
        reading(json!({"from": "/t", "range": [1]})),
        reading(json!({"from": "/t", "range": [1, 2], "type": "string"})),
        reading(json!({"from": "/t", "scale": 2, "type": "integer"})),
        reading(json!({"from": "/t", "offset": "2"})),
        reading(json!({"from": "/t", "scale": 2, "format": "unix"})),
        reading(json!({"from": "/t", "format": "unix", "type": "any"})),
        reading(json!({"from": "/t", "values": {}})),
        reading(json!({"from": "/t", "values": {"on": "1"}})),
        reading(json!({"from": "/t", "values": {"on": 1}, "type": "time"})),
        reading(json!({"from": "/t", "values": {"on": 1}, "scale": 2})),
        wildcard(json!(false)),
        wildcard(json!("data")),
        wildcard(json!({"include": ["a*b"]})),
        wildcard(json!({"exclude": ["a", "a"]})),
        wildcard(json!({"exclude": "a"})),
        wildcard(json!({"prefix": "_x"})),
        wildcard(json!({"from": "/m", "name": "/n"})),
        wildcard(json!({"names": []})),
    ];
    check(&files, false);
}

#[test]
fn each_member_is_described() {
    fn undescribed(schema: &Value, path: &str, found: &mut Vec<String>) {
        let has_text = |schema: &Value| schema.get("description").is_some() || schema.get("$ref").is_some();
        if let Some(properties) = schema.get("properties").and_then(Value::as_object) {
            let names =
                properties.iter().filter(|(_, schema)| !has_text(schema)).map(|(name, _)| format!("{path}/{name}"));
            found.extend(names);
        }
        if let Some(parts) = schema.get("anyOf").and_then(Value::as_array) {
            for part in parts {
                undescribed(part, path, found);
            }
        }
    }
    let schema = repository_file("docs/reference/telemetry.schema.json");
    let mut found = Vec::new();
    undescribed(&schema, "", &mut found);
    for (name, part) in schema["$defs"].as_object().expect("an object") {
        undescribed(part, name, &mut found);
    }
    assert_eq!(found, [""; 0]);
}
