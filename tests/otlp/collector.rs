//! A minimal collector of OTLP over HTTP.

use std::{
    collections::BTreeMap,
    io::Read as _,
    sync::{Arc, Mutex},
    time::{Duration, Instant},
};

use axum::{
    Router,
    body::Bytes,
    extract::State,
    http::{HeaderMap, StatusCode},
    routing::post,
};
use devicestate_test_support::pause;
use opentelemetry_proto::tonic::{
    collector::{metrics::v1::ExportMetricsServiceRequest, trace::v1::ExportTraceServiceRequest},
    common::v1::{KeyValue, any_value},
    metrics::v1::{metric::Data, number_data_point},
    trace::v1::Span,
};
use prost::Message as _;
use serde_json::Value;
use tokio::{net::TcpListener, runtime::Runtime};

/// What the collector does with exports.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Behavior {
    Accept,
    Reject,
    /// Never responds.
    Hang,
}

/// A running collector. It ends when this is dropped.
pub(super) struct Collector {
    _runtime: Runtime,
    port: u16,
    received: Arc<Mutex<Received>>,
}

/// The exports that have arrived.
#[derive(Default)]
struct Received {
    /// The counts of exports of spans and of metrics.
    requests: [usize; 2],
    /// Whether the last export of metrics was compressed.
    is_compressed: bool,
    /// All bodies, to search for content that must not be exported.
    bodies: Vec<u8>,
    spans: Vec<Span>,
    /// The last export of metrics, which has the sums since the start of the process.
    metrics: Option<ExportMetricsServiceRequest>,
}

type CollectorState = (Behavior, Arc<Mutex<Received>>);

impl Collector {
    pub(super) fn start(behavior: Behavior) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let received = Arc::<Mutex<Received>>::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let router = Router::new().route("/v1/traces", post(traces)).route("/v1/metrics", post(metrics));
        let router = router.with_state((behavior, Arc::clone(&received)));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { _runtime: runtime, port, received }
    }

    /// Returns the value of `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// Returns the counts of exports of spans and of metrics, accepted or not.
    pub(super) fn requests(&self) -> [usize; 2] {
        self.received.lock().expect("no panic").requests
    }

    pub(super) fn has_seen(&self, text: &str) -> bool {
        let received = self.received.lock().expect("no panic");
        received.bodies.windows(text.len()).any(|window| window == text.as_bytes())
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        self.received.lock().expect("no panic").spans.clone()
    }

    /// Waits for the span of an invocation and returns it with its children.
    pub(super) fn invocation(&self) -> (Span, Vec<Span>) {
        self.wait_until("the span of an invocation", |collector| {
            let spans = collector.spans();
            let invocation = spans.iter().find(|span| span.kind == CONSUMER)?.clone();
            let children = spans.into_iter().filter(|span| span.parent_span_id == invocation.span_id).collect();
            Some((invocation, children))
        })
    }

    /// Waits for metrics that include all replies until now: the collection of the next export may have begun before.
    pub(super) fn next_metrics(&self) {
        let [_, before] = self.requests();
        self.wait_until("the next metrics", |it| (it.requests()[1] >= before + 2).then_some(()));
    }

    /// Returns whether the last metrics were compressed.
    pub(super) fn is_compressed(&self) -> bool {
        self.received.lock().expect("no panic").is_compressed
    }

    /// Returns the sum of a counter, or of a histogram's counts, over all points with these attributes.
    pub(super) fn sum(&self, metric: &str, attributes: &[(&str, &str)]) -> f64 {
        let received = self.received.lock().expect("no panic");
        let resources = received.metrics.iter().flat_map(|export| &export.resource_metrics);
        let metrics = resources.flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics);
        let data = metrics.filter(|it| it.name == metric).filter_map(|it| it.data.as_ref());
        let points = data.flat_map(|data| -> Vec<(&[KeyValue], f64)> {
            match data {
                Data::Sum(sum) => sum.data_points.iter().map(|it| (&*it.attributes, value(it.value))).collect(),
                Data::Gauge(gauge) => gauge.data_points.iter().map(|it| (&*it.attributes, value(it.value))).collect(),
                #[expect(clippy::cast_precision_loss, reason = "a test counts to ten")]
                Data::Histogram(it) => it.data_points.iter().map(|it| (&*it.attributes, it.count as f64)).collect(),
                _ => Vec::new(),
            }
        });
        let matches = |point: &[KeyValue]| {
            let point = attributes_of(point);
            attributes.iter().all(|(key, value)| point.get(*key).is_some_and(|it| it == value))
        };
        points.filter(|(point, _)| matches(point)).map(|(_, value)| value).sum()
    }

    /// Returns the unit of each metric.
    pub(super) fn units(&self) -> BTreeMap<String, String> {
        let received = self.received.lock().expect("no panic");
        let resources = received.metrics.iter().flat_map(|export| &export.resource_metrics);
        let metrics = resources.flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics);
        metrics.map(|metric| (metric.name.clone(), metric.unit.clone())).collect()
    }

    /// Returns the attributes of the resource that exported the metrics.
    pub(super) fn resource(&self) -> BTreeMap<String, Value> {
        let received = self.received.lock().expect("no panic");
        let resource = received.metrics.as_ref().and_then(|export| export.resource_metrics[0].resource.clone());
        attributes_of(&resource.expect("metrics have arrived").attributes)
    }

    /// Polls until there is a value.
    pub(super) fn wait_until<T>(&self, what: &str, poll: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(value) = poll(self) {
                return value;
            }
            assert!(Instant::now() < deadline, "{what} did not arrive; the spans: {:#?}", self.spans());
            pause(Duration::from_millis(25));
        }
    }
}

