//! Sessions: the Service Bus resources with the parameter, none without it, and the settings that keep an outage from moving
//! messages to the dead-letter sub-queue.

use super::{
    app_settings::{APPS, App, app_settings},
    bicep::{Value, to_source},
    expected::{Expected, compare, find_template},
    sources::{Sources, assert_detected, assert_no_faults},
};

/// Service Bus, and what names it.
const EXPECTED: Expected = Expected {
    properties: &[
        // Keeps the messages of a device in order.
        ["service-bus", "queue", "properties.requiresSession", "true"],
        // An outage may last this long without losing messages.
        ["service-bus", "queue", "properties.maxDeliveryCount", "2000"],
        ["service-bus", "queue", "properties.defaultMessageTimeToLive", "'PT${retentionHours}H'"],
        ["service-bus", "queue", "properties.deadLetteringOnMessageExpiration", "true"],
        // The sessions of a killed instance stay locked this long.
        ["service-bus", "queue", "properties.lockDuration", "'PT1M'"],
        ["service-bus", "queue", "properties.maxSizeInMegabytes", "5120"],
        ["service-bus", "queue", "parent", "namespace"],
        ["service-bus", "queue", "name", "queueName"],
        // No other tier has private endpoints.
        [
            "service-bus",
            "namespace",
            "sku",
            "isPrivate ? {name: 'Premium', tier: 'Premium', capacity: 1} : {name: 'Standard', tier: 'Standard'}",
        ],
        ["alerts", "sessionMetrics", "scope", "sessionQueues"],
        ["alerts", "sessionMetrics", "properties.metrics", "[{category: 'AllMetrics', enabled: true}]"],
        ["alerts", "sessionMetrics", "properties.workspaceId", "workspace.id"],
    ],
    parameters: &[
        ["main", "region", "withSessions", "sessions"],
        ["main", "region", "ownsSessionQueue", "sessionQueueOwner"],
        ["region", "serviceBus", "handlerMayManage", "ownsSessionQueue"],
        ["region", "serviceBus", "name", "sessionNamespace"],
        ["region", "serviceBus", "queueName", "sessionQueueName"],
        ["region", "serviceBus", "dnsZoneId", "serviceBusZoneId"],
        ["region", "alerts", "sessionNamespace", "withSessions ? sessionNamespace : ''"],
    ],
    conditions: &[["region", "serviceBus", "withSessions"], ["alerts", "sessionMetrics", "!empty(sessionNamespace)"]],
    values: &[
        ["region", "sessionNamespace", "'sbns-devicestate-${token}'"],
        ["region", "serviceBusNamespace", "serviceBus.?outputs.fullyQualifiedNamespace ?? ''"],
        ["service-bus", "fullyQualifiedNamespace", "'${name}.servicebus.windows.net'"],
        ["main", "SERVICE_BUS_NAMESPACE", "region[0].outputs.serviceBusNamespace"],
        ["main", "SESSION_QUEUE_NAME", "sessions ? sessionQueueName : ''"],
        ["main", "STANDBY_SERVICE_BUS_NAMESPACE", "hasTwoStreams ? region[1].outputs.serviceBusNamespace : ''"],
    ],
};

/// Settings of an app with sessions, as region.bicep writes them.
const SETTINGS: [[&str; 2]; 3] = [
    ["ServiceBusConnection__fullyQualifiedNamespace", "serviceBus.?outputs.fullyQualifiedNamespace ?? ''"],
    ["ServiceBusConnection__credential", "'managedidentity'"],
    ["ServiceBusConnection__clientId", "clientId"],
];

/// Settings that every app has: the package has the function, and the host resolves its queue's name.
const ALWAYS_SET: [&str; 2] = ["AzureWebJobs.SessionTelemetryFunction.Disabled", "SessionQueueName"];

#[test]
fn with_sessions_each_region_has_its_own_queue_that_survives_an_outage() {
    assert_no_faults(&faults(&Sources::read()));
}

#[test]
fn without_sessions_nothing_of_service_bus_is_deployed_and_the_function_is_disabled() {
    let sources = Sources::read();
    assert_no_faults(&function_state_faults(&sources));
    let templates = sources.templates();
    let settings = app_settings(&templates, App::First);
    let left: Vec<_> = settings.keys().filter(|name| name.contains("ServiceBus") || name.contains("Session")).collect();
    assert_eq!(left, ALWAYS_SET);
    let with = app_settings(&templates, App::WithSessions);
    let more: Vec<_> = with.keys().filter(|name| !settings.contains_key(*name)).collect();
    let mut expected = SETTINGS.map(|[name, _]| name);
    expected.sort_unstable();
    assert_eq!(more, expected);
}

