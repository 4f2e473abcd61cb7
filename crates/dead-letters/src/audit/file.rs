//! An audit trail in a file, for example next to the state file.

use std::{
    fs::{self, File},
    io::{self, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;

use super::{AuditError, AuditLine, AuditTrail, lock::LockWait};

/// A file of JSON lines. Several processes may write to the same one.
#[derive(Debug, Clone)]
pub struct FileAuditTrail {
    path: PathBuf,
    waiting: LockWait,
}

impl FileAuditTrail {
    /// Uses the file of this path. It is created with the first line.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self { path, waiting: LockWait::default() }
    }

    /// Uses the file that belongs to a state file: `FILE-audit.jsonl`.
    #[must_use]
    pub fn next_to(state: &Path) -> Self {
        Self::new(format!("{}-audit.jsonl", state.display()).into())
    }

    /// Sets what happens while another process holds the lock of the file.
    #[must_use]
    pub fn with_lock_wait(self, waiting: LockWait) -> Self {
        Self { waiting, ..self }
    }
}

#[async_trait]
impl AuditTrail for FileAuditTrail {
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        let failed = |error| AuditError::File { path: self.path.clone(), error };
        let (path, text) = (self.path.clone(), lines.iter().flat_map(AuditLine::to_bytes).collect());
        let file = in_background(move || open(&path)).await.map_err(failed)?;
        if !self.waiting.lock(&file, &self.path).await.map_err(failed)? {
            return Err(AuditError::Stopped(self.path.clone()));
        }
        in_background(move || append(file, text)).await.map_err(failed)
    }

    fn location(&self) -> String {
        self.path.display().to_string()
    }
}

async fn in_background<T: Send + 'static>(work: impl FnOnce() -> io::Result<T> + Send + 'static) -> io::Result<T> {
    tokio::task::spawn_blocking(work).await.unwrap_or_else(|error| Err(io::Error::other(error)))
}

fn open(path: &Path) -> io::Result<File> {
    // The folder of large dead letters is created with the first of them, so it may be missing.
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    File::options().create(true).append(true).read(true).open(path)
}

/// Appends the text to the locked file.
fn append(mut file: File, mut text: Vec<u8>) -> io::Result<()> {
    if ends_within_a_line(&mut file)? {
        text.insert(0, b'\n');
    }
    file.write_all(&text)?;
    file.sync_data()
}

/// Returns true if the file ends with part of a line, after a full disk or a crash. The next line must not become a part of it.
fn ends_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
