//! Metrics and traces that a collector receives from the binary in a build with OTLP. Exports must never delay or fail an
//! invocation.

mod collector;

use std::{
    cell::Cell,
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use devicestate_test_support::{
    App, Batch, EVENT_HUB, Event, FUNCTION, Framing, Handler, NAMESPACE, Reply, Response, SESSIONS, listener::Listener,
    program, root, session_message::SessionMessage,
};
use serde_json::{Value, json};

use collector::{Behavior, CLIENT, Collector, ERROR, attributes_of};

const ENDPOINT: &str = "OTEL_EXPORTER_OTLP_ENDPOINT";
const TRACE_ID: &str = "0af7651916cd43dd8448eb211c80319c";
const SPAN_ID: &str = "b7ad6b7169203331";
const INVOCATION: &str = "6b0a2f0e-0b3c-4e0e-9d3a-0f5a6c1f8e21";

/// Returns the path of the binary in a build with OTLP.
fn binary() -> &'static Path {
    static BINARY: OnceLock<PathBuf> = OnceLock::new();
    // Debug information is not needed.
    let build =
        ["--example", "devicestate-otlp", "--features", "devicestate/otlp", "--config", "profile.dev.debug = false"];
    BINARY.get_or_init(|| program::build(&build))
}

/// Returns the shipped app in a build with OTLP and with short export intervals.
fn app() -> App {
    let intervals = ["OTEL_METRIC_EXPORT_INTERVAL", "OTEL_BSP_SCHEDULE_DELAY"];
    intervals.into_iter().fold(App::shipped().with_binary(binary()), |app, setting| app.with(setting, "100"))
}

fn app_for(collector: &Collector) -> App {
    app().with(ENDPOINT, collector.endpoint())
}

fn post(handler: &Handler, traceparent: &str, batch: &Batch) -> Response {
    let body = batch.envelope().to_string();
    handler.call_with(&[("traceparent", traceparent)], FUNCTION, INVOCATION, body.as_bytes(), Framing::Chunked(4_096))
}

fn event(number: i64, device: &str) -> Event {
    Event::json(number, &json!({"deviceId": device, "battery": 0.5}))
}

fn hex(id: &[u8]) -> String {
    use std::fmt::Write as _;
    id.iter().fold(String::new(), |mut digits, byte| {
        write!(digits, "{byte:02x}").expect("writing to a string does not fail");
        digits
    })
}

#[test]
fn an_invocation_continues_the_hosts_trace_with_child_spans() {
    let collector = Collector::start(Behavior::Accept);
    let app = app_for(&collector);
    let handler = app.start();
    let events = [event(7, "drone-1"), event(8, "drone-2"), event(9, "drone-1"), Event::new(10, "secret-body")];
    Reply::from_response(&post(&handler, &format!("00-{TRACE_ID}-{SPAN_ID}-01"), &Batch::of(events).partition("3")));

    let (invocation, children) = collector.invocation();
    assert_eq!((hex(&invocation.trace_id), hex(&invocation.parent_span_id)), (TRACE_ID.into(), SPAN_ID.into()));
    assert_eq!(invocation.name, format!("process {EVENT_HUB}"));
    assert!(invocation.status.is_none_or(|status| status.code != ERROR));
    let attributes = attributes_of(&invocation.attributes);
    for (attribute, value) in [
        ("messaging.system", json!("eventhubs")),
        ("messaging.operation.type", json!("process")),
        ("messaging.destination.name", json!(EVENT_HUB)),
        ("messaging.destination.partition.id", json!("3")),
        ("messaging.consumer.group.name", json!("devicestate")),
        ("messaging.batch.message_count", json!(4)),
        ("server.address", json!(NAMESPACE)),
        ("faas.invocation_id", json!(INVOCATION)),
        ("devicestate.attempt.number", json!(1)),
        ("devicestate.sequence_number.first", json!(7)),
        ("devicestate.sequence_number.last", json!(10)),
        ("devicestate.events.applied", json!(3)),
        ("devicestate.events.dead_lettered", json!(1)),
    ] {
        assert_eq!(attributes.get(attribute), Some(&value), "{attribute} of {attributes:?}");
    }

    let mut names: Vec<_> = children.iter().map(|span| span.name.as_str()).collect();
    names.sort_unstable();
    assert_eq!(names, ["create_item", "create_item", "decode", "read_item", "read_item"]);
    assert!(children.iter().all(|span| hex(&span.trace_id) == TRACE_ID));
    let operations = children.iter().filter(|span| span.kind == CLIENT).map(|span| attributes_of(&span.attributes));
    let operations: Vec<_> = operations.collect();
    assert!(operations.iter().all(|attributes| attributes["db.system.name"] == "sqlite"), "{operations:?}");
    let ids: BTreeSet<_> =
        operations.iter().map(|attributes| attributes["devicestate.document.id"].to_string()).collect();
    assert_eq!(ids, ["\"drone-1\"".to_owned(), "\"drone-2\"".to_owned()].into());
    assert!(!collector.has_seen("secret-body"), "no content of an event is exported");
}

