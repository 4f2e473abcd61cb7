//! The measured parts of processing a batch. `counts` counts their instructions, `times` measures their times.

mod formats;
mod limit;
mod product;
mod reading;
mod requests;

use std::{cell::RefCell, hint::black_box, iter, rc::Rc, sync::Arc};

use devicestate_engine::{device_state::Document, telemetry::Telemetry};
use devicestate_local::{hub::Sent, simulator::Encoding};

use product::{
    Processing, Serving, any_json, dead_letter, decode, decode_records, drone, event, fold_and_merge, function,
    mapped_json, read, refuse, reply, session_function,
};
use requests::{DEVICES, host_request, key_frames, packed_frames, packed_request, session_request};

/// One measured run of a part, with its input prepared.
pub(crate) type Round = Box<dyn FnOnce()>;

/// A part of processing a batch.
pub(crate) struct Part {
    /// The name: the work and its number of events.
    pub(crate) name: &'static str,
    /// The number of events per round; of records if events are packed, of devices if they are read.
    pub(crate) events: usize,
    /// Endless rounds, each with later events than the previous one. Creating a round is not measured.
    pub(crate) rounds: fn() -> Box<dyn Iterator<Item = Round>>,
}

/// All parts: the lower limits, then the parts in processing order, and finally a complete invocation.
pub(crate) const PARTS: [Part; 32] = [
    Part { name: "limit/pass-1000", events: 1000, rounds: limit::passing },
    Part { name: "limit/base64-1000", events: 1000, rounds: limit::decoding_base64 },
    Part { name: "envelope/1", events: 1, rounds: || envelope(1, false) },
    Part { name: "envelope/100", events: 100, rounds: || envelope(100, false) },
    Part { name: "envelope/100-content-type", events: 100, rounds: || envelope(100, true) },
    Part { name: "envelope/1000", events: 1000, rounds: || envelope(1000, false) },
    Part { name: "decode/json", events: 1, rounds: || decoding(drone(), Encoding::Json) },
    Part { name: "decode/protobuf", events: 1, rounds: || decoding(drone(), Encoding::Protobuf) },
    Part { name: "decode/any-json", events: 1, rounds: || decoding(any_json(), Encoding::Json) },
    Part { name: "decode/any-json-8-records", events: 8, rounds: || decoding_records(&any_json(), 8) },
    Part { name: "decode/any-json-50-records", events: 50, rounds: || decoding_records(&any_json(), 50) },
    Part { name: "decode/mapped-json", events: 1, rounds: || decoding(mapped_json(), Encoding::Json) },
    Part { name: "decode/mapped-json-device-time", events: 1, rounds: formats::decoding_device_time },
    Part { name: "decode/any-json-gzip", events: 1, rounds: formats::decoding_gzip },
    Part { name: "decode/avro", events: 1, rounds: formats::decoding_avro },
    Part { name: "decode/refused", events: 1, rounds: refusing },
    Part { name: "fold/10", events: 10, rounds: folding },
    Part { name: "process/100", events: 100, rounds: || processing(drone(), 100) },
    Part { name: "process/1000", events: 1000, rounds: || processing(drone(), 1000) },
    Part { name: "process/1000-any-json", events: 1000, rounds: || processing(any_json(), 1000) },
    Part { name: "process/1000-mapped-json", events: 1000, rounds: || processing(mapped_json(), 1000) },
    Part { name: "dead-letter/1", events: 1, rounds: dead_lettering },
    Part { name: "reply/100", events: 100, rounds: replying },
    Part { name: "invoke/1", events: 1, rounds: || invoking(1, false) },
    Part { name: "invoke/100", events: 100, rounds: || invoking(100, false) },
    Part { name: "invoke/100-content-type", events: 100, rounds: || invoking(100, true) },
    Part { name: "invoke/1000", events: 1000, rounds: || invoking(1000, false) },
    Part { name: "invoke/100-packed-8", events: 800, rounds: || invoking_packed(100, 8) },
    Part { name: "invoke/10-packed-50", events: 500, rounds: || invoking_packed(10, 50) },
    Part { name: "invoke/session-1", events: 1, rounds: invoking_of_session },
    Part { name: "read/device", events: 1, rounds: || reading::getting("/drone-00042", "") },
    Part { name: "read/list-100", events: 100, rounds: || reading::getting("", "limit=100") },
];

/// Reads a request: base64 bodies and metadata of its events.
fn envelope(events: usize, with_content_type: bool) -> Box<dyn Iterator<Item = Round>> {
    let function = Rc::new(function());
    Box::new((0..).map(move |number| -> Round {
        let function = Rc::clone(&function);
        let request = host_request(&function, number, events, with_content_type);
        Box::new(move || done(read(&request, &function)))
    }))
}

/// Decodes one key frame to readings.
fn decoding(telemetry: Arc<dyn Telemetry>, encoding: Encoding) -> Box<dyn Iterator<Item = Round>> {
    decoding_each(telemetry, key_frames(encoding, 0))
}

/// Decodes one of these events, each with one record.
fn decoding_each(
    telemetry: Arc<dyn Telemetry>,
    events: impl Iterator<Item = Sent> + 'static,
) -> Box<dyn Iterator<Item = Round>> {
    Box::new(events.map(move |sent| -> Round {
        let (event, telemetry) = (event(sent), Arc::clone(&telemetry));
        Box::new(move || done(decode(&*telemetry, &event)))
    }))
}

