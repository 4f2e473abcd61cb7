//! The handlers' settings and the path of the state file.

use std::{
    collections::BTreeMap,
    fs, io,
    path::{Path, PathBuf},
};

use devicestate_engine::{function_app, settings::Settings, text::error_message};
use devicestate_sqlite::dead_letter_folder;
use serde::Deserialize;

use super::error::LocalError;

/// Reads the settings from the environment and `local.settings.json`.
pub(super) fn read(root: &Path) -> Result<Settings, LocalError> {
    let mut settings = Settings::from_environment();
    for (name, value) in local_settings(root)? {
        settings.add_default(name, value);
    }
    Ok(settings)
}

/// Reads the settings from the environment and `local.settings.json`, and chooses the state file.
///
/// The documents are in the state file unless the environment names another kind of store. `--state` has precedence over
/// `SqlitePath` of the environment, so that documents and dead letters are always in one file.
pub(super) fn prepare(root: &Path, given: Option<PathBuf>) -> Result<(Settings, PathBuf), LocalError> {
    let mut settings = Settings::from_environment();
    let is_sqlite = settings.get("StateStore").is_none_or(|store| store == "sqlite");
    let named = settings.get("SqlitePath").filter(|_| settings.get("StateStore").is_some() && is_sqlite);
    let state = state_path(given.or_else(|| named.map(PathBuf::from)))?;
    let mut defaults = local_settings(root)?;
    // A connection string of the file would have precedence over an identity in the environment.
    defaults.retain(|(name, _)| !settings.has_parts_of(name));
    for (name, value) in defaults {
        settings.add_default(name, value);
    }
    settings.add_default("DeadLetterDirectory", dead_letter_folder(&state).display().to_string());
    if is_sqlite {
        settings.set("StateStore", "sqlite");
        settings.set("SqlitePath", state.display().to_string());
        // The hub is in memory: a power failure takes it with the commits.
        settings.add_default("SqliteSynchronous", "normal");
    }
    Ok((settings, state))
}

/// Reads `local.settings.json` as Core Tools does. A missing file has no settings.
fn local_settings(root: &Path) -> Result<Vec<(String, String)>, LocalError> {
    #[derive(Deserialize)]
    struct LocalSettings {
        #[serde(rename = "Values", default)]
        values: BTreeMap<String, String>,
    }

    let path = root.join("local.settings.json");
    let failed = |reason: String| LocalError::LocalSettings { path: path.clone(), reason };
    let text = match fs::read(&path) {
        Ok(text) => text,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(failed(error_message(&error))),
    };
    let settings: LocalSettings = function_app::parse_json(&text).map_err(|error| failed(error.to_string()))?;
    Ok(settings.values.into_iter().collect())
}

/// Returns the absolute path of the state file, because the handlers run in another folder; without a given path, that of a
/// file in a new temporary folder.
fn state_path(given: Option<PathBuf>) -> Result<PathBuf, LocalError> {
    let path = if let Some(path) = given {
        path
    } else {
        let folder = tempfile::Builder::new().prefix("devicestate-").tempdir();
        let failed = |error| LocalError::Folder { path: std::env::temp_dir(), reason: error_message(&error) };
        folder.map_err(failed)?.keep().join("state.db")
    };
    std::path::absolute(&path).map_err(|error| LocalError::Folder { path, reason: error_message(&error) })
}
