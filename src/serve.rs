//! The HTTP side of the handler, as the Functions host expects it of a custom handler.

use std::{convert::Infallible, hint::black_box, net::Ipv4Addr, path::Path, sync::Arc};

use axum::{
    Router,
    body::{Body, Bytes, HttpBody as _},
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    response::{IntoResponse, Response},
    routing::{get, post},
    serve::ListenerExt as _,
};
use devicestate_engine::{
    dead_letter::{HANDLER_VERSION, OverflowCache},
    function_app::{Function, FunctionApp, FunctionAppError, apply_overrides},
    handler::{self, Handler, RetryDrill},
    record::{Record, StartRecord},
    retry_decision::Attempts,
    settings::{ConfigError, Settings},
};
use devicestate_sqlite::{DatabaseError, Opening};
use http_body_util::BodyExt as _;
use tokio::net::TcpListener;

use crate::{
    assembly::{engine, open_overflow, open_store},
    config::{self, Config, OverflowConfig, StoreConfig},
    log,
    observer::Reporter,
    otlp::Otlp,
    watch::Watch,
};

/// Why the handler cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// The function app's files.
    #[error(transparent)]
    FunctionApp(#[from] FunctionAppError),
    /// The store's file.
    #[error("{0} (setting SqlitePath)")]
    Database(#[from] DatabaseError),
    /// The port.
    #[error("the handler cannot listen on 127.0.0.1:{port}: {error} (setting FUNCTIONS_CUSTOMHANDLER_PORT)")]
    Port {
        /// Its number.
        port: u16,
        /// What the system says.
        error: std::io::Error,
    },
    /// The server ended, which it never should while the host lives.
    #[error("the server ended: {0}")]
    Ended(std::io::Error),
}

/// Serves the functions of the app in this folder until the process is killed, as the host does in the end.
///
/// # Errors
///
/// [`ServeError`], when it cannot start. It never returns otherwise.
pub async fn serve(app_root: &Path, settings: &Settings, port: u16) -> Result<Infallible, ServeError> {
    let router = prepare(app_root, settings);
    // Also when it cannot start: what is missing may be there under a name that is almost right.
    for (set, meant) in settings.misspelled() {
        tracing::warn!("the setting {set} has no effect: its name must be {meant}, letter by letter");
    }
    let router = router?;
    keep_memory();
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    let listener = listener.map_err(|error| ServeError::Port { port, error })?;
    // With port 0 it is one of the system's choice.
    let port = listener.local_addr().map_or(port, |address| address.port());
    log::tell(&Record::Start(StartRecord {
        version: HANDLER_VERSION.to_owned(),
        process_id: std::process::id(),
        port,
        state_store: settings.get("StateStore").unwrap_or_default().to_owned(),
    }));
    // Replies are small and the host waits for each: none may wait for a full packet.
    let listener = listener.tap_io(|connection| {
        let _ = connection.set_nodelay(true);
    });
    match axum::serve(listener, router).await {
        Ok(()) => Err(ServeError::Ended(std::io::Error::other("without an error"))),
        Err(error) => Err(ServeError::Ended(error)),
    }
}

/// Asks for a large piece of memory and gives it back untouched. From then on glibc's allocator takes pieces up to this size
/// for a thing that comes again, and keeps them for the next batch; otherwise it gives them to the system after each one,
/// and gets other pages in their place (`M_MMAP_THRESHOLD` of mallopt(3)). docs/reports/performance.md has what that makes.
fn keep_memory() {
    /// Just below the largest for which glibc does so.
    const PIECE: usize = 31 << 20;
    drop(black_box(Vec::<u8>::with_capacity(PIECE)));
}

fn prepare(app_root: &Path, settings: &Settings) -> Result<Router, ServeError> {
    let config = Config::from_settings(settings)?;
    let mut app = FunctionApp::load(app_root)?;
    apply_overrides(settings, &mut app.host)?;
    config::locate_queues(settings, &mut app);
    config.check_against(&app)?;
    router(app, &config, settings)
}

/// Where a function's dead letters go that are too large for its queue.
fn keeper(settings: &Settings, store: &StoreConfig, function: &Function) -> Result<Option<OverflowCache>, ConfigError> {
    let config = OverflowConfig::from_settings(settings, store, &function.dead_letters)?;
    if let OverflowConfig::Nowhere { connection } = &config {
        tracing::warn!(
            function = function.name,
            "bodies of dead letters over 48 KiB will be cut, since there is no place for them: the setting \
             {connection} or {connection}__blobServiceUri leads to blobs, DeadLetterDirectory to a folder"
        );
    }
    Ok(open_overflow(&config)?.map(OverflowCache::new))
}

fn router(app: FunctionApp, config: &Config, settings: &Settings) -> Result<Router, ServeError> {
    let otlp = Otlp::start(settings);
    let store = otlp.store(&config.store, open_store(&config.store, Opening::Create)?);
    let processor = Arc::new(engine(config, store, Arc::new(Reporter)));
    otlp.observe(&processor);
    let watch = Arc::new(Watch::new(&app.functions, settings, config.invocation_budget));
    let mut router = Router::new();
    for function in app.functions {
        let (path, trigger) = (format!("/{}", function.name), function.trigger.clone());
        let handler = Arc::new(Handler {
            overflow: keeper(settings, &config.store, &function)?,
            function,
            processor: Arc::clone(&processor),
            attempts: Attempts::new(config.dead_letter_after_attempts),
            retry_drill: config.retry_drill_device.clone().map(|device| RetryDrill { device }),
        });
        router = router.route(&path, otlp.invocations(post(invoke).with_state(handler), &trigger));
    }
    for timer in app.timers {
        let path = format!("/{}", timer.name);
        router = router.route(&path, post(look).with_state((timer.name, Arc::clone(&watch))));
    }
    // Any answer means ready: the handler listens only once it is.
    router = router.route("/", get(|| async { json(StatusCode::OK, "{}".into()) }));
    // No limit: the service already limits events to 1 MB (20 MB on dedicated clusters) and batches to
    // maxEventBatchSize, and a refused batch would come again for ever.
    Ok(router.layer(DefaultBodyLimit::disable()))
}

async fn invoke(State(handler): State<Arc<Handler>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = match whole(body).await {
        Ok(body) => body,
        Err(error) => {
            tracing::warn!(%error, "a request did not arrive whole");
            return json(StatusCode::BAD_REQUEST, "{}".into());
        }
    };
    match handler.invoke(invocation_id(&head.headers), &body).await {
        handler::Response::Complete(reply) => json(StatusCode::OK, reply),
        handler::Response::Retry(body) => json(StatusCode::SERVICE_UNAVAILABLE, body),
    }
}

/// A body in one piece. What comes in several is copied as it comes, since the connection reads on into the memory of what
/// it is given back.
async fn whole(mut body: Body) -> Result<Bytes, axum::Error> {
    /// What is announced and not there yet gets no more room than this at once.
    const MOST_AHEAD: usize = 32 << 20;
    let Some(first) = next_part(&mut body).await? else { return Ok(Bytes::new()) };
    let Some(second) = next_part(&mut body).await? else { return Ok(first) };
    let ahead = usize::try_from(body.size_hint().lower()).unwrap_or_default().min(MOST_AHEAD);
    let mut whole = Vec::with_capacity(first.len() + second.len() + ahead);
    whole.extend_from_slice(&first);
    whole.extend_from_slice(&second);
    drop((first, second));
    while let Some(part) = next_part(&mut body).await? {
        whole.extend_from_slice(&part);
    }
    Ok(whole.into())
}

async fn next_part(body: &mut Body) -> Result<Option<Bytes>, axum::Error> {
    while let Some(frame) = body.frame().await {
        // The other kind of frame has trailers, which say nothing here.
        if let Ok(part) = frame?.into_data() {
            return Ok(Some(part));
        }
    }
    Ok(None)
}

async fn look(State((function, watch)): State<(String, Arc<Watch>)>, headers: HeaderMap, _body: Bytes) -> Response {
    match watch.invoke(&function, invocation_id(&headers)).await {
        Ok(reply) => json(StatusCode::OK, reply),
        Err(body) => json(StatusCode::SERVICE_UNAVAILABLE, body),
    }
}

fn invocation_id(headers: &HeaderMap) -> &str {
    headers.get("x-azure-functions-invocationid").and_then(|id| id.to_str().ok()).unwrap_or_default()
}

fn json(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}
