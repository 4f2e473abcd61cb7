//! The Service Bus queue of each trigger. Versions and dead letters need it, and the host does not send it with a message.

use devicestate_azure::ConnectionString;
use devicestate_engine::{
    batch::Source,
    function_app::{FunctionApp, ServiceBusTrigger, Trigger},
    settings::Settings,
};

/// Sets the namespace and queue of each Service Bus trigger of an app from the settings.
///
/// A value that the settings do not have stays empty and is not an error. The function may be disabled; if it is enabled,
/// the host itself cannot listen without the value and logs that.
pub fn locate_queues(settings: &Settings, app: &mut FunctionApp) {
    for function in &mut app.functions {
        if let Trigger::ServiceBus(trigger) = &mut function.trigger {
            trigger.source = source(settings, trigger);
        }
    }
}

fn source(settings: &Settings, trigger: &ServiceBusTrigger) -> Source {
    Source {
        fully_qualified_namespace: namespace(settings, trigger).unwrap_or_default(),
        session_queue_name: settings.resolve(&trigger.queue_name).unwrap_or_default(),
        ..Source::default()
    }
}

/// Returns the namespace of the trigger's connection, from the setting for an identity or from the connection string.
/// Like the host, it prefers names with the prefix `AzureWebJobs`.
fn namespace(settings: &Settings, trigger: &ServiceBusTrigger) -> Option<String> {
    let connection = settings.resolve(&trigger.connection).ok()?;
    [format!("AzureWebJobs{connection}"), connection].into_iter().find_map(|name| {
        let identity_namespace = settings.get(&format!("{name}__fullyQualifiedNamespace")).map(str::to_owned);
        identity_namespace.or_else(|| endpoint_host(&name, settings.get(&name)?))
    })
}

/// Returns the host of a connection string's endpoint, such as `sb://ns.servicebus.windows.net/`.
fn endpoint_host(setting: &str, connection_string: &str) -> Option<String> {
    let parts = ConnectionString::parse(setting, connection_string).ok()?;
    let (_, address) = parts.get("Endpoint")?.split_once("://")?;
    address.split(['/', ':']).next().map(str::to_owned).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace_from(given: &[(&str, &str)]) -> Option<String> {
        let mut settings = Settings::default();
        for (name, value) in given {
            settings.set(*name, *value);
        }
        let trigger = serde_json::json!({ "name": "message", "queueName": "q", "connection": "Bus" });
        namespace(&settings, &serde_json::from_value(trigger).expect("a trigger"))
    }

    #[test]
    fn the_namespace_comes_from_the_identity_or_the_connection_string() {
        let key = "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0";
        let expected = Some("ns.servicebus.windows.net".to_owned());
        assert_eq!(namespace_from(&[("Bus__fullyQualifiedNamespace", "ns.servicebus.windows.net")]), expected);
        assert_eq!(namespace_from(&[("Bus", key)]), expected);
        assert_eq!(namespace_from(&[("AzureWebJobsBus", key), ("Bus", "Endpoint=sb://other/")]), expected);
        assert_eq!(
            namespace_from(&[("Bus", "Endpoint=sb://localhost:5672;UseDevelopmentEmulator=true;")]),
            Some("localhost".into())
        );
        for invalid in [vec![], vec![("Bus", "no connection string")], vec![("Bus", "Endpoint=ns")]] {
            assert_eq!(namespace_from(&invalid), None);
        }
    }
}
