//! Creates the events: numbered ones, those of simulated devices, or those of a template.

use std::convert::Infallible;

use devicestate_local::{
    hub::Sent,
    packing::{Packing, pack},
    simulator::Simulator,
};

use crate::{options::Options, template::Template};

/// Events of all keys in turn.
pub(crate) type Events = Box<dyn Iterator<Item = Sent> + Send>;

/// Returns the events that the options describe, with the records of the template if there is one.
pub(crate) fn events(options: &Options, template: Option<Template>) -> Events {
    let devices = options.devices.unwrap_or(1);
    let records: Events = match (options.keys, template) {
        (Some(keys), _) => Box::new(numbered(turns(keys, options.events, options.pack))),
        (None, Some(template)) => {
            Box::new(template.events(turns(devices, options.events, options.pack), devices, options.seed))
        }
        (None, None) => {
            let total = u64::from(devices).saturating_mul(options.events);
            let simulator = Simulator::new(devices as usize, total, options.encoding, options.seed);
            Box::new(simulator.in_turns_of(options.pack))
        }
    };
    let records = records.map(|sent| {
        let device = sent.partition_key.clone().unwrap_or_default();
        Ok::<_, Infallible>((sent, Packing::Record(device)))
    });
    Box::new(pack(records, options.pack).map(|sent| {
        let Ok(sent) = sent;
        sent
    }))
}

/// Returns each key with the numbers of its events, from 1. The keys take turns, and each has this many events in its turn.
pub(crate) fn turns(keys: u32, events: u64, turn: u32) -> impl Iterator<Item = (u32, u64)> {
    let starts = (1..=events).step_by(turn as usize);
    starts.flat_map(move |start| {
        let end = events.min(start + u64::from(turn) - 1);
        (0..keys).flat_map(move |key| (start..=end).map(move |number| (key, number)))
    })
}

/// Returns numbered events. The key is in the member `deviceId`, so that a handler reads the events, too: as drones, it counts
/// them as unrecognized.
fn numbered(turns: impl Iterator<Item = (u32, u64)>) -> impl Iterator<Item = Sent> {
    turns.map(|(key, number)| {
        let key = format!("key-{key:05}");
        let body = format!(r#"{{"deviceId":"{key}","number":{number}}}"#).into_bytes();
        Sent { body, partition_key: Some(key), content_type: Some("application/json"), ..Sent::default() }
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
        let sent = numbered(turns(1, 1, 1)).next().expect("one event");
        let event = Event { body: sent.body.into(), ..Event::default() };
        let decoded = Drone::default().decode(&event).expect("valid telemetry");
        assert_eq!((decoded.device_id.as_str(), decoded.readings.len()), ("key-00000", 0));
    }

    #[test]
    fn numbered_events_are_in_order_and_keys_take_turns() {
        let bodies: Vec<_> = numbered(turns(2, 2, 1)).map(|sent| String::from_utf8(sent.body).expect("text")).collect();
        let event = |key: u8, number: u8| format!(r#"{{"deviceId":"key-0000{key}","number":{number}}}"#);
        assert_eq!(bodies, [event(0, 1), event(1, 1), event(0, 2), event(1, 2)]);
        assert_eq!(numbered(turns(2, 2, 1)).nth(1).and_then(|sent| sent.partition_key).as_deref(), Some("key-00001"));
    }

    #[test]
    fn a_key_has_several_events_in_its_turn_and_the_rest_in_the_last() {
        let turns: Vec<_> = turns(2, 5, 3).collect();
        assert_eq!(turns, [(0, 1), (0, 2), (0, 3), (1, 1), (1, 2), (1, 3), (0, 4), (0, 5), (1, 4), (1, 5)]);
    }
}
