//! Translates a filter into the condition of a query.
//!
//! Values are parameters. Names of fields cannot be parameters: they are string literals of which only the commonest characters are
//! not escaped, so that no name can end its literal, or be a placeholder of the clients' query rewriting.

use std::fmt::Write as _;

use devicestate_engine::{
    device_state::{device_id, document_id},
    store::{Filter, Operator, Scalar},
    text::iso8601,
};
use serde_json::Value;

/// The condition of a query.
pub(super) struct Condition {
    /// The text after `WHERE`.
    pub(super) text: String,
    /// The values of `@p0`, `@p1` and so on.
    pub(super) parameters: Vec<Value>,
    /// Whether the condition selects exactly the documents that the filter selects; otherwise it selects more.
    pub(super) is_exact: bool,
}

/// A condition on the id of a document.
enum IdTest {
    Equals,
    StartsWith,
}

/// The names that [`Document`](devicestate_engine::device_state::Document) takes for other things than readings.
const NOT_READINGS: [&str; 9] =
    ["id", "Heard", "SilentSince", "Versions", "_rid", "_self", "_etag", "_attachments", "_ts"];

impl Condition {
    /// Translates a filter.
    pub(super) fn new(filter: &Filter) -> Self {
        let mut condition = Self { text: String::new(), parameters: Vec::new(), is_exact: true };
        condition.add(filter);
        condition
    }

    fn add(&mut self, filter: &Filter) {
        match filter {
            Filter::All(filters) => self.add_group(filters, " AND ", "true"),
            Filter::Any(filters) => self.add_group(filters, " OR ", "false"),
            Filter::Device(id) => {
                // Another program may have created a document with an id that is not of the form of `document_id`.
                let other = (document_id(id) != *id && device_id(id) == *id).then(|| id.clone());
                let ids = [document_id(id).into_owned()].into_iter().chain(other);
                self.add_ids(ids.map(|id| (IdTest::Equals, id)));
            }
            Filter::DevicePrefix(prefix) => self.add_prefix(prefix),
            // `Heard` has a fixed width, so texts compare as their times do.
            Filter::HeardUntil(ms) => {
                self.text += "(NOT IS_DEFINED(c.Heard) OR ";
                self.add_comparison("c.Heard", "<=", iso8601(*ms).into());
                self.text.push(')');
            }
            Filter::HeardSince(ms) => self.add_comparison("c.Heard", ">=", iso8601(*ms).into()),
            Filter::IsMarkedSilent => self.text += "IS_DEFINED(c.SilentSince)",
            Filter::Exists(name) | Filter::Compare { name, .. } if NOT_READINGS.contains(&name.as_str()) => {
                self.text += "false";
            }
            Filter::Exists(name) => {
                let field = field(name);
                let _ = write!(self.text, "(IS_DEFINED({field}) AND NOT IS_NULL({field}))");
            }
            Filter::Compare { name, operator, value } => self.add_compare(&field(name), *operator, value),
        }
    }

    fn add_group(&mut self, filters: &[Filter], separator: &str, empty: &str) {
        if filters.is_empty() {
            self.text += empty;
            return;
        }
        self.text.push('(');
        for (index, filter) in filters.iter().enumerate() {
            if index > 0 {
                self.text += separator;
            }
            self.add(filter);
        }
        self.text.push(')');
    }

    fn add_comparison(&mut self, field: &str, operator: &str, value: Value) {
        let _ = write!(self.text, "{field} {operator} @p{}", self.parameters.len());
        self.parameters.push(value);
    }

    fn add_prefix(&mut self, prefix: &str) {
        // Which blanks and dots are escaped depends on what follows, so these ids of devices may have documents with another prefix.
        let with_letter = document_id(&format!("{prefix}x")).into_owned();
        let escaped = with_letter.strip_suffix('x').unwrap_or_default();
        let complete = [prefix, ".."].into_iter().filter(|id| id.starts_with(prefix)).map(document_id);
        let others = complete.filter(|id| !id.starts_with(escaped)).map(|id| (IdTest::Equals, id.into_owned()));
        let prefixes = [escaped, prefix].map(|prefix| (IdTest::StartsWith, prefix.to_owned()));
        let prefixes = prefixes.into_iter().take(if escaped == prefix { 1 } else { 2 });
        // With escapes, ids of other programs may have this prefix although their devices do not.
        self.is_exact &= escaped == prefix;
        self.add_ids(prefixes.chain(others));
    }

