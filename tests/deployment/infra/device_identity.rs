//! With an IoT Hub, a device cannot write the document of another one.

use super::{
    app_settings::{APPS, App, app_settings},
    sources::Sources,
};

/// Returns which apps take only the device that IoT Hub authenticated.
fn with_required_identity(sources: &Sources) -> Vec<App> {
    let templates = sources.templates();
    let is_required =
        |app: &App| app_settings(&templates, *app).get("DeviceIdFromIoTHub").is_some_and(|value| value == "required");
    APPS.into_iter().filter(is_required).collect()
}

#[test]
fn with_an_iot_hub_only_the_authenticated_device_is_taken() {
    assert_eq!(with_required_identity(&Sources::read()), [App::WithIotHub]);
    let optional = Sources::read().with("infra/main.bicep", "usesIotHub ? 'required' : ''", "usesIotHub ? 'true' : ''");
    assert_eq!(with_required_identity(&optional), [], "it is detected");
}