/// `SPAN_KIND_CONSUMER`.
const CONSUMER: i32 = 5;
/// `SPAN_KIND_CLIENT`.
pub(super) const CLIENT: i32 = 3;
/// `STATUS_CODE_ERROR`.
pub(super) const ERROR: i32 = 2;

fn value(value: Option<number_data_point::Value>) -> f64 {
    match value {
        Some(number_data_point::Value::AsDouble(value)) => value,
        #[expect(clippy::cast_precision_loss, reason = "a test counts to some thousands")]
        Some(number_data_point::Value::AsInt(value)) => value as f64,
        None => 0.0,
    }
}

/// Converts attributes to JSON.
pub(super) fn attributes_of(attributes: &[KeyValue]) -> BTreeMap<String, Value> {
    let json = |value: &KeyValue| match value.value.clone()?.value? {
        any_value::Value::StringValue(text) => Some(Value::from(text)),
        any_value::Value::IntValue(number) => Some(Value::from(number)),
        any_value::Value::DoubleValue(number) => Some(Value::from(number)),
        any_value::Value::BoolValue(is) => Some(Value::from(is)),
        _ => None,
    };
    attributes.iter().filter_map(|it| Some((it.key.clone(), json(it)?))).collect()
}

async fn traces(State((behavior, received)): State<CollectorState>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let (_, body) = decompress(&headers, body);
    receive(behavior, &received, &body, 0, |received| {
        let export = ExportTraceServiceRequest::decode(&*body).expect("an export of spans");
        let scopes = export.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        received.spans.extend(scopes.flat_map(|scope| scope.spans));
    })
    .await
}

async fn metrics(State((behavior, received)): State<CollectorState>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let (is_compressed, body) = decompress(&headers, body);
    receive(behavior, &received, &body, 1, |received| {
        received.is_compressed = is_compressed;
        received.metrics = Some(ExportMetricsServiceRequest::decode(&*body).expect("an export of metrics"));
    })
    .await
}

/// Returns whether a body is compressed, and the decompressed body.
fn decompress(headers: &HeaderMap, body: Bytes) -> (bool, Bytes) {
    if headers.get("content-encoding").is_none_or(|encoding| encoding != "gzip") {
        return (false, body);
    }
    let mut decompressed = Vec::new();
    flate2::read::GzDecoder::new(&*body).read_to_end(&mut decompressed).expect("gzip");
    (true, decompressed.into())
}

async fn receive(
    behavior: Behavior,
    received: &Mutex<Received>,
    body: &[u8],
    signal: usize,
    store: impl FnOnce(&mut Received),
) -> StatusCode {
    {
        let mut received = received.lock().expect("no panic");
        received.requests[signal] += 1;
        if behavior == Behavior::Accept {
            received.bodies.extend(body);
            store(&mut received);
        }
    }
    match behavior {
        Behavior::Accept => StatusCode::OK,
        Behavior::Reject => StatusCode::FORBIDDEN,
        Behavior::Hang => std::future::pending().await,
    }
}
