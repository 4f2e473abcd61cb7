use axum::body::{Body, to_bytes};
use serde_json::json;
use tokio::time::{Instant, timeout};

use super::*;
use crate::hub::{Hub, Options, Property};

struct Running {
    intake: Arc<Intake<Hub>>,
    hub: Arc<Hub>,
    stop: watch::Sender<Shutdown>,
}

impl Running {
    fn new(partitions: usize) -> Self {
        let hub = Arc::new(Hub::new(partitions, Options::default()));
        let stop = watch::Sender::new(Shutdown::Running);
        let statistics = Arc::new(Statistics::new());
        let intake = Intake::new(Arc::clone(&hub), statistics, "Telemetry".into(), stop.subscribe());
        Self { intake, hub, stop }
    }

    async fn post(&self, partition: Option<&str>, headers: &[(&str, &str)], body: impl Into<Body>) -> (u16, String) {
        let mut request = Request::post("/telemetry/messages");
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        let request = request.body(body.into()).expect("a request");
        let response = self.intake.answer("telemetry", partition, request).await;
        let status = response.status().as_u16();
        let body = to_bytes(response.into_body(), 10_000).await.expect("a small body");
        (status, String::from_utf8(body.into()).expect("text"))
    }

    fn sent(&self, partition: usize) -> Vec<Sent> {
        self.hub.retained_events(partition).iter().map(|event| event.sent.clone()).collect()
    }
}

fn text(name: &str, value: &str) -> (String, Property) {
    (name.into(), Property::Text(value.into()))
}

