//! The whole instance dies in the middle: batches are half appended, and no checkpoint is behind them. Another instance
//! starts and goes on from the checkpoints. The lists and the hub are outside, and stay.

use std::sync::Arc;

use crate::{
    dispatch::Intake,
    error::Error,
    fuse::Fuse,
    instance::{End, Instance},
};

/// Lives twice: until half of all events are appended, and then until everything has been read.
pub(crate) fn live_twice(instance: &mut Instance, intake: &Intake) -> Result<(), Error> {
    let half = usize::try_from(instance.plan.all_events() / 2).expect("as many as fit into memory");
    instance.fuse = Some(Arc::new(Fuse::new(half)));
    if instance.live(intake)? == End::Done {
        return Err(Error::NoCrash);
    }
    instance.fuse = None;
    instance.live(intake).map(|_| ())
}
