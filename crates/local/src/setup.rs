//! Reads the function app and the settings, and builds regions from them.

use std::{
    io,
    path::{Path, PathBuf},
    sync::Arc,
};

use devicestate_engine::{
    batch::Source,
    clock::{Clock, System},
    function_app::{Cardinality, EventHubs, Function, FunctionApp, LogLevels, Trigger, apply_overrides},
    processor::{InspectedRecord, inspect},
    settings::Settings,
    text::error_message,
};
use devicestate_sqlite::{Database, OpenMode, SqliteQueue, Synchronous};
use devicestate_telemetry::{DEFAULT_FILE, LoadError, LoadedTelemetry};
use devicestate_terminal::print_message;

use super::{
    app_folder::AppFolder,
    broker::Broker,
    documents::Documents,
    envelope,
    error::LocalError,
    host::Instance,
    hub::HubEvent,
    monitor::Monitor,
    options::{Input, Options, Simulation},
    process::StartInfo,
    region::Region,
    settings,
    simulator::{Encoding, Simulator},
    statistics::Statistics,
};

/// The description of the telemetry of simulated drones, if the app has no telemetry of its own.
pub(super) const SIMULATED_DRONES: &str = "drone (the simulated devices')";

/// The app, settings and files that all regions of a run share.
pub(super) struct Setup {
    pub(super) app: FunctionApp,
    pub(super) settings: Settings,
    /// Decodes the events.
    pub(super) telemetry: LoadedTelemetry,
    pub(super) documents: Documents,
    /// The state file: dead letters, and the documents unless `StateStore` names another store.
    pub(super) state: PathBuf,
    function: Function,
    monitor: Arc<Monitor>,
    _folder: AppFolder,
}

/// The parts of a setup that differ between regions.
pub(super) struct RegionConfig {
    /// Its namespace.
    pub(super) namespace: &'static str,
    /// The clock of its dead-letter queue.
    pub(super) clock: Arc<dyn Clock>,
    /// The state file with its dead-letter queue.
    pub(super) queue: Database,
    /// Its settings.
    pub(super) settings: Settings,
}

impl Setup {
    /// Reads the function app and the settings.
    ///
    /// # Errors
    ///
    /// [`LocalError`]: a file, a setting or an unsupported function.
    pub(super) fn new(options: &Options) -> Result<Self, LocalError> {
        let folder =
            AppFolder::new(options.app_root.clone()).map_err(|error| folder_error(&std::env::temp_dir(), &error))?;
        if folder.is_shipped() {
            print_message("devicestate: this folder has no host.json, so the shipped function app runs");
        }
        let mut app = FunctionApp::load(&folder.path, &settings::read(&folder.path)?)?.accepted()?;
        app.warnings.iter().for_each(|warning| print_message(format_args!("devicestate: warning: {warning}")));
        let function = select_function(&app, options)?;
        let (mut settings, state) = settings::prepare(&app.root, options.state.clone())?;
        folder.set_telemetry_file(&mut settings).map_err(|error| folder_error(Path::new("."), &error))?;
        let telemetry = load_telemetry(&mut settings, &app.root, options.simulates_drones() && !options.packs())?;
        if options.packs() {
            check_packs(&telemetry, &options.input)?;
        }
        if options.simulates_drones() {
            check_reads_drones(&telemetry, options.packs())?;
        }
        apply_overrides(&settings, &mut app.host)?;
        check_batch_sizes(&app.host.extensions.event_hubs)?;
        let documents = (options.documents)(&settings)?;
        settings.check_encoding()?;
        if function.trigger.cardinality() == Cardinality::One {
            // The extension invokes the function for one event after another.
            let event_hubs = &mut app.host.extensions.event_hubs;
            (event_hubs.min_event_batch_size, event_hubs.max_event_batch_size) = (1, 1);
        }
        let path = options.telemetry.as_deref();
        let failed = |error: io::Error| LocalError::Telemetry {
            path: path.map(Path::to_owned).unwrap_or_default(),
            reason: error_message(&error),
        };
        let levels = LogLevels::new(&app.host.logging, &settings);
        let monitor = Monitor::new(path, levels, options.verbose).map(Arc::new).map_err(failed)?;
        Ok(Self { app, settings, telemetry, documents, state, function, monitor, _folder: folder })
    }

    /// Opens the state file.
    pub(super) fn open_state(&self) -> Result<Database, LocalError> {
        Ok(Database::open_with(&self.state, OpenMode::Create, Synchronous::Normal)?)
    }

    /// Returns a region with this many instances, which are not started.
    pub(super) fn region<B: Broker>(
        &self,
        config: RegionConfig,
        broker: Arc<B>,
        instances: usize,
    ) -> Result<Region<B>, LocalError> {
        Ok(Region::new(self.instance(config)?, broker, instances))
    }

    /// Returns the template of a region's instances.
    pub(super) fn instance(&self, config: RegionConfig) -> Result<Instance, LocalError> {
        let mut settings = config.settings;
        // The handler's setting for the queue, whatever the binding's connection is.
        settings.set("DeadLetterSqlitePath", config.queue.path().display().to_string());
        let source = self.source(config.namespace);
        self.set_source_settings(&source, &mut settings);
        let start = StartInfo::new(&self.app, settings.to_environment())
            .map_err(|error| folder_error(&self.app.root, &error))?;
        Ok(Instance {
            name: String::new(),
            host: self.app.host.clone(),
            source,
            function: self.function.clone(),
            timers: self.app.timers.clone(),
            start,
            queue: SqliteQueue::new(config.queue, config.clock),
            statistics: Arc::new(Statistics::new()),
            monitor: Arc::clone(&self.monitor),
            kill_switch: Arc::default(),
            lease_switch: Arc::default(),
        })
    }

