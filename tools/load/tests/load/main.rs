//! The load driver: the real program against the real handler, and against fake handlers that misbehave.

mod counts;
mod driver;
mod failures;
mod fake_handler;
mod handler;
mod request_shape;
mod requests;
