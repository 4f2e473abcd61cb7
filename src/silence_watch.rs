//! The invocation of the silence watch: a timer function of the app, every minute.
//!
//! The request's body is not read, because the timer has no data.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use devicestate_engine::{
    clock::System, observer::Observer, record::Record, reply::Reply, silence::SilenceWatch, store::StateStore,
    text::panic_message,
};
use futures_util::FutureExt as _;

use crate::{config::Config, log};

/// The name of the timer binding of the function. The functions with another one monitor the dead letters.
pub const BINDING: &str = "silence";

/// Limits a run, as the budget of an invocation does.
const RUN_TIME: Duration = Duration::from_secs(20);

/// The function of the silence watch.
pub struct SilenceWatchFunction {
    /// `None` if the setting `SilentAfter` is missing.
    watch: Option<SilenceWatch>,
    budget: Duration,
}

impl SilenceWatchFunction {
    /// Creates the function by the settings, for the documents of this store.
    #[must_use]
    pub fn new(config: &Config, store: &Arc<dyn StateStore>, observer: Arc<dyn Observer>) -> Self {
        let watch = config.silent_after.map(|silent_after| {
            let spans = (silent_after, config.heard_every);
            SilenceWatch::new(Arc::clone(store), Arc::new(System), observer, spans, config.store_concurrency)
        });
        Self { watch, budget: RUN_TIME.min(config.invocation_budget) }
    }

    /// Handles an invocation of the function. Returns the body of a reply with status 200, which has the summary of the run, and
    /// nothing if the watch is off.
    ///
    /// # Errors
    ///
    /// Returns the body of a reply with status 503 if the store fails. The host calls again at the timer's next time. The summary
    /// of what was done and the error are then in the handler's own log.
    pub async fn invoke(&self, function: &str, invocation_id: &str) -> Result<String, String> {
        let Some(watch) = &self.watch else { return Ok(Reply::from_logs(&[]).to_json()) };
        let reason = match AssertUnwindSafe(watch.run(self.budget)).catch_unwind().await {
            Ok((summary, Ok(()))) => return Ok(Reply::from_logs(&[Record::SilenceWatch(summary)]).to_json()),
            Ok((summary, Err(error))) => {
                log::write_record(&Record::SilenceWatch(summary));
                error.to_string()
            }
            Err(panic) => format!("the watch panicked: {}", panic_message(&*panic)),
        };
        let error = format!("which devices are silent is unknown: {reason}");
        tracing::error!(function, invocationId = invocation_id, "{error}");
        Err(serde_json::json!({ "error": error }).to_string())
    }
}
