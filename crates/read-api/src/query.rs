//! Percent encoding, and the parameters of a query.

use std::borrow::Cow;

use crate::problem::Problem;

/// Limits the length of a query, in bytes. A filter of 1,000 characters has up to 12,000, percent-encoded.
const MAX_QUERY_BYTES: usize = 32_768;

/// The parameter in which a caller may send its key to the Functions host. It is skipped, and never repeated.
const KEY: &str = "code";

/// Decodes percent encoding, exactly once.
///
/// # Errors
///
/// Returns why the text cannot be decoded.
pub fn percent_decoded(text: &str) -> Result<String, &'static str> {
    let mut decoded = Vec::with_capacity(text.len());
    let mut bytes = text.bytes();
    while let Some(byte) = bytes.next() {
        if byte != b'%' {
            decoded.push(byte);
            continue;
        }
        let digit = |byte: Option<u8>| char::from(byte?).to_digit(16);
        let (Some(high), Some(low)) = (digit(bytes.next()), digit(bytes.next())) else {
            return Err("two hexadecimal digits must follow each %; write % itself as %25");
        };
        decoded.push(u8::try_from(high * 16 + low).unwrap_or_default());
    }
    String::from_utf8(decoded).map_err(|_| "its percent encoding is not UTF-8")
}

/// The parameters of a query, decoded.
#[derive(Debug)]
pub(crate) struct Parameters(Vec<(&'static str, String)>);

impl Parameters {
    /// Reads a query in which these parameters are known. `+` is a blank, as forms send it.
    ///
    /// # Errors
    ///
    /// Returns a [`Problem`] for an unknown or repeated parameter, and for one that cannot be decoded.
    pub(crate) fn parse(query: &str, known: &[&'static str]) -> Result<Self, Problem> {
        if query.len() > MAX_QUERY_BYTES {
            return Err(Problem::invalid_parameter(format!("the query has more than {MAX_QUERY_BYTES} bytes")));
        }
        let mut found: Vec<(&'static str, String)> = Vec::new();
        for pair in query.split('&').filter(|pair| !pair.is_empty()) {
            let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
            let name = decoded(name).map_err(|reason| {
                Problem::invalid_parameter(format!("the name of a parameter is invalid: {reason}"))
            })?;
            // The host reads the names of parameters in any letter case.
            if name.eq_ignore_ascii_case(KEY) {
                continue;
            }
            let Some(name) = known.iter().copied().find(|known| *known == name) else {
                return Err(unknown(&name, known));
            };
            if found.iter().any(|(other, _)| *other == name) {
                return Err(Problem::invalid_parameter(format!("the parameter `{name}` is there twice")));
            }
            let value = decoded(value)
                .map_err(|reason| Problem::invalid_parameter(format!("the parameter `{name}` is invalid: {reason}")))?;
            found.push((name, value));
        }
        Ok(Self(found))
    }

    /// Returns the value of a parameter.
    pub(crate) fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| *found == name).map(|(_, value)| value.as_str())
    }

    /// Returns the names of the parameters.
    pub(crate) fn names(&self) -> impl Iterator<Item = &'static str> {
        self.0.iter().map(|(name, _)| *name)
    }

    /// Parses a parameter; `None` if it is absent. `expected` describes valid values in the problem.
    ///
    /// # Errors
    ///
    /// Returns a [`Problem`] if `parse` returns `None`.
    pub(crate) fn parsed<T>(
        &self,
        name: &str,
        expected: &str,
        parse: impl FnOnce(&str) -> Option<T>,
    ) -> Result<Option<T>, Problem> {
        let Some(value) = self.get(name) else { return Ok(None) };
        let invalid = || Problem::invalid_parameter(format!("the parameter `{name}` must be {expected}"));
        parse(value).map(Some).ok_or_else(invalid)
    }

    /// Returns the value of a parameter that is `true` or `false`; false if it is absent.
    pub(crate) fn flag(&self, name: &str) -> Result<bool, Problem> {
        let flag = self.parsed(name, "`true` or `false`", |value| value.parse().ok())?;
        Ok(flag.unwrap_or_default())
    }
}

fn decoded(text: &str) -> Result<String, &'static str> {
    let text = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
    percent_decoded(&text)
}

