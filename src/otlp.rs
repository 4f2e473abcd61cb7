//! Exports metrics and traces over OTLP, in builds with the feature `otlp` and only if an endpoint is set.
//! `docs/operate/opentelemetry.md` lists the names.
//!
//! `enabled` is the implementation. A build without the feature has `disabled` instead, with the same functions, which do
//! nothing: the callers are the same in both builds.

#[cfg(feature = "otlp")]
mod client;
#[cfg(not(feature = "otlp"))]
mod disabled;
#[cfg(feature = "otlp")]
mod enabled;
#[cfg(feature = "otlp")]
mod exports;
#[cfg(feature = "otlp")]
mod metrics;
#[cfg(feature = "otlp")]
mod providers;
#[cfg(feature = "otlp")]
mod store;

#[cfg(not(feature = "otlp"))]
pub use disabled::{Otlp, export_decoding, export_record};
#[cfg(feature = "otlp")]
pub use enabled::{Otlp, export_decoding, export_record};

use devicestate_engine::settings::Settings;

/// The endpoint of both signals; each signal's path is appended to it.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
/// The endpoint of traces, used unchanged.
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
/// The endpoint of metrics, used unchanged.
const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";

/// Returns the names of the settings with the endpoints of traces and of metrics. All are looked up, so that the start
/// warns of each misspelled one.
fn endpoints(settings: &Settings) -> [Option<&'static str>; 2] {
    let [both, traces, metrics] =
        [ENDPOINT, TRACES_ENDPOINT, METRICS_ENDPOINT].map(|name| settings.get(name).map(|_| name));
    [traces.or(both), metrics.or(both)]
}
