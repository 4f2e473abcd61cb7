//! The account: Microsoft's store, with features of the real service that it lacks.

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
use serde_json::{Value, json};
use tokio::sync::Mutex;

use crate::{
    numbers, operation,
    queries::{self, Index, Query},
    response::CosmosResponse,
};

/// The largest throughput of a partition in Azure. A container's throughput is spread evenly over its partitions.
const RU_PER_PARTITION: u64 = 10_000;

/// The sub-status of a 404 if the container or database of the resource is missing, not the resource itself.
const OWNER_NOT_FOUND: u32 = 1003;

/// A region and its URL.
#[derive(Debug, Clone)]
pub(crate) struct Region {
    pub(crate) name: String,
    pub(crate) endpoint: Url,
}

/// A request with its complete body.
pub(crate) struct CollectedRequest {
    pub(crate) method: Method,
    pub(crate) path_and_query: String,
    pub(crate) headers: HeaderMap,
    pub(crate) body: Bytes,
}

/// A database account with one database and at most one container.
pub(crate) struct Account {
    http: InMemoryEmulatorHttpClient,
    store: Arc<EmulatorStore>,
    regions: Vec<Region>,
    database: String,
    container: String,
    throughput: Option<u64>,
    index: Index,
    /// Locked while the container is checked and created, since the store would replace an existing one.
    creating: Mutex<()>,
}

impl Account {
    /// Creates an account with the database, and without a container. With a throughput, in request units per second, the
    /// container responds with 429 to requests that exceed it.
    pub(crate) fn new(
        regions: Vec<Region>,
        database: String,
        container: String,
        throughput: Option<u64>,
        index: Index,
    ) -> Result<Self, String> {
        let virtual_regions =
            regions.iter().map(|region| VirtualRegion::new(&region.name, region.endpoint.clone())).collect();
        let config = VirtualAccountConfig::new(virtual_regions)
            .map_err(|error| error.to_string())?
            // Replication is immediate, so that no test depends on its duration.
            .with_replication_config(ReplicationConfig::immediate())
            .with_throttling_enabled(throughput.is_some());
        let http = InMemoryEmulatorHttpClient::try_new(config).map_err(|error| error.to_string())?;
        let store = http.store();
        store.create_database(&database);
        Ok(Self { http, store, regions, database, container, throughput, index, creating: Mutex::default() })
    }

    /// Executes a request in this region, and responds as Azure does.
    pub(crate) async fn execute(&self, region: &Region, request: CollectedRequest) -> CosmosResponse {
        let path_and_query = request.path_and_query.clone();
        let response = match Query::parse(&request) {
            None => self.execute_in_store(region, request).await,
            Some(Ok(query)) => self.query(region, request, query).await,
            Some(Err(reason)) => CosmosResponse::error(StatusCode::BAD_REQUEST, &reason),
        };
        if response.status == StatusCode::NOT_FOUND
            && !response.has_sub_status()
            && self.is_owner_missing(&path_and_query).await
        {
            // The store omits the sub-status that distinguishes a missing container from a missing document.
            return response.with_sub_status(OWNER_NOT_FOUND);
        }
        response
    }

    /// Executes a query, or returns its plan.
    async fn query(&self, region: &Region, request: CollectedRequest, query: Query) -> CosmosResponse {
        const CONTINUATION: &str = "x-ms-continuation";
        if query.has_unindexed_order(&self.index) {
            let message = "The index path corresponding to the specified order-by item is excluded.";
            return CosmosResponse::error(StatusCode::BAD_REQUEST, message);
        }
        let CollectedRequest { method, path_and_query, headers, .. } = request;
        let request = |headers: HeaderMap, body: &Value| CollectedRequest {
            method: method.clone(),
            path_and_query: path_and_query.clone(),
            headers,
            body: body.to_string().into(),
        };
        let response = self.execute_in_store(region, request(headers.clone(), &query.body)).await;
        if !response.status.is_success() {
            return response;
        }
        if query.is_plan {
            return response.with_rewritten_query(queries::to_service);
        }
        let is_continued = headers.contains_key(CONTINUATION);
        let loaded = if query.reads_all_documents(&self.index) && !is_continued {
            let mut all = headers;
            all.remove("x-ms-max-item-count");
            let every = json!({ "query": "SELECT * FROM c" });
            self.execute_in_store(region, request(all, &every)).await.item_count()
        } else {
            response.item_count()
        };
        response.with_charge(queries::charge(loaded))
    }

