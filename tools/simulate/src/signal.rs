//! A value that tasks wait on. Tasks are woken in the order in which they began to wait. Tokio's `watch` channel wakes
//! them in any order, which would make a seed's run non-deterministic.

use std::sync::{Mutex, MutexGuard, PoisonError};

use tokio::sync::Notify;

#[derive(Debug, Default)]
pub(crate) struct Signal<T> {
    value: Mutex<T>,
    changed: Notify,
}

impl<T: Copy> Signal<T> {
    pub(crate) fn new(value: T) -> Self {
        Self { value: Mutex::new(value), changed: Notify::new() }
    }

    fn value(&self) -> MutexGuard<'_, T> {
        self.value.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub(crate) fn get(&self) -> T {
        *self.value()
    }

    /// Changes the value and returns the new one.
    pub(crate) fn change(&self, change: impl FnOnce(&mut T)) -> T {
        let mut value = self.value();
        change(&mut value);
        self.changed.notify_waiters();
        *value
    }

    /// Waits until the value meets the condition.
    pub(crate) async fn until(&self, is_met: impl Fn(T) -> bool) {
        loop {
            let mut changed = std::pin::pin!(self.changed.notified());
            changed.as_mut().enable();
            if is_met(self.get()) {
                return;
            }
            changed.await;
        }
    }
}
