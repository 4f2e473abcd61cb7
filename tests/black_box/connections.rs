//! Connections and requests that are not the host's: unknown functions, web pages, too many connections.

use std::{
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{Ipv4Addr, TcpStream},
    process::{Command, Stdio},
    sync::mpsc,
    thread,
    time::Duration,
};

use devicestate_test_support::{App, Batch, FUNCTION, Framing, Handler, free_port, program, request};
use serde_json::Value;

/// Posts a batch to the handler with this target, protocol and header lines; returns the answer's status and body.
fn post(handler: &Handler, target: &str, protocol: &str, header_lines: &str) -> (u16, String) {
    let body = Batch::example().envelope().to_string();
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, handler.port)).expect("a handler that listens");
    let length = body.len();
    write!(
        connection,
        "POST {target} {protocol}\r\n{header_lines}Connection: close\r\nContent-Length: {length}\r\n\r\n{body}"
    )
    .expect("an open connection");
    let mut answer = String::new();
    connection.read_to_string(&mut answer).expect("an answer");
    let status = answer.split(' ').nth(1).and_then(|status| status.parse().ok());
    let (_, body) = answer.split_once("\r\n\r\n").expect("a head");
    (status.unwrap_or_else(|| panic!("no status: {answer}")), body.to_owned())
}

#[test]
fn a_post_to_an_unknown_function_is_an_error_that_names_the_functions() {
    let app = App::shipped();
    let handler = app.start();
    let body = Batch::example().envelope().to_string();
    let names = ["RawTelemetry", "SessionTelemetry", "DeadLetterWatch", "SilenceWatch", "Devices"]
        .map(|name| format!("`{name}Function`"));
    for _ in 0..3 {
        let response =
            request(handler.port, "POST", "/Other", &[], body.as_bytes(), Framing::Length).expect("an answer");
        assert_eq!(response.status, 404);
        let error = response.json()["error"].as_str().expect("text").to_owned();
        assert!(error.contains("no function `Other`") && names.iter().all(|name| error.contains(name)), "{error}");
    }
    let long = format!("/{}", "x".repeat(10_000));
    let response = request(handler.port, "GET", &long, &[], b"", Framing::Length).expect("an answer");
    assert_eq!(response.status, 404);
    assert!(response.body.len() < 1_000, "the answer does not repeat a long path");
    let errors = handler.stop();
    let lines: Vec<Value> = errors.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
    let [line] = &lines[..] else { panic!("one line, however many requests: {errors}") };
    assert_eq!(line["level"], "ERROR");
    let message = line["message"].as_str().expect("text");
    assert!(names.iter().all(|name| message.contains(name)), "{message}");
}

/// Returns the addresses in hexadecimal digits on which the processes of this machine listen at a port.
#[cfg(target_os = "linux")]
fn listening_at(port: u16) -> Vec<String> {
    let tables = ["/proc/net/tcp", "/proc/net/tcp6"].map(|path| std::fs::read_to_string(path).unwrap_or_default());
    let sockets = tables.iter().flat_map(|table| table.lines().skip(1)).map(|line| line.split_whitespace());
    let listening = sockets.filter_map(|mut columns| {
        let (local, state) = (columns.nth(1)?, columns.nth(1)?);
        let (address, at) = local.split_once(':')?;
        (state == "0A" && u16::from_str_radix(at, 16) == Ok(port)).then(|| address.to_owned())
    });
    listening.collect()
}

#[cfg(target_os = "linux")]
#[test]
fn the_handler_and_the_read_api_listen_on_this_machine_only() {
    let app = App::shipped();
    let (handler, api_port) = app.start_with_api();
    let loopback = u32::from_ne_bytes(Ipv4Addr::LOCALHOST.octets());
    for port in [handler.port, api_port] {
        assert_eq!(listening_at(port), [format!("{loopback:08X}")]);
    }
}