#[test]
fn a_queue_that_loses_order_or_messages_and_a_function_without_one_are_detected() {
    for (file, from, to, word) in [
        ("modules/service-bus", "requiresSession: true", "requiresSession: false", "requiresSession"),
        ("modules/service-bus", "maxDeliveryCount: 2000", "maxDeliveryCount: 10", "maxDeliveryCount"),
        ("modules/service-bus", "'PT${retentionHours}H'", "'PT${retentionHours}M'", "TimeToLive"),
        ("modules/service-bus", "Expiration: true", "Expiration: false", "Expiration"),
        ("modules/service-bus", "'PT1M'", "'PT5M'", "lockDuration"),
        ("modules/service-bus", "name: 'Premium'", "name: 'Standard'", "sku"),
        ("modules/service-bus", "'${name}.servicebus.", "'${queueName}.servicebus.", "fullyQualifiedNamespace"),
        ("main", "ownsSessionQueue: sessionQueueOwner", "ownsSessionQueue: true", "ownsSessionQueue"),
        ("modules/region", "if (withSessions)", "if (!withSessions)", "serviceBus"),
        ("modules/region", "'sbns-devicestate-${token}'", "'sbns-devicestate'", "sessionNamespace"),
        ("modules/region", "'service-bus-${token}'", "'service-bus'", "deployment"),
        ("modules/region", "queueName: sessionQueueName", "queueName: hubName", "serviceBus.queueName"),
        ("modules/region", "withSessions ? sessionNamespace", "!withSessions ? sessionNamespace", "alerts"),
        (
            "modules/region",
            "serviceBus.?outputs.fullyQualifiedNamespace ?? ''\n      S",
            "eventHubs.?outputs.fullyQualifiedNamespace ?? ''\n      S",
            "ServiceBusConnection__fully",
        ),
        (
            "modules/region",
            "ServiceBusConnection__clientId: clientId",
            "ServiceBusConnection__clientId: token",
            "clientId",
        ),
        ("modules/alerts", "id: empty(sessionNamespace) ? '' : ", "id: ", "the source of the metrics of sessions"),
        ("modules/alerts", "scope: sessionQueues", "scope: stream", "sessionMetrics"),
        ("modules/alerts", "if (!empty(sessionNamespace))", "if (usesIotHub)", "sessionMetrics"),
        ("main", "region[1].outputs.serviceBusN", "region[0].outputs.serviceBusN", "STANDBY_SERVICE_BUS_NAMESPACE"),
    ] {
        assert_detected(&faults(&Sources::read().with_template(file, from, to)), word);
    }
    for (file, from, to) in [
        ("main", "param sessions bool = false", "param sessions bool = true"),
        ("modules/region", "withSessions ? 'false' : 'true'", "withSessions ? 'true' : 'false'"),
        ("modules/region", "withSessions ? 'false' : 'true'", "'false'"),
    ] {
        assert_detected(&function_state_faults(&Sources::read().with_template(file, from, to)), "sessions");
    }
}

#[test]
fn the_host_holds_a_session_for_longer_than_its_lock_and_than_an_invocation() {
    let sources = Sources::read();
    let host = sources.json("host.json");
    let seconds = |text: &str| {
        let parts = text.split(':').map(|part| part.parse::<u64>().expect("a number"));
        parts.fold(0, |seconds, part| seconds * 60 + part)
    };
    let renewed = host["extensions"]["serviceBus"]["maxAutoLockRenewalDuration"].as_str().map(seconds);
    let templates = sources.templates();
    let budget = &app_settings(&templates, App::WithSessions)["InvocationBudget"];
    assert!(renewed > Some(seconds(budget)), "{renewed:?}");
    // The queue's lock: the extension requires a longer renewal.
    assert!(renewed > Some(60), "{renewed:?}");
    assert!(renewed >= host["functionTimeout"].as_str().map(seconds), "{renewed:?}");
}

/// Returns the faults of the settings that enable or disable the function.
fn function_state_faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let mut faults = Vec::new();
    for app in APPS {
        let disabled = app_settings(&templates, app).get(ALWAYS_SET[0]).cloned();
        let expected = if app == App::WithSessions { "false" } else { "true" };
        if disabled.as_deref() != Some(expected) {
            faults.push(format!(
                "{app:?}: Disabled of the function for sessions is {disabled:?}, but must be {expected}"
            ));
        }
    }
    let param = templates[0].param("sessions");
    let default = param.and_then(|param| param.default.as_ref());
    if default != Some(&Value::Bool(false)) {
        faults.push(format!("the default of the parameter sessions must be false, not {default:?}"));
    }
    faults
}

fn faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let mut faults = EXPECTED.faults(&templates);
    let mut expect =
        |what: &str, expected: &str, value: Option<String>| compare(&mut faults, what, expected, value.as_deref());
    let Some(Value::Either(condition, branches)) = find_template(&templates, "region").variable("sessionSettings")
    else {
        panic!("sessionSettings must be a conditional expression")
    };
    expect("region: the condition of sessionSettings", "withSessions", Some(condition.clone()));
    for [name, expected] in SETTINGS {
        expect(name, expected, branches[0].get(name).map(to_source));
    }
    // The alert on the sub-queue is deployed only with sessions: a source without an id has no rule.
    expect(
        "alerts: the source of the metrics of sessions",
        "{id: empty(sessionNamespace) ? '' : resourceId('Microsoft.ServiceBus/namespaces', sessionNamespace), \
         namespace: 'Microsoft.ServiceBus/namespaces', key: 'name'}",
        find_template(&templates, "alerts")
            .variable("sources")
            .and_then(|sources| sources.get("sessions"))
            .map(to_source),
    );
    let service_bus = find_template(&templates, "region").module("serviceBus");
    let deployment = service_bus.and_then(|module| module.name.clone());
    expect("region: the name of the deployment", "'service-bus-${token}'", deployment);
    faults
}
