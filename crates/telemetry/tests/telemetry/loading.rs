//! The choice of the telemetry by the settings and the files of a function app.

use std::{fs, path::Path};

use devicestate_engine::{batch::Event, settings::Settings};
use devicestate_telemetry::{LoadError, LoadedTelemetry, load};
use tempfile::TempDir;

fn settings(values: &[(&str, &str)]) -> Settings {
    let mut settings = Settings::default();
    for (name, value) in values {
        settings.set(*name, *value);
    }
    settings
}

/// Returns a function app with this telemetry file.
fn app(file: Option<&str>) -> TempDir {
    let app = tempfile::tempdir().expect("a folder");
    if let Some(file) = file {
        fs::write(app.path().join("telemetry.json"), file).expect("it is writable");
    }
    app
}

#[track_caller]
fn loaded(values: &[(&str, &str)], app: &Path) -> LoadedTelemetry {
    load(&settings(values), app).unwrap_or_else(|error| panic!("{error}"))
}

#[track_caller]
fn refused(values: &[(&str, &str)], app: &Path) -> LoadError {
    load(&settings(values), app).err().expect("it is refused")
}

#[track_caller]
fn device(telemetry: &LoadedTelemetry, body: &str) -> Option<String> {
    let event = Event { body: body.to_owned().into(), iot_hub_device_id: Some("hub".into()), ..Event::default() };
    telemetry.telemetry.decode(&event).ok().map(|decoded| decoded.device_id)
}

#[test]
fn without_settings_and_files_any_json_is_telemetry() {
    let app = app(None);
    for values in [&[][..], &[("Telemetry", "json")], &[("DeviceIdFromIoTHub", "true")]] {
        let telemetry = loaded(values, app.path());
        assert_eq!(telemetry.description, "any JSON");
        assert_eq!(device(&telemetry, "{}").as_deref(), Some("hub"));
    }
    let telemetry = loaded(&[("DeviceIdFromIoTHub", "false")], app.path());
    assert_eq!(device(&telemetry, "{}"), None);
    let telemetry = loaded(&[("DeviceIdFromIoTHub", "required")], app.path());
    assert_eq!(device(&telemetry, r#"{"id":"other"}"#), None);
}

#[test]
fn the_telemetry_file_beside_host_json_is_used() {
    let app = app(Some("\u{feff}{\"device\": \"/dev\"}"));
    let telemetry = loaded(&[], app.path());
    assert_eq!(telemetry.description, app.path().join("telemetry.json").display().to_string());
    assert_eq!(device(&telemetry, r#"{"dev":"a","id":"b"}"#), None, "`id` is a reading here");
    assert_eq!(device(&telemetry, r#"{"dev":"a"}"#).as_deref(), Some("a"));
}

#[test]
fn the_setting_names_another_file() {
    let app = app(Some("{\"device\": \"/dev\"}"));
    fs::create_dir(app.path().join("fleet")).expect("a new folder");
    fs::write(app.path().join("fleet/a.json"), "{\"device\": \"/serial\"}").expect("it is writable");
    let telemetry = loaded(&[("TelemetryFile", "fleet/a.json")], app.path());
    assert_eq!(device(&telemetry, r#"{"serial":"s"}"#).as_deref(), Some("s"));
    let missing = app.path().join("none.json");
    assert_eq!(
        refused(&[("TelemetryFile", "none.json")], app.path()).to_string(),
        format!(
            "the telemetry file {}, which the setting `TelemetryFile` names, cannot be read: No such file or directory",
            missing.display()
        )
    );
}

#[test]
fn drones_are_telemetry_only_without_a_file() {
    let (with, without) = (app(Some("{}")), app(None));
    let drone = ("Telemetry", "drone");
    assert_eq!(loaded(&[drone], without.path()).description, "drone");
    let path = with.path().join("telemetry.json").display().to_string();
    let refusals = [
        (
            &[drone, ("TelemetryFile", &path)][..],
            &with,
            format!("there is a telemetry file, {path}"),
            "the file, or `TelemetryFile` if it is set,",
        ),
        (
            &[drone][..],
            &with,
            format!("there is a telemetry file, {}", with.path().join("telemetry.json").display()),
            "the file",
        ),
        (&[drone, ("TelemetryFile", "x.json")], &without, "`TelemetryFile` is \"x.json\"".into(), "`TelemetryFile`"),
    ];
    for (values, app, found, remove) in refusals {
        let expected = format!(
            "the setting `Telemetry` is `drone`, but {found}: remove `Telemetry` to use the file, or remove {remove} to use the \
             format of drones"
        );
        assert_eq!(refused(values, app.path()).to_string(), expected);
    }
    let other = refused(&[("Telemetry", "Drone")], without.path()).to_string();
    assert_eq!(other, "the setting `Telemetry` must be `json` or `drone`, not \"Drone\"");
}

#[test]
fn a_file_that_is_not_valid_is_refused_with_the_place_of_each_mistake() {
    let app = app(Some("{\n  \"device\": \"/dev\",\n  \"Readings\": {},\n  \"null\": \"drop\"\n}\n"));
    assert_eq!(
        refused(&[], app.path()).to_string(),
        format!(
            "the telemetry file {} is not valid: line 3, column 3, /Readings: \"Readings\" is not a member of the telemetry file: \
             did you mean `readings`?; line 4, column 11, /null: \"drop\" is not what a null means: there are `ignore`, `clear`",
            app.path().join("telemetry.json").display()
        )
    );
}

#[test]
fn a_file_that_is_too_large_is_refused() {
    let app = app(Some(&" ".repeat(2_000_000)));
    let issue = refused(&[], app.path()).to_string();
    assert!(issue.contains("the file has more than 1048576 bytes"), "{issue}");
}

#[test]
fn the_files_of_formats_are_beside_the_telemetry_file() {
    let fleet = "fleet/telemetry.json";
    let cases = [
        (r#"{"avro": {"schemas": ["none.avsc"]}}"#, "line 1, column 23, /avro/schemas/0: "),
        ("{\n \"avro\": {\"schemas\": \"unknown.avsc\"}}", "line 2, column 22, /avro/schemas"),
        (
            r#"{"protobuf": {"descriptors": "none.binpb", "message": "a.B"}}"#,
            "line 1, column 30, /protobuf/descriptors: ",
        ),
    ];
    for (file, place) in cases {
        let app = app(None);
        fs::create_dir(app.path().join("fleet")).expect("a new folder");
        fs::write(app.path().join(fleet), file).expect("it is writable");
        let schema =
            |fields: &str| format!(r#"{{"type":"record","name":"a","fields":[{{"name":"x","type":{fields}}}]}}"#);
        fs::write(app.path().join("fleet/unknown.avsc"), schema(r#""Missing""#)).expect("it is writable");
        let issue = refused(&[("TelemetryFile", fleet)], app.path()).to_string();
        assert!(issue.contains(&format!(" is not valid: {place}")), "{issue}");
    }
    let app = app(Some(r#"{"avro": {"schemas": "*.avsc"}}"#));
    fs::write(app.path().join("a.avsc"), r#"{"type":"record","name":"a","fields":[]}"#).expect("it is writable");
    loaded(&[], app.path());
}
