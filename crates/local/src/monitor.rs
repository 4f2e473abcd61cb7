//! What Azure Monitor would have of a run, as rows of its tables, one JSON object a line: the lines that the host logs
//! (`AppTraces`), and the metrics of the hub or the queue (`AzureMetrics`). The saved queries and alerts of `infra/` can be run over
//! them: `scripts/alerts`.

use std::{
    fs::File,
    io::{self, Write as _},
    path::Path,
    sync::{Mutex, PoisonError},
};

use devicestate_engine::{
    clock::{Clock as _, System},
    text::iso8601,
};
use serde_json::{Value, json};

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

/// Writes the rows.
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

    /// A metric of the service that is played, by the name that the service gives it.
    pub(super) fn metric(&self, provider: &str, resource: &str, name: &str, value: u64) {
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
