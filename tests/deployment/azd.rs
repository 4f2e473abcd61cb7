//! What azd reads, the pipelines that `azd pipeline config` finds, and the dev container: their names and versions agree. Nothing
//! is run.

use std::collections::BTreeSet;

use devicestate_test_support::repository_file;
use serde_json::{Value, json};

use crate::{
    github::DEPLOY,
    pipeline::{
        calls::{call_errors, calls, commands, file, objects, paths_in},
        yaml::read,
    },
};

const AZDO: &str = ".azdo/pipelines/azure-dev.yml";
const PARAMETERS: &str = "infra/main.parameters.json";

/// Members of azure.yaml that this project may use, from azd's schema (v1.0), which no package publishes. azd ignores others.
const MEMBERS: [(&str, &[&str]); 5] = [
    ("", &["hooks", "infra", "metadata", "name", "pipeline", "requiredVersions", "services", "workflows"]),
    ("/metadata", &["template"]),
    ("/requiredVersions", &["azd", "extensions"]),
    ("/infra", &["layers", "module", "path", "provider"]),
    ("/services/handler", &["dist", "env", "hooks", "host", "language", "module", "project", "resourceName", "uses"]),
];
/// The service's events, and the members of a hook.
const HOOKS: [&str; 10] = [
    "predeploy",
    "postdeploy",
    "prerestore",
    "postrestore",
    "prebuild",
    "postbuild",
    "prepackage",
    "postpackage",
    "prepublish",
    "postpublish",
];
const HOOK: [&str; 7] = ["continueOnError", "interactive", "posix", "run", "secrets", "shell", "windows"];

fn azure_yaml_errors(azure: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    let mut check = |path: &str, known: &[&str]| {
        let members = azure.pointer(path).and_then(Value::as_object).into_iter().flat_map(|members| members.keys());
        errors.extend(members.filter(|name| !known.contains(&name.as_str())).map(|name| format!("{path}/{name}")));
    };
    for (path, known) in MEMBERS {
        check(path, known);
    }
    check("/services/handler/hooks", &HOOKS);
    for hook in HOOKS {
        check(&format!("/services/handler/hooks/{hook}"), &HOOK);
    }
    let template = format!("devicestate@{}", env!("CARGO_PKG_VERSION"));
    if azure["metadata"]["template"] != template.as_str() {
        errors.push(format!("the template is not {template}"));
    }
    // 1.23.4 was the first that takes an array from a setting; `language: custom` is older.
    let required = azure["requiredVersions"]["azd"].as_str().and_then(|range| range.strip_prefix(">= "));
    let version: Vec<u32> = required.unwrap_or("0").split('.').map(|part| part.parse().unwrap_or(0)).collect();
    if version < vec![1, 23, 4] {
        errors.push(format!("azd {required:?} is too old"));
    }
    errors.extend(call_errors(&calls(&commands(azure))));
    errors
}

#[test]
fn azure_yaml_has_known_members_this_version_and_an_azd_that_takes_arrays() {
    let azure = read("azure.yaml");
    assert_eq!(azure_yaml_errors(&azure), Vec::<String>::new());
    assert_eq!(calls(&commands(&azure)).len(), 2);
    for (path, value, expected) in [
        ("/requiredVersion", json!({}), "/requiredVersion"),
        ("/services/handler/distribution", json!("target"), "/services/handler/distribution"),
        ("/services/handler/hooks/prepackaging", json!({}), "/services/handler/hooks/prepackaging"),
        ("/services/handler/hooks/prepackage/script", json!("x"), "/services/handler/hooks/prepackage/script"),
        (
            "/services/handler/hooks/prepackage/run",
            json!("scripts/package.sh --into x"),
            "scripts/package.sh has no option --into",
        ),
        ("/metadata/template", json!("devicestate@0.0.9"), "the template is not devicestate@"),
        ("/requiredVersions/azd", json!(">= 1.20.0"), "is too old"),
        ("/requiredVersions", json!({}), "is too old"),
    ] {
        let mut planted = azure.clone();
        let (parent, name) = path.rsplit_once('/').expect("a path");
        planted.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object").insert(name.to_owned(), value);
        let errors = azure_yaml_errors(&planted);
        assert!(errors.iter().any(|error| error.contains(expected)), "{path}: {errors:?}");
    }
}

/// Returns the settings that azd reads from the environment: its own, and this project's.
fn settings(parameters: &str) -> BTreeSet<String> {
    let names = parameters.split("${").skip(1).filter_map(|rest| rest.split(['=', '}']).next());
    // azd gets it from the login.
    names.filter(|name| *name != "AZURE_PRINCIPAL_ID").map(str::to_owned).collect()
}

