//! The options that select dead letters.

use std::ops::RangeInclusive;

use clap::Args;
use devicestate_dead_letters::Filter;
use devicestate_engine::failure::Stage;
use devicestate_terminal::parse_duration_ms;
use regex_lite::Regex;

#[derive(Debug, Clone, Default, Args)]
#[command(next_help_heading = "Selection")]
pub(super) struct Selection {
    /// Ids, or at least their first 8 digits [default: all that match the options]
    #[arg(value_name = "ID", value_parser = id)]
    ids: Vec<String>,
    /// Id of a message in the queue; the only way to select a message that is not a dead letter
    #[arg(long, value_name = "MESSAGE_ID")]
    message: Vec<String>,
    /// Device id, or the partition key if the event could not be decoded
    #[arg(long, value_name = "DEVICE")]
    device: Option<String>,
    /// Stage at which the event failed: envelope, deserialize, validate, update
    #[arg(long, value_parser = stage)]
    stage: Option<Stage>,
    /// Regular expression that the issue matches
    #[arg(long, value_name = "REGEX")]
    issue: Option<Regex>,
    /// Earliest time of failure: 2026-11-21T07:00:00Z, or a time ago such as 90s, 15m, 2h, 7d
    #[arg(long, value_name = "TIME", value_parser = since)]
    since: Option<Since>,
    /// Partition id
    #[arg(long, value_name = "ID")]
    partition: Option<String>,
    /// Sequence numbers, both ends included: 100..200, 100.., ..200 or 100
    #[arg(long, value_name = "A..B", value_parser = sequence_numbers)]
    sequence_numbers: Option<RangeInclusive<i64>>,
}

/// A point in time, as given on the command line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// Milliseconds since 1970.
    At(i64),
    /// Milliseconds ago.
    Ago(i64),
}

impl Selection {
    /// Selects one dead letter.
    pub(super) fn one(id: String) -> Self {
        Self { ids: vec![id], ..Self::default() }
    }

    /// Returns the filter, at this time in milliseconds since 1970.
    pub(super) fn filter(&self, now_ms: i64) -> Filter {
        Filter {
            ids: self.ids.clone(),
            only: None,
            messages: self.message.clone(),
            device: self.device.clone(),
            stage: self.stage,
            issue: self.issue.clone(),
            since_ms: self.since.map(|since| match since {
                Since::At(time) => time,
                Since::Ago(ago) => now_ms - ago,
            }),
            partition: self.partition.clone(),
            sequence_numbers: self.sequence_numbers.clone(),
        }
    }
}

/// Parses an id, or enough of its first digits to exclude an accidental match.
pub(super) fn id(text: &str) -> Result<String, String> {
    let is_hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hexadecimal && (8..=32).contains(&text.len()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("expected at least the first 8 of the 32 hexadecimal digits of an id".into())
}

fn stage(text: &str) -> Result<Stage, String> {
    let stages = [Stage::Envelope, Stage::Deserialize, Stage::Validate, Stage::Update];
    let stage = stages.into_iter().find(|stage| stage.to_string() == text);
    stage.ok_or_else(|| "expected envelope, deserialize, validate or update".into())
}

fn since(text: &str) -> Result<Since, String> {
    let ago = || parse_duration_ms(text).map(Since::Ago);
    let at = || text.parse::<jiff::Timestamp>().ok().map(|time| Since::At(time.as_millisecond()));
    ago()
        .or_else(at)
        .ok_or_else(|| "expected a time such as 2026-11-21T07:00:00Z, or a time ago such as 90s, 15m, 2h, 7d".into())
}

fn sequence_numbers(text: &str) -> Result<RangeInclusive<i64>, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str, open: i64| if text.is_empty() { Ok(open) } else { text.parse() };
    match (number(first, i64::MIN), number(last, i64::MAX)) {
        (Ok(first), Ok(last)) if !text.is_empty() && first <= last => Ok(first..=last),
        _ => Err("expected a number or a range such as 100..200, 100.. or ..200".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_are_a_number_or_a_range_with_both_ends() {
        assert_eq!(sequence_numbers("100..200"), Ok(100..=200));
        assert_eq!(sequence_numbers("7"), Ok(7..=7));
        assert_eq!(sequence_numbers("7.."), Ok(7..=i64::MAX));
        assert_eq!(sequence_numbers("..7"), Ok(i64::MIN..=7));
        for invalid in ["", "a", "2..1", "1...2", "1-2"] {
            assert!(sequence_numbers(invalid).is_err(), "{invalid}");
        }
    }

    #[test]
    fn since_is_a_time_or_a_time_ago() {
        assert_eq!(since("2h"), Ok(Since::Ago(7_200_000)));
        assert_eq!(since("7d"), Ok(Since::Ago(604_800_000)));
        assert_eq!(since("1970-01-01T00:00:01Z"), Ok(Since::At(1_000)));
        for invalid in ["", "h", "2", "2w", "-1h", "yesterday", "é"] {
            assert!(since(invalid).is_err(), "{invalid}");
        }
    }
}
