//! The requests whose outputs are stored.

use std::{fs, io::Write as _, path::Path, sync::Arc, time::Duration};

use devicestate_engine::{
    function_app::{ServiceBusTrigger, Trigger},
    settings::Settings,
    telemetry::{Telemetry, drone::Drone},
};
use devicestate_test_doubles::{Operation, ScriptedStore, StoreResponse, sessions};
use devicestate_test_oracle::protobuf::Message;
use devicestate_test_support::{Batch, Event, recordings, repository_file, root, session_message::SessionMessage};
use flate2::{Compression, write::GzEncoder};
use serde_json::json;

use super::replay::Request;

/// Requests for one handler with an empty store.
pub(super) struct Scenario {
    pub(super) name: &'static str,
    pub(super) telemetry: Arc<dyn Telemetry>,
    pub(super) requests: Vec<Request>,
}

/// Returns the scenarios of a store that does not fail.
pub(super) fn scenarios() -> Vec<Scenario> {
    let mut of_any_json = fixtures();
    of_any_json.extend(in_batches("pumps", &lines("samples/telemetry/pumps/events.jsonl"), 2));
    of_any_json.extend(in_batches("flights", &lines("samples/px4-flights.jsonl"), 300));
    of_any_json.extend(in_batches("invalid", &invalid_bodies(), 30));
    of_any_json.extend(in_batches("properties", &with_properties(), 7));
    let mut all = vec![
        Scenario { name: "drone", telemetry: drone(), requests: drones() },
        Scenario { name: "any-json", telemetry: any_json(), requests: of_any_json },
        avro(),
        protobuf(),
    ];
    for name in ["cloudevents", "iot-central", "opc-ua", "sparkplug-and-tasmota", "things-network"] {
        let folder = format!("samples/telemetry/{name}");
        // The sample, and bodies that are not what the file describes.
        let mut requests = in_batches("sample", &lines(&format!("{folder}/events.jsonl")), 2);
        requests.extend(in_batches("invalid", &some_invalid_bodies(), 100));
        all.push(Scenario { name, telemetry: load(&root().join(folder)), requests });
    }
    all
}

pub(super) fn drone() -> Arc<dyn Telemetry> {
    Arc::new(Drone::default())
}

pub(super) fn any_json() -> Arc<dyn Telemetry> {
    load(tempfile::tempdir().expect("a folder").path())
}

/// Returns the telemetry of a function app in this folder.
fn load(folder: &Path) -> Arc<dyn Telemetry> {
    devicestate_telemetry::load(&Settings::default(), folder).expect("a telemetry file").telemetry
}

/// Returns the recorded requests and those of the cases.
fn fixtures() -> Vec<Request> {
    let recorded = recordings().into_iter().filter_map(|recording| {
        Some(Request {
            trigger: recorded_trigger(recording.function())?,
            invocation_id: recording.header("X-Azure-Functions-InvocationId").unwrap_or_default().to_owned(),
            body: recording.body().into(),
            name: recording.name,
        })
    });
    let mut requests: Vec<_> = recorded.collect();
    let folder = root().join("tests/fixtures/cases");
    let files = fs::read_dir(folder).expect("the cases").map(|file| file.expect("a file").path());
    let mut files: Vec<_> =
        files.filter(|path| path.extension().is_some_and(|extension| extension == "json")).collect();
    files.sort();
    requests.extend(files.into_iter().map(|path| {
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        let trigger = if name.contains("session") { sessions::trigger() } else { event_hub("binary", "many") };
        Request { trigger, invocation_id: name.clone(), body: fs::read(path).expect("a case").into(), name }
    }));
    requests
}

/// Returns the trigger of a recorded function: its name says the kind, the data type and the cardinality. None if it does not
/// receive telemetry.
fn recorded_trigger(function: &str) -> Option<Trigger> {
    let is_message = function.strip_prefix("servicebus-");
    let mut parts = is_message.unwrap_or(function).split('-');
    let (data_type, cardinality) = (parts.next()?, parts.next()?);
    let data_type = if data_type == "unset" { "undefined" } else { data_type };
    if is_message.is_none() {
        return Some(event_hub(data_type, cardinality));
    }
    let Trigger::ServiceBus(trigger) = sessions::trigger() else { unreachable!("it is that of the sessions") };
    let data_type = serde_json::from_value(data_type.into()).expect("a data type");
    Some(Trigger::ServiceBus(ServiceBusTrigger { data_type, ..trigger }))
}

