//! A collector of OTLP over HTTP, as far as the tests ask.

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

/// What it does with an export.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Manner {
    Takes,
    Refuses,
    /// Never answers.
    Hangs,
}

/// A running collector. It ends when this is dropped.
pub(super) struct Collector {
    _runtime: Runtime,
    port: u16,
    taken: Arc<Mutex<Taken>>,
}

/// What has come.
#[derive(Default)]
struct Taken {
    /// Exports of spans and of metrics.
    requests: [usize; 2],
    /// Whether the last one was packed.
    is_packed: bool,
    /// The bodies, to see what is nowhere in them.
    bodies: Vec<u8>,
    spans: Vec<Span>,
    /// The last one: each has the sums since the start of the process.
    metrics: Option<ExportMetricsServiceRequest>,
}

type Collecting = (Manner, Arc<Mutex<Taken>>);

impl Collector {
    pub(super) fn start(manner: Manner) -> Self {
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build();
        let runtime = runtime.expect("a runtime");
        let taken = Arc::<Mutex<Taken>>::default();
        let listener = runtime.block_on(TcpListener::bind("127.0.0.1:0")).expect("a free port");
        let port = listener.local_addr().expect("an address").port();
        let router = Router::new().route("/v1/traces", post(traces)).route("/v1/metrics", post(metrics));
        let router = router.with_state((manner, Arc::clone(&taken)));
        runtime.spawn(async move { axum::serve(listener, router).await });
        Self { _runtime: runtime, port, taken }
    }

    /// What stands in `OTEL_EXPORTER_OTLP_ENDPOINT`.
    pub(super) fn endpoint(&self) -> String {
        format!("http://127.0.0.1:{}", self.port)
    }

    /// How many exports of spans and of metrics have come, whatever became of them.
    pub(super) fn requests(&self) -> [usize; 2] {
        self.taken.lock().expect("nobody panics").requests
    }

    pub(super) fn has_seen(&self, text: &str) -> bool {
        let taken = self.taken.lock().expect("nobody panics");
        taken.bodies.windows(text.len()).any(|window| window == text.as_bytes())
    }

    pub(super) fn spans(&self) -> Vec<Span> {
        self.taken.lock().expect("nobody panics").spans.clone()
    }

    /// The spans of the first invocation that has come, once it is there: its own, and its children.
    pub(super) fn invocation(&self) -> (Span, Vec<Span>) {
        self.until("the span of an invocation", |collector| {
            let spans = collector.spans();
            let invocation = spans.iter().find(|span| span.kind == CONSUMER)?.clone();
            let children = spans.into_iter().filter(|span| span.parent_span_id == invocation.span_id).collect();
            Some((invocation, children))
        })
    }

    /// Waits for metrics that have everything which was answered until now: of those that come next, the collection may
    /// have begun before.
    pub(super) fn next_metrics(&self) {
        let [_, before] = self.requests();
        self.until("the next metrics", |it| (it.requests()[1] >= before + 2).then_some(()));
    }

    /// Whether the last metrics were packed.
    pub(super) fn is_packed(&self) -> bool {
        self.taken.lock().expect("nobody panics").is_packed
    }

    /// What a counter or the count of a histogram comes to, over all points with these attributes.
    pub(super) fn sum(&self, metric: &str, attributes: &[(&str, &str)]) -> f64 {
        let taken = self.taken.lock().expect("nobody panics");
        let resources = taken.metrics.iter().flat_map(|export| &export.resource_metrics);
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
        let fits = |of: &[KeyValue]| {
            let of = attributes_of(of);
            attributes.iter().all(|(key, value)| of.get(*key).is_some_and(|it| it == value))
        };
        points.filter(|(of, _)| fits(of)).map(|(_, value)| value).sum()
    }

    /// Units by metric.
    pub(super) fn units(&self) -> BTreeMap<String, String> {
        let taken = self.taken.lock().expect("nobody panics");
        let resources = taken.metrics.iter().flat_map(|export| &export.resource_metrics);
        let metrics = resources.flat_map(|resource| &resource.scope_metrics).flat_map(|scope| &scope.metrics);
        metrics.map(|metric| (metric.name.clone(), metric.unit.clone())).collect()
    }

    /// Whom the metrics come from.
    pub(super) fn resource(&self) -> BTreeMap<String, Value> {
        let taken = self.taken.lock().expect("nobody panics");
        let resource = taken.metrics.as_ref().and_then(|export| export.resource_metrics[0].resource.clone());
        attributes_of(&resource.expect("metrics have come").attributes)
    }

    /// Asks until there is an answer.
    pub(super) fn until<T>(&self, what: &str, ask: impl Fn(&Self) -> Option<T>) -> T {
        let deadline = Instant::now() + Duration::from_mins(1);
        loop {
            if let Some(answer) = ask(self) {
                return answer;
            }
            assert!(Instant::now() < deadline, "{what} did not come; there are {:#?}", self.spans());
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

/// Attributes as JSON.
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

async fn traces(State((manner, taken)): State<Collecting>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let (_, body) = unpacked(&headers, body);
    take(manner, &taken, &body, 0, |taken| {
        let export = ExportTraceServiceRequest::decode(&*body).expect("an export of spans");
        let scopes = export.resource_spans.into_iter().flat_map(|resource| resource.scope_spans);
        taken.spans.extend(scopes.flat_map(|scope| scope.spans));
    })
    .await
}

async fn metrics(State((manner, taken)): State<Collecting>, headers: HeaderMap, body: Bytes) -> StatusCode {
    let (is_packed, body) = unpacked(&headers, body);
    take(manner, &taken, &body, 1, |taken| {
        taken.is_packed = is_packed;
        taken.metrics = Some(ExportMetricsServiceRequest::decode(&*body).expect("an export of metrics"));
    })
    .await
}

/// A body, and whether it was packed.
fn unpacked(headers: &HeaderMap, body: Bytes) -> (bool, Bytes) {
    if headers.get("content-encoding").is_none_or(|encoding| encoding != "gzip") {
        return (false, body);
    }
    let mut unpacked = Vec::new();
    flate2::read::GzDecoder::new(&*body).read_to_end(&mut unpacked).expect("gzip");
    (true, unpacked.into())
}

async fn take(
    manner: Manner,
    taken: &Mutex<Taken>,
    body: &[u8],
    signal: usize,
    keep: impl FnOnce(&mut Taken),
) -> StatusCode {
    {
        let mut taken = taken.lock().expect("nobody panics");
        taken.requests[signal] += 1;
        if manner == Manner::Takes {
            taken.bodies.extend(body);
            keep(&mut taken);
        }
    }
    match manner {
        Manner::Takes => StatusCode::OK,
        Manner::Refuses => StatusCode::FORBIDDEN,
        Manner::Hangs => std::future::pending().await,
    }
}
