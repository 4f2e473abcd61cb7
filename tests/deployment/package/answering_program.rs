//! A program that the tests package instead of the handler. It only answers HTTP requests, as `scripts/package.sh` requires.

use std::{
    env,
    io::{Read, Write},
    net::TcpListener,
};

fn main() {
    let port = env::var("FUNCTIONS_CUSTOMHANDLER_PORT").expect("the host sets it").parse().expect("a port");
    let listener = TcpListener::bind(("127.0.0.1", port)).expect("a free port");
    for stream in listener.incoming() {
        let mut stream = stream.expect("a connection");
        // Each fails only if the client is gone.
        let _ = stream.read(&mut [0; 1024]);
        let _ = stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nConnection: close\r\n\r\n");
    }
}
