//! Compares instruction counts with the baseline.

use std::{collections::BTreeMap, fmt};

use crate::counting::Part;

/// The instructions of one round, by name of the part.
pub(crate) type Counts = BTreeMap<String, u64>;

/// How many percent more than the baseline a part may cost. tools/bench/README.md has the random variation.
const MAX_INCREASE_PERCENT: f64 = 5.0;

/// How many percent less a part may cost before the baseline must be lowered.
const MAX_DECREASE_PERCENT: f64 = 10.0;

/// A smaller difference in instructions is noise, even if it is a large percentage of a small part.
const NOISE_INSTRUCTIONS: u64 = 1_000;

/// The baseline and the current counts.
pub(crate) struct Comparison {
    pub(crate) baseline: Counts,
    pub(crate) now: Counts,
    /// The current parts, in the order of the table.
    pub(crate) parts: Vec<Part>,
}

impl Comparison {
    /// Returns one line for each part that deviates from the baseline.
    pub(crate) fn deviations(&self) -> Vec<String> {
        let changed = self.parts.iter().filter_map(|Part { name, .. }| {
            let Some(difference) = self.difference(name) else {
                return Some(format!("{name} is not in the baseline: it is new or renamed"));
            };
            if self.baseline[name].abs_diff(self.now[name]) <= NOISE_INSTRUCTIONS {
                None
            } else if difference > MAX_INCREASE_PERCENT {
                Some(format!("{name} costs {difference:.1} % more than the baseline; the limit is {MAX_INCREASE_PERCENT} %"))
            } else if difference < -MAX_DECREASE_PERCENT {
                let less = -difference;
                Some(format!(
                    "{name} costs {less:.1} % less than the baseline; lower the baseline, so that a later regression is \
                     detected"
                ))
            } else {
                None
            }
        });
        let is_removed = |name: &&String| self.parts.iter().all(|part| part.name != **name);
        let removed = self.baseline.keys().filter(is_removed);
        changed.chain(removed.map(|name| format!("{name} is in the baseline, but the part does not exist"))).collect()
    }

    /// Returns the difference in percent of the baseline; `None` if the baseline does not have the part.
    fn difference(&self, name: &str) -> Option<f64> {
        let (baseline, now) = (*self.baseline.get(name)?, self.now[name]);
        #[expect(clippy::cast_precision_loss, reason = "counts are far below 2^52")]
        Some((now as f64 / baseline as f64 - 1.0) * 100.0)
    }
}

impl fmt::Display for Comparison {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        writeln!(f, "{:28}{:>12}{:>12}{:>12}{:>11}", "PART", "BASELINE", "NOW", "PER EVENT", "DIFFERENCE")?;
        for Part { name, events } in &self.parts {
            let now = self.now[name];
            let baseline = self.baseline.get(name).map_or("-".to_owned(), u64::to_string);
            let difference = self.difference(name).map_or("-".to_owned(), |percent| format!("{percent:+.2} %"));
            writeln!(f, "{name:28}{baseline:>12}{now:>12}{:>12}{difference:>11}", now / events)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn comparison(baseline: &[(&str, u64)], now: &[(&str, u64)]) -> Comparison {
        let counts = |counts: &[(&str, u64)]| counts.iter().map(|(name, count)| ((*name).to_owned(), *count)).collect();
        let parts = now.iter().map(|(name, _)| Part { name: (*name).to_owned(), events: 10 }).collect();
        Comparison { baseline: counts(baseline), now: counts(now), parts }
    }

    /// Returns the deviations of a part with the baseline 100,000.
    fn deviations(now: u64) -> Vec<String> {
        comparison(&[("fold", 100_000)], &[("fold", now)]).deviations()
    }

    #[test]
    fn a_part_may_deviate_within_the_limits() {
        for now in [90_001, 99_000, 100_000, 104_999] {
            assert_eq!(deviations(now), Vec::<String>::new(), "{now}");
        }
    }

    #[test]
    fn a_small_part_may_deviate_by_the_noise() {
        for (now, count) in [(8_000, 0), (10_000, 0), (7_900, 1), (10_100, 1)] {
            assert_eq!(comparison(&[("reply", 9_000)], &[("reply", now)]).deviations().len(), count, "{now}");
        }
    }

    #[test]
    fn a_part_that_costs_more_is_a_deviation() {
        assert_eq!(deviations(105_100), ["fold costs 5.1 % more than the baseline; the limit is 5 %"]);
        assert_eq!(deviations(400_000).len(), 1);
    }

    #[test]
    fn a_part_that_costs_much_less_is_a_deviation_until_the_baseline_is_lowered() {
        let [deviation] = &deviations(89_000)[..] else { panic!("one deviation") };
        assert!(deviation.starts_with("fold costs 11.0 % less than the baseline; lower the baseline"), "{deviation}");
    }

    #[test]
    fn the_baseline_must_have_exactly_the_existing_parts() {
        let comparison = comparison(&[("fold", 7), ("old", 7)], &[("fold", 7), ("new", 7)]);
        let deviations = comparison.deviations();
        assert_eq!(deviations.len(), 2, "{deviations:?}");
        assert!(deviations[0].starts_with("new is not in the baseline"), "{deviations:?}");
        assert!(deviations[1].starts_with("old is in the baseline"), "{deviations:?}");
    }

    #[test]
    fn a_more_expensive_part_is_not_compensated_by_a_cheaper_one() {
        let deviations = comparison(&[("a", 100_000), ("b", 100_000)], &[("a", 106_000), ("b", 92_000)]).deviations();
        assert_eq!(deviations, ["a costs 6.0 % more than the baseline; the limit is 5 %"]);
    }

    #[test]
    fn the_table_is_aligned() {
        let comparison = comparison(&[("fold", 1_000)], &[("fold", 1_015), ("invoke/1000", 36_660_406)]);
        assert_eq!(
            comparison.to_string(),
            "PART                            BASELINE         NOW   PER EVENT DIFFERENCE\n\
             fold                                1000        1015         101    +1.50 %\n\
             invoke/1000                            -    36660406     3666040          -\n"
        );
    }
}
