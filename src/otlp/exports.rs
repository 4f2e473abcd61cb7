//! The tracer and the instruments that all exporting code shares.

use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider as _},
    trace::TracerProvider as _,
};
use opentelemetry_sdk::trace::SdkTracer;

use super::{metrics::Metrics, providers::Providers};

/// The tracer and the instruments. Dropping it shuts the providers down.
pub(super) struct Exports {
    pub(super) tracer: SdkTracer,
    pub(super) metrics: Metrics,
    pub(super) meter: Meter,
    _providers: Providers,
}

impl Exports {
    pub(super) fn new(providers: Providers) -> Self {
        let (tracer, meter) = (providers.tracer.tracer("devicestate"), providers.meter.meter("devicestate"));
        Self { tracer, metrics: Metrics::new(&meter), meter, _providers: providers }
    }
}

/// Returns the attribute `error.type`: a class of failures, from a small set.
pub(super) fn error_type(value: impl Into<opentelemetry::Value>) -> KeyValue {
    KeyValue::new("error.type", value)
}
