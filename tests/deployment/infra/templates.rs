//! infra/ is valid for Bicep and Azure, as far as that can be checked without them.

use std::collections::BTreeSet;

use super::{
    bicep::{Param, Template, Value, to_source},
    resource_types,
    sources::{Sources, assert_detected, assert_no_faults},
};

/// The width of lines of `bicep format`.
const WIDTH: usize = 120;

/// Parameters of modules that do not come from the caller's parameter of the same name: file, module and parameter.
const OTHER_VALUES: [[&str; 3]; 8] = [
    ["main", "iotHub", "operatorPrincipalIds"],
    ["main", "documents", "operatorPrincipalIds"],
    ["main", "documents", "zoneRedundant"],
    ["main", "region", "operatorPrincipalIds"],
    ["main", "region", "senderPrincipalIds"],
    ["main", "region", "privateFunctionApp"],
    ["region", "functionApp", "zoneRedundant"],
    ["function-app", "endpoint", "subnetId"],
];

/// The built-in names of Bicep.
const BUILT_IN: [&str; 2] = ["az", "sys"];

#[test]
fn every_file_is_valid_bicep() {
    assert_no_faults(&syntax_errors(&Sources::read()));
}

#[test]
fn invalid_bicep_is_detected() {
    let sources = Sources::read().with("infra/modules/monitoring.bicep", "'PerGB2018' }", "'PerGB2018'");
    assert!(!syntax_errors(&sources).is_empty());
}

#[test]
fn every_name_is_declared_and_every_declaration_is_used() {
    assert_no_faults(&naming_faults(&Sources::read()));
}

#[test]
fn undeclared_names_and_unused_declarations_are_detected() {
    let sources =
        Sources::read().with("infra/modules/event-hubs.bicep", "minimumTlsVersion: '1.2'", "minimumTlsVersion: tls");
    assert_detected(&naming_faults(&sources), "tls is not declared");
    let sources = Sources::read().with("infra/main.bicep", "string(storeConcurrency)", "'32'");
    assert_detected(&naming_faults(&sources), "storeConcurrency is not used");
    let sources = Sources::read().with("infra/main.bicep", "documents.outputs.endpoint", "documents.outputs.endpont");
    assert_detected(&naming_faults(&sources), "documents has no output endpont");
    let sources =
        Sources::read().with("infra/main.bicep", "region[1].outputs.workspaceId", "region[1].outputs.worksId");
    assert_detected(&naming_faults(&sources), "region has no output worksId");
}

#[test]
fn every_module_gets_exactly_its_parameters() {
    assert_no_faults(&module_parameters(&Sources::read()));
}

#[test]
fn missing_and_unknown_parameters_are_detected() {
    let sources = Sources::read().with("infra/main.bicep", "    sku: iotHubSku\n", "    edition: iotHubSku\n");
    let faults = module_parameters(&sources);
    assert_detected(&faults, "iotHub has no parameter edition");
    assert_detected(&faults, "iotHub is not given sku");
    let sources = Sources::read().with("infra/main.bicep", "      withHub: place.withHub\n", "");
    assert_detected(&module_parameters(&sources), "region is not given withHub");
}

#[test]
fn every_module_gets_its_parameters_from_those_of_the_same_names() {
    assert_no_faults(&values_of_other_names(&Sources::read()));
    for (file, from, to, words) in [
        ("main", "auditLogs: auditLogs", "auditLogs: false", "region.auditLogs"),
        ("main", "consumerGroup: consumerGroup\n    p", "consumerGroup: hubName\n    p", "iotHub.consumerGroup"),
        ("main", "throughputUnits: throughputUnits", "throughputUnits: maximumThroughputUnits", "throughputUnits"),
        ("modules/region", "blobZoneId: blobZoneId", "blobZoneId: queueZoneId", "blobZoneId"),
        ("modules/region", "retentionHours: retentionHours", "retentionHours: 24", "alerts.retentionHours"),
        (
            "modules/documents",
            "location: location\n    tags: tags\n    t",
            "location: name\n    tags: tags\n    t",
            "location",
        ),
    ] {
        assert_detected(&values_of_other_names(&Sources::read().with_template(file, from, to)), words);
    }
}

#[test]
fn every_parameter_and_every_output_of_a_module_is_described() {
    let templates = Sources::read().templates();
    let silent: Vec<String> = templates
        .iter()
        .flat_map(|template| {
            let params = template.params.iter().filter(|param| !param.is_described);
            // The outputs of the main template need no description: azd and the scripts use their names.
            let outputs = template.silent_outputs.iter().filter(|_| !template.path.ends_with("main.bicep"));
            let names = params.map(|param| &param.name).chain(outputs);
            names.map(|name| format!("{}: {name} has no description", template.path.display()))
        })
        .collect();
    assert_no_faults(&silent);
}

