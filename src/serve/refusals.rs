//! Requests that are not the host's: from a web page, or for a function that the app does not have.

use std::sync::Arc;

use axum::{
    extract::{Request, State},
    http::{HeaderMap, HeaderValue, Method, StatusCode, Uri, header},
    middleware::Next,
    response::Response,
};

use super::json_response;
use devicestate_engine::rate_limit::OncePerMinute;

/// The longest part of a request that an answer or the log repeats, in characters.
const MAX_REPEATED_CHARS: usize = 100;

/// The names of the functions that the handler serves.
pub(super) struct Functions {
    names: String,
    log: OncePerMinute,
}

impl Functions {
    pub(super) fn new<'a>(names: impl Iterator<Item = &'a str>) -> Arc<Self> {
        let names = names.map(|name| format!("`{name}`")).collect::<Vec<_>>().join(", ");
        Arc::new(Self { names, log: OncePerMinute::default() })
    }
}

/// Answers a request for an unknown path. An invocation is an error: the host has a function that this handler does not know,
/// and fails or repeats each of its batches.
pub(super) async fn unknown_function(State(functions): State<Arc<Functions>>, method: Method, uri: Uri) -> Response {
    let name = shortened(uri.path().trim_start_matches('/'));
    let error = format!(
        "the handler has no function `{name}`, only {}; check the names of the folders and the triggers in their \
         function.json, then restart the handler",
        functions.names
    );
    if method == Method::POST && functions.log.is_due() {
        tracing::error!("{error}");
    }
    json_response(StatusCode::NOT_FOUND, serde_json::json!({ "error": error }).to_string())
}

/// Refuses requests that a web page may have sent: any page can post to a port of the machine whose browser shows it.
pub(super) async fn refuse_web_pages(State(log): State<Arc<OncePerMinute>>, request: Request, next: Next) -> Response {
    let Some(reason) = web_page(request.uri(), request.headers()) else { return next.run(request).await };
    let error = format!("the request is not from the Functions host: {reason}");
    if log.is_due() {
        tracing::warn!("refused: {error}");
    }
    json_response(StatusCode::FORBIDDEN, serde_json::json!({ "error": error }).to_string())
}

/// Describes how a request shows that a page in a browser may have sent it. The host sends no origin and addresses 127.0.0.1;
/// programs that speak HTTP/1.0 may send no host. Images and scripts of a page have no origin, but browsers say what they are for.
pub(super) fn web_page(uri: &Uri, headers: &HeaderMap) -> Option<String> {
    if headers.contains_key(header::ORIGIN) {
        return Some("it has an `Origin`".to_owned());
    }
    // An address that a person opens is from no site.
    let is_own = |site: &HeaderValue| site == "same-origin" || site == "none";
    if !headers.get_all("sec-fetch-site").iter().all(is_own) {
        return Some("its `Sec-Fetch-Site` is another page".to_owned());
    }
    let hosts = headers.get_all(header::HOST).iter().map(|host| String::from_utf8_lossy(host.as_bytes()));
    let mut hosts = hosts.chain(uri.authority().map(|authority| authority.as_str().into()));
    let foreign = hosts.find(|host| !is_loopback(host))?;
    Some(format!("its `Host` is {:?}, not 127.0.0.1, localhost or [::1]", shortened(&foreign)))
}

fn is_loopback(host: &str) -> bool {
    let name = match host.rsplit_once(':') {
        Some((name, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => name,
        _ => host,
    };
    name.eq_ignore_ascii_case("localhost") || ["127.0.0.1", "[::1]"].contains(&name)
}

fn shortened(text: &str) -> String {
    text.chars().take(MAX_REPEATED_CHARS).collect()
}
