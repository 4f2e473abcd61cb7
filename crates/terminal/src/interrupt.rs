//! Ctrl-C, SIGTERM and SIGHUP.

use std::sync::OnceLock;

#[cfg(unix)]
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

/// The exit code by the first signal: 128 and its number.
static EXIT_CODE: OnceLock<u8> = OnceLock::new();

const EXIT_CODE_INTERRUPT: u8 = 130;
#[cfg(unix)]
const EXIT_CODE_TERMINATE: u8 = 143;
#[cfg(unix)]
const EXIT_CODE_HANG_UP: u8 = 129;

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

/// Returns the exit code of a command that a signal ended, by the first signal of this process.
pub(crate) fn exit_code() -> u8 {
    EXIT_CODE.get().copied().unwrap_or(EXIT_CODE_INTERRUPT)
}

/// A stream of stop signals: Ctrl-C, SIGTERM or SIGHUP, which a closed terminal sends. Signals that arrive between two waits are not
/// missed, because a user may press Ctrl-C twice within milliseconds.
pub struct Interrupts {
    /// `None` if the operating system has no such signals.
    #[cfg(unix)]
    signals: Option<(Signal, Signal)>,
    /// `None` if SIGHUP has no effect.
    #[cfg(unix)]
    hang_up: Option<Signal>,
}

impl Interrupts {
    /// Starts to listen; call it within a runtime. From the first call on, Ctrl-C alone no longer ends the process.
    #[must_use]
    pub fn listen() -> Self {
        Self {
            #[cfg(unix)]
            signals: signal(SignalKind::interrupt()).ok().zip(signal(SignalKind::terminate()).ok()),
            #[cfg(unix)]
            hang_up: (!ignores_hang_up()).then(|| signal(SignalKind::hangup()).ok()).flatten(),
        }
    }

    /// Waits for the next signal.
    pub async fn next(&mut self) {
        #[cfg(unix)]
        if let Some((interrupt, terminate)) = &mut self.signals {
            let hang_up = async {
                match &mut self.hang_up {
                    Some(hang_up) => hang_up.recv().await,
                    None => std::future::pending().await,
                }
            };
            let code = tokio::select! {
                _ = interrupt.recv() => EXIT_CODE_INTERRUPT,
                _ = terminate.recv() => EXIT_CODE_TERMINATE,
                _ = hang_up => EXIT_CODE_HANG_UP,
            };
            if code == EXIT_CODE_HANG_UP {
                // Both the system and the shell send it when a terminal is closed: the second one requests nothing more.
                self.hang_up = None;
            }
            EXIT_CODE.get_or_init(|| code);
            return;
        }
        let _ = tokio::signal::ctrl_c().await;
    }
}

/// Returns whether this process was started to survive its terminal, as by `nohup`. Known on Linux only.
#[cfg(unix)]
fn ignores_hang_up() -> bool {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"));
    ignored.and_then(|mask| u64::from_str_radix(mask.trim(), 16).ok()).is_some_and(|mask| mask & 1 == 1)
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

    fn send(name: &str) {
        let sent = Command::new("sh").args(["-c", "kill $0 $1", name, &std::process::id().to_string()]).status();
        assert!(sent.expect("a shell").success());
    }

    #[tokio::test]
    async fn a_signal_before_the_wait_is_not_missed_and_the_first_one_decides_the_exit_code() {
        let mut interrupts = Interrupts::listen();
        for name in ["-HUP", "-INT", "-TERM", "-INT"] {
            send(name);
            timeout(Duration::from_mins(1), interrupts.next()).await.expect(name);
        }
        assert_eq!(exit_code(), EXIT_CODE_HANG_UP);
        // A terminal that is closed sends it more than once.
        send("-HUP");
        send("-TERM");
        timeout(Duration::from_mins(1), interrupts.next()).await.expect("SIGTERM");
        assert!(timeout(Duration::ZERO, interrupts.next()).await.is_err());
    }
}
