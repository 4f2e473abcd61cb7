//! Evaluates expressions of Bicep with known parameters, to see what a deployment sets and what it rejects.

use std::collections::BTreeMap;

use serde_json::{Map, Value as Json, json};
use tree_sitter::{Node, Parser};

use super::{
    bicep::{Module, Template, Value, read_expression},
    grammar::{children, last_operand, source_text},
};

/// The object id of the account that deploys.
pub(crate) const DEPLOYER: &str = "00000000-0000-0000-0000-00000000000d";

/// What only Azure knows, such as a property of a resource.
pub(super) const UNKNOWN: &str = "made-up";

/// A template and the parameters of a deployment; the others have their defaults.
pub(crate) struct Deployment<'a> {
    pub(super) templates: &'a [Template],
    pub(super) template: &'a Template,
    pub(super) parameters: BTreeMap<String, Json>,
    /// The deployment that this one is a module of.
    pub(super) caller: Option<(&'a Deployment<'a>, &'a Module)>,
}

type Locals = BTreeMap<String, Json>;

impl<'a> Deployment<'a> {
    /// A deployment of the main template.
    pub(crate) fn new(templates: &'a [Template], parameters: impl IntoIterator<Item = (String, Json)>) -> Self {
        Self { templates, template: &templates[0], parameters: parameters.into_iter().collect(), caller: None }
    }

