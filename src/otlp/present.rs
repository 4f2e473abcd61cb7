//! A build with OTLP.
//!
//! An invocation has its span and what exports it in OpenTelemetry's own [`Context`], which follows its future: so what
//! is deeper in it needs no parameter for either.

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
    export::Providers,
    exports::{Exports, error_type},
    metrics,
    store::TracedStore,
};
use crate::config::StoreConfig;

/// What is exported, if anything is.
pub struct Otlp(Option<Arc<Exports>>);

impl Otlp {
    /// Begins to export, if the settings say where to. Within a runtime.
    #[must_use]
    pub fn start(settings: &Settings) -> Self {
        Self(Providers::new(settings).map(|providers| Arc::new(Exports::new(providers))))
    }

    /// The store, with a span for each operation.
    #[must_use]
    pub fn store(&self, config: &StoreConfig, store: Arc<dyn StateStore>) -> Arc<dyn StateStore> {
        match &self.0 {
            Some(exports) => Arc::new(TracedStore::new(config, store, Arc::clone(exports))),
            None => store,
        }
    }

    /// Measures the processor's cache.
    pub fn observe(&self, processor: &Arc<Processor>) {
        if let Some(exports) = &self.0 {
            metrics::observe_cache(&exports.meter, processor);
        }
    }

    /// The route to a function that this triggers, with a span for each invocation.
    pub fn invocations(&self, route: MethodRouter, trigger: &Trigger) -> MethodRouter {
        let Some(exports) = &self.0 else { return route };
        let exports = Arc::clone(exports);
        let system = match trigger {
            Trigger::EventHub(_) => "eventhubs",
            Trigger::ServiceBus(_) => "servicebus",
        };
        route.layer(middleware::from_fn(move |request, next| invocation(Arc::clone(&exports), system, request, next)))
    }
}

/// One request of the host.
async fn invocation(exports: Arc<Exports>, system: &'static str, request: Request, next: Next) -> Response {
    if request.method() != Method::POST {
        return next.run(request).await;
    }
    let started = Instant::now();
    let context = {
        let host = TraceContextPropagator::new().extract(&HeaderExtractor(request.headers()));
        let text = |header: &str| request.headers().get(header).and_then(|value| value.to_str().ok());
        let mut attributes = of_a_batch(system);
        attributes.push(KeyValue::new("faas.trigger", "pubsub"));
        if let Some(id) = text("x-azure-functions-invocationid") {
            attributes.push(KeyValue::new("faas.invocation_id", id.to_owned()));
        }
        let span = SpanBuilder::from_name("process").with_kind(SpanKind::Consumer).with_attributes(attributes);
        let span = exports.tracer.build_with_context(span, &host);
        host.with_span(span).with_value(Arc::clone(&exports))
    };
    let response = next.run(request).with_context(context.clone()).await;
    let mut attributes = of_a_batch(system);
    if response.status() != StatusCode::OK {
        attributes.push(error_type(response.status().as_str().to_owned()));
    }
    exports.metrics.invocation.record(started.elapsed().as_secs_f64(), &attributes);
    context.span().end();
    response
}

/// What the conventions want to know of whatever takes messages.
fn of_a_batch(system: &'static str) -> Vec<KeyValue> {
    let attributes = [
        ("messaging.system", system),
        ("messaging.operation.name", "process"),
        ("messaging.operation.type", "process"),
    ];
    attributes.map(|(key, value)| KeyValue::new(key, value)).into()
}

/// Counts a record, and writes down what it tells of the invocation in which it is told. No text of an event is in it.
pub fn told(record: &Record) {
    let context = Context::current();
    let Some(exports) = context.get::<Arc<Exports>>() else { return };
    exports.metrics.count(record);
    let span = context.span();
    let attempt = match record {
        Record::Batch(BatchRecord { attempt, applied, superseded, dead_lettered }) => {
            let outcomes = [
                ("devicestate.events.applied", *applied),
                ("devicestate.events.superseded", *superseded),
                ("devicestate.events.dead_lettered", *dead_lettered),
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
        Record::DeadLetter(_) | Record::DeadLetterQueue(_) | Record::Start(_) => return,
    };
    span.set_attributes(of_an_attempt(attempt));
    let SourceRecord { event_hub_name, session_queue_name, .. } = &attempt.source;
    if let Some(entity) = [event_hub_name, session_queue_name].into_iter().find(|name| !name.is_empty()) {
        span.update_name(format!("process {entity}"));
    }
}

fn of_an_attempt(attempt: &AttemptRecord) -> Vec<KeyValue> {
    let mut attributes = metrics::source(&attempt.source);
    attributes.push(number("messaging.batch.message_count", attempt.events));
    attributes.push(KeyValue::new("devicestate.attempt.number", attempt.number));
    attributes.push(number("devicestate.devices", attempt.devices as u64));
    attributes.push(KeyValue::new("devicestate.request_units", attempt.operations.request_units));
    let places = [
        ("devicestate.sequence_number.first", attempt.first_sequence_number),
        ("devicestate.sequence_number.last", attempt.last_sequence_number),
    ];
    attributes.extend(places.into_iter().filter_map(|(key, number)| Some(KeyValue::new(key, number?))));
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

/// The span of the decoding of a batch, which has just ended and took so long.
pub fn decoded(took: Duration) {
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
