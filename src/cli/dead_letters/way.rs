//! The way through the queue as a person sees it: a bar, Ctrl-C, and what is to be known afterwards.

use std::time::Duration;

use devicestate_dead_letters::{Auditor, Judge, Sweep, Swept};
use devicestate_engine::rate_limit::RateLimit;
use devicestate_terminal::{
    CommandError,
    interrupt::{Interrupts, stop_requested},
};
use indicatif::{ProgressBar, ProgressStyle};
use tokio::sync::watch;

use super::place::Place;

/// How many messages are judged together, where no pace asks for fewer.
pub(super) const TOGETHER: usize = 256;

/// Goes through the queue of this place.
pub(super) async fn go<J: Judge>(place: &Place, rate: Option<u32>, judge: &mut J) -> Result<Swept, CommandError> {
    let (swept, ended) = go_as_far(place, rate, judge).await;
    ended.map(|()| swept)
}

/// The same, and also what it came to before it failed, for whoever has something to tell of that.
pub(super) async fn go_as_far<J: Judge>(
    place: &Place,
    rate: Option<u32>,
    judge: &mut J,
) -> (Swept, Result<(), CommandError>) {
    let queue = &*place.queue;
    let count = match queue.count().await {
        Ok(count) => count,
        Err(error) => return (Swept::default(), Err(CommandError::not_started(error))),
    };
    let bar = bar(count, "messages");
    let (stop, stopped) = watch::channel(false);
    let hidden = place.hidden(count, rate);
    let sweep = Sweep {
        queue,
        hidden,
        together: RateLimit::new(rate).batch_size(TOGETHER),
        stop: stopped,
        progress: &|seen| bar.set_position(seen),
    };
    let interrupted = async {
        let mut interrupts = Interrupts::listen();
        interrupts.next().await;
        stop.send_replace(true);
        // Not by the bar, which says nothing where there is no terminal.
        bar.suspend(|| {
            eprintln!("Finishing what is in hand and giving back the rest. Ctrl-C again: stop at once.");
        });
        interrupts.next().await;
    };
    let (swept, ended) = tokio::select! {
        swept = sweep.run(judge) => swept,
        () = interrupted => {
            bar.finish_and_clear();
            let back = span(hidden);
            let stopped = format!("stopped at once: messages in hand are back in the queue within {back}");
            return (Swept::default(), Err(CommandError::failed(stopped)));
        }
    };
    bar.finish_and_clear();
    if swept.hidden > 0 {
        let (hidden, back) = (swept.hidden, span(hidden));
        eprintln!("{hidden} messages could not be given back; they are visible again by themselves within {back}.");
    }
    if swept.gone > 0 {
        eprintln!("{} messages were taken or deleted by somebody else meanwhile.", swept.gone);
    }
    if let Err(error) = ended {
        return (swept, Err(CommandError::not_started(error)));
    }
    // All is done by now, and what it came to is worth more than this.
    let left = queue.count().await.unwrap_or_default();
    let kept = swept.seen.saturating_sub(swept.deleted + swept.gone);
    if left > kept && !swept.stopped && !swept.enough {
        eprintln!(
            "{} more messages are in the queue: new ones, or hidden ones, which another run is at work on or which a \
             killed one had received. Those are visible again by themselves; run this again then.",
            left - kept
        );
    }
    (swept, Ok(()))
}

/// A run that was stopped before its end has not done what it was asked for.
pub(super) fn whole(swept: Swept) -> Result<(), CommandError> {
    if swept.stopped {
        return Err(CommandError::failed("stopped before the end: what was done stays done, and it can be run again"));
    }
    Ok(())
}

/// Some work behind the way through the queue. Once Ctrl-C was listened for, nobody else hears it.
pub(super) async fn unless_stopped<T>(work: impl Future<Output = Result<T, CommandError>>) -> Result<T, CommandError> {
    tokio::select! {
        done = work => done,
        () = stop_requested() => Err(CommandError::failed("stopped: nothing was changed")),
    }
}

/// Tells where the audit trail of a run is, if there is something in it.
pub(super) fn tell_trail(audit: Option<&Auditor>, lines: u64) {
    if let Some(audit) = audit.filter(|_| lines > 0) {
        eprintln!("Audit trail: {}", audit.trail.place());
    }
}

/// What was named and is not there is an error: so many were named, and so many found.
pub(super) fn all_found(named: usize, found: u64) -> Result<(), CommandError> {
    if found < named as u64 {
        return Err(CommandError::failed(format!("of {named} that were named, {found} are in the queue")));
    }
    Ok(())
}

/// A bar for so many things, on a terminal.
pub(super) fn bar(count: u64, things: &str) -> ProgressBar {
    let template = format!("{{elapsed_precise}} {{wide_bar}} {{human_pos}}/{{human_len}} {things}, {{per_sec}}");
    ProgressBar::new(count).with_style(ProgressStyle::with_template(&template).expect("the template is valid"))
}

/// So many of these.
pub(super) fn counted(count: u64, thing: &str) -> String {
    format!("{count} {thing}{}", if count == 1 { "" } else { "s" })
}

fn span(duration: Duration) -> String {
    let seconds = duration.as_secs();
    if seconds < 120 { format!("{seconds} s") } else { format!("{} min", seconds.div_ceil(60)) }
}