/// Describes an unknown parameter. Its name is repeated only if it cannot be a key that was sent without a name.
fn unknown(name: &str, known: &[&'static str]) -> Problem {
    /// Keys have 52 characters or more.
    const MAX_NAME_BYTES: usize = 20;
    /// The largest number of changes between a name and the one that was meant.
    const MAX_DISTANCE: usize = 3;
    let known_names = known.iter().map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
    if name.len() > MAX_NAME_BYTES || !name.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"-_".contains(&byte)) {
        return Problem::invalid_parameter(format!("a parameter is unknown; this request has {known_names}"));
    }
    let distance = |known: &str| strsim::damerau_levenshtein(&known.to_lowercase(), &name.to_lowercase());
    let nearest = known.iter().map(|known| (distance(known), *known)).min();
    let advice = match nearest {
        Some((distance, nearest)) if distance <= MAX_DISTANCE.min(nearest.len() / 2) => {
            format!("did you mean `{nearest}`?")
        }
        _ => format!("this request has {known_names}"),
    };
    Problem::invalid_parameter(format!("the parameter `{name}` is unknown: {advice}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const KNOWN: [&str; 3] = ["heardSince", "limit", "where"];

    fn detail(query: &str) -> String {
        Parameters::parse(query, &KNOWN).expect_err(query).detail
    }

    #[test]
    fn parameters_are_decoded_once_and_a_plus_is_a_blank() {
        let parameters =
            Parameters::parse("where=a%3D%27%2525+%2B%C3%A4%27&&limit=&code=x&Code=y", &KNOWN).expect("valid");
        assert_eq!(parameters.get("where"), Some("a='%25 +ä'"));
        assert_eq!(parameters.get("limit"), Some(""));
        assert_eq!((parameters.get("code"), parameters.get("heardSince")), (None, None));
        // A value may contain `=`.
        assert_eq!(Parameters::parse("where=a=1", &KNOWN).expect("valid").get("where"), Some("a=1"));
    }

    #[test]
    fn unknown_repeated_and_undecodable_parameters_are_refused() {
        for (query, expected) in [
            ("Limit=1", "the parameter `Limit` is unknown: did you mean `limit`?"),
            ("heard_since=1", "the parameter `heard_since` is unknown: did you mean `heardSince`?"),
            ("x=1", "the parameter `x` is unknown: this request has `heardSince`, `limit`, `where`"),
            ("limit=1&limit=1", "the parameter `limit` is there twice"),
            (
                "limit=%f",
                "the parameter `limit` is invalid: two hexadecimal digits must follow each %; write % itself as %25",
            ),
            (
                "limit=%+1",
                "the parameter `limit` is invalid: two hexadecimal digits must follow each %; write % itself as %25",
            ),
            ("limit=%ff", "the parameter `limit` is invalid: its percent encoding is not UTF-8"),
            ("%ff=1", "the name of a parameter is invalid: its percent encoding is not UTF-8"),
        ] {
            assert_eq!(detail(query), expected, "{query}");
        }
        assert!(detail(&format!("where={}", "a".repeat(MAX_QUERY_BYTES))).starts_with("the query has more than"));
    }

    #[test]
    fn a_key_is_not_repeated_whatever_its_parameter_is_called() {
        let key = "abcdefghijklmnopqrstuvwxyz0123456789ABCDEFGHIJKLSecret";
        for query in [key.to_owned(), format!("key={key}"), format!("code%3D{key}=1"), format!("limit={key}&limit=2")] {
            assert!(!detail(&query).contains("Secret"), "{query}");
        }
    }
}
