//! Tests of the stores against one contract.

mod stores;
