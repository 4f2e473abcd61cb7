//! Reads the files that a telemetry file names.

use std::{fs, path::Path};

use super::FormatError;

/// A file of schemas or descriptors has at most this many bytes.
const MAX_BYTES: u64 = 16 * 1024 * 1024;

/// Reads a file. `pointer` is where the telemetry file names it.
pub(super) fn read(pointer: &str, directory: &Path, file: &str) -> Result<Vec<u8>, FormatError> {
    let path = directory.join(file);
    let cannot_read = |error: std::io::Error| {
        let path = path.display();
        FormatError::new(pointer, format!("the file {path} cannot be read: {error}: it must be in the package"))
    };
    let bytes = fs::metadata(&path).map_err(cannot_read)?.len();
    if bytes > MAX_BYTES {
        let path = path.display();
        return Err(FormatError::new(
            pointer,
            format!("the file {path} has {bytes} bytes: at most {MAX_BYTES} are read"),
        ));
    }
    fs::read(&path).map_err(cannot_read)
}

/// Returns the files that a pattern names, which may have a `*` in the name of the file, in the order of their names.
pub(super) fn matching(pointer: &str, directory: &Path, pattern: &str) -> Result<Vec<String>, FormatError> {
    let (folder, name) = pattern.rsplit_once('/').map_or(("", pattern), |(folder, name)| (folder, name));
    if folder.contains('*') || name.matches('*').count() > 1 {
        return Err(FormatError::new(
            pointer,
            format!("{pattern:?}: only the name of the file may have a `*`, and only one"),
        ));
    }
    let Some((start, end)) = name.split_once('*') else { return Ok(vec![pattern.to_owned()]) };
    let path = directory.join(folder);
    let entries = fs::read_dir(&path)
        .map_err(|error| FormatError::new(pointer, format!("the folder {} cannot be read: {error}", path.display())))?;
    let mut files: Vec<_> = entries
        .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
        .filter(|file| file.len() >= start.len() + end.len() && file.starts_with(start) && file.ends_with(end))
        .map(|file| if folder.is_empty() { file } else { format!("{folder}/{file}") })
        .collect();
    files.sort_unstable();
    if files.is_empty() {
        return Err(FormatError::new(pointer, format!("no file in {} matches {pattern:?}", path.display())));
    }
    Ok(files)
}
