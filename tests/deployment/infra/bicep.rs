//! Parses Bicep files as far as the tests need: declarations, references, values.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use tree_sitter::{Node, Parser};

/// An expression. Parts that the tests do not inspect are plain text.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Value {
    Text(String),
    Number(i64),
    Bool(bool),
    List(Vec<Value>),
    /// The element of a loop, and the loop's source.
    Each(Box<Value>, String),
    Object(Vec<(String, Value)>),
    /// A condition with its two branches.
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

    /// Returns the value at a path of properties, such as `properties.sku.name`.
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
    /// The allowed values of its decorator.
    pub(crate) allowed: Vec<String>,
    pub(crate) is_described: bool,
    /// Whether it is hidden in the deployment's history.
    pub(crate) is_secure: bool,
}

#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) symbol: String,
    /// Type and version, including those of its parent resources: `Microsoft.Storage/storageAccounts@2025-01-01`.
    pub(crate) type_name: String,
    pub(crate) is_existing: bool,
    /// The condition of its deployment, if it has one.
    pub(crate) condition: Option<String>,
    /// The source of its loop, if it has one.
    pub(crate) loop_source: Option<String>,
    pub(crate) body: Value,
    /// The declaration, with the resources that are nested in it.
    pub(crate) source: String,
}

#[derive(Debug)]
pub(crate) struct Module {
    pub(crate) symbol: String,
    pub(crate) path: PathBuf,
    /// The condition of its deployment, if it has one.
    pub(crate) condition: Option<String>,
    /// The source of its loop, if it has one.
    pub(crate) loop_source: Option<String>,
    /// Its explicit dependencies.
    pub(crate) waits_for: Option<String>,
    /// The name of its deployment.
    pub(crate) name: Option<String>,
    pub(crate) params: Value,
}

/// A Bicep file.
#[derive(Debug, Default)]
pub(crate) struct Template {
    pub(crate) path: PathBuf,
    /// Syntax errors.
    pub(crate) syntax_errors: Vec<String>,
    pub(crate) params: Vec<Param>,
    pub(crate) variables: Vec<(String, Value)>,
    pub(crate) resources: Vec<Resource>,
    pub(crate) modules: Vec<Module>,
    pub(crate) outputs: Vec<(String, Value)>,
    /// The outputs without a description.
    pub(crate) silent_outputs: Vec<String>,
    /// Every identifier that refers to a declaration, with its line.
    pub(crate) references: BTreeSet<(String, usize)>,
    /// `module.outputs.name` and `module[0].outputs.name`, as module and name.
    pub(crate) module_outputs: BTreeSet<(String, String)>,
    /// Variables of loops and lambdas.
    pub(crate) locals: BTreeSet<String>,
}

