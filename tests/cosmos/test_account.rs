//! An account for tests that do not inject faults: the stand-in, or an existing account.

use std::{collections::BTreeMap, env, path::Path, process::Command};

use devicestate_test_support::{
    App,
    listener::{Counters, Listener},
    read_output,
};
use serde_json::Value;
use uuid::Uuid;

/// An environment variable with the connection string of an account in which the tests may create databases, such as that of
/// `emulators/compose.yaml`. The tests do not delete them.
const CONNECTION_VARIABLE: &str = "DEVICESTATE_TEST_COSMOS";

/// An account with an empty container.
pub(super) enum Account {
    /// A stand-in for this test only.
    Listener(Listener),
    /// A database for this test only, in the account with this connection string.
    Existing { connection: String, database: String },
}

impl Account {
    pub(super) fn empty() -> Self {
        let Ok(connection) = env::var(CONNECTION_VARIABLE) else { return Self::Listener(Listener::start()) };
        let database = format!("test-{}", Uuid::new_v4());
        let program = Path::new(env!("CARGO_MANIFEST_DIR")).join("emulators/create-container.js");
        let settings = [("CosmosConnection", &connection), ("CosmosDatabase", &database)];
        let output = Command::new("node").arg(program).envs(settings).output().expect("Node.js (the command node)");
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        Self::Existing { connection, database }
    }

    /// Returns the app that ships, with its documents in this account.
    pub(super) fn app(&self) -> App {
        match self {
            Self::Listener(listener) => super::app(listener),
            Self::Existing { connection, database } => {
                let app = App::shipped().without("SqlitePath").with("StateStore", "cosmos");
                app.with("CosmosConnection", connection).with("CosmosDatabase", database)
            }
        }
    }

    /// Returns all documents by id, without the properties that Cosmos DB adds.
    pub(super) fn documents(&self) -> BTreeMap<String, Value> {
        if let Self::Listener(listener) = self {
            return listener.documents();
        }
        let output = self.app().run(&["devices", "list", "-o", "json"]);
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        let documents = read_output(&output.stdout, Some(0)).as_array().expect("documents").clone();
        let id = |document: &Value| document["id"].as_str().expect("an id").to_owned();
        documents.into_iter().map(|document| (id(&document), document)).collect()
    }

    /// Returns the counts of requests; `None` for an existing account.
    pub(super) fn counters(&self) -> Option<Counters> {
        match self {
            Self::Listener(listener) => Some(listener.counters()),
            Self::Existing { .. } => None,
        }
    }
}
