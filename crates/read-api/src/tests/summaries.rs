use super::*;

#[tokio::test]
async fn devices_are_counted_by_when_they_were_heard_and_by_a_value() {
    let rig = Rig::new(&[
        ("a1", 60_000, json!({ "model": "X", "on": true })),
        ("a2", 1, json!({ "model": "X" })),
        ("a3", -3_600_000, json!({ "model": "Y" })),
        ("b1", -86_400_000, json!({ "model": 1, "on": true })),
        ("b2", -90_000_000, json!({ "model": ["X"] })),
        ("b3", 0, json!({ "model": null })),
    ])
    .await;
    // Heard at the beginning of a range is in it.
    let heard = json!({ "lastMinute": 3, "lastHour": 3, "lastDay": 4 });
    assert_eq!(rig.json("/summary", "").await, json!({ "devices": 6, "heard": heard }));
    let summary = rig.json("/summary", "silent=1h&by=model").await;
    assert_eq!(summary["silent"], 3);
    let values = json!([{ "value": "X", "devices": 2 }, { "value": "Y", "devices": 1 }, { "value": 1, "devices": 1 }]);
    assert_eq!(summary["by"], json!({ "field": "model", "values": values, "others": 1 }));
    let summary = rig.json("/summary", "prefix=a&where=exists(on)&by=on").await;
    assert_eq!(summary["devices"], 1);
    assert_eq!(summary["by"]["values"], json!([{ "value": true, "devices": 1 }]));
    assert_eq!(rig.problem("/summary", "by=").await.1, "the parameter `by` must be the name of a reading");
    assert_eq!(rig.problem("/summary", "limit=1").await.0, 400);
}

#[tokio::test]
async fn values_beyond_the_hundred_most_frequent_and_long_texts_are_others() {
    let ids: Vec<_> = (0..150).map(|index| format!("d{index:03}")).collect();
    let mut devices: Vec<_> =
        ids.iter().enumerate().map(|(index, id)| (id.as_str(), 1, json!({ "n": index / 2 * 2 % 140 }))).collect();
    devices.push(("long", 1, json!({ "n": "x".repeat(201) })));
    for index in 0..60 {
        devices.push((Box::leak(format!("e{index}").into_boxed_str()), 1, json!({ "n": format!("text {index}") })));
    }
    let by = Rig::new(&devices).await.json("/summary", "by=n").await["by"].clone();
    let values = by["values"].as_array().expect("a list");
    assert_eq!((values.len(), &values[0]["devices"]), (100, &json!(4)));
    let counted: u64 = values.iter().map(|value| value["devices"].as_u64().expect("a count")).sum();
    assert_eq!(counted + by["others"].as_u64().expect("a count"), 211);
}

#[tokio::test]
async fn devices_that_the_silence_watch_has_marked_are_silent() {
    let rig = Rig::new(&[("a", 1, json!({})), ("b", 1, json!({}))]).await;
    let stored = rig.api.store.read("a", &RequestCharge::default()).await.expect("memory").expect("a document");
    let mut marked = stored.document;
    marked.set_silent_since(Some(T0));
    rig.api.store.replace(&marked, &stored.etag, &RequestCharge::default()).await.expect("no other writer");
    assert_eq!(rig.json("/summary", "").await["silent"], 1);
    // Not counted by a scan.
    assert_eq!(rig.with_index(&["Heard"]).json("/summary", "").await.get("silent"), None);
}

#[tokio::test]
async fn more_devices_than_may_be_read_are_refused() {
    let ids: Vec<_> = (0..10_001).map(|index| format!("d{index:05}")).collect();
    let devices: Vec<_> = ids.iter().map(|id| (id.as_str(), 1, json!({ "n": 1 }))).collect();
    let rig = Rig::new(&devices).await;
    let (status, detail) = rig.problem("/summary", "by=n").await;
    assert_eq!(status, 400);
    assert!(detail.starts_with("more than 10000 devices have the field `n`"), "{detail}");
    assert_eq!(rig.json("/summary", "by=n&prefix=d0").await["by"]["values"][0]["devices"], 10_000);
}
