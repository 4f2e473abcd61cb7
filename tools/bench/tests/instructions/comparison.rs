//! Counts in, verdict out.

use std::{collections::BTreeMap, fmt};

use crate::counting::Part;

/// The instructions of one round, by the part's name.
pub(crate) type Counts = BTreeMap<String, u64>;

/// How much more than the baseline a part may cost, in per cent. docs/contribute/instruction-counts.md tells by what chance alone differs.
const MOST_MORE: f64 = 5.0;

/// How much less, before the baseline has to be lowered.
const MOST_LESS: f64 = 10.0;

/// A difference of so many instructions is chance, also where it is more than these of a small part.
const CHANCE: u64 = 1_000;

/// What parts cost, and what they did when the baseline was written.
pub(crate) struct Comparison {
    pub(crate) baseline: Counts,
    pub(crate) now: Counts,
    /// What there is to count now, in the order of the table.
    pub(crate) parts: Vec<Part>,
}

impl Comparison {
    /// What is wrong, a line for each part; nothing when all is as it was.
    pub(crate) fn faults(&self) -> Vec<String> {
        let of_part = self.parts.iter().filter_map(|Part { name, .. }| {
            let Some(difference) = self.difference(name) else {
                return Some(format!("{name} is not in the baseline: it is new there, or has another name"));
            };
            if self.baseline[name].abs_diff(self.now[name]) <= CHANCE {
                None
            } else if difference > MOST_MORE {
                Some(format!("{name} costs {difference:.1} % more than the baseline; {MOST_MORE} % is the most"))
            } else if difference < -MOST_LESS {
                let less = -difference;
                Some(format!(
                    "{name} costs {less:.1} % less than the baseline, which is to be lowered, so that the gain is not lost \
                     again unseen"
                ))
            } else {
                None
            }
        });
        let is_gone = |name: &&String| self.parts.iter().all(|part| part.name != **name);
        let gone = self.baseline.keys().filter(is_gone);
        of_part.chain(gone.map(|name| format!("{name} is in the baseline, and there is no such part"))).collect()
    }

    /// In per cent of the baseline; `None` where it has no such part.
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

    /// What is said when a part cost 100,000 and costs this much now.
    fn faults(now: u64) -> Vec<String> {
        comparison(&[("fold", 100_000)], &[("fold", now)]).faults()
    }

    #[test]
    fn a_part_may_cost_what_it_did_and_what_chance_adds_or_takes() {
        for now in [90_001, 99_000, 100_000, 104_999] {
            assert_eq!(faults(now), Vec::<String>::new(), "{now}");
        }
    }

    #[test]
    fn a_small_part_may_differ_by_some_instructions() {
        for (now, count) in [(8_000, 0), (10_000, 0), (7_900, 1), (10_100, 1)] {
            assert_eq!(comparison(&[("reply", 9_000)], &[("reply", now)]).faults().len(), count, "{now}");
        }
    }

    #[test]
    fn a_part_that_costs_more_is_a_fault() {
        assert_eq!(faults(105_100), ["fold costs 5.1 % more than the baseline; 5 % is the most"]);
        assert_eq!(faults(400_000).len(), 1);
    }

    #[test]
    fn a_part_that_costs_much_less_is_a_fault_until_the_baseline_is_lowered() {
        let [fault] = &faults(89_000)[..] else { panic!("one fault") };
        assert!(fault.starts_with("fold costs 11.0 % less than the baseline, which is to be lowered"), "{fault}");
    }

    #[test]
    fn the_baseline_has_just_the_parts_that_there_are() {
        let comparison = comparison(&[("fold", 7), ("old", 7)], &[("fold", 7), ("new", 7)]);
        let faults = comparison.faults();
        assert_eq!(faults.len(), 2, "{faults:?}");
        assert!(faults[0].starts_with("new is not in the baseline"), "{faults:?}");
        assert!(faults[1].starts_with("old is in the baseline"), "{faults:?}");
    }

    #[test]
    fn one_part_that_costs_more_is_not_made_up_for_by_others() {
        let faults = comparison(&[("a", 100_000), ("b", 100_000)], &[("a", 106_000), ("b", 92_000)]).faults();
        assert_eq!(faults, ["a costs 6.0 % more than the baseline; 5 % is the most"]);
    }

    #[test]
    fn the_table_lines_up() {
        let comparison = comparison(&[("fold", 1_000)], &[("fold", 1_015), ("invoke/1000", 36_660_406)]);
        assert_eq!(
            comparison.to_string(),
            "PART                            BASELINE         NOW   PER EVENT DIFFERENCE\n\
             fold                                1000        1015         101    +1.50 %\n\
             invoke/1000                            -    36660406     3666040          -\n"
        );
    }
}
