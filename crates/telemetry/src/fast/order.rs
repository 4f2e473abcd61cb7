//! Sorts the readings of a record by name: a document and an update hold them in this order.

use devicestate_engine::device_state::Reading;

/// The number of orders that are kept.
const KEPT_ORDERS: usize = 8;

/// The maximum number of readings for which an order is kept.
const MAX_KEPT_READINGS: usize = 256;

/// The orders of the last records. Most records have the same members as one before, and need the same swaps.
#[derive(Debug, Default)]
pub(super) struct Orders {
    kept: Vec<Order>,
    /// The index of the order that was used last.
    last: usize,
}

/// The swaps that sort readings.
#[derive(Debug)]
struct Order {
    /// The members that the readings come from.
    members: Vec<usize>,
    swaps: Vec<(usize, usize)>,
}

impl Orders {
    /// Sorts the readings, which come from these members.
    #[inline]
    pub(super) fn sort(&mut self, members: &[usize], readings: &mut [Reading]) {
        let is_last = self.kept.get(self.last).is_some_and(|order| order.members == members);
        if is_last || self.find(members, readings) {
            for (one, other) in &self.kept[self.last].swaps {
                readings.swap(*one, *other);
            }
        } else {
            readings.sort_unstable_by(|one, other| one.name.cmp(&other.name));
        }
    }

    /// Makes the order of these members the last one. Returns false if there are too many.
    fn find(&mut self, members: &[usize], readings: &[Reading]) -> bool {
        if members.len() > MAX_KEPT_READINGS {
            return false;
        }
        if let Some(index) = self.kept.iter().position(|order| order.members == members) {
            self.last = index;
            return true;
        }
        let order = Order { members: members.to_vec(), swaps: swaps(readings) };
        self.last = if self.kept.len() < KEPT_ORDERS { self.kept.len() } else { (self.last + 1) % KEPT_ORDERS };
        match self.kept.get_mut(self.last) {
            Some(kept) => *kept = order,
            None => self.kept.push(order),
        }
        true
    }
}

/// Returns the swaps that sort the readings.
fn swaps(readings: &[Reading]) -> Vec<(usize, usize)> {
    let mut order: Vec<usize> = (0..readings.len()).collect();
    order.sort_by(|one, other| readings[*one].name.cmp(&readings[*other].name));
    let mut swaps = Vec::new();
    for target in 0..order.len() {
        // What was there has been moved along the earlier swaps.
        let mut source = order[target];
        while source < target {
            source = order[source];
        }
        if source != target {
            swaps.push((target, source));
        }
    }
    swaps
}

#[cfg(test)]
mod tests {
    use super::*;

    fn readings(names: &[usize]) -> Vec<Reading> {
        names.iter().map(|name| Reading { name: format!("{name:03}").into(), value: (*name).into() }).collect()
    }

    #[test]
    fn readings_are_sorted_whether_or_not_their_order_is_kept() {
        let mut random = fastrand::Rng::with_seed(24);
        let mut orders = Orders::default();
        for length in (0..40).chain([MAX_KEPT_READINGS, MAX_KEPT_READINGS + 1]) {
            let mut names: Vec<usize> = (0..length).collect();
            let sorted = readings(&names);
            for _ in 0..5 {
                random.shuffle(&mut names);
                for _ in 0..2 {
                    let mut unsorted = readings(&names);
                    orders.sort(&names, &mut unsorted);
                    assert_eq!(unsorted, sorted, "{names:?}");
                }
            }
        }
        assert_eq!(orders.kept.len(), KEPT_ORDERS);
    }
}
