//! Creates the events: numbered ones, those of simulated devices, or those of a template.

use devicestate_local::{hub::Sent, simulator::Simulator};

use crate::{options::Options, template::Template};

/// Events of all keys in turn.
pub(crate) type Events = Box<dyn Iterator<Item = Sent> + Send>;

/// Returns the events that the options describe, with the bodies of the template if there is one.
pub(crate) fn events(options: &Options, template: Option<Template>) -> Events {
    match (options.keys, template) {
        (Some(keys), _) => Box::new(numbered(keys, options.events)),
        (None, Some(template)) => Box::new(template.events(options.devices.unwrap_or(1), options.events, options.seed)),
        (None, None) => {
            let devices = options.devices;
            let devices = devices.unwrap_or(1);
            let total = u64::from(devices).saturating_mul(options.events);
            Box::new(Simulator::new(devices as usize, total, options.encoding, options.seed))
        }
    }
}

/// Returns event 1 of each key, event 2 of each key, and so on. The key is in the member `deviceId`, so that a handler reads
/// the events, too: it counts them as unrecognized.
fn numbered(keys: u32, events: u64) -> impl Iterator<Item = Sent> {
    (1..=events).flat_map(move |number| {
        (0..keys).map(move |key| {
            let key = format!("key-{key:05}");
            let body = format!(r#"{{"deviceId":"{key}","number":{number}}}"#).into_bytes();
            Sent { body, partition_key: Some(key), content_type: Some("application/json"), ..Sent::default() }
        })
    })
}

#[cfg(test)]
mod tests {
    use devicestate_engine::{
        batch::Event,
        telemetry::{Telemetry as _, drone::Drone},
    };

    use super::*;

    #[test]
    fn a_numbered_event_decodes_to_no_readings() {
        let sent = numbered(1, 1).next().expect("one event");
        let event = Event { body: sent.body.into(), ..Event::default() };
        let decoded = Drone::default().decode(&event).expect("valid telemetry");
        assert_eq!((decoded.device_id.as_str(), decoded.readings.len()), ("key-00000", 0));
    }

    #[test]
    fn numbered_events_are_in_order_and_keys_take_turns() {
        let bodies: Vec<_> = numbered(2, 2).map(|sent| String::from_utf8(sent.body).expect("text")).collect();
        let event = |key: u8, number: u8| format!(r#"{{"deviceId":"key-0000{key}","number":{number}}}"#);
        assert_eq!(bodies, [event(0, 1), event(1, 1), event(0, 2), event(1, 2)]);
        assert_eq!(numbered(2, 2).nth(1).and_then(|sent| sent.partition_key).as_deref(), Some("key-00001"));
    }
}
