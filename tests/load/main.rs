//! The load driver: the real `examples/load` against the real handler, and against handlers of these tests that do what
//! the real one never would.

#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../support/built.rs"]
mod built;
mod counts;
mod driver;
mod failures;
mod fake;
mod handler;
mod requests;
mod shape;
