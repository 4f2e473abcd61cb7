use std::fmt::Write as _;

use super::*;

/// Encodes every byte.
fn encoded(id: &str) -> String {
    id.bytes().fold(String::new(), |mut text, byte| {
        write!(text, "%{byte:02X}").expect("a string");
        text
    })
}

/// Ids of which a careless decoder, or a path, makes another one.
const HARD_IDS: [&str; 16] = [
    "a/b",
    "a",
    "a%2Fb",
    "a%252Fb",
    "..",
    ".",
    "../a",
    "a b",
    " a",
    "a+b",
    "a#b/c?d e%f",
    "\u{1}\n\u{7f}",
    "你",
    "summary",
    "a~2Fb",
    "a&id=a",
];

#[tokio::test]
async fn each_hard_id_returns_its_own_device_and_no_other() {
    let devices = HARD_IDS.map(|id| (id, 1, json!({ "name": id })));
    let rig = Rig::new(&devices).await;
    for id in HARD_IDS {
        let by_query = rig.json("", &format!("id={}", encoded(id))).await;
        assert_eq!((&by_query["id"], &by_query["readings"]["name"]), (&json!(id), &json!(id)));
        if id != "summary" {
            let by_path = rig.json(&format!("/{}", encoded(id)), "").await;
            assert_eq!((&by_path["id"], &by_path["readings"]["name"]), (&json!(id), &json!(id)));
        }
    }
    // As typical clients send them, with less encoding.
    for (path, id) in [("/a%2fb", "a/b"), ("/a%252Fb", "a%2Fb"), ("/a+b", "a+b"), ("/..", ".."), ("/a%20b", "a b")] {
        assert_eq!(rig.json(path, "").await["id"], id, "{path}");
    }
    assert_eq!(rig.json("", "id=a+b").await["id"], "a b");
}

#[tokio::test]
async fn a_path_or_an_id_that_cannot_name_one_device_is_a_problem() {
    let rig = Rig::new(&[("a", 1, json!({})), ("b", 1, json!({}))]).await;
    for (path, query, status) in [
        ("/a/b", "", 404),
        ("/a/", "", 404),
        ("//a", "", 404),
        ("/../a", "", 404),
        ("/a/../b", "", 404),
        ("x/a", "", 404),
        ("/%", "", 400),
        ("/%4", "", 400),
        ("/%zz", "", 400),
        ("/%ff", "", 400),
        ("/%C3%28", "", 400),
        ("/c", "", 404),
        ("/A", "", 404),
        ("/a%00", "", 404),
        ("", "id=", 400),
        ("", "id=%ff", 400),
        ("", "id=a&id=b", 400),
        ("", "id=a&limit=1", 400),
        ("/a", "id=b", 400),
    ] {
        assert_eq!(rig.problem(path, query).await.0, status, "{path}?{query}");
    }
}

#[tokio::test]
async fn the_longest_id_is_found_and_a_longer_one_refused() {
    let longest = "a".repeat(1_023);
    let rig = Rig::new(&[(&longest, 1, json!({ "x": 1 }))]).await;
    assert_eq!(rig.json(&format!("/{longest}"), "").await["readings"], json!({ "x": 1 }));
    let (status, detail) = rig.problem(&format!("/{longest}b"), "").await;
    assert_eq!(status, 400);
    assert_eq!(
        detail,
        "the device id is too long: the id of its document would have 1024 bytes, and the maximum is 1023"
    );
    // Each byte of another script has three in the id of a document.
    assert_eq!(rig.problem(&format!("/{}", encoded(&"你".repeat(114))), "").await.0, 400);
}

#[tokio::test]
async fn invalid_parameters_say_what_they_must_be() {
    let rig = Rig::new(&[]).await;
    for (query, expected) in [
        ("limit=0", "the parameter `limit` must be a number from 1 to 1000"),
        ("limit=1000000000", "the parameter `limit` must be a number from 1 to 1000"),
        ("limit=+5", "the parameter `limit` must be a number from 1 to 1000"),
        ("limit=99999999999999999999999", "the parameter `limit` must be a number from 1 to 1000"),
        ("silent=15", "the parameter `silent` must be a duration such as 90s, 15m, 2h or 7d"),
        (
            "heardSince=now",
            "the parameter `heardSince` must be a time such as 2026-01-02T03:04:05Z, or a duration such as 90s, 15m, 2h or 7d before now",
        ),
        ("versions=yes", "the parameter `versions` must be `true` or `false`"),
        (
            "select=",
            "the parameter `select` must be up to 100 names of readings, separated by commas; one with a comma is in backticks",
        ),
        (
            "where=battery%3C",
            "the filter in `where` is invalid at character 9: expected a number, a text in quotes, `true` or `false`, found the end of the filter",
        ),
        (
            "sort=id",
            "the parameter `sort` is unknown: this request has `silent`, `heardSince`, `prefix`, `id`, `where`, `select`, `limit`, `continuation`, `versions`",
        ),
        ("limits=5", "the parameter `limits` is unknown: did you mean `limit`?"),
    ] {
        assert_eq!(rig.problem("", query).await, (400, expected.to_owned()), "{query}");
    }
    let response = rig.get("", "where=a%20%26").await;
    let body: Value = serde_json::from_str(&response.body).expect("JSON");
    assert_eq!(body["position"], 3);
    assert!(body["type"].as_str().is_some_and(|kind| kind.ends_with("api.md#invalid-filter")), "{body}");
}

#[tokio::test]
async fn a_field_that_is_not_indexed_is_refused_with_what_to_add() {
    let rig = Rig::new(&[]).await.with_index(&["battery"]);
    for (path, query, field, add) in [
        ("", "where=battery<1 and exists(`motor.temp`)", "motor.temp", "`/\"motor.temp\"/?`"),
        ("", "silent=1m", "Heard", "`/Heard/?`"),
        ("", "heardSince=1m", "Heard", "`/Heard/?`"),
        ("/summary", "", "Heard", "`/Heard/?`"),
    ] {
        let response = rig.get(path, &query.replace('<', "%3C").replace(' ', "+")).await;
        let body: Value = serde_json::from_str(&response.body).expect("JSON");
        assert_eq!((response.status, &body["field"]), (400, &json!(field)), "{query}");
        let detail = body["detail"].as_str().expect("a detail");
        assert!(detail.contains(add) && detail.contains("`cosmosIndexedPaths`"), "{detail}");
    }
    assert!(rig.ids("where=battery%3C1").await.is_empty());
    let rig = Rig::new(&[]).await.with_index(&["Heard"]);
    assert_eq!(rig.problem("/summary", "by=model").await.0, 400);
}

#[tokio::test]
async fn other_methods_are_refused() {
    let rig = Rig::new(&[("a", 1, json!({}))]).await;
    for method in ["POST", "PUT", "DELETE", "PATCH", "HEAD", "OPTIONS", "get", ""] {
        for path in ["", "/a", "/summary"] {
            let response = rig.api.answer(&Request { method, path, query: "", if_none_match: None }).await;
            assert_eq!((response.status, response.header("allow")), (405, Some("GET")), "{method} {path}");
        }
    }
}
