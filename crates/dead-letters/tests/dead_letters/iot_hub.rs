//! Dead letters of messages that came through an IoT Hub.

use devicestate_dead_letters::rebuild_event;
use devicestate_test_doubles::{batch, battery};
use serde_json::value::RawValue;

use crate::replaying::dead_letters;

#[test]
fn a_replayed_event_keeps_the_times_of_iot_hub() {
    let mut letter = dead_letters(batch([battery(1, "d", 0.5)])).remove(0);
    let raw = |json: &str| Some(RawValue::from_string(json.into()).expect("JSON"));
    letter.event_data.system_properties = raw(r#"{"iothub-enqueuedtime":"2024-11-21T00:46:39.9"}"#);
    letter.event_data.properties = raw(r#"{"iothub-creation-time-utc":"2024-11-21T00:46:39.810Z"}"#);
    let event = rebuild_event(&letter, b"{}".to_vec());
    assert_eq!((event.time_ms, event.created_ms), (Some(1_732_149_999_900), Some(1_732_149_999_810)));
}