fn event_hub(data_type: &str, cardinality: &str) -> Trigger {
    let mut trigger = repository_file("RawTelemetryFunction/function.json")["bindings"][0].take();
    trigger["dataType"] = data_type.into();
    trigger["cardinality"] = cardinality.into();
    Trigger::EventHub(serde_json::from_value(trigger).expect("a trigger"))
}

fn lines(path: &str) -> Vec<Event> {
    let text = fs::read_to_string(root().join(path)).expect("lines");
    (1..).zip(text.lines()).map(|(number, line)| Event::new(number, line).content_type("application/json")).collect()
}

/// Returns requests of batches of this size.
pub(super) fn in_batches(name: &str, events: &[Event], size: usize) -> Vec<Request> {
    let trigger = event_hub("binary", "many");
    let batches = events.chunks(size).enumerate();
    let request = |(number, events): (usize, &[Event])| {
        let name = format!("{name}-{number}");
        let body = Batch::of(events).partition("1").retry(0, -1).envelope().to_string().into();
        Request { trigger: trigger.clone(), invocation_id: name.clone(), name, body }
    };
    batches.map(request).collect()
}

/// Returns events of which most are invalid, each in another way.
pub(super) fn invalid_bodies() -> Vec<Event> {
    let bodies: [&[u8]; 24] = [
        b"",
        b"{\"deviceId\":\"d-1\",\"bat",
        b"{\"battery\":0.5}",
        b"{\"deviceId\":\"\",\"battery\":0.5}",
        b"{\"deviceId\":\"d-1\",\"battery\":\"full\"}",
        b"{\"deviceId\":\"d-1\",\"flightMode\":99}",
        b"{\"deviceId\":\"d-1\",\"flightMode\":\"hovering\"}",
        b"{\"deviceId\":\"d-1\",\"battery\":1e999}",
        b"{\"deviceId\":\"d-1\",\"battery\":0.1,\"battery\":0.2}",
        b"{\"deviceId\":\"d-1\",\"Versions\":1,\"id\":2}",
        b"{\"deviceId\":\"d-1\",\"a.b\":1,\"a\":{\"b\":2}}",
        b"{\"deviceId\":\"d-1\",\"other\":{\"deep\":[1,{\"x\":null}]}}",
        b"{\"deviceId\":\"d-1\"}",
        b"{\"deviceId\":7,\"battery\":1}",
        b"{\"deviceId\":\"d-\\ud83d\\ude80 \\u00e9#/?\\\\\",\"battery\":5e-1}",
        b"[{\"deviceId\":\"d-1\",\"battery\":0.3},{\"deviceId\":\"d-2\"},{\"battery\":0.4}]",
        b"{\"deviceId\":\"d-1\",\"battery\":0.3}\n{\"deviceId\":\"d-2\",\"battery\":0.4}\n{\"dev",
        b"[]",
        b"null",
        b"12.5",
        b"\"text\"",
        b"\xff\xfe\x00hello",
        b"\x0a\x07dron",
        b"\x0a\x01d\x11\x00\x00\x00\x00\x00\x00\xf8\x7f",
    ];
    let types =
        [None, Some("application/json"), Some("application/x-protobuf"), Some("application/json; charset=utf-8")];
    let each = bodies.iter().flat_map(|body| types.iter().map(move |content_type| (*body, *content_type)));
    (500..)
        .zip(each)
        .map(|(number, (body, kind))| match kind {
            Some(kind) => Event::new(number, body).content_type(kind).partition_key("d-1"),
            None => Event::new(number, body),
        })
        .collect()
}