/// Decodes one event with this many key frames as its records.
fn decoding_records(telemetry: &Arc<dyn Telemetry>, records: usize) -> Box<dyn Iterator<Item = Round>> {
    let telemetry = Arc::clone(telemetry);
    Box::new((0..).map(move |number| -> Round {
        let frames: Vec<_> =
            key_frames(Encoding::Json, number * records).take(records).map(|frame| frame.body).collect();
        let body = [b"[".as_slice(), &frames.join(b",".as_slice()), b"]"].concat();
        let (event, telemetry) = (event(Sent { body, ..Sent::default() }), Arc::clone(&telemetry));
        Box::new(move || done(decode_records(&*telemetry, &event)))
    }))
}

/// Refuses an event of 100 kB whose last member is invalid, and which may be JSON or protobuf. It must not cost much more than
/// reading its members.
fn refusing() -> Box<dyn Iterator<Item = Round>> {
    let members: Vec<_> = (0..10_000).map(|number| format!(r#""{number:05}":1,"#)).collect();
    let body = format!("\n{{{}\"deviceId\":\"d\",\"battery\":\"x\"}}", members.concat()).into_bytes();
    let event = Rc::new(event(Sent { body, ..Sent::default() }));
    Box::new(iter::repeat_with(move || -> Round {
        let event = Rc::clone(&event);
        Box::new(move || done(refuse(&event)))
    }))
}

/// Folds ten key frames of one device into its document, which holds older readings.
fn folding() -> Box<dyn Iterator<Item = Round>> {
    let events: Rc<Vec<_>> = Rc::new(
        key_frames(Encoding::Json, 0).step_by(DEVICES).take(10).map(|sent| decode(&*drone(), &event(sent))).collect(),
    );
    let document = Rc::new(RefCell::new(Document::new("drone-00000".into())));
    fold_and_merge(&mut document.borrow_mut(), 0, &events);
    Box::new((1..).map(move |number| -> Round {
        let (events, document) = (Rc::clone(&events), Rc::clone(&document));
        Box::new(move || fold_and_merge(&mut document.borrow_mut(), number * 10, &events))
    }))
}

/// Processes a batch with the engine. The devices have documents.
fn processing(telemetry: Arc<dyn Telemetry>, events: usize) -> Box<dyn Iterator<Item = Round>> {
    let (function, engine) = (function(), Rc::new(Processing::new(telemetry)));
    let batch = move |number| read(&host_request(&function, number, events, false), &function).batch;
    engine.process(&batch(0));
    Box::new((1..).map(move |number| -> Round {
        let (batch, engine) = (batch(number), Rc::clone(&engine));
        Box::new(move || engine.process(&batch))
    }))
}

/// Creates the queue message of an event that cannot be applied, in a batch of one.
fn dead_lettering() -> Box<dyn Iterator<Item = Round>> {
    let function = function();
    Box::new((0..).map(move |number| -> Round {
        let batch = read(&host_request(&function, number, 1, false), &function).batch;
        Box::new(move || done(dead_letter(&batch, 0)))
    }))
}

/// Creates the reply to a batch, with its record.
fn replying() -> Box<dyn Iterator<Item = Round>> {
    let function = function();
    let batch = Rc::new(read(&host_request(&function, 0, 100, false), &function).batch);
    Box::new(iter::repeat_with(move || -> Round {
        let batch = Rc::clone(&batch);
        Box::new(move || done(reply(&batch)))
    }))
}

/// Invokes the handler, from the bytes of a request to the bytes of its reply. The devices have documents.
fn invoking(events: usize, with_content_type: bool) -> Box<dyn Iterator<Item = Round>> {
    let (function, serving) = (function(), Rc::new(Serving::new(function(), drone())));
    // These batches create the documents of all devices.
    let first_batches = DEVICES.div_ceil(events);
    for number in 0..first_batches {
        serving.invoke(&host_request(&function, number, events, with_content_type));
    }
    Box::new((first_batches..).map(move |number| -> Round {
        let (request, serving) = (host_request(&function, number, events, with_content_type), Rc::clone(&serving));
        Box::new(move || done(serving.invoke(&request)))
    }))
}

/// Invokes the handler, as [`invoking`] does, with events of several records in any JSON.
fn invoking_packed(events: usize, records: u32) -> Box<dyn Iterator<Item = Round>> {
    let (function, serving) = (function(), Rc::new(Serving::new(function(), any_json())));
    let packed = packed_frames(records);
    let first_batches = DEVICES.div_ceil(events);
    for number in 0..first_batches {
        serving.invoke(&packed_request(&function, number, events, &packed));
    }
    Box::new((first_batches..).map(move |number| -> Round {
        let (request, serving) = (packed_request(&function, number, events, &packed), Rc::clone(&serving));
        Box::new(move || done(serving.invoke(&request)))
    }))
}

/// Invokes the handler with a message of a session, whose device has a document.
fn invoking_of_session() -> Box<dyn Iterator<Item = Round>> {
    let (function, serving) = (session_function(), Rc::new(Serving::new(session_function(), drone())));
    serving.invoke(&session_request(&function, 0));
    Box::new((1..).map(move |number| -> Round {
        let (request, serving) = (session_request(&function, number), Rc::clone(&serving));
        Box::new(move || done(serving.invoke(&request)))
    }))
}

/// Keeps the compiler from optimising away an unused result.
fn done<T>(result: T) {
    drop(black_box(result));
}
