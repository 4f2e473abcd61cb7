//! The audit trail as a file, beside the state file of a machine.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;

use super::{Audit, AuditError, AuditLine};

/// A file of JSON lines. Several processes may write to the same one.
#[derive(Debug, Clone)]
pub struct FileAudit(PathBuf);

impl FileAudit {
    /// The file of this path. It is made with the first line.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// The file that belongs to this state file: `PATH-audit.jsonl`.
    #[must_use]
    pub fn beside(state: &Path) -> Self {
        Self(format!("{}-audit.jsonl", state.display()).into())
    }
}

#[async_trait]
impl Audit for FileAudit {
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        let (path, text) = (self.0.clone(), lines.iter().flat_map(AuditLine::to_bytes).collect());
        let append = tokio::task::spawn_blocking(move || append(&path, text));
        let appended = append.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        appended.map_err(|error| AuditError::File { path: self.0.clone(), error })
    }

    fn place(&self) -> String {
        self.0.display().to_string()
    }
}

fn append(path: &Path, mut text: Vec<u8>) -> io::Result<()> {
    // The folder of the large dead letters is made with the first of them, and there may be none yet.
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::options().create(true).append(true).read(true).open(path)?;
    match file.lock() {
        // Some file systems have no locks. What is appended in one piece stays in one on most of them even so.
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        locked => locked?,
    }
    if is_within_a_line(&mut file)? {
        text.insert(0, b'\n');
    }
    file.write_all(&text)?;
    file.sync_data()
}

/// Whether a disk that was full, or a machine that went down, has left half a line at the end. The next must not become
/// a part of it.
fn is_within_a_line(file: &mut File) -> io::Result<bool> {
    if file.seek(SeekFrom::End(0))? == 0 {
        return Ok(false);
    }
    let mut last = [0];
    file.seek(SeekFrom::End(-1))?;
    file.read_exact(&mut last)?;
    Ok(last != *b"\n")
}