#[tokio::test]
async fn a_request_becomes_an_event_with_the_properties_of_its_headers() {
    let running = Running::new(4);
    let headers = [
        ("Content-Type", "application/json"),
        ("BrokerProperties", r#"{"PartitionKey":"ignored here","MessageId":"m","CorrelationId":"c","Label":"other"}"#),
        ("Alert", r#""Strong Wind""#),
        ("Plain", "5"),
        ("Authorization", "SharedAccessSignature secret"),
        ("Cookie", "secret"),
        ("x-ms-retrypolicy", "NoRetry"),
        ("User-Agent", "curl"),
        ("Accept", "*/*"),
    ];
    assert_eq!(running.post(Some("2"), &headers, "body").await, (201, String::new()));
    let expected = Sent {
        body: b"body".to_vec(),
        partition_key: Some("ignored here".into()),
        partition: Some(2),
        message_id: Some("m".into()),
        correlation_id: Some("c".into()),
        properties: vec![text("alert", "Strong Wind"), text("plain", "5")],
        system_properties: vec![text("content-type", "application/json")],
        ..Sent::default()
    };
    assert_eq!(running.sent(2), [expected]);
}

#[tokio::test]
async fn a_batch_becomes_its_events_in_order() {
    let running = Running::new(1);
    let batch = json!([
        { "Body": "one", "BrokerProperties": { "PartitionKey": "k" }, "UserProperties": { "n": 1, "t": true } },
        { "Body": "AP8=", "IsBodyBase64": true },
    ]);
    // The headers of a batch are not properties of its events.
    let headers = [("Content-Type", "application/vnd.microsoft.servicebus.json; charset=utf-8"), ("Alert", "x")];
    assert_eq!(running.post(None, &headers, batch.to_string()).await, (201, String::new()));
    let properties = vec![("n".into(), Property::Integer(1)), ("t".into(), Property::Boolean(true))];
    let one = Sent { body: b"one".to_vec(), partition_key: Some("k".into()), properties, ..Sent::default() };
    assert_eq!(running.sent(0), [one, Sent { body: vec![0, 255], ..Sent::default() }]);
}

#[tokio::test]
async fn an_invalid_request_is_refused_and_nothing_of_it_is_taken() {
    const BATCH: (&str, &str) = ("Content-Type", "application/vnd.microsoft.servicebus.json");
    let running = Running::new(2);
    let long_key = format!(r#"{{"PartitionKey":"{}"}}"#, "ü".repeat(129));
    let many = vec![json!({ "Body": "" }); 16_400];
    for (status, partition, header, body) in [
        (400, None, ("BrokerProperties", "{"), "x".to_owned()),
        (400, None, ("BrokerProperties", r#"{"PartitionKey":5}"#), "x".to_owned()),
        (400, None, ("BrokerProperties", &long_key), "x".to_owned()),
        (400, None, BATCH, "{}".to_owned()),
        (400, None, BATCH, "[]".to_owned()),
        (400, None, BATCH, r#"[{"Body":"one"},{"Body":{"is":"no text"}}]"#.to_owned()),
        (400, None, BATCH, r#"[{"Body":"one"},{"Body":"no base64","IsBodyBase64":true}]"#.to_owned()),
        (413, None, BATCH, serde_json::to_string(&many).expect("JSON")),
        (413, None, ("Alert", "x"), "x".repeat((1 << 20) + 1)),
        (404, Some("2"), ("Alert", "x"), "x".to_owned()),
        (404, Some("-1"), ("Alert", "x"), "x".to_owned()),
        (404, Some("+1"), ("Alert", "x"), "x".to_owned()),
        (404, Some("99999999999999999999"), ("Alert", "x"), "x".to_owned()),
    ] {
        let (answered, detail) = running.post(partition, &[header], body).await;
        assert_eq!((answered, running.hub.incoming()), (status, 0), "{partition:?} {header:?} {detail}");
        assert!(detail.starts_with(&format!("<Error><Code>{status}</Code><Detail>")), "{detail}");
    }
    assert_eq!(running.post(None, &[], vec![b'x'; 1 << 20]).await.0, 201);
}

#[tokio::test(start_paused = true)]
async fn a_sender_waits_while_the_hub_is_full_and_gets_an_answer_to_send_again() {
    let running = Running::new(1);
    for _ in 0..20_000 {
        running.hub.send(Sent::default()).await;
    }
    let started = Instant::now();
    let (status, detail) = running.post(None, &[], "x").await;
    assert!(status == 503 && detail.contains("ServerBusy"), "{detail}");
    assert_eq!((started.elapsed(), running.hub.incoming()), (MAX_WAIT, 20_000));

    // A waiting event is taken when there is room.
    let limits = crate::hub::BatchLimits { min_events: 1, max_events: 10, max_wait: Duration::ZERO };
    let (answer, _) = tokio::join!(running.post(None, &[], "x"), running.hub.receive(0, 0, limits));
    assert_eq!((answer.0, running.hub.incoming()), (201, 20_001));

    // More requests than may wait are answered at once.
    let places = running.intake.requests.acquire_many(MAX_REQUESTS).await.expect("it is open");
    let started = Instant::now();
    let (status, _) = running.post(None, &[], "x").await;
    assert_eq!((status, started.elapsed()), (503, Duration::ZERO));
    drop(places);
}

#[tokio::test(start_paused = true)]
async fn a_request_that_does_not_arrive_is_ended() {
    let running = Running::new(1);
    let never = Body::from_stream(futures_util::stream::pending::<Result<axum::body::Bytes, std::io::Error>>());
    assert_eq!(running.post(None, &[], never).await.0, 408);
    let never = Body::from_stream(futures_util::stream::pending::<Result<axum::body::Bytes, std::io::Error>>());
    let (answer, ()) = tokio::join!(running.post(None, &[], never), async {
        running.stop.send_replace(Shutdown::Draining);
        running.intake.end().await;
    });
    assert_eq!(answer.0, 503);
    let (status, detail) = running.post(None, &[], "x").await;
    assert!(status == 503 && detail.contains("the run ends"), "{detail}");
    assert_eq!(running.hub.incoming(), 0);
}

#[tokio::test(start_paused = true)]
async fn a_batch_is_taken_as_a_whole_although_its_sender_goes_away() {
    let running = Running::new(1);
    for _ in 1..20_000 {
        running.hub.send(Sent::default()).await;
    }
    let batch = json!([{ "Body": "1" }, { "Body": "2" }, { "Body": "3" }]).to_string();
    let headers = [("Content-Type", "application/vnd.microsoft.servicebus.json")];
    // The hub has room for one of them, so that the sender waits until it goes away.
    let answer = timeout(Duration::from_secs(1), running.post(None, &headers, batch)).await;
    assert!(answer.is_err());
    assert_eq!(running.hub.incoming(), 20_000);
    let limits = crate::hub::BatchLimits { min_events: 1, max_events: 10, max_wait: Duration::ZERO };
    running.hub.receive(0, 0, limits).await;
    // The end waits for the others.
    running.intake.end().await;
    assert_eq!(running.hub.incoming(), 20_002);
}

#[tokio::test(start_paused = true)]
async fn the_bytes_of_properties_fill_the_hub_too() {
    let running = Running::new(1);
    let text = "x".repeat(1_000_000);
    let batch = json!([{ "Body": "", "UserProperties": { "text": text } }]).to_string();
    let headers = [("Content-Type", "application/vnd.microsoft.servicebus.json")];
    let mut taken = 0;
    while running.post(None, &headers, batch.clone()).await.0 == 201 {
        taken += 1;
        assert!(taken < 100, "the memory of the hub is bounded");
    }
    assert_eq!(taken, 68);
}