    /// Creates the container. Returns false, and does nothing, if it exists.
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

    /// Deletes the container with its documents. Returns whether it existed.
    pub(crate) async fn delete_container(&self) -> bool {
        let _creating = self.creating.lock().await;
        self.execute_directly(&Method::DELETE, &self.container_path(), &HeaderMap::new(), Bytes::new())
            .await
            .status
            .is_success()
    }

    /// Moves the write region. From now on, the old one responds with 403 and sub-status 3 to writes.
    pub(crate) fn move_write_region(&self, to: &str) -> Result<(), String> {
        self.store.set_write_region(to).map_err(|error| error.to_string())
    }

    /// Executes a request of a test in the write region, without counts, faults or authorization.
    pub(crate) async fn execute_directly(
        &self,
        method: &Method,
        path: &str,
        headers: &HeaderMap,
        body: Bytes,
    ) -> CosmosResponse {
        let writes = self.store.config().write_region_name();
        let region = self.regions.iter().find(|region| region.name == writes);
        let region = region.expect("the store has no other regions");
        let (method, path_and_query, headers) = (method.clone(), path.to_owned(), headers.clone());
        self.execute_in_store(region, CollectedRequest { method, path_and_query, headers, body }).await
    }

    /// Returns the path of the container's documents.
    pub(crate) fn documents_path(&self) -> String {
        format!("{}/docs", self.container_path())
    }

    /// Returns the regions in the order of the command line.
    pub(crate) fn regions(&self) -> &[Region] {
        &self.regions
    }

    fn container_path(&self) -> String {
        format!("/dbs/{}/colls/{}", self.database, self.container)
    }

    async fn exists(&self, path: &str) -> bool {
        self.execute_directly(&Method::GET, path, &HeaderMap::new(), Bytes::new()).await.status.is_success()
    }

    async fn is_owner_missing(&self, path_and_query: &str) -> bool {
        let path = path_and_query.split('?').next().unwrap_or_default();
        let segments: Vec<_> = operation::segments(path).collect();
        let owner = match segments.len() {
            ..3 => return false,
            3 | 4 => 2,
            _ => 4,
        };
        !self.exists(&format!("/{}", segments[..owner].join("/"))).await
    }

    async fn execute_in_store(&self, region: &Region, request: CollectedRequest) -> CosmosResponse {
        let CollectedRequest { method, path_and_query, headers, body } = request;
        // The store rejects trailing slashes, which some clients send.
        let (path, query) = path_and_query.split_once('?').unwrap_or((&path_and_query, ""));
        let mut url = region.endpoint.clone();
        url.set_path(path.trim_end_matches('/'));
        url.set_query((!query.is_empty()).then_some(query));
        let Ok(method) = method.as_str().parse() else {
            return CosmosResponse::error(StatusCode::METHOD_NOT_ALLOWED, "Cosmos DB does not support this method.");
        };
        let mut request = Request::new(url, method);
        for (name, value) in &headers {
            if let Ok(value) = HeaderValue::to_str(value) {
                let name = HeaderName::from(name.as_str().to_owned());
                request.headers_mut().insert(name, AzureHeaderValue::from(value.to_owned()));
            }
        }
        request.set_body(numbers::round(body));
        match self.http.execute_request(&request).await {
            Ok(raw) => CosmosResponse::from_store(raw).await,
            Err(error) => CosmosResponse::error(StatusCode::INTERNAL_SERVER_ERROR, &error.to_string()),
        }
    }
}