/// Returns a part of them, with each content type.
fn some_invalid_bodies() -> Vec<Event> {
    invalid_bodies().into_iter().step_by(5).collect()
}

/// Returns events whose properties decide on their device, their time and their encoding.
fn with_properties() -> Vec<Event> {
    let body = |number: i64| json!({"deviceId": "d-1", "battery": 0.5, "flightMode": number % 6}).to_string();
    let of_iot_hub = |number: i64| {
        Event::new(number, body(number))
            .content_type("application/json")
            .system_property("iothub-connection-device-id", if number % 2 == 0 { "d-1" } else { "d-9" })
            .system_property("iothub-enqueuedtime", &format!("2024-11-20T00:00:{:02}.5", 59 - number % 60))
    };
    let sources = ["Telemetry", "twinChangeEvents", "deviceLifecycleEvents", "deviceConnectionStateEvents"];
    let of_source = |(number, source)| of_iot_hub(number).system_property("iothub-message-source", source);
    let packed = |number: i64| {
        // One object or several. The bytes do not depend on how the library compresses.
        let mut encoder = GzEncoder::new(Vec::new(), Compression::none());
        for _ in 0..=number % 3 {
            encoder.write_all(body(number).as_bytes()).expect("memory");
        }
        let event = Event::new(number, encoder.finish().expect("memory")).content_type("application/json");
        if number % 2 == 0 { event } else { event.system_property("content-encoding", "gzip") }
    };
    let mut events: Vec<_> = (900..910).map(of_iot_hub).collect();
    events.extend((910..).zip(sources).map(of_source));
    events.extend((920..926).map(packed));
    // An older event, and one twice.
    events.extend([905, 900, 900].map(|number| Event::new(number, body(number + 3))));
    events
}

/// Requests for drones in all encodings, and messages of sessions.
fn drones() -> Vec<Request> {
    let message = |(number, device): (i64, &str)| {
        let message = Message::with_device(device).double(2, 0.25).varint(3, u64::try_from(number % 7).expect("small"));
        Event::protobuf(number, if number % 5 == 4 { message.raw(b"\x1a\xff") } else { message })
    };
    let protobufs: Vec<_> =
        (700..).zip(["p-1", "p-2", "p-1", "", "p-3"].into_iter().cycle()).take(40).map(message).collect();
    let mut requests = fixtures();
    requests.extend(in_batches("invalid", &invalid_bodies(), 30));
    requests.extend(in_batches("properties", &with_properties(), 7));
    requests.extend(in_batches("protobuf", &protobufs, 9));
    requests.extend(in_batches("flights", &lines("samples/px4-flights.jsonl"), 1).into_iter().take(30));
    requests.extend(in_batches("flights-again", &lines("samples/px4-flights.jsonl"), 100));
    let messages = some_invalid_bodies().into_iter().zip(0..).map(|(event, number)| SessionMessage {
        content_type: [None, Some("application/json"), Some("application/x-protobuf")]
            [usize::try_from(number % 3).expect("small")],
        retry: (number % 4 == 0).then_some((0, 2)),
        ..SessionMessage::new(number, "d-1", event.body())
    });
    requests.extend(messages.map(|message| Request {
        name: format!("session-{}", message.number),
        trigger: sessions::trigger(),
        invocation_id: format!("{}#1", message.id()),
        body: message.to_bytes(),
    }));
    requests
}

/// Avro files, and datums with the id of a schema.
fn avro() -> Scenario {
    let fixture = |name: &str| fs::read(root().join("tests/fixtures/avro").join(name)).expect("a fixture");
    let folder = tempfile::tempdir().expect("a folder");
    let file = json!({"avro": {"schemas": ["telemetry.avsc"], "ids": {"42": "telemetry.avsc"}}});
    fs::write(folder.path().join("telemetry.json"), file.to_string()).expect("a file");
    fs::write(folder.path().join("telemetry.avsc"), fixture("telemetry.avsc")).expect("a file");
    let mut bodies: Vec<_> = ["null.avro", "deflate.avro", "zstandard.avro", "single-object.bin"].map(fixture).into();
    let framed = [b"\0\0\0\0\x2a", &fixture("single-object.bin")[10..]].concat();
    bodies.push(framed[..framed.len() / 2].to_vec());
    bodies.push([b"\0\0\0\0\x2b", &framed[5..]].concat());
    bodies.push(framed);
    let bodies: Vec<_> = (1..).zip(bodies).map(|(number, body)| Event::new(number, body)).collect();
    Scenario { name: "avro", telemetry: load(folder.path()), requests: in_batches("avro", &bodies, 4) }
}

