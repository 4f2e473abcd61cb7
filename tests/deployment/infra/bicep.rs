//! Parses Bicep files as far as the tests need: declarations, references, values.

use std::{
    collections::BTreeSet,
    path::{Path, PathBuf},
};

use tree_sitter::{Node, Parser};

use super::grammar::{
    Loop, Part, assigned_body, children, condition, elements, identifier, is_reference, last_operand, loop_variables,
    source_text, string_parts,
};

/// The decorators that limit a parameter.
pub(crate) const LIMITS: [&str; 4] = ["minValue", "maxValue", "minLength", "maxLength"];

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
    /// `string`, `int`, `bool`, `array` or `object`.
    pub(crate) type_name: String,
    pub(crate) default: Option<Value>,
    /// The allowed values of its decorator.
    pub(crate) allowed: Vec<String>,
    /// The limits of its decorators, such as `minValue` and 2.
    pub(crate) limits: Vec<(String, i64)>,
    pub(crate) is_described: bool,
    /// Whether it is hidden in the deployment's history.
    pub(crate) is_secure: bool,
}

#[derive(Debug)]
pub(crate) struct Resource {
    pub(crate) symbol: String,
    /// Type and version, including those of its parent resources: `Microsoft.Storage/storageAccounts@2025-01-01`.
    pub(crate) type_name: String,
    /// The symbol of the resource in which it is nested, after those of the resources in which that one is.
    pub(crate) nested_in: Option<String>,
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
    /// The loops, with their variables.
    pub(crate) loops: Vec<Loop>,
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

    /// Returns the name of its file, such as `main` or `documents`.
    pub(crate) fn name(&self) -> &str {
        self.path.file_stem().and_then(|name| name.to_str()).expect("a name")
    }

    pub(crate) fn param(&self, name: &str) -> Option<&Param> {
        self.params.iter().find(|param| param.name == name)
    }

    pub(crate) fn variable(&self, name: &str) -> Option<&Value> {
        self.variables.iter().find(|(variable, _)| variable == name).map(|(_, value)| value)
    }

    pub(crate) fn module(&self, symbol: &str) -> Option<&Module> {
        self.modules.iter().find(|module| module.symbol == symbol)
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
                        Some([Value::List(values)]) => values
                            .iter()
                            .map(|value| value.text().map_or_else(|| to_source(value), str::to_owned))
                            .collect(),
                        _ => Vec::new(),
                    };
                    let limits = LIMITS.into_iter().filter_map(|limit| match decorator(limit) {
                        Some([Value::Number(number)]) => Some((limit.to_owned(), *number)),
                        _ => None,
                    });
                    self.params.push(Param {
                        name: name(),
                        type_name: node.child(2).map_or("", |own| source_text(own, source)).to_owned(),
                        default: assigned_body(node).map(|node| value(node, source)),
                        allowed,
                        limits: limits.collect(),
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

    /// Reads a resource; `around` is the symbol and type of the one in which it is nested.
    fn resource(&mut self, node: Node, source: &str, around: Option<(&str, &str)>) {
        let own = node.child(2).map(|own| value(own, source));
        let own = own.as_ref().and_then(Value::text).expect("a resource has a type").to_owned();
        let type_name = match around.and_then(|(_, around)| around.split_once('@')) {
            Some((around, version)) => format!("{around}/{own}@{version}"),
            None => own,
        };
        let body = assigned_body(node).expect("a resource has a body");
        let symbol = source_text(identifier(node), source);
        let path = around.map_or_else(|| symbol.to_owned(), |(around, _)| format!("{around}::{symbol}"));
        self.nested(body, source, (&path, &type_name));
        let (body, loop_source) = unwrap_loop(value(body, source));
        self.resources.push(Resource {
            symbol: symbol.to_owned(),
            type_name,
            nested_in: around.map(|(symbol, _)| symbol.to_owned()),
            is_existing: children(node).any(|child| child.kind() == "existing"),
            condition: condition(node, source),
            loop_source,
            body,
            source: source_text(node, source).to_owned(),
        });
    }

    /// Resources nested in another one.
    fn nested(&mut self, body: Node, source: &str, around: (&str, &str)) {
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
                self.loops.extend(loop_variables(node, source));
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

/// Returns the body of a loop and the loop's source; the value itself if it is not a loop.
fn unwrap_loop(body: Value) -> (Value, Option<String>) {
    match body {
        Value::Each(element, over) => (*element, Some(over)),
        body => (body, None),
    }
}

/// Reads the text of an expression.
pub(super) fn read_expression(text: &str) -> Value {
    Template::parse(Path::new(""), &format!("var expression = {text}\n")).variables.remove(0).1
}

fn value(node: Node, source: &str) -> Value {
    let parts = |node: Node| -> Vec<Value> {
        children(node)
            .filter(|child| child.is_named() && child.kind() != "comment")
            .map(|child| value(child, source))
            .collect()
    };
    // An expression may be broken into lines.
    let other = || Value::Other(source_text(node, source).lines().map(str::trim).collect::<Vec<_>>().join(" "));
    match node.kind() {
        "string" => {
            let mut text = String::new();
            for part in string_parts(node, source) {
                match part {
                    Part::Text(part) => text.push_str(&part),
                    Part::Interpolation(_) => return other(),
                }
            }
            // The grammar leaves out a content of spaces only.
            if text.is_empty() {
                source_text(node, source).trim_matches('\'').clone_into(&mut text);
            }
            Value::Text(text)
        }
        "number" => source_text(node, source).parse().map_or_else(|_| other(), Value::Number),
        "boolean" => Value::Bool(source_text(node, source) == "true"),
        "array" => {
            let whole = parts(node);
            let elements = elements(node, source);
            let is_divided = whole.len() != elements.len();
            Value::List(if is_divided { elements.into_iter().map(read_expression).collect() } else { whole })
        }
        "member_expression" | "subscript_expression" => {
            let Some(operand) = last_operand(node) else { return other() };
            let ternary = operand.parent().filter(|parent| parent.kind() == "ternary_expression");
            let Some([condition, first]) = ternary.map(|ternary| [0, 2].map(|part| ternary.child(part))) else {
                return other();
            };
            let (Some(condition), Some(first)) = (condition, first) else { return other() };
            let second = read_expression(&source[operand.start_byte()..node.end_byte()]);
            Value::Either(source_text(condition, source).to_owned(), vec![value(first, source), second])
        }
        "for_statement" => {
            let over = children(node).skip_while(|child| child.kind() != "in").nth(1);
            let over = over.map_or_else(String::new, |over| source_text(over, source).to_owned());
            let body = children(node).filter(Node::is_named).last();
            let body =
                body.and_then(|body| if body.kind() == "if_statement" { children(body).last() } else { Some(body) });
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
