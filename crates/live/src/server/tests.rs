use std::{
    collections::BTreeMap,
    fs,
    io::{BufReader, Read as _, Write as _},
    net::TcpStream,
    path::Path,
    sync::atomic::Ordering::SeqCst,
};

use axum::routing::post;
use devicestate_test_support::{
    EventStream,
    http::{self, Response},
};
use serde_json::{Value, json};
use tokio::{runtime::Runtime, sync::oneshot, task::JoinHandle};

use super::*;
use crate::{
    Listen,
    test_store::{TestStore, document, options},
};

/// A server over a store of tests, which also accepts events.
struct Server {
    runtime: Runtime,
    store: Arc<TestStore>,
    port: u16,
    token: String,
    end: Option<oneshot::Sender<()>>,
    serving: JoinHandle<io::Result<()>>,
}

fn start() -> Server {
    let store = Arc::new(TestStore::default());
    let routes = Router::new().route("/hub/messages", post(async || StatusCode::CREATED));
    let listen = Listen { path: "/hub/messages".into(), routes };
    let partitions = BTreeMap::from([(2, "7".to_owned())]);
    let options = Options { listen: Some(listen), partitions, ..options(store.clone()) };
    let runtime = Runtime::new().expect("a runtime");
    let server = runtime.block_on(LiveServer::bind(options, 0)).expect("a free port");
    let address = server.address();
    let (_, token) = address.split_once("/?token=").expect("a token");
    let (token, port) = (token.to_owned(), server.port);
    assert_eq!(server.listen_address(), Some(format!("http://127.0.0.1:{port}/hub/messages")));
    let (end, ended) = oneshot::channel();
    let serving = runtime.spawn(server.serve(async {
        let _ = ended.await;
    }));
    Server { runtime, store, port, token, end: Some(end), serving }
}

impl Server {
    /// Sends the first line of a request and its headers.
    fn send(&self, line: &str, headers: &[String]) -> TcpStream {
        let mut stream = http::connect(self.port).expect("a connection");
        let request = [format!("{line} HTTP/1.1"), "Connection: close".to_owned()];
        let lines = [&request, headers, &[String::new(), String::new()]].concat();
        stream.write_all(lines.join("\r\n").as_bytes()).expect("the server reads");
        stream
    }

    fn answer(&self, line: &str, headers: &[String]) -> Response {
        http::read_response(&mut BufReader::new(self.send(line, headers))).expect("an answer")
    }

    fn host(&self) -> String {
        format!("Host: 127.0.0.1:{}", self.port)
    }

    /// Gets a path with the token.
    fn get(&self, path: &str) -> Response {
        self.answer(&format!("GET {path}"), &[self.host(), format!("Authorization: Bearer {}", self.token)])
    }

    /// Opens the events, or returns the status with which they are refused.
    fn events(&self, query: &str) -> Result<EventStream, u16> {
        EventStream::open(self.port, &format!("/live/devices?token={}{query}", self.token))
    }
}

#[test]
fn data_needs_the_token() {
    let server = start();
    let wrong =
        ["", "x", &server.token[1..], &"0".repeat(server.token.len()), &format!("{}0", server.token)].map(String::from);
    for path in
        ["/live/info", "/live/devices", "/live/device?id=a", "/api/devices", "/api/devices/", "/api/devices/a%2Fb"]
    {
        let line = format!("GET {path}");
        assert_eq!(server.answer(&line, &[server.host()]).status, 401, "{path}");
        for token in &wrong {
            let header = format!("Authorization: Bearer {token}");
            assert_eq!(server.answer(&line, &[server.host(), header]).status, 401, "{path} {token}");
            let separator = if path.contains('?') { '&' } else { '?' };
            let answer = server.answer(&format!("{line}{separator}token={token}"), &[server.host()]);
            assert_eq!((answer.status, answer.header("WWW-Authenticate")), (401, Some("Bearer")), "{path} {token}");
            let problem = answer.json();
            assert!(
                problem["status"] == 401 && problem["detail"].as_str().expect("text").contains("address"),
                "{problem}"
            );
        }
    }
    let info = server.get("/live/info").json();
    let program = concat!("devicestate ", env!("CARGO_PKG_VERSION"));
    assert_eq!(
        (&info["program"], &info["readOnly"], &info["maxDevices"]),
        (&json!(program), &json!(true), &json!(20_000))
    );
    assert_eq!((&info["partitions"], &info["run"], &info["state"]), (&json!(1), &json!(false), &Value::Null));
}

