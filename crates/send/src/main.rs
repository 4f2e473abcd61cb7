//! `devicestate-send` sends events to an event hub, in order per key. Begin with `run`.
//!
//! * `options`: the command line. `destination`: the hub. `access`: the credentials and tokens.
//! * `source`: the events. `worker`: sends the events of some keys, one batch at a time. `batch`: events of one key.
//! * `link`: a connection to the hub. `failure`: why a batch was not accepted.
//! * `run`: a complete run. `counts`, `report`: its result.

mod access;
mod batch;
mod counts;
mod destination;
mod failure;
mod link;
mod options;
mod report;
mod run;
mod source;
mod template;
mod worker;

use std::process::ExitCode;

use clap::Parser as _;
use devicestate_terminal::CommandError;

use options::Options;

const PROGRAM: &str = "devicestate-send";

fn main() -> ExitCode {
    // Two cryptographic providers of rustls are linked: one for the HTTP clients and one for fe2o3-amqp. Without a default,
    // fe2o3-amqp panics.
    let installed = rustls::crypto::aws_lc_rs::default_provider().install_default();
    debug_assert!(installed.is_ok(), "no provider is installed before");
    let options = Options::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return CommandError::not_started(error).report(PROGRAM),
    };
    let ended = runtime.block_on(run::run(options));
    // Tasks that still wait for a hub end with the process.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(PROGRAM),
    }
}
