//! Decodes the telemetry of any device: any JSON by default, or what a telemetry file describes.
//!
//! An event is [unwrapped](unwrapping) first, and then its records are [mapped](mapping) to device ids and readings, as the
//! [telemetry file](mod@file) says.

mod any_telemetry;
mod fast;
pub mod file;
pub mod formats;
pub mod infer;
pub mod inspect;
mod load;
pub mod mapping;
pub mod unwrapping;

pub use any_telemetry::AnyTelemetry;
pub use load::{DEFAULT_FILE, LoadError, LoadedTelemetry, load};
