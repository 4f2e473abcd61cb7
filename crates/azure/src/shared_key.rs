//! Shared Key: signs requests to Azure Storage with the account's key.
//!
//! The released storage crates support only tokens and shared access signatures. Connection strings hold keys, including
//! Azurite's, so this module signs the requests. The format:
//! <https://learn.microsoft.com/rest/api/storageservices/authorize-with-shared-key>.

use std::{collections::BTreeMap, fmt::Write as _, sync::Arc};

use async_trait::async_trait;
use azure_core::{
    credentials::Secret,
    hmac::hmac_sha256,
    http::{
        Context, Request,
        headers::{AUTHORIZATION, HeaderName},
        policies::{Policy, PolicyResult},
    },
};
use devicestate_engine::clock::{Clock as _, System};

/// The suffix of an account's name in the URLs of its read-only copy.
pub(super) const SECONDARY: &str = "-secondary";

/// The headers that have a line of their own in the string to sign, in the protocol's order.
const STANDARD_HEADERS: [&str; 11] = [
    "content-encoding",
    "content-language",
    CONTENT_LENGTH,
    "content-md5",
    "content-type",
    "date",
    "if-modified-since",
    "if-match",
    "if-none-match",
    "if-unmodified-since",
    "range",
];
const CONTENT_LENGTH: &str = "content-length";
const X_MS_DATE: HeaderName = HeaderName::from_static("x-ms-date");

/// A policy that signs requests. It must be in `per_try_policies`, after all policies that change the request. `Debug` does
/// not print the key.
#[derive(Debug, Clone)]
pub struct SharedKey {
    account: String,
    key: Secret,
    secondary_in_path: bool,
}

impl SharedKey {
    /// Creates the policy for this account and its key in base64.
    #[must_use]
    pub fn new(account: String, key: Secret) -> Self {
        Self { account, key, secondary_in_path: false }
    }

    /// Returns the policy for a read-only copy with `ACCOUNT-secondary` in the path of its URL. It must not be used for a copy
    /// with that name in its host, where a queue may have such a name.
    #[must_use]
    pub fn with_secondary_in_path(self) -> Self {
        Self { secondary_in_path: true, ..self }
    }

    fn sign(&self, request: &mut Request) -> azure_core::Result<()> {
        // A retry keeps the date of the first try, which is seconds old. The service accepts 15 minutes.
        if request.headers().get_optional_str(&X_MS_DATE).is_none() {
            request.insert_header(X_MS_DATE, http_date(System.now_ms()));
        }
        let signature = hmac_sha256(&self.string_to_sign(request), &self.key)?;
        request.insert_header(AUTHORIZATION, format!("SharedKey {}:{signature}", self.account));
        Ok(())
    }

    /// Returns the string to sign. The service derives the same string from the request and compares the signatures.
    fn string_to_sign(&self, request: &Request) -> String {
        let mut text = format!("{}\n", request.method().as_str());
        for name in STANDARD_HEADERS {
            // The transport sets the length. In the string to sign, the length of an empty body is empty.
            let value = match name {
                CONTENT_LENGTH => request.body().len().filter(|length| *length > 0).map(|length| length.to_string()),
                name => request.headers().get_optional_string(&HeaderName::from_static(name)),
            };
            let _ = writeln!(text, "{}", value.unwrap_or_default());
        }
        let headers = request.headers().iter().map(|(name, value)| (name.as_str(), value.as_str()));
        // The names are already in lower case, as HTTP/2 requires.
        for (name, value) in headers.filter(|(name, _)| name.starts_with("x-ms-")).collect::<BTreeMap<_, _>>() {
            let _ = writeln!(text, "{name}:{}", value.trim());
        }
        // The path as it is sent, with its percent-encoding, after the account's name: a path that contains the account has it
        // twice. A request to the read-only copy is signed with the path in the account itself.
        let prefix = format!("/{}", self.account);
        let path = request.url().path();
        let _ = match path.strip_prefix(&format!("{prefix}{SECONDARY}")).filter(|_| self.secondary_in_path) {
            Some(rest) => write!(text, "{prefix}{prefix}{rest}"),
            None => write!(text, "{prefix}{path}"),
        };
        let mut parameters = BTreeMap::<_, Vec<_>>::new();
        for (name, value) in request.url().query_pairs() {
            parameters.entry(name.to_lowercase()).or_default().push(value);
        }
        for (name, mut values) in parameters {
            values.sort_unstable();
            let _ = write!(text, "\n{name}:{}", values.join(","));
        }
        text
    }
}