#[test]
fn the_span_of_a_message_has_its_queue_session_and_id() {
    let collector = Collector::start(Behavior::Accept);
    let app = app_for(&collector).with("SessionQueueName", "sessions");
    let handler = app.start();
    let traceparent = format!("00-{TRACE_ID}-{SPAN_ID}-01");
    let message = SessionMessage::battery(7, "drone-1", 0.5).delivered(2).to_bytes();
    Reply::from_response(&handler.call_with(
        &[("traceparent", &traceparent)],
        SESSIONS,
        INVOCATION,
        &message,
        Framing::Chunked(4_096),
    ));

    let (invocation, _) = collector.invocation();
    assert_eq!(invocation.name, "process sessions");
    let attributes = attributes_of(&invocation.attributes);
    for (attribute, value) in [
        ("messaging.system", json!("servicebus")),
        ("messaging.destination.name", json!("sessions")),
        ("messaging.message.id", json!("drone-1/7")),
        ("messaging.servicebus.message.delivery_count", json!(2)),
        ("devicestate.session.id", json!("drone-1")),
        ("devicestate.attempt.number", json!(2)),
    ] {
        assert_eq!(attributes.get(attribute), Some(&value), "{attribute} of {attributes:?}");
    }
}

#[test]
fn an_invocation_of_the_timer_function_has_no_span() {
    let collector = Collector::start(Behavior::Accept);
    let app = app_for(&collector);
    let handler = app.start();
    handler.invoke_timer();
    Reply::from_response(&post(&handler, &format!("00-{TRACE_ID}-{SPAN_ID}-01"), &Batch::of([event(1, "drone-1")])));

    collector.invocation();
    assert!(collector.spans().iter().all(|span| hex(&span.trace_id) == TRACE_ID));
    collector.next_metrics();
    assert!(collector.sum("messaging.process.duration", &[]) < 2.0);
}

#[test]
fn a_trace_that_the_host_does_not_sample_is_exported() {
    let collector = Collector::start(Behavior::Accept);
    let app = app_for(&collector);
    let handler = app.start();
    Reply::from_response(&post(&handler, &format!("00-{TRACE_ID}-{SPAN_ID}-00"), &Batch::of([event(1, "drone-1")])));
    assert_eq!(hex(&collector.invocation().0.trace_id), TRACE_ID);
}

#[test]
fn the_hosts_sampling_decision_is_followed_by_setting() {
    let collector = Collector::start(Behavior::Accept);
    let app = app_for(&collector).with("OTEL_TRACES_SAMPLER", "parentbased_always_on");
    let handler = app.start();
    let other = "1af7651916cd43dd8448eb211c80319c";
    Reply::from_response(&post(&handler, &format!("00-{other}-{SPAN_ID}-00"), &Batch::of([event(1, "drone-1")])));
    Reply::from_response(&post(&handler, &format!("00-{TRACE_ID}-{SPAN_ID}-01"), &Batch::of([event(2, "drone-1")])));

    collector.invocation();
    assert!(collector.spans().iter().all(|span| hex(&span.trace_id) == TRACE_ID));
    collector.next_metrics();
    assert!(collector.sum("devicestate.attempts", &[]) > 1.0, "the metrics have both");
}

