//! Which dead letters are meant, on the command line.

use std::ops::RangeInclusive;

use clap::Args;
use devicestate_dead_letters::Filter;
use devicestate_engine::failure::Stage;
use devicestate_terminal::ago_ms;
use regex_lite::Regex;

/// The heading of the options that say which are meant.
const WHICH: &str = "Which dead letters";

#[derive(Debug, Clone, Default, Args)]
pub(super) struct Selection {
    /// Ids, or their beginnings. Without any, all that the other options mean.
    #[arg(value_name = "ID", value_parser = id)]
    ids: Vec<String>,
    /// A message by the queue's own id of it: the only way to mean one that is no dead letter.
    #[arg(long, value_name = "MESSAGE_ID", help_heading = WHICH)]
    message: Vec<String>,
    /// Of this device; where the event could not be decoded, with this partition key.
    #[arg(long, value_name = "DEVICE", help_heading = WHICH)]
    device: Option<String>,
    /// Failed at this stage: envelope, deserialize, validate, update.
    #[arg(long, value_parser = stage, help_heading = WHICH)]
    stage: Option<Stage>,
    /// Whose issue this regular expression matches.
    #[arg(long, value_name = "REGEX", help_heading = WHICH)]
    issue: Option<Regex>,
    /// Failed since then: a time in UTC such as 2026-11-21T07:00:00Z, or how long ago: 90s, 15m, 2h, 7d.
    #[arg(long, value_name = "TIME", value_parser = since, help_heading = WHICH)]
    since: Option<Since>,
    /// Of this partition.
    #[arg(long, value_name = "ID", help_heading = WHICH)]
    partition: Option<String>,
    /// With these sequence numbers, both ends included: 100..200, 100.., ..200 or 100.
    #[arg(long, value_name = "A..B", value_parser = sequence_numbers, help_heading = WHICH)]
    seq: Option<RangeInclusive<i64>>,
}

/// A point in time, as it is told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Since {
    /// Milliseconds since 1970.
    At(i64),
    /// Milliseconds ago.
    Ago(i64),
}

impl Selection {
    /// One dead letter.
    pub(super) fn one(id: String) -> Self {
        Self { ids: vec![id], ..Self::default() }
    }

    /// The filter, at this time in milliseconds since 1970.
    pub(super) fn filter(&self, now_ms: i64) -> Filter {
        Filter {
            ids: self.ids.clone(),
            messages: self.message.clone(),
            device: self.device.clone(),
            stage: self.stage,
            issue: self.issue.clone(),
            since_ms: self.since.map(|since| match since {
                Since::At(time) => time,
                Since::Ago(ago) => now_ms - ago,
            }),
            partition: self.partition.clone(),
            sequence_numbers: self.seq.clone(),
        }
    }
}

/// An id, or so much of it that it cannot be meant by accident.
pub(super) fn id(text: &str) -> Result<String, String> {
    let is_hexadecimal = text.bytes().all(|byte| byte.is_ascii_hexdigit());
    if is_hexadecimal && (8..=32).contains(&text.len()) {
        return Ok(text.to_ascii_lowercase());
    }
    Err("an id has 32 hexadecimal digits, of which the first 8 may do".into())
}

fn stage(text: &str) -> Result<Stage, String> {
    let stages = [Stage::Envelope, Stage::Deserialize, Stage::Validate, Stage::Update];
    let stage = stages.into_iter().find(|stage| stage.to_string() == text);
    stage.ok_or_else(|| "it must be envelope, deserialize, validate or update".into())
}

fn since(text: &str) -> Result<Since, String> {
    let ago = || ago_ms(text).map(Since::Ago);
    let at = || text.parse::<jiff::Timestamp>().ok().map(|time| Since::At(time.as_millisecond()));
    ago().or_else(at).ok_or_else(|| "it must be a time such as 2026-11-21T07:00:00Z, or 90s, 15m, 2h, 7d ago".into())
}

fn sequence_numbers(text: &str) -> Result<RangeInclusive<i64>, String> {
    let (first, last) = text.split_once("..").unwrap_or((text, text));
    let number = |text: &str, open: i64| if text.is_empty() { Ok(open) } else { text.parse() };
    match (number(first, i64::MIN), number(last, i64::MAX)) {
        (Ok(first), Ok(last)) if !text.is_empty() && first <= last => Ok(first..=last),
        _ => Err("it must be one number or a range such as 100..200, 100.. or ..200".into()),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sequence_numbers_are_one_or_a_range_with_both_ends() {
        assert_eq!(sequence_numbers("100..200"), Ok(100..=200));
        assert_eq!(sequence_numbers("7"), Ok(7..=7));
        assert_eq!(sequence_numbers("7.."), Ok(7..=i64::MAX));
        assert_eq!(sequence_numbers("..7"), Ok(i64::MIN..=7));
        for wrong in ["", "a", "2..1", "1...2", "1-2"] {
            assert!(sequence_numbers(wrong).is_err(), "{wrong}");
        }
    }

    #[test]
    fn a_time_is_a_point_or_so_long_ago() {
        assert_eq!(since("2h"), Ok(Since::Ago(7_200_000)));
        assert_eq!(since("7d"), Ok(Since::Ago(604_800_000)));
        assert_eq!(since("1970-01-01T00:00:01Z"), Ok(Since::At(1_000)));
        for wrong in ["", "h", "2", "2w", "-1h", "yesterday", "é"] {
            assert!(since(wrong).is_err(), "{wrong}");
        }
    }
}
