//! The app settings that infra/ sets, as far as they are known before the deployment.

use std::collections::BTreeMap;

use serde_json::{Value as Json, json};

use super::{
    bicep::Template,
    evaluate::{Deployment, UNKNOWN},
};

/// A function app, by its kind of deployment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum App {
    /// The app of a deployment with an IoT Hub.
    WithIotHub,
    /// The app of a deployment with Event Hubs, in the first region of one or two.
    First,
    /// The app of the second region.
    Standby,
    /// The app of a deployment with Event Hubs and sessions.
    WithSessions,
}

/// All function apps.
pub(crate) const APPS: [App; 4] = [App::First, App::Standby, App::WithIotHub, App::WithSessions];

/// The standby region.
pub(super) const STANDBY_LOCATION: &str = "northeurope";

/// Returns the settings by name, with default parameters except for those that define this app. Values that only the
/// deployment knows are placeholders.
pub(crate) fn app_settings(templates: &[Template], app: App) -> BTreeMap<String, String> {
    let parameter = match app {
        App::First => None,
        App::Standby => Some(("standbyLocation", json!(STANDBY_LOCATION))),
        App::WithIotHub => Some(("eventSource", json!("iotHub"))),
        App::WithSessions => Some(("sessions", json!(true))),
    };
    let mut main = Deployment::new(templates, parameter.map(|(name, value)| (name.to_owned(), value)));
    // The variables of the loop over the regions.
    main.parameters.insert("place".to_owned(), json!(UNKNOWN));
    main.parameters.insert("index".to_owned(), json!(u8::from(app == App::Standby)));
    let region = main.of_module(main.module("region"));
    let settings = region.module("functionApp").params.get("appSettings").expect("app settings");
    let settings = region.evaluate(settings).expect("the defaults are not rejected");
    let settings = settings.as_object().expect("an object");
    settings.iter().map(|(name, value)| (name.clone(), known(name, value))).collect()
}

/// The values of settings that only the deployment knows: of addresses, and of others.
pub(super) const PLACEHOLDERS: [&str; 2] = ["https://made-up.example/", UNKNOWN];

/// Returns the value of a setting, or a placeholder.
fn known(name: &str, value: &Json) -> String {
    let text = value.as_str().unwrap_or_else(|| panic!("{name} is not a text: {value}"));
    let is_address = name.ends_with("Uri") || name.ends_with("Endpoint");
    if text.contains(UNKNOWN) { PLACEHOLDERS[usize::from(!is_address)] } else { text }.to_owned()
}
