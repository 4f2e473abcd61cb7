//! Hands requests to the handler, whose clock stands still.

use std::{future::Future, sync::Arc};

use bytes::Bytes;
use devicestate_engine::{
    function_app::Trigger,
    handler::{Handler, Response},
    processor::{DocumentCache, Processor},
    store::{Filter, RequestCharge, Selection, StateStore},
    telemetry::Telemetry,
};
use devicestate_test_doubles::{ScriptedStore, handler, processor_with_telemetry};
use regex_lite::{Captures, Regex};

/// The version in a dead letter, which each release changes.
const VERSION: &str = concat!(r#"\"HandlerVersion\":\""#, env!("CARGO_PKG_VERSION"), r#"\""#);

/// A request of the host.
pub(super) struct Request {
    pub(super) name: String,
    pub(super) trigger: Trigger,
    pub(super) invocation_id: String,
    pub(super) body: Bytes,
}

/// A handler for requests of any trigger.
pub(super) struct Replay {
    handler: Handler,
    times: Regex,
}

impl Replay {
    pub(super) fn new(telemetry: Arc<dyn Telemetry>, store: Arc<dyn StateStore>) -> Self {
        let unused = Arc::new(ScriptedStore::default());
        let processor = processor_with_telemetry(&unused, telemetry);
        let processor = Processor { store, cache: DocumentCache::new(64 << 20), ..processor };
        let times = Regex::new(r#"(\\"decodeMs\\":)[^,]+(,\\"storeMs\\":)[^,]+"#).expect("a pattern");
        Self { handler: handler(processor), times }
    }

    /// Returns the response. The times that the invocation took are 0, and the version is empty.
    pub(super) async fn invoke(&mut self, request: &Request) -> String {
        self.handler.function.trigger = request.trigger.clone();
        let (kind, body) = match self.handler.invoke(&request.invocation_id, &request.body).await {
            Response::Complete(body) => ("complete", body),
            Response::Retry(body) => ("retry", body),
        };
        let body = self.times.replace(&body, |parts: &Captures<'_>| format!("{}0.0{}0.0", &parts[1], &parts[2]));
        let body = body.replace(VERSION, "\\\"HandlerVersion\\\":\\\"\\\"");
        format!("{}\n{kind} {body}\n", request.name)
    }

    /// Returns the responses to these requests, one after the other.
    pub(super) async fn invoke_all(&mut self, requests: &[Request]) -> String {
        let mut responses = String::new();
        for request in requests {
            responses.push_str(&self.invoke(request).await);
        }
        responses
    }
}

/// Returns the documents of a store, one a line, in the order of their ids.
pub(super) async fn documents(store: &dyn StateStore) -> String {
    let selection = Selection { filter: &Filter::EVERY, after: None, limit: usize::MAX };
    let page = store.list(selection, &RequestCharge::default()).await.expect("the documents");
    let text = |document| serde_json::to_string(document).expect("a document is JSON") + "\n";
    page.documents.iter().map(text).collect()
}

/// Runs a future with a clock that moves only while the future waits for it.
pub(super) fn with_paused_clock<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_time().start_paused(true).build();
    runtime.expect("a runtime").block_on(future)
}
