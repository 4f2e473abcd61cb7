//! The handler's own log: one JSON record a line, since the host takes each line for a record.
//!
//! Standard output up to `info`, standard error from `warn` on: the host logs the first as Information, and the second
//! as Error, or as Warning where the line says so.

use std::io::{Write as _, stderr, stdout};

use devicestate_engine::{
    clock::{Clock as _, System},
    record::Record,
    text::iso8601,
};
use serde::Serialize;
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
    let lines = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(level)
        .with_writer(err.or_else(out))
        // It would be told to standard error, which panics where nobody reads that: the handler would be gone.
        .log_internal_errors(false);
    let ours = Targets::new().with_target("devicestate", level).with_default(level.min(LevelFilter::WARN));
    lines.finish().with(ours).init();
    std::panic::set_hook(Box::new(|panic| {
        let message = devicestate_engine::text::panic_message(panic.payload());
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panic: {message}");
    }));
}

/// Tells a record in this log, as far as the level of the log lets it: of a failed attempt as a warning, of anything else
/// as information. A process without a log, such as a tool, tells nothing.
///
/// What the reply's `Logs` have is not told here: the host would have it twice.
pub fn tell(record: &Record) {
    #[derive(Serialize)]
    struct Line<'a> {
        timestamp: String,
        level: &'static str,
        #[serde(flatten)]
        record: &'a Record,
    }

    let warns = matches!(record, Record::FailedAttempt(_));
    let is_told = if warns { tracing::enabled!(tracing::Level::WARN) } else { tracing::enabled!(tracing::Level::INFO) };
    if !is_told {
        return;
    }
    let level = if warns { "WARN" } else { "INFO" };
    let line = Line { timestamp: iso8601(System.now_ms()), level, record };
    let line = serde_json::to_string(&line).expect("a record is always JSON") + "\n";
    // A log that nobody reads any more is no reason to fail.
    let _ = if warns { stderr().write_all(line.as_bytes()) } else { stdout().write_all(line.as_bytes()) };
}
