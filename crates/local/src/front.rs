//! What a run without an end serves on one port of this machine: it takes events, shows the live page, or both.

use std::{collections::BTreeMap, io, sync::Arc, time::Duration};

use axum::Router;
use devicestate_engine::{batch::Source, clock::System, processor::heard_every, silence::silent_after};
use devicestate_live::{Commands, DeadLetters, Listen, LiveServer, Poll};
use devicestate_read_api::ReadApi;
use devicestate_terminal::{interrupt::Shutdown, print_message, shell_quoted};
use tokio::{
    sync::{oneshot, watch},
    task::JoinHandle,
    time::timeout,
};

use crate::{
    broker::Broker,
    documents::Documents,
    error::LocalError,
    figures::Figures,
    listen::{self, Intake},
    options::Front as Options,
    region::Region,
    report::decoding_settings,
    setup::Setup,
};

/// How long open connections may delay the end.
const MAX_END: Duration = Duration::from_secs(2);

/// The server of a run.
pub(super) struct Front<B> {
    intake: Option<Arc<Intake<B>>>,
    serving: JoinHandle<()>,
    end: oneshot::Sender<()>,
}

impl<B: Broker> Front<B> {
    /// Opens the port and serves it. `print_line` prints the addresses. After the first signal of `stop`, no more events are
    /// taken.
    ///
    /// # Errors
    ///
    /// The port cannot be opened, or no other process can read the documents.
    pub(super) async fn open(
        options: Options,
        setup: &Setup,
        region: &Region<B>,
        stop: watch::Receiver<Shutdown>,
        print_line: impl Fn(&str),
    ) -> Result<Self, LocalError> {
        let Options { port, takes_events, shows_page, program } = options;
        let Source { event_hub_name, session_queue_name, .. } = &region.source;
        let entity = if event_hub_name.is_empty() { session_queue_name } else { event_hub_name }.clone();
        let new_intake = || Intake::new(Arc::clone(&region.broker), Arc::clone(&region.statistics), entity, stop);
        let intake = takes_events.then(new_intake);
        let (end, ended) = oneshot::channel();
        let ended = async {
            let _ = ended.await;
        };
        let serving = if shows_page {
            let server = LiveServer::bind(page(setup, region, intake.as_ref(), &program)?, port).await;
            let server = server.map_err(|error| LocalError::port(port, &error))?;
            print_line(&format!("The live page: {}", server.address()));
            print_events_address(intake.as_deref(), server.listen_address(), &print_line);
            serve(async move { server.serve(ended).await })
        } else {
            let (listener, port) = listen::bind(port).await?;
            let path = intake.as_ref().map_or_else(String::new, |intake| intake.path());
            let address = format!("http://127.0.0.1:{port}{path}");
            print_events_address(intake.as_deref(), Some(address), &print_line);
            let routes = intake.as_ref().map_or_else(Router::new, Intake::routes);
            let server = axum::serve(listener, listen::protected(routes, path, port)).with_graceful_shutdown(ended);
            serve(server.into_future())
        };
        print_line("Ctrl-C ends the run with its report.");
        Ok(Self { intake, serving, end })
    }

    /// Takes no more events, and waits until those that were being taken are in the broker.
    pub(super) async fn end_intake(&self) {
        if let Some(intake) = &self.intake {
            intake.end().await;
        }
    }

    /// Closes the port, after answers that are being sent.
    pub(super) async fn close(self) {
        let _ = self.end.send(());
        let _ = timeout(MAX_END, self.serving).await;
    }
}

fn serve(server: impl Future<Output = io::Result<()>> + Send + 'static) -> JoinHandle<()> {
    tokio::spawn(async {
        if let Err(error) = server.await {
            print_message(format_args!("devicestate: warning: the port is no longer served: {error}"));
        }
    })
}

fn print_events_address<B: Broker>(intake: Option<&Intake<B>>, address: Option<String>, print_line: impl Fn(&str)) {
    if let Some((intake, address)) = intake.zip(address) {
        print_line(&format!("Takes events at {address} as Azure does, for example:"));
        print_line(&format!("  {}", intake.example(&address)));
    }
}

/// Returns what the page shows.
fn page<B: Broker>(
    setup: &Setup,
    region: &Region<B>,
    intake: Option<&Arc<Intake<B>>>,
    program: &str,
) -> Result<devicestate_live::Options, LocalError> {
    let Some(store) = setup.documents.open()? else {
        return Err(LocalError::Unsupported(
            "the live page cannot show documents in the handler's memory: set StateStore to sqlite, or remove it (option --ui)"
                .into(),
        ));
    };
    let silent_after = silent_after(&setup.settings, heard_every(&setup.settings)?)?;
    let silent_after_ms = silent_after.map(|time| i64::try_from(time.as_millis()).unwrap_or(i64::MAX));
    let is_remote = matches!(setup.documents, Documents::Remote(..));
    let source_number = |partition: usize| {
        let source = Source { partition_id: partition.to_string(), ..region.source.clone() };
        (source.number(), source.partition_id)
    };
    let program = format!("{}{program}", decoding_settings(&setup.telemetry.description));
    let state = shell_quoted(&setup.state.display().to_string());
    Ok(devicestate_live::Options {
        store: Arc::clone(&store),
        store_name: setup.documents.name().to_owned(),
        state: (!is_remote).then(|| setup.state.clone()),
        poll: if is_remote { Poll::COSMOS } else { Poll::LOCAL },
        api: Arc::new(ReadApi { store, indexed: setup.documents.indexed(), clock: Arc::new(System) }),
        dead_letters: Some(DeadLetters {
            queue: Arc::new(region.queue.clone()),
            commands: Commands { program, options: format!(" --state {state}") },
        }),
        run: Some(Arc::new(Figures { statistics: Arc::clone(&region.statistics), broker: Arc::clone(&region.broker) })),
        partitions: (0..region.broker.partition_count().unwrap_or_default())
            .map(source_number)
            .collect::<BTreeMap<_, _>>(),
        silent_after_ms,
        listen: intake.map(|intake| Listen { path: intake.path(), routes: intake.routes() }),
    })
}
