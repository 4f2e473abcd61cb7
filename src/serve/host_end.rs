//! The end of the process that started the handler. A host that stops kills its handler, but one that is killed leaves it running,
//! with its port and the state file.

use std::{io, thread, time::Duration};

use devicestate_engine::settings::Settings;
use tokio::{
    sync::oneshot,
    time::{MissedTickBehavior, interval},
};

/// How often the handler checks whether its host still runs.
const CHECK_INTERVAL: Duration = Duration::from_millis(500);

/// The process that started the handler.
pub struct Host {
    /// The parent's id, if the handler must end with its parent.
    parent: Option<u32>,
    /// Whether the host holds the other end of standard input as long as it lives.
    holds_input: bool,
}

impl Host {
    /// Returns the host of this process. `has_given_port` is false if a user has started it with `--port`: then it ends with no
    /// other process.
    ///
    /// Call it before everything else: a host that ended earlier is not noticed, because the new parent has the same id ever after.
    /// For this reason, and for systems other than Unix, `devicestate local` also holds the other end of a pipe.
    #[must_use]
    pub fn new(settings: &Settings, has_given_port: bool) -> Self {
        Self { parent: has_given_port.then(parent_id), holds_input: settings.get("StopAtEndOfInput") == Some("true") }
    }

    /// Waits for its end.
    pub(super) async fn wait_for_end(&self) {
        tokio::select! {
            () = wait_for_other_parent(self.parent) => {}
            () = wait_for_end_of_input(), if self.holds_input => {}
        }
    }
}

/// Waits until this process has another parent, which adopts it when the parent has ended. Linux could send a signal instead
/// (`PR_SET_PDEATHSIG`), but also when the thread that started this process ends, which may be one of a pool.
async fn wait_for_other_parent(parent: Option<u32>) {
    let Some(parent) = parent else { return std::future::pending().await };
    let mut checks = interval(CHECK_INTERVAL);
    checks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while parent_id() == parent {
        checks.tick().await;
    }
}

#[cfg(unix)]
fn parent_id() -> u32 {
    std::os::unix::process::parent_id()
}

/// Other systems adopt no process.
#[cfg(not(unix))]
fn parent_id() -> u32 {
    0
}

async fn wait_for_end_of_input() {
    let (sender, ended) = oneshot::channel::<()>();
    thread::spawn(move || {
        // An error is an end too.
        let _ = io::copy(&mut io::stdin(), &mut io::sink());
        drop(sender);
    });
    let _ = ended.await;
}
