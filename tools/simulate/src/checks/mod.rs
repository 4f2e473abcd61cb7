//! What must hold, judged from what went in and what came out, and from nothing in between.

pub(crate) mod ending;
pub(crate) mod letter;
pub(crate) mod replies;
