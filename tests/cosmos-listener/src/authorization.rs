//! Checks the `authorization` header. The store does not check it, and a test with a wrong key must fail.

use axum::http::{HeaderMap, Method};
use azure_core::{credentials::Secret, hmac::hmac_sha256};
use percent_encoding::percent_decode_str;

use crate::operation;

/// The account's key in base64. It is valid for this process only, as its text says.
pub(crate) const KEY: &str = "dGhpcyBpcyBubyBzZWNyZXQsIGl0IG9wZW5zIHRoZSBDb3Ntb3Mgc3RhbmQtaW4gb2YgdGhlIHRlc3RzIG9ubHk=";

/// Accepts a request that is signed with [`KEY`], or has a Microsoft Entra token, which is not verified. Returns the reason if it
/// rejects the request.
pub(crate) fn check(method: &Method, path: &str, headers: &HeaderMap) -> Result<(), String> {
    let reject = |message: &str| Err(message.to_owned());
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let authorization = percent_decode_str(text("authorization")).decode_utf8_lossy();
    if authorization.is_empty() {
        return reject("Required Header authorization is missing. Ensure a valid Authorization token is passed.");
    }
    let field = |name| authorization.split('&').find_map(|field| field.strip_prefix(name));
    match field("type=") {
        Some("aad") => return Ok(()),
        Some("master") => {}
        _ => return reject("The authorization token has a type that this stand-in does not support."),
    }
    let signature = field("sig=").unwrap_or_default();
    let dates = (text("x-ms-date").to_lowercase(), text("date").to_lowercase());
    let signed: Vec<_> = resources(path).map(|resource| text_to_sign(method, &resource, &dates)).collect();
    if signed.iter().any(|text| hmac_sha256(text, &Secret::new(KEY)).is_ok_and(|expected| expected == signature)) {
        return Ok(());
    }
    Err(format!(
        "The input authorization token can't serve the request. The wrong key is being used or the expected payload is \
         not built as per the protocol. Server used the following payload to sign: {:?}",
        signed[0]
    ))
}

/// Returns whether a request is signed with a key.
pub(crate) fn is_signed_with_key(headers: &HeaderMap) -> bool {
    let text = headers.get("authorization").and_then(|value| value.to_str().ok()).unwrap_or_default();
    percent_decode_str(text).decode_utf8_lossy().contains("type=master")
}

/// A resource's type and link, as they are signed.
struct Resource {
    kind: String,
    link: String,
}

fn text_to_sign(method: &Method, Resource { kind, link }: &Resource, (ms_date, date): &(String, String)) -> String {
    // The last line is the header `Date`, which is signed only if `x-ms-date` is missing.
    let date = if ms_date.is_empty() { date } else { "" };
    format!("{}\n{kind}\n{link}\n{ms_date}\n{date}\n", method.as_str().to_lowercase())
}

/// Returns the links that a client may sign: the path as sent, the decoded path, or the `_rid` in lower case for resources
/// that are addressed by it, such as offers.
fn resources(path: &str) -> impl Iterator<Item = Resource> {
    let segments: Vec<_> = operation::segments(path).collect();
    // `dbs/a/colls` has the link `dbs/a` and the type `colls`; `dbs/a` has the link `dbs/a` and the type `dbs`.
    let (kind, link) = match &segments[..] {
        [] => ("", &segments[..]),
        [owner @ .., kind] if segments.len() % 2 == 1 => (*kind, owner),
        [.., kind, _] => (*kind, &segments[..]),
        [_] => unreachable!("one segment is an odd number of them"),
    };
    let as_sent = link.join("/");
    let decoded = percent_decode_str(&as_sent).decode_utf8_lossy().into_owned();
    let rid = link.last().copied().map(str::to_lowercase).unwrap_or_default();
    let kind = kind.to_lowercase();
    [decoded, as_sent, rid].into_iter().map(move |link| Resource { kind: kind.clone(), link })
}