impl Template {
    /// Parses the text of a file.
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
            let name = || source_text(identifier(node), source).to_owned();
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
                        default: assigned_body(node).map(|node| value(node, source)),
                        allowed,
                        is_described: is_described(&calls),
                        is_secure: decorator("secure").is_some(),
                    });
                }
                "variable_declaration" => {
                    self.variables.extend(assigned_body(node).map(|node| (name(), value(node, source))));
                }
                "output_declaration" => {
                    if !is_described(&calls(decorators, source)) {
                        self.silent_outputs.push(name());
                    }
                    self.outputs.extend(assigned_body(node).map(|node| (name(), value(node, source))));
                }
                "resource_declaration" => self.resource(node, source, None),
                "module_declaration" => {
                    let (body, loop_source) =
                        unwrap_loop(assigned_body(node).map(|node| value(node, source)).expect("a body"));
                    let path = node.child(2).map(|path| value(path, source));
                    let path = path.as_ref().and_then(Value::text).expect("a module has a path").to_owned();
                    self.modules.push(Module {
                        condition: condition(node, source),
                        loop_source,
                        waits_for: body.get("dependsOn").map(to_source),
                        name: body.get("name").map(to_source),
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
        let body = assigned_body(node).expect("a resource has a body");
        self.nested(body, source, &type_name);
        let (body, loop_source) = unwrap_loop(value(body, source));
        self.resources.push(Resource {
            symbol: source_text(identifier(node), source).to_owned(),
            type_name,
            is_existing: children(node).any(|child| child.kind() == "existing"),
            condition: condition(node, source),
            loop_source,
            body,
            source: source_text(node, source).to_owned(),
        });
    }

    /// Resources nested in another one.
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
        let text = source_text(node, source);
        let line = node.start_position().row + 1;
        if node.is_error() || node.is_missing() {
            self.syntax_errors.push(format!("{}:{line}: {text:?}", self.path.display()));
        }
        match node.kind() {
            "identifier" if is_reference(node) => drop(self.references.insert((text.to_owned(), line))),
            "loop_variable" | "loop_enumerator" => drop(self.locals.insert(text.to_owned())),
            "for_statement" | "lambda_expression" => {
                let variable = children(node).find(|child| child.kind() == "identifier");
                self.locals.extend(variable.map(|variable| source_text(variable, source).to_owned()));
            }
            "member_expression" => {
                let path: Vec<&str> = text.split(['.', '?']).filter(|part| !part.is_empty()).collect();
                if let [module, "outputs", name] = path[..] {
                    // In a loop it is one of many.
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

fn source_text<'a>(node: Node, source: &'a str) -> &'a str {
    &source[node.byte_range()]
}

/// The name of a declaration.
fn identifier(declaration: Node) -> Node {
    declaration.child(1).expect("a declaration has a name")
}

/// Returns the condition of a declaration.
fn condition(declaration: Node, source: &str) -> Option<String> {
    let condition = children(declaration).find(|child| child.kind() == "if_statement")?.child(1)?;
    let text = source_text(condition, source);
    Some(text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text).to_owned())
}

/// Returns the body of a loop and the loop's source; the value itself if it is not a loop.
fn unwrap_loop(body: Value) -> (Value, Option<String>) {
    match body {
        Value::Each(element, over) => (*element, Some(over)),
        body => (body, None),
    }
}

/// Returns the value after the `=` of a declaration, or the body after its condition.
fn assigned_body(declaration: Node) -> Option<Node> {
    let value = children(declaration).skip_while(|child| child.kind() != "=").nth(1)?;
    if value.kind() == "if_statement" { children(value).find(|child| child.kind() == "object") } else { Some(value) }
}

/// Returns whether an identifier is a reference, and not the name of a declaration, property or function.
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
    let other = || Value::Other(source_text(node, source).to_owned());
    match node.kind() {
        "string" => {
            let mut text = String::new();
            for part in children(node) {
                match part.kind() {
                    "string_content" => text.push_str(source_text(part, source)),
                    "escape_sequence" => text.push_str(&source_text(part, source)[1..]),
                    "interpolation" => return other(),
                    _ => {}
                }
            }
            Value::Text(text)
        }
        "number" => source_text(node, source).parse().map_or_else(|_| other(), Value::Number),
        "boolean" => Value::Bool(source_text(node, source) == "true"),
        "array" => Value::List(parts(node)),
        "for_statement" => {
            let over = children(node).skip_while(|child| child.kind() != "in").nth(1);
            let over = over.map_or_else(String::new, |over| source_text(over, source).to_owned());
            let body = children(node).filter(Node::is_named).last();
            body.map_or_else(other, |body| Value::Each(value(body, source).into(), over))
        }
        "object" => {
            let properties = children(node).filter(|child| child.kind() == "object_property");
            let pair = |property: Node| {
                let key = property.child(0).filter(|key| key.kind() != "resource_declaration")?;
                let name = match value(key, source) {
                    Value::Text(text) => text,
                    _ => source_text(key, source).to_owned(),
                };
                Some((name, value(children(property).last()?, source)))
            };
            Value::Object(properties.filter_map(pair).collect())
        }
        "ternary_expression" => Value::Either(
            node.child(0).map_or("", |condition| source_text(condition, source)).to_owned(),
            parts(node).into_iter().skip(1).collect(),
        ),
        "call_expression" => {
            let arguments = children(node).find(|child| child.kind() == "arguments").map(parts);
            Value::Call(source_text(node.child(0).unwrap_or(node), source).to_owned(), arguments.unwrap_or_default())
        }
        _ => other(),
    }
}

/// Returns the source text of a value.
pub(crate) fn to_source(value: &Value) -> String {
    let all = |values: &[Value]| values.iter().map(to_source).collect::<Vec<_>>().join(", ");
    match value {
        Value::Text(text) => format!("'{text}'"),
        Value::Number(number) => number.to_string(),
        Value::Bool(expect) => expect.to_string(),
        Value::List(values) => format!("[{}]", all(values)),
        Value::Each(element, over) => format!("[for {over}: {}]", to_source(element)),
        Value::Object(properties) => {
            let pairs = properties.iter().map(|(name, value)| format!("{name}: {}", to_source(value)));
            format!("{{{}}}", pairs.collect::<Vec<_>>().join(", "))
        }
        Value::Either(condition, values) => {
            format!("{condition} ? {}", values.iter().map(to_source).collect::<Vec<_>>().join(" : "))
        }
        Value::Call(function, arguments) => format!("{function}({})", all(arguments)),
        Value::Other(text) => text.clone(),
    }
}
