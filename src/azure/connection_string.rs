//! Connection strings: `Name=value;Name=value`, as all services of Azure write them.

use std::collections::HashMap;

use azure_core::{credentials::Secret, http::Url};
use base64::{Engine as _, prelude::BASE64_STANDARD};

use crate::settings::ConfigError;

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
                return Err(broken(&format!("is no connection string: it has the part {} twice", name.trim())));
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
        parse_url(&self.setting, &format!("has the {name}"), self.require(name)?)
    }

    /// An error about this connection string.
    #[must_use]
    pub fn broken(&self, problem: String) -> ConfigError {
        ConfigError::Connection { setting: self.setting.clone(), problem }
    }
}

/// The address of a service.
///
/// # Errors
///
/// [`ConfigError::Connection`], when it is no `http` or `https` address.
pub(super) fn parse_url(setting: &str, what: &str, address: &str) -> Result<Url, ConfigError> {
    let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https") && url.has_host());
    url.ok_or_else(|| ConfigError::Connection {
        setting: setting.to_owned(),
        problem: format!("{what} {address:?}, which is no address such as https://name.example.com/"),
    })
}
