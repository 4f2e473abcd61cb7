//! The command line options.

use std::{fs, sync::Arc};

use clap::{CommandFactory as _, Parser, ValueEnum, error::ErrorKind};
use devicestate_terminal::OutputOption;
use hyper::{Uri, http::uri::Scheme};

/// Drive a custom handler as the Functions host does, as fast as it replies.
///
/// Each connection is a partition with its own devices: one batch is in flight, and the next one is sent after the reply.
/// Every event is newer than all before it, so the handler must apply each one; its own counts are compared with the
/// events sent. At the end each connection's last batch is sent again, and all of its events must be superseded.
/// tools/load/README.md describes the requests.
#[derive(Debug, Clone, Parser)]
#[command(
    name = "load",
    max_term_width = 100,
    after_help = "Examples:\n  load --url http://127.0.0.1:7071 --events 1000 --devices 100 --seconds 10\n  \
                  load --events 100 --batches 50 --pid 4711 --output json\n  \
                  load --events 100 --pack 8\n\n\
                  Exit codes: 0 if every reply had status 200 and by the handler's own counts every event was applied, \
                  and superseded when it was sent again; 1 if not; 2 if the run could not start."
)]
pub(crate) struct Options {
    /// Address of the handler: http, host and port
    #[arg(long, help_heading = "Handler", default_value = "http://127.0.0.1:7071", value_parser = parse_address)]
    pub(crate) url: Uri,
    /// Name of the function, which is the path of the requests
    #[arg(
        long,
        help_heading = "Handler",
        value_name = "NAME",
        default_value = "RawTelemetryFunction",
        value_parser = parse_function
    )]
    pub(crate) function: String,
    /// Process id of the handler, to report its processor time and memory, without those of its children
    #[arg(long, help_heading = "Handler")]
    pub(crate) pid: Option<u32>,
    /// Source of the handler's own counts of events
    #[arg(long, help_heading = "Handler", value_enum, value_name = "SOURCE", default_value_t = CountsSource::Auto)]
    pub(crate) counts: CountsSource,
    /// Number of events per batch
    #[arg(long, help_heading = "Load", default_value_t = 100, value_parser = clap::value_parser!(u32).range(1..=10_000))]
    pub(crate) events: u32,
    /// Number of records per event, in a JSON array, all of the event's device; more than one needs a handler that reads arrays,
    /// such as one without Telemetry=drone
    #[arg(
        long,
        help_heading = "Load",
        value_name = "N",
        default_value_t = 1,
        conflicts_with = "large_body",
        value_parser = clap::value_parser!(u32).range(1..=4_096)
    )]
    pub(crate) pack: u32,
    /// Number of devices per partition; each event is of a random one
    #[arg(
        long,
        help_heading = "Load",
        default_value_t = 100,
        value_parser = clap::value_parser!(u32).range(1..=1_000_000)
    )]
    pub(crate) devices: u32,
    /// Number of connections, each of which is a partition
    #[arg(long, help_heading = "Load", default_value_t = 8, value_parser = clap::value_parser!(u8).range(1..=64))]
    pub(crate) connections: u8,
    /// Measured time in seconds
    #[arg(long, help_heading = "Load", default_value_t = 10, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    pub(crate) seconds: u32,
    /// Warm-up time in seconds, before the measured time
    #[arg(
        long,
        help_heading = "Load",
        value_name = "SECONDS",
        default_value_t = 1,
        value_parser = clap::value_parser!(u32).range(..=3_600)
    )]
    pub(crate) warm: u32,
    /// Send this many batches per connection, all of them measured, instead of for a time
    #[arg(
        long,
        help_heading = "Load",
        conflicts_with_all = ["seconds", "warm"],
        value_parser = clap::value_parser!(u32).range(1..)
    )]
    pub(crate) batches: Option<u32>,
    /// Seed of the random devices and readings
    #[arg(long, help_heading = "Load", default_value_t = 1)]
    pub(crate) seed: u64,
    /// Minimum size of a record; a field that handlers ignore pads it
    #[arg(
        long,
        help_heading = "Requests",
        value_name = "BYTES",
        default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(..=1 << 20)
    )]
    pub(crate) body_bytes: u32,
    /// Send the bytes of this file as the body of each event, whose device is then only its partition key
    #[arg(
        long,
        help_heading = "Requests",
        value_name = "FILE",
        conflicts_with_all = ["body_bytes", "large_body", "pack"],
        value_parser = read_body
    )]
    pub(crate) body: Option<Arc<[u8]>>,
    /// Send batches of one event with a body of at least this size on the first connection; its latencies are reported
    /// separately
    #[arg(
        long,
        help_heading = "Requests",
        value_name = "BYTES",
        value_parser = clap::value_parser!(u32).range(1..=32 << 20)
    )]
    pub(crate) large_body: Option<u32>,
    /// Content type of each event, one of its system properties [default: none]
    #[arg(long, help_heading = "Requests", value_name = "TYPE", value_parser = parse_content_type)]
    pub(crate) content_type: Option<String>,
    /// Send requests with Content-Length instead of in chunks, as Core Tools may do
    #[arg(long, help_heading = "Requests")]
    pub(crate) content_length: bool,
    #[command(flatten, next_help_heading = "Output")]
    pub(crate) output: OutputOption,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum CountsSource {
    /// GET /state if it has counts, otherwise the records
    Auto,
    /// GET /state, before and after the run: {"applied","superseded","deadLettered"}, in events
    State,
    /// The batch record in each reply's Logs
    Records,
}

