//! The server of the page: its routes, and its end.

use std::{convert::Infallible, io, net::Ipv4Addr, sync::Arc, time::Duration};

use axum::{
    Router,
    extract::{Query, Request, State, rejection::QueryRejection},
    http::{self, StatusCode, header},
    middleware::from_fn_with_state,
    response::{
        IntoResponse, Response,
        sse::{KeepAlive, Sse},
    },
    routing::{any, get},
};
use devicestate_read_api as read_api;
use futures_util::StreamExt as _;
use serde::Deserialize;
use tokio::{net::TcpListener, task::JoinSet, time::sleep};

use crate::{
    Options,
    access::{Access, protected_by, require_token},
    assets,
    detail::detail,
    events::events,
    filter,
    fleet::MAX_DEVICES,
    letters,
    poller::Poller,
    problem::Problem,
    shared::Shared,
};

/// How long open connections may take to end.
const END_TIME: Duration = Duration::from_secs(1);

/// The time between two comments in a stream without events.
const KEEP_ALIVE: Duration = Duration::from_secs(15);

/// The path of the read API.
const API: &str = "/api/devices";

/// The server of the page, on 127.0.0.1.
pub struct LiveServer {
    listener: TcpListener,
    port: u16,
    access: Arc<Access>,
    options: Options,
}

impl LiveServer {
    /// Opens a port on 127.0.0.1: this one, or a free one for 0.
    ///
    /// # Errors
    ///
    /// Returns an error if the port is in use.
    pub async fn bind(options: Options, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port, access: Arc::new(Access::new(port)), options })
    }

    /// Returns the address of the page, with its token.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.access.token())
    }

    /// Returns the address to which events are sent.
    #[must_use]
    pub fn listen_address(&self) -> Option<String> {
        self.options.listen.as_ref().map(|listen| format!("http://127.0.0.1:{}{}", self.port, listen.path))
    }

    /// Serves until `shutdown` is ready.
    ///
    /// # Errors
    ///
    /// Returns an error if the port can no longer be served.
    pub async fn serve(mut self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let info = self.info();
        let listen = self.options.listen.take().map_or_else(Router::new, |listen| listen.routes);
        let shared = Shared::new(self.options);
        let router = routes(Arc::clone(&shared), info, &self.access).merge(listen);
        let router = protected_by(router, self.access);
        let mut tasks = JoinSet::new();
        tasks.spawn(Poller::new(Arc::clone(&shared)).run());
        tasks.spawn(letters::watch(Arc::clone(&shared)));
        let ending = shared.is_ending.subscribe();
        let end = async move {
            shutdown.await;
            shared.is_ending.send_replace(true);
        };
        let server = axum::serve(self.listener, router).with_graceful_shutdown(end);
        tokio::select! {
            result = server => result,
            () = end_time(ending) => Ok(()),
        }
    }

    /// Returns the answer of `/live/info`.
    fn info(&self) -> String {
        let options = &self.options;
        serde_json::json!({
            "program": concat!("devicestate ", env!("CARGO_PKG_VERSION")),
            "store": options.store_name,
            "state": options.state.as_ref().map(|path| path.display().to_string()),
            "run": options.run.is_some(),
            "partitions": Some(options.partitions.len()).filter(|partitions| *partitions > 0),
            "listen": self.listen_address(),
            "silentAfterMs": options.silent_after_ms,
            "readOnly": true,
            "maxDevices": MAX_DEVICES,
        })
        .to_string()
    }
}

/// Waits until the time for the end is over.
async fn end_time(mut ending: tokio::sync::watch::Receiver<bool>) {
    if ending.wait_for(|is_ending| *is_ending).await.is_err() {
        std::future::pending::<()>().await;
    }
    sleep(END_TIME).await;
}

fn routes(shared: Arc<Shared>, info: String, access: &Arc<Access>) -> Router {
    let data = Router::new()
        .route(API, any(answer_api))
        .route("/api/devices/", any(answer_api))
        .route("/api/devices/{*id}", any(answer_api))
        .route("/live/info", get(async || json(info)))
        .route("/live/devices", get(answer_devices))
        .route("/live/device", get(answer_device))
        .route_layer(from_fn_with_state(Arc::clone(access), require_token))
        .with_state(shared);
    data.fallback(answer_file)
}

fn json(body: String) -> Response {
    ([(header::CONTENT_TYPE, "application/json")], body).into_response()
}

async fn answer_file(request: Request) -> Result<Response, Problem> {
    let path = request.uri().path();
    let (content, content_type) = assets::find(path).ok_or_else(|| {
        let detail =
            "the page has no file with this path; the API has /api/devices, /api/devices/{id} and /api/devices/summary";
        Problem::new(StatusCode::NOT_FOUND, detail)
    })?;
    if !matches!(request.method().as_str(), "GET" | "HEAD") {
        return Err(Problem::new(StatusCode::METHOD_NOT_ALLOWED, "a file of the page can only be read: use GET"));
    }
    let headers = [(header::CONTENT_TYPE, content_type), (header::CACHE_CONTROL, "no-cache")];
    Ok((headers, content).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DevicesQuery {
    #[serde(default)]
    r#where: String,
    #[serde(default, rename = "token")]
    _token: String,
}

async fn answer_devices(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<DevicesQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(query) = query.map_err(|rejection| invalid_query(&rejection))?;
    let filter = filter::parse(&query.r#where)?;
    let admission = shared.admit_reader().ok_or_else(|| {
        Problem::new(StatusCode::SERVICE_UNAVAILABLE, "too many pages are open at the same time: close one of them")
    })?;
    let keep_alive = KeepAlive::new().interval(KEEP_ALIVE);
    let events = events(shared, filter, admission);
    Ok(Sse::new(events.map(Ok::<_, Infallible>)).keep_alive(keep_alive).into_response())
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct DeviceQuery {
    id: String,
    #[serde(default, rename = "token")]
    _token: String,
}

async fn answer_device(
    State(shared): State<Arc<Shared>>,
    query: Result<Query<DeviceQuery>, QueryRejection>,
) -> Result<Response, Problem> {
    let Query(DeviceQuery { id, .. }) = query.map_err(|rejection| invalid_query(&rejection))?;
    match detail(&shared, &id).await {
        Ok(Some(detail)) => Ok(json(detail)),
        Ok(None) => Err(Problem::new(StatusCode::NOT_FOUND, "the store has no document of this device")),
        Err(error) => Err(Problem::new(StatusCode::SERVICE_UNAVAILABLE, format!("the store cannot be read: {error}"))),
    }
}

fn invalid_query(rejection: &QueryRejection) -> Problem {
    Problem::new(StatusCode::BAD_REQUEST, rejection.body_text())
}

/// Answers a request of the read API. The token is not passed on, because the read API knows no such parameter.
async fn answer_api(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    let uri = request.uri();
    let query = uri.query().unwrap_or_default().split('&').filter(|part| !part.starts_with("token="));
    let query = query.collect::<Vec<_>>().join("&");
    let if_none_match = request.headers().get(header::IF_NONE_MATCH).and_then(|value| value.to_str().ok());
    let api_request = read_api::Request {
        method: request.method().as_str(),
        path: uri.path().strip_prefix(API).unwrap_or_default(),
        query: &query,
        if_none_match,
    };
    http::Response::from(shared.options.api.answer(&api_request).await).into_response()
}

#[cfg(test)]
mod tests;
