//! Metrics and traces over OTLP, beside the work: in a build with the feature `otlp`, and only where an endpoint is
//! set. `docs/operate/opentelemetry.md` has the names.
//!
//! What a build without the feature has in its place does nothing, so that nobody who calls it needs to know.

#[cfg(not(feature = "otlp"))]
mod absent;
#[cfg(feature = "otlp")]
mod client;
#[cfg(feature = "otlp")]
mod export;
#[cfg(feature = "otlp")]
mod exports;
#[cfg(feature = "otlp")]
mod metrics;
#[cfg(feature = "otlp")]
mod present;
#[cfg(feature = "otlp")]
mod store;

#[cfg(not(feature = "otlp"))]
pub use absent::{Otlp, decoded, told};
#[cfg(feature = "otlp")]
pub use present::{Otlp, decoded, told};

use devicestate_engine::settings::Settings;

/// Where to: for both signals, with the path of each added; or for one, as it is.
const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACES_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT";
const METRICS_ENDPOINT: &str = "OTEL_EXPORTER_OTLP_METRICS_ENDPOINT";

/// Which of the settings says where to, for traces and for metrics. All are looked up, so that one that is misspelled
/// is pointed out.
fn endpoints(settings: &Settings) -> [Option<&'static str>; 2] {
    let [both, traces, metrics] =
        [ENDPOINT, TRACES_ENDPOINT, METRICS_ENDPOINT].map(|name| settings.get(name).map(|_| name));
    [traces.or(both), metrics.or(both)]
}
