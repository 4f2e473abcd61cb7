//! Credentials and tokens; secrets stay secret.

use std::{io::Read as _, net::TcpListener, thread};

use super::{HubContent, RunOutput, command, hub::Hub};

const KEY: &str = "bm90IGEgcmVhbCBrZXk=";

/// The emulator's kind of connection string: without TLS.
fn connection_string(port: u16) -> String {
    format!(
        "Endpoint=sb://127.0.0.1:{port};SharedAccessKeyName=send;SharedAccessKey={KEY};UseDevelopmentEmulator=true;"
    )
}

fn run(setting: &str, value: &str) -> RunOutput {
    let arguments = ["--keys", "3", "--events", "10", "--hub", "telemetry", "--connection", setting];
    RunOutput::new(command(&arguments).env(setting, value).output().expect("it runs"))
}

#[test]
fn a_connection_string_becomes_a_signature_and_its_key_is_never_printed() {
    let hub = Hub::new();
    let ran = run("Mine", &connection_string(hub.port));
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    HubContent::of(&hub.accepted_batches()).assert_numbered(3, 10);
    let tokens = hub.tokens();
    assert_eq!(tokens.len(), 3, "one for each connection");
    for token in &tokens {
        assert_eq!(token.kind, "servicebus.windows.net:sastoken");
        assert_eq!(token.audience, "amqps://127.0.0.1/telemetry");
        let signed = "SharedAccessSignature sr=amqps%3a%2f%2f127.0.0.1%2ftelemetry&sig=";
        assert!(token.text.starts_with(signed) && token.text.ends_with("&skn=send"), "{}", token.text);
        assert!(!token.text.contains(KEY) && !ran.out.contains(&token.text) && !ran.err.contains(&token.text));
    }
    assert!(!ran.out.contains(KEY) && !ran.err.contains(KEY));
}

#[test]
fn a_given_signature_is_sent_unchanged() {
    let hub = Hub::new();
    let signature = "SharedAccessSignature sr=x&sig=y&se=4000000000&skn=z";
    let string = format!(
        "Endpoint=sb://127.0.0.1:{};SharedAccessSignature={signature};EntityPath=telemetry;UseDevelopmentEmulator=true",
        hub.port
    );
    let ran = run("EventHubConnection", &string);
    assert_eq!(ran.code, Some(0), "{}", ran.err);
    assert!(hub.tokens().iter().all(|token| token.text == signature));
    assert!(!ran.out.contains("sig=y") && !ran.err.contains("sig=y"));
}

#[test]
fn a_denied_token_is_reported_with_the_setting_and_without_the_key() {
    let hub = Hub::denying_tokens();
    let ran = run("EventHubConnection", &connection_string(hub.port));
    assert_eq!((ran.code, ran.out.as_str()), (Some(2), ""));
    assert!(ran.err.contains("the setting EventHubConnection: the hub telemetry cannot be reached"), "{}", ran.err);
    assert!(ran.err.contains("401") || ran.err.contains("Unauthorized"), "{}", ran.err);
    assert!(!ran.err.contains(KEY) && !ran.err.contains("sig="), "{}", ran.err);
    assert_eq!((hub.tokens().len(), hub.deliveries()), (1, 0));
}

#[test]
fn no_token_is_sent_to_an_endpoint_on_this_machine() {
    let hub = Hub::new();
    assert_eq!(super::send(hub.port, &["--keys", "1", "--events", "1"]).code, Some(0));
    assert!(hub.tokens().is_empty());
}

/// The certificate of a namespace and its responses cannot be tested without a namespace.
#[test]
fn a_connection_to_a_namespace_starts_with_tls() {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
    let port = listener.local_addr().expect("an address").port();
    let first = thread::spawn(move || {
        let mut record = [0; 6];
        let (mut stream, _) = listener.accept().expect("it connects");
        stream.read_exact(&mut record).expect("the client sends data");
        record
    });
    let string = connection_string(port).replace("UseDevelopmentEmulator=true;", "");
    let ran = run("EventHubConnection", &string);
    let [kind, major, _, _, _, handshake] = first.join().expect("it was read");
    assert_eq!((kind, major, handshake), (22, 3, 1), "the ClientHello of TLS");
    assert_eq!(ran.code, Some(2));
    assert!(ran.err.contains("the setting EventHubConnection") && !ran.err.contains("panic"), "{}", ran.err);
}

#[test]
fn a_missing_identity_is_reported_before_anything_is_sent() {
    let arguments = ["--keys", "1", "--namespace", "ns.example.com", "--hub", "telemetry"];
    let mut lacking = command(&arguments);
    lacking.env("EventHubConnection__credential", "workloadidentity").env_remove("AZURE_FEDERATED_TOKEN_FILE");
    let ran = RunOutput::new(lacking.output().expect("it runs"));
    assert_eq!(ran.code, Some(2), "{}", ran.err);
    assert!(ran.err.contains("the identity for sending is not available"), "{}", ran.err);
}
