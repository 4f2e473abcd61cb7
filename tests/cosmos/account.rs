//! An account for the tests that need nothing but an account: the stand-in, or one that runs already.

use std::{collections::BTreeMap, env, path::Path, process::Command};

use devicestate_test_support::{
    App,
    listener::{Counters, Listener},
};
use serde_json::Value;
use uuid::Uuid;

/// The connection string of an account in which the tests may make databases: that of `emulators/compose.yaml`, for
/// example. What they make stays there.
const GIVEN: &str = "DEVICESTATE_TEST_COSMOS";

/// An account with an empty container.
pub(super) enum Account {
    /// The stand-in, which is this test's alone.
    Listener(Listener),
    /// A database of this test's own in the account with this connection string.
    Given { connection: String, database: String },
}

impl Account {
    pub(super) fn empty() -> Self {
        let Ok(connection) = env::var(GIVEN) else { return Self::Listener(Listener::start()) };
        let database = format!("test-{}", Uuid::new_v4());
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("emulators/create-container.js");
        let settings = [("CosmosConnection", &connection), ("CosmosDatabase", &database)];
        let output = Command::new("node").arg(program).envs(settings).output().expect("Node.js (the command node)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self::Given { connection, database }
    }

    /// The app as it is shipped, its documents in this account.
    pub(super) fn app(&self) -> App {
        match self {
            Self::Listener(listener) => super::app(listener),
            Self::Given { connection, database } => {
                let app = App::shipped().without("SqlitePath").with("StateStore", "cosmos");
                app.with("CosmosConnection", connection).with("CosmosDatabase", database)
            }
        }
    }

    /// All documents by their id, without what Cosmos DB adds to them.
    pub(super) fn documents(&self) -> BTreeMap<String, Value> {
        if let Self::Listener(listener) = self {
            return listener.documents();
        }
        let output = self.app().run(&["state", "list", "--format", "json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let documents: Vec<Value> = serde_json::from_slice(&output.stdout).expect("JSON");
        let id = |document: &Value| document["id"].as_str().expect("an id").to_owned();
        documents.into_iter().map(|document| (id(&document), document)).collect()
    }

    /// The counts, where somebody counts.
    pub(super) fn counters(&self) -> Option<Counters> {
        match self {
            Self::Listener(listener) => Some(listener.counters()),
            Self::Given { .. } => None,
        }
    }
}