#[test]
fn requests_for_other_servers_and_from_other_pages_are_refused() {
    let server = start();
    let Server { port, .. } = &server;
    let token = format!("Authorization: Bearer {}", server.token);
    let local = server.host();
    let foreign = [
        vec![],
        vec![format!("Host: devices.example:{port}")],
        vec!["Host: 127.0.0.1".to_owned()],
        vec![format!("Host: 127.0.0.1:1{port}")],
        vec![format!("Host: 127.0.0.1.devices.example:{port}")],
        vec![format!("Host: user@127.0.0.1:{port}")],
        vec![local.clone(), format!("Host: devices.example:{port}")],
        vec![local.clone(), "Origin: null".to_owned()],
        vec![local.clone(), "Origin: https://devices.example".to_owned()],
        vec![local.clone(), format!("Origin: https://127.0.0.1:{port}")],
        vec![local.clone(), "Origin: http://127.0.0.1:1".to_owned()],
    ];
    // Links of other pages open this one, but their forms send nothing.
    let sent_by =
        |site: &str, line: &str| server.answer(line, &[local.clone(), format!("Sec-Fetch-Site: {site}")]).status;
    for (site, page, event) in
        [("cross-site", 200, 403), ("same-site", 200, 403), ("same-origin", 200, 201), ("none", 200, 201)]
    {
        assert_eq!((sent_by(site, "GET /"), sent_by(site, "POST /hub/messages")), (page, event), "{site}");
    }
    for headers in foreign {
        for line in ["GET /", "GET /live/info", "POST /hub/messages"] {
            let headers: Vec<_> = headers.iter().chain([&token]).cloned().collect();
            let answer = server.answer(line, &headers);
            assert_eq!(answer.status, 403, "{line} {headers:?}");
            assert_eq!(answer.header("Content-Type"), Some("application/problem+json"));
        }
    }
    let absolute = format!("GET http://devices.example:{port}/live/info");
    assert_eq!(server.answer(&absolute, &[local.clone(), token.clone()]).status, 403);
    for own in ["127.0.0.1", "localhost", "LOCALHOST"] {
        let host = format!("Host: {own}:{port}");
        let origin = format!("Origin: http://{own}:{port}");
        assert_eq!(server.answer("GET /live/info", &[host.clone(), origin, token.clone()]).status, 200, "{own}");
        // Programs that send events have no token.
        assert_eq!(server.answer("POST /hub/messages", &[host]).status, 201, "{own}");
    }
}

#[test]
fn each_file_of_the_page_is_served_with_its_type_and_protective_headers() {
    fn paths(folder: &Path, prefix: &str) -> Vec<String> {
        let entries = fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path());
        let paths = entries.flat_map(|path| {
            let name = format!("{prefix}/{}", path.file_name().expect("a name").to_string_lossy());
            if path.is_dir() { paths(&path, &name) } else { vec![name] }
        });
        paths.collect()
    }
    let server = start();
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("assets");
    let paths = paths(&folder, "");
    assert!(paths.contains(&"/index.html".to_owned()));
    for path in paths.iter().map(String::as_str).chain(["/"]) {
        let answer = server.answer(&format!("GET {path}"), &[server.host()]);
        let file = if path == "/" { "index.html" } else { &path[1..] };
        assert!(answer.status == 200 && answer.body == fs::read(folder.join(file)).expect("a file"), "{path}");
        let extension = file.rsplit('.').next();
        let expected = match extension {
            Some("html") => "text/html; charset=utf-8",
            Some("js") => "text/javascript; charset=utf-8",
            Some("css") => "text/css; charset=utf-8",
            Some("json") => "application/json",
            Some("svg") => "image/svg+xml",
            _ => "text/plain; charset=utf-8",
        };
        assert_eq!(answer.header("Content-Type"), Some(expected), "{path}");
        let policy = answer.header("Content-Security-Policy").expect("a policy");
        assert!(policy.starts_with("default-src 'self'; ") && !policy.contains("unsafe"), "{policy}");
        assert_eq!(answer.header("X-Content-Type-Options"), Some("nosniff"));
        assert_eq!(answer.header("Referrer-Policy"), Some("no-referrer"));
    }
    let status = |line: &str| server.answer(line, &[server.host()]).status;
    assert_eq!((status("GET /../Cargo.toml"), status("GET /other"), status("POST /")), (404, 404, 405));
}