#[async_trait]
impl Policy for SharedKey {
    async fn send(&self, context: &Context, request: &mut Request, next: &[Arc<dyn Policy>]) -> PolicyResult {
        self.sign(request)?;
        next[0].send(context, request, &next[1..]).await
    }
}

/// Formats a time in milliseconds since 1970 as HTTP requires.
fn http_date(ms: i64) -> String {
    let time = jiff::Timestamp::from_millisecond(ms).unwrap_or_default();
    jiff::fmt::rfc2822::DateTimePrinter::new().timestamp_to_rfc9110_string(&time).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use azure_core::http::{Method, Url};

    use super::*;

    /// "not a key of any account, but long enough".
    const KEY: &str = "bm90IGEga2V5IG9mIGFueSBhY2NvdW50LCBidXQgbG9uZyBlbm91Z2g=";

    fn signed(account: &str, mut request: Request) -> String {
        request.insert_header("x-ms-date", "Tue, 19 Nov 2024 23:59:59 GMT");
        let key = SharedKey::new(account.to_owned(), Secret::new(KEY));
        key.sign(&mut request).expect("a key in base64");
        request.headers().get_optional_string(&AUTHORIZATION).expect("signed")
    }

    fn url(text: &str) -> Url {
        Url::parse(text).expect("an address")
    }

    // The expected signatures were computed with another HMAC implementation from the protocol's documentation.

    #[test]
    fn all_parts_of_a_request_are_signed_in_order() {
        let address =
            "https://drones.blob.core.windows.net/dead%20letters/a%2Bb%20%C3%BC.json?Timeout=5&comp=block&timeout=20";
        let mut request = Request::new(url(address), Method::Put);
        for (name, value) in [
            ("x-ms-version", "2026-04-06"),
            ("x-ms-meta-alpha", " 1 "),
            ("x-ms-blob-type", "BlockBlob"),
            ("content-type", "application/json"),
            ("if-match", "\"0x1\""),
            ("user-agent", "not signed"),
        ] {
            request.insert_header(name, value);
        }
        request.set_body("11 bytes it");
        assert_eq!(signed("drones", request), "SharedKey drones:zkBLlkPHe6C1YIrR92aruzINVYWOmnVNkpZiksyZa8c=");
    }

    #[test]
    fn an_empty_body_has_no_length_and_the_account_is_in_the_path_twice() {
        let address =
            "http://127.0.0.1:10001/devstoreaccount1/queue/messages?popreceipt=AgAAAA%2B%2Fb%3D%3D&numofmessages=32";
        let request = Request::new(url(address), Method::Get);
        let expected = "SharedKey devstoreaccount1:L90hGus32PNK2ukHGDzvaep/u4uUIaFy+CIEI3Q/Rxs=";
        assert_eq!(signed("devstoreaccount1", request), expected);
    }

    /// The read-only copy expects the signature of the same request to the account.
    #[test]
    fn a_request_to_the_read_only_copy_is_signed_like_one_to_the_account() {
        let text = |key: &SharedKey, address: &str| key.string_to_sign(&Request::new(url(address), Method::Get));
        let key = SharedKey::new("drones".into(), Secret::new(KEY));
        let in_path = key.clone().with_secondary_in_path();
        let signed = text(&key, "https://drones.queue.core.windows.net/q/messages?peekonly=true");
        assert_eq!(text(&key, "https://drones-secondary.queue.core.windows.net/q/messages?peekonly=true"), signed);
        let signed = text(&key, "http://127.0.0.1:10001/drones/q/messages");
        assert_eq!(text(&in_path, "http://127.0.0.1:10001/drones-secondary/q/messages"), signed);
        // A queue may have the name that the copy has in such a URL.
        let signed = text(&key, "https://drones-secondary.queue.core.windows.net/drones-secondary/messages");
        assert!(signed.ends_with("\n/drones/drones-secondary/messages"), "{signed}");
    }

    #[test]
    fn a_request_without_a_date_gets_one_in_http_format() {
        let mut request = Request::new(url("https://drones.queue.core.windows.net/q"), Method::Get);
        SharedKey::new("drones".into(), Secret::new(KEY)).sign(&mut request).expect("a key in base64");
        assert!(request.headers().get_optional_str(&X_MS_DATE).is_some_and(|date| date.ends_with(" GMT")));
        assert_eq!(http_date(1_732_060_799_999), "Tue, 19 Nov 2024 23:59:59 GMT");
    }

    #[test]
    fn debug_does_not_print_the_key() {
        let shown = format!("{:?}", SharedKey::new("drones".into(), Secret::new(KEY)));
        assert!(shown.contains("drones") && !shown.contains(KEY), "{shown}");
    }
}
