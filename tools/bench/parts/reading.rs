//! The read API, over documents in memory.

use std::{iter, rc::Rc};

use super::{
    Round, done,
    product::{Processing, Reading, drone, function, read},
    requests::{DEVICES, host_request},
};

/// Answers a request for the state of devices.
pub(super) fn getting(path: &'static str, query: &'static str) -> Box<dyn Iterator<Item = Round>> {
    let (function, engine) = (function(), Processing::new(drone()));
    engine.process(&read(&host_request(&function, 0, DEVICES, false), &function).batch);
    let api = Rc::new(Reading::new(&engine));
    Box::new(iter::repeat_with(move || -> Round {
        let api = Rc::clone(&api);
        Box::new(move || done(api.get(path, query)))
    }))
}
