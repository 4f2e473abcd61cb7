//! The language of the parameter `where`: comparisons of readings, `exists`, `and`, `or` and parentheses.
//!
//! ```text
//! filter     = all *( "or" all )
//! all        = term *( "and" term )
//! term       = "(" filter ")" / "exists" "(" name ")" / name operator value
//! operator   = "=" / "!=" / "<" / "<=" / ">" / ">="
//! name       = 1*( letter / digit / "_" / "." / "-" ) / "`" text "`"
//! value      = number / "'" text "'" / DQUOTE text DQUOTE / "true" / "false"
//! ```
//!
//! A quote within its own kind of quotes is written twice. The words of the language are written in any letter case; a reading
//! that has such a name is written in backticks. A parsed filter is data: no store ever gets the text.

mod scanner;

use devicestate_engine::{
    device_state::is_reading_name,
    store::{Filter, Operator, Scalar},
};

use scanner::{Scanner, Token};

/// Limits the length of a filter, in characters.
pub const MAX_CHARS: usize = 1_000;
/// Limits the number of comparisons and `exists` of a filter.
pub const MAX_TERMS: usize = 50;
/// Limits how deep parentheses are nested.
pub const MAX_DEPTH: usize = 20;

/// Why a text is not a filter.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("at character {position}: {problem}")]
pub struct FilterError {
    /// The number of the character, from 1 on, at which the problem is.
    pub position: usize,
    /// What was expected there, and what was found.
    pub problem: String,
}

impl FilterError {
    fn expected(position: usize, expected: &str, found: &str) -> Self {
        Self { position, problem: format!("expected {expected}, found {found}") }
    }
}

/// Parses a filter.
///
/// # Errors
///
/// Returns a [`FilterError`] with the position of the problem.
pub fn parse(text: &str) -> Result<Filter, FilterError> {
    if text.chars().nth(MAX_CHARS).is_some() {
        let problem = format!("a filter has at most {MAX_CHARS} characters");
        return Err(FilterError { position: MAX_CHARS + 1, problem });
    }
    let mut parser = Parser { scanner: Scanner::new(text), terms: 0, depth: 0 };
    let filter = parser.any()?;
    let (position, token) = parser.scanner.next()?;
    match token {
        Token::End => Ok(filter),
        other => Err(FilterError::expected(position, "`and`, `or` or the end of the filter", &other.to_string())),
    }
}

/// Returns the names of the readings that a filter uses, in their order in the text.
pub(crate) fn names(filter: &Filter) -> Vec<&str> {
    match filter {
        Filter::All(filters) | Filter::Any(filters) => filters.iter().flat_map(names).collect(),
        Filter::Exists(name) | Filter::Compare { name, .. } => vec![name],
        _ => Vec::new(),
    }
}

struct Parser {
    scanner: Scanner,
    terms: usize,
    depth: usize,
}

impl Parser {
    fn any(&mut self) -> Result<Filter, FilterError> {
        self.list("or", Self::all, Filter::Any)
    }

    fn all(&mut self) -> Result<Filter, FilterError> {
        self.list("and", Self::term, Filter::All)
    }

    /// Parses one or more parts with a word between them.
    fn list(
        &mut self,
        word: &str,
        part: fn(&mut Self) -> Result<Filter, FilterError>,
        join: fn(Vec<Filter>) -> Filter,
    ) -> Result<Filter, FilterError> {
        let first = part(self)?;
        let mut parts = vec![first];
        while self.scanner.peek()?.is_word(word) {
            self.scanner.next()?;
            parts.push(part(self)?);
        }
        Ok(if parts.len() == 1 { parts.remove(0) } else { join(parts) })
    }

    fn term(&mut self) -> Result<Filter, FilterError> {
        let (position, token) = self.scanner.next()?;
        if token == Token::Symbol("(") {
            return self.parentheses(position);
        }
        self.terms += 1;
        if self.terms > MAX_TERMS {
            return Err(FilterError { position, problem: format!("a filter has at most {MAX_TERMS} conditions") });
        }
        match token {
            word if word.is_word("exists") => {
                self.symbol("(")?;
                let (position, token) = self.scanner.next()?;
                let name = reading_name(position, token)?;
                self.symbol(")")?;
                Ok(Filter::Exists(name))
            }
            word if word.is_word("not") => {
                let problem = "the language has no `not`: use the opposite comparison, such as `!=` for `=`; absent readings cannot be selected".to_owned();
                Err(FilterError { position, problem })
            }
            token => {
                let name = reading_name(position, token)?;
                let operator = self.operator()?;
                Ok(Filter::Compare { name, operator, value: self.value()? })
            }
        }
    }

