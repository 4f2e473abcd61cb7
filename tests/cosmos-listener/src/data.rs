//! Handles requests to the data ports: counts them, checks their signature, and applies a fault or executes them.

use std::sync::Arc;

use axum::{
    body::Bytes,
    http::{Request, Response, StatusCode},
};
use http_body_util::{BodyExt as _, Full, Limited};
use hyper::body::Incoming;

use crate::{
    account::{Account, CollectedRequest, Region},
    authorization,
    counters::Counters,
    faults::{Effect, Faults, Rule},
    gateway,
    operation::Operation,
    response::CosmosResponse,
};

/// Limits the bodies that are read. The limit of a document is much lower, and the store enforces it.
pub(crate) const MAX_BODY_BYTES: usize = 64 << 20;

/// The state that the data ports and the control port share.
pub(crate) struct Service {
    pub(crate) account: Account,
    pub(crate) counters: Counters,
    pub(crate) faults: Faults,
}

/// The result of a request with a fault.
struct FaultResult {
    /// The response that the service counts and charges for.
    counted: Option<CosmosResponse>,
    /// The response that the client gets; `None` closes the connection.
    sent: Option<CosmosResponse>,
}

impl Service {
    /// Handles a request to this region's port. `None` closes the connection without a response.
    pub(crate) async fn serve(
        self: Arc<Self>,
        region: Region,
        request: Request<Incoming>,
    ) -> Option<Response<Full<Bytes>>> {
        let (head, body) = request.into_parts();
        let operation = Operation::parse(&head.method, head.uri.path(), &head.headers);
        self.counters.count_request(operation.kind);
        let response = match Limited::new(body, MAX_BODY_BYTES).collect().await {
            Err(error) => Some(CosmosResponse::error(StatusCode::BAD_REQUEST, &error.to_string())),
            Ok(body) => {
                let request = CollectedRequest {
                    path_and_query: head.uri.path_and_query().map_or("/", |it| it.as_str()).to_owned(),
                    method: head.method,
                    headers: head.headers,
                    body: body.to_bytes(),
                };
                // In a task of its own, since Azure too continues after the client has disconnected: such late writes make
                // timeouts ambiguous.
                let task = tokio::spawn(self.clone().respond(region, operation, request));
                task.await.unwrap_or_else(|panic| {
                    Some(CosmosResponse::error(
                        StatusCode::INTERNAL_SERVER_ERROR,
                        &format!("The store panicked: {panic}"),
                    ))
                })
            }
        }?;
        let mut sent = Response::new(Full::new(response.body));
        *sent.status_mut() = response.status;
        *sent.headers_mut() = response.headers;
        Some(sent)
    }

    async fn respond(
        self: Arc<Self>,
        region: Region,
        operation: Operation,
        request: CollectedRequest,
    ) -> Option<CosmosResponse> {
        let path = request.path_and_query.split('?').next().unwrap_or_default();
        if let Err(why) = authorization::check(&request.method, path, &request.headers) {
            let rejection = CosmosResponse::error(StatusCode::UNAUTHORIZED, &why);
            self.counters.count_response(&rejection);
            return Some(rejection);
        }
        if let Some(refusal) = gateway::refusal(&operation, &request) {
            self.counters.count_response(&refusal);
            return Some(refusal);
        }
        let Some(fault) = self.faults.matching(&operation) else {
            let response = self.account.execute(&region, request).await;
            self.counters.count_response(&response);
            return Some(response);
        };
        let FaultResult { counted, sent } = self.apply(&fault, &region, request).await;
        if let Some(counted) = &counted {
            self.counters.count_response(counted);
        }
        sent
    }

    /// Applies a fault to a request.
    async fn apply(&self, fault: &Rule, region: &Region, request: CollectedRequest) -> FaultResult {
        tokio::time::sleep(fault.delay()).await;
        match fault.effect() {
            Effect::Disconnect => FaultResult { counted: None, sent: None },
            Effect::Status => {
                let response = fault.response(None);
                FaultResult { counted: response.clone(), sent: response }
            }
            Effect::Delay => {
                let response = self.account.execute(region, request).await;
                FaultResult { counted: Some(response.clone()), sent: Some(response) }
            }
            Effect::DropResponse => {
                let dropped = self.account.execute(region, request).await;
                let sent = fault.response(Some(&dropped));
                FaultResult { counted: sent.clone().or(Some(dropped)), sent }
            }
        }
    }
}
