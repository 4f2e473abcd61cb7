//! The tokens of a filter, with their positions.

use std::fmt::{self, Formatter};

use devicestate_engine::text::{clean, first_chars};

use super::FilterError;

/// The most characters of the input that an error repeats.
const MAX_SHOWN_CHARS: usize = 40;

/// A part of a filter.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Token {
    /// A parenthesis or an operator.
    Symbol(&'static str),
    /// A name without backticks, a word of the language or a number.
    Word(String),
    /// A name in backticks, without them.
    Name(String),
    /// A text in quotes, without them.
    Text(String),
    /// The end of the input.
    End,
}

impl Token {
    /// Returns true if this is a word of the language, in any letter case.
    pub(super) fn is_word(&self, word: &str) -> bool {
        matches!(self, Self::Word(found) if found.eq_ignore_ascii_case(word))
    }
}

impl fmt::Display for Token {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Symbol(symbol) => write!(f, "`{symbol}`"),
            Self::Word(word) => f.write_str(&shown(word)),
            Self::Name(name) => write!(f, "the name {}", shown(name)),
            Self::Text(text) => write!(f, "the text {}", shown(text)),
            Self::End => f.write_str("the end of the filter"),
        }
    }
}

/// Returns a text of the input as an error repeats it.
pub(super) fn shown(text: &str) -> String {
    format!("`{}`", clean(&first_chars(text, MAX_SHOWN_CHARS)))
}

/// Splits a filter into its tokens.
pub(super) struct Scanner {
    chars: Vec<char>,
    /// The index of the next character.
    next: usize,
}

/// The longer operators are first.
const SYMBOLS: [&str; 8] = ["<=", ">=", "!=", "=", "<", ">", "(", ")"];

impl Scanner {
    pub(super) fn new(text: &str) -> Self {
        Self { chars: text.chars().collect(), next: 0 }
    }

    /// Returns the next token and does not consume it.
    pub(super) fn peek(&mut self) -> Result<Token, FilterError> {
        let start = self.next;
        let token = self.next().map(|(_, token)| token);
        self.next = start;
        token
    }

    /// Returns the next token, and the number of its first character, from 1 on.
    pub(super) fn next(&mut self) -> Result<(usize, Token), FilterError> {
        while self.chars.get(self.next).is_some_and(|c| c.is_whitespace()) {
            self.next += 1;
        }
        let position = self.next + 1;
        let Some(first) = self.chars.get(self.next).copied() else { return Ok((position, Token::End)) };
        let rest = &self.chars[self.next..];
        let symbol = SYMBOLS.into_iter().find(|symbol| symbol.chars().eq(rest.iter().copied().take(symbol.len())));
        if let Some(symbol) = symbol {
            self.next += symbol.len();
            return Ok((position, Token::Symbol(symbol)));
        }
        let token = match first {
            '`' => Token::Name(self.quoted(first)?),
            '\'' | '"' => Token::Text(self.quoted(first)?),
            _ => Token::Word(self.word(position, first)?),
        };
        Ok((position, token))
    }

    /// Returns the text until the closing quote; two quotes are one of the text.
    fn quoted(&mut self, quote: char) -> Result<String, FilterError> {
        self.next += 1;
        let mut text = String::new();
        loop {
            let (next, after) = (self.chars.get(self.next), self.chars.get(self.next + 1));
            match next {
                None => {
                    return Err(FilterError::expected(
                        self.next + 1,
                        &format!("the closing quote {quote}"),
                        "the end of the filter",
                    ));
                }
                Some(c) if *c != quote => {
                    text.push(*c);
                    self.next += 1;
                }
                Some(_) if after == Some(&quote) => {
                    text.push(quote);
                    self.next += 2;
                }
                Some(_) => {
                    self.next += 1;
                    return Ok(text);
                }
            }
        }
    }

    fn word(&mut self, position: usize, first: char) -> Result<String, FilterError> {
        let start = self.next;
        while self.chars.get(self.next).is_some_and(|c| self.is_in_word(*c)) {
            self.next += 1;
        }
        if self.next > start {
            return Ok(self.chars[start..self.next].iter().collect());
        }
        Err(FilterError::expected(
            position,
            "a name, a value, an operator or a parenthesis",
            &shown(&first.to_string()),
        ))
    }

    /// Returns true for the characters of names without backticks and of numbers: a plus is in a number only, after its `e`.
    fn is_in_word(&self, c: char) -> bool {
        let is_after_exponent = self.next > 0 && matches!(self.chars[self.next - 1], 'e' | 'E');
        c.is_alphanumeric() || matches!(c, '_' | '.' | '-') || (c == '+' && is_after_exponent)
    }
}
