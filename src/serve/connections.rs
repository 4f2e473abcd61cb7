//! Accepts connections and serves HTTP/1.1 on each. A connection that stays silent where a request, or the rest of one, is due
//! is closed.

use std::{io, time::Duration};

use axum::Router;
use hyper::server::conn::http1;
use hyper_util::{
    rt::{TokioIo, TokioTimer},
    service::TowerToHyperService,
};
use tokio::{
    io::{AsyncRead, AsyncWrite},
    net::TcpListener,
    task::{JoinSet, spawn_blocking},
    time::{sleep, timeout},
};

use devicestate_engine::rate_limit::OncePerMinute;

/// How long a connection may be silent before and in a request. The host's client closes an idle connection after a minute or
/// two, so that it never uses one that is closed here.
pub(super) const MAX_SILENCE: Duration = Duration::from_mins(5);

/// The pause after a connection could not be accepted, in which others may end.
const ACCEPT_PAUSE: Duration = Duration::from_secs(1);

/// Limits the end of the connections and of the store.
const MAX_CLOSING_TIME: Duration = Duration::from_secs(3);

/// Serves each connection in a task until `end`. Then it cancels the running invocations, whose replies would not be read,
/// and closes the store.
pub(super) async fn serve_until(end: impl Future<Output = ()>, listener: TcpListener, router: Router) {
    let mut connections = JoinSet::new();
    tokio::select! {
        () = end => {}
        () = accept_connections(&listener, &router, &mut connections) => {}
    }
    // The port is free for the next handler.
    drop(listener);
    let close = async {
        connections.shutdown().await;
        // A transaction may wait for a lock on the state file.
        let _ = spawn_blocking(|| drop(router)).await;
    };
    let _ = timeout(MAX_CLOSING_TIME, close).await;
}

async fn accept_connections(listener: &TcpListener, router: &Router, connections: &mut JoinSet<()>) {
    let log = OncePerMinute::default();
    loop {
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            Some(_ended) = connections.join_next() => continue,
        };
        match accepted {
            Ok((connection, _)) => {
                // Replies are small and the host waits for each, so they must not wait for a full packet.
                let _ = connection.set_nodelay(true);
                connections.spawn(serve_connection(connection, router.clone()));
            }
            Err(error) if is_of_one_connection(&error) => {}
            Err(error) => {
                if log.is_due() {
                    tracing::error!(
                        "connections cannot be accepted: {error}; the host waits until another connection or file of the \
                         handler is closed"
                    );
                }
                sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

async fn serve_connection(connection: impl AsyncRead + AsyncWrite + Unpin + Send, router: Router) {
    let mut http = http1::Builder::new();
    http.timer(TokioTimer::new()).header_read_timeout(MAX_SILENCE);
    let served = http.serve_connection(TokioIo::new(connection), TowerToHyperService::new(router)).await;
    // The client broke off or stayed silent. It gets no answer, and its next connection is a new one.
    if let Err(error) = served {
        tracing::debug!(%error, "a connection ended early");
    }
}

/// Returns true if the client closed a connection before it was accepted.
fn is_of_one_connection(error: &io::Error) -> bool {
    use io::ErrorKind::{ConnectionAborted, ConnectionRefused, ConnectionReset};
    matches!(error.kind(), ConnectionAborted | ConnectionRefused | ConnectionReset)
}

#[cfg(test)]
mod tests {
    use axum::{
        http::StatusCode,
        routing::{get, post},
    };
    use tokio::{
        io::{AsyncReadExt as _, AsyncWriteExt as _, DuplexStream, duplex},
        time::Instant,
    };

    use super::*;
    use crate::serve::body::collect_body;

    const HOUR: Duration = Duration::from_hours(1);

    /// Serves a connection on the paused clock.
    fn connect() -> DuplexStream {
        let slow = get(|| async {
            sleep(HOUR).await;
            "slow"
        });
        let body = post(|request: axum::extract::Request| async {
            collect_body(request.into_body()).await.map_or(StatusCode::REQUEST_TIMEOUT, |_| StatusCode::OK)
        });
        let (client, server) = duplex(1 << 16);
        tokio::spawn(serve_connection(server, Router::new().route("/slow", slow).route("/body", body)));
        client
    }

    /// Returns everything that the server sends until it closes the connection, and the time until then.
    async fn until_closed(mut client: DuplexStream) -> (String, Duration) {
        let start = Instant::now();
        let mut text = String::new();
        client.read_to_string(&mut text).await.expect("text");
        (text, start.elapsed())
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_sends_nothing_or_half_a_head_is_closed() {
        for sent in ["", "GET /slow HTTP/1.1\r\nHost: local"] {
            let mut client = connect();
            client.write_all(sent.as_bytes()).await.expect("an open connection");
            let (answer, time) = until_closed(client).await;
            assert_eq!((answer.as_str(), time.as_secs()), ("", MAX_SILENCE.as_secs()), "{sent:?}");
        }
    }

    #[tokio::test(start_paused = true)]
    async fn a_connection_that_sends_half_a_body_is_closed() {
        let mut client = connect();
        client.write_all(b"POST /body HTTP/1.1\r\nContent-Length: 9\r\n\r\nhalf").await.expect("an open connection");
        let (answer, time) = until_closed(client).await;
        assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
        assert_eq!(time.as_secs(), 2 * MAX_SILENCE.as_secs(), "the half came in the first period");
    }

    #[tokio::test(start_paused = true)]
    async fn a_slow_body_and_a_slow_answer_are_waited_for_and_the_connection_is_used_again() {
        let mut client = connect();
        client.write_all(b"POST /body HTTP/1.1\r\nContent-Length: 9\r\n\r\n").await.expect("an open connection");
        for byte in *b"slow body" {
            sleep(MAX_SILENCE * 9 / 10).await;
            client.write_all(&[byte]).await.expect("an open connection");
        }
        sleep(MAX_SILENCE * 9 / 10).await;
        client.write_all(b"GET /slow HTTP/1.1\r\n\r\n").await.expect("an open connection");
        let (answers, time) = until_closed(client).await;
        assert!(answers.starts_with("HTTP/1.1 200") && answers.ends_with("slow"), "{answers}");
        assert_eq!(answers.matches("HTTP/1.1 200").count(), 2, "{answers}");
        assert_eq!(time.as_secs(), (HOUR + MAX_SILENCE).as_secs());
    }
}
