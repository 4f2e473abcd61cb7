//! Who may send requests: programs of this machine, and the page itself, which has the token.
//!
//! Any web page can send requests to a port of the machine whose browser shows it, and reads the answers if its own name resolves
//! to 127.0.0.1. Such a request has a foreign `Origin` or `Host`, and has no token.

use std::sync::Arc;

use axum::{
    Router,
    extract::{Request, State},
    http::{HeaderMap, HeaderName, HeaderValue, Method, StatusCode, Uri, header},
    middleware::{Next, from_fn_with_state},
    response::{IntoResponse as _, Response},
};
use uuid::Uuid;

use crate::problem::Problem;

/// What a request must have.
pub(crate) struct Access {
    port: u16,
    token: String,
}

/// Returns the headers of each answer. The page has only its own scripts, styles and data, in no other page's frame, and sends its
/// address, which may have the token, to no other server.
fn protective_headers() -> [(HeaderName, HeaderValue); 5] {
    const POLICY: &str = "default-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'";
    [
        (header::CONTENT_SECURITY_POLICY, POLICY),
        (header::X_CONTENT_TYPE_OPTIONS, "nosniff"),
        (header::REFERRER_POLICY, "no-referrer"),
        (HeaderName::from_static("cross-origin-opener-policy"), "same-origin"),
        (HeaderName::from_static("cross-origin-resource-policy"), "same-origin"),
    ]
    .map(|(name, value)| (name, HeaderValue::from_static(value)))
}

impl Access {
    pub(crate) fn new(port: u16) -> Self {
        Self { port, token: Uuid::new_v4().simple().to_string() }
    }

    pub(crate) fn token(&self) -> &str {
        &self.token
    }

    /// Returns whether a host, with its port, is this server under a name that no other machine can have.
    fn is_this_server(&self, host: &str) -> bool {
        let name = host.strip_suffix(&format!(":{}", self.port));
        // The port of HTTP is left out.
        let name = name.or_else(|| (self.port == 80).then_some(host));
        name.is_some_and(|name| name == "127.0.0.1" || name.eq_ignore_ascii_case("localhost"))
    }

    /// Describes how a request shows that it is for another server or from another page.
    fn foreign(&self, method: &Method, uri: &Uri, headers: &HeaderMap) -> Option<&'static str> {
        let is_own = |value: &HeaderValue, prefix: &str| {
            value.to_str().ok().and_then(|text| text.strip_prefix(prefix)).is_some_and(|host| self.is_this_server(host))
        };
        let mut hosts = headers.get_all(header::HOST).iter();
        if hosts.next().is_none_or(|host| !is_own(host, "")) || hosts.next().is_some() {
            return Some("its `Host` is not the address of this server");
        }
        if uri.authority().is_some_and(|authority| !self.is_this_server(authority.as_str())) {
            return Some("its address is not that of this server");
        }
        let is_foreign = headers.get_all(header::ORIGIN).iter().any(|origin| !is_own(origin, "http://"));
        if is_foreign {
            return Some("its `Origin` is another page");
        }
        // A link of another page may open this one.
        let is_own = |site: &HeaderValue| site == "same-origin" || site == "none";
        let is_allowed = method.is_safe() || headers.get_all("sec-fetch-site").iter().all(is_own);
        (!is_allowed).then_some("its `Sec-Fetch-Site` is another page")
    }

    /// Returns whether a request has the token. The time does not depend on how much of a wrong token is right.
    fn has_token(&self, uri: &Uri, headers: &HeaderMap) -> bool {
        let bearer = headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok()?.strip_prefix("Bearer "));
        let in_query = || uri.query()?.split('&').find_map(|part| part.strip_prefix("token="));
        let Some(given) = bearer.or_else(in_query) else { return false };
        let difference = given.bytes().zip(self.token.bytes()).fold(0, |all, (one, other)| all | (one ^ other));
        given.len() == self.token.len() && difference == 0
    }
}

/// Refuses requests for other servers than this port of 127.0.0.1, and from other pages.
pub fn protected(routes: Router, port: u16) -> Router {
    protected_by(routes, Arc::new(Access::new(port)))
}

/// Refuses requests for other servers and from other pages, and adds the headers to each answer.
pub(crate) fn protected_by(routes: Router, access: Arc<Access>) -> Router {
    routes.layer(from_fn_with_state(access, protect))
}

async fn protect(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    let mut response = match access.foreign(request.method(), request.uri(), request.headers()) {
        Some(reason) => {
            Problem::new(StatusCode::FORBIDDEN, format!("the request is refused: {reason}")).into_response()
        }
        None => next.run(request).await,
    };
    for (name, value) in protective_headers() {
        response.headers_mut().insert(name, value);
    }
    response.headers_mut().entry(header::CACHE_CONTROL).or_insert(HeaderValue::from_static("no-store"));
    response
}

/// Refuses requests without the token.
pub(crate) async fn require_token(State(access): State<Arc<Access>>, request: Request, next: Next) -> Response {
    if access.has_token(request.uri(), request.headers()) {
        return next.run(request).await;
    }
    let detail = "the token is missing or belongs to an earlier run: open the address that the program has printed";
    let problem = Problem::new(StatusCode::UNAUTHORIZED, detail);
    ([(header::WWW_AUTHENTICATE, "Bearer")], problem).into_response()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_browser_leaves_out_the_port_of_http() {
        let is_this_server = |port, host| Access::new(port).is_this_server(host);
        for host in ["127.0.0.1", "localhost", "localhost:80"] {
            assert_eq!((is_this_server(80, host), is_this_server(8_080, host)), (true, false), "{host}");
        }
        assert!(!is_this_server(80, "devices.example") && !is_this_server(80, "localhost:8080"));
    }
}
