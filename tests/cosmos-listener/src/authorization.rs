//! The `authorization` header, which the store itself does not look at: a test with a wrong key has to fail.

use axum::http::{HeaderMap, Method};
use azure_core::{credentials::Secret, hmac::hmac_sha256};
use percent_encoding::percent_decode_str;

use crate::operation;

/// The account's key in base64. It opens nothing but this process, and its text says so.
pub(crate) const KEY: &str = "dGhpcyBpcyBubyBzZWNyZXQsIGl0IG9wZW5zIHRoZSBDb3Ntb3Mgc3RhbmQtaW4gb2YgdGhlIHRlc3RzIG9ubHk=";

/// Lets a request pass that is signed with [`KEY`], or has an Entra token, which only Entra could check. The error is why it
/// does not.
pub(crate) fn check(method: &Method, path: &str, headers: &HeaderMap) -> Result<(), String> {
    let refused = |message: &str| Err(message.to_owned());
    let text = |name| headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default();
    let authorization = percent_decode_str(text("authorization")).decode_utf8_lossy();
    if authorization.is_empty() {
        return refused("Required Header authorization is missing. Ensure a valid Authorization token is passed.");
    }
    let field = |name| authorization.split('&').find_map(|field| field.strip_prefix(name));
    match field("type=") {
        Some("aad") => return Ok(()),
        Some("master") => {}
        _ => return refused("The authorization token is of a type that this stand-in does not know."),
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

/// A resource's type and its link, as they are signed.
type Resource = (String, String);

fn text_to_sign(method: &Method, (kind, link): &Resource, (ms_date, date): &(String, String)) -> String {
    // The last line is the header `Date`, which is signed only where it stands in for `x-ms-date`.
    let date = if ms_date.is_empty() { date } else { "" };
    format!("{}\n{kind}\n{link}\n{ms_date}\n{date}\n", method.as_str().to_lowercase())
}

/// The ways in which a client may name the resource: as it is sent, or before it was percent-encoded; and where it
/// is known by its generated `_rid` rather than a name, as offers are, only by that in lower case.
fn resources(path: &str) -> impl Iterator<Item = Resource> {
    let segments: Vec<_> = operation::segments(path).collect();
    // `dbs/a/colls` is the collections of `dbs/a`, whereas `dbs/a` is itself.
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
    [decoded, as_sent, rid].into_iter().map(move |link| (kind.clone(), link))
}