    /// Parses a filter after its opening parenthesis.
    fn parentheses(&mut self, position: usize) -> Result<Filter, FilterError> {
        self.depth += 1;
        if self.depth > MAX_DEPTH {
            return Err(FilterError { position, problem: format!("parentheses are nested at most {MAX_DEPTH} deep") });
        }
        let filter = self.any()?;
        let (position, token) = self.scanner.next()?;
        if token != Token::Symbol(")") {
            return Err(FilterError::expected(position, "`and`, `or` or `)`", &token.to_string()));
        }
        self.depth -= 1;
        Ok(filter)
    }

    fn symbol(&mut self, symbol: &'static str) -> Result<(), FilterError> {
        let (position, token) = self.scanner.next()?;
        if token == Token::Symbol(symbol) {
            return Ok(());
        }
        Err(FilterError::expected(position, &format!("`{symbol}`"), &token.to_string()))
    }

    fn operator(&mut self) -> Result<Operator, FilterError> {
        let (position, token) = self.scanner.next()?;
        Ok(match token {
            Token::Symbol("=") => Operator::Equal,
            Token::Symbol("!=") => Operator::NotEqual,
            Token::Symbol("<") => Operator::Less,
            Token::Symbol("<=") => Operator::LessOrEqual,
            Token::Symbol(">") => Operator::Greater,
            Token::Symbol(">=") => Operator::GreaterOrEqual,
            other => {
                return Err(FilterError::expected(position, "`=`, `!=`, `<`, `<=`, `>` or `>=`", &other.to_string()));
            }
        })
    }

    fn value(&mut self) -> Result<Scalar, FilterError> {
        const EXPECTED: &str = "a number, a text in quotes, `true` or `false`";
        let (position, token) = self.scanner.next()?;
        Ok(match token {
            Token::Text(text) => Scalar::Text(text),
            word if word.is_word("true") => Scalar::Boolean(true),
            word if word.is_word("false") => Scalar::Boolean(false),
            word if word.is_word("null") => {
                let problem = format!("expected {EXPECTED}, found `null`: use `exists(name)`");
                return Err(FilterError { position, problem });
            }
            Token::Word(word) if is_number(&word) => match word.parse::<f64>() {
                Ok(number) if number.is_finite() => Scalar::Number(number),
                _ => return Err(FilterError { position, problem: "the number is too large".to_owned() }),
            },
            other => return Err(FilterError::expected(position, EXPECTED, &other.to_string())),
        })
    }
}

/// Returns the name of a reading: any in backticks, or a word that is not one of the language.
fn reading_name(position: usize, token: Token) -> Result<String, FilterError> {
    const WORDS: [&str; 7] = ["and", "or", "not", "exists", "true", "false", "null"];
    let name = match token {
        Token::Name(name) => name,
        Token::Word(word)
            if !WORDS.iter().any(|reserved| word.eq_ignore_ascii_case(reserved)) && !word.contains('+') =>
        {
            word
        }
        other => {
            let expected =
                "the name of a reading (in backticks if it has other characters than letters, digits and `_.-`)";
            return Err(FilterError::expected(position, expected, &other.to_string()));
        }
    };
    if is_reading_name(&name) {
        return Ok(name);
    }
    let hint = match &*name {
        "Heard" => "; use the parameters `silent` and `heardSince`",
        "SilentSince" => "; use the parameter `silent`",
        "id" => "; use the parameters `id` and `prefix`",
        _ => "",
    };
    Err(FilterError { position, problem: format!("no reading has the name {}{hint}", scanner::shown(&name)) })
}

/// Returns true for a number as JSON writes it, also with zeros before it. `f64::from_str` accepts more, such as `inf`.
fn is_number(word: &str) -> bool {
    let digits = |text: &str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let (mantissa, exponent) = match word.split_once(['e', 'E']) {
        Some((mantissa, exponent)) => (mantissa, Some(exponent)),
        None => (word, None),
    };
    let mantissa = mantissa.strip_prefix('-').unwrap_or(mantissa);
    let (whole, fraction) = match mantissa.split_once('.') {
        Some((whole, fraction)) => (whole, Some(fraction)),
        None => (mantissa, None),
    };
    let exponent = exponent.map(|exponent| exponent.strip_prefix(['-', '+']).unwrap_or(exponent));
    digits(whole) && fraction.is_none_or(digits) && exponent.is_none_or(digits)
}

#[cfg(test)]
mod tests;
