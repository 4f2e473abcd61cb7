//! `devicestate-send` sends events to an event hub, each key's in order.
//!
//! * `options`: the command line. `destination`: where events go. `access`: how this program shows that it may.
//! * `source`: the events. `lane`: those of some keys, one batch after the other. `batch`: events of one key.
//! * `link`: a connection to the hub. `failure`: what came in place of its yes.
//! * `run`: all of it together. `counts`, `report`: what people see of it.

mod access;
mod batch;
mod counts;
mod destination;
mod failure;
mod lane;
mod link;
mod options;
mod report;
mod run;
mod source;

use std::process::ExitCode;

use clap::Parser as _;
use devicestate_terminal::CommandError;

use options::Options;

const PROGRAM: &str = "devicestate-send";

fn main() -> ExitCode {
    // Both of rustls's providers are in the tree: the one of the HTTP clients, and the one that fe2o3-amqp brings. Only
    // where one is named does fe2o3-amqp not panic.
    let named = rustls::crypto::aws_lc_rs::default_provider().install_default();
    debug_assert!(named.is_ok(), "nobody has named one before");
    let options = Options::parse();
    let runtime = match tokio::runtime::Runtime::new() {
        Ok(runtime) => runtime,
        Err(error) => return CommandError::not_started(error).report(PROGRAM),
    };
    let ended = runtime.block_on(run::run(options));
    // What still waits for a hub that does not answer ends with the process.
    runtime.shutdown_background();
    match ended {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => error.report(PROGRAM),
    }
}
