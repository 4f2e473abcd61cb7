//! The way to the container, made with the first operation.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use azure_data_cosmos::{
    AccountEndpoint, AccountReference, ContainerClient, CosmosClient, RoutingStrategy,
    options::{AvailabilityStrategy, OperationOptions, OperationOptionsBuilder, Region, ThrottlingRetryOptionsBuilder},
};
use devicestate_engine::store::StoreError;
use tokio::sync::Mutex;

use super::{
    config::{CosmosConfig, Regions},
    failure,
};
use crate::access::Access;

/// The way to the container. Once found it is kept: the client itself follows a write region that moves and a container
/// that is made anew. Only what it has seen it never forgets: see [`Connection::forget`].
pub(super) struct Connection {
    pub(super) config: CosmosConfig,
    known: Mutex<Known>,
    /// How often the way was looked for in vain.
    failures: AtomicU64,
    /// Ways up to this number are not to be gone any more.
    forgotten: AtomicU64,
}

/// The container's client.
pub(super) struct Container {
    pub(super) client: ContainerClient,
    /// Which of the ways that were found this is, from 1.
    number: u64,
}

/// What is known of the way.
#[derive(Default)]
struct Known {
    /// Kept for the sake of the credential in it, which keeps its tokens.
    reference: Option<AccountReference>,
    account: Option<CosmosClient>,
    container: Option<ContainerClient>,
    /// How many ways were found so far.
    number: u64,
    failure: Option<StoreError>,
}

impl Connection {
    pub(super) fn new(config: CosmosConfig) -> Self {
        Self { config, known: Mutex::default(), failures: AtomicU64::new(0), forgotten: AtomicU64::new(0) }
    }

    /// Makes a new client with the next operation.
    ///
    /// A client asks with each read for a state at least as new as the newest that it has seen. An account that has lost
    /// writes since (restored, or failed over by force) can answer that with nothing but 404/1002, for ever.
    pub(super) fn forget(&self, container: &Container) {
        self.forgotten.fetch_max(container.number, Relaxed);
    }

    /// The container's client.
    pub(super) async fn container(&self) -> Result<Container, StoreError> {
        let failures = self.failures.load(Relaxed);
        let mut known = self.known.lock().await;
        if known.container.is_some() && known.number <= self.forgotten.load(Relaxed) {
            (known.account, known.container) = (None, None);
        }
        if let Some(client) = &known.container {
            return Ok(Container { client: client.clone(), number: known.number });
        }
        // All devices of a batch ask at once: what one of them was told while they waited is true for them, too.
        if failures != self.failures.load(Relaxed)
            && let Some(failure) = &known.failure
        {
            return Err(failure.clone());
        }
        match self.find(&mut known).await {
            Ok(client) => {
                known.number += 1;
                known.container = Some(client.clone());
                Ok(Container { client, number: known.number })
            }
            Err(failure) => {
                known.failure = Some(failure.clone());
                self.failures.fetch_add(1, Relaxed);
                Err(failure)
            }
        }
    }

    async fn find(&self, known: &mut Known) -> Result<ContainerClient, StoreError> {
        let account = if let Some(account) = &known.account {
            account.clone()
        } else {
            let reference = match &known.reference {
                Some(reference) => reference.clone(),
                None => known.reference.insert(self.reference()?).clone(),
            };
            known.account.insert(self.account(reference).await?).clone()
        };
        let CosmosConfig { database, container, .. } = &self.config;
        let found = account.database_client(database.clone()).container_client(container.clone(), None).await;
        found.map_err(|error| failure::of_connecting(&error, &self.config))
    }

    fn reference(&self) -> Result<AccountReference, StoreError> {
        let endpoint = AccountEndpoint::from(self.config.endpoint.clone());
        Ok(match &self.config.access {
            Access::Key(key) => AccountReference::with_authentication_key(endpoint, key.clone()),
            Access::Identity(identity) => {
                let credential = identity.credential().map_err(|error| failure::no_credential(&error))?;
                AccountReference::with_credential(endpoint, credential)
            }
        })
    }

    async fn account(&self, reference: AccountReference) -> Result<CosmosClient, StoreError> {
        let routing = match &self.config.regions {
            Regions::Preferred(names) => {
                RoutingStrategy::PreferredRegions(names.iter().cloned().map(Region::from).collect())
            }
            Regions::Near(name) => RoutingStrategy::ProximityTo(Region::from(name.clone())),
        };
        let client = CosmosClient::builder().with_default_operation_options(options()).build(reference, routing).await;
        client.map_err(|error| failure::of_connecting(&error, &self.config))
    }
}

fn options() -> OperationOptions {
    OperationOptionsBuilder::new()
        // Throttled operations wait in our own back-off, which knows the invocation's budget and counts what it does.
        .with_throttling_retry_options(ThrottlingRetryOptionsBuilder::new().with_max_retry_count(0).build())
        // A read answered by a second region helps nobody when the write behind it has to go to the first.
        .with_availability_strategy(AvailabilityStrategy::Disabled)
        .build()
}
