//! Evaluates expressions of Bicep with known parameters, to see what a deployment sets and what it rejects.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};
use tree_sitter::{Node, Parser};

use super::bicep::{Template, to_source};

/// The object id of the account that deploys.
pub(crate) const DEPLOYER: &str = "00000000-0000-0000-0000-00000000000d";

/// A template and the parameters of a deployment; the others have their defaults.
pub(crate) struct Deployment<'a> {
    pub(crate) template: &'a Template,
    pub(crate) parameters: BTreeMap<String, Json>,
}

impl Deployment<'_> {
    /// Returns the value of an expression, or the words of `fail()`.
    pub(crate) fn evaluate(&self, expression: &str) -> Result<Json, String> {
        let source = format!("var value = {expression}");
        let mut parser = Parser::new();
        parser.set_language(&tree_sitter_bicep::LANGUAGE.into()).expect("a grammar for this tree-sitter");
        let tree = parser.parse(&source, None).expect("a language is set");
        let declaration = tree.root_node().named_child(0).expect("a declaration");
        let value = declaration.named_child(1).unwrap_or_else(|| panic!("not an expression: {expression}"));
        self.value(value, &source, &BTreeMap::new())
    }

    /// Returns the value of a parameter, variable, or variable of a lambda.
    fn named(&self, name: &str, locals: &BTreeMap<String, Json>) -> Result<Json, String> {
        if let Some(value) = locals.get(name).or_else(|| self.parameters.get(name)) {
            return Ok(value.clone());
        }
        let param = self.template.params.iter().find(|param| param.name == name);
        let value = param.and_then(|param| param.default.as_ref()).or_else(|| self.template.variable(name));
        self.evaluate(&to_source(value.unwrap_or_else(|| panic!("{name} has no value"))))
    }

    fn value(&self, node: Node, source: &str, locals: &BTreeMap<String, Json>) -> Result<Json, String> {
        let text = &source[node.byte_range()];
        let part = |index: u32| node.named_child(index).unwrap_or_else(|| panic!("not complete: {text}"));
        let value = |node: Node| self.value(node, source, locals);
        let operator = || node.children(&mut node.walk()).find(|child| !child.is_named()).map(|child| child.kind());
        Ok(match node.kind() {
            "string" => json!(text.trim_matches('\'')),
            "number" => json!(text.parse::<i64>().expect("an integer")),
            "boolean" => json!(text == "true"),
            "identifier" => self.named(text, locals)?,
            "parenthesized_expression" => value(part(0))?,
            "array" => {
                let mut values = Vec::new();
                for index in 0..node.named_child_count() {
                    values.push(value(part(u32::try_from(index).expect("a short list")))?);
                }
                Json::Array(values)
            }
            "ternary_expression" => value(part(if value(part(0))? == true { 1 } else { 2 }))?,
            "unary_expression" => json!(value(part(0))? != true),
            "member_expression" => value(part(0))?[&source[part(1).byte_range()]].take(),
            "binary_expression" => {
                let left = value(part(0))?;
                match operator().expect("an operator") {
                    "&&" => json!(left == true && value(part(1))? == true),
                    "||" => json!(left == true || value(part(1))? == true),
                    "==" => json!(left == value(part(1))?),
                    "!=" => json!(left != value(part(1))?),
                    ">" => json!(left.as_i64() > value(part(1))?.as_i64()),
                    "%" => json!(left.as_i64().zip(value(part(1))?.as_i64()).map(|(left, right)| left % right)),
                    other => panic!("the operator {other} is not supported: {text}"),
                }
            }
            "call_expression" => self.call(node, source, locals)?,
            other => panic!("{other} is not supported: {text}"),
        })
    }

    fn call(&self, node: Node, source: &str, locals: &BTreeMap<String, Json>) -> Result<Json, String> {
        let function = &source[node.named_child(0).expect("a function").byte_range()];
        let arguments = node.named_child(1).expect("arguments");
        let nodes: Vec<Node> = arguments.named_children(&mut arguments.walk()).collect();
        let argument = |index: usize| self.value(nodes[index], source, locals);
        let text = |index: usize| Ok::<_, String>(argument(index)?.as_str().unwrap_or_default().to_owned());
        let list = |index: usize| Ok::<_, String>(argument(index)?.as_array().cloned().expect("an array"));
        Ok(match function {
            "fail" => return Err(text(0)?),
            "deployer" => json!({ "objectId": DEPLOYER }),
            "toLower" => json!(text(0)?.to_lowercase()),
            "replace" => json!(text(0)?.replace(&text(1)?, &text(2)?)),
            "startsWith" => json!(text(0)?.starts_with(&text(1)?)),
            "endsWith" => json!(text(0)?.ends_with(&text(1)?)),
            "length" => json!(text(0)?.len()),
            "empty" => json!(argument(0)?.as_array().map_or(argument(0)? == "", Vec::is_empty)),
            "concat" => json!([list(0)?, list(1)?].concat()),
            "union" => {
                let mut values: Vec<Json> = Vec::new();
                for value in [list(0)?, list(1)?].concat() {
                    if !values.contains(&value) {
                        values.push(value);
                    }
                }
                json!(values)
            }
            "filter" | "map" => {
                let (name, body) = (nodes[1].named_child(0).expect("a name"), nodes[1].named_child(1).expect("a body"));
                let mut values = Vec::new();
                for element in list(0)? {
                    let mut locals = locals.clone();
                    locals.insert(source[name.byte_range()].to_owned(), element.clone());
                    let value = self.value(body, source, &locals)?;
                    if function == "map" {
                        values.push(value);
                    } else if value == true {
                        values.push(element);
                    }
                }
                json!(values)
            }
            other => panic!("the function {other} is not supported"),
        })
    }
}
