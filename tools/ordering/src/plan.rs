//! The parameters that all strategies share: the events, the hub or queue that holds them, and the delays.

use std::{sync::Arc, time::Duration};

use devicestate_local::{
    hub::{self, Hub},
    sessions::queue::{self, SessionQueue},
};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

/// The parameters of the experiment.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Plan {
    pub keys: u32,
    /// The number of events per key, which are numbered from 1.
    pub events: u32,
    pub partitions: usize,
    pub batch: usize,
    pub at_once: usize,
    /// The maximum number of concurrent sessions of an instance.
    pub max_sessions: usize,
    pub max_delay_ms: u64,
    pub seed: u64,
}

/// An event, whose body is this as JSON.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Numbered {
    pub key: String,
    pub number: u32,
}

const CONTENT_TYPE: Option<&str> = Some("application/json");

impl Numbered {
    fn body(&self) -> Vec<u8> {
        serde_json::to_vec(self).expect("text and a number are always JSON")
    }
}

impl Plan {
    pub fn all_keys(&self) -> impl DoubleEndedIterator<Item = String> + use<> {
        (0..self.keys).map(|key| format!("key-{key:03}"))
    }

    pub fn all_events(&self) -> u64 {
        u64::from(self.keys) * u64::from(self.events)
    }

    /// Returns the events in sending order: the first of each key, the second of each key, and so on.
    pub fn events_in_order(&self) -> impl Iterator<Item = Numbered> {
        (1..=self.events).flat_map(|number| self.all_keys().map(move |key| Numbered { key, number }))
    }

    /// Creates a closed hub that holds all events.
    pub async fn filled_hub(&self) -> Arc<Hub> {
        // It keeps events after their checkpoint, so that it is never full.
        let hub = Hub::new(self.partitions, hub::Options { retains_events: true, ..hub::Options::default() });
        for event in self.events_in_order() {
            let (body, partition_key) = (event.body(), Some(event.key));
            hub.send(hub::Sent { body, partition_key, content_type: CONTENT_TYPE, ..hub::Sent::default() }).await;
        }
        hub.close();
        Arc::new(hub)
    }

    /// Creates a closed queue that holds all events, each in the session of its key. Its maximum delivery count is Service
    /// Bus's default.
    pub async fn filled_queue(&self) -> Arc<SessionQueue> {
        let queue = SessionQueue::new(queue::Options { max_delivery_count: 10, ..queue::Options::default() });
        for event in self.events_in_order() {
            let (body, session_id) = (event.body(), event.key);
            queue
                .send(queue::Sent { session_id, message_id: None, body, content_type: CONTENT_TYPE.map(Into::into) })
                .await;
        }
        queue.close();
        queue
    }

    /// Returns the delay of the invocation that begins with this event of this stream. It depends only on these and the seed,
    /// and not on timing or on earlier deliveries.
    pub fn delay(&self, stream: &str, first: i64) -> Duration {
        let digest = Sha256::digest(format!("{}/{stream}/{first}", self.seed));
        let random = digest.iter().take(8).fold(0_u64, |number, byte| number << 8 | u64::from(*byte));
        Duration::from_millis(random % (self.max_delay_ms + 1))
    }
}
