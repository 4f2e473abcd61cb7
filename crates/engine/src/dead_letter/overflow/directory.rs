//! An overflow in a folder.

use std::{
    fs::{self, File},
    io::{self, ErrorKind},
    path::{Path, PathBuf},
};

use async_trait::async_trait;
use tempfile::TempPath;
use tokio::io::AsyncWriteExt as _;

use super::{HASH_DIGITS, Overflow, OverflowError, is_dead_letter_id, name_in_location, without_query};

/// The end of the names of files that are being written.
const UNFINISHED: &str = ".unfinished";

/// An overflow that stores each dead letter as a file in one folder.
#[derive(Debug, Clone)]
pub struct Directory(pub PathBuf);

impl Directory {
    /// Deletes the unfinished files of processes that were killed, and returns their number. Files that another process is
    /// writing are locked, and stay.
    #[must_use]
    pub fn remove_unfinished(&self) -> usize {
        let files = fs::read_dir(&self.0).into_iter().flatten().flatten();
        // Only regular files: to open a named pipe would block, and a link may point to any file.
        let is_unfinished = |file: &fs::DirEntry| {
            file.file_name().to_str().is_some_and(is_unfinished_name)
                && file.file_type().is_ok_and(|kind| kind.is_file())
        };
        let unfinished = files.filter(is_unfinished).map(|file| file.path());
        // What cannot be opened or deleted stays: it belongs to another user, or another process was faster.
        let is_left = |path: &PathBuf| File::open(path).is_ok_and(|file| file.try_lock().is_ok());
        unfinished.filter(is_left).filter(|path| fs::remove_file(path).is_ok()).count()
    }
}

#[async_trait]
impl Overflow for Directory {
    async fn put(&self, name: &str, bytes: Vec<u8>) -> Result<String, OverflowError> {
        let path = self.0.join(format!("{name}.json"));
        let write = async {
            tokio::fs::create_dir_all(&self.0).await?;
            // Written under another name first, so that neither a reader nor a crash sees a partial file.
            let (file, unfinished) = create_unfinished(&self.0, name)?;
            let mut file = tokio::fs::File::from_std(file);
            file.write_all(&bytes).await?;
            file.flush().await?;
            unfinished.persist(&path).map_err(|error| error.error)
        };
        match write.await {
            Ok(()) => Ok(path.display().to_string()),
            Err(error) => Err(OverflowError::FileWriteFailed { path, error }),
        }
    }

    async fn get(&self, location: &str) -> Result<Vec<u8>, OverflowError> {
        let name = name_in_location(location)?;
        let path = self.0.join(name);
        tokio::fs::read(&path).await.map_err(|error| match error.kind() {
            ErrorKind::NotFound if !self.0.is_dir() => OverflowError::StorageMissing {
                storage: format!("folder {}", self.0.display()),
                setting: "`DeadLetterDirectory`".to_owned(),
                location: without_query(location),
            },
            ErrorKind::NotFound => OverflowError::Missing {
                name: name.to_owned(),
                storage: self.0.display().to_string(),
                setting: "`DeadLetterDirectory`".to_owned(),
                location: without_query(location),
            },
            _ => OverflowError::FileReadFailed { path, error },
        })
    }
}

/// Returns true for a name that [`create_unfinished`] gives to the file of a dead letter. Others belong to other programs.
fn is_unfinished_name(name: &str) -> bool {
    let random = name.strip_suffix(UNFINISHED).and_then(|name| name.split_once('.'));
    let stem = random.and_then(|(stem, _)| stem.split_once('-'));
    stem.is_some_and(|(id, hash)| {
        is_dead_letter_id(id) && hash.len() == HASH_DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit())
    })
}

/// Creates a file that is deleted when its path is dropped: after a failure, or when the deadline ends the write. The lock lasts as
/// long as the file is open, and no longer than the process.
fn create_unfinished(folder: &Path, name: &str) -> io::Result<(File, TempPath)> {
    let prefix = format!("{name}.");
    let mut builder = tempfile::Builder::new();
    builder.prefix(&prefix).suffix(UNFINISHED);
    // As any other new file, because other users may read the dead letters.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let (file, path) = builder.tempfile_in(folder)?.into_parts();
    // A file system without locks is used without them.
    let _ = file.try_lock();
    Ok((file, path))
}
