//! The read API by plain HTTP, on a port of its own: for programs on this machine, and to try it without the Functions host. It
//! needs no key, so it listens on the loopback address only and refuses requests that a web page may have sent.

use std::{sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Request, State},
    http::{self, Method, header},
    response::{IntoResponse as _, Response},
};
use devicestate_read_api::{self as read_api, Problem, openapi};

use super::{readers::Readers, refusals::web_page};

/// The path before those of the API, as on Azure.
const BASE: &str = "/api/devices";

/// The path of the description of the API.
const DESCRIPTION: &str = "/openapi.json";

/// Returns the routes of the API, in which an answer takes at most `budget`.
pub(super) fn router(readers: Arc<Readers>, budget: Duration) -> Router {
    // Not by the routes of axum, which decode the id.
    Router::new().fallback(answer).with_state((readers, budget))
}

async fn answer(State((readers, budget)): State<(Arc<Readers>, Duration)>, request: Request) -> Response {
    let (uri, headers) = (request.uri(), request.headers());
    if let Some(reason) = web_page(uri, headers) {
        let problem = Problem::forbidden(format!("a web page may have sent the request: {reason}"));
        return to_http(read_api::Response::from(&problem));
    }
    if uri.path() == DESCRIPTION && request.method() == Method::GET {
        return ([(header::CONTENT_TYPE, "application/json")], openapi::document()).into_response();
    }
    let path = uri.path().strip_prefix(BASE).filter(|path| path.is_empty() || path.starts_with('/'));
    let Some(path) = path else { return to_http(read_api::Response::from(&Problem::unknown_path())) };
    let tags = headers.get_all(header::IF_NONE_MATCH).iter().filter_map(|tags| tags.to_str().ok());
    let tags = tags.collect::<Vec<_>>().join(", ");
    let request = read_api::Request {
        method: request.method().as_str(),
        path,
        query: uri.query().unwrap_or_default(),
        if_none_match: Some(&*tags).filter(|tags| !tags.is_empty()),
    };
    to_http(readers.answer(&request, budget).await)
}

fn to_http(answer: read_api::Response) -> Response {
    http::Response::from(answer).into_response()
}
