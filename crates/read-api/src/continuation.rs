//! Continuation tokens: where the next page of a list starts.
//!
//! A token is opaque to callers and has no state in the handler, so it survives restarts. It is neither a secret nor a permission: a
//! forged one gives nothing that the list without a token does not. Its hash finds tokens that were changed by mistake, or are
//! of another query.

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use sha2::{Digest as _, Sha256};

use crate::problem::Problem;

/// The form of the tokens, so that a later version can change it.
const FORM: u8 = 1;
const HASH_BYTES: usize = 16;
const TIME_BYTES: usize = 8;

/// The end of a page.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Continuation {
    /// The time of the first page in milliseconds since 1970, from which all pages count back.
    pub(crate) as_of_ms: i64,
    /// The last document of the page.
    pub(crate) after: String,
}

impl Continuation {
    /// Returns the token for the next page of a query.
    pub(crate) fn to_token(&self, query: &str) -> String {
        let content = [&self.as_of_ms.to_be_bytes(), self.after.as_bytes()].concat();
        URL_SAFE_NO_PAD.encode([&[FORM], &hash(&content, query)[..], &content].concat())
    }

    /// Reads a token of the same query.
    ///
    /// # Errors
    ///
    /// Returns a [`Problem`] if the token is invalid or of another query.
    pub(crate) fn from_token(token: &str, query: &str) -> Result<Self, Problem> {
        let invalid = || {
            Problem::invalid_continuation(
                "the parameter `continuation` is not the token of the previous page, or the other parameters have changed: \
                 begin again without it",
            )
        };
        let token = URL_SAFE_NO_PAD.decode(token).map_err(|_| invalid())?;
        let Some((&FORM, rest)) = token.split_first() else { return Err(invalid()) };
        let (found, content) = rest.split_at_checked(HASH_BYTES).ok_or_else(invalid)?;
        if found != hash(content, query) {
            return Err(invalid());
        }
        let (time, after) = content.split_first_chunk::<TIME_BYTES>().ok_or_else(invalid)?;
        let after = String::from_utf8(after.to_vec()).map_err(|_| invalid())?;
        // Anyone can compute the hash. With such a time, a duration before it could overflow.
        let as_of_ms = Some(i64::from_be_bytes(*time)).filter(|ms| *ms >= 0).ok_or_else(invalid)?;
        Ok(Self { as_of_ms, after })
    }
}

fn hash(content: &[u8], query: &str) -> [u8; HASH_BYTES] {
    let digest = Sha256::new().chain_update(content).chain_update([0xFF]).chain_update(query).finalize();
    *digest.first_chunk().expect("a SHA-256 has 32 bytes")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_accepted_only_unchanged_and_with_its_query() {
        let page = Continuation { as_of_ms: 5, after: "drone~2F7".to_owned() };
        let token = page.to_token("where=a");
        assert_eq!(Continuation::from_token(&token, "where=a"), Ok(page));
        let mut invalid =
            vec![String::new(), "A".to_owned(), "=".to_owned(), format!("{token}A"), token[1..].to_owned()];
        for index in 0..token.len() {
            let other = if &token[index..=index] == "A" { "B" } else { "A" };
            invalid.push(format!("{}{other}{}", &token[..index], &token[index + 1..]));
            invalid.push(token[..index].to_owned());
        }
        for token in invalid {
            let problem = Continuation::from_token(&token, "where=a").expect_err(&token);
            assert_eq!(problem.status, 400, "{token}");
        }
        assert!(Continuation::from_token(&token, "where=b").is_err());
        let forged = Continuation { as_of_ms: i64::MIN, after: String::new() }.to_token("silent=1s");
        assert!(Continuation::from_token(&forged, "silent=1s").is_err());
    }
}
