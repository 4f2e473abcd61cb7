//! The handler's own log: one JSON object per line, since the host logs each line as an entry of its own.
//!
//! Levels up to `info` go to standard output, `warn` and `error` to standard error. The host logs standard output as
//! Information and standard error as Error, or as Warning if the line contains that word.

use std::io::{self, Write, stderr, stdout};

use devicestate_engine::{
    clock::{Clock as _, System},
    record::Record,
    text::{escape_json, iso8601},
};
use serde::Serialize;
use tracing_subscriber::{
    filter::{LevelFilter, Targets},
    fmt::writer::MakeWriter,
    layer::SubscriberExt as _,
    util::SubscriberInitExt as _,
};

/// Sets up the log of this process, including the log of panics.
///
/// Libraries log warnings and errors only, at every level: at lower levels they log complete requests with their
/// signatures.
pub fn set_up(level: LevelFilter) {
    let lines = tracing_subscriber::fmt()
        .json()
        .flatten_event(true)
        .with_max_level(level)
        .with_writer(LogOutput)
        // Internal errors go to standard error by `eprintln!`, which panics if standard error is closed, and ends the handler.
        .log_internal_errors(false);
    let ours = Targets::new().with_target("devicestate", level).with_default(level.min(LevelFilter::WARN));
    lines.finish().with(ours).init();
    std::panic::set_hook(Box::new(|panic| {
        let message = devicestate_engine::text::panic_message(panic.payload());
        let location = panic.location().map(ToString::to_string);
        tracing::error!(location, "panic: {message}");
    }));
}

/// Writes a record to this log if the log's level includes it: a failed attempt as `WARN`, any other record as `INFO`. A
/// process without a log, such as a tool, writes nothing.
///
/// Records in the `Logs` of a reply must not be written here: the host would log them twice.
pub fn write_record(record: &Record) {
    #[derive(Serialize)]
    struct Line<'a> {
        timestamp: String,
        level: &'static str,
        #[serde(flatten)]
        record: &'a Record,
    }

    let is_warning = matches!(record, Record::FailedAttempt(_));
    let is_enabled =
        if is_warning { tracing::enabled!(tracing::Level::WARN) } else { tracing::enabled!(tracing::Level::INFO) };
    if !is_enabled {
        return;
    }
    let level = if is_warning { "WARN" } else { "INFO" };
    let line = Line { timestamp: iso8601(System.now_ms()), level, record };
    let line = serde_json::to_string(&line).expect("a record is always JSON") + "\n";
    // If the log's output is closed, the handler continues without a log.
    let _ = LogLine { is_warning }.write_all(line.as_bytes());
}

/// The output of each log line: standard error for warnings and errors, standard output for the other levels.
struct LogOutput;

/// Writes one log line, with hidden characters escaped: devices choose some of the texts, and consoles show them.
struct LogLine {
    is_warning: bool,
}

impl<'a> MakeWriter<'a> for LogOutput {
    type Writer = LogLine;

    fn make_writer(&'a self) -> LogLine {
        LogLine { is_warning: false }
    }

    fn make_writer_for(&'a self, metadata: &tracing::Metadata<'_>) -> LogLine {
        LogLine { is_warning: *metadata.level() <= tracing::Level::WARN }
    }
}

impl Write for LogLine {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let text = String::from_utf8_lossy(line);
        let text = escape_json(&text);
        if self.is_warning {
            stderr().write_all(text.as_bytes())?;
        } else {
            stdout().write_all(text.as_bytes())?;
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        if self.is_warning { stderr().flush() } else { stdout().flush() }
    }
}
