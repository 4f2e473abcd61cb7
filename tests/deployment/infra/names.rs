//! Names and ids that are used in several files, or by Azure.

use serde_json::Value as Json;

use super::{
    app_settings::{App, app_settings},
    bicep::{Resource, Template, Value, to_source},
    expected::find_template,
    sources::{Sources, assert_detected, assert_no_faults},
};

#[test]
fn names_agree_in_all_files() {
    assert_no_faults(&names(&Sources::read()));
}

#[test]
fn every_name_that_is_misspelled_is_detected() {
    let changed = |path: &str, from: &str, to: &str| names(&Sources::read().with(path, from, to));
    let function = "RawTelemetryFunction/function.json";
    assert_detected(&changed(function, "\"messages\"", "\"mesages\""), "mesages");
    assert_detected(&changed(function, "deadLetterMessages", "deadLetterMesages"), "deadLetterMesages");
    assert_detected(&changed(function, "deadletterqueue", "deadleterqueue"), "deadleterqueue");
    assert_detected(
        &changed("infra/modules/dead-letters.bicep", "'deadletterqueue'", "'deadletters'"),
        "deadletterqueue",
    );
    assert_detected(
        &changed("infra/modules/host-storage.bicep", "azure-webjobs-eventhub", "azure-webjobs-eventhubs"),
        "checkpoints",
    );
    assert_detected(&changed("infra/modules/host-storage.bicep", "webjobs-hosts", "webjobs-host"), "locks");
    assert_detected(&changed("infra/modules/host-storage.bicep", "webjobs-secrets", "webjobs-secret"), "keys");
    assert_detected(&changed("infra/main.bicep", "var hubName = 'telemetry'", "var hubName = 'telemtry'"), "telemtry");
    assert_detected(
        &changed("infra/main.bicep", "'devicestate'\nvar usesIotHub", "'devicestat'\nvar usesIotHub"),
        "devicestat",
    );
    assert_detected(
        &changed("infra/modules/function-app.bicep", "['RawTelemetryFunction']", "['RawTelemetry']"),
        "RawTelemetry",
    );
    assert_detected(&changed("infra/modules/function-app.bicep", "'function:${name}'", "name"), "always-ready");
    assert_detected(
        &changed("infra/main.bicep", "sessionQueueName = 'sessions'", "sessionQueueName = 'sesions'"),
        "sesions",
    );
    let sessions = "SessionTelemetryFunction/function.json";
    assert_detected(&changed(sessions, "deadletterqueue", "deadleterqueue"), "deadleterqueue");
    assert_detected(&changed("emulators/event-hubs.json", "devicestate", "devicestates"), "devicestates");
    assert_detected(&changed("azure.yaml", "  handler:", "  handlers:"), "handlers");
    assert_detected(&changed("azure.yaml", "dist: target/package", "dist: target/packages"), "target/packages");
    assert_detected(&changed("azure.yaml", "scripts/package.sh", "scripts/pakage.sh"), "scripts/pakage.sh");
    assert_detected(&changed("azure.yaml", "--standby", "--stanby"), "--stanby");
    assert_detected(
        &changed("infra/main.bicep", "output STANDBY_FUNCTION_APP_NAME", "output STANDBY_FUNCTION_NAME"),
        "STANDBY_FUNCTION_APP_NAME",
    );
    assert_detected(&changed("infra/main.bicep", "azdService: 'handler'", "azdService: 'handlers'"), "handlers");
}

fn resources(templates: &[Template]) -> impl Iterator<Item = &Resource> {
    templates.iter().flat_map(|template| &template.resources)
}

