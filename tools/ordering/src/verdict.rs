//! What became of the order.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

/// The list of each key.
pub type Arrived = BTreeMap<String, Vec<u32>>;

/// What is to be said of all lists of a way.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Verdict {
    pub lists: usize,
    /// Lists with the numbers from 1 to the last, each once, one after the other.
    pub perfect_lists: usize,
    /// Lists that are so when of each number only the first is looked at: in order, but for repeats.
    pub lists_in_order: usize,
    /// Entries that are not above the entry before them: where order breaks, or a repeat begins.
    pub inversions: usize,
    /// Entries whose number the list already had.
    pub duplicates: usize,
    /// Numbers that no entry has.
    pub gaps: usize,
    /// The most central inversion of the first list that has any, with what is around it.
    pub example: Option<Example>,
}

/// Some entries of a list, one after the other.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    pub key: String,
    pub numbers: Vec<u32>,
}

impl Verdict {
    /// Of lists in which each key should have the numbers from 1 to `last`.
    pub fn of(arrived: &Arrived, last: u32) -> Self {
        let mut verdict = Self { lists: arrived.len(), ..Self::default() };
        for (key, list) in arrived {
            let mut seen = BTreeSet::new();
            let firsts: Vec<u32> = list.iter().copied().filter(|number| seen.insert(*number)).collect();
            let in_order = firsts.iter().copied().eq(1..=last);
            verdict.lists_in_order += usize::from(in_order);
            verdict.perfect_lists += usize::from(in_order && firsts.len() == list.len());
            verdict.duplicates += list.len() - firsts.len();
            verdict.gaps += (1..=last).filter(|number| !seen.contains(number)).count();
            verdict.inversions += inversions(list).count();
            if let (None, Some(place)) = (&verdict.example, most_central_inversion(list)) {
                let numbers = list[place.saturating_sub(2)..list.len().min(place + 2)].to_vec();
                verdict.example = Some(Example { key: key.clone(), numbers });
            }
        }
        verdict
    }

    pub fn nothing_is_missing(&self) -> bool {
        self.gaps == 0
    }

    pub fn is_perfect(&self) -> bool {
        self.perfect_lists == self.lists
    }
}

/// The places of the entries that are not above the one before them.
fn inversions(list: &[u32]) -> impl Iterator<Item = usize> {
    (1..list.len()).filter(|place| list[*place] <= list[place - 1])
}

/// The inversion that is nearest to the middle of the list.
pub fn most_central_inversion(list: &[u32]) -> Option<usize> {
    inversions(list).min_by_key(|place| place.abs_diff(list.len() / 2))
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let numbers: Vec<_> = self.numbers.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join(", "))
    }
}
