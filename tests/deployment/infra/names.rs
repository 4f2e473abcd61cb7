//! Names and ids that stand in more than one place, or in Azure.

use serde_json::Value as Json;

use super::{
    app_settings::{EventSource, app_settings},
    bicep::{Resource, Template, Value},
    sources::{Sources, assert_none, assert_noticed},
};

/// Azure's built-in roles: the ids are the same in every subscription.
const BUILT_IN_ROLES: [(&str, &str); 10] = [
    ("eventHubsDataReceiver", "a638d3c7-ab3a-418d-83e6-5f17a39d4fde"),
    ("eventHubsDataSender", "2b629674-e913-4c01-ae53-ef4638d8f975"),
    ("keyVaultSecretsUser", "4633458b-17de-408a-b874-0445c86b69e6"),
    ("logAnalyticsReader", "73c42c96-874c-492b-b04d-ab87d138a893"),
    ("monitoringMetricsPublisher", "3913510d-42f4-4e42-8a64-420c390055eb"),
    ("storageBlobDataContributor", "ba92f5b4-2d11-453d-a403-e96b0029c9fe"),
    ("storageBlobDataOwner", "b7e6dc6d-f1e8-4753-8033-0f276bb0955b"),
    ("storageQueueDataContributor", "974c5e8b-45b9-4653-ba55-5f855dd0fb88"),
    ("storageQueueDataMessageSender", "c6a89b2d-59bc-44d0-9896-0f6e12d7b80a"),
    ("storageTableDataContributor", "0a9a7e1f-b9d0-4cc4-a60d-0319b160aaa3"),
];

/// Data actions of Cosmos DB that the handler needs: the two of its client's start, and one for each store operation.
const STATE_WRITER: [&str; 4] = [
    "Microsoft.DocumentDB/databaseAccounts/readMetadata",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/create",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/read",
    "Microsoft.DocumentDB/databaseAccounts/sqlDatabases/containers/items/replace",
];

/// Cosmos DB Built-in Data Reader.
const COSMOS_READER: &str = "00000000-0000-0000-0000-000000000001";

#[test]
fn every_role_is_one_that_azure_has() {
    assert_none(&roles(&Sources::read()));
}

#[test]
fn every_role_id_that_is_misspelled_is_noticed() {
    for (name, id) in BUILT_IN_ROLES {
        let misspelled = id.replacen(&id[..1], "9", 1).replacen("-4", "-5", 1);
        assert_noticed(&roles(&Sources::read().with("infra/roles.json", id, &misspelled)), name);
    }
    let misspelled =
        Sources::read().with("infra/modules/documents.bicep", COSMOS_READER, "00000000-0000-0000-0000-000000000003");
    assert_noticed(&roles(&misspelled), "Data Reader");
    let misspelled = Sources::read().with("infra/modules/documents.bicep", "items/replace", "item/replace");
    assert_noticed(&roles(&misspelled), "item/replace");
    let misspelled = Sources::read().with(
        "infra/modules/host-storage.bicep",
        "roles.storageBlobDataOwner",
        "roles.storageBlobOwner",
    );
    assert_noticed(&roles(&misspelled), "storageBlobOwner");
}

#[test]
fn names_agree_wherever_they_stand() {
    assert_none(&names(&Sources::read()));
}

#[test]
fn every_name_that_is_misspelled_is_noticed() {
    let changed = |path: &str, from: &str, to: &str| names(&Sources::read().with(path, from, to));
    let function = "RawTelemetryFunction/function.json";
    assert_noticed(&changed(function, "\"messages\"", "\"mesages\""), "mesages");
    assert_noticed(&changed(function, "deadLetterMessages", "deadLetterMesages"), "deadLetterMesages");
    assert_noticed(&changed(function, "deadletterqueue", "deadleterqueue"), "deadleterqueue");
    assert_noticed(
        &changed("infra/modules/dead-letters.bicep", "'deadletterqueue'", "'deadletters'"),
        "deadletterqueue",
    );
    assert_noticed(&changed("infra/main.bicep", "var hubName = 'telemetry'", "var hubName = 'telemtry'"), "telemtry");
    assert_noticed(
        &changed("infra/main.bicep", "'devicestate'\nvar usesIotHub", "'devicestat'\nvar usesIotHub"),
        "devicestat",
    );
    assert_noticed(
        &changed("infra/modules/function-app.bicep", "function:RawTelemetryFunction", "function:RawTelemetry"),
        "RawTelemetry",
    );
    assert_noticed(&changed("infra/modules/documents.bicep", "paths: ['/id']", "paths: ['/Id']"), "/Id");
    assert_noticed(&changed("emulators/event-hubs.json", "devicestate", "devicestates"), "devicestates");
    assert_noticed(&changed("azure.yaml", "  handler:", "  handlers:"), "handlers");
}

fn resources(templates: &[Template]) -> impl Iterator<Item = &Resource> {
    templates.iter().flat_map(|template| &template.resources)
}

