//! The command line.

use std::time::Duration;

use clap::{ArgGroup, Parser, value_parser};
use devicestate_local::simulator::Encoding;
use devicestate_terminal::{Format, rate};

/// Sends events to an event hub, each key's in order.
#[derive(Debug, Parser)]
#[command(version, about, long_about = None, max_term_width = 100)]
#[command(group(ArgGroup::new("what").required(true).args(["keys", "devices"])))]
#[command(after_help = "\
Examples:
  devicestate-send --keys 100 --events 1000     to the hub of EventHubConnection and EventHubName
  devicestate-send --devices 100 --events 600 --wire protobuf --rate 200/s \\
    --namespace name.servicebus.windows.net --hub telemetry    as who is logged in with az or azd
  devicestate-send --keys 10 --endpoint amqp://127.0.0.1:5672 --hub telemetry --format json

The events of a key are sent in order, in batches of that key alone, and the next batch goes when
the hub has taken the last one. What gets no answer is sent again: at least once. docs/reference/send.md
tells what that means for the order.

Ctrl-C ends it in order: no more events are made, those that were made are sent. Ctrl-C again stops
at once.

Exit codes: 0 every event that was made is sent; 1 some are not; 2 it could not begin.")]
pub(crate) struct Options {
    /// Send numbered events of this many keys: {"deviceId":"key-00042","number":17}.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub(crate) keys: Option<u32>,
    /// Simulate this many devices, which send key frames and deltas.
    #[arg(long, value_name = "N", value_parser = value_parser!(u32).range(1..))]
    pub(crate) devices: Option<u32>,
    /// How many events each key or device sends.
    #[arg(long, value_name = "N", default_value_t = 100)]
    pub(crate) events: u64,
    /// The format in which devices send.
    #[arg(long, value_enum, default_value = "json", conflicts_with = "keys")]
    pub(crate) wire: Encoding,
    /// The same seed simulates the same events.
    #[arg(long, value_name = "N", default_value_t = 1, conflicts_with = "keys")]
    pub(crate) seed: u64,
    /// Send at this pace, all keys together; as fast as it goes without it.
    #[arg(long, value_name = "N/s", value_parser = rate)]
    pub(crate) rate: Option<u32>,

    /// The event hub; the setting EventHubName without it.
    #[arg(long, value_name = "NAME")]
    pub(crate) hub: Option<String>,
    /// The namespace, by an identity: the one of the settings EventHubConnection__credential and __clientId, or what the
    /// machine offers.
    #[arg(long, value_name = "HOST", conflicts_with = "endpoint")]
    pub(crate) namespace: Option<String>,
    /// A hub on this machine that asks for no token, in place of a namespace: amqp://127.0.0.1:PORT.
    #[arg(long, value_name = "URL")]
    pub(crate) endpoint: Option<String>,
    /// The setting, or environment variable, with the connection string; or NAME__fullyQualifiedNamespace and others, as
    /// the Functions host reads them.
    #[arg(long, value_name = "NAME", default_value = "EventHubConnection", conflicts_with = "endpoint")]
    pub(crate) connection: String,

    /// How many batches, of as many keys, are on their way at the same time; each on a connection of its own.
    #[arg(long, value_name = "N", default_value_t = 8, value_parser = value_parser!(u16).range(1..=256))]
    pub(crate) in_flight: u16,
    /// The most events of a batch. The hub's limit in bytes counts anyway.
    #[arg(long, value_name = "N", default_value_t = 500, value_parser = value_parser!(u32).range(1..))]
    pub(crate) batch: u32,
    /// How long a batch, or a connection, may go without an answer.
    #[arg(long, value_name = "SECONDS", default_value = "10", value_parser = seconds)]
    pub(crate) timeout: Duration,
    /// How often a batch is tried, with longer and longer waits of up to 10 seconds in between.
    #[arg(long, value_name = "N", default_value_t = 10, value_parser = value_parser!(u32).range(1..))]
    pub(crate) attempts: u32,
    /// How to report at the end. JSON stands alone on standard output.
    #[arg(long, value_enum, default_value = "table")]
    pub(crate) format: Format,
}

fn seconds(text: &str) -> Result<Duration, String> {
    let seconds = text.strip_suffix('s').unwrap_or(text).parse().ok().filter(|seconds: &f64| *seconds >= 0.001);
    let time = seconds.and_then(|seconds| Duration::try_from_secs_f64(seconds).ok());
    time.ok_or_else(|| "it must be a number of seconds, such as 10 or 0.5".into())
}

#[cfg(test)]
mod tests {
    use clap::CommandFactory as _;

    use super::*;

    #[test]
    fn the_command_line_does_not_contradict_itself() {
        Options::command().debug_assert();
    }

    #[test]
    fn a_time_without_an_answer_is_some_seconds_or_a_part_of_one() {
        let ms = |text| seconds(text).map(|time| time.as_millis());
        assert_eq!((ms("10"), ms("0.25"), ms("3s")), (Ok(10_000), Ok(250), Ok(3_000)));
        for nonsense in ["", "0", "-1", "s", "NaN", "inf", "1m"] {
            assert!(seconds(nonsense).is_err(), "{nonsense}");
        }
    }
}
