//! What a run is made of: the function app, the settings, and the regions that are built from them.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use super::{
    LocalError, Options,
    host::Instance,
    hub::{self, Hub},
    monitor::Monitor,
    process::Start,
    region::Region,
    settings,
    statistics::Statistics,
};
use crate::{
    batch::Source,
    config::{self, StoreConfig},
    function_app::{Cardinality, EventHubTrigger, Function, FunctionApp, Trigger},
    queue::SqliteQueue,
    settings::Settings,
    sqlite::{Database, Opening},
    surroundings::{Clock, System},
};

/// What regions have in common.
pub(super) struct Setup {
    pub(super) app: FunctionApp,
    pub(super) settings: Settings,
    pub(super) store: StoreConfig,
    /// The state file: documents, unless they are elsewhere, and dead letters.
    pub(super) state: PathBuf,
    function: Function,
    trigger: EventHubTrigger,
    monitor: Arc<Monitor>,
}

/// What makes a region another one.
pub(super) struct Site {
    /// The name of its namespace.
    pub(super) namespace: &'static str,
    /// Its hub.
    pub(super) hub: hub::Options,
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
        let (function, trigger) = function(&app)?;
        let (settings, state) = settings::prepare(&app.root, options.state.clone())?;
        config::apply_overrides(&settings, &mut app.host)?;
        let store = StoreConfig::from_settings(&settings)?;
        let path = options.telemetry.as_deref();
        let failed = |error| LocalError::Telemetry { path: path.map(Path::to_owned).unwrap_or_default(), error };
        let monitor = Monitor::new(path, options.verbose).map(Arc::new).map_err(failed)?;
        Ok(Self { app, settings, store, state, function, trigger, monitor })
    }

    /// Opens the state file.
    pub(super) fn open_state(&self) -> Result<Database, LocalError> {
        Ok(Database::open(&self.state, Opening::Create)?)
    }

    /// A region in which nothing runs yet, with so many partitions and instances.
    pub(super) fn region(&self, site: Site, partitions: usize, instances: usize) -> Result<Region, LocalError> {
        let mut settings = site.settings;
        // Whatever the binding says: here the queue is in this file.
        settings.set("DeadLetterSqlitePath", site.queue.path().display().to_string());
        let start = Start::new(&self.app, settings.to_environment())
            .map_err(|error| LocalError::Folder { path: self.app.root.clone(), error })?;
        let model = Instance {
            name: String::new(),
            host: self.app.host.clone(),
            source: self.source(site.namespace),
            function: self.function.clone(),
            timers: self.app.timers.clone(),
            start,
            hub: Arc::new(Hub::new(partitions, site.hub)),
            queue: SqliteQueue::new(site.queue, site.clock),
            statistics: Arc::new(Statistics::new(partitions)),
            monitor: Arc::clone(&self.monitor),
            partitions: Vec::new(),
        };
        Ok(Region::new(model, instances))
    }

    /// Where the events of a namespace say that they come from.
    fn source(&self, namespace: &str) -> Source {
        // Settings that are not there, as with an app that is only what is published, do not matter: this hub has no name.
        let name = |of_binding: &str| self.settings.resolve(of_binding).unwrap_or_else(|_| "local".to_owned());
        Source {
            fully_qualified_namespace: namespace.to_owned(),
            event_hub_name: name(&self.trigger.event_hub_name),
            consumer_group: name(&self.trigger.consumer_group),
            ..Source::default()
        }
    }
}

/// The first function that an event hub triggers.
fn function(app: &FunctionApp) -> Result<(Function, EventHubTrigger), LocalError> {
    let mut of_hubs = app.functions.iter().filter_map(|function| match &function.trigger {
        Trigger::EventHub(trigger) => Some((function.clone(), trigger.clone())),
        Trigger::ServiceBus(_) => None,
    });
    let (function, trigger) = of_hubs.next().ok_or_else(|| {
        LocalError::Unsupported(
            "no function.json of the app has an eventHubTrigger, which is what is played here".into(),
        )
    })?;
    if trigger.cardinality != Cardinality::Many {
        return Err(LocalError::Unsupported(format!(
            "{}/function.json: only cardinality \"many\" is played here",
            function.name
        )));
    }
    Ok((function, trigger))
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
