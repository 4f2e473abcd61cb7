//! Managed identity: the handler obtains a token from Azure and authenticates to the account with it.

use std::{
    io::{BufRead as _, BufReader, Write as _},
    net::{Ipv4Addr, TcpListener},
    sync::{
        Arc,
        atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    },
    thread,
};

use devicestate_test_support::{App, Batch, Fold, listener::Listener};

use super::{battery, deliver};

/// The token endpoint that Azure offers to a function app.
struct IdentityEndpoint {
    address: String,
    token_requests: Arc<AtomicU64>,
    /// Whether the app has an identity.
    is_assigned: Arc<AtomicBool>,
}

const TOKEN: &str = "a-token-that-is-a-secret-like-a-key";

impl IdentityEndpoint {
    fn start() -> Self {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).expect("a port");
        let address = format!("http://{}/msi/token", listener.local_addr().expect("its address"));
        let (token_requests, is_assigned) = (Arc::<AtomicU64>::default(), Arc::new(AtomicBool::new(true)));
        let (count, assigned) = (Arc::clone(&token_requests), Arc::clone(&is_assigned));
        // Ends with the process of the tests.
        thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let mut request =
                    BufReader::new(&stream).lines().map_while(Result::ok).take_while(|line| !line.is_empty());
                let line = request.next().unwrap_or_default();
                request.for_each(drop);
                assert!(line.contains("resource="), "{line}");
                count.fetch_add(1, Relaxed);
                let (status, body) = if assigned.load(Relaxed) {
                    let token = format!(
                        r#"{{"access_token":"{TOKEN}","expires_on":"4102444800","resource":"x","token_type":"Bearer"}}"#
                    );
                    ("200 OK", token)
                } else {
                    ("400 Bad Request", r#"{"statusCode":400,"message":"No managed identity was found."}"#.to_owned())
                };
                let length = body.len();
                let head = format!(
                    "HTTP/1.1 {status}\r\nContent-Type: application/json\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n"
                );
                // The client may have closed the connection.
                let _ = (&stream).write_all((head + &body).as_bytes());
            }
        });
        Self { address, token_requests, is_assigned }
    }

    fn app(&self, listener: &Listener) -> App {
        App::shipped()
            .without("SqlitePath")
            .with("StateStore", "cosmos")
            .with("LogLevel", "trace")
            .with("CosmosConnection__accountEndpoint", listener.endpoint())
            .with("CosmosConnection__credential", "managedidentity")
            .with("IDENTITY_ENDPOINT", &self.address)
            .with("IDENTITY_HEADER", "a-header-of-azure")
    }
}

#[test]
fn a_managed_identity_authenticates_and_requests_its_token_once() {
    let (identity, listener) = (IdentityEndpoint::start(), Listener::start());
    let app = identity.app(&listener);
    let handler = app.start();
    let batches =
        [1, 2].map(|number| Batch::of([battery(number, "drone-1", 0.5), battery(number + 10, "drone-2", 0.25)]));
    for batch in &batches {
        deliver(&handler, batch).reply.assert_all_applied(2);
    }
    assert_eq!(listener.documents(), Fold::from_batches(&batches).documents());
    assert_eq!(identity.token_requests.load(Relaxed), 1);
    let log = handler.stop() + &app.log();
    assert!(!log.contains(TOKEN) && !log.contains("a-header-of-azure"), "a secret was logged");
}

#[test]
fn the_handler_recovers_once_the_identity_is_assigned() {
    let (identity, listener) = (IdentityEndpoint::start(), Listener::start());
    identity.is_assigned.store(false, Relaxed);
    let app = identity.app(&listener);
    let handler = app.start();
    let batch = Batch::of([battery(1, "drone-1", 0.5)]);
    let response = handler.post("1de", batch.clone().retry(0, -1).envelope().to_string().as_bytes());
    assert_eq!(response.status, 503, "{}", response.json());
    let reason = response.json()["error"].to_string();
    assert!(reason.contains("CosmosConnection__credential"), "{reason}");
    identity.is_assigned.store(true, Relaxed);
    deliver(&handler, &batch).reply.assert_all_applied(1);
    assert_eq!(listener.documents(), Fold::from_batches([&batch]).documents());
}
