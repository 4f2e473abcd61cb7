//! The exports of a build with OTLP.
//!
//! The span of an invocation and its [`Exports`] are in OpenTelemetry's [`Context`], which follows the invocation's future.
//! So the code that runs in it needs no parameters for them.

use std::{
    sync::Arc,
    time::{Duration, Instant, SystemTime},
};

use axum::{
    extract::Request,
    http::{Method, StatusCode},
    middleware::{self, Next},
    response::Response,
    routing::MethodRouter,
};
use devicestate_engine::{
    batch::Message,
    function_app::Trigger,
    processor::Processor,
    record::{AttemptRecord, BatchRecord, FailedAttemptRecord, Record, SourceRecord},
    settings::Settings,
    store::StateStore,
};
use opentelemetry::{
    Context, KeyValue,
    context::FutureExt as _,
    propagation::TextMapPropagator as _,
    trace::{Span as _, SpanBuilder, SpanKind, Status, TraceContextExt as _, Tracer as _},
};
use opentelemetry_http::HeaderExtractor;
use opentelemetry_sdk::propagation::TraceContextPropagator;

use super::{
    exports::{Exports, error_type},
    metrics,
    providers::Providers,
    store::TracedStore,
};
use crate::config::StoreConfig;

/// The exports, if the settings enable any.
pub struct Otlp(Option<Arc<Exports>>);

impl Otlp {
    /// Starts the exports if an endpoint is set. Must be called within a runtime.
    #[must_use]
    pub fn start(settings: &Settings) -> Self {
        Self(Providers::from_settings(settings).map(|providers| Arc::new(Exports::new(providers))))
    }

    /// Returns the store, wrapped so that each operation has a span.
    #[must_use]
    pub fn trace_store(&self, config: &StoreConfig, store: Arc<dyn StateStore>) -> Arc<dyn StateStore> {
        match &self.0 {
            Some(exports) => Arc::new(TracedStore::new(config, store, Arc::clone(exports))),
            None => store,
        }
    }

    /// Measures the size of the processor's cache.
    pub fn observe_cache(&self, processor: &Arc<Processor>) {
        if let Some(exports) = &self.0 {
            metrics::observe_cache(&exports.meter, processor);
        }
    }

    /// Returns the route to a function with this trigger, wrapped so that each invocation has a span.
    pub fn trace_invocations(&self, route: MethodRouter, trigger: &Trigger) -> MethodRouter {
        let Some(exports) = &self.0 else { return route };
        let exports = Arc::clone(exports);
        let system = match trigger {
            Trigger::EventHub(_) => "eventhubs",
            Trigger::ServiceBus(_) => "servicebus",
        };
        route.layer(middleware::from_fn(move |request, next| {
            trace_invocation(Arc::clone(&exports), system, request, next)
        }))
    }
}

/// Runs one request of the host within a span.
async fn trace_invocation(exports: Arc<Exports>, system: &'static str, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let started = Instant::now();
    let context = {
        let host = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
        let text = |header: &str| request.headers().get(header).and_then(|value| value.to_str().ok());
        let mut attributes = messaging_attributes(system);
        attributes.push(KeyValue::new("faas.trigger", "pubsub"));
        if let Some(id) = text("x-azure-functions-invocationid") {
            attributes.push(KeyValue::new("faas.invocation_id", id.to_owned()));
        }
        let span = SpanBuilder::from_name("process").with_kind(SpanKind::Consumer).with_attributes(attributes);
        let span = exports.tracer.build_with_context(span, &host);
        host.with_span(span).with_value(Arc::clone(&exports))
    };
    let response = next.run(request).with_context(context.clone()).await;
    let mut attributes = messaging_attributes(system);
    if response.status() != StatusCode::OK {
        attributes.push(error_type(response.status().as_str().to_owned()));
    }
    exports.metrics.invocation.record(started.elapsed().as_secs_f64(), &attributes);
    context.span().end();
    response
}