/// Returns the settings that GitHub's workflow does not pass to azd under their own names, and those that no parameter has.
fn setting_faults(parameters: &str, workflow: &Value) -> Vec<String> {
    let settings = settings(parameters);
    let is_missing = |name: &&String| workflow["env"][name.as_str()] != format!("${{{{ vars.{name} }}}}");
    let unused = workflow["env"].as_object().into_iter().flat_map(|env| env.keys());
    let unused = unused.filter(|name| name.starts_with("DEVICESTATE_") && !settings.contains(*name));
    settings.iter().filter(is_missing).chain(unused).cloned().collect()
}

/// Azure Pipelines passes all variables by itself.
#[test]
fn github_passes_exactly_the_settings_of_the_parameters_to_azd() {
    let (parameters, workflow) = (file(PARAMETERS), read(DEPLOY));
    assert!(settings(&parameters).len() > 40);
    assert_eq!(setting_faults(&parameters, &workflow), Vec::<String>::new());
    let changed = parameters.replace("DEVICESTATE_SESSIONS", "DEVICESTATE_SESSION");
    assert_eq!(setting_faults(&changed, &workflow), ["DEVICESTATE_SESSION", "DEVICESTATE_SESSIONS"]);
    let mut planted = workflow.clone();
    planted["env"]["DEVICESTATE_SESSIONS"] = json!("${{ vars.DEVICESTATE_TELEMETRY }}");
    assert_eq!(setting_faults(&parameters, &planted), ["DEVICESTATE_SESSIONS"]);
    for name in ["AZURE_CLIENT_ID", "AZURE_TENANT_ID", "AZURE_SUBSCRIPTION_ID", "AZURE_RESOURCE_GROUP"] {
        assert_eq!(workflow["env"][name], format!("${{{{ vars.{name} }}}}"));
    }
    assert!(
        !read(AZDO).to_string().contains("$("),
        "a variable that does not exist would be passed on as the text $(NAME)"
    );
}

#[test]
fn both_pipelines_of_azd_do_the_same() {
    let deployments = [read(DEPLOY), read(AZDO)].map(|pipeline| {
        let mut commands = commands(&pipeline);
        commands.retain(|command| !command.starts_with("azd auth ") && !command.starts_with("azd config set auth."));
        // Azure DevOps installs Core Tools later or earlier: only for a standby region.
        commands.sort();
        commands
    });
    assert_eq!(deployments[0], deployments[1]);
    assert_eq!(call_errors(&calls(&deployments[1])), Vec::<String>::new());
    assert_eq!(calls(&deployments[1]).len(), 3, "{deployments:?}");
    for variables in [&read(DEPLOY)["env"], &read(AZDO)["variables"]] {
        assert_eq!(variables["AZD_ALPHA_ENABLE_LANGUAGE_CUSTOM"], "true");
    }
    let connections: BTreeSet<_> = objects(&read(AZDO))
        .into_iter()
        .filter_map(|object| object.get("azureSubscription").map(Value::to_string))
        .collect();
    assert_eq!(connections, ["\"azconnection\"".to_owned()].into(), "azd's name");
}

/// Files that install tools.
fn installers() -> Vec<(String, String)> {
    let mut paths = vec!["azure-pipelines.yml".to_owned()];
    paths.extend([".ci", ".azdo/pipelines", ".devcontainer", ".github/workflows"].into_iter().flat_map(paths_in));
    paths.into_iter().map(|path| (path.clone(), file(&path))).collect()
}

/// Returns where the word after `before` is not one of those expected, and how often it is.
fn differences(texts: &[(String, String)], before: &str, expected: &[&str]) -> (Vec<String>, usize) {
    let found: Vec<_> = texts
        .iter()
        .flat_map(|(path, text)| {
            let versions = text.split(before).skip(1).map(|rest| {
                let version = rest.trim_start_matches(['"', ' ']);
                version.split(|c: char| c.is_whitespace() || "\",}-".contains(c)).next().unwrap_or_default()
            });
            versions.map(move |version| (path, version))
        })
        .collect();
    let different = found.iter().filter(|(_, version)| !expected.contains(version));
    (different.map(|(path, version)| format!("{path}: {before}{version}")).collect(), found.len())
}

