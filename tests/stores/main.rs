//! Each store, held to the same rules.

mod stores;
