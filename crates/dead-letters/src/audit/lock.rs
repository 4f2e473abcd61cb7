//! Waits for the lock of a file, and reports who holds it.

use std::{
    fmt,
    fs::{File, TryLockError},
    io::{self, ErrorKind},
    path::Path,
    sync::Arc,
    time::Duration,
};

use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

/// The time after which a wait is reported.
const REPORT_AFTER: Duration = Duration::from_secs(1);

/// The time between two attempts to take the lock.
const POLL_INTERVAL: Duration = Duration::from_millis(20);

/// What happens while another process holds the lock of a file.
#[derive(Clone)]
pub struct LockWait {
    /// Receives one line if the wait is long.
    pub report: Arc<dyn Fn(&str) + Send + Sync>,
    /// `true` ends the wait.
    pub stop: watch::Receiver<bool>,
}

impl Default for LockWait {
    /// Waits without a report, and without an end.
    fn default() -> Self {
        Self { report: Arc::new(|_| {}), stop: watch::channel(false).1 }
    }
}

impl fmt::Debug for LockWait {
    fn fmt(&self, f: &mut fmt::Formatter) -> fmt::Result {
        f.debug_struct("LockWait").finish_non_exhaustive()
    }
}

impl LockWait {
    /// Locks the file; returns false if the wait was stopped.
    pub(super) async fn lock(&self, file: &File, path: &Path) -> io::Result<bool> {
        let (start, mut is_reported, mut stop) = (Instant::now(), false, self.stop.clone());
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(true),
                // Some file systems have no locks. Most of them still append one write in one piece.
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => return Ok(true),
                Err(TryLockError::Error(error)) => return Err(error),
                Err(TryLockError::WouldBlock) => {}
            }
            if !is_reported && start.elapsed() >= REPORT_AFTER {
                is_reported = true;
                let holder = holder(file).unwrap_or_else(|| "another process".to_owned());
                (self.report)(&format!(
                    "Waiting for the audit trail {}: {holder} holds its lock. Press Ctrl-C to stop.",
                    path.display()
                ));
            }
            let stopped = timeout(POLL_INTERVAL, stop.wait_for(|is_stopped| *is_stopped)).await;
            match stopped.map(|stopped| stopped.is_ok()) {
                Ok(true) => return Ok(false),
                // Nothing can stop it.
                Ok(false) => sleep(POLL_INTERVAL).await,
                Err(_) => {}
            }
        }
    }
}

/// Returns the process that holds the lock of a file, if the system lists it.
#[cfg(target_os = "linux")]
fn holder(file: &File) -> Option<String> {
    use std::{fs, os::unix::fs::MetadataExt as _};

    let inode = format!(":{}", file.metadata().ok()?.ino());
    // Such as `1: FLOCK  ADVISORY  WRITE 4711 08:01:1234 0 EOF`; a process that waits has `->` after the number.
    let locks = fs::read_to_string("/proc/locks").ok()?;
    let process = locks.lines().find_map(|line| {
        let fields: Vec<_> = line.split_whitespace().collect();
        let [_, "FLOCK", _, _, process, location, ..] = fields[..] else { return None };
        location.ends_with(&inode).then(|| process.to_owned())
    })?;
    let name = fs::read_to_string(format!("/proc/{process}/comm")).ok();
    let name = name.map(|name| format!(" ({})", name.trim())).unwrap_or_default();
    Some(format!("process {process}{name}"))
}

#[cfg(not(target_os = "linux"))]
fn holder(_file: &File) -> Option<String> {
    None
}
