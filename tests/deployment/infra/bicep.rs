//! Bicep files, read as far as the tests ask: what is declared, what it refers to, what it is made of.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use tree_sitter::{Node, Parser};

/// An expression. What the tests do not look into is only its text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    Bool(bool),
    List(Vec<Value>),
    /// What each element of a loop is, and what the loop goes over.
    Each(Box<Value>, String),
    Object(Vec<(String, Value)>),
    /// A condition, what it chooses, and what it chooses otherwise.
    Either(String, Vec<Value>),
    /// A call of a function.
    Call(String, Vec<Value>),
    Other(String),
}

impl Value {
    /// A property of an object, or `None`.
    pub(crate) fn get(&self, name: &str) -> Option<&Value> {
        self.properties().iter().find(|(property, _)| property == name).map(|(_, value)| value)
    }

    /// The properties of an object; none of anything else.
    pub(crate) fn properties(&self) -> &[(String, Value)] {
        if let Self::Object(properties) = self { properties } else { &[] }
    }

    /// What stands at this path of properties, such as `properties.sku.name`.
    pub(crate) fn at(&self, path: &str) -> Option<&Value> {
        path.split('.').try_fold(self, |value, name| value.get(name))
    }

    /// A literal text.
    pub(crate) fn text(&self) -> Option<&str> {
        if let Self::Text(text) = self { Some(text) } else { None }
    }
}

#[derive(Debug)]
pub(crate) struct Param {
    pub(crate) name: String,
    pub(crate) default: Option<Value>,
    /// What it may be, where a decorator says so.
    pub(crate) allowed: Vec<String>,
    pub(crate) is_described: bool,
    /// Whether it is kept out of the deployment's history.
    pub(crate) is_secure: bool,
}

#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) symbol: String,
    /// Type and version, those of the resources around it included: `Microsoft.Storage/storageAccounts@2025-01-01`.
    pub(crate) type_name: String,
    pub(crate) is_existing: bool,
    /// Whether it is deployed, where that depends.
    pub(crate) condition: Option<String>,
    /// What it is made for each of, where it is made in a loop.
    pub(crate) each_of: Option<String>,
    pub(crate) body: Value,
}

#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) symbol: String,
    pub(crate) path: PathBuf,
    /// Whether it is deployed, where that depends.
    pub(crate) condition: Option<String>,
    /// What it is deployed for each of, where it is deployed in a loop.
    pub(crate) each_of: Option<String>,
    /// What else it is deployed after, besides what its parameters are made of.
    pub(crate) waits_for: Option<String>,
    /// What its own deployment is called.
    pub(crate) name: Option<String>,
    pub(crate) params: Value,
}

/// A Bicep file.
#[derive(Debug, Default)]
pub(crate) struct Template {
    pub(crate) path: PathBuf,
    /// Where it is no Bicep.
    pub(crate) errors: Vec<String>,
    pub(crate) params: Vec<Param>,
    pub(crate) variables: Vec<(String, Value)>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) modules: Vec<Module>,
    pub(crate) outputs: Vec<(String, Value)>,
    /// The outputs that have no description.
    pub(crate) silent_outputs: Vec<String>,
    /// Every identifier that refers to something declared, with the line it stands in.
    pub(crate) references: BTreeSet<(String, usize)>,
    /// `module.outputs.name` and `module[0].outputs.name`, as module and name.
    pub(crate) module_outputs: BTreeSet<(String, String)>,
    /// Variables of loops and lambdas.
    pub(crate) locals: BTreeSet<String>,
}

impl Template {
    /// Reads a text as it stands in this file.
    pub(crate) fn parse(path: &Path, text: &str) -> Self {
        let mut parser = Parser::new();
        parser.set_language(&tree_sitter_bicep::LANGUAGE.into()).expect("a grammar for this tree-sitter");
        let tree = parser.parse(text, None).expect("a language is set");
        let mut template = Self { path: path.to_owned(), ..Self::default() };
        template.declarations(tree.root_node(), text);
        template.visit(tree.root_node(), text);
        template
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.iter().find(|(variable, _)| variable == name).map(|(_, value)| value)
    }

