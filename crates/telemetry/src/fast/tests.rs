//! The fast reader and the plain one agree.

use std::sync::atomic::{AtomicUsize, Ordering::Relaxed};

use devicestate_engine::{
    batch::Event,
    telemetry::{Poison, Telemetry},
};
use fastrand::Rng;
use serde_json::Map;

use super::*;
use crate::{file::TelemetryFile, mapping};

/// Decodes each event with both readers.
struct Both {
    mapping: Mapping,
    fast: FastReader,
}

struct Plain<'m>(&'m Mapping);

struct Fast<'f>(&'f FastReader, AtomicUsize);

impl Telemetry for Plain<'_> {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        let values = mapping::parse(&event.body)?;
        self.0.map_values(&values, &Context::new(event, Map::new()), records, &mut 0)
    }
}

impl Telemetry for Fast<'_> {
    fn decode_into<'e>(&self, event: &'e Event, records: &mut Records<'_, 'e>) -> Result<(), Poison> {
        let mut count = 0;
        let context = Context::new(event, Map::new());
        let is_read = self.0.read(&context, &event.body, Cow::Borrowed, records, &mut count);
        self.1.store(count, Relaxed);
        if is_read { Ok(()) } else { Err(Poison::Undecodable(String::new())) }
    }
}

impl Both {
    fn new(file: &str) -> Self {
        let mapping = TelemetryFile::parse(file.as_bytes()).expect(file).mapping;
        Self { fast: FastReader::new(&mapping), mapping }
    }

    /// Asserts that the readers agree; returns false if the fast one leaves the event to the plain one.
    fn agree(&self, event: &Event) -> bool {
        let fast = Fast(&self.fast, AtomicUsize::new(0));
        let Ok(read) = fast.decode_records(event) else { return false };
        let shown = String::from_utf8_lossy(&event.body);
        assert_eq!(fast.1.into_inner(), read.len(), "{shown}");
        let plain = Plain(&self.mapping).decode_records(event);
        // In this form, the two zeros are different.
        assert_eq!(format!("{:?}", Ok::<_, Poison>(read)), format!("{plain:?}"), "{shown}");
        true
    }
}

fn event(body: &str) -> Event {
    Event { body: body.to_owned().into(), iot_hub_device_id: Some("hub".into()), ..Event::default() }
}

/// Files that use each feature.
const FILES: [&str; 14] = [
    "{}",
    r#"{"null":"clear"}"#,
    r#"{"objects":"whole"}"#,
    r#"{"device":["/deviceId","/id","/a"]}"#,
    r#"{"device":["/id","/deviceId","/b"],"null":"clear","readings":{"*":true,"f":"/b/a"}}"#,
    r#"{"device":["/a","/b/c","iothub"],"readings":{"x":"/b/d","y":["/c","/d"],"*":true}}"#,
    r#"{"device":"/id","time":{"from":"/a","format":"unix","newest":"device"},"null":"clear",
        "readings":{"n":{"from":"/b","type":"number","scale":2,"range":[-5,null]},"i":{"from":"/c","type":"integer"}}}"#,
    r#"{"time":{"from":["/a","/b"],"format":"unix_ms","newest":"device","required":true},
        "readings":{"*":{"include":["c","d*","a.b"],"exclude":["da","a.b.c"],"prefix":"p."}}}"#,
    r#"{"device":["/id","/deviceId"],"readings":{"*":"/b","whole":"/b","s":{"from":"/c","type":"string"}}}"#,
    r#"{"readings":{"v":{"from":"/a","values":{"Off":0,"on":1}},"w":{"from":"/b","values":{"x":1},"type":"string"},
        "t":{"from":"/c","type":"time","format":"unix"},"f":{"from":"/d","type":"boolean"},"k":{"value":7},"*":true}}"#,
    r#"{"ignore":[{"from":"/a","equals":[1,"x",null]}],"kinds":[
        {"when":{"from":"/b","exists":true},"readings":{"b":"/b"}},
        {"when":[{"from":"/c","startsWith":"x"},{"from":"iothub","equals":"hub"}]},
        {"readings":{"*":{"exclude":["a"]}},"objects":"whole"}]}"#,
    r#"{"when":{"from":"/a","exists":true},"device":["body:/deviceId","/a"],"readings":{"*":{"from":"/b","prefix":"q"}}}"#,
    r#"{"readings":{"z":"/a/0","y":"/b/c/1","*":true},"time":{"from":"/d"}}"#,
    r#"{"readings":{"da":{"from":"/d/a"},"*":{"include":["d","b"]}},"objects":"whole","null":"clear"}"#,
];

