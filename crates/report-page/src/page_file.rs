//! The file of a page.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read as _, Seek as _, Write as _},
    path::{Path, PathBuf},
};

use devicestate_engine::text::error_message;

/// What each page begins with.
const START: &str = "<!DOCTYPE html>";

/// The file of a page. It is opened before a run, because a run may take hours, and written after it.
#[derive(Debug)]
pub struct PageFile {
    file: File,
    path: PathBuf,
    /// Whether the file is new and empty, and is removed if no page is written.
    is_new: bool,
}

impl PageFile {
    /// Opens a new file, or one with a page, which is overwritten later.
    ///
    /// # Errors
    ///
    /// A text for people: the file cannot be written, or it has something else than a page.
    pub fn open(path: &Path) -> Result<Self, String> {
        let failed = |reason: &str| format!("the file {} cannot be written: {reason} (option --html)", path.display());
        let failed_by = |error: io::Error| failed(&error_message(&error));
        let metadata = fs::metadata(path).ok();
        if metadata.as_ref().is_some_and(fs::Metadata::is_dir) {
            return Err(failed("it is a folder"));
        }
        let is_new = metadata.is_none();
        let is_file = metadata.as_ref().is_none_or(fs::Metadata::is_file);
        // A pipe or a device cannot be read first.
        let mut options = OpenOptions::new();
        let file = options.read(is_file).write(true).create(true).truncate(false).open(path).map_err(failed_by)?;
        if is_file && !has_page_or_nothing(&file).map_err(failed_by)? {
            return Err(failed("it exists and is not an HTML page; delete it, or name another file"));
        }
        Ok(Self { file, path: path.to_owned(), is_new })
    }

    /// Writes the page.
    ///
    /// # Errors
    ///
    /// A text for people.
    pub fn write(mut self, html: &str) -> Result<(), String> {
        self.is_new = false;
        let mut write = || {
            if self.file.metadata()?.is_file() {
                if !has_page_or_nothing(&self.file)? {
                    return Err(io::Error::other("the run has written something else into it; name another file"));
                }
                self.file.rewind()?;
                self.file.set_len(0)?;
            }
            self.file.write_all(html.as_bytes())
        };
        write().map_err(|error| {
            format!("the page {} was not written: {} (option --html)", self.path.display(), error_message(&error))
        })
    }
}

/// Returns whether a file may be overwritten by a page. It may also be one that another option of the command names.
fn has_page_or_nothing(mut file: &File) -> io::Result<bool> {
    let mut start = Vec::new();
    file.rewind()?;
    file.take(START.len() as u64).read_to_end(&mut start)?;
    Ok(start.is_empty() || start.eq_ignore_ascii_case(START.as_bytes()))
}

impl Drop for PageFile {
    fn drop(&mut self) {
        if self.is_new && self.file.metadata().is_ok_and(|metadata| metadata.len() == 0) {
            let _ = fs::remove_file(&self.path);
        }
    }
}
