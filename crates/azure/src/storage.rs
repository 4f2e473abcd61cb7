//! Connections to Azure Storage, in the format of Functions.
//!
//! The setting `Name` holds a connection string. Or, for an [`Identity`], `Name__queueServiceUri` and
//! `Name__blobServiceUri` (or `Name__accountName`, for both) hold the URLs of the services.

mod container;
mod error;
mod retry;

use std::sync::Arc;

use azure_core::{
    credentials::{Secret, TokenCredential},
    http::{ClientOptions, Url},
};
use devicestate_engine::settings::{ConfigError, Settings};

use crate::{
    connection_string::{ConnectionString, parse_url},
    identity::Identity,
    shared_key::{SECONDARY, SharedKey},
};
use retry::RetryLimits;

pub use error::{StorageError, StorageErrorKind};

pub(crate) use container::Container;
pub(crate) use error::{CredentialKind, Resource};

/// The default account of Azurite. Its key is published in Azurite's documentation, so it is not a secret.
const DEVELOPMENT_ACCOUNT: &str = "devstoreaccount1";
const DEVELOPMENT_KEY: &str =
    "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw==";

/// A service of a storage account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Service {
    /// Blobs.
    Blob,
    /// Queues.
    Queue,
}

/// A connection to a storage account. Creating one sends no request. `Debug` prints no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageConnection {
    name: String,
    blob: Option<Url>,
    queue: Option<Url>,
    /// The URL of the queues of the account's read-only copy, if the connection string has it.
    queue_secondary: Option<Url>,
    credential: StorageCredential,
    limits: RetryLimits,
}

/// How a connection authenticates.
#[derive(Debug, Clone, PartialEq, Eq)]
enum StorageCredential {
    Key {
        account: String,
        key: Secret,
    },
    /// A shared access signature: the query of each request.
    Signature(Secret),
    Identity(Identity),
}

/// The arguments of the SDK's client constructors.
pub(crate) struct ClientParts {
    pub(crate) url: Url,
    pub(crate) credential: Option<Arc<dyn TokenCredential>>,
    pub(crate) options: ClientOptions,
}

impl StorageConnection {
    /// Reads the connection of this name; `None` if the settings do not have it.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Connection`] or [`ConfigError::Missing`]; they name the setting, never its value.
    pub fn from_settings(settings: &Settings, name: &str) -> Result<Option<Self>, ConfigError> {
        if let Some(text) = settings.get(name) {
            return Self::from_connection_string(name, text).map(Some);
        }
        let setting_value = |part: &str| settings.get(&format!("{name}__{part}"));
        if ["blobServiceUri", "queueServiceUri", "accountName", "credential", "clientId"].map(setting_value)
            == [None; 5]
        {
            return Ok(None);
        }
        let endpoint = |service: Service| {
            let setting = service.uri_setting(name);
            let address = settings.get(&setting).map(str::to_owned);
            let address = match (address, setting_value("accountName")) {
                (None, Some(account)) => {
                    Some(service.account_url(&format!("{name}__accountName"), "https", account, "core.windows.net")?)
                }
                (address, _) => address,
            };
            let url = address.map(|address| parse_endpoint(&setting, "must be", &address)).transpose()?;
            match url {
                Some(url) if url.scheme() != "https" => Err(ConfigError::Connection {
                    setting,
                    problem: "must start with https://, because tokens are sent over encrypted connections only".into(),
                }),
                url => Ok(url),
            }
        };
        Ok(Some(Self {
            name: name.to_owned(),
            blob: endpoint(Service::Blob)?,
            queue: endpoint(Service::Queue)?,
            queue_secondary: None,
            credential: StorageCredential::Identity(Identity::from_settings(settings, name)?),
            limits: retry::HANDLER_LIMITS,
        }))
    }

