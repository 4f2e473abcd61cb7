//! When somebody wants this process to end.

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// Ctrl-C, or the polite signal of a supervisor, as often as it comes. Without it what was begun would stay behind half
/// done. None is missed between two waits: who is told to press it again may be quick.
pub struct Interrupts {
    /// `None` where the system gives none to listen to.
    #[cfg(unix)]
    signals: Option<(Signal, Signal)>,
}

impl Interrupts {
    /// Listens from now on, within a runtime. From the first time on, nothing of this process ends by Ctrl-C alone.
    #[must_use]
    pub fn listen() -> Self {
        Self {
            #[cfg(unix)]
            signals: signal(SignalKind::interrupt()).ok().zip(signal(SignalKind::terminate()).ok()),
        }
    }

    /// Waits for the next one.
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

/// The first of [`Interrupts`], for whom one is enough.
pub async fn asked_to_stop() {
    Interrupts::listen().next().await;
}

/// How often a run was asked to stop: once means in order, twice means at once. `tell` is called after the first time.
///
/// To be called within a runtime.
#[must_use]
pub fn in_order_then_at_once(tell: impl FnOnce() + Send + 'static) -> watch::Receiver<u8> {
    let (asked, stop) = watch::channel(0);
    let mut interrupts = Interrupts::listen();
    tokio::spawn(async move {
        interrupts.next().await;
        asked.send_replace(1);
        tell();
        interrupts.next().await;
        asked.send_replace(2);
        // Kept until the run ends: a channel without a sender would look like one more question.
        std::future::pending::<()>().await;
    });
    stop
}

#[cfg(all(test, unix))]
mod tests {
    use std::{process::Command, time::Duration};

    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn one_that_comes_before_it_is_waited_for_is_not_missed() {
        let mut interrupts = Interrupts::listen();
        for name in ["-INT", "-TERM", "-INT"] {
            let sent = Command::new("sh").args(["-c", "kill $0 $1", name, &std::process::id().to_string()]).status();
            assert!(sent.expect("a shell").success());
            timeout(Duration::from_mins(1), interrupts.next()).await.expect(name);
        }
    }
}
