//! Parses connection strings: `Name=value;Name=value`, the format of all Azure services.

use std::collections::HashMap;

use azure_core::{credentials::Secret, http::Url};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use devicestate_engine::settings::ConfigError;

/// The parts of a connection string. It has no `Debug`, since it holds a key. Its errors name the setting and the part, never
/// a value.
pub struct ConnectionString {
    setting: String,
    parts: HashMap<String, String>,
}

impl ConnectionString {
    /// Parses the value of a setting.
    ///
    /// Like the services' own clients, it ignores the case of the parts' names. A value may contain `=`, as keys do.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Connection`] if a part has no `=` or occurs twice.
    pub fn parse(setting: &str, text: &str) -> Result<Self, ConfigError> {
        let invalid =
            |problem: &str| ConfigError::Connection { setting: setting.to_owned(), problem: problem.to_owned() };
        let mut parts = HashMap::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| {
                invalid("is not a connection string: it must consist of parts `Name=value`, separated by `;`")
            })?;
            if parts.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned()).is_some() {
                return Err(invalid("is not a valid connection string: one of its parts occurs twice"));
            }
        }
        Ok(Self { setting: setting.to_owned(), parts })
    }

    /// Returns the value of a part; `None` if it is missing or empty.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parts.get(&name.to_ascii_lowercase()).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// Returns the value of a required part.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Connection`] if it is missing; the error names the part.
    pub fn require(&self, name: &str) -> Result<&str, ConfigError> {
        self.get(name).ok_or_else(|| self.error(format!("has no {name}")))
    }

    /// Returns the account key in this part.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Connection`] if it is missing or not base64.
    pub fn key(&self, name: &str) -> Result<Secret, ConfigError> {
        let key = self.require(name)?;
        if BASE64_STANDARD.decode(key).is_err() {
            return Err(self.error(format!("has an {name} that is not base64: copy the complete key")));
        }
        Ok(Secret::new(key.to_owned()))
    }

    /// Returns the URL in this part.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Connection`] if it is missing or not a URL.
    pub fn url(&self, name: &str) -> Result<Url, ConfigError> {
        parse_url(&self.setting, &format!("has an {name} that must be"), self.require(name)?)
    }

    /// Returns an error about this connection string.
    #[must_use]
    pub fn error(&self, problem: String) -> ConfigError {
        ConfigError::Connection { setting: self.setting.clone(), problem }
    }
}

/// Parses the URL of a service. A URL with a user name, a query or a part of a connection string is rejected, since errors
/// contain URLs. An error does not repeat an invalid value: it may be a connection string in the wrong setting.
///
/// `requirement` is the beginning of the error's problem, such as `must be`.
///
/// # Errors
///
/// [`ConfigError::Connection`] if it is not an `http` or `https` URL.
pub(super) fn parse_url(setting: &str, requirement: &str, address: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.filter(|_| !address.contains(['@', '?', '#', ';']));
    url.ok_or_else(|| ConfigError::Connection {
        setting: setting.to_owned(),
        problem: format!("{requirement} a URL such as https://name.example.com/"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ConnectionString {
        ConnectionString::parse("Box", text).expect("a connection string")
    }

    #[test]
    fn names_of_parts_ignore_case_and_values_may_contain_an_equals_sign() {
        let parts = parse("accountENDPOINT=https://box.example.com:443/; AccountKey=c2VjcmV0IGtleQ== ;;Empty=;");
        assert_eq!(parts.url("AccountEndpoint").expect("an address").as_str(), "https://box.example.com/");
        assert_eq!(parts.key("AccountKey").expect("a key").secret(), "c2VjcmV0IGtleQ==");
        assert_eq!(parts.get("Empty"), None);
    }

    #[test]
    fn errors_name_the_setting_and_never_contain_a_secret() {
        let secret = "c2VjcmV0";
        let key_twice = format!("AccountKey={secret};AccountKey={secret}");
        let no_key = format!("AccountKey {secret}");
        for broken in [key_twice.as_str(), &no_key] {
            let Err(error) = ConnectionString::parse("Box", broken) else { panic!("{broken} was accepted") };
            assert!(error.to_string().contains("Box") && !error.to_string().contains(secret), "{error}");
        }
        let cut = format!("AccountKey={secret}=x");
        let errors = [
            parse(&cut).key("AccountKey").expect_err("not base64"),
            parse("AccountName=x").key("AccountKey").expect_err("no key"),
            parse("AccountEndpoint=ftp://x").url("AccountEndpoint").expect_err("not a URL"),
            parse_url("Box", "must be", &format!("https://x/;AccountKey={secret}")).expect_err("more than an address"),
            parse_url("Box", "must be", &format!("https://x:{secret}@y/")).expect_err("more than an address"),
            parse_url("Box", "must be", &format!("https://x/?sig={secret}")).expect_err("more than an address"),
        ];
        for error in errors {
            assert!(error.to_string().contains("Box") && !error.to_string().contains(secret), "{error}");
        }
    }

    #[test]
    fn a_key_is_not_printed() {
        assert!(!format!("{:?}", parse("AccountKey=c2VjcmV0").key("AccountKey")).contains("c2VjcmV0"));
    }
}
