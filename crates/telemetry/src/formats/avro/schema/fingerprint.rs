//! The fingerprints of schemas: CRC-64-AVRO of their parsing canonical form.

use std::{collections::HashSet, fmt::Write as _};

use serde_json::Value;

use super::{Shape, TypeId, Types};

const EMPTY: u64 = 0xc15d_213a_a4d7_a795;

impl Types {
    /// Returns the fingerprint of a schema, by which single-object encoding names it.
    pub(in super::super) fn fingerprint(&self, root: TypeId) -> u64 {
        let mut form = String::new();
        self.write_canonical(root, &mut HashSet::new(), &mut form);
        form.bytes().fold(EMPTY, |hash, byte| {
            let mut remainder = (hash ^ u64::from(byte)) & 0xff;
            for _ in 0..8 {
                remainder = remainder >> 1 ^ (EMPTY & 0_u64.wrapping_sub(remainder & 1));
            }
            hash >> 8 ^ remainder
        })
    }

    /// Writes the parsing canonical form. A named type is written where it comes first, and later as its name.
    fn write_canonical(&self, id: TypeId, written: &mut HashSet<TypeId>, form: &mut String) {
        let name = match &self.get(id).shape {
            Shape::Null => "null",
            Shape::Boolean => "boolean",
            Shape::Int => "int",
            Shape::Long => "long",
            Shape::Float => "float",
            Shape::Double => "double",
            Shape::Bytes => "bytes",
            Shape::String => "string",
            Shape::Record { name, .. } | Shape::Enum { name, .. } | Shape::Fixed { name, .. }
                if !written.insert(id) =>
            {
                name
            }
            shape => return self.write_definition(shape, written, form),
        };
        let _ = write!(form, "{}", Value::from(name));
    }

    fn write_definition(&self, shape: &Shape, written: &mut HashSet<TypeId>, form: &mut String) {
        match shape {
            Shape::Array(items) => {
                form.push_str(r#"{"type":"array","items":"#);
                self.write_canonical(*items, written, form);
                form.push('}');
            }
            Shape::Map(values) => {
                form.push_str(r#"{"type":"map","values":"#);
                self.write_canonical(*values, written, form);
                form.push('}');
            }
            Shape::Union(branches) => {
                for (index, branch) in branches.iter().enumerate() {
                    form.push(if index == 0 { '[' } else { ',' });
                    self.write_canonical(*branch, written, form);
                }
                form.push_str(if branches.is_empty() { "[]" } else { "]" });
            }
            Shape::Record { name, fields } => {
                let _ = write!(form, r#"{{"name":{},"type":"record","fields":["#, Value::from(name.as_str()));
                for (index, (field, id)) in fields.iter().enumerate() {
                    let comma = if index == 0 { "" } else { "," };
                    let _ = write!(form, r#"{comma}{{"name":{},"type":"#, Value::from(field.as_str()));
                    self.write_canonical(*id, written, form);
                    form.push('}');
                }
                form.push_str("]}");
            }
            Shape::Enum { name, symbols } => {
                let (name, symbols) = (Value::from(name.as_str()), Value::from(symbols.clone()));
                let _ = write!(form, r#"{{"name":{name},"type":"enum","symbols":{symbols}}}"#);
            }
            Shape::Fixed { name, size } => {
                let _ = write!(form, r#"{{"name":{},"type":"fixed","size":{size}}}"#, Value::from(name.as_str()));
            }
            Shape::Named(id) => self.write_canonical(*id, written, form),
            _ => {}
        }
    }
}
