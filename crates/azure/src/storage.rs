//! Connections to Azure Storage, as Functions writes them.
//!
//! The setting `Name` holds a connection string; or `Name__queueServiceUri`, `Name__blobServiceUri` (or
//! `Name__accountName`, for both) name the services, and an [`Identity`] asks.

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

pub use error::{Fault, StorageError};

pub(crate) use container::Container;
pub(crate) use error::{By, Resource};

/// The account that every Azurite has. Its key is in Azurite's documentation, and no secret.
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

/// A connection to a storage account. Making one asks nobody. `Debug` prints no secret.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StorageConnection {
    name: String,
    blob: Option<Url>,
    queue: Option<Url>,
    /// Where the account's read-only copy has its queues, when the connection string says so.
    queue_secondary: Option<Url>,
    proof: Proof,
    retry: RetryLimits,
}

/// What shows that a connection may do what it asks for.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Proof {
    Key {
        account: String,
        key: Secret,
    },
    /// A shared access signature: the query of each request.
    Signature(Secret),
    Identity(Identity),
}

/// What a client of a service is made of.
pub(crate) struct Client {
    pub(crate) url: Url,
    pub(crate) credential: Option<Arc<dyn TokenCredential>>,
    pub(crate) options: ClientOptions,
}

impl StorageConnection {
    /// Reads the connection of this name; `None` when the settings have none.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Connection`] or [`ConfigError::Missing`]; they name the setting and never its value.
    pub fn from_settings(settings: &Settings, name: &str) -> Result<Option<Self>, ConfigError> {
        if let Some(text) = settings.get(name) {
            return Self::from_connection_string(name, text).map(Some);
        }
        let named = |part: &str| settings.get(&format!("{name}__{part}"));
        if ["blobServiceUri", "queueServiceUri", "accountName", "credential", "clientId"].map(named) == [None; 5] {
            return Ok(None);
        }
        let endpoint = |service: Service| {
            let setting = service.setting_of(name);
            let address = settings.get(&setting).map(str::to_owned);
            let address = match (address, named("accountName")) {
                (None, Some(account)) => {
                    Some(service.address(&format!("{name}__accountName"), "https", account, "core.windows.net")?)
                }
                (address, _) => address,
            };
            let url = address.map(|address| parse_endpoint(&setting, "is", &address)).transpose()?;
            match url {
                Some(url) if url.scheme() != "https" => {
                    Err(ConfigError::Connection { setting, problem: "must be https: tokens go nowhere else".into() })
                }
                url => Ok(url),
            }
        };
        Ok(Some(Self {
            name: name.to_owned(),
            blob: endpoint(Service::Blob)?,
            queue: endpoint(Service::Queue)?,
            queue_secondary: None,
            proof: Proof::Identity(Identity::from_settings(settings, name)?),
            retry: retry::HANDLER,
        }))
    }

    fn from_connection_string(name: &str, text: &str) -> Result<Self, ConfigError> {
        let parts = ConnectionString::parse(name, text)?;
        let retry = retry::HANDLER;
        let given = |part: &str| {
            parts.get(part).map(|address| parse_endpoint(name, &format!("has a {part} that is"), address)).transpose()
        };
        if let Some(development) = parts.get("UseDevelopmentStorage") {
            if !development.eq_ignore_ascii_case("true") {
                return Err(parts.broken("has UseDevelopmentStorage, which must be true or not there".into()));
            }
            if parts.get("DevelopmentStorageProxyUri").is_some() {
                return Err(parts.broken(
                    "has DevelopmentStorageProxyUri, which is not understood here: give AccountName, AccountKey, \
                     BlobEndpoint and QueueEndpoint in its place"
                        .into(),
                ));
            }
            let local = |port: u16| {
                parse_url(name, "leads to", &format!("http://127.0.0.1:{port}/{DEVELOPMENT_ACCOUNT}")).map(Some)
            };
            let proof =
                Proof::Key { account: DEVELOPMENT_ACCOUNT.to_owned(), key: Secret::new(DEVELOPMENT_KEY.to_owned()) };
            let (blob, queue) = (local(10_000)?, local(10_001)?);
            return Ok(Self { name: name.to_owned(), blob, queue, queue_secondary: None, proof, retry });
        }
        let endpoint = |service: Service| match (given(service.endpoint_part())?, parts.get("AccountName")) {
            (None, Some(account)) => {
                let scheme = parts.get("DefaultEndpointsProtocol").unwrap_or("https");
                if !matches!(scheme, "https" | "http") {
                    return Err(parts.broken("has a DefaultEndpointsProtocol that is neither https nor http".into()));
                }
                let suffix = parts.get("EndpointSuffix").unwrap_or("core.windows.net");
                let address = service.address(name, scheme, account, suffix)?;
                parse_endpoint(name, "leads to", &address).map(Some)
            }
            (given, _) => Ok(given),
        };
        let proof = match parts.get("SharedAccessSignature") {
            Some(signature) => Proof::Signature(Secret::new(signature.trim_start_matches('?').to_owned())),
            None => Proof::Key { account: parts.require("AccountName")?.to_owned(), key: parts.key("AccountKey")? },
        };
        let (blob, queue) = (endpoint(Service::Blob)?, endpoint(Service::Queue)?);
        if blob.is_none() && queue.is_none() {
            return Err(parts.broken("has neither AccountName nor BlobEndpoint and QueueEndpoint".into()));
        }
        Ok(Self {
            name: name.to_owned(),
            blob,
            queue,
            queue_secondary: given("QueueSecondaryEndpoint")?,
            proof,
            retry,
        })
    }

    /// The same for a tool, whose user waits longer for an answer than the host does: two tries of ten seconds.
    #[must_use]
    pub fn with_tool_retries(self) -> Self {
        Self { retry: retry::TOOL, ..self }
    }

