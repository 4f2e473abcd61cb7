//! The Cosmos DB stand-in for tests: an account in memory, on loopback ports, in which a test can inject faults.
//!
//! The store is Microsoft's own, from the driver of their Rust client, which is intended for calls from within a test. With an
//! HTTP server in front of it, it serves unmodified clients of any language, and a test can start the real binary against
//! it. It is a workspace of its own, because Cargo would otherwise unify features and carry the store, which is documented as
//! unstable, into the product.
//!
//! # Layout
//!
//! Begin with `data`.
//!
//! * `account`: the store, and features of the real service that it lacks, with `numbers` and `queries`. `documents`: direct access of a test to documents.
//! * `ports`: sockets and connections. `data`: handles a request, with `authorization`, `gateway`, `operation` (its kind),
//!   `faults`, `counters` and `response`.
//! * `control`: the control API of tests.

mod account;
mod authorization;
mod control;
mod counters;
mod data;
mod documents;
mod faults;
mod gateway;
mod numbers;
mod operation;
mod ports;
mod queries;
mod response;

use std::{
    collections::BTreeSet,
    error::Error,
    io::{IsTerminal as _, Write as _},
    process::exit,
    sync::Arc,
};

use clap::Parser;
use serde_json::json;
use tokio::io::AsyncReadExt as _;

use account::{Account, Region};
use authorization::KEY;
use control::Control;
use counters::Counters;
use data::Service;
use faults::Faults;
use ports::Ports;
use queries::Index;

const EXAMPLES: &str = "Examples:
  cosmos-listener --port 8081
  cosmos-listener --throughput 400
  cosmos-listener --region 'West Europe' --region 'North Europe'

It prints one line of JSON when it is ready: endpoint, key, connectionString, database, container, regions, control.

