//! The stand-in's reading of replies: for each reply that the recorded host got, the same result and the same messages in the
//! queue.

use std::{
    fs,
    io::{Read as _, Write as _},
    net::TcpListener,
    sync::Arc,
    thread,
};

use devicestate_engine::{clock::System, function_app::MessageEncoding, queue::DeadLetterQueue as _};
use devicestate_local::{
    endpoint::{Endpoint, HttpResponse},
    reply::{self, ReplyError},
};
use devicestate_sqlite::{Database, OpenMode, SqliteQueue};
use serde::Deserialize;
use serde_json::json;
use tempfile::NamedTempFile;

use crate::recording::path;

/// A reply, and what became of it.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Entry {
    reply: String,
    body: Option<String>,
    invocation: String,
    queue_messages: Vec<String>,
}

/// The bytes of an answer.
fn answer(status: &str, headers: &[&str], body: &str) -> Vec<u8> {
    let headers: String = headers.iter().flat_map(|header| [*header, "\r\n"]).collect();
    format!("HTTP/1.1 {status}\r\n{headers}Content-Length: {}\r\n\r\n{body}", body.len()).into_bytes()
}

impl Entry {
    /// Returns what the handler answered to each request, and the messages that were in the queue then. Status and headers are
    /// in the name of an entry.
    fn exchange(self) -> (Vec<Vec<u8>>, Vec<String>) {
        let body = |messages: &[&str]| json!({ "Outputs": { "q": messages } }).to_string();
        let (limit, too_long) = ("x".repeat(49_152), "x".repeat(49_153));
        let (mut status, mut headers, mut messages) =
            ("200 OK", vec!["Content-Type: application/json"], self.queue_messages);
        let mut next = None;
        let text = match &*self.reply {
            "exactly 49152 bytes" => {
                // The file has the length of the text in base64.
                assert_eq!(messages, ["(65536 chars)"]);
                messages = vec![limit.clone()];
                body(&[&limit])
            }
            "49153 bytes" => body(&["first ok", &too_long]),
            "connection closed" => return (vec![Vec::new()], messages),
            other => {
                match other {
                    "text/plain" => headers = vec!["Content-Type: text/plain"],
                    "no content type" => headers = vec![],
                    "json charset" => headers = vec!["Content-Type: application/json; charset=utf-8"],
                    "status 201" => status = "201 Created",
                    "status 400" => status = "400 Bad Request",
                    "status 500 with outputs" => status = "500 Internal Server Error",
                    "status 302" => {
                        (status, headers) = ("302 Found", vec!["Content-Type: application/json", "Location: /other"]);
                        next = Some(answer("200 OK", &["Content-Type: application/json"], "{}"));
                    }
                    _ => {}
                }
                self.body.expect("a body")
            }
        };
        ([Some(answer(status, &headers, &text)), next].into_iter().flatten().collect(), messages)
    }
}

/// Invokes a handler that answers so. Returns how the invocation ended, and the messages in the queue.
async fn invoke(answers: Vec<Vec<u8>>) -> (&'static str, Vec<String>) {
    let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
    let port = listener.local_addr().expect("an address").port();
    let handler = thread::spawn(move || {
        let (mut stream, _) = listener.accept().expect("a connection");
        for answer in answers {
            let (mut request, mut buffer) = (Vec::new(), [0; 4_096]);
            while !request.ends_with(b"\r\n\r\n") || (request.starts_with(b"POST") && !request.ends_with(b"0\r\n\r\n"))
            {
                let count = stream.read(&mut buffer).expect("a request");
                request.extend(&buffer[..count]);
            }
            stream.write_all(&answer).expect("an answer");
        }
    });
    let response = Endpoint::new(port, "F").post("id", "{}".into()).await;
    handler.join().expect("the handler");
    let Ok(HttpResponse { status, content_type, body }) = response else { return ("failed", vec![]) };
    match reply::read(status, content_type.as_deref(), &body, "q") {
        Ok(accepted) => {
            let file = NamedTempFile::new().expect("a temporary file");
            let database = Database::open(file.path(), OpenMode::Create).expect("a state file");
            let queue = SqliteQueue::new(database, Arc::new(System));
            let put = accepted.put_messages(&queue, MessageEncoding::Base64).await;
            let messages = queue.peek(32).await.expect("messages").into_iter();
            let messages = messages.map(|message| String::from_utf8(message.body).expect("text")).collect();
            (if put.is_ok() { "succeeded" } else { "failed" }, messages)
        }
        Err(ReplyError::Failed(_)) => ("failed", vec![]),
        Err(ReplyError::Hangs) => ("hangs", vec![]),
    }
}

#[tokio::test]
async fn each_recorded_reply_has_the_recorded_result_and_messages() {
    let entries = fs::read(path("replies.json")).expect("the recorded replies");
    let entries: Vec<Entry> = serde_json::from_slice(&entries).expect("replies");
    assert_eq!(entries.len(), 38);
    for entry in entries {
        let (name, invocation) = (entry.reply.clone(), entry.invocation.clone());
        let (answers, messages) = entry.exchange();
        assert_eq!(invoke(answers).await, (&*invocation, messages), "{name}");
    }
}

/// Not in the table, because the recorder waited for the end of each invocation.
#[tokio::test]
async fn an_invocation_whose_reply_is_empty_or_null_hangs() {
    let json: &[&str] = &["Content-Type: application/json"];
    for answer in [
        answer("200 OK", json, ""),
        answer("200 OK", json, "null"),
        answer("200 OK", json, "\u{feff} null\n"),
        answer("200 OK", &[], ""),
        b"HTTP/1.1 204 No Content\r\n\r\n".to_vec(),
    ] {
        let text = String::from_utf8_lossy(&answer).into_owned();
        assert_eq!(invoke(vec![answer]).await, ("hangs", vec![]), "{text}");
    }
}
