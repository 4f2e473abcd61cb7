//! Work of which no more is begun once some of it has failed, while what is under way is finished: so that it is known
//! what became of each.

use std::{
    iter::from_fn,
    sync::atomic::{AtomicBool, Ordering::Relaxed},
};

use futures_util::{Stream, stream};

/// These items, until somebody says that one has failed.
pub fn until_failed<I: IntoIterator>(failed: &AtomicBool, items: I) -> impl Stream<Item = I::Item> {
    let mut items = items.into_iter();
    stream::iter(from_fn(move || if failed.load(Relaxed) { None } else { items.next() }))
}
