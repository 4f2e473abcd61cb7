//! Checks nodes of the telemetry file, and collects what is wrong.

use serde_json::{Number, Value};

use super::tree::{Content, Member, Node};
use crate::mapping::shown;

/// A mistake at a position in the text.
#[derive(Debug)]
pub(super) struct MistakeAt {
    pub(super) at: usize,
    pub(super) message: String,
}

/// The mistakes that were found so far. A method returns `None` after it has added one.
#[derive(Debug, Default)]
pub(super) struct Checker {
    pub(super) mistakes: Vec<MistakeAt>,
}

impl Checker {
    pub(super) fn add<T>(&mut self, at: usize, message: impl Into<String>) -> Option<T> {
        self.mistakes.push(MistakeAt { at, message: message.into() });
        None
    }

    /// Adds that a value has another type.
    pub(super) fn expected<T>(&mut self, node: &Node, expected: &str) -> Option<T> {
        self.add(node.start, format!("must be {expected}, found {}", shown(&node.to_value())))
    }

    /// Returns the members of an object, of which each name may be given once.
    pub(super) fn members<'n>(&mut self, node: &'n Node, expected: &str) -> Option<&'n [Member]> {
        let Content::Object(members) = &node.content else { return self.expected(node, expected) };
        let mut names: Vec<_> = members.iter().map(|member| (member.name.as_str(), member.start)).collect();
        names.sort_unstable();
        for pair in names.windows(2).filter(|pair| pair[0].0 == pair[1].0) {
            self.add::<()>(pair[1].1, format!("{:?} is given twice", shortened(pair[1].0)));
        }
        Some(members)
    }

    /// Returns the members of an object that may have only these names, as a function of the name.
    pub(super) fn object<'n>(
        &mut self,
        node: &'n Node,
        what: &str,
        known: &[&str],
    ) -> Option<impl Fn(&str) -> Option<&'n Node> + use<'n>> {
        let members = self.members(node, &format!("an object: {what}"))?;
        for member in members.iter().filter(|member| !known.contains(&member.name.as_str())) {
            let name = shortened(&member.name);
            self.add::<()>(member.start, format!("{name:?} is not a member of {what}: {}", did_you_mean(&name, known)));
        }
        Some(move |name: &str| members.iter().find(|member| member.name == name).map(|member| &member.value))
    }

    pub(super) fn text<'n>(&mut self, node: &'n Node, expected: &str) -> Option<&'n str> {
        match &node.content {
            Content::Scalar(Value::String(text)) => Some(text),
            _ => self.expected(node, expected),
        }
    }

    /// Returns the value that a text names.
    pub(super) fn one_of<T: Copy>(&mut self, node: &Node, what: &str, known: &[(&str, T)]) -> Option<T> {
        let names: Vec<_> = known.iter().map(|(name, _)| *name).collect();
        let text = self.text(node, &format!("{what}, which is one of {}", list(&names)))?;
        let found = known.iter().find(|(name, _)| *name == text).map(|(_, value)| *value);
        found.or_else(|| {
            let text = shortened(text);
            self.add(node.start, format!("{text:?} is not {what}: {}", did_you_mean(&text, &names)))
        })
    }

    pub(super) fn boolean(&mut self, node: &Node) -> Option<bool> {
        match node.content {
            Content::Scalar(Value::Bool(value)) => Some(value),
            _ => self.expected(node, "true or false"),
        }
    }

    pub(super) fn number<'n>(&mut self, node: &'n Node) -> Option<&'n Number> {
        match &node.content {
            Content::Scalar(Value::Number(number)) => Some(number),
            _ => self.expected(node, "a number"),
        }
    }

    /// Returns the elements of an array, or the value itself if it is not an array.
    pub(super) fn one_or_more<'n>(&mut self, node: &'n Node, what: &str) -> Option<Vec<&'n Node>> {
        match &node.content {
            Content::Array(elements) if elements.is_empty() => {
                self.add(node.start, format!("the list is empty: it needs at least one {what}"))
            }
            Content::Array(elements) => Some(elements.iter().collect()),
            _ => Some(vec![node]),
        }
    }
}

/// Returns the first characters of a name.
pub(super) fn shortened(name: &str) -> String {
    crate::mapping::shortened(name)
}

/// Says which known name may be meant, or which there are.
pub(super) fn did_you_mean(unknown: &str, known: &[&str]) -> String {
    const MIN_SIMILARITY: f64 = 0.75;
    let unknown = unknown.to_lowercase();
    let similarity = |name: &&str| strsim::jaro_winkler(&unknown, &name.to_lowercase());
    let scored = known.iter().map(|name| (similarity(name), *name));
    match scored.max_by(|(one, _), (other, _)| one.total_cmp(other)) {
        Some((score, name)) if score >= MIN_SIMILARITY => format!("did you mean `{name}`?"),
        _ => format!("there are {}", list(known)),
    }
}

pub(super) fn list(names: &[&str]) -> String {
    names.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ")
}
