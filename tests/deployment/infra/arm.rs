//! Translates what the reader of Bicep read into the expressions of Azure Resource Manager that Bicep's compiler writes.
//!
//! An expression with a form that is not translated here gives `None`: it is then not compared.

use serde_json::Value as Json;
use tree_sitter::{Node, Parser};

use super::{
    bicep::{Module, Resource, Template, Value},
    compiled::json::is_expression,
    grammar::{Part, children, elements, last_operand, operator_function, source_text, string_parts},
};

/// A place in a template: its declarations, and the loops and lambdas around.
#[derive(Clone)]
pub(super) struct Scope<'a> {
    template: &'a Template,
    compiled: &'a Json,
    /// The sources of the loops, outermost first, with the expression of each one's index.
    loops: Vec<(String, String)>,
    lambda_variables: Vec<String>,
}

impl<'a> Scope<'a> {
    /// Creates the scope of a template, and of what the compiler made of it.
    pub(super) fn new(template: &'a Template, compiled: &'a Json) -> Self {
        Self { template, compiled, loops: Vec::new(), lambda_variables: Vec::new() }
    }

    /// Returns the scope in a loop. `index` is the expression of its index, such as `copyIndex()`.
    pub(super) fn in_loop(&self, over: &str, index: &str) -> Self {
        let mut scope = self.clone();
        scope.loops.push((over.to_owned(), index.to_owned()));
        scope
    }

    /// Returns whether the compiler kept a variable; otherwise it put its value where the variable is used.
    pub(super) fn keeps_variable(&self, name: &str) -> bool {
        let variables = &self.compiled["variables"];
        let loops = variables["copy"].as_array().into_iter().flatten();
        !variables[name].is_null() || loops.into_iter().any(|each| each["name"] == name)
    }

    /// Returns the full name of a resource: that of its parents, too.
    pub(super) fn name(&self, resource: &Resource) -> Option<String> {
        Some(match self.names(resource)?.as_slice() {
            [name] => name.clone(),
            names => {
                let places: Vec<_> = (0..names.len()).map(|place| format!("{{{place}}}")).collect();
                format!("format('{}', {})", places.join("/"), names.join(", "))
            }
        })
    }

