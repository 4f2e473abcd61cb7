//! The load driver: the real program against the real handler, and against handlers of these tests that do what
//! the real one never would.

mod counts;
mod driver;
mod failures;
mod fake;
mod handler;
mod requests;
mod shape;