    /// Returns the source of the events of a namespace.
    fn source(&self, namespace: &str) -> Source {
        // A published app has no local.settings.json, so the names of its hub and queue may be missing.
        let name = |binding: &str| self.settings.resolve(binding).unwrap_or_else(|_| "local".to_owned());
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

    /// Sets the settings from which the handler takes the source of a Service Bus message.
    fn set_source_settings(&self, source: &Source, settings: &mut Settings) {
        let Trigger::ServiceBus(trigger) = &self.function.trigger else { return };
        let connection = settings.resolve(&trigger.connection).unwrap_or_else(|_| trigger.connection.clone());
        let setting = format!("AzureWebJobs{connection}__fullyQualifiedNamespace");
        settings.set(&setting, source.fully_qualified_namespace.clone());
        if let Some(setting) = trigger.queue_name.strip_prefix('%').and_then(|name| name.strip_suffix('%')) {
            settings.set(setting, source.session_queue_name.clone());
        }
    }
}

fn folder_error(path: &Path, error: &io::Error) -> LocalError {
    LocalError::Folder { path: path.to_owned(), reason: error_message(error) }
}

/// Loads the app's telemetry. Simulated drones are decoded as drones, also by the handlers, unless the app has telemetry of its
/// own, or their records are packed.
fn load_telemetry(settings: &mut Settings, root: &Path, decodes_drones: bool) -> Result<LoadedTelemetry, LoadError> {
    let is_chosen = settings.get("Telemetry").is_some() || settings.get("TelemetryFile").is_some();
    if !decodes_drones || is_chosen || root.join(DEFAULT_FILE).exists() {
        return devicestate_telemetry::load(settings, root);
    }
    settings.set("Telemetry", "drone");
    let loaded = devicestate_telemetry::load(settings, root)?;
    Ok(LoadedTelemetry { description: SIMULATED_DRONES.to_owned(), ..loaded })
}

/// Rejects telemetry and an encoding that have one record in an event.
fn check_packs(LoadedTelemetry { telemetry, .. }: &LoadedTelemetry, input: &Input) -> Result<(), LocalError> {
    let unsupported = |reason: &str| Err(LocalError::Unsupported(format!("{reason} (option --pack)")));
    match input {
        _ if telemetry.setting() == "drone" => unsupported(
            "`Telemetry=drone` reads only one record of an event: remove the setting, or use a telemetry file",
        ),
        Input::Simulation(Simulation { encoding: Encoding::Protobuf, .. }) => {
            unsupported("a protobuf message has one record: use --encoding json")
        }
        _ => Ok(()),
    }
}

/// Decodes a simulated event, which is packed or not. Telemetry of other devices would make a dead letter of each.
fn check_reads_drones(
    LoadedTelemetry { telemetry, description }: &LoadedTelemetry,
    is_packed: bool,
) -> Result<(), LocalError> {
    // The format of drones reads them, with settings that may reject some.
    if telemetry.setting() == "drone" {
        return Ok(());
    }
    let mut sent = Simulator::new(1, 1, Encoding::Json, 1).next().expect("one event of one device");
    if is_packed {
        sent.body = [b"[".as_slice(), &sent.body, b"]"].concat();
    }
    let event =
        HubEvent { sent, sequence_number: 0, offset: 0, enqueued_ms: System.now_ms(), iot_hub_enqueued_ms: None };
    let reason = match inspect(&**telemetry, &envelope::event(&event), usize::MAX).first() {
        Some(InspectedRecord::Decoded(decoded)) if !decoded.readings.is_empty() => return Ok(()),
        Some(InspectedRecord::Failed(failure)) => failure.issue.clone(),
        _ => "no reading in a simulated event".to_owned(),
    };
    Err(LocalError::Unsupported(format!(
        "the telemetry of this function app ({description}) does not read the simulated drones: {reason}; use --file with events of \
         your devices, or run in another folder, without this telemetry"
    )))
}

/// Returns the function to run: the first one with the trigger of the options.
fn select_function(app: &FunctionApp, options: &Options) -> Result<Function, LocalError> {
    let unsupported = |reason: String| Err(LocalError::Unsupported(reason));
    let kind = if options.sessions.is_some() { "serviceBusTrigger" } else { "eventHubTrigger" };
    let has_trigger = |function: &&Function| match function.trigger {
        Trigger::EventHub(_) => options.sessions.is_none(),
        Trigger::ServiceBus(_) => options.sessions.is_some(),
    };
    let Some(function) = app.functions.iter().find(has_trigger) else {
        return unsupported(format!("the function app must have a function.json with a {kind} (option --app-root)"));
    };
    match &function.trigger {
        Trigger::ServiceBus(_) if app.host.extensions.service_bus.max_concurrent_calls_per_session != 1 => unsupported(
            "host.json: maxConcurrentCallsPerSession must be 1, because a session is ordered only then".into(),
        ),
        _ => Ok(function.clone()),
    }
}

/// Rejects sizes with which the Event Hubs extension does not start.
fn check_batch_sizes(event_hubs: &EventHubs) -> Result<(), LocalError> {
    let EventHubs { min_event_batch_size: min, max_event_batch_size: max, .. } = event_hubs;
    if min > max {
        return Err(LocalError::Unsupported(format!(
            "host.json: minEventBatchSize ({min}) must not exceed maxEventBatchSize ({max}), or the host does not start"
        )));
    }
    Ok(())
}

/// A clock whose time is earlier than the current time.
pub(super) struct BackdatedClock {
    /// The difference in milliseconds.
    pub(super) by_ms: i64,
}

impl Clock for BackdatedClock {
    fn now_ms(&self) -> i64 {
        System.now_ms() - self.by_ms
    }
}