    /// Adds the condition that at least one of these is true.
    fn add_ids(&mut self, tests: impl Iterator<Item = (IdTest, String)>) {
        for (index, (test, id)) in tests.enumerate() {
            self.text += if index == 0 { "(" } else { " OR " };
            let parameter = self.parameters.len();
            let _ = match test {
                IdTest::Equals => write!(self.text, "c.id = @p{parameter}"),
                IdTest::StartsWith => write!(self.text, "STARTSWITH(c.id, @p{parameter})"),
            };
            self.parameters.push(id.into());
        }
        self.text.push(')');
    }

    fn add_compare(&mut self, field: &str, operator: Operator, value: &Scalar) {
        let (is_type, value) = match value {
            Scalar::Number(number) => ("IS_NUMBER", Value::from(*number)),
            // The order of other characters than these is that of UTF-16 in some places and that of code points in others.
            Scalar::Text(text)
                if !matches!(operator, Operator::Equal | Operator::NotEqual)
                    && text.chars().any(|it| it >= '\u{e000}') =>
            {
                self.is_exact = false;
                let _ = write!(self.text, "IS_STRING({field})");
                return;
            }
            Scalar::Text(text) => ("IS_STRING", Value::from(text.as_str())),
            // The order of booleans is not documented.
            Scalar::Boolean(value) => {
                let accepted = [false, true].into_iter().filter(|held| operator.accepts(held.cmp(value)));
                self.text += "(false";
                for held in accepted {
                    let _ = write!(self.text, " OR {field} = {held}");
                }
                self.text.push(')');
                return;
            }
        };
        let symbol = match operator {
            Operator::Equal => "=",
            Operator::NotEqual => {
                // Each other comparison is true only for two values of one type.
                let _ = write!(self.text, "({is_type}({field}) AND ");
                self.add_comparison(field, "!=", value);
                self.text.push(')');
                return;
            }
            Operator::Less => "<",
            Operator::LessOrEqual => "<=",
            Operator::Greater => ">",
            Operator::GreaterOrEqual => ">=",
        };
        self.add_comparison(field, symbol, value);
    }
}

/// Returns the field of this name: `c["motor.temp"]`.
fn field(name: &str) -> String {
    let mut text = String::from("c[\"");
    for character in name.chars() {
        if character.is_ascii_alphanumeric() || " _.-".contains(character) {
            text.push(character);
        } else {
            let mut units = [0; 2];
            for unit in character.encode_utf16(&mut units) {
                let _ = write!(text, "\\u{unit:04x}");
            }
        }
    }
    text + "\"]"
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(filter: &Filter) -> (String, Vec<Value>) {
        let Condition { text, parameters, .. } = Condition::new(filter);
        (text, parameters)
    }

    #[test]
    fn values_are_parameters_and_names_are_escaped() {
        let name = "a\"] = 1 OR true --\\\u{10348}".to_owned();
        let filter = Filter::Compare { name, operator: Operator::Equal, value: Scalar::Text("\" OR true --".into()) };
        let (text, parameters) = condition(&filter);
        assert_eq!(text, r#"c["a\u0022\u005d \u003d 1 OR true --\u005c\ud800\udf48"] = @p0"#);
        assert_eq!(parameters, ["\" OR true --"]);
    }

    #[test]
    fn groups_are_in_parentheses_and_an_empty_one_is_a_constant() {
        let filter = Filter::Any(vec![
            Filter::All(vec![Filter::IsMarkedSilent, Filter::HeardSince(0)]),
            Filter::All(vec![]),
            Filter::Any(vec![]),
        ]);
        let (text, parameters) = condition(&filter);
        assert_eq!(text, "((IS_DEFINED(c.SilentSince) AND c.Heard >= @p0) OR true OR false)");
        assert_eq!(parameters, ["1970-01-01T00:00:00.000Z"]);
    }

    #[test]
    fn a_prefix_finds_documents_in_which_its_last_character_is_escaped() {
        let prefix = |prefix: &str| condition(&Filter::DevicePrefix(prefix.into()));
        assert_eq!(prefix("drone-"), ("(STARTSWITH(c.id, @p0))".into(), vec!["drone-".into()]));
        assert_eq!(prefix("a ").1, ["a ", "a~20"]);
        assert_eq!(prefix("a#").1, ["a~23", "a#"]);
        assert_eq!(prefix(".").1, [".", "~2E", "~2E~2E"]);
    }
}