    /// Returns a module of the template.
    pub(super) fn module(&self, symbol: &str) -> &'a Module {
        self.template.module(symbol).unwrap_or_else(|| panic!("the module {symbol} does not exist"))
    }

    /// Returns the deployment of a module.
    pub(super) fn of_module(&'a self, module: &'a Module) -> Self {
        let template = self.templates.iter().find(|template| template.path == module.path);
        let template = template.unwrap_or_else(|| panic!("{} does not exist", module.path.display()));
        Self { template, parameters: BTreeMap::new(), caller: Some((self, module)), ..*self }
    }

    /// Returns the value of an expression, or the words of `fail()`.
    pub(crate) fn evaluate(&self, expression: &Value) -> Result<Json, String> {
        self.value(expression, &Locals::new())
    }

    fn value(&self, value: &Value, locals: &Locals) -> Result<Json, String> {
        Ok(match value {
            Value::Text(text) => json!(text),
            Value::Number(number) => json!(number),
            Value::Bool(value) => json!(value),
            Value::List(values) => {
                json!(values.iter().map(|value| self.value(value, locals)).collect::<Result<Vec<_>, _>>()?)
            }
            Value::Object(properties) => {
                let pairs = properties.iter().map(|(name, value)| Ok((name.clone(), self.value(value, locals)?)));
                Json::Object(pairs.collect::<Result<Map<_, _>, String>>()?)
            }
            Value::Either(condition, branches) => {
                let is_first = self.text(condition, locals)? == true;
                self.value(&branches[usize::from(!is_first)], locals)?
            }
            Value::Call(function, arguments) => self.call(function, arguments, locals)?,
            Value::Each(..) => panic!("a loop is not supported: {value:?}"),
            Value::Other(text) => self.other(text, locals)?,
        })
    }

    fn text(&self, expression: &str, locals: &Locals) -> Result<Json, String> {
        self.value(&read_expression(expression), locals)
    }

    /// Returns the value of an expression that the reader leaves as text.
    fn other(&self, text: &str, locals: &Locals) -> Result<Json, String> {
        let source = format!("var value = {text}");
        let mut parser = Parser::new();
        parser.set_language(&tree_sitter_bicep::LANGUAGE.into()).expect("a grammar for this tree-sitter");
        let tree = parser.parse(&source, None).expect("a language is set");
        let node = tree.root_node().named_child(0).and_then(|declaration| declaration.named_child(1));
        let node = node.unwrap_or_else(|| panic!("not an expression: {text}"));
        let part =
            |index: u32| source_text(node.child(index).unwrap_or_else(|| panic!("not complete: {text}")), &source);
        match node.kind() {
            "identifier" => self.named(text, locals),
            "parenthesized_expression" => self.text(part(1), locals),
            "unary_expression" => Ok(json!(self.text(part(1), locals)? != true)),
            "string" => self.interpolated(node, &source, locals),
            "binary_expression" => self.binary(part(0), part(1), part(2), locals),
            // The grammar reads `a ?? b.c` as `(a ?? b).c`.
            "member_expression" => match last_operand(node).and_then(|operand| Some((operand, operand.parent()?))) {
                Some((operand, whole)) if whole.kind() == "binary_expression" => {
                    let [left, operator] = [0, 1].map(|index| whole.child(index).expect("an operand"));
                    let right = &source[operand.start_byte()..node.end_byte()];
                    self.binary(source_text(left, &source), source_text(operator, &source), right, locals)
                }
                _ => self.member(text, locals),
            },
            "subscript_expression" => Ok(json!(UNKNOWN)),
            other => panic!("{other} is not supported: {text}"),
        }
    }

    /// Returns the value of a parameter, variable, or variable of a lambda.
    fn named(&self, name: &str, locals: &Locals) -> Result<Json, String> {
        if let Some(value) = locals.get(name).or_else(|| self.parameters.get(name)) {
            return Ok(value.clone());
        }
        let set = self.caller.and_then(|(caller, module)| Some((caller, module.params.get(name)?)));
        if let Some((caller, value)) = set {
            return caller.evaluate(value);
        }
        let param = self.template.param(name);
        let value = param.and_then(|param| param.default.as_ref()).or_else(|| self.template.variable(name));
        self.evaluate(value.unwrap_or_else(|| panic!("{name} has no value")))
    }

    /// Returns the value of a property, such as `place.token`, `module.?outputs.name` and `resource.name`.
    fn member(&self, text: &str, locals: &Locals) -> Result<Json, String> {
        let path: Vec<&str> = text.split(['.', '?']).filter(|part| !part.is_empty()).collect();
        let symbol = path[0].rsplit("::").next().unwrap_or(path[0]);
        if let (Some(module), ["outputs", output]) = (self.template.module(symbol), &path[1..]) {
            return self.output(module, output);
        }
        if let Some(resource) = self.template.resources.iter().find(|resource| resource.symbol == symbol) {
            let name = resource.body.get("name").filter(|_| path[1..] == ["name"]);
            return name.map_or_else(|| Ok(json!(UNKNOWN)), |name| self.value(name, locals));
        }
        let is_of_resource = symbol.contains('[');
        let mut value = if is_of_resource { json!(UNKNOWN) } else { self.text(path[0], locals)? };
        for name in &path[1..] {
            value = if value == UNKNOWN { value } else { value[name].take() };
        }
        Ok(value)
    }

    /// Returns an output of a module; null of one that is not deployed.
    fn output(&self, module: &Module, output: &str) -> Result<Json, String> {
        if let Some(condition) = &module.condition
            && self.text(condition, &Locals::new())? != true
        {
            return Ok(Json::Null);
        }
        let inner = self.of_module(module);
        let value = inner.template.outputs.iter().find(|(name, _)| name == output).map(|(_, value)| value);
        inner.evaluate(value.unwrap_or_else(|| panic!("{} has no output {output}", module.symbol)))
    }

    /// Returns a string with its expressions.
    fn interpolated(&self, node: Node, source: &str, locals: &Locals) -> Result<Json, String> {
        let (mut text, mut end) = (String::new(), node.start_byte() + 1);
        for part in children(node).filter(|part| part.kind() == "interpolation") {
            text.push_str(&source[end..part.start_byte()]);
            end = part.end_byte();
            let inner = source_text(part, source).trim_start_matches("${").trim_end_matches('}');
            text.push_str(&to_text(&self.text(inner, locals)?));
        }
        Ok(json!(text + &source[end..node.end_byte() - 1]))
    }

    fn binary(&self, left: &str, operator: &str, right: &str, locals: &Locals) -> Result<Json, String> {
        let left = self.text(left, locals)?;
        let right = || self.text(right, locals);
        Ok(match operator {
            "&&" => json!(left == true && right()? == true),
            "||" => json!(left == true || right()? == true),
            "==" => json!(left == right()?),
            "!=" => json!(left != right()?),
            ">" => json!(left.as_i64() > right()?.as_i64()),
            "%" => json!(left.as_i64().zip(right()?.as_i64()).map(|(left, right)| left % right)),
            "??" if left.is_null() => right()?,
            "??" => left,
            other => panic!("the operator {other} is not supported"),
        })
    }

    fn call(&self, function: &str, arguments: &[Value], locals: &Locals) -> Result<Json, String> {
        let argument = |index: usize| self.value(&arguments[index], locals);
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
            "string" => json!(to_text(&argument(0)?)),
            "join" => {
                let parts = list(0)?;
                json!(parts.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(&text(1)?))
            }
            "concat" => json!([list(0)?, list(1)?].concat()),
            "union" if argument(0)?.is_object() => {
                let mut all = Map::new();
                for index in 0..arguments.len() {
                    all.extend(argument(index)?.as_object().cloned().expect("an object"));
                }
                json!(all)
            }
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
                let Value::Other(lambda) = &arguments[1] else { panic!("not a lambda: {:?}", arguments[1]) };
                let (name, body) = lambda.split_once("=>").expect("a lambda");
                let body = read_expression(body.trim());
                let mut values = Vec::new();
                for element in list(0)? {
                    let mut locals = locals.clone();
                    locals.insert(name.trim().to_owned(), element.clone());
                    let value = self.value(&body, &locals)?;
                    if function == "map" {
                        values.push(value);
                    } else if value == true {
                        values.push(element);
                    }
                }
                json!(values)
            }
            "resourceGroup" => json!(UNKNOWN),
            other => panic!("the function {other} is not supported"),
        })
    }
}

/// Returns what `string()` and an interpolation make of a value.
fn to_text(value: &Json) -> String {
    value.as_str().map_or_else(|| value.to_string(), str::to_owned)
}