    fn from_connection_string(name: &str, text: &str) -> Result<Self, ConfigError> {
        let parts = ConnectionString::parse(name, text)?;
        let limits = retry::HANDLER_LIMITS;
        let endpoint_in = |part: &str| {
            parts
                .get(part)
                .map(|address| parse_endpoint(name, &format!("has a {part} that must be"), address))
                .transpose()
        };
        if let Some(development) = parts.get("UseDevelopmentStorage") {
            if !development.eq_ignore_ascii_case("true") {
                return Err(parts.error(
                    "has UseDevelopmentStorage with a value other than true: set it to true or remove it".into(),
                ));
            }
            if parts.get("DevelopmentStorageProxyUri").is_some() {
                return Err(parts.error(
                    "has DevelopmentStorageProxyUri, which is not supported: set AccountName, AccountKey, BlobEndpoint and \
                     QueueEndpoint instead"
                        .into(),
                ));
            }
            let local = |port: u16| {
                parse_url(name, "must form", &format!("http://127.0.0.1:{port}/{DEVELOPMENT_ACCOUNT}")).map(Some)
            };
            let credential = StorageCredential::Key {
                account: DEVELOPMENT_ACCOUNT.to_owned(),
                key: Secret::new(DEVELOPMENT_KEY.to_owned()),
            };
            let (blob, queue) = (local(10_000)?, local(10_001)?);
            return Ok(Self { name: name.to_owned(), blob, queue, queue_secondary: None, credential, limits });
        }
        let endpoint = |service: Service| match (endpoint_in(service.endpoint_part())?, parts.get("AccountName")) {
            (None, Some(account)) => {
                let scheme = parts.get("DefaultEndpointsProtocol").unwrap_or("https");
                if !matches!(scheme, "https" | "http") {
                    return Err(parts.error("has a DefaultEndpointsProtocol that is neither https nor http".into()));
                }
                let suffix = parts.get("EndpointSuffix").unwrap_or("core.windows.net");
                let address = service.account_url(name, scheme, account, suffix)?;
                parse_endpoint(name, "must form", &address).map(Some)
            }
            (given, _) => Ok(given),
        };
        let credential = match parts.get("SharedAccessSignature") {
            Some(signature) => StorageCredential::Signature(Secret::new(signature.trim_start_matches('?').to_owned())),
            None => StorageCredential::Key {
                account: parts.require("AccountName")?.to_owned(),
                key: parts.key("AccountKey")?,
            },
        };
        let (blob, queue) = (endpoint(Service::Blob)?, endpoint(Service::Queue)?);
        if blob.is_none() && queue.is_none() {
            return Err(parts.error("has neither AccountName nor BlobEndpoint and QueueEndpoint".into()));
        }
        Ok(Self {
            name: name.to_owned(),
            blob,
            queue,
            queue_secondary: endpoint_in("QueueSecondaryEndpoint")?,
            credential,
            limits,
        })
    }

    /// Returns the connection with the retry limits of a tool, whose operator waits longer for a response than the host does. A
    /// try may last ten seconds.
    #[must_use]
    pub fn with_tool_retries(self) -> Self {
        Self { limits: retry::TOOL_LIMITS, ..self }
    }

    /// Returns the connection to the queues of the account's read-only copy. An account has one with read-access
    /// geo-redundant storage (RA-GRS); this method sends no request to find out.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Connection`] if the copy's URL is unknown: there is no `QueueSecondaryEndpoint` in a connection string,
    /// and the URL of the queues does not have the form of Azure's or Azurite's.
    pub fn secondary(&self) -> Result<Self, ConfigError> {
        let queue_secondary = self.queue_secondary.clone();
        let queue = queue_secondary.map(Some).or_else(|| self.queue.as_ref().map(secondary_queue_url));
        let unknown = || ConfigError::Connection {
            setting: self.service_setting(Service::Queue),
            problem:
                "does not identify a read-only copy: use a URL such as https://ACCOUNT.queue.core.windows.net, or a \
                      connection string with QueueSecondaryEndpoint"
                    .into(),
        };
        // If the connection has no queue service, creating a client reports it.
        let queue = queue.map(|secondary| secondary.ok_or_else(unknown)).transpose()?;
        Ok(Self { blob: None, queue, queue_secondary: None, ..self.clone() })
    }

    /// Returns the setting to check after a failure of this service.
    fn service_setting(&self, service: Service) -> String {
        match &self.credential {
            StorageCredential::Identity(_) => service.uri_setting(&self.name),
            StorageCredential::Key { .. } | StorageCredential::Signature(_) => self.name.clone(),
        }
    }

    /// Returns the URL of a service, without secrets.
    #[must_use]
    pub fn endpoint(&self, service: Service) -> Option<&Url> {
        match service {
            Service::Blob => self.blob.as_ref(),
            Service::Queue => self.queue.as_ref(),
        }
    }

