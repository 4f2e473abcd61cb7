//! `RetryContext` of the metadata: the attempt, and the exception of the previous one.
//!
//! The exception after a status is recorded, except that its stack traces are shorter here. The one after `functionTimeout` is
//! from the source of `FunctionTimeoutException`.

use std::{fmt, time::Duration};

use serde::Serialize;

use super::Empty;

/// The attempt of an invocation under a retry policy.
#[derive(Debug, Clone, Default)]
pub struct Retry {
    /// The number of attempts before this one.
    pub count: u32,
    /// The maximum number of retries; -1 for no limit.
    pub max_count: i64,
    /// Why the previous attempt failed.
    pub exception: Option<Exception>,
}

/// The exception of a failed attempt.
#[derive(Debug, Clone)]
pub struct Exception {
    invocation_id: String,
    failure: Failure,
}

impl Exception {
    /// Returns the exception of an attempt of this invocation.
    #[must_use]
    pub fn new(invocation_id: &str, failure: impl Into<Failure>) -> Self {
        Self { invocation_id: invocation_id.into(), failure: failure.into() }
    }
}

/// Why an attempt of an invocation failed.
#[derive(Debug, Clone)]
pub struct Failure {
    kind: Kind,
    reason: String,
}

#[derive(Debug, Clone, Copy)]
enum Kind {
    /// The handler answered with this status.
    Status(u16),
    /// It did not answer within `functionTimeout`.
    Timeout(Duration),
    Other,
}

impl Failure {
    /// Returns the failure of an attempt whose reply had this status.
    #[must_use]
    pub fn from_reply(status: u16, reason: String) -> Self {
        let kind = if (200..300).contains(&status) { Kind::Other } else { Kind::Status(status) };
        Self { kind, reason }
    }

    /// Returns the failure of an attempt that took longer than `functionTimeout`.
    #[must_use]
    pub fn from_timeout(timeout: Duration, reason: String) -> Self {
        Self { kind: Kind::Timeout(timeout), reason }
    }
}

impl From<String> for Failure {
    fn from(reason: String) -> Self {
        Self { kind: Kind::Other, reason }
    }
}

impl From<&str> for Failure {
    fn from(reason: &str) -> Self {
        reason.to_owned().into()
    }
}

impl fmt::Display for Failure {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.reason)
    }
}

/// `RetryContext` as the host serializes it.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
pub(crate) struct RetryContext {
    retry_count: u32,
    max_retry_count: i64,
    exception: Option<InvocationException>,
    instance: Option<Empty>,
    state: Empty,
}

impl RetryContext {
    pub(crate) fn new(retry: &Retry, function: &str) -> Self {
        Self {
            retry_count: retry.count,
            max_retry_count: retry.max_count,
            exception: retry.exception.as_ref().map(|exception| InvocationException::new(exception, function)),
            instance: None,
            state: Empty {},
        }
    }
}

/// A `FunctionInvocationException` or `FunctionTimeoutException`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct InvocationException {
    #[serde(skip_serializing_if = "Option::is_none")]
    timeout: Option<String>,
    instance_id: String,
    method_name: String,
    handled: bool,
    class_name: &'static str,
    message: String,
    data: Option<Empty>,
    inner_exception: Option<RequestException>,
    #[serde(rename = "HelpURL")]
    help_url: Option<Empty>,
    stack_trace_string: &'static str,
    remote_stack_trace_string: Option<Empty>,
    remote_stack_index: u32,
    exception_method: Option<Empty>,
    #[serde(rename = "HResult")]
    h_result: i32,
    source: &'static str,
    watson_buckets: Option<Empty>,
}

/// An `HttpRequestException`.
#[derive(Debug, Serialize)]
#[serde(rename_all = "PascalCase")]
struct RequestException {
    http_request_error: u32,
    status_code: Option<u16>,
    message: String,
    data: Empty,
    inner_exception: Option<Empty>,
    help_link: Option<Empty>,
    source: &'static str,
    #[serde(rename = "HResult")]
    h_result: i32,
    stack_trace: &'static str,
}

/// `COR_E_EXCEPTION`.
const ANY_EXCEPTION: i32 = -2_146_233_088;

