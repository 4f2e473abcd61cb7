//! Estimates the memory of a document.

use std::mem::size_of;

use serde_json::Value;

use super::{Document, Field, Fields, Name};

/// The number of references to a name from which on it counts as shared. While a document is written, up to six belong to it
/// and to its event.
const SHARED_NAME_REFERENCES: usize = 8;

/// The most entries of a node of a `BTreeMap`, and about how many it has on average if there are several nodes.
const MAX_NODE_ENTRIES: usize = 11;
const MEAN_NODE_ENTRIES: usize = 7;

/// Returns the memory of an allocation of this size: glibc's allocator has a header of 8 bytes, multiples of 16 bytes, and at
/// least 32.
pub(crate) fn allocation_bytes(size: usize) -> usize {
    if size == 0 { 0 } else { (size + 8).next_multiple_of(16).max(32) }
}

impl Document {
    /// Returns an estimate of the memory on the heap, in bytes. A name that many documents share does not count.
    pub(crate) fn heap_bytes(&self) -> usize {
        /// The two counters of an `Arc`.
        const ARC_BYTES: usize = 2 * size_of::<usize>();
        let fields = &self.fields.0;
        let each = fields.iter().map(|(name, field)| name_bytes(name) + value_bytes(&field.value));
        allocation_bytes(self.id.capacity())
            + allocation_bytes(ARC_BYTES + size_of::<Fields<Field>>())
            + allocation_bytes(fields.capacity() * size_of::<(Name, Field)>())
            + each.sum::<usize>()
    }
}

fn name_bytes(name: &Name) -> usize {
    /// The counter and the length before the text.
    const HEADER_BYTES: usize = 2 * size_of::<usize>();
    match Name::strong_count(name) {
        Some(count) if count < SHARED_NAME_REFERENCES => allocation_bytes(HEADER_BYTES + name.len()),
        _ => 0,
    }
}

/// Returns the memory of a value on the heap.
fn value_bytes(value: &Value) -> usize {
    match value {
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
        Value::String(text) => allocation_bytes(text.capacity()),
        Value::Array(values) => {
            allocation_bytes(values.capacity() * size_of::<Value>()) + values.iter().map(value_bytes).sum::<usize>()
        }
        Value::Object(members) => {
            let nodes = match members.len() {
                0 => 0,
                1..=MAX_NODE_ENTRIES => 1,
                count => count.div_ceil(MEAN_NODE_ENTRIES),
            };
            let node_bytes = MAX_NODE_ENTRIES * size_of::<(String, Value)>() + 2 * size_of::<usize>();
            let each = members.iter().map(|(name, value)| allocation_bytes(name.capacity()) + value_bytes(value));
            nodes * allocation_bytes(node_bytes) + each.sum::<usize>()
        }
    }
}