#[test]
fn a_request_of_a_web_page_is_refused() {
    let app = App::shipped();
    let handler = app.start();
    let path = format!("/{FUNCTION}");
    let port = handler.port;
    let absolute = format!("http://evil.example{path}");
    for (target, protocol, headers, reason) in [
        (&path, "HTTP/1.1", "Host: evil.example\r\n".to_owned(), "evil.example"),
        (&path, "HTTP/1.1", format!("Host: evil.example:{port}\r\n"), "evil.example"),
        (&path, "HTTP/1.1", "Host: 127.0.0.1.evil.example\r\n".to_owned(), "evil.example"),
        (&path, "HTTP/1.1", "Host: localhost\r\nHost: evil.example\r\n".to_owned(), "evil.example"),
        (&path, "HTTP/1.1", "Host:\r\n".to_owned(), "`Host`"),
        (&path, "HTTP/1.0", "Host: evil.example\r\n".to_owned(), "evil.example"),
        (&absolute, "HTTP/1.1", "Host: localhost\r\n".to_owned(), "evil.example"),
        (&path, "HTTP/1.1", format!("Host: 127.0.0.1:{port}\r\nOrigin: https://evil.example\r\n"), "`Origin`"),
        (&path, "HTTP/1.1", format!("Host: 127.0.0.1:{port}\r\nOrigin: null\r\n"), "`Origin`"),
        (&path, "HTTP/1.1", format!("Host: 127.0.0.1:{port}\r\nSec-Fetch-Site: cross-site\r\n"), "`Sec-Fetch-Site`"),
    ] {
        let (status, body) = post(&handler, target, protocol, &headers);
        assert_eq!(status, 403, "{target} {headers}");
        assert!(body.contains(reason), "{headers}: {body}");
    }
    assert_eq!(handler.state("drone-0017"), None, "nothing was written");
    for (protocol, headers) in [
        ("HTTP/1.1", format!("Host: 127.0.0.1:{port}\r\n")),
        ("HTTP/1.1", "Host: 127.0.0.1\r\n".to_owned()),
        ("HTTP/1.1", format!("Host: LocalHost:{port}\r\n")),
        ("HTTP/1.1", format!("Host: [::1]:{port}\r\n")),
        ("HTTP/1.0", String::new()),
    ] {
        let (status, body) = post(&handler, &path, protocol, &headers);
        assert_eq!(status, 200, "{headers}: {body}");
    }
    let errors = handler.stop();
    assert_eq!(errors.lines().filter(|line| line.contains("refused")).count(), 1, "{errors}");
}

#[test]
fn a_connection_is_used_for_several_requests() {
    let app = App::shipped();
    let handler = app.start();
    let mut connection = TcpStream::connect((Ipv4Addr::LOCALHOST, handler.port)).expect("a handler that listens");
    for _ in 0..3 {
        connection.write_all(b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n").expect("an open connection");
        let mut answer = [0; 15];
        connection.read_exact(&mut answer).expect("an answer");
        assert_eq!(&answer, b"HTTP/1.1 200 OK");
        let mut rest = BufReader::new(&connection).lines().map(|line| line.expect("text"));
        assert!(rest.any(|line| line.is_empty()), "the end of the head");
    }
}

/// The handler starts with few descriptors, and others use all of them.
#[test]
#[cfg(unix)]
fn too_many_connections_are_an_error_in_the_log_and_the_handler_goes_on() {
    let app = App::shipped();
    let port = free_port();
    let mut command = Command::new("sh");
    command.args(["-c", r#"ulimit -n 32; exec "$0" serve"#]).arg(program::devicestate());
    command.env("FUNCTIONS_APP_ROOT_PATH", app.path("")).env("FUNCTIONS_CUSTOMHANDLER_PORT", port.to_string());
    command.env("StateStore", "memory").stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut handler = command.spawn().expect("a shell");
    let mut started = BufReader::new(handler.stdout.take().expect("a pipe"));
    started.read_line(&mut String::new()).expect("the record of the start");

    let connections: Vec<_> = (0..64).map(|_| TcpStream::connect((Ipv4Addr::LOCALHOST, port))).collect();
    let log = BufReader::new(handler.stderr.take().expect("a pipe"));
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || log.lines().map_while(Result::ok).try_for_each(|line| sender.send(line)));
    let error = std::iter::from_fn(|| receiver.recv_timeout(Duration::from_secs(30)).ok())
        .find(|line| line.contains("connections cannot be accepted"));
    drop(connections);
    let response = request(port, "GET", "/", &[], b"", Framing::Length);
    handler.kill().expect("a child of this process");
    handler.wait().expect("a child of this process");
    let error: Value = serde_json::from_str(&error.expect("a line of the log")).expect("JSON");
    assert_eq!(error["level"], "ERROR");
    assert_eq!(response.expect("an answer").status, 200);
}
