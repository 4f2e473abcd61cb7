//! Ctrl-C and SIGTERM.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The requested end of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Shutdown {
    /// None: the run continues.
    Running,
    /// After one signal: accept no more work, and finish the accepted work.
    Draining,
    /// After two signals: stop immediately.
    Immediate,
}

/// A stream of stop signals: Ctrl-C or SIGTERM. Signals that arrive between two waits are not missed, because a user may
/// press Ctrl-C twice within milliseconds.
pub struct Interrupts {
    /// `None` if the operating system has no such signals.
    #[cfg(unix)]
    signals: Option<(Signal, Signal)>,
}

impl Interrupts {
    /// Starts to listen; call it within a runtime. From the first call on, Ctrl-C alone no longer ends the process.
    #[must_use]
    pub fn listen() -> Self {
        Self {
            #[cfg(unix)]
            signals: signal(SignalKind::interrupt()).ok().zip(signal(SignalKind::terminate()).ok()),
        }
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if let Some((interrupt, terminate)) = &mut self.signals {
            tokio::select! {
                _ = interrupt.recv() => {}
                _ = terminate.recv() => {}
            }
            return;
        }
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Waits for the first signal.
pub async fn stop_requested() {
    Interrupts::listen().next().await;
}

/// Returns a channel that reports the requested end of the run: [`Shutdown::Draining`] after the first signal,
/// [`Shutdown::Immediate`] after the second. `on_draining` runs after the first.
///
/// Call it within a runtime.
#[must_use]
pub fn shutdown_signal(on_draining: impl FnOnce() + Send + 'static) -> watch::Receiver<Shutdown> {
    let (requested, shutdown) = watch::channel(Shutdown::Running);
    let mut interrupts = Interrupts::listen();
    tokio::spawn(async move {
        interrupts.next().await;
        requested.send_replace(Shutdown::Draining);
        on_draining();
        interrupts.next().await;
        requested.send_replace(Shutdown::Immediate);
        // The sender must outlive the run: a closed channel would look like another signal.
        std::future::pending::<()>().await;
    });
    shutdown
}

#[cfg(all(test, unix))]
mod tests {
    use std::{process::Command, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn a_signal_before_the_wait_is_not_missed() {
        let mut interrupts = Interrupts::listen();
        for name in ["-INT", "-TERM", "-INT"] {
            let sent = Command::new("sh").args(["-c", "kill $0 $1", name, &std::process::id().to_string()]).status();
            assert!(sent.expect("a shell").success());
            timeout(Duration::from_mins(1), interrupts.next()).await.expect(name);
        }
    }
}
