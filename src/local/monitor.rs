//! What Azure Monitor would have of a run, as rows of its tables, one JSON object a line: the lines that the host logs
//! (`AppTraces`), and the metrics of the hub (`AzureMetrics`). The saved queries and alerts of `infra/` can be run over
//! them: `scripts/alerts`.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    sync::{Arc, Mutex, PoisonError},
    time::Duration,
};

use serde_json::{Value, json};
use tokio::{task::JoinHandle, time::interval};

use super::hub::Hub;
use crate::surroundings::{Clock as _, System, iso8601};

/// How often the hub's metrics get a row. The service's are of a minute; a run may be over by then.
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

    fn metric(&self, resource: &str, name: &str, total: u64) {
        self.row(&json!({
            "Type": "AzureMetrics",
            "TimeGenerated": iso8601(System.now_ms()),
            "ResourceProvider": "MICROSOFT.EVENTHUB",
            "Resource": resource.to_ascii_uppercase(),
            "MetricName": name,
            "UnitName": "Count",
            "TimeGrain": "PT1S",
            "Count": 1,
            "Total": total,
            "Minimum": total,
            "Maximum": total,
            "Average": total,
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

/// The metrics of a hub, told while it goes.
pub(super) struct Metrics {
    told: Arc<Mutex<Told>>,
    ticks: JoinHandle<()>,
}

/// What was told of a hub so far.
struct Told {
    monitor: Arc<Monitor>,
    namespace: String,
    hub: Arc<Hub>,
    incoming: u64,
    throttled: u64,
}

impl Metrics {
    /// Tells them from now on, under the name of the hub's namespace.
    pub(super) fn start(monitor: &Arc<Monitor>, namespace: &str, hub: &Arc<Hub>) -> Self {
        let told = Arc::new(Mutex::new(Told {
            monitor: Arc::clone(monitor),
            namespace: namespace.to_owned(),
            hub: Arc::clone(hub),
            incoming: 0,
            throttled: 0,
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

impl Drop for Metrics {
    fn drop(&mut self) {
        self.ticks.abort();
    }
}

impl Told {
    /// Rows of what came since the last ones.
    fn tell(&mut self) {
        let (incoming, throttled) = (self.hub.incoming(), self.hub.throttled());
        self.monitor.metric(&self.namespace, "IncomingMessages", incoming - self.incoming);
        self.monitor.metric(&self.namespace, "ThrottledRequests", throttled - self.throttled);
        (self.incoming, self.throttled) = (incoming, throttled);
    }
}