    fn declarations(&mut self, root: Node, source: &str) {
        let mut decorators = None;
        for node in children(root) {
            let name = || text_of(identifier(node), source).to_owned();
            match node.kind() {
                "decorators" => {
                    decorators = Some(node);
                    continue;
                }
                "parameter_declaration" => {
                    let calls = calls(decorators, source);
                    let decorator = |wanted: &str| {
                        calls.iter().find_map(|call| match call {
                            Value::Call(name, arguments) if name == wanted => Some(arguments.as_slice()),
                            _ => None,
                        })
                    };
                    let allowed = match decorator("allowed") {
                        Some([Value::List(values)]) => {
                            values.iter().filter_map(Value::text).map(str::to_owned).collect()
                        }
                        _ => Vec::new(),
                    };
                    self.params.push(Param {
                        name: name(),
                        default: assigned(node).map(|node| value(node, source)),
                        allowed,
                        is_described: is_described(&calls),
                        is_secure: decorator("secure").is_some(),
                    });
                }
                "variable_declaration" => {
                    self.variables.extend(assigned(node).map(|node| (name(), value(node, source))));
                }
                "output_declaration" => {
                    if !is_described(&calls(decorators, source)) {
                        self.silent_outputs.push(name());
                    }
                    self.outputs.extend(assigned(node).map(|node| (name(), value(node, source))));
                }
                "resource_declaration" => self.resource(node, source, None),
                "module_declaration" => {
                    let (body, each_of) = in_loop(assigned(node).map(|node| value(node, source)).expect("a body"));
                    let path = node.child(2).map(|path| value(path, source));
                    let path = path.as_ref().and_then(Value::text).expect("a module has a path").to_owned();
                    self.modules.push(Module {
                        condition: condition(node, source),
                        each_of,
                        waits_for: body.get("dependsOn").map(written),
                        name: body.get("name").map(written),
                        symbol: name(),
                        path: self.path.with_file_name(path),
                        params: body.get("params").cloned().unwrap_or(Value::Object(Vec::new())),
                    });
                }
                _ => {}
            }
            decorators = None;
        }
    }

    fn resource(&mut self, node: Node, source: &str, around: Option<&str>) {
        let own = node.child(2).map(|own| value(own, source));
        let own = own.as_ref().and_then(Value::text).expect("a resource has a type").to_owned();
        let type_name = match around.and_then(|around| around.split_once('@')) {
            Some((around, version)) => format!("{around}/{own}@{version}"),
            None => own,
        };
        let body = assigned(node).expect("a resource has a body");
        self.nested(body, source, &type_name);
        let (body, each_of) = in_loop(value(body, source));
        self.resources.push(Resource {
            symbol: text_of(identifier(node), source).to_owned(),
            type_name,
            is_existing: children(node).any(|child| child.kind() == "existing"),
            condition: condition(node, source),
            each_of,
            body,
        });
    }

    /// Resources that stand in the body of another.
    fn nested(&mut self, body: Node, source: &str, around: &str) {
        for node in children(body) {
            match node.kind() {
                "resource_declaration" => self.resource(node, source, Some(around)),
                "object" | "object_property" | "for_statement" | "if_statement" => self.nested(node, source, around),
                _ => {}
            }
        }
    }

    fn visit(&mut self, node: Node, source: &str) {
        let text = text_of(node, source);
        let line = node.start_position().row + 1;
        if node.is_error() || node.is_missing() {
            self.errors.push(format!("{}:{line}: {text:?}", self.path.display()));
        }
        match node.kind() {
            "identifier" if is_reference(node) => drop(self.references.insert((text.to_owned(), line))),
            "loop_variable" | "loop_enumerator" => drop(self.locals.insert(text.to_owned())),
            "for_statement" | "lambda_expression" => {
                let variable = children(node).find(|child| child.kind() == "identifier");
                self.locals.extend(variable.map(|variable| text_of(variable, source).to_owned()));
            }
            "member_expression" => {
                let path: Vec<&str> = text.split(['.', '?']).filter(|part| !part.is_empty()).collect();
                if let [module, "outputs", name] = path[..] {
                    // Of a loop it is one of many.
                    let module = module.split('[').next().unwrap_or(module);
                    self.module_outputs.insert((module.to_owned(), name.to_owned()));
                }
            }
            _ => {}
        }
        children(node).for_each(|child| self.visit(child, source));
    }
}

/// The calls of decorators.
fn calls(decorators: Option<Node>, source: &str) -> Vec<Value> {
    let decorators = decorators.into_iter().flat_map(children);
    decorators.filter_map(|decorator| children(decorator).nth(1).map(|call| value(call, source))).collect()
}

fn is_described(calls: &[Value]) -> bool {
    calls.iter().any(|call| match call {
        Value::Call(name, text) => name == "description" && *text != [Value::Text(String::new())],
        _ => false,
    })
}

fn children(node: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    (0..node.child_count()).filter_map(move |index| node.child(index))
}