impl InvocationException {
    fn new(exception: &Exception, function: &str) -> Self {
        let Exception { invocation_id, failure } = exception;
        let timeout = match failure.kind {
            Kind::Timeout(timeout) => Some(time_span(timeout)),
            _ => None,
        };
        let (class_name, message) = match &timeout {
            Some(timeout) => (
                "Microsoft.Azure.WebJobs.Host.FunctionTimeoutException",
                format!("Timeout value of {timeout} was exceeded by function: Functions.{function}"),
            ),
            None => (
                "Microsoft.Azure.WebJobs.Host.FunctionInvocationException",
                format!("Exception while executing function: Functions.{function}"),
            ),
        };
        Self {
            inner_exception: timeout.is_none().then(|| RequestException::new(failure)),
            timeout,
            instance_id: invocation_id.clone(),
            method_name: format!("Host.Functions.{function}"),
            handled: false,
            class_name,
            message,
            data: None,
            help_url: None,
            stack_trace_string: "   at Microsoft.Azure.WebJobs.Host.Executors.FunctionExecutor.ExecuteWithLoggingAsync\n   \
                                 at Microsoft.Azure.WebJobs.Host.Executors.FunctionExecutor.TryExecuteAsync",
            remote_stack_trace_string: None,
            remote_stack_index: 0,
            exception_method: None,
            h_result: ANY_EXCEPTION,
            source: "System.Private.CoreLib",
            watson_buckets: None,
        }
    }
}

impl RequestException {
    fn new(failure: &Failure) -> Self {
        let status = match failure.kind {
            Kind::Status(status) => Some(status),
            _ => None,
        };
        let message = status.map(|status| {
            let text = hyper::StatusCode::from_u16(status).ok().and_then(|status| status.canonical_reason());
            let text = text.map(|text| format!(" ({text})")).unwrap_or_default();
            format!("Response status code does not indicate success: {status}{text}.")
        });
        Self {
            http_request_error: 0,
            status_code: status,
            message: message.unwrap_or_else(|| failure.reason.clone()),
            data: Empty {},
            inner_exception: None,
            help_link: None,
            source: "System.Net.Http",
            h_result: ANY_EXCEPTION,
            stack_trace: "   at System.Net.Http.HttpResponseMessage.EnsureSuccessStatusCode()\n   \
                          at Microsoft.Azure.WebJobs.Script.Workers.Http.DefaultHttpWorkerService.ProcessDefaultInvocationRequest",
        }
    }
}

/// Formats a duration as a `TimeSpan`.
fn time_span(duration: Duration) -> String {
    let (seconds, ticks) = (duration.as_secs(), duration.subsec_nanos() / 100);
    let days = if seconds >= 86_400 { format!("{}.", seconds / 86_400) } else { String::new() };
    let fraction = if ticks > 0 { format!(".{ticks:07}") } else { String::new() };
    format!("{days}{:02}:{:02}:{:02}{fraction}", seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_exception_after_a_time_out_has_its_duration_and_no_inner_exception() {
        let failure = Failure::from_timeout(Duration::from_mins(5), "too long".into());
        let retry = Retry { count: 1, max_count: -1, exception: Some(Exception::new("id", failure)) };
        let context = serde_json::to_value(RetryContext::new(&retry, "F")).expect("JSON");
        let exception = &context["Exception"];
        assert_eq!(exception["Timeout"], "00:05:00");
        assert_eq!(exception["Message"], "Timeout value of 00:05:00 was exceeded by function: Functions.F");
        assert_eq!(exception["InnerException"], serde_json::Value::Null);
    }

    #[test]
    fn an_attempt_without_a_status_has_the_reason_in_the_inner_exception() {
        let exception = Some(Exception::new("id", "connection refused"));
        let context = RetryContext::new(&Retry { exception, ..Retry::default() }, "F");
        let context = serde_json::to_value(context).expect("JSON");
        assert_eq!(context["Exception"]["InnerException"]["Message"], "connection refused");
        assert_eq!(context["Exception"].get("Timeout"), None);
    }

    #[test]
    fn a_duration_is_formatted_as_a_time_span() {
        assert_eq!(time_span(Duration::from_millis(62_500)), "00:01:02.5000000");
        assert_eq!(time_span(Duration::from_secs(86_400 + 3_723)), "1.01:02:03");
    }
}
