//! Queries as the service reads and charges them, where Microsoft's store differs.
//!
//! * String literals: the service has the escapes of JSON, and both kinds of quotes. The store doubles a quote, and has no escapes.
//! * The index: the service refuses an order by a path that is not indexed, and reads all documents for a condition on one.
//! * The charge: the store charges 1 request unit for a page, whatever it reads.

use axum::http::{HeaderMap, Method};
use serde_json::Value;

use crate::{
    account::CollectedRequest,
    operation::{Kind, Operation},
};

/// A query in the dialect of the store.
pub(crate) struct Query {
    /// The body of the request to the store.
    pub(crate) body: Value,
    /// Whether only the plan of the query is requested.
    pub(crate) is_plan: bool,
    /// The members of documents after `WHERE`.
    condition: Vec<String>,
    /// The members of documents after `ORDER BY`.
    order: Vec<String>,
}

impl Query {
    /// Parses the query of a request; `None` if the request has no query.
    pub(crate) fn parse(request: &CollectedRequest) -> Option<Result<Self, String>> {
        let path = request.path_and_query.split('?').next().unwrap_or_default();
        let operation = Operation::parse(&request.method, path, &request.headers);
        let is_plan = is_plan(&request.headers);
        if request.method != Method::POST || !(operation.kind == Kind::Query || is_plan) {
            return None;
        }
        let mut body: Value = serde_json::from_slice(&request.body).ok()?;
        let tokens = match tokens(body["query"].as_str()?) {
            Ok(tokens) => tokens,
            Err(reason) => return Some(Err(reason)),
        };
        let keyword = |name: &str| {
            tokens.iter().rposition(|token| matches!(token, Token::Text(text) if text.eq_ignore_ascii_case(name)))
        };
        let order = keyword("ORDER").unwrap_or(tokens.len());
        let condition = keyword("WHERE").filter(|start| *start < order).unwrap_or(order);
        let (condition, order) = (members(&tokens[condition..order]), members(&tokens[order..]));
        body["query"] = tokens.iter().map(Token::to_store).collect::<String>().into();
        Some(Ok(Self { body, is_plan, condition, order }))
    }

    /// Returns whether the condition has a member that is not indexed.
    pub(crate) fn reads_all_documents(&self, index: &Index) -> bool {
        self.condition.iter().any(|member| !index.has(member))
    }

    /// Returns whether the order is by a member that is not indexed.
    pub(crate) fn has_unindexed_order(&self, index: &Index) -> bool {
        self.order.iter().any(|member| !index.has(member))
    }
}

fn is_plan(headers: &HeaderMap) -> bool {
    headers.get("x-ms-cosmos-is-query-plan-request").is_some_and(|value| value.as_bytes().eq_ignore_ascii_case(b"true"))
}

/// Returns a query of the store, such as the one of a plan, in the dialect of the service.
pub(crate) fn to_service(query: &str) -> String {
    let Some(pieces) = store_tokens(query) else { return query.to_owned() };
    pieces.iter().map(Token::to_service).collect()
}

/// Returns the request units of a page: 2.3, and 0.3 for each document that is loaded. This is a rule of this stand-in: the service
/// charges by sizes and the work for the condition as well.
#[expect(clippy::cast_precision_loss, reason = "small numbers")]
pub(crate) fn charge(loaded_documents: u64) -> f64 {
    2.3 + 0.3 * loaded_documents as f64
}

/// The members of documents that are indexed.
#[derive(Debug, Clone)]
pub(crate) struct Index(Vec<String>);

impl Index {
    /// Parses the paths of an index policy: `/*`, `/Heard/?` or `/"motor.temp"/?`.
    pub(crate) fn new(paths: &[String]) -> Self {
        let member = |path: &String| {
            let path = path.strip_prefix('/').unwrap_or(path);
            path.strip_suffix("/?").unwrap_or(path).trim_matches('"').to_owned()
        };
        Self(paths.iter().map(member).collect())
    }

    fn has(&self, member: &str) -> bool {
        // The service always has an index of these.
        matches!(member, "id" | "_ts") || self.0.iter().any(|indexed| indexed == "*" || indexed == member)
    }
}

/// A piece of a query.
enum Token {
    /// The value of a string literal.
    Literal(String),
    /// A word, or a character that belongs to none.
    Text(String),
}

impl Token {
    fn to_store(&self) -> String {
        match self {
            Self::Literal(value) => format!("'{}'", value.replace('\'', "''")),
            Self::Text(text) => text.clone(),
        }
    }

    fn to_service(&self) -> String {
        match self {
            // A string literal of JSON is one of the service.
            Self::Literal(value) => Value::from(value.as_str()).to_string(),
            Self::Text(text) => text.clone(),
        }
    }
}

/// Splits a query of the service into its pieces.
fn tokens(query: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let end = match first {
            '"' | '\'' => {
                let (value, end) = literal(rest)?;
                if rest[end..].starts_with(['"', '\'']) {
                    return Err("Syntax error: two string literals follow each other".into());
                }
                tokens.push(Token::Literal(value));
                end
            }
            _ => push_text(rest, first, &mut tokens),
        };
        rest = &rest[end..];
    }
    Ok(tokens)
}

