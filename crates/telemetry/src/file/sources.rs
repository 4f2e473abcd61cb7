//! Reads pointers, sources and conditions.

use super::{
    checker::{Checker, did_you_mean, shortened},
    tree::{Content, Node},
};
use crate::mapping::{Condition, Pointer, Source, Sources, Test, When};

/// What a source may begin with, and the sources that are one word.
const FORMS: [&str; 6] = ["body:", "property:", "cloudevent:", "iothub", "partitionKey", "contentType"];

impl Checker {
    pub(super) fn pointer(&mut self, node: &Node) -> Option<Pointer> {
        let text = self.text(node, "a JSON Pointer, such as `/motor/temp`")?;
        Pointer::parse(text).map_or_else(|problem| self.add(node.start, describe(text, &problem)), Some)
    }

    /// Reads one source or a list of them.
    pub(super) fn sources(&mut self, node: &Node) -> Option<Sources> {
        let nodes = self.one_or_more(node, "source")?;
        let sources: Vec<_> = nodes.into_iter().map(|node| self.source(node)).collect();
        sources.into_iter().collect::<Option<_>>().map(Sources)
    }

    fn source(&mut self, node: &Node) -> Option<Source> {
        let text = self.text(node, "a source, such as `/motor/temp` or `property:name`")?;
        let pointer = |pointer: &str| Pointer::parse(pointer).map_err(|problem| describe(text, &problem));
        let named = |name: &str| match name {
            "" => Err(format!("the name after `{text}` is missing")),
            name => Ok(name.to_owned()),
        };
        let source = match text.split_once(':') {
            Some(("body", text)) => pointer(text).map(Source::Body),
            Some(("property", name)) => named(name).map(Source::Property),
            Some(("cloudevent", name)) => named(name).map(Source::CloudEvent),
            _ => match text {
                "iothub" => Ok(Source::IotHub),
                "partitionKey" => Ok(Source::PartitionKey),
                "contentType" => Ok(Source::ContentType),
                text if text.is_empty() || text.starts_with('/') => pointer(text).map(Source::Record),
                text => Err(describe_unknown(text)),
            },
        };
        source.map_or_else(|problem| self.add(node.start, problem), Some)
    }

    /// Reads one condition or a list of them, which must all hold.
    pub(super) fn when(&mut self, node: &Node) -> Option<When> {
        let nodes = self.one_or_more(node, "condition")?;
        let conditions: Vec<_> = nodes.into_iter().map(|node| self.conditions(node)).collect();
        let conditions: Option<Vec<_>> = conditions.into_iter().collect();
        Some(When(conditions?.into_iter().flatten().collect()))
    }

    fn conditions(&mut self, node: &Node) -> Option<Vec<Condition>> {
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
        let (from, tests) = (from?, tests.into_iter().collect::<Option<Vec<_>>>()?);
        Some(tests.into_iter().map(|test| Condition { from: from.clone(), test }).collect())
    }

    /// Reads one value to compare with, or a list of them.
    fn scalars(&mut self, node: &Node) -> Option<Vec<serde_json::Value>> {
        let values = self.one_or_more(node, "value")?.into_iter().map(|node| match &node.content {
            Content::Scalar(value) => Some(value.clone()),
            _ => self.expected(node, "a text, a number, true, false or null"),
        });
        let values: Vec<_> = values.collect();
        values.into_iter().collect()
    }
}

/// Says what is wrong with a pointer, and how it would be right.
fn describe(text: &str, problem: &str) -> String {
    let text = shortened(text);
    if text.contains('/') || text.contains('~') {
        return format!("{text:?} is not valid: {problem}");
    }
    format!("{text:?} is not valid: {problem}: did you mean `/{}`?", text.replace('.', "/"))
}

fn describe_unknown(text: &str) -> String {
    let text = shortened(text);
    let form = text.split_once(':').map(|(before, _)| format!("{before}:"));
    let hint = did_you_mean(form.as_deref().unwrap_or(&text), &FORMS);
    if form.is_none() && hint.starts_with("there are") {
        return describe(&text, "a JSON Pointer begins with `/`");
    }
    format!("{text:?} is not a source: {hint}")
}