/// The maximum memory of the prepared requests, in bytes.
const MAX_PREPARED_BYTES: u64 = 2 << 30;

/// The size of an event's metadata in a request: position, keys and properties.
const METADATA_BYTES: u64 = 700;

impl Options {
    /// Parses the command line; ends the process with exit code 2 if it is invalid.
    pub(crate) fn parse_arguments() -> Self {
        let options = Self::parse();
        let content_type = options.content_type.as_ref().map_or(0, String::len) as u64;
        let given = options.body.as_ref().map(|body| body.len() as u64);
        let body = given.unwrap_or_else(|| u64::from(options.pack) * u64::from(options.body_bytes).max(300));
        let event = body * 4 / 3 + METADATA_BYTES + content_type;
        let bytes = u64::from(options.connections) * u64::from(options.events) * event;
        if bytes > MAX_PREPARED_BYTES {
            let message = format!(
                "the prepared requests take {} MB, but the limit is {} MB; reduce --connections, --events, --pack or the body",
                bytes >> 20,
                MAX_PREPARED_BYTES >> 20
            );
            Self::command().error(ErrorKind::ValueValidation, message).exit();
        }
        options
    }

    /// Returns host and port.
    pub(crate) fn address(&self) -> String {
        let host = self.url.host().expect("checked by `parse_address`");
        format!("{host}:{}", self.url.port_u16().unwrap_or(80))
    }
}

/// Parses the address of a handler.
fn parse_address(text: &str) -> Result<Uri, String> {
    let url: Uri = text.parse().map_err(|error: hyper::http::uri::InvalidUri| error.to_string())?;
    if url.scheme() != Some(&Scheme::HTTP) || url.host().is_none_or(str::is_empty) {
        return Err("it must be http, host and port, such as http://127.0.0.1:7071".to_owned());
    }
    if url.path() != "/" || url.query().is_some() {
        return Err("it must not have a path; use --function instead".to_owned());
    }
    Ok(url)
}

/// Parses a function's name.
fn parse_function(text: &str) -> Result<String, String> {
    let fits = |c: char| c.is_ascii_alphanumeric() || "-_".contains(c);
    if text.is_empty() || !text.chars().all(fits) {
        return Err("a function's name must consist of letters, digits, - and _".to_owned());
    }
    Ok(text.to_owned())
}

/// Reads the body of each event.
fn read_body(path: &str) -> Result<Arc<[u8]>, String> {
    fs::read(path).map(Arc::from).map_err(|error| error.to_string())
}

/// Parses a content type, which must need no escapes in JSON.
fn parse_content_type(text: &str) -> Result<String, String> {
    let fits = |c: char| (c.is_ascii_graphic() || c == ' ') && !"\"\\".contains(c);
    if text.is_empty() || !text.chars().all(fits) {
        return Err("it must be a content type such as application/json".to_owned());
    }
    Ok(text.to_owned())
}