    /// Returns the parts of a client of this service, and the context of its errors about `subject`. Sends no request.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the connection has no URL of the service, or its identity cannot be used on this machine.
    pub(crate) fn client(&self, service: Service, subject: String) -> Result<(ClientParts, Resource), ConfigError> {
        let setting = self.service_setting(service);
        let mut url = self.endpoint(service).cloned().ok_or_else(|| match &self.credential {
            StorageCredential::Identity(_) => ConfigError::missing(&setting, "it must be the URL of the service"),
            _ => ConfigError::Connection {
                setting: setting.clone(),
                problem: format!("has neither {} nor AccountName", service.endpoint_part()),
            },
        })?;
        let mut options = ClientOptions { retry: self.limits.retry_options(), ..ClientOptions::default() };
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let mut resource = Resource { subject, host, setting, role: service.role(), credential: CredentialKind::Key };
        let mut credential = None;
        match &self.credential {
            StorageCredential::Key { account, key } => {
                let mut shared_key = SharedKey::new(account.clone(), key.clone());
                if url.path().trim_end_matches('/') == format!("/{account}{SECONDARY}") {
                    shared_key = shared_key.with_secondary_in_path();
                }
                options.per_try_policies.push(Arc::new(shared_key));
            }
            StorageCredential::Signature(signature) => {
                url.set_query(Some(signature.secret()));
                resource.credential = CredentialKind::Signature;
            }
            StorageCredential::Identity(identity) => {
                resource.credential = CredentialKind::Identity;
                let token_credential = identity.credential().map_err(|error| ConfigError::Connection {
                    setting: format!("{}__credential", self.name),
                    problem: format!("selects an identity that cannot be used on this machine: {error}"),
                });
                credential = Some(retry::with_token_timeout(token_credential?));
            }
        }
        options.per_try_policies.push(Arc::new(retry::TryTimeout(self.limits)));
        Ok((ClientParts { url, credential, options }, resource))
    }
}

impl Service {
    fn name(self) -> &'static str {
        match self {
            Self::Blob => "blob",
            Self::Queue => "queue",
        }
    }

    fn endpoint_part(self) -> &'static str {
        match self {
            Self::Blob => "BlobEndpoint",
            Self::Queue => "QueueEndpoint",
        }
    }

    /// Returns the setting with this service's URL for an identity.
    fn uri_setting(self, connection: &str) -> String {
        format!("{connection}__{}ServiceUri", self.name())
    }

    /// Returns the role that an identity needs.
    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::Blob => "Storage Blob Data Contributor",
            Self::Queue => "Storage Queue Data Contributor",
        }
    }

    /// Returns the URL of this service in Azure.
    fn account_url(self, setting: &str, scheme: &str, account: &str, suffix: &str) -> Result<String, ConfigError> {
        // The name is checked and not repeated: it may be the key in the wrong part.
        if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Err(ConfigError::Connection {
                setting: setting.to_owned(),
                problem: "has an invalid account name: it must consist of lower-case letters and digits".into(),
            });
        }
        Ok(format!("{scheme}://{account}.{}.{suffix}", self.name()))
    }
}

/// Returns the URL of the account's read-only copy, in the form of Azure (`https://ACCOUNT-secondary.queue.…`) or of Azurite
/// (`http://127.0.0.1:10001/ACCOUNT-secondary`). `None` for a URL of another form.
fn secondary_queue_url(primary: &Url) -> Option<Url> {
    let mut url = primary.clone();
    match primary.path().trim_matches('/') {
        "" => {
            let (account, rest) = primary.domain()?.split_once('.')?;
            // The names of some accounts have a DNS zone between the account and the service.
            rest.split('.').take(2).find(|label| *label == Service::Queue.name())?;
            url.set_host(Some(&format!("{account}{SECONDARY}.{rest}"))).ok()?;
        }
        account if !account.contains('/') => url.set_path(&format!("/{account}{SECONDARY}")),
        _ => return None,
    }
    Some(url)
}

/// Parses the URL of a service. Removes the slash at its end, since names are appended to it.
fn parse_endpoint(setting: &str, requirement: &str, address: &str) -> Result<Url, ConfigError> {
    parse_url(setting, requirement, address.trim_end_matches('/'))
}