#[test]
fn every_resource_is_valid_by_azures_types() {
    assert_no_faults(&resource_types::faults(&Sources::read()));
}

#[test]
fn an_invalid_property_is_detected() {
    let changed = |path: &str, from: &str, to: &str| resource_types::faults(&Sources::read().with(path, from, to));
    assert_detected(
        &changed("infra/modules/documents.bicep", "disableLocalAuth", "disableLocalAuht"),
        "disableLocalAuht",
    );
    assert_detected(&changed("infra/modules/documents.bicep", "'Session'", "'session'"), "session");
    assert_detected(&changed("infra/modules/function-app.bicep", "name: 'custom'", "names: 'custom'"), "names");
    assert_detected(&changed("infra/modules/host-storage.bicep", "  kind: 'StorageV2'\n", ""), "needs kind");
    assert_detected(&changed("infra/modules/dead-letters.bicep", "@2025-01-01", "@2025-01-11"), "2025-01-11");
    assert_detected(
        &changed("infra/modules/network.bicep", "/virtualNetworkLinks@", "/virtualNetworkLink@"),
        "virtualNetworkLink",
    );
    assert_detected(
        &changed("infra/modules/event-hubs.bicep", "capacity: throughputUnits", "capacity: 'one'"),
        "capacity",
    );
}

#[test]
fn every_line_is_broken_as_the_formatter_of_bicep_does() {
    assert_no_faults(&formatting_faults(&Sources::read()));
}

#[test]
fn a_line_that_the_formatter_of_bicep_would_change_is_detected() {
    let long = Sources::read().with(
        "infra/main.bicep",
        "string = hasTwoStreams\n  ? '${alias}",
        "string = hasTwoStreams ? '${alias}",
    );
    let long = long.with("infra/main.bicep", ".windows.net'\n  : region[0]", ".windows.net' : region[0]");
    assert_detected(&formatting_faults(&long), "is longer");
    let short = Sources::read().with(
        "infra/main.bicep",
        "empty(retryDrillDevice) ? {} : ",
        "empty(retryDrillDevice)\n  ? {}\n  : ",
    );
    assert_detected(&formatting_faults(&short), "fits in a line");
}

#[test]
fn parameter_files_set_only_existing_parameters() {
    assert_no_faults(&parameter_files(&Sources::read()));
    let sources = Sources::read().with("infra/staging.bicepparam", "param retryDrillDevice", "param retryDrilDevice");
    assert_detected(&parameter_files(&sources), "retryDrilDevice");
    let sources = Sources::read().with("infra/staging.bicepparam", "zoneRedundant = false", "zoneRedundant = 'no'");
    assert_detected(&parameter_files(&sources), "zoneRedundant cannot be 'no'");
}

fn syntax_errors(sources: &Sources) -> Vec<String> {
    sources.templates().into_iter().flat_map(|template| template.syntax_errors).collect()
}

/// Returns the lines that `bicep format` would break, or join. It changes neither texts nor comments.
fn formatting_faults(sources: &Sources) -> Vec<String> {
    let mut faults = Vec::new();
    for path in sources.paths("bicep") {
        let path = path.to_str().expect("a path");
        let lines: Vec<&str> = sources.text(path).lines().collect();
        for (index, line) in lines.iter().enumerate() {
            let at = format!("{path}:{}", index + 1);
            let (before, after) = (line.split('\'').next().unwrap_or(line), line.rsplit('\'').next().unwrap_or(line));
            let may_break = [before, after].iter().any(|code| code.contains(" ? ") || code.contains(", "));
            if line.chars().count() > WIDTH && may_break && !line.trim_start().starts_with("//") {
                faults.push(format!("{at} is longer than {WIDTH} columns"));
            }
            if let [condition, yes, no] = lines[index.saturating_sub(1)..lines.len().min(index + 2)]
                && yes.trim_start().starts_with("? ")
                && no.trim_start().starts_with(": ")
                && !no.ends_with('{')
                && format!("{condition} {} {}", yes.trim(), no.trim()).chars().count() <= WIDTH
            {
                faults.push(format!("{at} fits in a line with its condition"));
            }
        }
    }
    faults
}

