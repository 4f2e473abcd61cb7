use std::borrow::Cow;

use base64::{Engine as _, engine::general_purpose::STANDARD};
use devicestate_engine::telemetry::{DecodedRecord, Telemetry as _};
use devicestate_telemetry::{
    formats::Formats,
    mapping::MAX_RECORDS,
    unwrapping::{Content, cloud_event_attributes, unwrap},
};
use serde_json::{Map, Value, json};

use super::compression::gzip;
use crate::events::{event, fixture, issue, to_value, typed, value};

const STRUCTURED: &str = r#"{"specversion":"1.0","type":"telemetry","source":"/fleet","id":"7","subject":"pump-1",
    "datacontenttype":"application/json","data":{"rpm":1200, "rpm":1201},"site":null,"priority":3}"#;

#[test]
fn a_cloud_event_has_its_data_unparsed_and_its_attributes() {
    let event = event(STRUCTURED);
    let unwrapped = unwrap(&event, &Formats::default()).expect("a CloudEvent");
    // The mapping sees a member that is there twice.
    assert_eq!(unwrapped.content, Content::Json(Cow::Borrowed(br#"{"rpm":1200, "rpm":1201}"#)));
    assert!(matches!(unwrapped.content, Content::Json(Cow::Borrowed(_))), "it is copied");
    let attributes = json!({"specversion": "1.0", "type": "telemetry", "source": "/fleet", "id": "7", "subject": "pump-1",
        "datacontenttype": "application/json", "priority": 3});
    assert_eq!(Value::from(unwrapped.cloud_event), attributes);
}

#[test]
fn a_packed_cloud_event_is_the_same() {
    let (plain, packed) = (event(STRUCTURED), event(gzip(STRUCTURED)));
    let packed = unwrap(&packed, &Formats::default()).expect("a CloudEvent");
    assert_eq!(packed, unwrap(&plain, &Formats::default()).expect("a CloudEvent"));
}

fn cloud_event(member: &str, data: impl Into<Value>) -> Value {
    let mut event = json!({"specversion": "1.0", "type": "t", "source": "s", "id": "i"});
    event[member] = data.into();
    event
}

#[test]
fn data_in_base64_are_unwrapped_by_their_own_content_type() {
    let none = Formats::default();
    for bytes in [br#"{"rpm":1200}"#.to_vec(), gzip(r#"{"rpm":1200}"#), b"\xff\xfe{\0}\0".to_vec()] {
        let data = value(&event(cloud_event("data_base64", STANDARD.encode(&bytes)).to_string()), &none);
        assert!(data == json!({"rpm": 1200}) || data == json!({}), "{data}");
    }
    let mut protobuf = cloud_event("data_base64", "CgFk");
    protobuf["datacontenttype"] = "application/protobuf".into();
    let protobuf = issue(&event(protobuf.to_string()), &none);
    assert!(protobuf.starts_with("the content type says protobuf"), "{protobuf}");
    let not_base64 = issue(&event(cloud_event("data_base64", "{}").to_string()), &none);
    assert!(not_base64.starts_with("the member data_base64 of the CloudEvent is not base64"), "{not_base64}");
}

#[test]
fn data_that_are_a_json_string_are_unwrapped() {
    let body = cloud_event("data", r#"{"rpm":1200}"#).to_string();
    assert_eq!(value(&event(body), &Formats::default()), json!({"rpm": 1200}));
}

#[test]
fn a_cloud_event_without_data_is_an_empty_object() {
    for body in [cloud_event("data", Value::Null), cloud_event("subject", "pump-1")] {
        assert_eq!(value(&event(body.to_string()), &Formats::default()), json!({}));
    }
}

#[test]
fn each_event_of_a_batch_is_a_part_with_its_own_attributes() {
    let one = |id: &str| {
        let mut event = cloud_event("data", json!({"device": id}));
        event["id"] = id.into();
        event
    };
    let array = json!([one("a"), one("b")]).to_string();
    let lines = format!("{}\n{}\n", one("a"), one("b"));
    for event in [event(&array), event(&lines), typed("application/cloudevents-batch+json; charset=utf-8", &array)] {
        let unwrapped = unwrap(&event, &Formats::default()).expect("CloudEvents");
        assert_eq!(to_value(&unwrapped), json!([{"device": "a"}, {"device": "b"}]));
        let Content::Parts(parts) = unwrapped.content else { panic!("{event:?}") };
        let ids = parts.iter().map(|part| part.as_ref().expect("a valid part").cloud_event["id"].clone());
        assert_eq!(ids.collect::<Value>(), json!(["a", "b"]));
    }
}

#[test]
fn a_damaged_event_of_a_batch_leaves_the_others() {
    let both = cloud_event("data", 1).to_string().replace('}', r#","data_base64":"AA=="}"#);
    let bad = cloud_event("data_base64", "?");
    let body = format!("[{}, {both}, {bad}]", cloud_event("data", json!({"rpm": 1})));
    let event = event(body);
    let Content::Parts(parts) = unwrap(&event, &Formats::default()).expect("a batch").content else { panic!() };
    let issues: Vec<_> = parts.into_iter().map(|part| part.err().map(|poison| poison.to_string())).collect();
    assert_eq!(issues[0], None);
    assert_eq!(issues[1].as_deref(), Some("the CloudEvent has both data and data_base64"));
    assert!(issues[2].as_deref().is_some_and(|issue| issue.contains("is not base64")), "{issues:?}");
}

#[test]
fn json_that_only_resembles_a_cloud_event_is_left() {
    for body in [
        r#"{"specversion":"1.0","id":"7","rpm":1}"#,
        r#"{"note":"\"specversion\"","type":"t","source":"s","id":"i"}"#,
        r#"[{"specversion":"1.0","type":"t","source":"s","id":"i"},{"rpm":1}]"#,
        r#"{"specversion":"1.0","#,
    ] {
        let event = event(body);
        let unwrapped = unwrap(&event, &Formats::default()).expect("JSON");
        assert_eq!(unwrapped.content, Content::Json(Cow::Borrowed(body.as_bytes())));
        assert_eq!(unwrapped.cloud_event, Map::new());
    }
}

#[test]
fn a_cloud_event_in_a_cloud_event_is_data() {
    let inner = cloud_event("data", json!({"rpm": 1}));
    let outer = cloud_event("data", inner.clone());
    assert_eq!(value(&event(outer.to_string()), &Formats::default()), inner);
}

#[test]
fn a_body_that_its_content_type_wrongly_calls_a_cloud_event_is_poison() {
    let none = Formats::default();
    let issue = |body: &str| issue(&typed("application/cloudevents+json", body), &none);
    assert_eq!(
        issue(r#"{"rpm":1}"#),
        "the content type says CloudEvents, but the body is not a CloudEvent: it needs the members specversion, type, source, \
         id"
    );
    assert!(issue("{").starts_with("the body is not valid JSON"), "{}", issue("{"));
}

#[test]
fn a_member_that_is_there_twice_is_poison() {
    let body = STRUCTURED.replace("\"site\":null", "\"id\":\"8\"");
    assert_eq!(issue(&event(body), &Formats::default()), "the member id of the CloudEvent is there twice");
}

#[test]
fn a_batch_has_a_limit() {
    let one = cloud_event("data", json!({})).to_string();
    let batch = |count: usize| format!("[{}]", vec![one.as_str(); count].join(","));
    assert!(unwrap(&event(batch(MAX_RECORDS)), &Formats::default()).is_ok());
    let issue = issue(&event(batch(MAX_RECORDS + 1)), &Formats::default());
    assert_eq!(issue, "the body has 4097 CloudEvents: at most 4096 are possible");
}

#[test]
fn the_packed_data_of_a_batch_share_one_limit() {
    let packed = cloud_event("data_base64", STANDARD.encode(gzip(format!("{{}}{}", " ".repeat(50_000)))));
    let body = Value::from(vec![packed; 100]).to_string();
    let limit = 16 * body.len();
    let event = event(body);
    let Content::Parts(parts) = unwrap(&event, &Formats::default()).expect("a batch").content else { panic!() };
    let valid = parts.iter().filter(|part| part.is_ok()).count();
    assert!(valid >= 1 && valid * 50_000 <= limit, "{valid} parts");
    assert!(valid < 100);
}

#[test]
fn attributes_in_binary_mode_are_application_properties() {
    let attributes =
        |properties: Value| Value::from(cloud_event_attributes(properties.as_object().expect("properties")));
    let expected = json!({"specversion": "1.0", "type": "telemetry", "subject": "pump-1"});
    for prefix in ["cloudEvents:", "cloudEvents_", "ce_", "ce-", "CloudEvents:", "ce_"] {
        let properties = [("specversion", "1.0"), ("type", "telemetry"), ("Subject", "pump-1")]
            .map(|(name, value)| (format!("{prefix}{name}"), Value::from(value)));
        let mut properties: Map<_, _> = properties.into_iter().collect();
        properties.insert("region".into(), "north".into());
        assert_eq!(attributes(properties.clone().into()), expected);
        // Kafka's headers are bytes, which the service shows in base64.
        for value in properties.values_mut() {
            *value = STANDARD.encode(value.as_str().expect("text")).into();
        }
        assert_eq!(attributes(properties.into()), expected);
    }
    assert_eq!(attributes(json!({"ce_": "x", "ceremony": "y", "c": "é"})), json!({}));
}

#[test]
fn the_records_of_an_avro_file_have_the_attributes_of_its_cloud_event() {
    let file = fixture("avro/null.avro");
    let body =
        json!({"specversion": "1.0", "type": "t", "source": "site-1", "id": "1", "data_base64": STANDARD.encode(file)});
    let telemetry = crate::telemetry(&json!({"device": "cloudevent:source", "readings": {"level": "/level"}}));
    let records = telemetry.decode_records(&event(body.to_string())).expect("a CloudEvent");
    assert_eq!(records.len(), 2);
    for record in records {
        assert!(matches!(&record, DecodedRecord::Valid(record) if record.device_id == "site-1"), "{record:?}");
    }
}

#[test]
fn a_message_about_an_attribute_is_bounded() {
    let name = "a".repeat(100_000);
    let body = format!(r#"{{"specversion":"1.0","type":"t","source":"s","id":"1","{name}":1,"{name}":2}}"#);
    let issue = issue(&event(body), &Formats::default());
    assert_eq!(issue, format!("the member {}… of the CloudEvent is there twice", "a".repeat(64)));
}