    /// Returns the resource in which another one is nested.
    pub(super) fn around(&self, resource: &Resource) -> Option<&'a Resource> {
        self.find_resource(resource.nested_in.as_deref()?)
    }

    /// Returns what the compiler writes for a dependency on a resource or module.
    pub(super) fn dependency(&self, symbol: &str) -> Option<String> {
        if let Some(module) = self.template.module(symbol) {
            return match module.loop_source {
                Some(_) => Some(symbol.to_owned()),
                None => Some(format!("[{}]", self.deployment_id(module)?)),
            };
        }
        let resource = self.find_resource(symbol)?;
        match resource.loop_source {
            Some(_) => Some(symbol_path(resource)),
            None => Some(format!("[{}]", self.id(resource)?)),
        }
    }

    /// Translates a value.
    pub(super) fn value(&self, value: &Value) -> Option<String> {
        let all = |values: &[Value]| values.iter().map(|value| self.value(value)).collect::<Option<Vec<_>>>();
        match value {
            Value::Text(text) => Some(literal(text)),
            Value::Number(number) => Some(number.to_string()),
            Value::Bool(bool) => Some(format!("{bool}()")),
            Value::List(values) => Some(call("createArray", &all(values)?)),
            Value::Object(properties) => {
                let pairs = properties.iter().map(|(name, value)| Some([self.key(name)?, self.value(value)?]));
                Some(call("createObject", &pairs.collect::<Option<Vec<_>>>()?.concat()))
            }
            Value::Either(condition, values) => Some(call("if", &[vec![self.text(condition)?], all(values)?].concat())),
            Value::Call(name, arguments) => named_call(name, || all(arguments)),
            Value::Other(text) => self.text(text),
            Value::Each(..) => None,
        }
    }

    /// Translates the source text of an expression.
    pub(super) fn text(&self, text: &str) -> Option<String> {
        let source = format!("var parsed = {text}\n");
        let mut parser = Parser::new();
        parser.set_language(&tree_sitter_bicep::LANGUAGE.into()).ok()?;
        let tree = parser.parse(&source, None)?;
        if tree.root_node().has_error() {
            return None;
        }
        let declaration = children(tree.root_node()).find(|node| node.kind() == "variable_declaration")?;
        self.node(children(declaration).last()?, &source)
    }

    /// Translates the name of a property.
    pub(super) fn key(&self, name: &str) -> Option<String> {
        if name.starts_with('\'') { self.text(name) } else { Some(literal(name)) }
    }

    fn node(&self, node: Node, source: &str) -> Option<String> {
        let field = |name: &str| self.node(node.child_by_field_name(name)?, source);
        let parts = || children(node).filter(|child| child.is_named() && child.kind() != "comment");
        let all = || parts().map(|part| self.node(part, source)).collect::<Option<Vec<_>>>();
        let text = source_text(node, source);
        if let Some(operand) = last_operand(node) {
            let (before, after) = (node.start_byte(), operand.start_byte());
            return self.text(&format!("{}({})", &source[before..after], &source[after..node.end_byte()]));
        }
        match node.kind() {
            "string" => self.string(node, source),
            "number" => Some(text.to_owned()),
            "boolean" | "null" => Some(format!("{text}()")),
            "identifier" => self.identifier(text),
            "parenthesized_expression" => all()?.pop(),
            "array" => {
                let elements = elements(node, source).into_iter().map(|text| self.text(text));
                Some(call("createArray", &elements.collect::<Option<Vec<_>>>()?))
            }
            "ternary_expression" => Some(call("if", &all()?)),
            "object" => {
                let pair = |property: Node| {
                    let key = property.child(0)?;
                    let name = source_text(key, source);
                    let name = if key.kind() == "string" { self.text(name)? } else { literal(name) };
                    Some([name, self.node(children(property).last()?, source)?])
                };
                Some(call("createObject", &parts().map(pair).collect::<Option<Vec<_>>>()?.concat()))
            }
            "call_expression" => {
                let arguments = || {
                    let arguments = node.child_by_field_name("arguments")?;
                    let arguments = children(arguments).filter(|child| child.is_named() && child.kind() != "comment");
                    arguments.map(|argument| self.node(argument, source)).collect()
                };
                named_call(source_text(node.child_by_field_name("function")?, source), arguments)
            }
            "lambda_expression" => {
                let names = source_text(parts().next()?, source);
                let names: Vec<&str> = names.trim_matches(['(', ')']).split(',').map(str::trim).collect();
                let mut inner = self.clone();
                inner.lambda_variables.extend(names.iter().map(|name| (*name).to_owned()));
                let arguments = names.into_iter().map(literal).chain([inner.node(parts().last()?, source)?]);
                Some(call("lambda", &arguments.collect::<Vec<_>>()))
            }
            "unary_expression" => match (node.child(0)?.kind(), field("argument")?) {
                ("!", argument) => Some(call("not", &[argument])),
                (_, argument) if argument.parse::<i64>().is_ok() => Some(format!("-{argument}")),
                (_, argument) => Some(call("sub", &["0".to_owned(), argument])),
            },
            "binary_expression" => {
                let sides = [field("left")?, field("right")?];
                match source_text(node.child_by_field_name("operator")?, source) {
                    "!=" => Some(call("not", &[call("equals", &sides)])),
                    operator => Some(call(operator_function(operator)?, &sides)),
                }
            }
            "subscript_expression" => Some(format!("{}[{}]", field("object")?, field("index")?)),
            "member_expression" => self.members(node, source),
            _ => None,
        }
    }

    fn string(&self, node: Node, source: &str) -> Option<String> {
        let (mut text, mut format, mut values) = (String::new(), String::new(), Vec::new());
        for part in string_parts(node, source) {
            match part {
                Part::Text(literal) => {
                    text.push_str(&literal);
                    format.push_str(&literal.replace('{', "{{").replace('}', "}}"));
                }
                Part::Interpolation(part) => {
                    format.extend(["{", &values.len().to_string(), "}"]);
                    values.push(self.node(part.named_child(0)?, source)?);
                }
            }
        }
        if values.is_empty() {
            Some(literal(&text))
        } else {
            Some(call("format", &[vec![literal(&format)], values].concat()))
        }
    }

    fn identifier(&self, name: &str) -> Option<String> {
        if self.lambda_variables.iter().any(|variable| variable == name) {
            return Some(format!("lambdaVariables('{name}')"));
        }
        for (place, (over, index)) in self.loops.iter().enumerate().rev() {
            let variables = self.template.loops.iter().filter(|each| each.over == *over);
            for each in variables {
                if each.index.as_deref() == Some(name) {
                    return Some(index.clone());
                }
                if each.item == name {
                    let outside = Self { loops: self.loops[..place].to_vec(), ..self.clone() };
                    return Some(format!("{}[{index}]", outside.text(over)?));
                }
            }
        }
        if self.template.param(name).is_some() {
            return Some(format!("parameters('{name}')"));
        }
        if let Some(value) = self.template.variable(name) {
            return if self.keeps_variable(name) { Some(format!("variables('{name}')")) } else { self.value(value) };
        }
        // As a scope.
        self.id(self.find_resource(name)?)
    }

    /// Translates `object.property.property`.
    fn members(&self, node: Node, source: &str) -> Option<String> {
        let (mut object, mut path) = (node, Vec::new());
        while object.kind() == "member_expression" {
            if children(object).any(|child| child.kind() == "!") {
                return None;
            }
            let is_safe = children(object).any(|child| child.kind() == ".?");
            path.push((source_text(object.child_by_field_name("property")?, source), is_safe));
            object = object.child_by_field_name("object")?;
        }
        path.reverse();
        let (symbol, index) = match object.kind() {
            "subscript_expression" => {
                let index = object.child_by_field_name("index")?;
                (object.child_by_field_name("object")?, Some(self.node(index, source)?))
            }
            _ => (object, None),
        };
        let symbol = source_text(symbol, source);
        let is_local = self.lambda_variables.iter().any(|variable| variable == symbol);
        if let Some(resource) = self.find_resource(symbol).filter(|_| !is_local) {
            return self.property(resource, index, &path);
        }
        if let Some(module) = self.template.module(symbol).filter(|_| !is_local) {
            return self.output(module, index, &path);
        }
        Some(with_path(self.node(object, source)?, &path))
    }

    fn property(&self, resource: &Resource, index: Option<String>, path: &[(&str, bool)]) -> Option<String> {
        let scope = match (&resource.loop_source, index) {
            (Some(over), Some(index)) => Self { loops: vec![(over.clone(), index)], ..self.clone() },
            _ => self.clone(),
        };
        let version = literal(resource.type_name.split_once('@')?.1);
        match path {
            [("id", _)] => scope.id(resource),
            [("name", _)] => scope.names(resource)?.pop(),
            [("apiVersion", _)] => Some(version),
            [("type", _)] => Some(literal(resource.type_name.split('@').next()?)),
            [("properties", _), path @ ..] => Some(with_path(call("reference", &[scope.id(resource)?, version]), path)),
            path => Some(with_path(call("reference", &[scope.id(resource)?, version, literal("full")]), path)),
        }
    }

    fn output(&self, module: &Module, index: Option<String>, path: &[(&str, bool)]) -> Option<String> {
        let scope = match (&module.loop_source, index) {
            (Some(over), Some(index)) => Self { loops: vec![(over.clone(), index)], ..self.clone() },
            _ => self.clone(),
        };
        if let [("name", _)] = path {
            return scope.text(module.name.as_deref()?);
        }
        let [("outputs", is_safe), (output, _)] = path else { return None };
        let deployments = self.compiled["resources"].as_array()?;
        let version = deployments.iter().find(|resource| resource["type"] == DEPLOYMENT)?["apiVersion"].as_str()?;
        let reference = call("reference", &[scope.deployment_id(module)?, literal(version)]);
        if !is_safe {
            return Some(format!("{reference}.outputs.{output}.value"));
        }
        let reference = match &module.condition {
            Some(condition) => call("if", &[self.text(condition)?, reference, "null()".to_owned()]),
            None => reference,
        };
        Some(call("tryGet", &[reference, literal("outputs"), literal(output), literal("value")]))
    }

    /// Returns the compiled module with its name.
    pub(super) fn deployment(&self, module: &Module) -> Option<&'a Json> {
        let inner = module.loop_source.as_ref().map_or_else(|| self.clone(), |over| self.in_loop(over, "copyIndex()"));
        let name = inner.text(module.name.as_deref()?)?;
        let mut deployments =
            self.compiled["resources"].as_array()?.iter().filter(|resource| resource["type"] == DEPLOYMENT);
        deployments.find(|deployment| is_expression(&deployment["name"], &name))
    }

    fn deployment_id(&self, module: &Module) -> Option<String> {
        Some(call("resourceId", &[literal(DEPLOYMENT), self.text(module.name.as_deref()?)?]))
    }

    fn id(&self, resource: &Resource) -> Option<String> {
        // A resource of another one has another form of id.
        if resource.body.get("scope").is_some() {
            return None;
        }
        let type_name = resource.type_name.split('@').next()?;
        let names = match self.names(resource)?.as_slice() {
            [name] => {
                let parts = type_name.split('/').count() - 1;
                let part = |part| format!("split({name}, '/')[{part}]");
                if parts == 1 { vec![name.clone()] } else { (0..parts).map(part).collect() }
            }
            names => names.to_vec(),
        };
        Some(call("resourceId", &[vec![literal(type_name)], names].concat()))
    }

    /// Returns the names of the parents, and the resource's own.
    fn names(&self, resource: &Resource) -> Option<Vec<String>> {
        let parent = match resource.body.get("parent") {
            Some(Value::Other(parent)) => Some(self.find_resource(parent)?),
            _ => self.around(resource),
        };
        let mut names = parent.map_or(Some(Vec::new()), |parent| self.names(parent))?;
        names.push(self.value(resource.body.get("name")?)?);
        Some(names)
    }

    /// Returns the resource with this symbol: of a nested one all of its symbols, or the last ones in the resource around.
    fn find_resource(&self, symbol: &str) -> Option<&'a Resource> {
        let all = &self.template.resources;
        let nested = format!("::{symbol}");
        let exact = all.iter().find(|resource| symbol_path(resource) == symbol);
        exact.or_else(|| all.iter().find(|resource| symbol_path(resource).ends_with(&nested)))
    }
}

