//! What a run is made of: the function app, the settings, and the regions that are built from them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use devicestate_engine::{
    batch::Source,
    clock::{Clock, System},
    function_app::{Cardinality, Function, FunctionApp, Trigger, apply_overrides},
    settings::Settings,
};
use devicestate_sqlite::{Database, OpenMode, SqliteQueue};

use super::{
    documents::Documents, error::LocalError, host::Instance, intake::Intake, monitor::Monitor, options::Options,
    process::Start, region::Region, settings, statistics::Statistics,
};

/// What regions have in common.
pub(super) struct Setup {
    pub(super) app: FunctionApp,
    pub(super) settings: Settings,
    pub(super) documents: Documents,
    /// The state file: documents, unless they are elsewhere, and dead letters.
    pub(super) state: PathBuf,
    function: Function,
    monitor: Arc<Monitor>,
}

/// What makes a region another one.
pub(super) struct Site {
    /// The name of its namespace.
    pub(super) namespace: &'static str,
    /// The time at which dead letters are put into its queue.
    pub(super) clock: Arc<dyn Clock>,
    /// The file of its queue.
    pub(super) queue: Database,
    /// Its settings.
    pub(super) settings: Settings,
}

impl Setup {
    /// Reads the function app and the settings.
    ///
    /// # Errors
    ///
    /// [`LocalError`]: files, settings, a function that is not played here.
    pub(super) fn new(options: &Options) -> Result<Self, LocalError> {
        let mut app = FunctionApp::load(&options.app_root)?;
        let function = function(&app, options)?;
        let (settings, state) = settings::prepare(&app.root, options.state.clone())?;
        apply_overrides(&settings, &mut app.host)?;
        let documents = (options.documents)(&settings)?;
        let path = options.telemetry.as_deref();
        let failed = |error| LocalError::Telemetry { path: path.map(Path::to_owned).unwrap_or_default(), error };
        let monitor = Monitor::new(path, options.verbose).map(Arc::new).map_err(failed)?;
        Ok(Self { app, settings, documents, state, function, monitor })
    }

    /// Opens the state file.
    pub(super) fn open_state(&self) -> Result<Database, LocalError> {
        Ok(Database::open(&self.state, OpenMode::Create)?)
    }

    /// A region in which nothing runs yet, with so many instances.
    pub(super) fn region<I: Intake>(
        &self,
        site: Site,
        intake: Arc<I>,
        instances: usize,
    ) -> Result<Region<I>, LocalError> {
        let mut settings = site.settings;
        // Whatever the binding says: here the queue is in this file.
        settings.set("DeadLetterSqlitePath", site.queue.path().display().to_string());
        let source = self.source(site.namespace);
        self.tell_where_messages_come_from(&source, &mut settings);
        let start = Start::new(&self.app, settings.to_environment())
            .map_err(|error| LocalError::Folder { path: self.app.root.clone(), error })?;
        let model = Instance {
            name: String::new(),
            host: self.app.host.clone(),
            source,
            function: self.function.clone(),
            timers: self.app.timers.clone(),
            start,
            queue: SqliteQueue::new(site.queue, site.clock),
            statistics: Arc::new(Statistics::new()),
            monitor: Arc::clone(&self.monitor),
        };
        Ok(Region::new(model, intake, instances))
    }

    /// Where the events of a namespace say that they come from.
    fn source(&self, namespace: &str) -> Source {
        // Settings that are not there, as with an app that is only what is published, do not matter: what is played here
        // has no name.
        let name = |of_binding: &str| self.settings.resolve(of_binding).unwrap_or_else(|_| "local".to_owned());
        let fully_qualified_namespace = namespace.to_owned();
        match &self.function.trigger {
            Trigger::EventHub(trigger) => Source {
                fully_qualified_namespace,
                event_hub_name: name(&trigger.event_hub_name),
                consumer_group: name(&trigger.consumer_group),
                ..Source::default()
            },
            Trigger::ServiceBus(trigger) => {
                Source { fully_qualified_namespace, session_queue_name: name(&trigger.queue_name), ..Source::default() }
            }
        }
    }

    /// Where a message comes from the handler knows by its settings, and here it comes from elsewhere than they say.
    fn tell_where_messages_come_from(&self, source: &Source, settings: &mut Settings) {
        let Trigger::ServiceBus(trigger) = &self.function.trigger else { return };
        let connection = settings.resolve(&trigger.connection).unwrap_or_else(|_| trigger.connection.clone());
        let setting = format!("AzureWebJobs{connection}__fullyQualifiedNamespace");
        settings.set(&setting, source.fully_qualified_namespace.clone());
        if let Some(setting) = trigger.queue_name.strip_prefix('%').and_then(|name| name.strip_suffix('%')) {
            settings.set(setting, source.session_queue_name.clone());
        }
    }
}

/// The function that is played: the first one with the trigger that the options ask for.
fn function(app: &FunctionApp, options: &Options) -> Result<Function, LocalError> {
    let unsupported = |reason: String| Err(LocalError::Unsupported(reason));
    let kind = if options.sessions.is_some() { "serviceBusTrigger" } else { "eventHubTrigger" };
    let is_asked_for = |function: &&Function| match function.trigger {
        Trigger::EventHub(_) => options.sessions.is_none(),
        Trigger::ServiceBus(_) => options.sessions.is_some(),
    };
    let Some(function) = app.functions.iter().find(is_asked_for) else {
        return unsupported(format!("no function.json of the app has a {kind}, which is what is played here"));
    };
    match &function.trigger {
        Trigger::EventHub(trigger) if trigger.cardinality != Cardinality::Many => {
            unsupported(format!("{}/function.json: only cardinality \"many\" is played here", function.name))
        }
        Trigger::ServiceBus(_) if app.host.extensions.service_bus.max_concurrent_calls_per_session != 1 => {
            unsupported("host.json: only maxConcurrentCallsPerSession 1 keeps the order that is played here".into())
        }
        _ => Ok(function.clone()),
    }
}

/// A clock that is so late.
pub(super) struct Past {
    pub(super) by_ms: i64,
}

impl Clock for Past {
    fn now_ms(&self) -> i64 {
        System.now_ms() - self.by_ms
    }
}
