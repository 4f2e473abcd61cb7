//! Scans the queue with a progress bar, handles Ctrl-C, and reports the remaining messages and the audit trail.

use std::{fmt, time::Duration};

use devicestate_dead_letters::{AuditError, AuditWriter, MessageVisitor, QueueScan, ScanError, ScanSummary};
use devicestate_engine::rate_limit::RateLimit;
use devicestate_terminal::{
    CommandError, count_of,
    interrupt::{Interrupts, stop_requested},
    print_message,
};
use futures_util::TryFutureExt as _;
use indicatif::{ProgressBar, ProgressState, ProgressStyle};

use super::context::Context;

/// The number of messages that are visited together, unless a rate limits it.
pub(super) const CHUNK_SIZE: usize = 256;

/// Scans the queue.
pub(super) async fn scan<V: MessageVisitor>(
    context: &Context,
    rate: Option<u32>,
    visitor: &mut V,
) -> Result<ScanSummary, CommandError> {
    let (summary, result) = scan_partially(context, rate, visitor).await;
    result.map(|()| summary)
}

/// Scans the queue, and also returns what was done before an error.
pub(super) async fn scan_partially<V: MessageVisitor>(
    context: &Context,
    rate: Option<u32>,
    visitor: &mut V,
) -> (ScanSummary, Result<(), CommandError>) {
    let queue = &*context.queue;
    let count = match unless_stopped(queue.count().map_err(CommandError::not_started)).await {
        Ok(count) => count,
        Err(error) => return (ScanSummary::default(), Err(error)),
    };
    let bar = progress_bar(count, "messages");
    let visibility_timeout = context.visibility_timeout(count, rate);
    let scan = QueueScan {
        queue,
        visibility_timeout,
        chunk_size: RateLimit::new(rate).batch_size(CHUNK_SIZE),
        stop: context.stop.subscribe(),
        progress: &|visited| bar.set_position(visited),
    };
    let interrupted = async {
        let mut interrupts = Interrupts::listen();
        interrupts.next().await;
        context.stop.send_replace(true);
        // Not `bar.println`, which prints nothing without a terminal.
        bar.suspend(|| {
            print_message(
                "Finishing the current messages and releasing the others. Press Ctrl-C again to stop immediately.",
            );
        });
        interrupts.next().await;
    };
    let (summary, result) = tokio::select! {
        result = scan.run(visitor) => result,
        () = interrupted => {
            bar.finish_and_clear();
            let time = seconds_or_minutes(visibility_timeout);
            let stopped = format!("stopped immediately: the current messages become visible again within {time}");
            return (ScanSummary::default(), Err(CommandError::interrupted(stopped)));
        }
    };
    bar.finish_and_clear();
    report_concurrent_changes(summary, visibility_timeout);
    match result {
        Ok(()) => {}
        Err(error @ ScanError::Audit(AuditError::Stopped(_))) => {
            return (summary, Err(CommandError::interrupted(error)));
        }
        Err(error) => return (summary, Err(CommandError::not_started(error))),
    }
    // The work is done: an error here must not hide its result.
    let left = unless_stopped(queue.count().map_err(CommandError::not_started)).await.unwrap_or_default();
    report_unseen_messages(summary, left);
    (summary, Ok(()))
}

fn report_concurrent_changes(summary: ScanSummary, visibility_timeout: Duration) {
    if summary.still_hidden > 0 {
        let (messages, time) = (count_of(summary.still_hidden, "message"), seconds_or_minutes(visibility_timeout));
        print_message(format_args!(
            "{messages} could not be made visible again; this happens automatically within {time}."
        ));
    }
    if summary.lost > 0 {
        let verb = if summary.lost == 1 { "was" } else { "were" };
        print_message(format_args!(
            "{} {verb} received or deleted by another process meanwhile.",
            count_of(summary.lost, "message")
        ));
    }
}

fn report_unseen_messages(summary: ScanSummary, left: u64) {
    let kept = summary.received.saturating_sub(summary.deleted + summary.lost);
    if left <= kept || summary.is_stopped || summary.is_complete {
        return;
    }
    let (messages, verb) = if left - kept == 1 { ("message", "is") } else { ("messages", "are") };
    print_message(format_args!(
        "{} more {messages} {verb} in the queue: new, or hidden by another command that is running or was killed. Hidden \
         messages become visible again automatically: run this command again later.",
        left - kept
    ));
}

/// Returns true if a command with this result exits with code 2.
pub(super) fn has_exit_code_2(result: &Result<(), CommandError>) -> bool {
    result.as_ref().is_err_and(|error| !error.is_failure())
}

/// Returns an error if the scan was stopped before its end.
pub(super) fn check_not_stopped(summary: ScanSummary) -> Result<(), CommandError> {
    if summary.is_stopped {
        return Err(CommandError::interrupted(
            "stopped before the end: completed changes are kept; run the command again for the other messages",
        ));
    }
    Ok(())
}

/// Runs work before or after a scan until Ctrl-C, which no longer ends the process once a scan has listened for it.
pub(super) async fn unless_stopped<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    tokio::select! {
        // Listens before the work starts.
        biased;
        () = stop_requested() => Err(CommandError::interrupted("stopped: nothing was changed")),
        done = work => done,
    }
}

/// Prints where the audit trail of this run is, if it has lines.
pub(super) fn report_audit_trail(audit: Option<&AuditWriter>, lines: u64) {
    if let Some(audit) = audit.filter(|_| lines > 0) {
        print_message(format_args!("Audit trail: {}", audit.trail.location()));
    }
}

/// Returns an error if fewer dead letters were found than named by id.
pub(super) fn check_all_found(named: usize, found: u64) -> Result<(), CommandError> {
    if found < named as u64 {
        const ADVICE: &str = "list the ids with `devicestate dead-letters list`";
        let error = match (named, found) {
            (1, _) => format!("the selected id is not in the queue: {ADVICE}"),
            (_, 0) => format!("none of the {named} selected ids is in the queue: {ADVICE}"),
            (_, 1) => format!("only 1 of the {named} selected ids is in the queue: {ADVICE}"),
            _ => format!("only {found} of the {named} selected ids are in the queue: {ADVICE}"),
        };
        return Err(CommandError::failed(error));
    }
    Ok(())
}

/// Returns a progress bar, which is visible only on a terminal.
pub(super) fn progress_bar(count: u64, things: &str) -> ProgressBar {
    let template = format!("{{elapsed_precise}} {{wide_bar}} {{human_pos}}/{{human_len}} {things}, {{rate}}");
    let rate = |state: &ProgressState, text: &mut dyn fmt::Write| {
        let _ = write!(text, "{:.0}/s", state.per_sec());
    };
    let style = ProgressStyle::with_template(&template).expect("the template is valid").with_key("rate", rate);
    ProgressBar::new(count).with_style(style)
}

fn seconds_or_minutes(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}
