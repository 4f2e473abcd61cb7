//! Calls the timer functions once at the end of a run, because a run is shorter than their schedules.
//!
//! They run in a separate handler, as on Flex Consumption, which gives such a function its own instances. Their failure does not
//! affect the batches.

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    clock::{Clock as _, System},
    function_app::TimerFunction,
};
use devicestate_terminal::interrupt::Shutdown;
use tokio::{sync::watch, time::timeout};

use super::{
    endpoint::{Endpoint, HttpResponse},
    envelope,
    host::Instance,
    process::{LogSink, Process},
    reply::{self, ReplyError},
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
    let log_sink = LogSink { monitor: Arc::clone(&instance.monitor), instance: instance.name.clone() };
    let process = Process::start(instance.start.clone(), log_sink, || ()).map_err(|error| error.to_string())?;
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

/// Invokes a timer function once. Timers have no retry policy.
async fn invoke_timer(instance: &Instance, timer: &TimerFunction, port: u16) -> Result<(), String> {
    let Instance { name, host, statistics, monitor, .. } = instance;
    let limit = host.function_timeout.unwrap_or(Duration::MAX);
    let invocation_id = uuid::Uuid::new_v4().to_string();
    let endpoint = Endpoint::new(port, &timer.name);
    let response = timeout(limit, endpoint.post(&invocation_id, envelope::timer_request(timer, System.now_ms()))).await;
    let too_long = |_| format!("the handler did not answer within functionTimeout ({limit:?})");
    let HttpResponse { status, content_type, body } = response.map_err(too_long)??;
    // A timer function has no output binding.
    match reply::read(status, content_type.as_deref(), &body, "") {
        Ok(accepted) => {
            monitor.write_logs(name, &timer.name, &invocation_id, &accepted.logs);
            statistics.record_logs(&accepted.logs);
            Ok(())
        }
        Err(ReplyError::Failed(reason)) => Err(reason),
        Err(ReplyError::Hangs) => {
            Err("the handler's reply is empty, so the host would wait until functionTimeout".into())
        }
    }
}