The control port accepts and returns JSON:
  GET /counters, POST /counters/reset
  GET, POST or DELETE /faults, DELETE /faults/{number}
  POST /down, POST /up
  POST /write-region {\"region\": \"North Europe\"}
  PUT or DELETE /container
  GET /documents; GET, PUT or DELETE /documents/{id}

A fault. Only the kind is required, with the members that it needs:
  {\"kind\": \"status\", \"status\": 429, \"subStatus\": 3200,
   \"retryAfterMs\": 100, \"requestCharge\": 1.0,
   \"operations\": [\"create\", \"replace\"], \"ids\": [\"drone-7\"],
   \"skip\": 2, \"next\": 5, \"forMs\": 3000}
  {\"kind\": \"drop-response\"} executes the request without a response, or with
  the status if there is one; {\"kind\": \"disconnect\"} closes the connection;
  {\"kind\": \"delay\", \"delayMs\": 500} executes the request later.
  operations: read, create, replace, upsert, patch, delete, batch, query,
  metadata; the default is all but metadata; \"all\" includes metadata.";

/// Run an account of Azure Cosmos DB in memory, for tests. Its documents are lost when it ends.
#[derive(Debug, Parser)]
#[command(version, about, after_help = EXAMPLES, max_term_width = 120)]
struct Options {
    /// Serve the first region on this port of 127.0.0.1; the others are on free ports. 0 selects a free port.
    #[arg(long, value_name = "N", default_value_t = 0)]
    port: u16,
    /// Serve the control API on this port of 127.0.0.1. 0 selects a free port.
    #[arg(long, value_name = "N", default_value_t = 0)]
    control_port: u16,
    /// Add a region to the account; repeatable. The first one is the write region.
    #[arg(long = "region", value_name = "NAME", default_value = "West Europe")]
    regions: Vec<String>,
    /// Respond with 429 above this many request units per second, as Azure does: each partition has an equal share, and
    /// there is one for each 10,000. The default is four partitions without a limit.
    #[arg(long, value_name = "RU/s", value_parser = clap::value_parser!(u64).range(400..=1_000_000))]
    throughput: Option<u64>,
    /// Index this path of the documents, such as /Heard/?; repeatable. The id and the time of the last write are always indexed.
    #[arg(long = "indexed-path", value_name = "PATH", default_value = "/*")]
    indexed_paths: Vec<String>,
    /// Set the database's name.
    #[arg(long, value_name = "NAME", default_value = "devicestate")]
    database: String,
    /// Set the container's name. Its partition key is /id.
    #[arg(long, value_name = "NAME", default_value = "devices")]
    container: String,
    /// Start without the container.
    #[arg(long)]
    no_container: bool,
    /// End when standard input is closed, so that the process ends with the test that started it.
    #[arg(long)]
    with_stdin: bool,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    let with_stdin = options.with_stdin;
    let result = tokio::select! {
        result = run(options) => result,
        () = standard_input_closed(), if with_stdin => Ok(()),
    };
    // `exit` instead of a return, since the runtime would wait for the pending read of standard input.
    match result {
        Ok(()) => exit(0),
        Err(error) => {
            eprintln!("cosmos-listener: {error}");
            exit(2)
        }
    }
}

async fn run(options: Options) -> Result<(), Box<dyn Error>> {
    if options.regions.iter().collect::<BTreeSet<_>>().len() < options.regions.len() {
        return Err("two regions have the same name (--region)".into());
    }
    let mut sockets = Vec::new();
    let mut regions = Vec::new();
    for (index, name) in options.regions.iter().enumerate() {
        let number = if index == 0 { options.port } else { 0 };
        let socket = ports::reserve(number)
            .map_err(|error| format!("cannot listen on 127.0.0.1:{number}: {} (--port)", error.kind()))?;
        let endpoint = format!("http://{}/", socket.local_addr()?).parse()?;
        sockets.push(socket);
        regions.push(Region { name: name.clone(), endpoint });
    }
    let index = Index::new(&options.indexed_paths);
    let account =
        Account::new(regions, options.database.clone(), options.container.clone(), options.throughput, index)?;
    if !options.no_container {
        account.create_container().await;
    }
    let service = Arc::new(Service { account, counters: Counters::default(), faults: Faults::default() });
    let ports = Arc::new(Ports::new(service.clone(), sockets)?);
    ports.up().await?;
    let number = options.control_port;
    let control = ports::reserve(number)
        .and_then(|socket| socket.listen(128))
        .map_err(|error| format!("cannot listen on 127.0.0.1:{number}: {} (--control-port)", error.kind()))?;
    print_endpoints(&options, &service, &format!("http://{}/", control.local_addr()?))?;
    axum::serve(control, control::router(Control { service, ports })).await?;
    Ok(())
}

/// Prints the endpoints as JSON for a test, and on a terminal also a command to use them.
fn print_endpoints(options: &Options, service: &Service, control: &str) -> std::io::Result<()> {
    let regions = service.account.regions();
    let endpoint = &regions[0].endpoint;
    let connection = format!("AccountEndpoint={endpoint};AccountKey={KEY};");
    let ready = json!({
        "endpoint": endpoint.as_str(),
        "control": control,
        "key": KEY,
        "database": options.database,
        "container": options.container,
        "connectionString": connection,
        "regions": regions
            .iter()
            .map(|region| json!({ "name": region.name, "endpoint": region.endpoint.as_str() }))
            .collect::<Vec<_>>(),
    });
    let mut stdout = std::io::stdout();
    writeln!(stdout, "{ready}")?;
    stdout.flush()?;
    if std::io::stderr().is_terminal() {
        let Options { database, container, .. } = options;
        eprintln!("\nThe account is in memory and lost when this ends (Ctrl-C). To use it with `devicestate local`:\n");
        eprintln!(
            "StateStore=cosmos CosmosConnection='{connection}' CosmosDatabase={database} CosmosContainer={container} \\"
        );
        eprintln!("    devicestate local\n");
    }
    Ok(())
}

async fn standard_input_closed() {
    let mut stdin = tokio::io::stdin();
    let mut ignored = [0; 256];
    while stdin.read(&mut ignored).await.is_ok_and(|read| read > 0) {}
}
