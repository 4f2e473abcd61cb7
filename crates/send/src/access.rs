//! Authorizes this program at a hub: with a token of Microsoft Entra, or with a shared access signature.
//!
//! The key of a connection string is used for signing and never leaves the process.

use std::{sync::Arc, time::Duration};

use azure_core::{
    credentials::{Secret, TokenCredential},
    hmac::hmac_sha256,
    time::OffsetDateTime,
};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use devicestate_engine::clock::{Clock as _, System};
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};

use crate::failure::Failure;

/// The scope of tokens of Entra.
const SCOPE: &str = "https://eventhubs.azure.net/.default";

/// How long a signature of this program is valid.
const SIGNATURE_VALIDITY: Duration = Duration::from_hours(1);

/// Characters that are not percent-encoded in a signature.
const UNRESERVED: &AsciiSet = &NON_ALPHANUMERIC.remove(b'-').remove(b'_').remove(b'.').remove(b'~');

/// The credentials of this program. It has no `Debug`, so that it cannot be printed.
pub(crate) enum Access {
    /// The hub needs no token.
    Anonymous,
    /// An identity.
    Identity(Arc<dyn TokenCredential>),
    /// The key of a shared access policy.
    Key {
        /// The policy's name.
        name: String,
        /// The key, used as text without decoding.
        key: Secret,
    },
    /// A given signature, which cannot be renewed.
    Signature(Secret),
}

/// A token for the hub's `$cbs` node.
pub(crate) struct Token {
    pub(crate) text: Secret,
    /// Its type, as the node names it.
    pub(crate) kind: &'static str,
    pub(crate) expires_on: OffsetDateTime,
}

impl Access {
    /// Returns a token for the hub of this name; `None` if the hub needs none.
    ///
    /// # Errors
    ///
    /// [`Failure`] if no token can be obtained: no user is logged in, or the signature has expired.
    pub(crate) async fn token(&self, hub: &str) -> Result<Option<Token>, Failure> {
        const SIGNATURE: &str = "servicebus.windows.net:sastoken";
        let now = System.now_ms() / 1_000;
        Ok(Some(match self {
            Self::Anonymous => return Ok(None),
            Self::Identity(credential) => {
                let token = credential.get_token(&[SCOPE], None).await;
                let token = token.map_err(|error| {
                    Failure::not_sent(format!(
                        "no token could be obtained: {error}; check the identity, or run `az login`"
                    ))
                })?;
                Token { text: token.token, kind: "jwt", expires_on: token.expires_on }
            }
            Self::Key { name, key } => {
                let until = now + i64::try_from(SIGNATURE_VALIDITY.as_secs()).unwrap_or(i64::MAX);
                Token { text: sign(hub, name, key, until)?, kind: SIGNATURE, expires_on: to_date_time(until)? }
            }
            Self::Signature(signature) => {
                let until = expiry_seconds(signature.secret()).ok_or_else(|| {
                    Failure::permanent("the SharedAccessSignature has no expiry (se=…): create a new one".into())
                })?;
                if until <= now {
                    return Err(Failure::permanent("the SharedAccessSignature has expired: create a new one".into()));
                }
                Token { text: signature.clone(), kind: SIGNATURE, expires_on: to_date_time(until)? }
            }
        }))
    }
}

/// Returns a shared access signature for a resource, valid until this second since 1970.
fn sign(resource: &str, name: &str, key: &Secret, until: i64) -> Result<Secret, Failure> {
    let resource = utf8_percent_encode(resource, UNRESERVED).to_string().to_lowercase();
    // `hmac_sha256` expects base64 and decodes it.
    let key = Secret::new(BASE64_STANDARD.encode(key.secret()));
    let signature = hmac_sha256(&format!("{resource}\n{until}"), &key).map_err(|_| {
        Failure::permanent(
            "the SharedAccessKey cannot be used for signing: copy it again from the shared access policy".into(),
        )
    })?;
    let signature = utf8_percent_encode(&signature, UNRESERVED);
    let name = utf8_percent_encode(name, UNRESERVED);
    Ok(Secret::new(format!("SharedAccessSignature sr={resource}&sig={signature}&se={until}&skn={name}")))
}

/// Returns the second since 1970 at which a signature expires.
fn expiry_seconds(signature: &str) -> Option<i64> {
    let fields = signature.strip_prefix("SharedAccessSignature ")?;
    fields.split('&').find_map(|field| field.strip_prefix("se="))?.parse().ok()
}

fn to_date_time(seconds: i64) -> Result<OffsetDateTime, Failure> {
    OffsetDateTime::from_unix_timestamp(seconds)
        .map_err(|_| Failure::permanent("the expiry of the token is an invalid time".into()))
}

#[cfg(test)]
mod tests {
    use azure_core::credentials::{AccessToken, TokenRequestOptions};

    use super::*;

    #[derive(Debug)]
    struct FixedCredential;

    #[async_trait::async_trait]
    impl TokenCredential for FixedCredential {
        async fn get_token(
            &self,
            scopes: &[&str],
            _: Option<TokenRequestOptions<'_>>,
        ) -> azure_core::Result<AccessToken> {
            Ok(AccessToken::new(scopes.join(" "), OffsetDateTime::UNIX_EPOCH))
        }
    }

    #[tokio::test]
    async fn an_identity_uses_a_token_for_event_hubs() {
        let token = Access::Identity(Arc::new(FixedCredential)).token("amqps://x/y").await;
        let token = token.expect("the credential has a token").expect("a token");
        assert_eq!((token.text.secret(), token.kind), ("https://eventhubs.azure.net/.default", "jwt"));
    }

    /// The signature was computed independently: `printf 'amqps%3a%2f%2fns.example.com%2ftelemetry\n1700000000' |
    /// openssl dgst -sha256 -hmac c2VjcmV0 -binary | base64`.
    #[test]
    fn a_key_signs_for_one_hub_and_one_expiry() {
        let key = Secret::new("c2VjcmV0");
        let token = sign("amqps://ns.example.com/telemetry", "send", &key, 1_700_000_000).expect("a signature");
        assert_eq!(
            token.secret(),
            "SharedAccessSignature sr=amqps%3a%2f%2fns.example.com%2ftelemetry&sig=wYoOxZsReTPIE8gbDqj3jKPEAvQroBH8RDlgBso16sQ%3D\
             &se=1700000000&skn=send"
        );
        assert_eq!(expiry_seconds(token.secret()), Some(1_700_000_000));
    }

    #[tokio::test]
    async fn a_given_signature_is_valid_until_its_expiry() {
        let token = async |until: &str| {
            let signature = Secret::new(format!("SharedAccessSignature sr=x&sig=y&se={until}&skn=z"));
            Access::Signature(signature).token("amqps://x/y").await.map(Option::unwrap)
        };
        let valid = token("4000000000").await.expect("valid until 2096");
        assert_eq!((valid.kind, valid.expires_on.unix_timestamp()), ("servicebus.windows.net:sastoken", 4_000_000_000));
        for invalid in ["1", "soon"] {
            assert!(token(invalid).await.is_err(), "{invalid}");
        }
    }
}