#[test]
fn the_metrics_agree_with_the_replies_also_compressed() {
    let collector = Collector::start(Behavior::Accept);
    let app = app_for(&collector)
        .with("OTEL_EXPORTER_OTLP_COMPRESSION", "gzip")
        .with("OTEL_SERVICE_NAME", "fleet")
        .with("OTEL_RESOURCE_ATTRIBUTES", "deployment.environment.name=staging")
        .with("WEBSITE_SITE_NAME", "func-1");
    let handler = app.start();
    let batches = [
        Batch::of([event(1, "drone-1"), event(2, "drone-2"), Event::new(3, "not telemetry")]),
        Batch::of([event(1, "drone-1"), event(4, "drone-1")]),
        Batch::of([event(9, "drone-3")]).partition("1"),
    ];
    let mut sum_of_counts = [0; 4];
    for batch in &batches {
        let counts = handler.invoke(&batch.envelope()).counts();
        sum_of_counts = std::array::from_fn(|index| sum_of_counts[index] + counts[index]);
    }
    assert_eq!(sum_of_counts, [6, 4, 1, 1]);

    let sum = |metric: &str, attributes: &[(&str, &str)]| collector.sum(metric, attributes);
    collector.next_metrics();
    let partition = "messaging.destination.partition.id";
    for (metric, attributes, value) in [
        ("devicestate.attempts", &[("devicestate.attempt.result", "answered")][..], 3.0),
        ("devicestate.attempts", &[(partition, "1")], 1.0),
        ("devicestate.events", &[("devicestate.event.outcome", "applied")], 4.0),
        ("devicestate.events", &[("devicestate.event.outcome", "superseded")], 1.0),
        ("devicestate.events", &[("devicestate.event.outcome", "dead-lettered")], 1.0),
        ("devicestate.events", &[(partition, "0"), ("messaging.destination.name", EVENT_HUB)], 5.0),
        ("devicestate.dead_letters", &[("devicestate.dead_letter.stage", "deserialize")], 1.0),
        ("devicestate.store.operations", &[("devicestate.store.operation", "write")], 4.0),
        ("devicestate.batch.events", &[], 3.0),
        ("devicestate.lag", &[], 3.0),
        ("devicestate.decode.duration", &[], 3.0),
        ("devicestate.store.duration", &[], 3.0),
        ("messaging.process.duration", &[], 3.0),
        ("db.client.operation.duration", &[("db.operation.name", "create_item")], 3.0),
    ] {
        #[expect(clippy::float_cmp, reason = "integers")]
        let is_equal = sum(metric, attributes) == value;
        assert!(is_equal, "{metric} {attributes:?} is {}, not {value}", sum(metric, attributes));
    }
    assert!(sum("devicestate.cache.size", &[]) > 0.0);
    assert!(collector.is_compressed());

    let resource = collector.resource();
    for (attribute, value) in [
        ("service.name", "fleet"),
        ("deployment.environment.name", "staging"),
        ("faas.name", "func-1"),
        ("service.version", env!("CARGO_PKG_VERSION")),
    ] {
        assert_eq!(resource.get(attribute), Some(&json!(value)), "{attribute} of {resource:?}");
    }
}

#[test]
fn every_metric_is_documented_with_its_unit() {
    let collector = Collector::start(Behavior::Accept);
    let app = app_for(&collector);
    let handler = app.start();
    handler.invoke(&Batch::of([event(1, "drone-1"), Event::new(3, "not telemetry")]).envelope());
    collector.next_metrics();

    let documented = fs::read_to_string(root().join("docs/operate/opentelemetry.md")).expect("the page");
    let (_, list) = documented.split_once("\n## Metrics\n").expect("the list of metrics");
    let rows = list.lines().filter_map(|line| line.strip_prefix("* `")?.split_once("` (`"));
    let rows: BTreeSet<_> =
        rows.filter_map(|(name, rest)| Some((name.to_owned(), rest.split_once("`)")?.0.to_owned()))).collect();
    let exported: BTreeSet<_> = collector.units().into_iter().collect();
    assert_eq!(exported, rows, "exported metrics, and those in docs/operate/opentelemetry.md");
}