#[test]
fn every_pipeline_and_the_dev_container_install_the_same_versions() {
    let texts = installers();
    let core_tools = read("azure-pipelines.yml")["variables"]["coreTools"].as_str().expect("a version").to_owned();
    let toolchain = file("rust-toolchain.toml");
    let rust = toolchain.split("channel = \"").nth(1).and_then(|rest| rest.split('"').next()).expect("a version");
    let versions: [(&str, &[&str], usize); 7] = [
        ("azure-functions-core-tools@", &[&core_tools, "$(coreTools)"], 7),
        ("UseNode@1\n    inputs: { version: ", &["22.x"], 1),
        ("inputs: { version: ", &["22.x"], 4),
        ("node-version:", &["22"], 3),
        ("features/node:1\": { \"version\":", &["22"], 1),
        ("image: rust:", &[rust], 1),
        ("ubuntu-", &["24.04"], 7),
    ];
    for (before, expected, count) in versions {
        assert_eq!(differences(&texts, before, expected), (Vec::new(), count), "{before}");
    }
    let planted = [("ci.yml".to_owned(), "npm install --global azure-functions-core-tools@4.2.1\n".to_owned())];
    let (errors, _) = differences(&planted, "azure-functions-core-tools@", &[&core_tools]);
    assert_eq!(errors, ["ci.yml: azure-functions-core-tools@4.2.1"]);
    let planted = [("ci.yml".to_owned(), "with: { node-version: 20 }".to_owned())];
    assert_eq!(differences(&planted, "node-version:", &["22"]).0, ["ci.yml: node-version:20"]);
}

/// Properties of a dev container that this project may use, from its specification, whose schema no package publishes.
const CONTAINER: [&str; 15] = [
    "capAdd",
    "containerEnv",
    "containerUser",
    "customizations",
    "features",
    "forwardPorts",
    "hostRequirements",
    "image",
    "init",
    "mounts",
    "name",
    "onCreateCommand",
    "postCreateCommand",
    "remoteUser",
    "securityOpt",
];
/// The features of `azd up`, and their options.
const FEATURES: [(&str, &[&str]); 4] = [
    ("ghcr.io/azure/azure-dev/azd:0", &["version", "extensions"]),
    (
        "ghcr.io/devcontainers/features/azure-cli:1",
        &["version", "extensions", "installBicep", "bicepVersion", "installUsingPython"],
    ),
    ("ghcr.io/devcontainers/features/docker-in-docker:2", &["version", "moby"]),
    ("ghcr.io/devcontainers/features/node:1", &["version"]),
];

fn container_errors(container: &Value) -> Vec<String> {
    let members = container.as_object().expect("an object").keys();
    let mut errors: Vec<_> = members.filter(|name| !CONTAINER.contains(&name.as_str())).cloned().collect();
    let features = container["features"].as_object().expect("features");
    errors.extend(features.keys().filter(|name| FEATURES.iter().all(|(known, _)| name != known)).cloned());
    for (name, options) in FEATURES {
        let Some(given) = features.get(name).and_then(Value::as_object) else {
            errors.push(format!("no {name}"));
            continue;
        };
        errors.extend(
            given.keys().filter(|option| !options.contains(&option.as_str())).map(|option| format!("{name}: {option}")),
        );
    }
    if features.get(FEATURES[1].0).is_none_or(|options| options["installBicep"] != true) {
        errors.push("no Bicep".into());
    }
    if container["containerEnv"]["AZD_ALPHA_ENABLE_LANGUAGE_CUSTOM"] != "true" {
        errors.push("azd would refuse the language of azure.yaml".into());
    }
    errors
}

#[test]
fn the_dev_container_has_azd_az_with_bicep_docker_and_node() {
    let container = repository_file(".devcontainer/devcontainer.json");
    assert_eq!(container_errors(&container), Vec::<String>::new());
    for (path, value, expected) in [
        ("/postCreateCommands", json!("x"), "postCreateCommands"),
        ("/features/ghcr.io~1azure~1azure-dev~1azd:latest", json!({}), "ghcr.io/azure/azure-dev/azd:latest"),
        ("/features", json!({}), "no ghcr.io/azure/azure-dev/azd:0"),
        ("/features/ghcr.io~1devcontainers~1features~1azure-cli:1", json!({"bicep": true}), "azure-cli:1: bicep"),
        ("/features/ghcr.io~1devcontainers~1features~1azure-cli:1", json!({}), "no Bicep"),
        ("/containerEnv", json!({}), "the language of azure.yaml"),
    ] {
        let mut planted = container.clone();
        let (parent, name) = path.rsplit_once('/').expect("a path");
        let parent = planted.pointer_mut(parent).and_then(Value::as_object_mut).expect("an object");
        parent.insert(name.replace("~1", "/"), value);
        let errors = container_errors(&planted);
        assert!(errors.iter().any(|error| error.contains(expected)), "{path}: {errors:?}");
    }
    let extensions = container["customizations"]["vscode"]["extensions"].to_string();
    assert!(extensions.contains("\"ms-azuretools.azure-dev\""), "{extensions}");
}
