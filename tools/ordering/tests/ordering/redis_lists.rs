//! The experiment with a real Redis, whose lists the tests read directly.

use std::{
    io::{BufRead as _, BufReader, Read as _},
    net::TcpListener,
    process::{Child, ChildStdout, Command, Stdio},
};

use redis::{Client, Connection};
use tempfile::TempDir;

use crate::experiment::{SMALL, assert_only_repeats, count, only_strategy, report, run};

/// A Redis server without persistence. It is killed when this is dropped.
struct Server {
    child: Child,
    url: String,
    /// Its standard output, kept open so that it can write to it.
    _log: BufReader<ChildStdout>,
    _folder: TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Server {
    fn start() -> Self {
        // Another process may take the port before the server does.
        let server = (0..5).find_map(|_| Self::try_start());
        server.expect("redis-server starts on one of five ports")
    }

    /// Starts a server on a free port; `None` if another process has taken it meanwhile.
    fn try_start() -> Option<Self> {
        let free = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
        let port = free.local_addr().expect("an address").port();
        drop(free);
        let folder = TempDir::new().expect("a temporary folder");
        let mut command = Command::new("redis-server");
        command.args(["--bind", "127.0.0.1", "--port", &port.to_string(), "--save", "", "--appendonly", "no", "--dir"]);
        command.arg(folder.path()).stdin(Stdio::null()).stdout(Stdio::piped());
        let mut child = command.spawn().expect("redis-server runs");
        let mut log = BufReader::new(child.stdout.take().expect("a pipe"));
        let is_ready = log.by_ref().lines().any(|line| line.expect("text").contains("Ready to accept connections"));
        let server = Self { child, url: format!("redis://127.0.0.1:{port}"), _log: log, _folder: folder };
        is_ready.then_some(server)
    }

    fn connect(&self) -> Connection {
        Client::open(self.url.as_str()).expect("an address").get_connection().expect("a connection")
    }

    fn run(&self, arguments: &[&str]) -> serde_json::Value {
        report(&[&SMALL[..], &["--redis", &self.url], arguments].concat())
    }
}

/// Reads the lists of all keys from the server.
fn lists(connection: &mut Connection) -> Vec<Vec<u32>> {
    let list = |key| {
        let mut range = redis::cmd("LRANGE");
        range.arg(format!("events:key-{key:03}")).arg(0).arg(-1);
        range.query(connection).expect("a list")
    };
    (0..20).map(list).collect()
}

#[test]
fn a_crash_leaves_half_a_batch_in_redis_and_the_next_instance_only_repeats_it() {
    let server = Server::start();
    let report = server.run(&["--strategy", "d", "--keep"]);
    let strategy = only_strategy(&report);
    assert_eq!((report["listsIn"].as_str(), count(strategy, "gaps")), (Some("redis"), 0));
    let lists = lists(&mut server.connect());
    for list in &lists {
        assert_only_repeats(list);
        assert_eq!(list.last(), Some(&100), "the list is complete: {list:?}");
    }
    let entries: usize = lists.iter().map(Vec::len).sum();
    assert!(entries > 2_000, "no events were repeated");
    assert_eq!(count(strategy, "duplicates"), entries as u64 - 2_000);
}

#[test]
fn only_parallel_invocations_lose_the_order_in_redis() {
    let server = Server::start();
    let report = server.run(&["--strategy", "a", "--strategy", "c", "--keep"]);
    let strategies = report["strategies"].as_array().expect("strategies");
    assert!(count(&strategies[0], "inversions") > 0);
    assert_eq!((count(&strategies[0], "gaps"), count(&strategies[0], "duplicates")), (0, 0));
    assert_eq!(count(&strategies[1], "perfectLists"), 20);
    // They are the last strategy's; those of the previous one are deleted.
    assert!(lists(&mut server.connect()).into_iter().all(|list| list.into_iter().eq(1..=100)));
}

#[test]
fn a_run_deletes_its_own_lists_before_and_after_and_no_others() {
    let server = Server::start();
    let mut connection = server.connect();
    for key in ["events:key-000", "events:key-999", "events"] {
        redis::cmd("RPUSH").arg(key).arg("old").exec(&mut connection).expect("a list");
    }
    let report = server.run(&["--strategy", "c"]);
    assert_eq!(count(only_strategy(&report), "perfectLists"), 20, "the old list is deleted");
    let mut left: Vec<String> = redis::cmd("KEYS").arg("*").query(&mut connection).expect("the keys");
    left.sort();
    assert_eq!(left, ["events", "events:key-999"]);
}

#[test]
fn an_unreachable_server_is_reported_with_its_option_and_without_its_password() {
    let closed = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    let url = format!("redis://:secret@127.0.0.1:{}", closed.local_addr().expect("an address").port());
    drop(closed);
    let output = run(&["--redis", &url]);
    let stderr = String::from_utf8(output.stderr).expect("text");
    assert_eq!(output.status.code(), Some(2), "{stderr}");
    assert!(stderr.contains("check --redis") && !stderr.contains("secret"), "{stderr}");
}
