//! What Azure Monitor would have of a run, as rows of its tables, one JSON object a line: the lines that the host logs
//! (`AppTraces`), and the metrics of the hub or the queue (`AzureMetrics`). The saved queries and alerts of `infra/` can be run over
//! them: `scripts/alerts`.

use std::{
    collections::BTreeMap,
    fs::File,
    io::{self, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::interval};

use super::intake::{Intake, Metric};
use crate::surroundings::{Clock as _, System, iso8601};

/// How often metrics get a row. The service's are of a minute; a run may be over by then.
const METRICS_EVERY: Duration = Duration::from_secs(1);

/// The levels of a row, as Application Insights numbers them.
const INFORMATION: u8 = 1;
const WARNING: u8 = 2;
const ERROR: u8 = 3;

/// Which of a process's two outputs a line came from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Output {
    /// Standard output: the host logs it as information.
    Standard,
    /// Standard error: as an error, or as a warning where the line says so.
    Errors,
}

/// Takes down what is told.
#[derive(Debug)]
pub(super) struct Monitor {
    rows: Option<Mutex<File>>,
    /// Whether to pass on what the handlers log.
    verbose: bool,
}

impl Monitor {
    /// Into this file, which is made anew; nowhere without one.
    ///
    /// # Errors
    ///
    /// What the system says of the file.
    pub(super) fn new(path: Option<&Path>, verbose: bool) -> io::Result<Self> {
        let rows = path.map(File::create).transpose()?.map(Mutex::new);
        Ok(Self { rows, verbose })
    }

    /// A line of a handler's own log.
    pub(super) fn console(&self, instance: &str, output: Output, line: &str) {
        if self.verbose {
            // A reader that went away is no reason to end.
            let _ = writeln!(io::stderr(), "{line}");
        }
        let level = match output {
            Output::Standard => INFORMATION,
            Output::Errors if line.to_ascii_lowercase().contains("warn") => WARNING,
            Output::Errors => ERROR,
        };
        self.trace(instance, level, line, "", "Host.Function.Console");
    }

    /// The `Logs` of a reply, which the host writes as soon as it has read them.
    pub(super) fn logs(&self, instance: &str, function: &str, invocation_id: &str, lines: &[String]) {
        for line in lines {
            self.trace(instance, INFORMATION, line, invocation_id, &format!("Function.{function}.User"));
        }
    }

    fn trace(&self, instance: &str, level: u8, message: &str, invocation_id: &str, category: &str) {
        let mut properties = json!({ "Category": category });
        if !invocation_id.is_empty() {
            properties["InvocationId"] = invocation_id.into();
        }
        self.row(&json!({
            "Type": "AppTraces",
            "TimeGenerated": iso8601(System.now_ms()),
            "Message": message,
            "SeverityLevel": level,
            "OperationId": invocation_id,
            "AppRoleInstance": instance,
            "Properties": properties,
        }));
    }

    fn metric(&self, provider: &str, resource: &str, name: &str, value: u64) {
        self.row(&json!({
            "Type": "AzureMetrics",
            "TimeGenerated": iso8601(System.now_ms()),
            "ResourceProvider": provider,
            "Resource": resource.to_ascii_uppercase(),
            "MetricName": name,
            "UnitName": "Count",
            "TimeGrain": "PT1S",
            "Count": 1,
            "Total": value,
            "Minimum": value,
            "Maximum": value,
            "Average": value,
        }));
    }

    fn row(&self, row: &Value) {
        if let Some(rows) = &self.rows {
            let line = row.to_string() + "\n";
            let written = rows.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
            if let Err(error) = written {
                eprintln!("devicestate: a row of telemetry is lost: {error} (option --telemetry)");
            }
        }
    }
}

/// The metrics of a hub or a queue, told while it goes.
pub(super) struct Metrics<I> {
    told: Arc<Mutex<Told<I>>>,
    ticks: JoinHandle<()>,
}

/// What was told of it so far.
struct Told<I> {
    monitor: Arc<Monitor>,
    namespace: String,
    intake: Arc<I>,
    counts: BTreeMap<&'static str, u64>,
}

impl<I: Intake> Metrics<I> {
    /// Tells them from now on, under the name of the namespace.
    pub(super) fn start(monitor: &Arc<Monitor>, namespace: &str, intake: &Arc<I>) -> Self {
        let told = Arc::new(Mutex::new(Told {
            monitor: Arc::clone(monitor),
            namespace: namespace.to_owned(),
            intake: Arc::clone(intake),
            counts: BTreeMap::new(),
        }));
        let shared = Arc::clone(&told);
        let ticks = tokio::spawn(async move {
            let mut ticks = interval(METRICS_EVERY);
            loop {
                ticks.tick().await;
                shared.lock().unwrap_or_else(PoisonError::into_inner).tell();
            }
        });
        Self { told, ticks }
    }

    /// Tells at once what is still to be told.
    pub(super) fn tell(&self) {
        self.told.lock().unwrap_or_else(PoisonError::into_inner).tell();
    }
}

impl<I> Drop for Metrics<I> {
    fn drop(&mut self) {
        self.ticks.abort();
    }
}

impl<I: Intake> Told<I> {
    /// Rows of what came since the last ones, and of what is there now.
    fn tell(&mut self) {
        for metric in self.intake.metrics() {
            let (name, value) = match metric {
                Metric::Level(name, now) => (name, now),
                Metric::Count(name, now) => (name, now - self.counts.insert(name, now).unwrap_or_default()),
            };
            self.monitor.metric(I::PROVIDER, &self.namespace, name, value);
        }
    }
}