#[test]
fn the_events_follow_the_store_through_a_failure() {
    let server = start();
    server.store.write(document("a", 1));
    let mut events = server.events("").expect("events");
    assert_eq!(events.expect("snapshot")["devices"][0]["readings"]["level"], 1);
    server.store.write(document("a", 2));
    assert_eq!(events.expect("changes")["devices"][0]["readings"]["level"], 2);
    server.store.is_failing.store(true, SeqCst);
    assert_eq!(events.expect("problem")["message"], "the store cannot be read: the disk is away");
    server.store.write(document("b", 3));
    server.store.is_failing.store(false, SeqCst);
    assert_eq!(events.expect("problem")["message"], Value::Null);
    assert_eq!(events.expect("changes")["devices"][0]["id"], "b");
}

#[test]
fn a_reader_that_goes_away_makes_room_for_another_one() {
    let server = start();
    let mut readers: Vec<_> =
        (0..32).map(|_| server.events("").map_err(|status| status.to_string()).expect("room")).collect();
    assert_eq!(server.events("").err(), Some(503));
    readers.pop();
    // The server notices it when its system does.
    while server.events("").is_err() {}
}

#[test]
fn a_filter_selects_devices_and_an_invalid_one_is_refused_with_its_position() {
    let server = start();
    server.store.write(document("low", 1));
    server.store.write(document("high", 9));
    let mut events = server.events("&where=level+%3E+5").expect("events");
    let snapshot = events.expect("snapshot");
    assert_eq!((&snapshot["total"], &snapshot["devices"][0]["id"]), (&json!(1), &json!("high")));
    let answer = server.get("/live/devices?where=level+%3E");
    assert_eq!((answer.status, &answer.json()["position"]), (400, &json!(8)));
    assert_eq!(server.get("/live/devices?silent=15m").status, 400);
}

#[test]
fn the_read_api_is_below_api_and_gets_no_token() {
    let server = start();
    server.store.write(document("a~2Fb", 5));
    let device = server.get("/api/devices/a%2Fb");
    assert_eq!(
        (device.status, &device.json()["id"], &device.json()["readings"]),
        (200, &json!("a/b"), &json!({"level": 5}))
    );
    assert_eq!(device.header("Content-Type"), Some("application/json"));
    let with_token = format!("GET /api/devices?limit=1&token={}", server.token);
    let answer = server.answer(&with_token, &[server.host()]);
    assert_eq!((answer.status, &answer.json()["devices"][0]["id"]), (200, &json!("a/b")));
    let headers = [server.host(), format!("Authorization: Bearer {}", server.token)];
    let tag = format!("If-None-Match: {}", device.header("ETag").expect("a tag"));
    let unchanged = server.answer("GET /api/devices/a%2Fb", &[headers.as_slice(), &[tag]].concat());
    assert_eq!((unchanged.status, unchanged.body.len()), (304, 0));
    assert_eq!(server.get("/api/devices/summary").json()["devices"], 1);
    let mut text = String::new();
    server.send("GET /api/devices", &headers).read_to_string(&mut text).expect("an answer");
    assert_eq!(text.matches("x-content-type-options: nosniff").count(), 1, "{text}");
    assert_eq!(server.answer("POST /api/devices", &headers).status, 405);
}

#[test]
fn the_events_end_with_the_server() {
    let mut server = start();
    let mut events = server.events("").expect("events");
    events.expect("snapshot");
    server.end.take().expect("not yet").send(()).expect("it is served");
    assert_eq!(events.next_of("changes"), None);
    server.runtime.block_on(server.serving).expect("no panic").expect("a regular end");
}

#[test]
fn a_device_has_each_reading_with_its_partition_and_its_latest_values() {
    let server = start();
    server.store.write(document("pump~231", 5));
    let mut events = server.events("").expect("events");
    assert_eq!(events.expect("snapshot")["devices"][0]["id"], "pump#1");
    server.store.write(document("pump~231", 6));
    events.expect("changes");
    let expected = json!({
        "id": "pump#1", "heardMs": 6, "deadLetters": [], "deadLetterCount": 0,
        "readings": [{
            "name": "level", "value": 6, "timeMs": 6, "sequenceNumber": 6, "source": 2, "partition": "7", "history": [[5, 5.0], [6, 6.0]],
        }],
    });
    assert_eq!(server.get("/live/device?id=pump%231").json(), expected);
    for (path, status) in [("/live/device?id=pump", 404), ("/live/device", 400), ("/live/device?id=a&x=1", 400)] {
        let answer = server.get(path);
        assert_eq!((answer.status, &answer.json()["status"]), (status, &json!(status)), "{path}");
    }
    server.store.is_failing.store(true, SeqCst);
    assert_eq!(server.get("/live/device?id=other").status, 503);
}
