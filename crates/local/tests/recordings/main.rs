//! Compares the stand-in host with the recordings of a running host in `tests/fixtures/host`.

mod endpoint;
mod events;
mod files;
mod messages;
mod recording;
mod replies;
mod timers;
