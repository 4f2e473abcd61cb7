//! The server.

use std::{future::Future, io, net::Ipv4Addr};

use axum::Router;
use tokio::net::TcpListener;
use uuid::Uuid;

use crate::Options;

/// The server of the page, on 127.0.0.1.
pub struct LiveServer {
    listener: TcpListener,
    port: u16,
    token: String,
    options: Options,
}

impl LiveServer {
    /// Opens a port on 127.0.0.1: this one, or a free one for 0.
    ///
    /// # Errors
    ///
    /// Returns an error if the port is in use.
    pub async fn bind(options: Options, port: u16) -> io::Result<Self> {
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
        let port = listener.local_addr()?.port();
        Ok(Self { listener, port, token: Uuid::new_v4().simple().to_string(), options })
    }

    /// Returns the address of the page, with its token.
    #[must_use]
    pub fn address(&self) -> String {
        format!("http://127.0.0.1:{}/?token={}", self.port, self.token)
    }

    /// Returns the address to which events are sent.
    #[must_use]
    pub fn listen_address(&self) -> Option<String> {
        self.options.listen.as_ref().map(|listen| format!("http://127.0.0.1:{}{}", self.port, listen.path))
    }

    /// Serves until `shutdown` is ready.
    ///
    /// # Errors
    ///
    /// Returns an error if the port can no longer be served.
    pub async fn serve(self, shutdown: impl Future<Output = ()> + Send + 'static) -> io::Result<()> {
        let routes = self.options.listen.map_or_else(Router::new, |listen| listen.routes);
        axum::serve(self.listener, routes).with_graceful_shutdown(shutdown).await
    }
}
