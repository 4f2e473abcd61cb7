//! The connection to the container, opened by the first operation.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use azure_data_cosmos::{
    AccountEndpoint, AccountReference, ContainerClient, CosmosClient, RoutingStrategy,
    options::{
        AvailabilityStrategy, BinaryEncodingOptions, OperationOptions, OperationOptionsBuilder, Region,
        ThrottlingRetryOptionsBuilder,
    },
};
use devicestate_engine::store::StoreError;
use tokio::sync::Mutex;

use super::{
    config::{CosmosConfig, Regions},
    failure,
};
use crate::access::Access;

/// The connection to the container. It is reused: the client itself follows a write region that moves and a container that
/// is created again. But a client keeps its session token permanently, so [`Connection::reset`] replaces the client if the
/// account has lost the token's state.
pub(super) struct Connection {
    pub(super) config: CosmosConfig,
    state: Mutex<ConnectionState>,
    /// The number of attempts to connect that failed.
    failures: AtomicU64,
    /// Clients up to this number must not be used any more.
    invalidated: AtomicU64,
}

/// A client of the container.
pub(super) struct Container {
    pub(super) client: ContainerClient,
    /// The number of this client, from 1.
    number: u64,
}

/// The parts of a connection that exist so far.
#[derive(Default)]
struct ConnectionState {
    /// Kept because its credential caches tokens.
    reference: Option<AccountReference>,
    account: Option<CosmosClient>,
    container: Option<ContainerClient>,
    /// The number of clients so far.
    number: u64,
    last_failure: Option<StoreError>,
}

impl Connection {
    pub(super) fn new(config: CosmosConfig) -> Self {
        Self { config, state: Mutex::default(), failures: AtomicU64::new(0), invalidated: AtomicU64::new(0) }
    }

    /// Replaces the client with the next operation.
    ///
    /// With each read, a client requires a state at least as new as the newest that it has seen. An account that has lost
    /// writes since (restored, or failed over by force) can only answer such a read with 404/1002, forever.
    pub(super) fn reset(&self, container: &Container) {
        self.invalidated.fetch_max(container.number, Relaxed);
    }

    /// Returns the client of the container; connects unless it is connected.
    pub(super) async fn container(&self) -> Result<Container, StoreError> {
        let failures = self.failures.load(Relaxed);
        let mut state = self.state.lock().await;
        if state.container.is_some() && state.number <= self.invalidated.load(Relaxed) {
            (state.account, state.container) = (None, None);
        }
        if let Some(client) = &state.container {
            return Ok(Container { client: client.clone(), number: state.number });
        }
        // All devices of a batch connect at the same time: they share the failure of the attempt that they waited for.
        if failures != self.failures.load(Relaxed)
            && let Some(failure) = &state.last_failure
        {
            return Err(failure.clone());
        }
        match self.connect(&mut state).await {
            Ok(client) => {
                state.number += 1;
                state.container = Some(client.clone());
                Ok(Container { client, number: state.number })
            }
            Err(failure) => {
                state.last_failure = Some(failure.clone());
                self.failures.fetch_add(1, Relaxed);
                Err(failure)
            }
        }
    }

    async fn connect(&self, state: &mut ConnectionState) -> Result<ContainerClient, StoreError> {
        let account = if let Some(account) = &state.account {
            account.clone()
        } else {
            let reference = match &state.reference {
                Some(reference) => reference.clone(),
                None => state.reference.insert(self.reference()?).clone(),
            };
            state.account.insert(self.account(reference).await?).clone()
        };
        let CosmosConfig { database, container, .. } = &self.config;
        let container = account.database_client(database.clone()).container_client(container.clone(), None).await;
        container.map_err(|error| failure::classify_connect_error(&error, &self.config))
    }

    fn reference(&self) -> Result<AccountReference, StoreError> {
        let endpoint = AccountEndpoint::from(self.config.endpoint.clone());
        Ok(match &self.config.access {
            Access::Key(key) => AccountReference::with_authentication_key(endpoint, key.clone()),
            Access::Identity(identity) => {
                let credential = identity.credential().map_err(|error| failure::credential_unavailable(&error))?;
                AccountReference::with_credential(endpoint, credential)
            }
        })
    }

    async fn account(&self, reference: AccountReference) -> Result<CosmosClient, StoreError> {
        let routing = match &self.config.regions {
            Regions::Preferred(names) => {
                RoutingStrategy::PreferredRegions(names.iter().cloned().map(Region::from).collect())
            }
            Regions::NearestTo(name) => RoutingStrategy::ProximityTo(Region::from(name.clone())),
        };
        let client = CosmosClient::builder()
            .with_default_operation_options(operation_options())
            // Documents are sent as text to every endpoint. They have some hundred bytes, so the client's binary encoding would
            // save little, and the emulator rejects it with 400/1001.
            .with_binary_encoding_options(BinaryEncodingOptions::new().with_enabled(false))
            .build(reference, routing);
        client.await.map_err(|error| failure::classify_connect_error(&error, &self.config))
    }
}

fn operation_options() -> OperationOptions {
    OperationOptionsBuilder::new()
        // Throttled operations use the engine's backoff, which keeps to the invocation's budget and counts retries.
        .with_throttling_retry_options(ThrottlingRetryOptionsBuilder::new().with_max_retry_count(0).build())
        // Reading from a second region does not help if the write that follows has to go to the first.
        .with_availability_strategy(AvailabilityStrategy::Disabled)
        .build()
}
