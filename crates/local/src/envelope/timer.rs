//! The request for a timer.

use devicestate_engine::function_app::TimerFunction;
use serde::Serialize;

use super::{Sys, envelope, host_time};

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct TimerInfo {
    schedule: Schedule,
    schedule_status: Option<ScheduleStatus>,
    is_past_due: bool,
}

#[derive(Serialize)]
struct Schedule {
    #[serde(rename = "AdjustForDST")]
    adjust_for_dst: bool,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct ScheduleStatus {
    last: &'static str,
    next: String,
    last_updated: String,
}

#[derive(Serialize)]
struct Metadata<'a> {
    sys: Sys<'a>,
}

/// Returns the body of the request for a timer that is due now, in milliseconds since 1970, and was never called before.
#[must_use]
pub fn timer_request(timer: &TimerFunction, now_ms: i64) -> String {
    let time = |ms| format!("{}+00:00", host_time(ms));
    let status = || ScheduleStatus {
        last: "0001-01-01T00:00:00+00:00",
        next: time(now_ms - now_ms.rem_euclid(1_000)),
        // The host sets it at its start.
        last_updated: time(now_ms),
    };
    let info = TimerInfo {
        schedule: Schedule { adjust_for_dst: true },
        schedule_status: timer.trigger.use_monitor.then(status),
        is_past_due: false,
    };
    envelope(&timer.trigger.name, &info, &Metadata { sys: Sys::new(&timer.name, now_ms) })
}

#[cfg(test)]
mod tests {
    use super::*;
    use devicestate_engine::function_app::TimerTrigger;
    use serde_json::Value;

    #[test]
    fn a_timer_without_use_monitor_has_no_schedule_status() {
        let trigger = TimerTrigger { name: "timer".to_owned(), schedule: String::new(), use_monitor: false };
        let timer = TimerFunction { name: "DeadLetterWatchFunction".to_owned(), trigger };
        let request: Value = serde_json::from_str(&timer_request(&timer, 1_732_093_200_005)).expect("JSON");
        assert_eq!(request["Data"]["timer"]["ScheduleStatus"], Value::Null);
    }
}
