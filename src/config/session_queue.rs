//! Which Service Bus queue a message came from. The host does not tell it with the message; versions and dead letters
//! need it.

use devicestate_azure::ConnectionString;
use devicestate_engine::{
    batch::Source,
    function_app::{FunctionApp, ServiceBusTrigger, Trigger},
    settings::Settings,
};

/// Tells the Service Bus triggers of an app their namespaces and queues, as far as the settings do.
///
/// What they do not tell stays empty, and is no reason not to start: the function may be disabled, and where it is not,
/// the host itself cannot listen without them and says so.
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

/// The namespace of the trigger's connection: of an identity's setting, or of a connection string. As the host does, it is
/// looked for behind `AzureWebJobs` first.
fn namespace(settings: &Settings, trigger: &ServiceBusTrigger) -> Option<String> {
    let connection = settings.resolve(&trigger.connection).ok()?;
    [format!("AzureWebJobs{connection}"), connection].into_iter().find_map(|name| {
        let of_an_identity = settings.get(&format!("{name}__fullyQualifiedNamespace")).map(str::to_owned);
        of_an_identity.or_else(|| host(&name, settings.get(&name)?))
    })
}

/// The host of a connection string's endpoint, `sb://ns.servicebus.windows.net/`.
fn host(setting: &str, connection_string: &str) -> Option<String> {
    let parts = ConnectionString::parse(setting, connection_string).ok()?;
    let (_, address) = parts.get("Endpoint")?.split_once("://")?;
    address.split(['/', ':']).next().map(str::to_owned).filter(|host| !host.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn namespace_by(given: &[(&str, &str)]) -> Option<String> {
        let mut settings = Settings::default();
        for (name, value) in given {
            settings.set(*name, *value);
        }
        let trigger = serde_json::json!({ "name": "message", "queueName": "q", "connection": "Bus" });
        namespace(&settings, &serde_json::from_value(trigger).expect("a trigger"))
    }

    #[test]
    fn the_namespace_is_the_one_of_the_identity_or_of_the_connection_string_and_never_a_secret() {
        let key = "Endpoint=sb://ns.servicebus.windows.net/;SharedAccessKeyName=n;SharedAccessKey=c2VjcmV0";
        let expected = Some("ns.servicebus.windows.net".to_owned());
        assert_eq!(namespace_by(&[("Bus__fullyQualifiedNamespace", "ns.servicebus.windows.net")]), expected);
        assert_eq!(namespace_by(&[("Bus", key)]), expected);
        assert_eq!(namespace_by(&[("AzureWebJobsBus", key), ("Bus", "Endpoint=sb://other/")]), expected);
        assert_eq!(
            namespace_by(&[("Bus", "Endpoint=sb://localhost:5672;UseDevelopmentEmulator=true;")]),
            Some("localhost".into())
        );
        for nothing in [vec![], vec![("Bus", "no connection string")], vec![("Bus", "Endpoint=ns")]] {
            assert_eq!(namespace_by(&nothing), None);
        }
    }
}
