//! Connection strings: `Name=value;Name=value`, as all services of Azure write them.

use std::collections::HashMap;

use azure_core::{credentials::Secret, http::Url};
use base64::{Engine as _, prelude::BASE64_STANDARD};
use devicestate_engine::settings::ConfigError;

/// The parts of a connection string. Has no `Debug`, since a key is among them; its errors name the setting and the
/// part, and never a value.
pub struct ConnectionString {
    setting: String,
    parts: HashMap<String, String>,
}

impl ConnectionString {
    /// Reads the value of a setting.
    ///
    /// Names of parts count without their case, as for the services' own clients. A value may contain `=`, as keys do.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Connection`] for a part that has no `=` or stands there twice.
    pub fn parse(setting: &str, text: &str) -> Result<Self, ConfigError> {
        let broken =
            |problem: &str| ConfigError::Connection { setting: setting.to_owned(), problem: problem.to_owned() };
        let mut parts = HashMap::new();
        for part in text.split(';').map(str::trim).filter(|part| !part.is_empty()) {
            let (name, value) = part.split_once('=').ok_or_else(|| {
                broken("is no connection string: it must be Name=value parts, each with a ; behind it")
            })?;
            if parts.insert(name.trim().to_ascii_lowercase(), value.trim().to_owned()).is_some() {
                return Err(broken("is no connection string: it has a part twice"));
            }
        }
        Ok(Self { setting: setting.to_owned(), parts })
    }

    /// A part; an empty one counts as absent.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        self.parts.get(&name.to_ascii_lowercase()).map(String::as_str).filter(|value| !value.is_empty())
    }

    /// A part that must be there.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Connection`]; it names the part.
    pub fn require(&self, name: &str) -> Result<&str, ConfigError> {
        self.get(name).ok_or_else(|| self.broken(format!("has no {name}")))
    }

    /// The account key in this part.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Connection`], when there is none or it is not base64.
    pub fn key(&self, name: &str) -> Result<Secret, ConfigError> {
        let key = self.require(name)?;
        if BASE64_STANDARD.decode(key).is_err() {
            return Err(self.broken(format!("has an {name} that is not base64: it was not copied whole")));
        }
        Ok(Secret::new(key.to_owned()))
    }

    /// The address in this part.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Connection`], when there is none or it is no address.
    pub fn url(&self, name: &str) -> Result<Url, ConfigError> {
        parse_url(&self.setting, &format!("has an {name} that is"), self.require(name)?)
    }

    /// An error about this connection string.
    #[must_use]
    pub fn broken(&self, problem: String) -> ConfigError {
        ConfigError::Connection { setting: self.setting.clone(), problem }
    }
}

/// The address of a service. What is none is not repeated: it may be a connection string in the wrong place. An address
/// with a name, a query, or the rest of a connection string in it is none either, since addresses are shown in errors.
///
/// # Errors
///
/// [`ConfigError::Connection`], when it is no `http` or `https` address.
pub(super) fn parse_url(setting: &str, what: &str, address: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    let url = url.filter(|_| !address.contains(['@', '?', '#', ';']));
    url.ok_or_else(|| ConfigError::Connection {
        setting: setting.to_owned(),
        problem: format!("{what} no address such as https://name.example.com/"),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> ConnectionString {
        ConnectionString::parse("Box", text).expect("a connection string")
    }

    #[test]
    fn parts_are_found_whatever_their_case_and_values_may_hold_an_equals_sign() {
        let parts = parse("accountENDPOINT=https://box.example.com:443/; AccountKey=c2VjcmV0IGtleQ== ;;Empty=;");
        assert_eq!(parts.url("AccountEndpoint").expect("an address").as_str(), "https://box.example.com/");
        assert_eq!(parts.key("AccountKey").expect("a key").secret(), "c2VjcmV0IGtleQ==");
        assert_eq!(parts.get("Empty"), None);
    }

    #[test]
    fn what_is_wrong_is_told_with_the_settings_name_and_never_with_a_secret() {
        let secret = "c2VjcmV0";
        let key_twice = format!("AccountKey={secret};AccountKey={secret}");
        let no_key = format!("AccountKey {secret}");
        for broken in [key_twice.as_str(), &no_key] {
            let Err(error) = ConnectionString::parse("Box", broken) else { panic!("{broken} was taken") };
            assert!(error.to_string().contains("Box") && !error.to_string().contains(secret), "{error}");
        }
        let cut = format!("AccountKey={secret}=x");
        let errors = [
            parse(&cut).key("AccountKey").expect_err("no base64"),
            parse("AccountName=x").key("AccountKey").expect_err("no key"),
            parse("AccountEndpoint=ftp://x").url("AccountEndpoint").expect_err("no address"),
            parse_url("Box", "is", &format!("https://x/;AccountKey={secret}")).expect_err("more than an address"),
            parse_url("Box", "is", &format!("https://x:{secret}@y/")).expect_err("more than an address"),
            parse_url("Box", "is", &format!("https://x/?sig={secret}")).expect_err("more than an address"),
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
