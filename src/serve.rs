//! The HTTP server of the handler, as the Functions host expects it of a custom handler.

mod body;
mod connections;
mod devices_function;
mod host_end;
mod plain_api;
mod readers;
mod refusals;

use std::{
    convert::Infallible, future::pending, hint::black_box, net::Ipv4Addr, path::Path, sync::Arc, time::Duration,
};

use axum::{
    Router,
    extract::{DefaultBodyLimit, Request, State},
    http::{HeaderMap, StatusCode, header::CONTENT_TYPE},
    middleware,
    response::{IntoResponse, Response},
    routing::{get, post},
};
use devicestate_engine::{
    clock::System,
    dead_letter::{Directory, HANDLER_VERSION, OverflowCache},
    function_app::{Function, FunctionApp, FunctionAppError, apply_overrides},
    handler::{self, Handler, RetryDrill},
    processor::Processor,
    record::{Record, StartRecord},
    retry_decision::Attempts,
    settings::{ConfigError, Settings},
};
use devicestate_read_api::{MAX_ANSWER_TIME, ReadApi};
use devicestate_sqlite::{DatabaseError, OpenMode};
use devicestate_telemetry::{LoadError, LoadedTelemetry};
use tokio::net::TcpListener;

use crate::{
    bootstrap::{build_processor, open_overflow, open_store},
    config::{self, Config, OverflowConfig, StoreConfig},
    dead_letter_monitor::DeadLetterMonitor,
    log,
    observer::Reporter,
    otlp::Otlp,
    silence_watch::{self, SilenceWatchFunction},
};
use body::{BodyError, collect_body};
use devices_function::DevicesFunction;
pub use host_end::Host;
use readers::Readers;
use refusals::{Functions, refuse_web_pages, unknown_function};

/// Why the handler cannot start.
#[derive(Debug, thiserror::Error)]
pub enum ServeError {
    /// A setting is missing or invalid.
    #[error(transparent)]
    Config(#[from] ConfigError),
    /// A setting of the telemetry or the telemetry file is invalid.
    #[error(transparent)]
    Telemetry(#[from] LoadError),
    /// A file of the function app is missing or invalid.
    #[error(transparent)]
    FunctionApp(#[from] FunctionAppError),
    /// The state file cannot be opened.
    #[error("{0} (setting `SqlitePath`)")]
    Database(#[from] DatabaseError),
    /// The handler cannot listen on its port.
    #[error(
        "the handler cannot listen on 127.0.0.1:{port}: {}; stop the process that uses the port, or use another one \
         ({source_of_port})",
        error.kind()
    )]
    Port {
        /// The port.
        port: u16,
        /// The setting or the option with the port.
        source_of_port: &'static str,
        /// The system's error.
        error: std::io::Error,
    },
    /// The host has ended.
    #[error(
        "the process that started the handler has ended; the next host delivers again the batches that it had not completed"
    )]
    HostEnded,
}

/// Serves the functions of the app in this folder until the host kills the process, or ends; and the read API on a port of its own,
/// if there is one.
///
/// # Errors
///
/// Returns a [`ServeError`] if the server cannot start, or if the host has ended.
pub async fn serve(
    app_root: &Path,
    settings: &Settings,
    port: u16,
    api_port: Option<u16>,
    host: Host,
) -> Result<Infallible, ServeError> {
    let server = build_server(app_root, settings);
    // Logged even if the start fails: a missing setting may exist under a misspelled name.
    for (name, expected) in settings.misspelled() {
        tracing::warn!(
            "the setting `{name}` has no effect: rename it to `{expected}`; names of settings are case-sensitive and \
             have `__` instead of `:`"
        );
    }
    settings.check_encoding()?;
    let Server { router, readers, budget, telemetry } = server?;
    raise_mmap_threshold();
    let api = match api_port {
        Some(port) => Some(listen(port, "option `--api`").await?),
        None => None,
    };
    let listener = listen(port, "setting `FUNCTIONS_CUSTOMHANDLER_PORT`").await?;
    // The system chooses the port if it is 0.
    let port = listener.local_addr().map_or(port, |address| address.port());
    log::write_record(&Record::Start(StartRecord {
        version: HANDLER_VERSION.to_owned(),
        process_id: std::process::id(),
        port,
        state_store: settings.get("StateStore").unwrap_or_default().to_owned(),
        telemetry,
    }));
    let api = async {
        let Some(listener) = api else { return pending().await };
        let port = listener.local_addr().map_or(0, |address| address.port());
        tracing::info!(port, "the state of devices is at http://127.0.0.1:{port}/api/devices");
        connections::serve_until(pending(), listener, plain_api::router(readers, budget)).await;
    };
    tokio::select! {
        () = connections::serve_until(host.wait_for_end(), listener, router) => {}
        () = api => {}
    }
    Err(ServeError::HostEnded)
}

