//! Lower limits: the least work on the bytes of a batch, with the fastest available libraries.

use std::{hint::black_box, rc::Rc};

use base64::{
    Engine as _,
    engine::{GeneralPurposeConfig, Simd},
};
use devicestate_local::simulator::Encoding;

use super::{
    Round, done,
    product::function,
    requests::{host_request, key_frames},
};

/// Reads each byte of a request with 1,000 events once.
pub(super) fn passing() -> Box<dyn Iterator<Item = Round>> {
    let request = host_request(&function(), 0, 1000, false);
    Box::new(std::iter::repeat_with(move || -> Round {
        let request = request.clone();
        Box::new(move || done(memchr::memchr(0, black_box(&request))))
    }))
}

/// Decodes the base64 bodies of 1,000 events into one buffer.
pub(super) fn decoding_base64() -> Box<dyn Iterator<Item = Round>> {
    let engine = Simd::standard(GeneralPurposeConfig::new());
    let texts: Rc<Vec<_>> =
        Rc::new(key_frames(Encoding::Json, 0).take(1000).map(|sent| engine.encode(sent.body)).collect());
    Box::new(std::iter::repeat_with(move || -> Round {
        let (engine, texts) = (engine.clone(), Rc::clone(&texts));
        let mut bodies = vec![0; texts.iter().map(String::len).sum()];
        Box::new(move || {
            let mut end = 0;
            for text in texts.iter() {
                end += engine.decode_slice(text, &mut bodies[end..]).expect("base64");
            }
            done(bodies);
        })
    }))
}
