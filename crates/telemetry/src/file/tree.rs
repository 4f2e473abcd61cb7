//! JSON with the positions of its values, so that a mistake can be shown where it is.

use std::fmt::{self, Write as _};

use serde::{
    Deserialize as _, Deserializer,
    de::{MapAccess, SeqAccess, Visitor},
};
use serde_json::{Value, value::RawValue};

use crate::mapping::Pointer;

/// A value and where it is in the text.
#[derive(Debug)]
pub(super) struct Node {
    /// The first byte of the value.
    pub(super) start: usize,
    /// The byte after the value.
    end: usize,
    pub(super) content: Content,
}

#[derive(Debug)]
pub(super) enum Content {
    Object(Vec<Member>),
    Array(Vec<Node>),
    /// Null, a boolean, a number or a string.
    Scalar(Value),
}

#[derive(Debug)]
pub(super) struct Member {
    pub(super) name: String,
    /// The first byte of the name.
    pub(super) start: usize,
    pub(super) value: Node,
}

/// Parses a text that is one JSON value.
pub(super) fn parse(text: &str) -> serde_json::Result<Node> {
    let raw: &RawValue = serde_json::from_str(text)?;
    node(text, raw)
}

fn node(text: &str, raw: &RawValue) -> serde_json::Result<Node> {
    let json = raw.get();
    let start = json.as_ptr().addr() - text.as_ptr().addr();
    let mut parser = serde_json::Deserializer::from_str(json);
    let content = match json.as_bytes().first() {
        Some(b'{') => {
            let members = parser.deserialize_map(Members)?.into_iter().map(|(name, value)| {
                let value = node(text, value)?;
                Ok(Member { name, start: start_of_name(text, value.start), value })
            });
            Content::Object(members.collect::<serde_json::Result<_>>()?)
        }
        Some(b'[') => {
            let elements = parser.deserialize_seq(Elements)?.into_iter().map(|element| node(text, element));
            Content::Array(elements.collect::<serde_json::Result<_>>()?)
        }
        _ => Content::Scalar(Value::deserialize(&mut parser)?),
    };
    Ok(Node { start, end: start + json.len(), content })
}

/// Returns where the name of a member starts whose value starts at `value`.
fn start_of_name(text: &str, value: usize) -> usize {
    let before = text[..value].trim_end().trim_end_matches(':').trim_end();
    let mut quotes = before[..before.len() - 1].rmatch_indices('"').map(|(at, _)| at);
    let is_escaped = |at: usize| before[..at].bytes().rev().take_while(|byte| *byte == b'\\').count() % 2 == 1;
    quotes.find(|at| !is_escaped(*at)).unwrap_or_default()
}

struct Members;

impl<'de> Visitor<'de> for Members {
    type Value = Vec<(String, &'de RawValue)>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut members = Vec::new();
        while let Some(member) = access.next_entry()? {
            members.push(member);
        }
        Ok(members)
    }
}

struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut access: A) -> Result<Self::Value, A::Error> {
        let mut elements = Vec::new();
        while let Some(element) = access.next_element()? {
            elements.push(element);
        }
        Ok(elements)
    }
}

impl Node {
    /// Returns the JSON Pointer to what is at a position: a value, or the member whose name is there.
    pub(super) fn pointer_to(&self, at: usize) -> String {
        let (mut pointer, mut node) = (String::new(), self);
        loop {
            let step = match &node.content {
                Content::Object(members) => members
                    .iter()
                    .find(|member| (member.start..member.value.end).contains(&at))
                    .map(|member| (member.name.replace('~', "~0").replace('/', "~1"), &member.value)),
                Content::Array(elements) => {
                    let mut elements = elements.iter().enumerate();
                    let found = elements.find(|(_, element)| (element.start..element.end).contains(&at));
                    found.map(|(index, element)| (index.to_string(), element))
                }
                Content::Scalar(_) => None,
            };
            let Some((step, next)) = step else { return pointer };
            let _ = write!(pointer, "/{step}");
            node = next;
        }
    }

    /// Returns the position of the value that a JSON Pointer refers to.
    pub(super) fn position_of(&self, pointer: &str) -> Option<usize> {
        let pointer = Pointer::parse(pointer).ok()?;
        let node = pointer.steps.iter().try_fold(self, |node, step| match &node.content {
            Content::Object(members) => members.iter().find(|member| member.name == *step).map(|member| &member.value),
            Content::Array(elements) => elements.get(step.parse::<usize>().ok()?),
            Content::Scalar(_) => None,
        });
        node.map(|node| node.start)
    }

    /// Returns the value without positions.
    pub(super) fn to_value(&self) -> Value {
        match &self.content {
            Content::Object(members) => {
                Value::Object(members.iter().map(|member| (member.name.clone(), member.value.to_value())).collect())
            }
            Content::Array(elements) => elements.iter().map(Self::to_value).collect(),
            Content::Scalar(value) => value.clone(),
        }
    }
}
