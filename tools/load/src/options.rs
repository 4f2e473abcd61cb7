//! What to drive and how, from the command line.

use clap::{CommandFactory as _, Parser, ValueEnum, error::ErrorKind};
use hyper::{Uri, http::uri::Scheme};

/// Drive a custom handler as the Functions host does, as fast as it answers.
///
/// Each connection is a partition with devices of its own: one batch is in flight, the next one goes out when the reply
/// is in. Every event is newer than all before it, so that the handler has to apply each one, and its own counts are
/// held against what was sent. At the end each connection's last batch is sent again, of which nothing is new.
/// docs/contribute/load-driver.md tells what the requests are made of.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "load",
    max_term_width = 100,
    after_help = "Examples:\n  load --url http://127.0.0.1:7071 --events 1000 --devices 100 --seconds 10\n  \
                  load --events 1 --connections 32 --pid 4711 --format json\n  \
                  load --events 100 --large-body 1000000\n  \
                  load --events 100 --content-type application/json\n  \
                  load --batches 50 --content-length --counts records\n\n\
                  It exits with 0 when every event was answered with 200 and applied by the handler's own counts, and \
                  superseded when it came again, with 1 when not, with 2 when it could not begin."
)]
pub(crate) struct Options {
    /// Where the handler listens: http, host and port.
    #[arg(long, default_value = "http://127.0.0.1:7071", value_parser = address)]
    pub(crate) url: Uri,
    /// The function, which is the path that is posted to.
    #[arg(long, default_value = "RawTelemetryFunction", value_parser = function)]
    pub(crate) function: String,
    /// How many events a batch has.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) events: u32,
    /// How many devices a partition has. Each event is one's, by chance.
    #[arg(long, default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=1_000_000))]
    pub(crate) devices: u32,
    /// How many connections there are, and so partitions.
    #[arg(long, default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) connections: u8,
    /// How long to count.
    #[arg(long, default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// How many seconds to drive before the clock counts.
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(..=3_600))]
    pub(crate) warm: u32,
    /// Just so many batches on each connection in place of a time, and all of them counted.
    #[arg(long, conflicts_with_all = ["seconds", "warm"], value_parser = clap::value_parser!(u32).range(1..))]
    pub(crate) batches: Option<u32>,
    /// Make each event's body at least so long, by a field that nobody knows.
    #[arg(long, value_name = "BYTES", default_value_t = 0, value_parser = clap::value_parser!(u32).range(..=1 << 20))]
    pub(crate) body_bytes: u32,
    /// The first connection sends batches of one event with a body of at least this size, the others as told. Their
    /// latencies are told apart.
    #[arg(long, value_name = "BYTES", value_parser = clap::value_parser!(u32).range(1..=32 << 20))]
    pub(crate) large_body: Option<u32>,
    /// The content type that each event was sent with: one of its system properties. Without it there is none.
    #[arg(long, value_parser = content_type)]
    pub(crate) content_type: Option<String>,
    /// Tell the length of a request beforehand in place of sending it in chunks, as Core Tools may do it.
    #[arg(long)]
    pub(crate) content_length: bool,
    /// The handler's process id, to tell its processor time and memory. Its children do not count.
    #[arg(long)]
    pub(crate) pid: Option<u32>,
    /// Where the handler tells what it did with the events.
    #[arg(long, value_enum, default_value_t = CountsFrom::Auto)]
    pub(crate) counts: CountsFrom,
    /// What devices and readings are drawn from.
    #[arg(long, default_value_t = 1)]
    pub(crate) seed: u64,
    /// How to print the result.
    #[arg(long, value_enum, default_value_t = Format::Table)]
    pub(crate) format: Format,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CountsFrom {
    /// GET /state where that answers with counts, else the records.
    Auto,
    /// GET /state, before and after: {"applied","superseded","deadLettered"}, in events.
    State,
    /// The record of the batch in each reply's Logs.
    Records,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Format {
    /// For people.
    Table,
    /// For machines: one JSON object.
    Json,
}

/// What the bodies that are made beforehand may take in memory.
const MOST_BYTES: u64 = 2 << 30;

/// What an event takes beside its own body: its place, keys and properties.
const METADATA_BYTES: u64 = 700;

impl Options {
    /// Those of the command line; ends the program with a line that says so where they make no sense.
    pub(crate) fn read() -> Self {
        let options = Self::parse();
        let content_type = options.content_type.as_ref().map_or(0, String::len) as u64;
        let event = u64::from(options.body_bytes).max(300) * 4 / 3 + METADATA_BYTES + content_type;
        let bytes = u64::from(options.connections) * u64::from(options.events) * event;
        if bytes > MOST_BYTES {
            let told = format!(
                "batches of {} MB are more than the {} MB that fit: fewer --connections, --events or --body-bytes",
                bytes >> 20,
                MOST_BYTES >> 20
            );
            Self::command().error(ErrorKind::ValueValidation, told).exit();
        }
        options
    }

    /// Host and port, to connect to.
    pub(crate) fn address(&self) -> String {
        let host = self.url.host().expect("checked when it was read");
        format!("{host}:{}", self.url.port_u16().unwrap_or(80))
    }
}

fn address(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error: hyper::http::uri::InvalidUri| error.to_string())?;
    if url.scheme() != Some(&Scheme::HTTP) || url.host().is_none_or(str::is_empty) {
        return Err("it is to be like http://127.0.0.1:7071".to_owned());
    }
    if url.path() != "/" || url.query().is_some() {
        return Err("it has a path, which --function tells".to_owned());
    }
    Ok(url)
}

/// A name as a folder of a function app has it, which stands in the request's first line.
fn function(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if text.is_empty() || !text.chars().all(fits) {
        return Err("a function's name has letters, digits, - and _".to_owned());
    }
    Ok(text.to_owned())
}

/// A text that stands in JSON as it is.
fn content_type(text: &str) -> Result<String, String> {
    let fits = |c: char| (c.is_ascii_graphic() || c == ' ') && !"\"\\".contains(c);
    if text.is_empty() || !text.chars().all(fits) {
        return Err("it is to be like application/json".to_owned());
    }
    Ok(text.to_owned())
}
