//! A build without OTLP.

use std::sync::Arc;

use axum::Router;

use super::endpoints;
use crate::{config::StoreConfig, processor::Processor, record::Record, settings::Settings, store::StateStore};

/// Nothing is exported.
pub struct Otlp;

impl Otlp {
    /// Says so, if somebody expects something else.
    #[must_use]
    pub fn start(settings: &Settings) -> Self {
        if let Some(setting) = endpoints(settings).into_iter().flatten().next() {
            tracing::warn!(
                "the setting {setting} has no effect on the handler: this build exports nothing. One that was built \
                 with --features otlp does (docs/otlp.md)"
            );
        }
        Self
    }

    /// The store as it is.
    #[must_use]
    pub fn store(&self, _: &StoreConfig, store: Arc<dyn StateStore>) -> Arc<dyn StateStore> {
        store
    }

    /// The routes as they are.
    pub fn invocations(&self, router: Router, _: &Arc<Processor>) -> Router {
        router
    }
}

/// Nobody hears it.
pub fn told(_: &Record) {}

/// Nobody measures it.
#[must_use]
pub fn decoding() -> impl Sized {
    Otlp
}