#[test]
fn the_span_of_a_failed_attempt_has_the_reason_as_its_error() {
    let collector = Collector::start(Behavior::Accept);
    let app = app_for(&collector).with("RetryDrillDevice", "drone-1");
    let handler = app.start();
    let batch = Batch::of([event(1, "drone-1")]).retry(0, -1);
    assert_eq!(post(&handler, &format!("00-{TRACE_ID}-{SPAN_ID}-01"), &batch).status, 503);

    let (invocation, _) = collector.invocation();
    let status = invocation.status.expect("a status");
    assert_eq!(status.code, ERROR);
    assert!(status.message.contains("RetryDrillDevice"), "{}", status.message);
    let attributes = attributes_of(&invocation.attributes);
    assert_eq!((&attributes["error.type"], &attributes["devicestate.events.unresolved"]), (&json!("503"), &json!(1)));
    let failed = [("devicestate.attempt.result", "failed")];
    collector.next_metrics();
    assert!(collector.sum("devicestate.attempts", &failed) > 0.0);
    assert!(collector.sum("devicestate.events", &[]) < 1.0, "only the last attempt counts the events");
}

#[test]
fn a_span_of_cosmos_db_has_its_request_units() {
    let (collector, account) = (Collector::start(Behavior::Accept), Listener::start());
    let app = app_for(&collector).with("StateStore", "cosmos").with("CosmosConnection", account.connection_string());
    let handler = app.start();
    let batch = Batch::of([event(1, "drone-1"), event(2, "drone-2")]);
    let reply = Reply::from_response(&post(&handler, &format!("00-{TRACE_ID}-{SPAN_ID}-01"), &batch));

    let (_, children) = collector.invocation();
    let operations = children.iter().filter(|span| span.kind == CLIENT);
    let operations: Vec<_> = operations.map(|span| (span.name.as_str(), attributes_of(&span.attributes))).collect();
    assert_eq!(operations.iter().filter(|(name, _)| *name == "create_item devices").count(), 2, "{operations:?}");
    assert_eq!(operations.iter().filter(|(name, _)| *name == "read_item devices").count(), 2, "{operations:?}");
    for (_, attributes) in &operations {
        assert_eq!(
            (&attributes["db.system.name"], &attributes["db.namespace"]),
            (&json!("azure.cosmosdb"), &json!("devicestate"))
        );
    }
    let charge = |value: &Value| value.as_f64().expect("request units");
    let units: f64 =
        operations.iter().map(|(_, attributes)| charge(&attributes["azure.cosmosdb.operation.request_charge"])).sum();
    let all = charge(&reply.batch["requestUnits"]);
    assert!(all > 0.0 && (units - all).abs() < 0.01, "{units} of {all}");
    assert!(!collector.has_seen("AccountKey"), "no secret is exported");
}

/// Runs a handler until it has exported each signal twice, and returns its standard error.
fn run_two_exports(collector: &Collector) -> String {
    let app = app_for(collector).with("OTEL_EXPORTER_OTLP_TIMEOUT", "200");
    let handler = app.start();
    let next = Cell::new(0);
    collector.wait_until("a second export of each", |it| {
        handler.invoke(&Batch::of([event(next.replace(next.get() + 1), "drone-1")]).envelope()).assert_all_applied(1);
        it.requests().iter().all(|exports| *exports >= 2).then_some(())
    });
    handler.stop()
}

fn warnings(errors: &str) -> usize {
    errors.lines().filter(|line| line.contains("an export of the handler's")).count()
}

#[test]
fn a_rejecting_collector_changes_no_reply_and_is_logged_once_per_signal() {
    let collector = Collector::start(Behavior::Reject);
    let errors = run_two_exports(&collector);
    assert_eq!(warnings(&errors), 2, "{errors}");
    assert!(errors.contains("403 Forbidden") && errors.contains(ENDPOINT), "{errors}");
    assert_eq!(errors.lines().count(), 2, "nothing else is logged: {errors}");
}

