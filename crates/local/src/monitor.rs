//! A run's telemetry as Azure Monitor would store it: rows of its tables, one JSON object per line. `AppTraces` has the lines
//! that the host logs, `AzureMetrics` the metrics of the hub or the queue. `scripts/alerts` runs the saved queries and alerts of
//! `infra/` over these rows.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    sync::{Mutex, PoisonError},
};

use devicestate_engine::{
    clock::{Clock as _, System},
    text::{error_message, iso8601},
};
use devicestate_terminal::print_message;
use serde_json::{Value, json};

/// Severity levels, as Application Insights numbers them.
const INFORMATION: u8 = 1;
const WARNING: u8 = 2;
const ERROR: u8 = 3;

/// An output stream of a process.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OutputStream {
    /// Standard output. The host logs it as information.
    Standard,
    /// Standard error. The host logs it as a warning if the line contains that word, and otherwise as an error.
    Error,
}

/// Writes rows of telemetry.
#[derive(Debug)]
pub(super) struct Monitor {
    rows: Option<Mutex<File>>,
    /// Whether to copy the handlers' log, with the `Logs` of replies, to standard error.
    verbose: bool,
}

impl Monitor {
    /// Creates the file, or overwrites that of an earlier run. Without a path, rows are dropped.
    ///
    /// # Errors
    ///
    /// The system's error, or the file has something else than the rows of a run.
    pub(super) fn new(path: Option<&Path>, verbose: bool) -> io::Result<Self> {
        let rows = path.map(create).transpose()?.map(Mutex::new);
        Ok(Self { rows, verbose })
    }

    /// Writes a line of a handler's output.
    pub(super) fn write_console(&self, instance: &str, output: OutputStream, line: &str) {
        if self.verbose {
            print_message(line);
        }
        let level = match output {
            OutputStream::Standard => INFORMATION,
            OutputStream::Error if line.to_ascii_lowercase().contains("warn") => WARNING,
            OutputStream::Error => ERROR,
        };
        self.write_trace(instance, level, line, "", "Host.Function.Console");
    }

    /// Writes the `Logs` of a reply.
    pub(super) fn write_logs(&self, instance: &str, function: &str, invocation_id: &str, lines: &[String]) {
        for line in lines {
            if self.verbose {
                print_message(line);
            }
            self.write_trace(instance, INFORMATION, line, invocation_id, &format!("Function.{function}.User"));
        }
    }

    fn write_trace(&self, instance: &str, level: u8, message: &str, invocation_id: &str, category: &str) {
        let mut properties = json!({ "Category": category });
        if !invocation_id.is_empty() {
            properties["InvocationId"] = invocation_id.into();
        }
        self.write_row(&json!({
            "Type": "AppTraces",
            "TimeGenerated": iso8601(System.now_ms()),
            "Message": message,
            "SeverityLevel": level,
            "OperationId": invocation_id,
            "AppRoleInstance": instance,
            "Properties": properties,
        }));
    }

    /// Writes a metric of the hub or the queue, by the service's name for it.
    pub(super) fn write_metric(&self, provider: &str, resource: &str, name: &str, value: u64) {
        self.write_row(&json!({
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

    fn write_row(&self, row: &Value) {
        if let Some(rows) = &self.rows {
            let line = row.to_string() + "\n";
            let written = rows.lock().unwrap_or_else(PoisonError::into_inner).write_all(line.as_bytes());
            if let Err(error) = written {
                let reason = error_message(&error);
                print_message(format_args!(
                    "devicestate: a row of the telemetry file was not written: {reason} (option --telemetry)"
                ));
            }
        }
    }
}

/// Creates a file for rows, or overwrites one with rows.
fn create(path: &Path) -> io::Result<File> {
    // A device or a pipe is not overwritten.
    let is_file = fs::metadata(path).is_ok_and(|metadata| metadata.is_file());
    if is_file && !has_rows(path)? {
        return Err(io::Error::other(
            "it exists and is not the telemetry of an earlier run; delete it, or name another file",
        ));
    }
    File::create(path)
}

/// Returns whether a file is empty or begins with a row.
fn has_rows(path: &Path) -> io::Result<bool> {
    /// Longer than the first row of any run.
    const MAX_ROW_BYTES: u64 = 1 << 20;
    let mut line = Vec::new();
    BufReader::new(File::open(path)?).take(MAX_ROW_BYTES).read_until(b'\n', &mut line)?;
    let row: Value = serde_json::from_slice(&line).unwrap_or_default();
    Ok(line.is_empty() || row["Type"] == "AppTraces" || row["Type"] == "AzureMetrics")
}
