//! An audit trail in a file, for example next to the state file.

use std::{
    fs::{self, File},
    io::{self, ErrorKind, Read as _, Seek as _, SeekFrom, Write as _},
    path::{Path, PathBuf},
};

use async_trait::async_trait;

use super::{AuditError, AuditLine, AuditTrail};

/// A file of JSON lines. Several processes may write to the same one.
#[derive(Debug, Clone)]
pub struct FileAuditTrail(PathBuf);

impl FileAuditTrail {
    /// Uses the file of this path. It is created with the first line.
    #[must_use]
    pub fn new(path: PathBuf) -> Self {
        Self(path)
    }

    /// Uses the file that belongs to a state file: `FILE-audit.jsonl`.
    #[must_use]
    pub fn next_to(state: &Path) -> Self {
        Self(format!("{}-audit.jsonl", state.display()).into())
    }
}

#[async_trait]
impl AuditTrail for FileAuditTrail {
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        let (path, text) = (self.0.clone(), lines.iter().flat_map(AuditLine::to_bytes).collect());
        let append = tokio::task::spawn_blocking(move || append(&path, text));
        let appended = append.await.unwrap_or_else(|error| Err(io::Error::other(error)));
        appended.map_err(|error| AuditError::File { path: self.0.clone(), error })
    }

    fn location(&self) -> String {
        self.0.display().to_string()
    }
}

fn append(path: &Path, mut text: Vec<u8>) -> io::Result<()> {
    // The folder of large dead letters is created with the first of them, so it may be missing.
    if let Some(folder) = path.parent() {
        fs::create_dir_all(folder)?;
    }
    let mut file = File::options().create(true).append(true).read(true).open(path)?;
    match file.lock() {
        // Some file systems have no locks. Most of them still append one write in one piece.
        Err(error) if error.kind() == ErrorKind::Unsupported => {}
        locked => locked?,
    }
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
