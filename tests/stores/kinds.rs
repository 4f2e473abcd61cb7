//! The kinds of stores, each of which runs the same tests.

use std::{
    path::Path,
    sync::{
        Arc,
        atomic::{AtomicI64, Ordering::Relaxed},
    },
};

use devicestate::config::StoreConfig;
use devicestate_azure::CosmosStore;
use devicestate_engine::{
    clock::{Clock, System},
    settings::Settings,
    store::{MemoryStore, StateStore},
};
use devicestate_sqlite::{Database, OpenMode, SqliteStore};
use devicestate_test_support::listener::Listener;

/// A store and its name.
pub(super) type NamedStore = (&'static str, Arc<dyn StateStore>);

/// Runs each of these tests on an empty store of each kind. Those with an account are in the tier `just test-azure`.
macro_rules! for_each_store {
    ($($test:ident),+ $(,)?) => {
        mod in_memory {
            $(
                #[tokio::test]
                async fn $test() { super::$test(crate::kinds::memory()).await; }
            )+
        }
        mod in_a_state_file {
            $(
                #[tokio::test]
                async fn $test() {
                    let folder = tempfile::tempdir().expect("a folder");
                    super::$test(crate::kinds::state_file(&folder.path().join("state.db"))).await;
                }
            )+
        }
        mod in_an_account {
            $(
                #[tokio::test]
                #[ignore = "just test-azure"]
                async fn $test() {
                    let listener = devicestate_test_support::listener::Listener::start();
                    super::$test(crate::kinds::account(&listener)).await;
                }
            )+
        }
    };
}
pub(super) use for_each_store;

/// A clock that is ahead of the machine's, so that no write counts as recent, and is later whenever it is read.
struct AheadClock(AtomicI64);

impl Clock for AheadClock {
    fn now_ms(&self) -> i64 {
        self.0.fetch_add(1_000, Relaxed)
    }
}

fn clock() -> Arc<dyn Clock> {
    Arc::new(AheadClock(AtomicI64::new(System.now_ms() + 3_600_000)))
}

pub(super) fn memory() -> NamedStore {
    ("memory", Arc::new(MemoryStore::with_clock(clock())))
}

pub(super) fn state_file(path: &Path) -> NamedStore {
    ("sqlite", Arc::new(SqliteStore::with_clock(open(path), clock())))
}

pub(super) fn account(listener: &Listener) -> NamedStore {
    let mut settings = Settings::default();
    settings.set("StateStore", "cosmos");
    settings.set("CosmosConnection", listener.connection_string());
    match StoreConfig::from_settings(&settings) {
        Ok(StoreConfig::Cosmos(config)) => ("cosmos", Arc::new(CosmosStore::with_clock(config, clock()))),
        other => panic!("no Cosmos DB: {other:?}"),
    }
}

pub(super) fn open(path: &Path) -> Database {
    Database::open(path, OpenMode::Create).expect("a database")
}