    /// The connection to the queues of the account's read-only copy, which it has with read-access geo-redundant storage
    /// (RA-GRS). Nobody is asked whether the account has one.
    ///
    /// # Errors
    ///
    /// [`ConfigError::Connection`], when the connection does not tell where the copy is: neither does a connection
    /// string have a `QueueSecondaryEndpoint`, nor is the address of its queues of a form that Azure or Azurite gives.
    pub fn secondary(&self) -> Result<Self, ConfigError> {
        let queue_secondary = self.queue_secondary.clone();
        let queue = queue_secondary.map(Some).or_else(|| self.queue.as_ref().map(secondary_of));
        let unknown = || ConfigError::Connection {
            setting: self.setting_of(Service::Queue),
            problem: "does not tell the address of the read-only copy: that is known of an account at \
                      https://ACCOUNT.queue.core.windows.net or the like, and from a QueueSecondaryEndpoint in a \
                      connection string"
                .into(),
        };
        // Without any queue service it is what is missing that is told, by whoever needs it.
        let queue = queue.map(|secondary| secondary.ok_or_else(unknown)).transpose()?;
        Ok(Self { blob: None, queue, queue_secondary: None, ..self.clone() })
    }

    /// The setting to look at when something is wrong with this service.
    fn setting_of(&self, service: Service) -> String {
        match &self.proof {
            Proof::Identity(_) => service.setting_of(&self.name),
            Proof::Key { .. } | Proof::Signature(_) => self.name.clone(),
        }
    }

    /// The address of a service, without any secret.
    #[must_use]
    pub fn endpoint(&self, service: Service) -> Option<&Url> {
        match service {
            Service::Blob => self.blob.as_ref(),
            Service::Queue => self.queue.as_ref(),
        }
    }

    /// What a client of this service needs, and what its errors tell of `subject`. Still nobody is asked.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], when the connection does not say where the service is, or this machine cannot be who asks.
    pub(crate) fn client(&self, service: Service, subject: String) -> Result<(Client, Resource), ConfigError> {
        let setting = self.setting_of(service);
        let mut url = self.endpoint(service).cloned().ok_or_else(|| match &self.proof {
            Proof::Identity(_) => ConfigError::missing(&setting, "it must name the service"),
            _ => ConfigError::Connection {
                setting: setting.clone(),
                problem: format!("has neither {} nor AccountName", service.endpoint_part()),
            },
        })?;
        let mut options = ClientOptions { retry: self.retry.retry_options(), ..ClientOptions::default() };
        let host = match url.port() {
            Some(port) => format!("{}:{port}", url.host_str().unwrap_or_default()),
            None => url.host_str().unwrap_or_default().to_owned(),
        };
        let mut resource = Resource { subject, host, setting, role: service.role(), by: By::Key };
        let mut credential = None;
        match &self.proof {
            Proof::Key { account, key } => {
                let mut shared_key = SharedKey::new(account.clone(), key.clone());
                if url.path().trim_end_matches('/') == format!("/{account}{SECONDARY}") {
                    shared_key = shared_key.with_secondary_in_path();
                }
                options.per_try_policies.push(Arc::new(shared_key));
            }
            Proof::Signature(signature) => {
                url.set_query(Some(signature.secret()));
                resource.by = By::Signature;
            }
            Proof::Identity(identity) => {
                resource.by = By::Identity;
                let made = identity.credential().map_err(|error| ConfigError::Connection {
                    setting: format!("{}__credential", self.name),
                    problem: format!("names an identity that this machine cannot be: {error}"),
                });
                credential = Some(retry::limited(made?));
            }
        }
        options.per_try_policies.push(Arc::new(retry::Limit(self.retry)));
        Ok((Client { url, credential, options }, resource))
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

    /// The setting that names this service for an identity.
    fn setting_of(self, connection: &str) -> String {
        format!("{connection}__{}ServiceUri", self.name())
    }

    /// The role without which an identity can do nothing here.
    pub(crate) fn role(self) -> &'static str {
        match self {
            Self::Blob => "Storage Blob Data Contributor",
            Self::Queue => "Storage Queue Data Contributor",
        }
    }

    /// Where Azure has the service of this account.
    fn address(self, setting: &str, scheme: &str, account: &str, suffix: &str) -> Result<String, ConfigError> {
        // Checked, and not told: whoever mistakes one part for another would read the key in the log.
        if account.is_empty() || !account.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit()) {
            return Err(ConfigError::Connection {
                setting: setting.to_owned(),
                problem: "has an account name that is none: it must be lower-case letters and digits".into(),
            });
        }
        Ok(format!("{scheme}://{account}.{}.{suffix}", self.name()))
    }
}

/// Where the read-only copy of this account is, by the rules of Azure (`https://ACCOUNT-secondary.queue.…`) and Azurite
/// (`http://127.0.0.1:10001/ACCOUNT-secondary`). `None` for an address of another form.
fn secondary_of(primary: &Url) -> Option<Url> {
    let mut url = primary.clone();
    match primary.path().trim_matches('/') {
        "" => {
            let (account, rest) = primary.domain()?.split_once('.')?;
            // Some accounts have their zone in between.
            rest.split('.').take(2).find(|label| *label == Service::Queue.name())?;
            url.set_host(Some(&format!("{account}{SECONDARY}.{rest}"))).ok()?;
        }
        account if !account.contains('/') => url.set_path(&format!("/{account}{SECONDARY}")),
        _ => return None,
    }
    Some(url)
}

/// The address of a service, without a slash at its end, since names are put behind it.
fn parse_endpoint(setting: &str, what: &str, address: &str) -> Result<Url, ConfigError> {
    parse_url(setting, what, address.trim_end_matches('/'))
}