/// Splits a query of the store into its pieces; `None` if a literal does not end.
fn store_tokens(query: &str) -> Option<Vec<Token>> {
    let mut tokens = Vec::new();
    let mut rest = query;
    while let Some(first) = rest.chars().next() {
        let end = if first == '\'' {
            let mut end = 1;
            loop {
                end += rest[end..].find('\'')? + 1;
                if !rest[end..].starts_with('\'') {
                    break;
                }
                end += 1;
            }
            tokens.push(Token::Literal(rest[1..end - 1].replace("''", "'")));
            end
        } else {
            push_text(rest, first, &mut tokens)
        };
        rest = &rest[end..];
    }
    Some(tokens)
}

/// Adds the word or character with which a text begins, and returns its length.
fn push_text(rest: &str, first: char, tokens: &mut Vec<Token>) -> usize {
    let is_word = |letter: char| letter.is_alphanumeric() || letter == '_';
    let end = if is_word(first) { rest.find(|it| !is_word(it)).unwrap_or(rest.len()) } else { first.len_utf8() };
    tokens.push(Token::Text(rest[..end].to_owned()));
    end
}

/// Returns the value of the string literal with which a text begins, and its length.
fn literal(text: &str) -> Result<(String, usize), String> {
    let quote = text.chars().next().unwrap_or_default();
    // The literal as a string of JSON, in which only double quotes are escaped.
    let mut json = String::from("\"");
    let mut characters = text.char_indices().skip(1);
    while let Some((start, character)) = characters.next() {
        match character {
            '\\' => match characters.next() {
                Some((_, '\'')) => json.push('\''),
                escaped => json.extend(['\\'].into_iter().chain(escaped.map(|(_, character)| character))),
            },
            end if end == quote => {
                json.push('"');
                let value = serde_json::from_str(&json);
                let value = value.map_err(|error| format!("Syntax error in the string literal {json}: {error}"))?;
                return Ok((value, start + 1));
            }
            '"' => json.push_str("\\\""),
            other => json.push(other),
        }
    }
    Err("Syntax error: a string literal does not end".into())
}

/// Returns the members of the document `c` in these pieces: `c.Heard` and `c["Heard"]`.
fn members(tokens: &[Token]) -> Vec<String> {
    let member = |window: &[Token]| match window {
        [Token::Text(c), Token::Text(dot), Token::Text(name)] if c == "c" && dot == "." => Some(name.clone()),
        [Token::Text(c), Token::Text(bracket), Token::Literal(name)] if c == "c" && bracket == "[" => {
            Some(name.clone())
        }
        _ => None,
    };
    tokens.windows(3).filter_map(member).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn to_store(query: &str) -> Result<String, String> {
        tokens(query).map(|tokens| tokens.iter().map(Token::to_store).collect())
    }

    #[test]
    fn the_escapes_of_a_literal_are_those_of_json() {
        let query = r#"SELECT * FROM c WHERE c["a\u0022\u005c'"] = 'it\'s "x"' AND c.b = @p0"#;
        let expected = r#"SELECT * FROM c WHERE c['a"\'''] = 'it''s "x"' AND c.b = @p0"#;
        assert_eq!(to_store(query).as_deref(), Ok(expected));
        let back = to_service(expected);
        assert_eq!(to_store(&back).as_deref(), Ok(expected), "{back}");
    }

    #[test]
    fn a_literal_that_does_not_end_or_has_a_doubled_quote_is_refused() {
        for query in ["c = \"a", "c = 'a''b'", r#"c["a\x"]"#, r#"c["\"#] {
            assert!(to_store(query).is_err(), "{query}");
        }
    }

    #[test]
    fn the_members_of_the_condition_and_the_order_are_found() {
        let tokens = tokens(r#"IS_DEFINED(c["a b"]) AND c.Heard <= @p0 OR d.x = 'c.y'"#).expect("a query");
        assert_eq!(members(&tokens), ["a b", "Heard"]);
    }

    #[test]
    fn the_index_decides_what_is_read_and_what_is_refused() {
        let parse = |query: &str| {
            let request = CollectedRequest {
                method: Method::POST,
                path_and_query: "/dbs/d/colls/c/docs".into(),
                headers: HeaderMap::from_iter([(
                    axum::http::HeaderName::from_static("x-ms-documentdb-isquery"),
                    axum::http::HeaderValue::from_static("True"),
                )]),
                body: serde_json::json!({ "query": query }).to_string().into(),
            };
            let query = Query::parse(&request).expect("a query").expect("valid");
            let index = Index::new(&["/Heard/?".to_owned()]);
            [query.reads_all_documents(&index), query.has_unindexed_order(&index)]
        };
        assert_eq!(parse("SELECT c.battery FROM c WHERE c.Heard > @p0 AND c._ts > 1 ORDER BY c.id"), [false, false]);
        assert_eq!(parse("SELECT * FROM c WHERE c[\"battery\"] > 1"), [true, false]);
        assert_eq!(parse("SELECT * FROM c WHERE c.id > 'battery' ORDER BY c.battery"), [false, true]);
        assert_eq!(parse("SELECT * FROM c ORDER BY c.Heard"), [false, false]);
    }

    #[test]
    fn the_id_and_the_time_are_always_indexed() {
        let index = Index::new(&["/Heard/?".to_owned(), "/\"motor.temp\"/?".to_owned()]);
        assert!(["id", "_ts", "Heard", "motor.temp"].iter().all(|member| index.has(member)));
        assert!(!index.has("battery") && Index::new(&["/*".to_owned()]).has("battery"));
    }
}
