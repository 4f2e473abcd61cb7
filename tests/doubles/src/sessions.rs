//! A handler for Service Bus sessions with a scripted store.

use std::sync::Arc;

use devicestate_engine::{
    batch::Source,
    function_app::{Function, ServiceBusTrigger, Trigger},
    handler::{Handler, Response},
};
use devicestate_test_support::{repository_file, session_message::SessionMessage};

use crate::{FinalReply, ScriptedStore, final_reply, handler, processor};

/// Returns the trigger that ships, with its source set.
pub fn trigger() -> Trigger {
    let function = repository_file("SessionTelemetryFunction/function.json");
    let trigger: ServiceBusTrigger = serde_json::from_value(function["bindings"][0].clone()).expect("a trigger");
    Trigger::ServiceBus(ServiceBusTrigger { source: source(), ..trigger })
}

pub fn source() -> Source {
    Source {
        fully_qualified_namespace: "bus.servicebus.windows.net".into(),
        session_queue_name: "sessions".into(),
        ..Source::default()
    }
}

pub fn rig() -> (Arc<ScriptedStore>, Handler) {
    let store = Arc::new(ScriptedStore::default());
    let handler = handler(processor(&store));
    let function = Function { trigger: trigger(), retry: None, ..handler.function };
    (store, Handler { function, ..handler })
}

/// Invokes the handler with one delivery, which has an invocation id of its own.
pub async fn invoke(handler: &Handler, message: &SessionMessage) -> Response {
    let invocation_id = format!("{}#{}", message.id(), message.delivery_count);
    handler.invoke(&invocation_id, &message.to_bytes()).await
}

pub async fn invoke_final(handler: &Handler, message: &SessionMessage) -> FinalReply {
    final_reply(invoke(handler, message).await)
}
