//! The nodes of tree-sitter's grammar of Bicep, and what it reads otherwise than Bicep's compiler does.

use std::ops::Range;

use tree_sitter::Node;

/// The variables of a loop.
#[derive(Debug)]
pub(crate) struct Loop {
    /// The loop's source.
    pub(crate) over: String,
    pub(crate) item: String,
    pub(crate) index: Option<String>,
}

/// Returns the children of a node, with and without a name.
pub(super) fn children(node: Node<'_>) -> impl Iterator<Item = Node<'_>> {
    (0..node.child_count()).filter_map(move |index| node.child(index))
}

/// Returns the text of a node.
pub(super) fn source_text<'a>(node: Node, source: &'a str) -> &'a str {
    &source[node.byte_range()]
}

/// Returns the variables of a `for`; `None` of a lambda.
pub(super) fn loop_variables(node: Node, source: &str) -> Option<Loop> {
    let text = |node| source_text(node, source).to_owned();
    let over = children(node).skip_while(|child| child.kind() != "in").nth(1).map(text)?;
    let names = children(node).find(|child| child.kind() == "for_loop_parameters");
    let name = |kind: &str| children(names.unwrap_or(node)).find(|child| child.kind() == kind).map(text);
    let item = name("loop_variable").or_else(|| name("identifier"))?;
    Some(Loop { over, item, index: name("loop_enumerator") })
}

/// A part of a string.
pub(super) enum Part<'a> {
    Text(String),
    Interpolation(Node<'a>),
}

/// Returns the parts of a string. The grammar has spaces at the start of a text in the node that follows.
pub(super) fn string_parts<'a>(string: Node<'a>, source: &str) -> Vec<Part<'a>> {
    let mut parts = Vec::new();
    for part in children(string) {
        let text = source_text(part, source);
        let token = if part.kind() == "string_content" { "" } else { text.trim_start() };
        parts.push(Part::Text(text[..text.len() - token.len()].to_owned()));
        match part.kind() {
            "escape_sequence" => parts.push(Part::Text(unescaped(token))),
            "interpolation" => parts.push(Part::Interpolation(part)),
            _ => {}
        }
    }
    parts
}

/// Returns what an escape sequence of a string stands for.
fn unescaped(sequence: &str) -> String {
    match &sequence[1..] {
        "n" => "\n".to_owned(),
        "r" => "\r".to_owned(),
        "t" => "\t".to_owned(),
        code => {
            let code_point =
                code.strip_prefix("u{").and_then(|code| u32::from_str_radix(code.strip_suffix('}')?, 16).ok());
            code_point.and_then(char::from_u32).map_or_else(|| code.to_owned(), |character| character.to_string())
        }
    }
}

/// Returns the texts of an array's elements. The grammar divides a call in an array, `[deployer().objectId]`, into two elements
/// without anything between them.
pub(super) fn elements<'a>(array: Node, source: &'a str) -> Vec<&'a str> {
    let mut ranges: Vec<Range<usize>> = Vec::new();
    for element in children(array).filter(|child| child.is_named() && child.kind() != "comment") {
        match ranges.last_mut().filter(|last| last.end == element.start_byte()) {
            Some(last) => last.end = element.end_byte(),
            None => ranges.push(element.byte_range()),
        }
    }
    ranges.into_iter().map(|range| &source[range]).collect()
}

/// Returns the operand to which a property or an index belongs, where the grammar has it of the whole expression: it reads
/// `a ? b : c.d` as `(a ? b : c).d`.
pub(super) fn last_operand(node: Node) -> Option<Node> {
    let is_postfix = |node: &Node| matches!(node.kind(), "member_expression" | "subscript_expression");
    let is_operator = |node: &Node| {
        matches!(node.kind(), "ternary_expression" | "binary_expression" | "unary_expression" | "lambda_expression")
    };
    let mut inner = Some(node).filter(is_postfix)?;
    while is_postfix(&inner) {
        inner = inner.child_by_field_name("object")?;
    }
    let mut inner = Some(inner).filter(is_operator)?;
    while is_operator(&inner) {
        inner = children(inner).last()?;
    }
    Some(inner)
}

/// Returns the name of a declaration.
pub(super) fn identifier(declaration: Node) -> Node {
    declaration.child(1).expect("a declaration has a name")
}

/// Returns whether an identifier is a reference, and not the name of a declaration, property or function.
pub(super) fn is_reference(node: Node) -> bool {
    let Some(parent) = node.parent() else { return false };
    let is_first = parent.child(0) == Some(node);
    match parent.kind() {
        kind if kind.ends_with("_declaration") => parent.child(1) != Some(node),
        "object_property" | "call_expression" => !is_first,
        "resource_expression" => is_first,
        // Of a call that the grammar divides.
        "array" => node.next_sibling().is_none_or(|next| next.start_byte() != node.end_byte() || next.kind() == "]"),
        _ => true,
    }
}

/// Returns the condition of a declaration.
pub(super) fn condition(declaration: Node, source: &str) -> Option<String> {
    // Of a loop, the condition of each element.
    let in_loop = children(declaration).filter(|child| child.kind() == "for_statement").flat_map(children);
    let mut parts = children(declaration).chain(in_loop);
    let condition = parts.find(|child| child.kind() == "if_statement")?.child(1)?;
    let text = source_text(condition, source);
    Some(text.strip_prefix('(').and_then(|text| text.strip_suffix(')')).unwrap_or(text).to_owned())
}

/// Returns the value after the `=` of a declaration, or the body after its condition.
pub(super) fn assigned_body(declaration: Node) -> Option<Node> {
    let value = children(declaration).skip_while(|child| child.kind() != "=").nth(1)?;
    if value.kind() == "if_statement" { children(value).find(|child| child.kind() == "object") } else { Some(value) }
}

/// Returns the function of Azure Resource Manager that an operator stands for.
pub(super) fn operator_function(operator: &str) -> Option<&'static str> {
    Some(match operator {
        "&&" => "and",
        "||" => "or",
        "==" => "equals",
        ">" => "greater",
        ">=" => "greaterOrEquals",
        "<" => "less",
        "<=" => "lessOrEquals",
        "+" => "add",
        "-" => "sub",
        "*" => "mul",
        "/" => "div",
        "%" => "mod",
        "??" => "coalesce",
        _ => return None,
    })
}