/// Messages that a descriptor set describes.
fn protobuf() -> Scenario {
    let folder = tempfile::tempdir().expect("a folder");
    let field =
        |name: &str, number, kind| Message::default().bytes(1, name).varint(3, number).varint(4, 1).varint(5, kind);
    // `message Telemetry { string deviceId = 1; double pressure = 2; sint64 level = 3; bool on = 4; }`
    let fields = [field("deviceId", 1, 9), field("pressure", 2, 1), field("level", 3, 18), field("on", 4, 8)];
    let message =
        fields.into_iter().fold(Message::default().bytes(1, "Telemetry"), |message, field| message.bytes(2, field));
    let file = Message::default().bytes(1, "fleet.proto").bytes(2, "fleet").bytes(4, message).bytes(12, "proto3");
    fs::write(folder.path().join("fleet.binpb"), Message::default().bytes(1, file)).expect("a file");
    let file = json!({"protobuf": {"descriptors": "fleet.binpb", "message": "fleet.Telemetry"}});
    fs::write(folder.path().join("telemetry.json"), file.to_string()).expect("a file");
    let messages = (1..12).map(|number: i64| {
        let level = u64::try_from(number).expect("positive");
        let message = Message::with_device(if number % 2 == 0 { "p-1" } else { "p-2" }).double(2, 0.5).varint(3, level);
        let message = if number % 3 == 0 { message.varint(4, 1) } else { message };
        Event::protobuf(number, if number % 5 == 0 { message.raw(b"\x1a\xff") } else { message })
    });
    let messages: Vec<_> = messages.collect();
    Scenario { name: "protobuf", telemetry: load(folder.path()), requests: in_batches("protobuf", &messages, 3) }
}

/// Batches of drones of which the store refuses some: in the last attempt these become dead letters.
pub(super) fn failing() -> (Scenario, Arc<ScriptedStore>) {
    let store = Arc::new(ScriptedStore::default());
    store.always(Operation::Write, "d-rejected", StoreResponse::rejected());
    store.always(Operation::Write, "d-refused", StoreResponse::refused());
    store.always(Operation::Write, "d-transient", StoreResponse::transient());
    store.always(Operation::Read, "d-unreadable", StoreResponse::bad_request());
    store.respond(Operation::Write, "d-lost", [StoreResponse::lost(), StoreResponse::transient()]);
    store.respond(Operation::Write, "d-fine", [StoreResponse::throttled(Duration::from_millis(200))]);
    let devices = ["d-fine", "d-rejected", "d-refused", "d-transient", "d-unreadable", "d-lost"];
    let event = |number: i64| {
        let device = devices[usize::try_from(number % 6).expect("small")];
        Event::json(number, &json!({"deviceId": device, "battery": number}))
    };
    let all: Vec<_> = (0..24).map(event).collect();
    let attempt = |number: i64| {
        let body = Batch::of(all.clone()).retry(number, -1).envelope().to_string().into();
        let name = format!("attempt-{number}");
        Request { name, trigger: event_hub("binary", "many"), invocation_id: "the-batch".into(), body }
    };
    let mut requests: Vec<_> = (0..6).map(attempt).collect();
    requests.extend(devices.iter().zip(100..).map(|(device, number)| {
        let message = SessionMessage::battery(number, device, 0.5).delivered(number - 99);
        let body = message.to_bytes();
        Request { name: format!("session-{device}"), trigger: sessions::trigger(), invocation_id: message.id(), body }
    }));
    (Scenario { name: "failing-store", telemetry: drone(), requests }, store)
}
