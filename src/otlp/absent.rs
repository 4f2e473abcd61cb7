//! A build without OTLP.

use std::{sync::Arc, time::Duration};

use axum::routing::MethodRouter;
use devicestate_engine::{
    function_app::Trigger, processor::Processor, record::Record, settings::Settings, store::StateStore,
};

use super::endpoints;
use crate::config::StoreConfig;

/// Nothing is exported.
pub struct Otlp;

impl Otlp {
    /// Says so, if somebody expects something else.
    #[must_use]
    pub fn start(settings: &Settings) -> Self {
        if let Some(setting) = endpoints(settings).into_iter().flatten().next() {
            tracing::warn!(
                "the setting {setting} has no effect on the handler: this build exports nothing. One that was built \
                 with --features otlp does (docs/operate/opentelemetry.md)"
            );
        }
        Self
    }

    /// The store as it is.
    #[must_use]
    pub fn store(&self, _: &StoreConfig, store: Arc<dyn StateStore>) -> Arc<dyn StateStore> {
        store
    }

    /// Nothing is measured.
    pub fn observe(&self, _: &Arc<Processor>) {}

    /// The route as it is.
    pub fn invocations(&self, route: MethodRouter, _: &Trigger) -> MethodRouter {
        route
    }
}

/// Nobody hears it.
pub fn told(_: &Record) {}

/// Nobody measures it.
pub fn decoded(_: Duration) {}
