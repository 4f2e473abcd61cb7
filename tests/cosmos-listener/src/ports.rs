//! The data ports: one for each region, which can all go down and come up again.

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

/// A socket on this port of 127.0.0.1 (0 is any free one) that does not listen: nobody else gets the port, and
/// connections to it are refused.
pub(crate) fn reserve(port: u16) -> io::Result<TcpSocket> {
    let socket = TcpSocket::new_v4()?;
    // Without this, the connections that a `/down` cut would keep the port for a minute.
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
    /// Keeps the port while it is down.
    reserved: Option<TcpSocket>,
    /// Listens while it is up.
    server: Option<Server>,
}

struct Server {
    stop: oneshot::Sender<()>,
    task: JoinHandle<()>,
}

impl Ports {
    /// The ports of these sockets, one for each region, still down.
    pub(crate) fn new(service: Arc<Service>, sockets: Vec<TcpSocket>) -> io::Result<Self> {
        let regions = service.account.regions().iter().cloned();
        let ports = regions.zip(sockets).map(|(region, socket)| {
            let number = socket.local_addr()?.port();
            Ok(Port { region, number, reserved: Some(socket), server: None })
        });
        let ports = ports.collect::<io::Result<_>>()?;
        Ok(Self { service, ports: Mutex::new(ports) })
    }

    /// Listens on all ports. Those that are up stay as they are.
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

    /// Closes all ports and cuts all connections: once this returns, there is none.
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
            // An error of `accept` is about a connection that is gone already.
            Ok((stream, _)) = listener.accept() => {
                connections.spawn(converse(stream, region.clone(), service.clone()));
            }
            // Those that ended are forgotten, as a long run would otherwise pile them up.
            Some(_) = connections.join_next() => {}
        }
    }
    drop(listener);
    connections.shutdown().await;
}

/// A request that gets no answer.
#[derive(Debug)]
struct Cut;

impl Display for Cut {
    fn fmt(&self, formatter: &mut Formatter<'_>) -> fmt::Result {
        formatter.write_str("a fault that a test asked for")
    }
}

impl Error for Cut {}

/// Serves one connection, in HTTP/1.1 or in HTTP/2 from the first byte, until either side closes it.
///
/// The error of a request ends the connection of HTTP/1.1, but only the request's own stream of HTTP/2: the other streams
/// are requests that the test did not mean. (`down` is what cuts them all.)
async fn converse(stream: TcpStream, region: Region, service: Arc<Service>) {
    // An answer is one write. Waiting for more to come would only cost the tests time.
    stream.set_nodelay(true).ok();
    let serve = service_fn(move |request: hyper::Request<Incoming>| {
        let answer = service.clone().serve(region.clone(), request);
        async move { answer.await.ok_or(Cut) }
    });
    // An error here is a fault, or a client that broke off, which is its right.
    auto::Builder::new(TokioExecutor::new()).serve_connection(TokioIo::new(stream), serve).await.ok();
}
