//! Sets up OpenTelemetry's SDK. It reads most of its settings itself; this module has the defaults that differ.

use std::time::Duration;

use axum::http::Uri;
use devicestate_engine::{dead_letter::HANDLER_VERSION, settings::Settings};
use opentelemetry::KeyValue;
use opentelemetry_otlp::{
    ExporterBuildError, MetricExporter, Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _,
};
use opentelemetry_sdk::{
    Resource,
    metrics::{PeriodicReader, SdkMeterProvider},
    resource::{EnvResourceDetector, TelemetryResourceDetector},
    trace::{BatchConfigBuilder, BatchSpanProcessor, Sampler, SdkTracerProvider},
};

use super::{client::Client, endpoints};

/// The host kills the handler without a grace period, and whatever is not exported yet is lost. So both intervals are
/// shorter than OpenTelemetry's defaults of 5 and 60 seconds.
const SPAN_INTERVAL: Duration = Duration::from_secs(1);
const METRIC_INTERVAL: Duration = Duration::from_secs(10);

/// Limits the number of spans that wait for an export; further ones are dropped. OpenTelemetry's default is 2,048, and one batch may
/// write a thousand documents.
const MAX_QUEUED_SPANS: usize = 8_192;

/// The providers of both signals.
pub(super) struct Providers {
    pub(super) tracer: SdkTracerProvider,
    pub(super) meter: SdkMeterProvider,
}

impl Providers {
    /// Sets up the providers; `None` if the settings enable no export. An invalid setting disables its signal with a
    /// warning: the handler must not stop because of its metrics.
    pub(super) fn from_settings(settings: &Settings) -> Option<Self> {
        if settings.get("OTEL_SDK_DISABLED").is_some_and(|value| value.eq_ignore_ascii_case("true")) {
            return None;
        }
        let [traces, metrics] = endpoints(settings);
        let spans = exporter(settings, "traces", traces, |client| {
            SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary).with_http_client(client).build()
        });
        let metrics = exporter(settings, "metrics", metrics, |client| {
            MetricExporter::builder().with_http().with_protocol(Protocol::HttpBinary).with_http_client(client).build()
        });
        if spans.is_none() && metrics.is_none() {
            return None;
        }
        Some(Self { tracer: tracer(settings, spans), meter: meter(settings, metrics) })
    }
}

/// Creates the exporter of a signal; `None` if the settings disable it or are invalid.
fn exporter<E>(
    settings: &Settings,
    signal: &str,
    endpoint: Option<&'static str>,
    build: impl FnOnce(Client) -> Result<E, ExporterBuildError>,
) -> Option<E> {
    let name = signal.to_uppercase();
    let is_off = settings.get(&format!("OTEL_{name}_EXPORTER")) == Some("none");
    let endpoint = endpoint.filter(|_| !is_off)?;
    let value = |setting: &str| {
        let signal_value = settings.get(&format!("OTEL_EXPORTER_OTLP_{name}_{setting}"));
        signal_value.or_else(|| settings.get(&format!("OTEL_EXPORTER_OTLP_{setting}")))
    };
    if !settings.get(endpoint).is_some_and(is_http_url) {
        // The value is not logged, since it may contain a secret.
        tracing::warn!(
            "no {signal} are exported: the setting `{endpoint}` must be a URL such as http://localhost:4318"
        );
        return None;
    }
    if let Some(protocol) = value("PROTOCOL").filter(|protocol| *protocol != "http/protobuf") {
        tracing::warn!(
            "the handler exports its {signal} with the protocol http/protobuf and ignores the setting \
             `OTEL_EXPORTER_OTLP_PROTOCOL` ({protocol:?}): the endpoint in `{endpoint}` must accept http/protobuf"
        );
    }
    let timeout = value("TIMEOUT").and_then(|ms| ms.parse().ok()).map_or(Client::TIMEOUT, Duration::from_millis);
    let client = Client::new(signal, endpoint, timeout).map_err(|error| error.to_string());
    let exporter = client.and_then(|client| build(client).map_err(|error| error.to_string()));
    exporter.inspect_err(|error| tracing::warn!("no {signal} are exported: {error} (setting `{endpoint}`)")).ok()
}

fn is_http_url(endpoint: &str) -> bool {
    let uri = endpoint.parse::<Uri>().ok();
    uri.is_some_and(|uri| uri.host().is_some() && matches!(uri.scheme_str(), Some("http" | "https")))
}

fn tracer(settings: &Settings, exporter: Option<SpanExporter>) -> SdkTracerProvider {
    let provider = SdkTracerProvider::builder().with_resource(resource(settings));
    let Some(exporter) = exporter else { return provider.with_sampler(Sampler::AlwaysOff).build() };
    // By default, OpenTelemetry follows the host's sampling decision. With Application Insights, the host marks every
    // trace as not sampled.
    let provider = match settings.get("OTEL_TRACES_SAMPLER") {
        Some(_) => provider,
        None => provider.with_sampler(Sampler::AlwaysOn),
    };
    let mut config = BatchConfigBuilder::default();
    if settings.get("OTEL_BSP_SCHEDULE_DELAY").is_none() {
        config = config.with_scheduled_delay(SPAN_INTERVAL);
    }
    if settings.get("OTEL_BSP_MAX_QUEUE_SIZE").is_none() {
        config = config.with_max_queue_size(MAX_QUEUED_SPANS);
    }
    let processor = BatchSpanProcessor::builder(exporter).with_batch_config(config.build());
    provider.with_span_processor(processor.build()).build()
}

fn meter(settings: &Settings, exporter: Option<MetricExporter>) -> SdkMeterProvider {
    let provider = SdkMeterProvider::builder().with_resource(resource(settings));
    let Some(exporter) = exporter else { return provider.build() };
    let mut reader = PeriodicReader::builder(exporter);
    if settings.get("OTEL_METRIC_EXPORT_INTERVAL").is_none() {
        reader = reader.with_interval(METRIC_INTERVAL);
    }
    provider.with_reader(reader.build()).build()
}

/// Describes the process that exports. `OTEL_RESOURCE_ATTRIBUTES` and `OTEL_SERVICE_NAME` take precedence over the rest.
fn resource(settings: &Settings) -> Resource {
    let azure =
        [("faas.name", "WEBSITE_SITE_NAME"), ("faas.instance", "WEBSITE_INSTANCE_ID"), ("cloud.region", "REGION_NAME")];
    let azure = azure.into_iter().filter_map(|(key, setting)| Some((key, settings.get(setting)?.to_owned())));
    let mut attributes: Vec<_> = azure.map(|(key, value)| KeyValue::new(key, value)).collect();
    if !attributes.is_empty() {
        attributes.push(KeyValue::new("cloud.provider", "azure"));
        attributes.push(KeyValue::new("cloud.platform", "azure.functions"));
    }
    attributes.push(KeyValue::new("service.name", "devicestate"));
    attributes.push(KeyValue::new("service.version", HANDLER_VERSION));
    // A new id for each process, since the counters start at zero in each.
    attributes.push(KeyValue::new("service.instance.id", uuid::Uuid::new_v4().to_string()));
    let resource = Resource::builder_empty()
        .with_attributes(attributes)
        .with_detector(Box::new(TelemetryResourceDetector))
        .with_detector(Box::new(EnvResourceDetector::new()));
    match settings.get("OTEL_SERVICE_NAME") {
        Some(name) => resource.with_service_name(name.to_owned()).build(),
        None => resource.build(),
    }
}
