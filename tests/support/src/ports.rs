//! Free ports for the processes of tests.

use std::{
    net::{Ipv4Addr, TcpStream},
    sync::atomic::{AtomicU32, Ordering::Relaxed},
};

/// Returns a port on which no process listens.
///
/// It is outside the range from which the system assigns ports to connections and other processes, which could take the port
/// before the handler uses it. Each test process starts at another port, by its process id.
pub fn free_port() -> u16 {
    const FIRST_PORT: u32 = 10_240;
    const PORT_COUNT: u32 = 22_528;
    const PORTS_PER_PROCESS: u32 = 22;
    static NEXT: AtomicU32 = AtomicU32::new(0);
    loop {
        let number = std::process::id().wrapping_mul(PORTS_PER_PROCESS).wrapping_add(NEXT.fetch_add(1, Relaxed));
        let port = u16::try_from(FIRST_PORT + number % PORT_COUNT).expect("below 32768");
        // The check does not listen on the port: a child process that another test starts now would inherit the listening socket
        // until it executes the handler, and would accept the first connection.
        if TcpStream::connect((Ipv4Addr::LOCALHOST, port)).is_err() {
            return port;
        }
    }
}
