//! Chooses the telemetry of a function app from its settings and its files.

use std::{
    fs::File,
    io::{self, Read as _},
    path::{Path, PathBuf},
    sync::Arc,
};

use devicestate_engine::{
    settings::{ConfigError, Settings},
    telemetry::{
        Telemetry,
        drone::{DeviceIdFromIotHub, Drone},
    },
    text::error_message,
};

use crate::{
    AnyTelemetry,
    file::{MAX_FILE_BYTES, Mistakes, TelemetryFile, mistake_of_format},
    formats::Formats,
    mapping::Mapping,
};

/// The telemetry file that is used if the setting `TelemetryFile` is absent and the file exists.
pub const DEFAULT_FILE: &str = "telemetry.json";

/// The telemetry of a function app.
#[derive(Clone)]
pub struct LoadedTelemetry {
    /// Decodes the events.
    pub telemetry: Arc<dyn Telemetry>,
    /// What it is, for people: `any JSON`, the path of the telemetry file, or `drone`.
    pub description: String,
}

/// Why the telemetry of a function app cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// A setting is invalid.
    #[error(transparent)]
    Setting(#[from] ConfigError),
    /// Both the format of drones and a telemetry file are selected.
    #[error(
        "the setting `Telemetry` is `drone`, but {found}: remove `Telemetry` to use the file, or {remedy} to use the format of \
         drones"
    )]
    DroneWithFile {
        /// What selects the telemetry file.
        found: String,
        /// What to remove.
        remedy: String,
    },
    /// The telemetry file cannot be read.
    #[error("the telemetry file {}{} cannot be read: {}", path.display(), named(*is_set), error_message(source))]
    Unreadable {
        /// Its path.
        path: PathBuf,
        /// True if the setting names it.
        is_set: bool,
        /// The reason.
        source: io::Error,
    },
    /// The telemetry file is not valid.
    #[error("the telemetry file {} is not valid: {mistakes}", path.display())]
    Invalid {
        /// Its path.
        path: PathBuf,
        /// What is wrong with it.
        mistakes: Mistakes,
    },
}

/// Reads the settings `Telemetry`, `TelemetryFile` and `DeviceIdFromIoTHub`, and the telemetry file if there is one. A relative
/// path is relative to `app_directory`, the folder of `host.json`.
///
/// # Errors
///
/// Returns a [`LoadError`] that names the setting or the place in the file, and what would be right.
pub fn load(settings: &Settings, app_directory: &Path) -> Result<LoadedTelemetry, LoadError> {
    let is_drone = settings.parse("Telemetry", false, "`json` or `drone`", |value| match value {
        "json" => Some(false),
        "drone" => Some(true),
        _ => None,
    })?;
    let file = settings.get("TelemetryFile");
    let path = app_directory.join(file.unwrap_or(DEFAULT_FILE));
    let has_file = file.is_some() || path.exists();
    if is_drone {
        if has_file {
            return Err(drone_with_file(file, &path));
        }
        let drone = Drone::from_settings(settings)?;
        return Ok(LoadedTelemetry { telemetry: Arc::new(drone), description: "drone".into() });
    }
    let device_id_from_iot_hub = DeviceIdFromIotHub::from_settings(settings, DeviceIdFromIotHub::Fallback)?;
    let (mapping, formats, description) = if has_file {
        let (mapping, formats) = read(&path, file.is_some())?;
        (mapping, formats, path.display().to_string())
    } else {
        (Mapping::any_json(), Formats::default(), "any JSON".into())
    };
    let telemetry = AnyTelemetry::new(Mapping { device_id_from_iot_hub, ..mapping }, formats);
    Ok(LoadedTelemetry { telemetry: Arc::new(telemetry), description })
}

fn drone_with_file(file: Option<&str>, path: &Path) -> LoadError {
    let there_is = format!("there is a telemetry file, {}", path.display());
    let (found, remedy) = match file {
        // `devicestate local` sets the path of the file in the working folder.
        Some(file) if file.ends_with(DEFAULT_FILE) && Path::new(file).is_absolute() && path.exists() => {
            (there_is, "the file, or `TelemetryFile` if it is set,".to_owned())
        }
        Some(file) => (format!("`TelemetryFile` is {file:?}"), "`TelemetryFile`".to_owned()),
        None => (there_is, "the file".to_owned()),
    };
    LoadError::DroneWithFile { found, remedy: format!("remove {remedy}") }
}

/// Reads a telemetry file and the files that it names, whose paths are relative to it.
fn read(path: &Path, is_set: bool) -> Result<(Mapping, Formats), LoadError> {
    let unreadable = |source| LoadError::Unreadable { path: path.to_owned(), is_set, source };
    let invalid = |mistakes| LoadError::Invalid { path: path.to_owned(), mistakes };
    let mut bytes = Vec::new();
    let file = File::open(path).map_err(unreadable)?;
    file.take(MAX_FILE_BYTES as u64 + 1).read_to_end(&mut bytes).map_err(unreadable)?;
    let TelemetryFile { mapping, avro, protobuf } = TelemetryFile::parse(&bytes).map_err(invalid)?;
    let directory = path.parent().unwrap_or(Path::new(""));
    let formats = Formats::load(avro.as_ref(), protobuf.as_ref(), directory)
        .map_err(|error| invalid(mistake_of_format(&bytes, error)))?;
    Ok((mapping, formats))
}

fn named(is_set: bool) -> &'static str {
    if is_set { ", which the setting `TelemetryFile` names," } else { "" }
}
