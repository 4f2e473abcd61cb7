//! Reads pointers, sources and conditions.

use super::{
    checker::{Checked, Checker, did_you_mean, shortened},
    tree::{Content, Node},
};
use crate::mapping::{Condition, Pointer, Source, Sources, Test, When};

/// What a source may begin with, and the sources that are one word.
const FORMS: [&str; 6] = ["body:", "property:", "cloudevent:", "iothub", "partitionKey", "contentType"];

impl Checker {
    pub(super) fn pointer(&mut self, node: &Node) -> Checked<Pointer> {
        let text = self.text(node, "a JSON Pointer, such as `/motor/temp`")?;
        Pointer::parse(text).or_else(|problem| self.add(node.start, describe("", text, &problem)))
    }

    /// Reads one source or a list of them.
    pub(super) fn sources(&mut self, node: &Node) -> Checked<Sources> {
        let nodes = self.one_or_more(node, "source")?;
        self.each(nodes, Self::source).map(Sources)
    }

    fn source(&mut self, node: &Node) -> Checked<Source> {
        let text = self.text(node, "a source, such as `/motor/temp` or `property:name`")?;
        let pointer = |prefix, text: &str| Pointer::parse(text).map_err(|problem| describe(prefix, text, &problem));
        let named = |name: &str| match name {
            "" => Err(format!("the name after `{text}` is missing")),
            name => Ok(name.to_owned()),
        };
        let source = match text.split_once(':') {
            Some(("body", text)) => pointer("body:", text).map(Source::Body),
            Some(("property", name)) => named(name).map(Source::Property),
            Some(("cloudevent", name)) => named(name).map(Source::CloudEvent),
            _ => match text {
                "iothub" => Ok(Source::IotHub),
                "partitionKey" => Ok(Source::PartitionKey),
                "contentType" => Ok(Source::ContentType),
                text if text.is_empty() || text.starts_with('/') => pointer("", text).map(Source::Record),
                text => Err(describe_unknown(text)),
            },
        };
        source.or_else(|problem| self.add(node.start, problem))
    }

    /// Reads one condition or a list of them, which must all hold.
    pub(super) fn when(&mut self, node: &Node) -> Checked<When> {
        let nodes = self.one_or_more(node, "condition")?;
        let conditions: Vec<_> = self.each(nodes, Self::conditions)?;
        Ok(When(conditions.into_iter().flatten().collect()))
    }

    fn conditions(&mut self, node: &Node) -> Checked<Vec<Condition>> {
        let member = self.object(node, "a condition", &["from", "exists", "equals", "startsWith"])?;
        let from = match member("from") {
            Some(from) => self.sources(from),
            None => self.add(node.start, "a condition needs `from`, the source of the value that it is for"),
        };
        let mut tests = Vec::new();
        if let Some(exists) = member("exists") {
            tests.push(self.boolean(exists).map(Test::Exists));
        }
        if let Some(equals) = member("equals") {
            tests.push(self.scalars(equals).map(Test::Equals));
        }
        if let Some(start) = member("startsWith") {
            tests.push(self.text(start, "a text").map(|start| Test::StartsWith(start.to_owned())));
        }
        if tests.is_empty() {
            return self.add(node.start, "a condition needs `exists`, `equals` or `startsWith`");
        }
        let (from, tests) = (from?, tests.into_iter().collect::<Checked<Vec<_>>>()?);
        Ok(tests.into_iter().map(|test| Condition { from: from.clone(), test }).collect())
    }

    /// Reads one value to compare with, or a list of them.
    fn scalars(&mut self, node: &Node) -> Checked<Vec<serde_json::Value>> {
        let nodes = self.one_or_more(node, "value")?;
        self.each(nodes, |checker, node| match &node.content {
            Content::Scalar(value) => Ok(value.clone()),
            _ => checker.expected(node, "a text, a number, true, false or null"),
        })
    }
}

/// Says what is wrong with the pointer after a prefix, and how it would be right.
fn describe(prefix: &str, pointer: &str, problem: &str) -> String {
    let pointer = shortened(pointer);
    let problem = format!("\"{prefix}{pointer}\" is not valid: {problem}");
    if pointer.starts_with('/') {
        return problem;
    }
    let steps = pointer.trim_start_matches("$.").replace('.', "/");
    format!("{problem}: did you mean `{prefix}/{steps}`?")
}

fn describe_unknown(text: &str) -> String {
    let text = shortened(text);
    let form = text.split_once(':').map(|(before, _)| format!("{before}:"));
    let hint = did_you_mean(form.as_deref().unwrap_or(&text), &FORMS);
    if form.is_none() && hint.starts_with("there are") {
        return describe("", &text, "a JSON Pointer begins with `/`");
    }
    format!("{text:?} is not a source: {hint}")
}