/// Makes JSON in which each rule has something to do.
struct Generator {
    random: Rng,
    text: String,
}

impl Generator {
    fn one_of(&mut self, texts: &[&str]) {
        let text = texts[self.random.usize(..texts.len())];
        self.text.push_str(text);
    }

    fn space(&mut self) {
        if self.random.u8(..12) == 0 {
            self.one_of(&[" ", "\n\t", "  \r\n"]);
        }
    }

    fn members(&mut self, mut count: usize, names: &[&str], depth: usize) {
        let mut names = names.to_vec();
        // Mostly the same order.
        if self.random.u8(..3) == 0 {
            self.random.shuffle(&mut names);
        }
        for name in names {
            if count == 0 || self.random.u8(..4) == 0 {
                continue;
            }
            count -= 1;
            if self.text.ends_with(|c: char| c != '{' && !c.is_whitespace()) {
                self.text.push(',');
            }
            self.space();
            self.text.extend(["\"", name, "\""]);
            self.space();
            self.text.push(':');
            self.space();
            if name == "b" && self.random.bool() {
                self.object(depth.saturating_sub(1));
            } else {
                self.value(depth);
            }
            self.space();
        }
    }

    fn object(&mut self, depth: usize) {
        self.text.push('{');
        let count = if depth > 0 { self.random.usize(..4) } else { 0 };
        self.members(count, &["a", "b", "c", "d", "e.f"], depth);
        self.text.push('}');
    }

    fn value(&mut self, depth: usize) {
        match self.random.u8(..16) {
            0..=2 if depth > 0 => self.object(depth - 1),
            3 if depth > 0 => {
                self.text.push('[');
                self.value(depth - 1);
                if self.random.bool() {
                    self.text.push(',');
                    self.value(depth - 1);
                }
                self.text.push(']');
            }
            4..=6 => {
                self.one_of(&["\"x\"", "\"on\"", "\"OFF\"", "\"\"", "\"xyz\\n\\u00e4\"", "\"x\u{e4}\"", "\"\\ud800\""]);
            }
            7..=8 => self.one_of(&["true", "false"]),
            9 => self.text.push_str("null"),
            _ => self.one_of(&[
                "0",
                "1",
                "3",
                "-7",
                "1.5",
                "3.0",
                "-0",
                "-0.0",
                "1e3",
                "1700000000",
                "1700000000.25",
                "1e999",
            ]),
        }
    }

    fn record(&mut self) {
        const DEVICE: [&str; 4] = ["deviceId", "id", "device_id", "a"];
        const NAMES: [&str; 10] = ["a", "b", "c", "d", "da", "a.b", "ttl", "_x", "e", "\u{e4}"];
        self.text.push('{');
        if self.random.u8(..8) > 0 {
            let device = if self.random.u8(..4) > 0 { "deviceId" } else { DEVICE[self.random.usize(..DEVICE.len())] };
            self.text.extend(["\"", device, "\":"]);
            self.one_of(&["\"d-1\"", "\"d-1\"", "\"d-2\"", "\"d\\u0031\"", "7", "null", "\"\"", "1.5"]);
        }
        let (count, names) = (self.random.usize(..7), if self.random.u8(..4) > 0 { &NAMES[..5] } else { &NAMES });
        self.members(count, names, 3);
        self.text.push('}');
    }

    fn body(&mut self) -> String {
        self.text.clear();
        let is_array = self.random.u8(..4) == 0;
        let count = if self.random.bool() { 1 } else { self.random.usize(1..4) };
        for index in 0..count {
            if is_array {
                self.text.push(if index == 0 { '[' } else { ',' });
            }
            self.space();
            self.record();
            self.space();
        }
        if is_array {
            self.text.push(']');
        }
        self.text.clone()
    }

    /// Changes some bytes of a body.
    fn damage(&mut self, body: &mut Vec<u8>) {
        let alphabet = b"{}[]\",:.-+0123456789eEtrufalsnd \\\n\x80\x01";
        for _ in 0..self.random.usize(1..3) {
            let (at, byte) = (self.random.usize(..body.len()), alphabet[self.random.usize(..alphabet.len())]);
            match self.random.u8(..3) {
                0 => body[at] = byte,
                1 => body.insert(at, byte),
                _ if body.len() > 1 => drop(body.remove(at)),
                _ => {}
            }
        }
    }
}

