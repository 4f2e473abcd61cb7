//! Checks the order of the lists.

use std::{
    collections::{BTreeMap, BTreeSet},
    fmt,
};

use serde::Serialize;

/// The numbers of each key's events in order of arrival.
pub type ArrivedLists = BTreeMap<String, Vec<u32>>;

/// The result of checking all lists of a strategy.
#[derive(Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct OrderCheck {
    pub lists: usize,
    /// Lists with all numbers from 1 to the last, each once and in order.
    pub perfect_lists: usize,
    /// Lists that are perfect if repeats are ignored.
    pub lists_in_order: usize,
    /// Entries that are not greater than the previous one: where the order breaks, or a repeat begins.
    pub inversions: usize,
    /// Entries with a number that the list already had.
    pub duplicates: usize,
    /// Missing numbers.
    pub gaps: usize,
    /// The most central inversion of the first list that has any, with the entries around it.
    pub example: Option<Example>,
}

/// Consecutive entries of a list.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct Example {
    pub key: String,
    pub numbers: Vec<u32>,
}

impl OrderCheck {
    /// Checks lists in which each key should have the numbers from 1 to `last`.
    pub fn new(arrived: &ArrivedLists, last: u32) -> Self {
        let mut check = Self { lists: arrived.len(), ..Self::default() };
        for (key, list) in arrived {
            let mut seen = BTreeSet::new();
            let firsts: Vec<u32> = list.iter().copied().filter(|number| seen.insert(*number)).collect();
            let in_order = firsts.iter().copied().eq(1..=last);
            check.lists_in_order += usize::from(in_order);
            check.perfect_lists += usize::from(in_order && firsts.len() == list.len());
            check.duplicates += list.len() - firsts.len();
            check.gaps += (1..=last).filter(|number| !seen.contains(number)).count();
            check.inversions += inversions(list).count();
            if let (None, Some(index)) = (&check.example, most_central_inversion(list)) {
                let numbers = list[index.saturating_sub(2)..list.len().min(index + 2)].to_vec();
                check.example = Some(Example { key: key.clone(), numbers });
            }
        }
        check
    }

    pub fn is_complete(&self) -> bool {
        self.gaps == 0
    }

    pub fn is_perfect(&self) -> bool {
        self.perfect_lists == self.lists
    }
}

/// Returns the indexes of the inversions.
fn inversions(list: &[u32]) -> impl Iterator<Item = usize> {
    (1..list.len()).filter(|index| list[*index] <= list[index - 1])
}

/// Returns the index of the inversion that is nearest to the middle of the list.
pub fn most_central_inversion(list: &[u32]) -> Option<usize> {
    inversions(list).min_by_key(|index| index.abs_diff(list.len() / 2))
}

impl fmt::Display for Example {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        let numbers: Vec<_> = self.numbers.iter().map(u32::to_string).collect();
        f.write_str(&numbers.join(", "))
    }
}