/// The type of a module.
pub(super) const DEPLOYMENT: &str = "Microsoft.Resources/deployments";

fn call(name: &str, arguments: &[String]) -> String {
    format!("{name}({})", arguments.join(", "))
}

/// Translates a call of a function.
fn named_call(name: &str, arguments: impl FnOnce() -> Option<Vec<String>>) -> Option<String> {
    match name.trim_start_matches("sys.").trim_start_matches("az.") {
        // The content of the file is a variable of the compiled template.
        "loadTextContent" | "loadJsonContent" => Some("variables('$fxv')".to_owned()),
        "any" => arguments()?.pop(),
        name if name.contains(['.', ':', '[']) => None,
        name => Some(call(name, &arguments()?)),
    }
}

/// Returns a resource's symbol, after those of the resources in which it is nested.
pub(super) fn symbol_path(resource: &Resource) -> String {
    let around = resource.nested_in.as_ref().map(|around| format!("{around}::"));
    around.unwrap_or_default() + &resource.symbol
}

/// Returns a text as a literal of an expression.
pub(super) fn literal(text: &str) -> String {
    format!("'{}'", text.replace('\'', "''"))
}

/// Returns the properties of an expression; those after `.?` may be missing.
fn with_path(object: String, path: &[(&str, bool)]) -> String {
    let safe_from = path.iter().position(|(_, is_safe)| *is_safe).unwrap_or(path.len());
    let (members, safe) = path.split_at(safe_from);
    let object = members.iter().fold(object, |object, (name, _)| format!("{object}.{name}"));
    let names: Vec<String> = safe.iter().map(|(name, _)| literal(name)).collect();
    if names.is_empty() { object } else { call("tryGet", &[vec![object], names].concat()) }
}
