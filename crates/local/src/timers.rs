//! The timer functions, called once when the events are done: their own times would hardly fall into a run.
//!
//! In a handler of their own, as on Flex Consumption, which gives such a function instances to itself. So whatever
//! becomes of them is no matter of the batches.

use std::{sync::Arc, time::Duration};

use devicestate_engine::{
    clock::{Clock as _, System},
    function_app::TimerFunction,
};
use devicestate_terminal::interrupt::Shutdown;
use tokio::{sync::watch, time::timeout};

use super::{
    endpoint::Endpoint,
    envelope,
    host::Instance,
    process::{Ears, Process},
    reply::{self, Refused},
};

/// Calls each timer function of the app once, and takes in what it tells. `stop` ends it when it comes to two.
///
/// # Errors
///
/// Why one of them failed, and no other is then called.
pub(super) async fn call(instance: &Instance, stop: &mut watch::Receiver<Shutdown>) -> Result<(), String> {
    if instance.timers.is_empty() {
        return Ok(());
    }
    let ears = Ears { monitor: Arc::clone(&instance.monitor), instance: instance.name.clone() };
    let process = Process::start(instance.start.clone(), ears, || ()).map_err(|error| error.to_string())?;
    let called = async {
        process.ready().await?;
        for timer in &instance.timers {
            invoke(instance, timer, process.port).await.map_err(|reason| format!("{}: {reason}", timer.name))?;
        }
        Ok(())
    };
    let called = tokio::select! {
        called = called => called,
        _ = stop.wait_for(|shutdown| *shutdown == Shutdown::Immediate) => Err("stopped at once".into()),
    };
    // Also when it was stopped: no handler stays behind.
    process.stop().await;
    called
}

/// One invocation, without a second try: there is no retry policy for it.
async fn invoke(instance: &Instance, timer: &TimerFunction, port: u16) -> Result<(), String> {
    let Instance { name, host, statistics, monitor, .. } = instance;
    let limit = host.function_timeout.unwrap_or(Duration::MAX);
    let invocation_id = uuid::Uuid::new_v4().to_string();
    let endpoint = Endpoint::new(port, &timer.name);
    let answer = timeout(limit, endpoint.post(&invocation_id, envelope::timer_request(timer, System.now_ms()))).await;
    let too_long = |_| format!("the handler did not answer within functionTimeout ({limit:?})");
    let (status, content_type, body) = answer.map_err(too_long)??;
    // It has no output, so no binding has a name.
    match reply::read(status, content_type.as_deref(), &body, "", host.extensions.queues.message_encoding) {
        Ok(accepted) => {
            monitor.logs(name, &timer.name, &invocation_id, &accepted.logs);
            statistics.told(&accepted.logs);
            Ok(())
        }
        Err(Refused::Failed(reason)) => Err(reason),
        Err(Refused::Hangs) => Err("the handler answered with nothing, for which the host waits for ever".into()),
    }
}
