//! Entity tags of one device's state (RFC 9110, 8.8.3).

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use devicestate_engine::store::ETag;
use sha2::{Digest as _, Sha256};

/// Returns the tag of an answer: of the state of the document, and of what the caller selected of it. It is weak because the age
/// grows without a write.
pub(crate) fn of(document: &ETag, selected: &str) -> String {
    let digest = Sha256::new().chain_update(&document.0).chain_update([0xFF]).chain_update(selected).finalize();
    format!("W/\"{}\"", URL_SAFE_NO_PAD.encode(&digest[..15]))
}

/// Returns true if a header `If-None-Match` has the tag, by the weak comparison, or `*`.
pub(crate) fn is_match(if_none_match: &str, etag: &str) -> bool {
    let opaque = |tag: &str| tag.trim().trim_start_matches("W/").to_owned();
    // The tags of this API have no commas; a part of another tag with one is not equal to them.
    if_none_match.trim() == "*" || if_none_match.split(',').any(|tag| opaque(tag) == opaque(etag))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_compared_weakly_in_a_list() {
        let etag = of(&ETag("\"00-1\"".to_owned()), "versions");
        let strong = &etag[2..];
        for matching in ["*", &etag, strong, &format!("\"a,b\" , W/\"x\",{etag}"), &format!(" {strong} ")] {
            assert!(is_match(matching, &etag), "{matching}");
        }
        for other in ["", "W/", "\"\"", "W/\"x\"", &strong[1..], &format!("\"a,{strong}b\""), &format!("\"{etag}\"")] {
            assert!(!is_match(other, &etag), "{other}");
        }
        assert_ne!(etag, of(&ETag("\"00-1\"".to_owned()), ""));
        assert_ne!(etag, of(&ETag("\"00-2\"".to_owned()), "versions"));
    }
}