fn roles(sources: &Sources) -> Vec<String> {
    let file = sources.json("infra/roles.json");
    let written = file.as_object().expect("an object of roles");
    let mut faults = Vec::new();
    for (name, id) in written {
        if !BUILT_IN_ROLES.iter().any(|(own, own_id)| own == name && id == own_id) {
            faults.push(format!("infra/roles.json: {name} is not {id}"));
        }
    }
    let templates = sources.templates();
    for resource in resources(&templates).filter(|resource| !resource.is_existing) {
        let properties = resource.body.get("properties");
        let property = |name: &str| properties.and_then(|properties| properties.get(name));
        let mut fault = |text: String| faults.push(format!("{}: {text}", resource.symbol));
        if resource.type_name.starts_with("Microsoft.Authorization/roleAssignments@") {
            // The same role in the name and in the assignment: else a second deployment would be refused.
            let of = |value: Option<&Value>| match value {
                Some(Value::Call(_, arguments)) => arguments.last().cloned(),
                _ => None,
            };
            let (in_name, assigned) = (of(resource.body.get("name")), of(property("roleDefinitionId")));
            if in_name != assigned {
                fault(format!("its name is made of {in_name:?} and it assigns {assigned:?}"));
            }
            match &assigned {
                Some(Value::Other(role))
                    if role.strip_prefix("roles.").is_some_and(|role| written.contains_key(role)) => {}
                _ => fault(format!("{assigned:?} is no role of infra/roles.json")),
            }
        } else if resource.type_name.contains("/sqlRoleAssignments@") {
            match property("roleDefinitionId") {
                Some(Value::Other(role))
                    if role == "stateWriter.id" || role.ends_with(&format!("/{COSMOS_READER}'")) => {}
                other => fault(format!("{other:?} is neither the state writer nor the Built-in Data Reader")),
            }
        } else if resource.type_name.contains("/sqlRoleDefinitions@") {
            let text = format!("{:?}", property("permissions"));
            let mut actions: Vec<&str> = text.split('"').filter(|part| part.starts_with("Microsoft.")).collect();
            actions.sort_unstable();
            if actions != STATE_WRITER {
                fault(format!("{actions:?} are not what the handler needs"));
            }
        }
    }
    faults
}

fn names(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let function = sources.json("RawTelemetryFunction/function.json");
    let settings = app_settings(&templates, EventSource::EventHubs);
    let mut faults = Vec::new();
    let mut agree = |what: &str, one: &str, other: Option<&str>| {
        if other != Some(one) {
            faults.push(format!("{what}: {one:?} in one place, {other:?} in another"));
        }
    };
    let named = |type_name: &str| {
        let name = |resource: &Resource| resource.body.get("name").and_then(Value::text).map(str::to_owned);
        resources(&templates).find(|resource| resource.type_name.starts_with(type_name)).and_then(name)
    };

    // The binding names are the reference's, whose readers and tools know them.
    let (trigger, queue) = (&function["bindings"][0], &function["bindings"][1]);
    agree("the trigger's name", "messages", trigger["name"].as_str());
    agree("the output's name", "deadLetterMessages", queue["name"].as_str());
    let queues = named("Microsoft.Storage/storageAccounts/queueServices/queues@");
    agree("the queue", queue["queueName"].as_str().unwrap_or_default(), queues.as_deref());
    let container = named("Microsoft.Storage/storageAccounts/blobServices/containers@");
    agree("the container of dead letters", &settings["DeadLetterContainer"], container.as_deref());

    let local = sources.json("local.settings.json");
    for name in ["EventHubName", "EventHubConsumerGroup", "CosmosDatabase", "CosmosContainer", "StateStore"] {
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

    let app = text_of(&templates, "function-app.bicep", sources);
    let always_ready = app.split("'function:").nth(1).and_then(|rest| rest.split('\'').next());
    agree("the function that is always ready", "RawTelemetryFunction", always_ready);
    let service =
        app.split("'azd-service-name': '").nth(1).and_then(|rest| rest.split('\'').next()).unwrap_or_default();
    let azure_yaml = sources.text("azure.yaml").lines();
    let in_azure_yaml =
        azure_yaml.skip_while(|line| *line != "services:").nth(1).and_then(|line| line.trim().strip_suffix(':'));
    agree("azd's service", service, in_azure_yaml);

    let documents = resources(&templates).find(|resource| resource.type_name.contains("/sqlDatabases/containers@"));
    let key = documents
        .and_then(|container| container.body.get("properties")?.get("resource")?.get("partitionKey")?.get("paths"));
    if key != Some(&Value::List(vec![Value::Text("/id".into())])) {
        faults.push(format!("the partition key is {key:?}"));
    }
    faults
}

fn text_of<'a>(templates: &[Template], file: &str, sources: &'a Sources) -> &'a str {
    let template = templates.iter().find(|template| template.path.ends_with(file)).expect("the module");
    sources.text(template.path.to_str().expect("a path"))
}

#[test]
fn the_package_is_what_the_host_starts() {
    let sources = Sources::read();
    let host = sources.json("host.json");
    assert_eq!(host["customHandler"]["description"]["defaultExecutablePath"], "devicestate");
    let runtime = resources(&sources.templates())
        .find(|resource| resource.type_name.starts_with("Microsoft.Web/sites@"))
        .and_then(|app| app.body.get("properties")?.get("functionAppConfig")?.get("runtime")?.get("name").cloned());
    assert_eq!(runtime, Some(Value::Text("custom".into())));
    let local: Json = sources.json("local.settings.json");
    assert_eq!(local["Values"]["FUNCTIONS_WORKER_RUNTIME"], "custom", "Core Tools read it here");
}
