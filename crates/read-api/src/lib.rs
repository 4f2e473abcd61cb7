//! The read API: answers requests for the state of devices from the store of their documents.
//!
//! It has no HTTP server: callers pass it the parts of a request. The handler answers invocations of the host's HTTP trigger with
//! it, and requests on a port; the live page uses it, too.
//!
//! * [`filter`]: the language of the parameter `where`.
//! * [`model`]: the answers. [`openapi`]: their description.
//! * [`Problem`]: what is answered instead.

mod continuation;
mod device;
mod devices;
mod etag;
pub mod filter;
mod indexed;
pub mod model;
pub mod openapi;
mod problem;
mod query;
mod response;
mod selection;
mod summary;
mod time;

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use devicestate_engine::{
    clock::Clock,
    store::{RequestCharge, StateStore},
    text::panic_message,
};
use futures_util::FutureExt as _;
use tokio::time::timeout;

pub use indexed::IndexedFields;
pub use problem::Problem;
pub use query::percent_decoded;
pub use response::Response;
pub use time::duration_ms;

use query::Parameters;
use response::Content;

/// The time limit of an answer whose caller sets none.
pub const MAX_ANSWER_TIME: Duration = Duration::from_secs(30);

/// Answers requests for the state of devices.
pub struct ReadApi {
    /// The store of the documents.
    pub store: Arc<dyn StateStore>,
    /// The fields that a filter may use.
    pub indexed: IndexedFields,
    /// The clock for the ages of devices.
    pub clock: Arc<dyn Clock>,
}

/// A request, without the host and the base path.
#[derive(Clone, Copy)]
pub struct Request<'a> {
    /// The method, such as `GET`.
    pub method: &'a str,
    /// The path after the base path, as it was sent, with percent encoding: empty for the list, `/summary`, or `/` and a device id.
    pub path: &'a str,
    /// The query as it was sent, without `?`. It may contain a key, so it is never logged or repeated.
    pub query: &'a str,
    /// The value of the header `If-None-Match`.
    pub if_none_match: Option<&'a str>,
}

impl Request<'_> {
    /// Returns whether the request is for one device, which costs little.
    #[must_use]
    pub fn names_device(&self) -> bool {
        match Route::from_path(self.path) {
            Ok(Route::List) => self.query.split('&').any(|pair| pair.starts_with("id=")),
            Ok(Route::Summary) => false,
            Ok(Route::Device(_)) | Err(_) => true,
        }
    }
}

/// What a path names.
enum Route {
    List,
    Summary,
    Device(String),
}

impl ReadApi {
    /// Answers a request within [`MAX_ANSWER_TIME`].
    pub async fn answer(&self, request: &Request<'_>) -> Response {
        self.answer_within(request, MAX_ANSWER_TIME).await
    }

    /// Answers a request within this time. A panic is logged and answered, too.
    pub async fn answer_within(&self, request: &Request<'_>, budget: Duration) -> Response {
        let charge = RequestCharge::default();
        let answer = AssertUnwindSafe(timeout(budget, self.content(request, &charge))).catch_unwind();
        let content = match answer.await {
            Ok(Ok(content)) => content,
            Ok(Err(_)) => Err(Problem::timeout(budget)),
            Err(panic) => {
                tracing::error!("the read API panicked: {}", panic_message(&*panic));
                Err(Problem::internal())
            }
        };
        Response::new(content, charge.units())
    }

    async fn content(&self, request: &Request<'_>, charge: &RequestCharge) -> Result<Content, Problem> {
        let route = Route::from_path(request.path)?;
        if request.method != "GET" {
            return Err(Problem::method());
        }
        match route {
            Route::Device(id) => {
                let parameters = Parameters::parse(request.query, &device::PARAMETERS)?;
                self.device(&id, &parameters, request.if_none_match, charge).await
            }
            Route::Summary => {
                let parameters = Parameters::parse(request.query, &summary::PARAMETERS)?;
                self.summary(&parameters, charge).await
            }
            Route::List => {
                let parameters = Parameters::parse(request.query, &devices::PARAMETERS)?;
                let Some(id) = parameters.get("id") else { return self.devices(&parameters, charge).await };
                if let Some(other) = parameters.names().find(|name| *name != "id" && !device::PARAMETERS.contains(name))
                {
                    let detail = format!("`id` selects one device, so `{other}` has no effect: remove one of them");
                    return Err(Problem::invalid_parameter(detail));
                }
                self.device(id, &parameters, request.if_none_match, charge).await
            }
        }
    }
}

impl Route {
    /// Returns what a path names. Only a single segment is an id, which is decoded once.
    fn from_path(path: &str) -> Result<Self, Problem> {
        let Some(segment) = path.strip_prefix('/').filter(|segment| !segment.is_empty()) else {
            return if path.is_empty() || path == "/" { Ok(Self::List) } else { Err(Problem::unknown_path()) };
        };
        if segment.contains('/') {
            return Err(Problem::unknown_path());
        }
        let id = percent_decoded(segment)
            .map_err(|reason| Problem::bad_request(format!("the device id in the path cannot be decoded: {reason}")))?;
        Ok(if id == "summary" { Self::Summary } else { Self::Device(id) })
    }
}

#[cfg(test)]
mod tests;