async fn listen(port: u16, source_of_port: &'static str) -> Result<TcpListener, ServeError> {
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await;
    listener.map_err(|error| ServeError::Port { port, source_of_port, error })
}

/// Raises the threshold at which glibc's allocator returns freed memory to the system, by freeing one large allocation.
///
/// Without it, the memory of a large request is unmapped after each batch and mapped again for the next one. See
/// `M_MMAP_THRESHOLD` in mallopt(3); `docs/reports/performance.md` has the effect.
fn raise_mmap_threshold() {
    /// Just below the largest size, 32 MiB, for which glibc adjusts its threshold.
    const ALLOCATION_BYTES: usize = 31 << 20;
    drop(black_box(Vec::<u8>::with_capacity(ALLOCATION_BYTES)));
}

/// What is served.
struct Server {
    /// The functions of the app.
    router: Router,
    /// The read API, which takes at most `budget` for an answer.
    readers: Arc<Readers>,
    budget: Duration,
    /// A description of the telemetry.
    telemetry: String,
}

fn build_server(app_root: &Path, settings: &Settings) -> Result<Server, ServeError> {
    let config = Config::from_settings(settings)?;
    let LoadedTelemetry { telemetry, description } = devicestate_telemetry::load(settings, app_root)?;
    let mut app = FunctionApp::load(app_root, settings)?.accepted()?;
    app.warnings.iter().for_each(|warning| tracing::warn!("{warning}"));
    apply_overrides(settings, &mut app.host)?;
    config::locate_queues(settings, &mut app);
    config.check_budget(&app)?;
    let otlp = Otlp::start(settings);
    let store = otlp.trace_store(&config.store, open_store(&config.store, OpenMode::Create)?);
    let read_store = match &config.store {
        // On a connection of its own, so that readers do not wait for the transactions of batches.
        StoreConfig::Sqlite(_) => otlp.trace_store(&config.store, open_store(&config.store, OpenMode::Existing)?),
        StoreConfig::Memory | StoreConfig::Cosmos(_) => Arc::clone(&store),
    };
    let api = ReadApi { store: read_store, indexed: config.indexed.clone(), clock: Arc::new(System) };
    let (readers, budget) = (Arc::new(Readers::new(api)), config.invocation_budget.min(MAX_ANSWER_TIME));
    let prefix = &app.host.extensions.http.route_prefix;
    let http_functions = app.http.iter().fold(Router::new(), |router, function| {
        let devices = Arc::new(DevicesFunction::new(Arc::clone(&readers), function, prefix, budget));
        router.route(&format!("/{}", function.name), post(devices_function::invoke).with_state(devices))
    });
    let silence_watch = Arc::new(SilenceWatchFunction::new(&config, &store, Arc::new(Reporter)));
    let processor = Arc::new(build_processor(&config, telemetry, store, Arc::new(Reporter)));
    otlp.observe_cache(&processor);
    let router = route_functions(http_functions, app, &config, &processor, &silence_watch, &otlp, settings)?;
    Ok(Server { router, readers, budget, telemetry: description })
}

/// Opens the overflow storage for a function's dead letters that are too large for its queue. Warns if it is disabled.
fn open_overflow_cache(
    settings: &Settings,
    store: &StoreConfig,
    function: &Function,
) -> Result<Option<OverflowCache>, ConfigError> {
    let config = OverflowConfig::from_settings(settings, store, &function.dead_letters)?;
    if let OverflowConfig::Disabled { connection } = &config {
        tracing::warn!(
            function = function.name,
            "bodies of dead letters over 48 KiB will be truncated, because no storage is set for them: set \
             `{connection}` or `{connection}__blobServiceUri` to store them in blobs, or `DeadLetterDirectory` to store \
             them in a folder"
        );
    }
    if let OverflowConfig::Directory(path) = &config {
        let files = Directory(path.clone()).remove_unfinished();
        if files > 0 {
            tracing::info!(files, folder = %path.display(), "deleted the unfinished dead letters of a killed handler");
        }
    }
    Ok(open_overflow(&config)?.map(OverflowCache::new))
}

