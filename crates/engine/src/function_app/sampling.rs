//! Whether the host samples its log: records that are missing make counts wrong.

use super::{
    HostJson,
    any_case::{member, member_object, text},
    overrides::overridden,
};
use crate::settings::Settings;

/// The app settings that override `samplingSettings` of `host.json`.
const OVERRIDE: &str = "AzureFunctionsJobHost__logging__applicationInsights__samplingSettings__";

/// Returns a warning if `host.json`, or a setting, lets the host sample the records. It samples by default, but with OpenTelemetry
/// by other settings.
pub(super) fn warning(host: &HostJson, settings: &Settings) -> Option<String> {
    let mode = settings.get("AzureFunctionsJobHost__telemetryMode").or(host.telemetry_mode.as_str());
    if mode.is_some_and(|mode| mode.eq_ignore_ascii_case("OpenTelemetry")) {
        return None;
    }
    let logging = host.logging.as_object().cloned().unwrap_or_default();
    let insights = member_object(&logging, "applicationInsights");
    let sampling = overridden(member_object(&insights, "samplingSettings"), OVERRIDE, settings);
    let value = |name: &str| member(&sampling, name).map(text).filter(|text| !text.is_empty());
    let has_traces = |types: String| types.split(';').any(|kind| kind.trim().eq_ignore_ascii_case("Trace"));
    let is_disabled = value("isEnabled").is_some_and(|text| text.eq_ignore_ascii_case("false"));
    let is_excluded = value("excludedTypes").is_some_and(has_traces);
    let is_not_included = value("includedTypes").is_some_and(|types| !has_traces(types));
    (!is_disabled && !is_excluded && !is_not_included).then(|| {
        "the host samples the records, so that alerts and saved queries miss some: set `\"excludedTypes\": \
         \"Exception;Trace\"` in logging.applicationInsights.samplingSettings of host.json"
            .to_owned()
    })
}

#[cfg(test)]
mod tests {
    use serde_json::{Value, json};

    use super::*;

    fn is_warned(logging: &Value, mode: &Value, settings: &Settings) -> bool {
        let host = json!({"customHandler": {"description": {}}, "logging": logging, "telemetryMode": mode});
        warning(&serde_json::from_value(host).expect("a host.json"), settings).is_some()
    }

    fn is_sampled(sampling: &Value, settings: &Settings) -> bool {
        is_warned(&json!({"applicationInsights": {"samplingSettings": sampling}}), &Value::Null, settings)
    }

    #[test]
    fn sampling_settings_do_not_concern_opentelemetry() {
        let mut settings = Settings::default();
        assert!(is_warned(&Value::Null, &"ApplicationInsights".into(), &settings));
        assert!(!is_warned(&Value::Null, &"openTelemetry".into(), &settings));
        settings.set("AzureFunctionsJobHost__telemetryMode", "OpenTelemetry");
        assert!(!is_warned(&Value::Null, &Value::Null, &settings));
    }

    #[test]
    fn records_are_sampled_unless_traces_are_excluded() {
        let none = Settings::default();
        for logging in [Value::Null, json!({}), json!({"applicationInsights": {}})] {
            assert!(is_warned(&logging, &Value::Null, &none), "{logging}");
        }
        for sampling in
            [json!({"excludedTypes": "Request"}), json!({"includedTypes": "Request;trace"}), json!({"isEnabled": true})]
        {
            assert!(is_sampled(&sampling, &none), "{sampling}");
        }
        for sampling in [
            json!({"ExcludedTypes": "Exception; trace"}),
            json!({"includedTypes": "Request", "excludedTypes": ""}),
            json!({"isEnabled": false}),
            json!({"isEnabled": "False"}),
        ] {
            assert!(!is_sampled(&sampling, &none), "{sampling}");
        }
    }

    #[test]
    fn app_settings_override_the_file() {
        let mut settings = Settings::default();
        settings.set(format!("{OVERRIDE}isEnabled"), "false");
        assert!(!is_sampled(&json!({"isEnabled": true}), &settings));
        settings.set(format!("{OVERRIDE}isEnabled"), "true");
        settings.set(format!("{OVERRIDE}excludedTypes"), "Request");
        assert!(is_sampled(&json!({"isEnabled": false, "excludedTypes": "Trace"}), &settings));
    }
}
