//! The command line.

use std::{path::PathBuf, time::Duration};

use clap::{ArgGroup, Parser, value_parser};
use devicestate_local::{packing::MAX_PACKED_RECORDS, simulator::Encoding};
use devicestate_terminal::{OutputOption, parse_rate};

/// Send events to an event hub, in order per key
#[derive(Debug, Parser)]
#[command(version, long_about = None, max_term_width = 100)]
#[command(group(ArgGroup::new("source").required(true).args(["keys", "devices"])))]
#[command(after_help = "\
Examples:
  # To the hub of the settings EventHubConnection and EventHubName
  devicestate-send --keys 100 --events 1000

  # With the identity of az login or azd auth login
  devicestate-send --devices 100 --encoding protobuf --rate 200/s \\
    --namespace name.servicebus.windows.net --hub telemetry

  # Events of your own devices, with lines such as {\"deviceId\":\"{device}\",\"ts\":\"{time}\",\"bar\":{number:0..10}}
  devicestate-send --devices 100 --template pumps.jsonl

  # Eight records of a device in each event
  devicestate-send --devices 100 --pack 8

  # To a hub on this machine
  devicestate-send --keys 10 --endpoint amqp://127.0.0.1:5672 --hub telemetry

The events of a key are sent in order, in batches of that key alone. The next batch is sent after \
the hub has accepted the previous one. A batch without a response is sent again, so events are \
delivered at least once.

Ctrl-C stops creating events and sends the created ones. Ctrl-C again stops immediately.

Exit codes: 0 every created event is sent; 1 some are not; 2 not started;
130 interrupted.

Docs: docs/reference/send.md")]
pub(crate) struct Options {
    /// Send numbered events of this many keys: {"deviceId":"key-00042","number":17}
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..), help_heading = "Input")]
    pub(crate) keys: Option<u32>,
    /// Simulate this many devices, which send key frames and deltas
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..), help_heading = "Input")]
    pub(crate) devices: Option<u32>,
    /// File with the bodies of the devices' events, a line for each, which a device takes in turn; {device}, {number},
    /// {number:0..10} (random), {time} and {unix_ms} are replaced
    #[arg(long, value_name = "FILE", requires = "devices", conflicts_with_all = ["keys", "encoding"], help_heading = "Input")]
    pub(crate) template: Option<PathBuf>,
    /// Number of events per key or device; with --pack, of records
    #[arg(long, value_name = "N", default_value_t = 100, help_heading = "Input")]
    pub(crate) events: u64,
    /// Put up to N consecutive records of a key or device into one event, a JSON array of at most 250 kB
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = value_parser!(u32).range(1..=MAX_PACKED_RECORDS.into()), help_heading = "Input")]
    pub(crate) pack: u32,
    /// Encoding of the telemetry of simulated devices
    #[arg(
        long,
        value_enum,
        value_name = "FORMAT",
        default_value = "json",
        conflicts_with = "keys",
        help_heading = "Simulation"
    )]
    pub(crate) encoding: Encoding,
    /// Seed of the simulation; the same seed creates the same events
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "keys", help_heading = "Simulation")]
    pub(crate) seed: u64,

    /// Name of the event hub [default: the setting EventHubName]
    #[arg(long, value_name = "NAME", help_heading = "Connection")]
    pub(crate) hub: Option<String>,
    /// Host name of the namespace; connects with the identity of EventHubConnection__credential and __clientId, or of the machine
    #[arg(long, value_name = "HOST", conflicts_with = "endpoint", help_heading = "Connection")]
    pub(crate) namespace: Option<String>,
    /// Address of a hub on this machine, without TLS and tokens: amqp://127.0.0.1:PORT
    #[arg(long, value_name = "URL", help_heading = "Connection")]
    pub(crate) endpoint: Option<String>,
    /// Name of the setting with the connection string, or prefix of the settings such as NAME__fullyQualifiedNamespace
    #[arg(
        long,
        value_name = "NAME",
        default_value = "EventHubConnection",
        conflicts_with = "endpoint",
        help_heading = "Connection"
    )]
    pub(crate) connection: String,

    /// Maximum rate in events per second over all keys, such as 200/s [default: unlimited]
    #[arg(long, value_name = "N/s", value_parser = parse_rate, help_heading = "Limits")]
    pub(crate) rate: Option<u32>,
    /// Maximum number of batches in flight, each for a different key and on its own connection
    #[arg(long, value_name = "N", default_value_t = 16, value_parser = value_parser!(u16).range(1..=256), help_heading = "Limits")]
    pub(crate) in_flight: u16,
    /// Maximum number of events per batch, besides the hub's limit in bytes
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = value_parser!(u32).range(1..), help_heading = "Limits")]
    pub(crate) batch: u32,
    /// Timeout of a batch or a connection
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = parse_seconds, help_heading = "Limits")]
    pub(crate) timeout: Duration,
    /// Maximum number of attempts per batch, with backoff of up to 10 seconds
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u32).range(1..), help_heading = "Limits")]
    pub(crate) attempts: u32,
    #[command(flatten)]
    pub(crate) output: OutputOption,
}

fn parse_seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok().filter(|seconds: &f64| *seconds >= 0.001);
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| "expected a number of seconds, such as 10 or 0.5".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_timeout_is_seconds_or_a_fraction_of_one() {
        let ms = |text| parse_seconds(text).map(|time| time.as_millis());
        assert_eq!((ms("10"), ms("0.25"), ms("3s")), (Ok(10_000), Ok(250), Ok(3_000)));
        for invalid in ["", "0", "-1", "s", "NaN", "inf", "1m"] {
            assert!(parse_seconds(invalid).is_err(), "{invalid}");
        }
    }
}
