//! Calls the timer functions: once at the end of a run, because most runs are shorter than their schedules, and by their schedules
//! in a run without an end.
//!
//! They run in a separate handler, as on Flex Consumption, which gives such a function its own instances. Their failure does not
//! affect the batches.

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    clock::{Clock as _, System},
    function_app::TimerFunction,
};
use devicestate_terminal::{interrupt::Shutdown, print_message};
use tokio::{
    sync::watch,
    time::{Instant, sleep, timeout},
};

use super::{
    endpoint::{Endpoint, HttpResponse},
    envelope,
    host::Instance,
    process::{LogSink, Process},
    reply::{self, ReplyError},
    schedule::Schedule,
};

/// Calls each timer function of the app once and records its logs. [`Shutdown::Immediate`] ends the call.
///
/// # Errors
///
/// A function failed. The remaining ones are not called.
pub(super) async fn call(instance: &Instance, stop: &mut watch::Receiver<Shutdown>) -> Result<(), String> {
    if instance.timers.is_empty() {
        return Ok(());
    }
    let process = start_handler(instance)?;
    let called = async {
        process.wait_until_ready().await?;
        for timer in &instance.timers {
            invoke_timer(instance, timer, process.port).await.map_err(|reason| format!("{}: {reason}", timer.name))?;
        }
        Ok(())
    };
    let called = tokio::select! {
        called = called => called,
        _ = stop.wait_for(|shutdown| *shutdown == Shutdown::Immediate) => Err("stopped before it ended".into()),
    };
    // Also after a stop, so that no handler is left.
    process.stop().await;
    called
}

/// Calls each timer function whenever it is due by its schedule, until the host stops. A failed call is reported, as the host logs
/// it, and the next one follows by the schedule.
pub(super) async fn call_by_schedule(instance: Instance, mut stop: watch::Receiver<Shutdown>) {
    let mut timers = Vec::new();
    for timer in &instance.timers {
        match Schedule::parse(&timer.trigger.schedule) {
            Some(schedule) => timers.push((timer, schedule)),
            None => print_message(format_args!(
                "devicestate: warning: the function {} is called only at the end of the run, because its schedule `{}` has not \
                 six fields of numbers",
                timer.name, timer.trigger.schedule
            )),
        }
    }
    let mut process = None;
    let calls = async {
        let mut until = System.now_ms() / 1_000;
        loop {
            sleep(Duration::from_millis((1_000 - System.now_ms().rem_euclid(1_000)).unsigned_abs())).await;
            // A function that was due during a long call is called once after it.
            let seconds = until + 1..=System.now_ms() / 1_000;
            until = until.max(*seconds.end());
            let is_due = |schedule: &Schedule| seconds.clone().any(|second| schedule.is_due(second * 1_000));
            for (timer, _) in timers.iter().filter(|(_, schedule)| is_due(schedule)) {
                let called = call_in(&mut process, &instance, timer).await;
                if let Err(reason) = called {
                    print_message(format_args!("devicestate: warning: {}: {reason}", timer.name));
                }
            }
        }
    };
    tokio::select! {
        () = calls => {}
        _ = stop.wait_for(|shutdown| *shutdown != Shutdown::Running) => {}
    }
    if let Some(process) = process {
        process.stop().await;
    }
}

/// Invokes a timer function in this handler, which is started when it is first needed, and again when it has failed too often.
async fn call_in(process: &mut Option<Process>, instance: &Instance, timer: &TimerFunction) -> Result<(), String> {
    if let Some(failed) = process.take_if(|process| process.has_failed()) {
        failed.stop().await;
    }
    let process = match process {
        Some(process) => process,
        None => process.insert(start_handler(instance)?),
    };
    process.wait_until_ready().await?;
    invoke_timer(instance, timer, process.port).await
}

fn start_handler(instance: &Instance) -> Result<Process, String> {
    let log_sink = LogSink { monitor: Arc::clone(&instance.monitor), instance: instance.name.clone() };
    Process::start(instance.start.clone(), log_sink, || ()).map_err(|error| error.to_string())
}

/// Invokes a timer function once. Timers have no retry policy.
async fn invoke_timer(instance: &Instance, timer: &TimerFunction, port: u16) -> Result<(), String> {
    let Instance { name, monitor, .. } = instance;
    let invocation_id = uuid::Uuid::new_v4().to_string();
    monitor.write_started(name, &timer.name, &invocation_id);
    let started = Instant::now();
    let result = attempt(instance, timer, &invocation_id, port).await;
    monitor.write_ended(name, &timer.name, &invocation_id, result.is_ok(), started.elapsed());
    result
}

async fn attempt(instance: &Instance, timer: &TimerFunction, invocation_id: &str, port: u16) -> Result<(), String> {
    let Instance { name, host, statistics, monitor, .. } = instance;
    let limit = host.function_timeout.unwrap_or(Duration::MAX);
    let endpoint = Endpoint::new(port, &timer.name);
    let response = timeout(limit, endpoint.post(invocation_id, envelope::timer_request(timer, System.now_ms()))).await;
    let too_long = |_| format!("the handler did not answer within functionTimeout ({limit:?})");
    let HttpResponse { status, content_type, body } = response.map_err(too_long)??;
    // A timer function has no output binding.
    match reply::read(status, content_type.as_deref(), &body, "") {
        Ok(accepted) => {
            monitor.write_logs(name, &timer.name, invocation_id, &accepted.logs);
            statistics.record_logs(&accepted.logs);
            Ok(())
        }
        Err(ReplyError::Failed(reason)) => Err(reason),
        Err(ReplyError::Hangs) => {
            Err("the handler's reply is empty, so the host would wait until functionTimeout".into())
        }
    }
}