fn naming_faults(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let mut faults = Vec::new();
    for template in &templates {
        let path = template.path.display();
        let declared: BTreeSet<&str> = declared(template).collect();
        let known = |name: &str| declared.contains(name) || template.locals.contains(name) || BUILT_IN.contains(&name);
        faults.extend(
            template
                .references
                .iter()
                .filter(|(name, _)| !known(name))
                .map(|(name, line)| format!("{path}:{line}: {name} is not declared")),
        );
        let used: BTreeSet<&str> = template.references.iter().map(|(name, _)| name.as_str()).collect();
        let params = template.params.iter().map(|param| param.name.as_str());
        let variables = template.variables.iter().map(|(name, _)| name.as_str());
        faults.extend(
            params
                .chain(variables)
                .filter(|name| !used.contains(name))
                .map(|name| format!("{path}: {name} is not used")),
        );
        for (module, output) in &template.module_outputs {
            let Some(module) = template.module(module) else { continue };
            let target = templates.iter().find(|template| template.path == module.path);
            if !target.is_some_and(|target| target.outputs.iter().any(|(name, _)| name == output)) {
                faults.push(format!("{path}: {} has no output {output}", module.symbol));
            }
        }
    }
    faults
}

fn declared(template: &Template) -> impl Iterator<Item = &str> {
    let params = template.params.iter().map(|param| param.name.as_str());
    let variables = template.variables.iter().map(|(name, _)| name.as_str());
    let resources = template.resources.iter().map(|resource| resource.symbol.as_str());
    params.chain(variables).chain(resources).chain(template.modules.iter().map(|module| module.symbol.as_str()))
}

fn module_parameters(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let mut faults = Vec::new();
    for template in &templates {
        for module in &template.modules {
            let at = format!("{}: module {}", template.path.display(), module.symbol);
            let Some(target) = templates.iter().find(|template| template.path == module.path) else {
                faults.push(format!("{at}: {} does not exist", module.path.display()));
                continue;
            };
            let has = |name: &str| target.param(name).is_some();
            let set = module.params.properties();
            faults.extend(
                set.iter().filter(|(name, _)| !has(name)).map(|(name, _)| format!("{at} has no parameter {name}")),
            );
            let required = target.params.iter().filter(|param| param.default.is_none());
            faults.extend(
                required
                    .filter(|param| module.params.get(&param.name).is_none())
                    .map(|param| format!("{at} is not given {}", param.name)),
            );
        }
    }
    faults
}

/// Returns the parameters of modules whose values do not name the caller's parameter or variable of the same name.
fn values_of_other_names(sources: &Sources) -> Vec<String> {
    let mut faults = Vec::new();
    let templates = sources.templates();
    for template in &templates {
        let file = template.name();
        for module in &template.modules {
            for (name, value) in module.params.properties() {
                let source = to_source(value);
                let mut words = source.split(|letter: char| !letter.is_alphanumeric());
                let is_expected = !declared(template).any(|own| own == name) || words.any(|word| word == name);
                if !is_expected && !OTHER_VALUES.contains(&[file, module.symbol.as_str(), name.as_str()]) {
                    faults.push(format!("{file}: {}.{name} is {source}", module.symbol));
                }
            }
        }
    }
    faults
}

fn parameter_files(sources: &Sources) -> Vec<String> {
    let templates = sources.templates();
    let main = &templates[0];
    let mut set: Vec<(String, String)> = Vec::new();
    let mut report = Vec::new();
    // The grammar does not support parameter files, but their lines `param name = value` are sufficient.
    for path in sources.paths("bicepparam") {
        let path = path.to_str().expect("a path");
        let lines = sources.text(path).lines().filter_map(|line| line.strip_prefix("param ")?.split_once(" = "));
        for (name, value) in lines {
            set.push((path.to_owned(), name.to_owned()));
            let param = main.param(name);
            if param.is_some_and(|param| !may_be(value, param)) {
                report.push(format!("{path}: {name} cannot be {value}"));
            }
        }
    }
    let mut faults: Vec<String> = set
        .iter()
        .filter(|(_, name)| main.param(name).is_none())
        .map(|(path, name)| format!("{path}: {} has no parameter {name}", main.path.display()))
        .collect();
    faults.append(&mut report);
    faults
}

/// Returns whether a literal of a parameter file has the parameter's type and is allowed. Other expressions are not checked.
fn may_be(literal: &str, param: &Param) -> bool {
    let text = literal.strip_prefix('\'').and_then(|literal| literal.strip_suffix('\''));
    match (&param.default, text) {
        (Some(Value::Bool(_)), text) => text.is_none() && literal.parse::<bool>().is_ok(),
        (Some(Value::Number(_)), text) => text.is_none() && literal.parse::<i64>().is_ok(),
        (_, Some(text)) => is_allowed(text, &param.allowed),
        (_, None) => true,
    }
}

/// Returns whether a parameter's decorator allows this value.
fn is_allowed(text: &str, allowed: &[String]) -> bool {
    allowed.is_empty() || allowed.iter().any(|value| value == text)
}
