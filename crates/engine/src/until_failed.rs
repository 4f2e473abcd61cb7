//! Stops starting work after a failure, while running work finishes, so that the result of each item is known.

use std::{
    iter::from_fn,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use futures_util::{Stream, stream};

/// Returns a stream of the items that ends when `failed` is set.
pub fn until_failed<I: IntoIterator>(failed: &AtomicBool, items: I) -> impl Stream<Item = I::Item> {
    let mut items = items.into_iter();
    stream::iter(from_fn(move || if failed.load(Relaxed) { None } else { items.next() }))
}