/// Returns the attributes that the semantic conventions require of a message consumer.
fn messaging_attributes(system: &'static str) -> Vec<KeyValue> {
    let attributes = [
        ("messaging.system", system),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
    ];
    attributes.map(|(key, value)| KeyValue::new(key, value)).into()
}

/// Updates the metrics from a record, and adds its values to the span of the current invocation. No content of an event is
/// exported.
pub fn export_record(record: &Record) {
    let context = Context::current();
    let Some(exports) = context.get::<Arc<Exports>>() else { return };
    exports.metrics.count(record);
    let span = context.span();
    let attempt = match record {
        Record::Batch(BatchRecord { attempt, applied, superseded, dead_lettered, unrecognized, ignored, .. }) => {
            let outcomes = [
                ("devicestate.events.applied", *applied),
                ("devicestate.events.superseded", *superseded),
                ("devicestate.events.dead_lettered", *dead_lettered),
                ("devicestate.events.unrecognized", *unrecognized),
                ("devicestate.events.ignored", *ignored),
            ];
            span.set_attributes(outcomes.map(|(key, events)| number(key, events)));
            attempt
        }
        Record::FailedAttempt(FailedAttemptRecord { attempt, unresolved, reason }) => {
            span.set_attribute(number("devicestate.events.unresolved", *unresolved));
            span.set_attribute(error_type("503"));
            span.set_status(Status::error(reason.clone()));
            attempt
        }
        Record::DeadLetter(_)
        | Record::DeadLetterQueue(_)
        | Record::Start(_)
        | Record::DeviceSilent(_)
        | Record::DeviceBack(_)
        | Record::SilenceWatch(_) => return,
    };
    span.set_attributes(attempt_attributes(attempt));
    let SourceRecord { event_hub_name, session_queue_name, .. } = &attempt.source;
    if let Some(entity) = [event_hub_name, session_queue_name].into_iter().find(|name| !name.is_empty()) {
        span.update_name(format!("process {entity}"));
    }
}

fn attempt_attributes(attempt: &AttemptRecord) -> Vec<KeyValue> {
    let mut attributes = metrics::source_attributes(&attempt.source);
    attributes.push(number("messaging.batch.message_count", attempt.events));
    attributes.push(KeyValue::new("devicestate.attempt.number", attempt.number));
    attributes.push(number("devicestate.devices", attempt.devices as u64));
    attributes.push(KeyValue::new("devicestate.request_units", attempt.operations.request_units));
    let positions = [
        ("devicestate.sequence_number.first", attempt.first_sequence_number),
        ("devicestate.sequence_number.last", attempt.last_sequence_number),
    ];
    attributes.extend(positions.into_iter().filter_map(|(key, number)| Some(KeyValue::new(key, number?))));
    if let Some(Message { session_id, message_id, delivery_count }) = &attempt.message {
        attributes.push(KeyValue::new("messaging.message.id", message_id.clone()));
        attributes.push(KeyValue::new("messaging.servicebus.message.delivery_count", *delivery_count));
        attributes.push(KeyValue::new("devicestate.session.id", session_id.clone()));
    }
    attributes
}

fn number(key: &'static str, value: u64) -> KeyValue {
    KeyValue::new(key, i64::try_from(value).unwrap_or(i64::MAX))
}

/// Exports the span of the decoding of a batch, which has just ended after this time.
pub fn export_decoding(took: Duration) {
    Context::map_current(|context| {
        let Some(exports) = context.get::<Arc<Exports>>() else { return };
        #[expect(
            clippy::disallowed_methods,
            reason = "a span has the machine's time, as those that the SDK times have"
        )]
        let end = SystemTime::now();
        let span = SpanBuilder::from_name("decode").with_start_time(end - took);
        exports.tracer.build_with_context(span, context).end_with_timestamp(end);
    });
}
