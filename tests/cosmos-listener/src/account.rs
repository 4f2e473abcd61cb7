//! The account: Microsoft's store, with what it lacks of the real one.

use std::sync::Arc;

use axum::{
    body::Bytes,
    http::{HeaderMap, HeaderValue, Method, StatusCode},
};
use azure_core::http::{
    Request, Url,
    headers::{HeaderName, HeaderValue as AzureHeaderValue},
};
use azure_data_cosmos_driver::in_memory_emulator::{
    ContainerConfig, EmulatorStore, InMemoryEmulatorHttpClient, ReplicationConfig, VirtualAccountConfig, VirtualRegion,
};
use tokio::sync::Mutex;

use crate::{answer::Answer, operation};

/// Azure spreads a container's throughput evenly over partitions of at most this much.
const RU_PER_PARTITION: u64 = 10_000;

/// The sub-status of a 404 which is not about the resource itself but about the container or database that it is in.
const OWNER_NOT_FOUND: u32 = 1003;

/// One region and where it listens.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    pub(crate) name: String,
    pub(crate) endpoint: Url,
}

/// A request once it is here as a whole.
pub(crate) struct Whole {
    pub(crate) method: Method,
    pub(crate) path_and_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A database account with one database and (mostly) one container.
pub(crate) struct Account {
    http: InMemoryEmulatorHttpClient,
    store: Arc<EmulatorStore>,
    regions: Vec<Region>,
    database: String,
    container: String,
    throughput: Option<u64>,
    /// Held while the container is looked for and created, since the store itself would replace one that is there.
    creating: Mutex<()>,
}

impl Account {
    /// An account with the database, and no container yet. With a throughput, in request units per second, its container
    /// answers 429 to what goes beyond.
    pub(crate) fn new(
        regions: Vec<Region>,
        database: String,
        container: String,
        throughput: Option<u64>,
    ) -> Result<Self, String> {
        let virtual_regions =
            regions.iter().map(|region| VirtualRegion::new(&region.name, region.endpoint.clone())).collect();
        let config = VirtualAccountConfig::new(virtual_regions)
            .map_err(|error| error.to_string())?
            // A document is in all regions at once, so that no test depends on how long that takes.
            .with_replication_config(ReplicationConfig::immediate())
            .with_throttling_enabled(throughput.is_some());
        let http = InMemoryEmulatorHttpClient::try_new(config).map_err(|error| error.to_string())?;
        let store = http.store();
        store.create_database(&database);
        Ok(Self { http, store, regions, database, container, throughput, creating: Mutex::default() })
    }

    /// Does what a request asks for, in this region, and answers as Azure does.
    pub(crate) async fn execute(&self, region: &Region, request: Whole) -> Answer {
        let path_and_query = request.path_and_query.clone();
        let answer = self.ask_store(region, request).await;
        if answer.status == StatusCode::NOT_FOUND && !answer.has_sub_status() && self.lacks_owner(&path_and_query).await
        {
            // The store leaves out what tells a missing container from a missing document.
            return answer.with_sub_status(OWNER_NOT_FOUND);
        }
        answer
    }

    /// Creates the container; does nothing, and says so, if it is there.
    pub(crate) async fn create_container(&self) -> bool {
        let _creating = self.creating.lock().await;
        if self.exists(&self.container_path()).await {
            return false;
        }
        let mut config = ContainerConfig::new();
        if let Some(throughput) = self.throughput {
            let partitions = u32::try_from(throughput.div_ceil(RU_PER_PARTITION)).unwrap_or(u32::MAX);
            config = config.with_throughput(throughput).with_partition_count(partitions);
        }
        self.store.create_container_with_config(&self.database, &self.container, "/id".into(), config);
        true
    }

    /// Removes the container with all documents; tells whether it was there.
    pub(crate) async fn delete_container(&self) -> bool {
        let _creating = self.creating.lock().await;
        self.ask(&Method::DELETE, &self.container_path(), &HeaderMap::new(), Bytes::new()).await.status.is_success()
    }

    /// Moves the write region. The old one answers 403 with sub-status 3 to writes from now on.
    pub(crate) fn move_write_region(&self, to: &str) -> Result<(), String> {
        self.store.set_write_region(to).map_err(|error| error.to_string())
    }

    /// Asks the store behind the client's back, in the write region.
    pub(crate) async fn ask(&self, method: &Method, path: &str, headers: &HeaderMap, body: Bytes) -> Answer {
        let writes = self.store.config().write_region_name();
        let region = self.regions.iter().find(|region| region.name == writes);
        let region = region.expect("the store knows no other regions");
        let (method, path_and_query, headers) = (method.clone(), path.to_owned(), headers.clone());
        self.ask_store(region, Whole { method, path_and_query, headers, body }).await
    }

    /// The container's documents, as a path.
    pub(crate) fn documents_path(&self) -> String {
        format!("{}/docs", self.container_path())
    }

    /// The regions in the order of the command line.
    pub(crate) fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn container_path(&self) -> String {
        format!("/dbs/{}/colls/{}", self.database, self.container)
    }

    async fn exists(&self, path: &str) -> bool {
        self.ask(&Method::GET, path, &HeaderMap::new(), Bytes::new()).await.status.is_success()
    }

    async fn lacks_owner(&self, path_and_query: &str) -> bool {
        let path = path_and_query.split('?').next().unwrap_or_default();
        let segments: Vec<_> = operation::segments(path).collect();
        let owner = match segments.len() {
            ..3 => return false,
            3 | 4 => 2,
            _ => 4,
        };
        !self.exists(&format!("/{}", segments[..owner].join("/"))).await
    }

    async fn ask_store(&self, region: &Region, request: Whole) -> Answer {
        let Whole { method, path_and_query, headers, body } = request;
        // The store refuses trailing slashes, which some clients send.
        let (path, query) = path_and_query.split_once('?').unwrap_or((&path_and_query, ""));
        let mut url = region.endpoint.clone();
        url.set_path(path.trim_end_matches('/'));
        url.set_query((!query.is_empty()).then_some(query));
        let Ok(method) = method.as_str().parse() else {
            return Answer::error(StatusCode::METHOD_NOT_ALLOWED, "Cosmos DB has no such method.");
        };
        let mut request = Request::new(url, method);
        for (name, value) in &headers {
            if let Ok(value) = HeaderValue::to_str(value) {
                let name = HeaderName::from(name.as_str().to_owned());
                request.headers_mut().insert(name, AzureHeaderValue::from(value.to_owned()));
            }
        }
        request.set_body(body);
        match self.http.execute_request(&request).await {
            Ok(raw) => Answer::from_store(raw).await,
            Err(error) => Answer::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }
}
