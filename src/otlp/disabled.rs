//! The functions of a build without OTLP. They do nothing.

use std::{sync::Arc, time::Duration};

use axum::routing::MethodRouter;
use devicestate_engine::{
    function_app::Trigger, processor::Processor, record::Record, settings::Settings, store::StateStore,
};

use super::endpoints;
use crate::config::StoreConfig;

/// Exports nothing.
pub struct Otlp;

impl Otlp {
    /// Warns if an endpoint is set, since it has no effect in this build.
    #[must_use]
    pub fn start(settings: &Settings) -> Self {
        if let Some(setting) = endpoints(settings).into_iter().flatten().next() {
            tracing::warn!(
                "the setting `{setting}` has no effect: this build of the handler exports no metrics or traces; build \
                 it with `--features otlp` (docs/operate/opentelemetry.md)"
            );
        }
        Self
    }

    /// Returns the store unchanged.
    #[must_use]
    pub fn trace_store(&self, _: &StoreConfig, store: Arc<dyn StateStore>) -> Arc<dyn StateStore> {
        store
    }

    /// Does nothing.
    pub fn observe_cache(&self, _: &Arc<Processor>) {}

    /// Returns the route unchanged.
    pub fn trace_invocations(&self, route: MethodRouter, _: &Trigger) -> MethodRouter {
        route
    }
}

/// Does nothing.
pub fn export_record(_: &Record) {}

/// Does nothing.
pub fn export_decoding(_: Duration) {}