fn names(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let function = sources.json("RawTelemetryFunction/function.json");
    let settings = app_settings(&templates, App::First);
    let mut faults = Vec::new();
    let mut agree = |what: &str, one: &str, other: Option<&str>| {
        if other != Some(one) {
            faults.push(format!("{what}: {one:?} in one file, {other:?} in another"));
        }
    };
    let resource_name = |type_name: &str| {
        let name = |resource: &Resource| resource.body.get("name").and_then(Value::text).map(str::to_owned);
        resources(&templates).find(|resource| resource.type_name.starts_with(type_name)).and_then(name)
    };

    // The binding names are those of the reference.
    let (trigger, queue) = (&function["bindings"][0], &function["bindings"][1]);
    agree("the trigger's name", "messages", trigger["name"].as_str());
    agree("the output's name", "deadLetterMessages", queue["name"].as_str());
    let queues = resource_name("Microsoft.Storage/storageAccounts/queueServices/queues@");
    agree("the queue", queue["queueName"].as_str().unwrap_or_default(), queues.as_deref());
    let container = resource_name("Microsoft.Storage/storageAccounts/blobServices/containers@");
    // The names in the host and in its Event Hubs extension.
    for (symbol, name) in
        [("checkpoints", "azure-webjobs-eventhub"), ("locks", "azure-webjobs-hosts"), ("keys", "azure-webjobs-secrets")]
    {
        let container = resources(&templates).find(|resource| resource.symbol == symbol);
        let container = container.and_then(|resource| resource.body.get("name")).and_then(Value::text);
        agree(&format!("the container of {symbol}"), name, container);
    }
    agree("the container of dead letters", &settings["DeadLetterContainer"], container.as_deref());

    let local = sources.json("local.settings.json");
    let host_settings = ["EventHubName", "EventHubConsumerGroup", "SessionQueueName"];
    for name in host_settings.into_iter().chain(["CosmosDatabase", "CosmosContainer", "StateStore"]) {
        agree(name, &settings[name], local["Values"][name].as_str());
    }
    let hub = &sources.json("emulators/event-hubs.json")["UserConfig"]["NamespaceConfig"][0]["Entities"][0];
    agree("the hub", &settings["EventHubName"], hub["Name"].as_str());
    let groups = hub["ConsumerGroups"].as_array().map(Vec::as_slice).unwrap_or_default();
    agree(
        "the consumer group",
        &settings["EventHubConsumerGroup"],
        groups.first().and_then(|group| group["Name"].as_str()),
    );

    let app = find_template(&templates, "function-app");
    agree(
        "the functions that are always ready",
        "concat(['RawTelemetryFunction'], withSessions ? ['SessionTelemetryFunction'] : [])",
        app.variable("triggered").map(to_source).as_deref(),
    );
    let always_ready = resources(&templates)
        .find_map(|resource| resource.body.at("properties.functionAppConfig.scaleAndConcurrency.alwaysReady"));
    agree(
        "the always-ready instances",
        "[for (alwaysReadyInstances == 0 ? [] : triggered): {name: 'function:${name}', instanceCount: alwaysReadyInstances}]",
        always_ready.map(to_source).as_deref(),
    );
    let session_names = sources.json("SessionTelemetryFunction/function.json");
    for binding in ["name", "queueName"] {
        let other = session_names["bindings"][1][binding].as_str();
        agree("the output of both functions", queue[binding].as_str().unwrap_or_default(), other);
    }
    let service = sources.text("infra/main.bicep").split("azdService: '").nth(1);
    let service = service.and_then(|rest| rest.split('\'').next()).unwrap_or_default();
    let azure_yaml = sources.text("azure.yaml").lines();
    let in_azure_yaml =
        azure_yaml.skip_while(|line| *line != "services:").nth(1).and_then(|line| line.trim().strip_suffix(':'));
    agree("azd's service", service, in_azure_yaml);

    // azd creates and publishes the same package as the script.
    let azure_yaml_value =
        |key: &str| sources.text("azure.yaml").lines().find_map(|line| line.trim().strip_prefix(key));
    agree("the folder that azd publishes", "target/package", azure_yaml_value("dist: "));
    let hook = "test -z \"$STANDBY_FUNCTION_APP_NAME\" || scripts/publish.sh --resource-group \"$AZURE_RESOURCE_GROUP\" --standby";
    let mut hooks = sources.text("azure.yaml").lines().filter_map(|line| line.trim().strip_prefix("run: "));
    agree("the hook that publishes to the standby", hook, hooks.next_back());
    for output in ["STANDBY_FUNCTION_APP_NAME", "AZURE_RESOURCE_GROUP"] {
        let exists = templates[0].outputs.iter().any(|(name, _)| name == output);
        agree("an output that a hook of azd reads", output, exists.then_some(output));
    }
    agree("the hook that creates the package", "scripts/package.sh --folder target/package", azure_yaml_value("run: "));
    faults
}

#[test]
fn the_package_is_what_the_host_starts() {
    let sources = Sources::read();
    let host = sources.json("host.json");
    assert_eq!(host["customHandler"]["description"]["defaultExecutablePath"], "devicestate");
    let local: Json = sources.json("local.settings.json");
    assert_eq!(local["Values"]["FUNCTIONS_WORKER_RUNTIME"], "custom", "Core Tools read the runtime from this file");
}
