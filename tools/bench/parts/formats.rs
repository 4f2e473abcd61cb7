//! Bodies that are unpacked before they are mapped, and device times.

use std::{fs, io::Write as _, iter};

use devicestate_local::{hub::Sent, simulator::Encoding};
use flate2::{Compression, write::GzEncoder};

use super::{
    Round, decoding_each,
    product::{any_json, avro, fixture, mapped_json_with_time},
    requests::key_frames,
};

/// Decodes a key frame with the time of its device by a telemetry file.
pub(super) fn decoding_device_time() -> Box<dyn Iterator<Item = Round>> {
    let frames = key_frames(Encoding::Json, 0).map(|sent| {
        let body = [br#"{"time":"2024-11-21T00:46:40.123Z","#, &sent.body[1..]].concat();
        Sent { body, ..sent }
    });
    decoding_each(mapped_json_with_time(), frames)
}

/// Decodes a key frame in gzip.
pub(super) fn decoding_gzip() -> Box<dyn Iterator<Item = Round>> {
    let frames = key_frames(Encoding::Json, 0).map(|sent| {
        let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
        encoder.write_all(&sent.body).expect("a vector accepts every byte");
        Sent { body: encoder.finish().expect("a vector accepts every byte"), content_type: None, ..sent }
    });
    decoding_each(any_json(), frames)
}

/// Decodes an Avro message in single-object encoding, of 19 fields.
pub(super) fn decoding_avro() -> Box<dyn Iterator<Item = Round>> {
    let body = fs::read(fixture("avro/single-object.bin")).expect("the fixture");
    decoding_each(avro(), iter::repeat_with(move || Sent { body: body.clone(), ..Sent::default() }))
}
