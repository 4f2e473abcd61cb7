//! The files of a connection: whether those at its path are still the ones that it has open.
//!
//! SQLite itself continues in a file that was deleted or moved away, so that every write succeeds and is lost. Linux and macOS
//! allow that, and there the files are compared by device and inode. Windows deletes or renames no file that SQLite has open, so
//! nothing is compared there. A file that is truncated in place is not detected.

use std::{
    fs::{self, Metadata},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
    time::SystemTime,
};

/// The files that a connection has open, as they were when it opened them.
#[derive(Debug)]
pub(crate) struct OpenFiles {
    file: OpenFile,
    /// The write-ahead log and its index, if the file has them.
    log: Vec<OpenFile>,
    /// For a file that is read without locks: its time and length.
    unchanged: Option<(SystemTime, u64)>,
}

#[derive(Debug)]
struct OpenFile {
    path: PathBuf,
    identity: Identity,
}

/// Device and inode.
type Identity = (u64, u64);

impl OpenFiles {
    /// Remembers the files at the path of a connection, which has just read or written.
    pub(crate) fn new(path: &Path) -> io::Result<Self> {
        let file = OpenFile::new(path.to_owned())?;
        // SQLite puts the log next to the file to which a symbolic link points.
        let real_path = fs::canonicalize(path)?;
        let mut log = Vec::new();
        for suffix in ["-wal", "-shm"] {
            match OpenFile::new(side_file(&real_path, suffix)) {
                Err(error) if error.kind() == ErrorKind::NotFound => {}
                file => log.push(file?),
            }
        }
        Ok(Self { file, log, unchanged: None })
    }

    /// Remembers a file that is read without locks, so that it must not change.
    pub(crate) fn unchanged(path: &Path) -> io::Result<Self> {
        let metadata = fs::metadata(path)?;
        let file = OpenFile { path: path.to_owned(), identity: identity(&metadata) };
        Ok(Self { file, log: Vec::new(), unchanged: Some((metadata.modified()?, metadata.len())) })
    }

    /// Returns whether a file that was opened to be read without locks must be opened again, because another process writes it.
    pub(crate) fn must_be_reopened(&self) -> bool {
        self.unchanged.is_some() && (has_log(&self.file.path) || self.check().is_err())
    }

    /// Checks that the files at the paths are those that the connection has open.
    ///
    /// # Errors
    ///
    /// The reason for the user.
    pub(crate) fn check(&self) -> Result<(), String> {
        let file = self.file.read("it")?;
        for log in &self.log {
            log.read("its log")?;
        }
        match self.unchanged {
            Some((modified, length)) if file.len() != length || file.modified().ok() != Some(modified) => {
                Err("another process changed it while it was read; run the command again".into())
            }
            _ => Ok(()),
        }
    }
}

impl OpenFile {
    fn new(path: PathBuf) -> io::Result<Self> {
        let identity = identity(&fs::metadata(&path)?);
        Ok(Self { path, identity })
    }

    fn read(&self, name: &str) -> Result<Metadata, String> {
        let (happened, advice) = match fs::metadata(&self.path) {
            Ok(metadata) if identity(&metadata) == self.identity => return Ok(metadata),
            // Some network drives assign new inodes to the same file.
            Ok(_) => ("was replaced", "; if nothing replaced it, move it to a local disk"),
            Err(error) if error.kind() == ErrorKind::NotFound => ("was deleted or moved away", ""),
            Err(error) => {
                return Err(format!("{name} cannot be found: {}; check the permissions of its folder", error.kind()));
            }
        };
        Err(format!(
            "{name} {happened} while this process had it open, so nothing is written; put the file back, or restart this process \
             to use what is there{advice}"
        ))
    }
}

/// Returns whether SQLite keeps a log next to a file, which it must read as well. Without one, no process writes the file at this
/// moment, but one may begin to: therefore this is checked before each group of operations.
pub(crate) fn has_log(file: &Path) -> bool {
    let file = fs::canonicalize(file).unwrap_or_else(|_| file.to_owned());
    ["-wal", "-journal"].iter().any(|suffix| side_file(&file, suffix).exists())
}

/// Returns the path of a file that SQLite keeps next to a database.
fn side_file(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(suffix);
    name.into()
}

#[cfg(unix)]
fn identity(metadata: &Metadata) -> Identity {
    use std::os::unix::fs::MetadataExt as _;
    (metadata.dev(), metadata.ino())
}

#[cfg(not(unix))]
fn identity(_: &Metadata) -> Identity {
    (0, 0)
}
