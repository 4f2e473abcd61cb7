//! Changes members of a dead letter's text without changing a byte of the others: a later version may have written members
//! that this version does not support.

use std::fmt;

use serde::{
    Deserialize, Deserializer,
    de::{MapAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

/// The unparsed members of an object, in their order.
struct Members(Vec<(String, Box<RawValue>)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Each;
        impl<'de> Visitor<'de> for Each {
            type Value = Members;

            fn expecting(&self, f: &mut fmt::Formatter) -> fmt::Result {
                f.write_str("an object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Each)
    }
}

/// Returns the text of an object with these members replaced, or appended if the object does not have them.
///
/// # Errors
///
/// Returns an error if the text is not a JSON object.
pub fn with_members<const N: usize>(text: &[u8], changes: [(&str, Box<RawValue>); N]) -> serde_json::Result<String> {
    let Members(mut members) = serde_json::from_slice(text)?;
    for (name, value) in changes {
        match members.iter_mut().find(|(member, _)| member == name) {
            Some((_, before)) => *before = value,
            None => members.push((name.to_owned(), value)),
        }
    }
    let members: Vec<_> =
        members.iter().map(|(name, value)| format!("{}:{value}", Value::from(name.as_str()))).collect();
    Ok(format!("{{{}}}", members.join(",")))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_named_members_change() {
        let raw = |text: &str| RawValue::from_string(text.to_owned()).expect("JSON");
        let text = br#"{ "b" : 1.50, "a":{ "z" : 12345678901234567890123 },"\u00e4":null}"#;
        let changed = with_members(text, [("a", raw("2")), ("new", raw("[3]"))]).expect("an object");
        assert_eq!(changed, r#"{"b":1.50,"a":2,"ä":null,"new":[3]}"#);
        assert_eq!(
            with_members(text, []).expect("an object"),
            r#"{"b":1.50,"a":{ "z" : 12345678901234567890123 },"ä":null}"#
        );
        let error = with_members(b"[1]", []).expect_err("not an object");
        assert!(error.to_string().contains("expected an object"), "{error}");
    }
}
