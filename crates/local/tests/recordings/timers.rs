//! The request for a timer.

use devicestate_engine::function_app::{TimerFunction, TimerTrigger};
use devicestate_local::envelope;

use crate::{
    events::milliseconds,
    recording::{Recording, replace},
};

/// The recordings that this file compares.
pub(crate) const NAMES: &[&str] = &["timer-admin-1"];

/// The recorded timer was called through the admin endpoint a minute before it was due. The stand-in calls it as the schedule
/// does, when it is due; no run is so long that a call is past due.
#[test]
fn a_timer_gives_the_recorded_body_except_for_its_times() {
    let recording = Recording::read(NAMES[0]);
    let trigger = TimerTrigger { name: "timer".into(), schedule: String::new(), use_monitor: true };
    let timer = TimerFunction { name: recording.function().into(), trigger };
    let due = milliseconds("2026-11-30T00:04:00");
    let body = envelope::timer_request(&timer, due + 5);
    let body = replace(&body, "LastUpdated", "2026-11-30T00:02:29.9120286+00:00");
    recording.assert_same(&body);
}
