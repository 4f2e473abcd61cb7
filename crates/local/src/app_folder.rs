//! The folder of the function app; for a folder without one, the shipped app.

use std::{fs, io, path::PathBuf};

use devicestate_engine::settings::Settings;
use devicestate_telemetry::DEFAULT_FILE;
use tempfile::TempDir;

/// The files of the shipped function app, as a package has them.
const SHIPPED: [(&str, &str); 6] = [
    ("host.json", include_str!("../../../host.json")),
    ("RawTelemetryFunction/function.json", include_str!("../../../RawTelemetryFunction/function.json")),
    ("SessionTelemetryFunction/function.json", include_str!("../../../SessionTelemetryFunction/function.json")),
    ("DeadLetterWatchFunction/function.json", include_str!("../../../DeadLetterWatchFunction/function.json")),
    ("SilenceWatchFunction/function.json", include_str!("../../../SilenceWatchFunction/function.json")),
    ("DevicesFunction/function.json", include_str!("../../../DevicesFunction/function.json")),
];

/// The folder of the function app.
pub(super) struct AppFolder {
    pub(super) path: PathBuf,
    /// The copy of the shipped app. It is removed when this is dropped.
    shipped: Option<TempDir>,
}

impl AppFolder {
    /// Returns the given folder; without one, the working folder if it has a `host.json`, else a copy of the shipped app in a
    /// temporary folder.
    ///
    /// # Errors
    ///
    /// The copy cannot be written.
    pub(super) fn new(given: Option<PathBuf>) -> io::Result<Self> {
        let working_folder = || Some(PathBuf::from(".")).filter(|folder| folder.join("host.json").exists());
        if let Some(path) = given.or_else(working_folder) {
            return Ok(Self { path, shipped: None });
        }
        let folder = tempfile::Builder::new().prefix("devicestate-app-").tempdir()?;
        for (name, text) in SHIPPED {
            let file = folder.path().join(name);
            fs::create_dir_all(file.parent().unwrap_or_else(|| folder.path()))?;
            fs::write(file, text)?;
        }
        Ok(Self { path: folder.path().to_owned(), shipped: Some(folder) })
    }

    /// Sets `TelemetryFile` to the absolute path of the file in the working folder, if the shipped app is used: the app has no
    /// telemetry file, and a relative path would be relative to its copy.
    ///
    /// # Errors
    ///
    /// The working folder does not exist.
    pub(super) fn set_telemetry_file(&self, settings: &mut Settings) -> io::Result<()> {
        let given = settings.get("TelemetryFile").map(PathBuf::from);
        let file = given.or_else(|| Some(PathBuf::from(DEFAULT_FILE)).filter(|file| file.exists()));
        if let Some(file) = file.filter(|_| self.shipped.is_some()) {
            settings.set("TelemetryFile", std::path::absolute(file)?.display().to_string());
        }
        Ok(())
    }

    /// Returns whether the shipped app is used, because the working folder has none.
    pub(super) fn is_shipped(&self) -> bool {
        self.shipped.is_some()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_given_folder_is_used_even_if_it_has_no_app() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let app = AppFolder::new(Some(folder.path().to_owned())).expect("nothing is written");
        assert_eq!((app.path.as_path(), app.is_shipped()), (folder.path(), false));
        assert_eq!(fs::read_dir(folder.path()).expect("a folder").count(), 0);
    }
}