fn route_functions(
    http_functions: Router,
    app: FunctionApp,
    config: &Config,
    processor: &Arc<Processor>,
    silence_watch: &Arc<SilenceWatchFunction>,
    otlp: &Otlp,
    settings: &Settings,
) -> Result<Router, ServeError> {
    let monitor = Arc::new(DeadLetterMonitor::new(&app.functions, settings, config.invocation_budget));
    let functions = app.functions.iter().map(|function| &*function.name);
    let names = functions.chain(app.timers.iter().map(|timer| &*timer.name));
    let names = names.chain(app.http.iter().map(|function| &*function.name));
    let mut router = Router::new().fallback(unknown_function).with_state(Functions::new(names)).merge(http_functions);
    for function in app.functions {
        let (path, trigger) = (format!("/{}", function.name), function.trigger.clone());
        let handler = Arc::new(Handler {
            overflow: open_overflow_cache(settings, &config.store, &function)?,
            function,
            processor: Arc::clone(processor),
            attempts: Attempts::new(config.dead_letter_after_attempts),
            retry_drill: config.retry_drill_device.clone().map(|device| RetryDrill { device }),
        });
        router = router.route(&path, otlp.trace_invocations(post(invoke_function).with_state(handler), &trigger));
    }
    for timer in app.timers {
        let path = format!("/{}", timer.name);
        let role = if timer.trigger.name == silence_watch::BINDING {
            Timer::Silence(Arc::clone(silence_watch))
        } else {
            Timer::DeadLetters(Arc::clone(&monitor))
        };
        router = router.route(&path, post(invoke_timer).with_state((timer.name, role)));
    }
    // Any response means ready: the handler listens only when it is ready.
    router = router.route("/", get(|| async { json_response(StatusCode::OK, "{}".into()) }));
    let refuse_web_pages = middleware::from_fn_with_state(Arc::default(), refuse_web_pages);
    // No limit: Event Hubs limits events to 1 MB (20 MB on dedicated clusters), `maxEventBatchSize` limits batches, and the
    // host would retry a rejected batch forever.
    Ok(router.layer(DefaultBodyLimit::disable()).layer(refuse_web_pages))
}

async fn invoke_function(State(handler): State<Arc<Handler>>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    let body = match collect_body(body).await {
        Ok(body) => body,
        Err(error) => return incomplete(&error),
    };
    match handler.invoke(invocation_id(&head.headers), &body).await {
        handler::Response::Complete(reply) => json_response(StatusCode::OK, reply),
        handler::Response::Retry(body) => json_response(StatusCode::SERVICE_UNAVAILABLE, body),
    }
}

/// What a timer function does.
#[derive(Clone)]
enum Timer {
    DeadLetters(Arc<DeadLetterMonitor>),
    Silence(Arc<SilenceWatchFunction>),
}

async fn invoke_timer(State((function, timer)): State<(String, Timer)>, request: Request) -> Response {
    let (head, body) = request.into_parts();
    if let Err(error) = collect_body(body).await {
        return incomplete(&error);
    }
    let id = invocation_id(&head.headers);
    let invoked = match timer {
        Timer::DeadLetters(monitor) => monitor.invoke(&function, id).await,
        Timer::Silence(watch) => watch.invoke(&function, id).await,
    };
    match invoked {
        Ok(reply) => json_response(StatusCode::OK, reply),
        Err(body) => json_response(StatusCode::SERVICE_UNAVAILABLE, body),
    }
}

fn incomplete(error: &BodyError) -> Response {
    tracing::warn!("{error}");
    let status = match error {
        BodyError::Closed(_) => StatusCode::BAD_REQUEST,
        BodyError::Silent(_) => StatusCode::REQUEST_TIMEOUT,
    };
    json_response(status, serde_json::json!({ "error": error.to_string() }).to_string())
}

/// Returns the host's id of the invocation, which is kept and recorded; empty if the request has none or an excessive one.
fn invocation_id(headers: &HeaderMap) -> &str {
    /// The host's ids have 36.
    const MAX_CHARS: usize = 100;
    let id = headers.get("x-azure-functions-invocationid").and_then(|id| id.to_str().ok());
    id.filter(|id| id.len() <= MAX_CHARS).unwrap_or_default()
}

fn json_response(status: StatusCode, body: String) -> Response {
    (status, [(CONTENT_TYPE, "application/json; charset=utf-8")], body).into_response()
}