#[test]
fn both_readers_agree_on_each_mapping() {
    let mut generator = Generator { random: Rng::with_seed(24), text: String::new() };
    for file in FILES {
        let both = Both::new(file);
        let (mut whole, mut damaged) = (0, 0);
        for _ in 0..3_000 {
            let body = generator.body();
            whole += u32::from(both.agree(&event(&body)));
            let mut body = body.into_bytes();
            generator.damage(&mut body);
            damaged += u32::from(both.agree(&Event { body: body.into(), ..event("") }));
        }
        println!("{whole} {damaged} {file}");
        assert!(
            whole > 10 && damaged > 0,
            "{file}: only {whole} events and {damaged} damaged ones were read by the fast reader"
        );
    }
}

#[test]
fn a_fleet_that_invents_names_is_forgotten() {
    let both = Both::new("{}");
    for event_number in 0..100 {
        let members: Vec<_> = (0..50).map(|number| format!(r#","name-{event_number}-{number}":{number}"#)).collect();
        let members = members.concat();
        assert!(both.agree(&event(&format!(r#"{{"deviceId":"d"{members}}}"#))));
        let idle = both.fast.idle.lock().expect("no panic");
        assert!(idle[0].kinds[0].table.members.len() < 2_100);
        assert_eq!(idle.len(), 1);
    }
}

#[test]
fn events_are_read_at_the_same_time() {
    let both = Both::new("{}");
    std::thread::scope(|scope| {
        for thread in 0..4 {
            let both = &both;
            scope.spawn(move || {
                for number in 0..200 {
                    let body = format!(r#"{{"deviceId":"d-{thread}","x":{number},"y-{}":true}}"#, number % 7);
                    assert!(both.agree(&event(&body)), "{body}");
                }
            });
        }
    });
    assert!((1..=4).contains(&both.fast.idle.lock().expect("no panic").len()));
}

#[test]
fn an_event_has_a_limited_number_of_records() {
    let both = Both::new("{}");
    let lines = |count| r#"{"deviceId":"d","a":1}"#.repeat(count);
    assert!(both.agree(&event(&lines(MAX_RECORDS))));
    assert!(!both.agree(&event(&lines(MAX_RECORDS + 1))));
    let array = |count| format!("[{}]", vec![r#"{"deviceId":"d","a":1}"#; count].join(","));
    assert!(both.agree(&event(&array(MAX_RECORDS))));
    assert!(!both.agree(&event(&array(MAX_RECORDS + 1))));
}

#[test]
fn the_common_forms_are_read_by_the_fast_reader() {
    let any = Both::new("{}");
    for body in [
        r#"{"deviceId":"pump-1","ts":"2026-11-30T12:00:00Z","pressure":3.2,"rpm":1200,"motor":{"temp":71}}"#,
        r#"[{"deviceId":"a","x":1},{"deviceId":"b","x":[1,{"y":2}]}]"#,
        "{\"deviceId\":\"a\",\"x\":1}\n{\"deviceId\":\"a\",\"x\":2}\n",
        r#" { "deviceId" : "a" , "x" : -1.5e3 , "text" : "a\"b" , "none" : null } "#,
        r#"{"deviceId":"a"}"#,
        r#"{"temperature":20}"#,
        r#"{"id":7,"x":true}"#,
    ] {
        assert!(any.agree(&event(body)), "{body}");
        assert!(any.agree(&event(body)), "{body}");
    }
    for body in [
        r#"{"deviceId":"a","id":"b"}"#,
        r#"{"deviceId":"a","a.b":1,"a":{"b":2}}"#,
        r#"{"deviceId":"a","x":1,"x":2}"#,
        r#"{"deviceId":"a","x":1e999}"#,
        r#"{"deviceId":"a","x":[1e999]}"#,
        r#"{"deviceId":"a","x":[{"y":1,"y":2}]}"#,
        r#"{"deviceId":"a","ttl":5}"#,
        "",
        "[]",
        "7",
    ] {
        assert!(!any.agree(&event(body)), "{body}");
    }
    let deep =
        |open: &str, close: &str| format!(r#"{{"deviceId":"a","x":{}1{}}}"#, open.repeat(128), close.repeat(128));
    assert!(!any.agree(&event(&deep("[", "]"))));
    assert!(!any.agree(&event(&deep(r#"{"x":"#, "}"))));
}
