//! A run's telemetry as Azure Monitor would store it: rows of its tables, one JSON object per line. `AppTraces` has the lines
//! that the host logs at the log levels of `host.json`, `AzureMetrics` the metrics of the hub or the queue. `scripts/alerts` runs
//! the saved queries and alerts of `infra/` over these rows.

use std::{
    fs::{self, File},
    io::{self, BufRead as _, BufReader, Read as _, Write as _},
    path::Path,
    sync::{Mutex, PoisonError},
    time::Duration,
};

use devicestate_engine::{
    clock::{Clock as _, System},
    function_app::{CONSOLE, LogLevel, LogLevels, user_category},
    text::{error_message, iso8601},
};
use devicestate_terminal::print_message;
use serde_json::{Value, json};

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
    levels: LogLevels,
    /// Whether to copy the handlers' log, with the `Logs` of replies, to standard error.
    verbose: bool,
}

impl Monitor {
    /// Creates the file, or overwrites that of an earlier run. Without a path, rows are dropped.
    ///
    /// # Errors
    ///
    /// The system's error, or the file has something else than the rows of a run.
    pub(super) fn new(path: Option<&Path>, levels: LogLevels, verbose: bool) -> io::Result<Self> {
        let rows = path.map(create).transpose()?.map(Mutex::new);
        Ok(Self { rows, levels, verbose })
    }

    /// Writes a line of a handler's output.
    pub(super) fn write_console(&self, instance: &str, output: OutputStream, line: &str) {
        if self.verbose {
            print_message(line);
        }
        let level = match output {
            OutputStream::Standard => LogLevel::Information,
            OutputStream::Error if line.to_ascii_lowercase().contains("warn") => LogLevel::Warning,
            OutputStream::Error => LogLevel::Error,
        };
        self.write_trace(instance, level, line, "", CONSOLE);
    }

    /// Writes the `Logs` of a reply.
    pub(super) fn write_logs(&self, instance: &str, function: &str, invocation_id: &str, lines: &[String]) {
        for line in lines {
            if self.verbose {
                print_message(line);
            }
            self.write_trace(instance, LogLevel::Information, line, invocation_id, &user_category(function));
        }
    }

    /// Writes the host's own line about the beginning of an invocation. Its second one, about the trigger, is not written.
    pub(super) fn write_started(&self, instance: &str, function: &str, invocation_id: &str) {
        let line = format!("Executing 'Functions.{function}' (Reason='(null)', Id={invocation_id})");
        self.write_trace(instance, LogLevel::Information, &line, invocation_id, &format!("Function.{function}"));
    }

    /// Writes the host's own line about the end of an invocation.
    pub(super) fn write_ended(
        &self,
        instance: &str,
        function: &str,
        invocation_id: &str,
        has_succeeded: bool,
        duration: Duration,
    ) {
        let (level, status) =
            if has_succeeded { (LogLevel::Information, "Succeeded") } else { (LogLevel::Error, "Failed") };
        let milliseconds = duration.as_millis();
        let line = format!("Executed 'Functions.{function}' ({status}, Id={invocation_id}, Duration={milliseconds}ms)");
        self.write_trace(instance, level, &line, invocation_id, &format!("Function.{function}"));
    }

    fn write_trace(&self, instance: &str, level: LogLevel, message: &str, invocation_id: &str, category: &str) {
        if self.rows.is_none() || level < self.levels.minimum(category) {
            return;
        }
        let mut properties = json!({ "Category": category });
        if !invocation_id.is_empty() {
            properties["InvocationId"] = invocation_id.into();
        }
        self.write_row(&json!({
            "Type": "AppTraces",
            "TimeGenerated": iso8601(System.now_ms()),
            "Message": message,
            "SeverityLevel": severity(level),
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

/// Returns a level's number in Application Insights.
fn severity(level: LogLevel) -> u8 {
    match level {
        LogLevel::Trace | LogLevel::Debug => 0,
        LogLevel::Information => 1,
        LogLevel::Warning => 2,
        LogLevel::Error => 3,
        LogLevel::Critical | LogLevel::None => 4,
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