fn text_of<'a>(node: Node, source: &'a str) -> &'a str {
    &source[node.byte_range()]
}

/// The name of a declaration.
fn identifier(declaration: Node) -> Node {
    declaration.child(1).expect("a declaration has a name")
}

/// What the deployment of a declaration depends on.
fn condition(declaration: Node, source: &str) -> Option<String> {
    let condition = children(declaration).find(|child| child.kind() == "if_statement")?.child(1)?;
    let text = text_of(condition, source);
    Some(text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text).to_owned())
}

/// What is declared in each round of a loop, and what the loop goes over.
fn in_loop(body: Value) -> (Value, Option<String>) {
    match body {
        Value::Each(element, over) => (*element, Some(over)),
        body => (body, None),
    }
}

/// What stands behind the `=` of a declaration; the body, if a condition stands before it.
fn assigned(declaration: Node) -> Option<Node> {
    let value = children(declaration).skip_while(|child| child.kind() != "=").nth(1)?;
    if value.kind() == "if_statement" { children(value).find(|child| child.kind() == "object") } else { Some(value) }
}

/// Whether an identifier refers to something, and is neither the name of what is declared nor of a property or function.
fn is_reference(node: Node) -> bool {
    let Some(parent) = node.parent() else { return false };
    let is_first = parent.child(0) == Some(node);
    match parent.kind() {
        kind if kind.ends_with("_declaration") => parent.child(1) != Some(node),
        "object_property" | "call_expression" => !is_first,
        "resource_expression" => is_first,
        _ => true,
    }
}

fn value(node: Node, source: &str) -> Value {
    let parts = |node: Node| -> Vec<Value> {
        children(node)
            .filter(|child| child.is_named() && child.kind() != "comment")
            .map(|child| value(child, source))
            .collect()
    };
    let other = || Value::Other(text_of(node, source).to_owned());
    match node.kind() {
        "string" => {
            let mut text = String::new();
            for part in children(node) {
                match part.kind() {
                    "string_content" => text.push_str(text_of(part, source)),
                    "escape_sequence" => text.push_str(&text_of(part, source)[1..]),
                    "interpolation" => return other(),
                    _ => {}
                }
            }
            Value::Text(text)
        }
        "number" => text_of(node, source).parse().map_or_else(|_| other(), Value::Number),
        "boolean" => Value::Bool(text_of(node, source) == "true"),
        "array" => Value::List(parts(node)),
        "for_statement" => {
            let over = children(node).skip_while(|child| child.kind() != "in").nth(1);
            let over = over.map_or_else(String::new, |over| text_of(over, source).to_owned());
            let body = children(node).filter(Node::is_named).last();
            body.map_or_else(other, |body| Value::Each(value(body, source).into(), over))
        }
        "object" => {
            let properties = children(node).filter(|child| child.kind() == "object_property");
            let pair = |property: Node| {
                let key = property.child(0).filter(|key| key.kind() != "resource_declaration")?;
                let name = match value(key, source) {
                    Value::Text(text) => text,
                    _ => text_of(key, source).to_owned(),
                };
                Some((name, value(children(property).last()?, source)))
            };
            Value::Object(properties.filter_map(pair).collect())
        }
        "ternary_expression" => Value::Either(
            node.child(0).map_or("", |condition| text_of(condition, source)).to_owned(),
            parts(node).into_iter().skip(1).collect(),
        ),
        "call_expression" => {
            let arguments = children(node).find(|child| child.kind() == "arguments").map(parts);
            Value::Call(text_of(node.child(0).unwrap_or(node), source).to_owned(), arguments.unwrap_or_default())
        }
        _ => other(),
    }
}

/// A value as it would be written.
pub(crate) fn written(value: &Value) -> String {
    let all = |values: &[Value]| values.iter().map(written).collect::<Vec<_>>().join(", ");
    match value {
        Value::Text(text) => format!("'{text}'"),
        Value::Number(number) => number.to_string(),
        Value::Bool(is) => is.to_string(),
        Value::List(values) => format!("[{}]", all(values)),
        Value::Each(element, over) => format!("[for {over}: {}]", written(element)),
        Value::Object(properties) => {
            let pairs = properties.iter().map(|(name, value)| format!("{name}: {}", written(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Either(condition, values) => {
            format!("{condition} ? {}", values.iter().map(written).collect::<Vec<_>>().join(" : "))
        }
        Value::Call(function, arguments) => format!("{function}({})", all(arguments)),
        Value::Other(text) => text.clone(),
    }
}
