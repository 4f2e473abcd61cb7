//! Spans and metrics on their way out, as everything that makes some of them holds it.

use opentelemetry::{
    KeyValue,
    metrics::{Meter, MeterProvider as _},
    trace::TracerProvider as _,
};
use opentelemetry_sdk::trace::SdkTracer;

use super::{export::Providers, metrics::Metrics};

/// Spans and metrics on their way out. The providers end with it.
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

/// Why something failed, as one of few words.
pub(super) fn error_type(value: impl Into<opentelemetry::Value>) -> KeyValue {
    KeyValue::new("error.type", value)
}
