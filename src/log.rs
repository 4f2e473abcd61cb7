//! The handler's own log: one JSON record a line, since the host takes each line for a record.
//!
//! Standard output up to `info`, standard error from `warn` on: the host logs the first as Information, and the second
//! as Error, or as Warning where the line says so.

use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::writer::MakeWriterExt as _,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Sets up the log of this process, panics included.
///
/// Of the libraries it tells warnings and errors, whatever the level: below, they write down whole requests, and with
/// them what they are signed with.
pub fn set_up(level: LevelFilter) {
    let out = std::io::stdout.with_min_level(tracing::Level::INFO);
    let err = std::io::stderr.with_max_level(tracing::Level::WARN);
    let lines =
        tracing_subscriber::fmt().json().flatten_event(true).with_max_level(level).with_writer(err.or_else(out));
    let ours = Targets::new().with_target("devicestate", level).with_default(level.min(LevelFilter::WARN));
    lines.finish().with(ours).init();
    std::panic::set_hook(Box::new(|panic| {
        let message = crate::processor::panic_message(panic.payload());
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panic: {message}");
    }));
}
