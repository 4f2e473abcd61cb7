//! The data ports, one for each region. A test can close and reopen them.

use std::{
    error::Error,
    fmt::{self, Display, Formatter},
    io,
    net::{Ipv4Addr, SocketAddr},
    sync::Arc,
};

use hyper::{body::Incoming, service::service_fn};
use hyper_util::{
    rt::{TokioExecutor, TokioIo},
    server::conn::auto,
};
use tokio::{
    net::{TcpListener, TcpSocket, TcpStream},
    sync::{Mutex, oneshot},
    task::{JoinHandle, JoinSet},
};

use crate::{account::Region, data::Service};

const BACKLOG: u32 = 1024;

/// Binds a socket to this port of 127.0.0.1, or to a free one for 0, without listening: no other process gets the port, and
/// connections to it are refused.
pub(crate) fn reserve(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Without it, connections that `/down` closed would occupy the port for a minute.
    socket.set_reuseaddr(true)?;
    socket.bind(SocketAddr::from((Ipv4Addr::LOCALHOST, port)))?;
    Ok(socket)
}

/// The data ports.
pub(crate) struct Ports {
    service: Arc<Service>,
    ports: Mutex<Vec<Port>>,
}

struct Port {
    region: Region,
    number: u16,
    /// Reserves the port while it is down.
    reserved: Option<TcpSocket>,
    /// The server while the port is up.
    server: Option<Server>,
}

struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Ports {
    /// Creates the ports from these sockets, one for each region. They are down.
    pub(crate) fn new(service: Arc<Service>, sockets: Vec<TcpSocket>) -> io::Result<Self> {
        let regions = service.account.regions().iter().cloned();
        let ports = regions.zip(sockets).map(|(region, socket)| {
            let number = socket.local_addr()?.port();
            Ok(Port { region, number, reserved: Some(socket), server: None })
        });
        let ports = ports.collect::<io::Result<_>>()?;
        Ok(Self { service, ports: Mutex::new(ports) })
    }

    /// Listens on all ports. Ports that are up are not changed.
    pub(crate) async fn up(&self) -> io::Result<()> {
        for port in &mut *self.ports.lock().await {
            if port.server.is_none() {
                let socket = port.reserved.take().map_or_else(|| reserve(port.number), Ok)?;
                let listener = socket.listen(BACKLOG)?;
                let (stop, stopped) = oneshot::channel();
                let task = tokio::spawn(listen(listener, port.region.clone(), self.service.clone(), stopped));
                port.server = Some(Server { stop, task });
            }
        }
        Ok(())
    }

    /// Closes all ports and all connections before it returns.
    pub(crate) async fn down(&self) -> io::Result<()> {
        for port in &mut *self.ports.lock().await {
            if let Some(Server { stop, task }) = port.server.take() {
                drop(stop);
                task.await.map_err(io::Error::other)?;
                port.reserved = Some(reserve(port.number)?);
            }
        }
        Ok(())
    }
}

async fn listen(listener: TcpListener, region: Region, service: Arc<Service>, mut stopped: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut stopped => break,
            // An error of `accept` concerns a connection that is already closed.
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(serve_connection(stream, region.clone(), service.clone()));
            }
            // Removes ended tasks, which would accumulate in a long run.
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// The error of a request without a response.
#[derive(Debug)]
struct Disconnected;

impl Display for Disconnected {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("a fault that a test injected")
    }
}

impl Error for Disconnected {}

/// Serves one connection with HTTP/1.1, or with HTTP/2 from the first byte, until either side closes it.
///
/// The error of a request closes the connection of HTTP/1.1, but only the request's own stream of HTTP/2: the fault does not
/// concern the other streams. `down` closes them all.
async fn serve_connection(stream: TcpStream, region: Region, service: Arc<Service>) {
    // A response is one write, so waiting for a full packet would only delay the tests.
    stream.set_nodelay(true).ok();
    let serve = service_fn(move |request: hyper::Request<Incoming>| {
        let response = service.clone().serve(region.clone(), request);
        async move { response.await.ok_or(Disconnected) }
    });
    // An error here is a fault, or a client that disconnected.
    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), serve).await.ok();
}