#[test]
fn a_hanging_collector_changes_no_reply_and_is_logged_once_per_signal() {
    let collector = Collector::start(Behavior::Hang);
    let errors = run_two_exports(&collector);
    assert_eq!(warnings(&errors), 2, "{errors}");
    assert_eq!(errors.lines().count(), 2, "nothing else is logged: {errors}");
}

/// A reply that waited for an export would take ten minutes, and the client of these tests fails after two.
#[test]
fn no_reply_waits_for_a_hanging_collector_or_a_full_queue() {
    let collector = Collector::start(Behavior::Hang);
    let app = app_for(&collector).with("OTEL_EXPORTER_OTLP_TIMEOUT", "600000").with("OTEL_BSP_MAX_QUEUE_SIZE", "16");
    let handler = app.start();
    handler.invoke(&Batch::of([event(0, "drone-1")]).envelope()).assert_all_applied(1);
    collector.wait_until("an export of each", |it| (it.requests() == [1, 1]).then_some(()));
    for number in 1..50 {
        handler.invoke(&Batch::of([event(number, "drone-1")]).envelope()).assert_all_applied(1);
    }
    assert_eq!(collector.requests(), [1, 1], "both exports still wait");
}

#[test]
fn an_invalid_endpoint_changes_no_reply_and_is_logged() {
    let app = app().with(ENDPOINT, "collector:4318?key=secret");
    let handler = app.start();
    handler.invoke(&Batch::of([event(1, "drone-1")]).envelope()).assert_all_applied(1);
    let errors = handler.stop();
    assert!(errors.contains("no traces are exported") && errors.contains(ENDPOINT), "{errors}");
    assert!(!errors.contains("key=secret"), "{errors}");
}

/// Returns the number of a handler's exporter threads, by their names in the kernel.
#[cfg(target_os = "linux")]
fn exporters(app: &App) -> usize {
    let handler = app.start();
    handler.invoke(&Batch::of([event(1, "drone-1")]).envelope());
    let threads = fs::read_dir(format!("/proc/{}/task", handler.id())).expect("the threads of a process").flatten();
    let names = threads.filter_map(|thread| fs::read_to_string(thread.path().join("comm")).ok());
    names.filter(|name| name.starts_with("OpenTelemetry")).count()
}

#[cfg(target_os = "linux")]
#[test]
fn nothing_is_exported_without_an_endpoint() {
    let collector = Collector::start(Behavior::Accept);
    assert_eq!(exporters(&app()), 0);
    assert_eq!(exporters(&app_for(&collector)), 2, "one per signal, so the count works");
    assert_eq!(exporters(&app().with("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", collector.endpoint())), 1);
    assert_eq!(exporters(&app_for(&collector).with("OTEL_METRICS_EXPORTER", "none")), 1);
    assert_eq!(exporters(&app_for(&collector).with("OTEL_SDK_DISABLED", "true")), 0);
}

#[test]
fn the_default_build_does_not_link_opentelemetry() {
    let linked = |features: &[&str]| {
        let output =
            program::cargo(&["tree", "--locked", "--edges", "normal", "--prefix", "none"]).args(features).output();
        let tree = String::from_utf8(output.expect("cargo runs").stdout).expect("UTF-8");
        assert!(tree.contains("azure_data_cosmos "), "{tree}");
        tree.contains("opentelemetry")
    };
    assert_eq!([linked(&[]), linked(&["--features", "otlp"])], [false, true]);
}

#[test]
fn a_build_without_otlp_warns_that_an_endpoint_has_no_effect() {
    let app = App::shipped().with(ENDPOINT, "http://127.0.0.1:4318");
    let handler = app.start();
    handler.invoke(&Batch::of([event(1, "drone-1")]).envelope()).assert_all_applied(1);
    let errors = handler.stop();
    assert_eq!(errors.lines().filter(|line| line.contains(ENDPOINT)).count(), 1, "{errors}");
    assert!(errors.contains("--features otlp"), "{errors}");

    let app = App::shipped();
    assert_eq!(app.start().stop(), "", "no warning without an endpoint");
}
