//! An event decodes to the same as protobuf, as JSON and as its shown JSON.

use devicestate_engine::{
    batch::Event,
    telemetry::{
        Decoded, Telemetry as _,
        drone::{DeviceIdFromIotHub, Drone, FLIGHT_MODES, Format},
    },
};
use proptest::{option, prelude::*, sample::select};
use prost::encoding;
use serde_json::{Map, Value, json};

use crate::{cases, json};

/// The content of a drone's event.
#[derive(Debug, Clone)]
struct DroneEvent {
    device_id: Option<String>,
    battery: Option<f64>,
    flight_mode: Option<i64>,
    position: Option<[Option<f64>; 3]>,
    health: Option<[Option<bool>; 3]>,
    is_key_frame: Option<bool>,
}

const POSITION: [&str; 3] = ["latitude", "longitude", "altitude"];
const HEALTH: [&str; 3] = ["gyrometerOK", "accelerometerOK", "magnetometerOK"];

fn drone_event() -> impl Strategy<Value = DroneEvent> {
    let number = || option::of(prop_oneof![8 => any::<f64>(), 1 => select(vec![0.0, -0.0, f64::NAN, f64::INFINITY])]);
    let flight_mode = option::of(prop_oneof![8 => 0..6_i64, 1 => any::<i64>()]);
    let position = option::of([number(), number(), number()]);
    let health = option::of(any::<[Option<bool>; 3]>());
    let device_id = option::weighted(0.9, json::text(6));
    (device_id, number(), flight_mode, position, health, any::<Option<bool>>()).prop_map(
        |(device_id, battery, flight_mode, position, health, is_key_frame)| DroneEvent {
            device_id,
            battery,
            flight_mode,
            position,
            health,
            is_key_frame,
        },
    )
}

impl DroneEvent {
    fn as_protobuf(&self) -> Vec<u8> {
        let mut bytes = Vec::new();
        if let Some(id) = &self.device_id {
            encoding::string::encode(1, id, &mut bytes);
        }
        if let Some(battery) = &self.battery {
            encoding::double::encode(2, battery, &mut bytes);
        }
        if let Some(mode) = &self.flight_mode {
            encoding::int64::encode(3, mode, &mut bytes);
        }
        if let Some(members) = self.position {
            let mut position = Vec::new();
            for (tag, member) in (1..).zip(members) {
                if let Some(number) = &member {
                    encoding::double::encode(tag, number, &mut position);
                }
            }
            encoding::bytes::encode(4, &position, &mut bytes);
        }
        if let Some(members) = self.health {
            let mut health = Vec::new();
            for (tag, member) in (1..).zip(members) {
                if let Some(is_ok) = &member {
                    encoding::bool::encode(tag, is_ok, &mut health);
                }
            }
            encoding::bytes::encode(5, &health, &mut bytes);
        }
        if let Some(is_key_frame) = &self.is_key_frame {
            encoding::bool::encode(6, is_key_frame, &mut bytes);
        }
        bytes
    }

    /// Returns JSON in camelCase, PascalCase, lower or upper case, with the names of flight modes or their numbers. `None` if JSON cannot
    /// represent a number.
    fn as_json(&self, letter_case: u8, has_mode_names: bool) -> Option<Value> {
        let name = |name: &str| match letter_case {
            0 => name.to_owned(),
            1 => name[..1].to_uppercase() + &name[1..],
            2 => name.to_lowercase(),
            _ => name.to_uppercase(),
        };
        let number = |number: f64| serde_json::Number::from_f64(number).map(Value::Number);
        let object = |members: Vec<(&str, Option<Value>)>| {
            members.into_iter().map(|(key, value)| (name(key), value.unwrap_or_default())).collect::<Map<_, _>>()
        };
        let numbers = [self.battery].into_iter().chain(self.position.into_iter().flatten()).flatten();
        if !numbers.into_iter().all(f64::is_finite) {
            return None;
        }
        let flight_mode = self.flight_mode.map(|mode| {
            let known = usize::try_from(mode).ok().and_then(|mode| FLIGHT_MODES.get(mode));
            known.filter(|_| has_mode_names).map_or(json!(mode), |name| json!(name.to_uppercase()))
        });
        let position = |members: [Option<f64>; 3]| {
            object(POSITION.into_iter().zip(members.map(|member| member.and_then(number))).collect())
        };
        let health =
            |members: [Option<bool>; 3]| object(HEALTH.into_iter().zip(members.map(|m| m.map(Value::Bool))).collect());
        Some(Value::Object(object(vec![
            ("deviceId", self.device_id.clone().map(Value::from)),
            ("battery", self.battery.and_then(number)),
            ("flightMode", flight_mode),
            ("position", self.position.map(position).map(Value::Object)),
            ("health", self.health.map(health).map(Value::Object)),
            ("isKeyFrame", self.is_key_frame.map(Value::Bool)),
        ])))
    }
}

fn event(body: Vec<u8>) -> Event {
    Event { body: body.into(), iot_hub_device_id: Some("authenticated".into()), ..Event::default() }
}

/// Decodes a body. The names of skipped fields may have another order in shown JSON, so only whether there are some is kept.
fn decode(drone: Drone, body: Vec<u8>) -> Option<Decoded> {
    let decoded = drone.decode(&event(body)).ok()?;
    let skipped = if decoded.is_unrecognized() { vec![String::new()] } else { Vec::new() };
    Some(Decoded { skipped, ..decoded })
}

proptest! {
    #![proptest_config(cases())]

    #[test]
    fn an_event_decodes_the_same_in_each_format(
        event_content in drone_event(), letter_case in 0..4_u8, has_mode_names in any::<bool>(),
        device_id_from_iot_hub in select(&[DeviceIdFromIotHub::Unused, DeviceIdFromIotHub::Fallback, DeviceIdFromIotHub::Required][..]),
    ) {
        let drone = |format| Drone { format, device_id_from_iot_hub };
        let protobuf = event_content.as_protobuf();
        if protobuf.is_empty() {
            // Without a field the message is empty, but JSON still has its braces.
            return Ok(());
        }
        let decoded = decode(drone(Format::Protobuf), protobuf.clone());
        if let Some(decoded) = &decoded {
            let is_named = event_content.device_id.as_ref().is_some_and(|id| !id.is_empty());
            prop_assert_eq!(&decoded.device_id, if is_named { event_content.device_id.as_ref().expect("it is") } else { "authenticated" });
        }
        if let Some(json) = event_content.as_json(letter_case, has_mode_names) {
            for format in [Format::Json, Format::Auto] {
                prop_assert_eq!(decode(drone(format), json.to_string().into()), decoded.clone());
                prop_assert_eq!(drone(format).to_json(&event(json.to_string().into())), Some(json.clone()));
            }
        } else {
            prop_assert_eq!(&decoded, &None, "a document cannot represent it");
        }
        let shown = drone(Format::Protobuf).to_json(&event(protobuf)).expect("it can be read");
        prop_assert_eq!(decode(drone(Format::Json), shown.to_string().into()), decoded);
    }

    #[test]
    fn shown_json_decodes_to_the_same(text in json::value(), mark in any::<bool>()) {
        let drone = Drone { format: Format::Json, device_id_from_iot_hub: DeviceIdFromIotHub::Fallback };
        let body = format!("{}{text}", if mark { "\u{feff}" } else { "" }).into_bytes();
        if let Some(shown) = drone.to_json(&event(body.clone())) {
            prop_assert_eq!(decode(drone, shown.to_string().into()), decode(drone, body));
        }
    }
}
