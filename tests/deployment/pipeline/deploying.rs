//! The deployment scripts, run against a fake Azure.

use std::fs;

use super::azure::{APP, Azure, STANDBY};

/// Creates a package with this handler in its host.json, and these files.
fn package(azure: &Azure, name: &str, handler: &str, files: &[&str]) -> String {
    let folder = azure.path(name);
    fs::create_dir(&folder).expect("a folder in the temporary folder");
    let host = format!(r#"{{"customHandler":{{"description":{{"defaultExecutablePath":"{handler}"}}}}}}"#);
    fs::write(folder.join("host.json"), host).expect("a file in the temporary folder");
    for file in files {
        fs::write(folder.join(file), "").expect("a file in the temporary folder");
    }
    folder.display().to_string()
}

#[test]
fn core_tools_that_cannot_publish_custom_handlers_are_rejected() {
    for version in ["4.2.1", "4.0.5907", "3.0.9"] {
        let azure = Azure::deployed(&[]);
        azure.set("func-version", version);
        let package = package(&azure, "package", "devicestate", &["devicestate"]);
        let result = azure.run("publish.sh", &["--environment", "staging", "--package", &package]);
        result.assert(2, &[version, "newer than 4.2.1"]);
        assert_eq!(azure.log("func.log"), "", "nothing is published");
    }
}

#[test]
fn newer_core_tools_publish_the_package_as_a_custom_handler() {
    for version in ["4.2.2", "4.10.0", "5.0.0"] {
        let azure = Azure::deployed(&[]);
        azure.set("func-version", version);
        let package = package(&azure, "package", "devicestate", &["devicestate"]);
        azure.run("publish.sh", &["--environment", "staging", "--package", &package]).assert(0, &[]);
        assert_eq!(azure.log("func.log"), format!("{package}: azure functionapp publish {APP} --custom\n"));
    }
}

/// The standby reads no events yet, so a package that does not start does no harm there.
#[test]
fn with_two_regions_the_standby_is_published_to_before_the_first_region() {
    let azure = Azure::deployed(&[("STANDBY_FUNCTION_APP_NAME", STANDBY)]);
    let package = package(&azure, "package", "devicestate", &["devicestate"]);
    azure.run("publish.sh", &["--environment", "staging", "--package", &package]).assert(0, &[]);
    let published = |apps: &[&str]| {
        let lines = apps.iter().map(|app| format!("{package}: azure functionapp publish {app} --custom\n"));
        lines.collect::<String>()
    };
    assert_eq!(azure.log("func.log"), published(&[STANDBY, APP]));

    azure.set("func.log", "");
    azure.run("publish.sh", &["--environment", "staging", "--standby", "--package", &package]).assert(0, &[]);
    assert_eq!(azure.log("func.log"), published(&[STANDBY]), "the first region is lost");

    azure.set("func.log", "");
    azure.run("publish.sh", &["--environment", "staging", "--first", "--package", &package]).assert(0, &[]);
    assert_eq!(azure.log("func.log"), published(&[APP]), "the standby is lost");
}

#[test]
fn a_package_that_the_standby_rejects_is_not_published_to_the_first_region() {
    let azure = Azure::deployed(&[("STANDBY_FUNCTION_APP_NAME", STANDBY)]);
    azure.set("refusals", "5\n");
    let package = package(&azure, "package", "devicestate", &["devicestate"]);
    let arguments = ["--environment", "staging", "--package", &package, "--every", "0"];
    azure.run("publish.sh", &arguments).assert(1, &[STANDBY]);
    assert!(!azure.log("func.log").contains(APP), "{}", azure.log("func.log"));
}

#[test]
fn a_missing_standby_is_an_error() {
    let azure = Azure::deployed(&[]);
    let package = package(&azure, "package", "devicestate", &["devicestate"]);
    let arguments = ["--environment", "staging", "--standby", "--package", &package];
    for script in ["publish.sh", "rollback.sh"] {
        azure.run(script, &arguments).assert(2, &["no second region", "standbyLocation"]);
    }
    assert_eq!(azure.log("func.log"), "");
}

#[test]
fn a_rejected_publish_is_retried_at_most_five_times() {
    for (refusals, code, tries) in [("4\n", 0, 5), ("5\n", 1, 5)] {
        let azure = Azure::deployed(&[]);
        azure.set("refusals", refusals);
        let package = package(&azure, "package", "devicestate", &["devicestate"]);
        let arguments = ["--environment", "staging", "--package", &package, "--every", "0"];
        azure.run("publish.sh", &arguments).assert(code, &[]);
        assert_eq!(azure.log("func.log").lines().count(), tries);
    }
}

/// azd uses its own deployment names, so a deployment is identified by its outputs.
#[test]
fn a_group_without_a_deployment_is_named() {
    let azure = Azure::deployed(&[]);
    azure.set("outputs.json", r#"{"name": {"type": "String", "value": "another"}}"#);
    azure.set("older.json", "{}");
    let package = package(&azure, "package", "devicestate", &["devicestate"]);
    let result = azure.run("publish.sh", &["--resource-group", "rg-mine", "--package", &package]);
    result.assert(2, &["no deployment of infra/main.bicep in rg-mine"]);
}

/// Core Tools would make no file executable.
#[test]
fn a_package_without_the_handler_of_its_host_json_is_not_published() {
    let azure = Azure::deployed(&[]);
    for (name, handler, files) in [
        ("misnamed", "handler", &["devicestate"][..]),
        ("unnamed", "", &["devicestate"]),
        ("missing", "devicestate", &[]),
    ] {
        let package = package(&azure, name, handler, files);
        let result = azure.run("publish.sh", &["--environment", "staging", "--package", &package]);
        result.assert(2, &[&package, "does not contain the handler"]);
    }
    azure.run("publish.sh", &["--environment", "staging", "--package", "nowhere"]).assert(2, &["scripts/package.sh"]);
    assert_eq!(azure.log("func.log"), "");
}

#[test]
fn a_bicep_version_that_cannot_build_the_templates_is_rejected() {
    let azure = Azure::deployed(&[]);
    azure.set("bicep-version", "Bicep CLI version 0.36.177 (0123456789)\n");
    azure.run("deploy-infra.sh", &["--environment", "staging"]).assert(2, &["0.36.177", "az bicep upgrade"]);
    assert!(!azure.log("az.log").contains("deployment group"), "nothing is deployed");
}

#[test]
fn a_rollback_publishes_the_given_package_and_runs_the_smoke_test() {
    let azure = Azure::deployed(&[("AZURE_FUNCTION_APP_HOST_NAME", "function-app.invalid")]);
    let good = package(&azure, "good", "devicestate", &["devicestate"]);
    let arguments = ["--environment", "production", "--package", "good", "--event", "{}", "--no-drill"];
    azure.run("rollback.sh", &arguments).assert(2, &["smoke-test.js: the option --event must contain"]);
    azure.set("func.log", "");
    let result = azure.run("rollback.sh", &["--environment", "production", "--package", "good", "--no-drill"]);
    assert_eq!(azure.log("func.log"), format!("{good}: azure functionapp publish {APP} --custom\n"));
    result.assert(2, &["smoke-test.js: the deployment has no output COSMOS_ENDPOINT"]);
}

#[test]
fn a_rollback_without_a_package_is_an_error() {
    let azure = Azure::deployed(&[]);
    azure.run("rollback.sh", &["--environment", "production"]).assert(2, &["--package DIR"]);
    assert_eq!(azure.log("func.log"), "");
}

#[test]
fn a_missing_resource_group_is_created_only_with_a_location() {
    let azure = Azure::deployed(&[]);
    azure.remove("group");
    azure.run("deploy-infra.sh", &["--environment", "staging"]).assert(2, &["--location REGION"]);
    let preview = azure.run("deploy-infra.sh", &["--environment", "staging", "--what-if"]);
    preview.assert(0, &[]);
    assert!(preview.stdout.contains("all of infra/main.bicep would be new"), "{}", preview.stdout);
    assert!(!azure.log("az.log").contains("create"), "nothing is created: {}", azure.log("az.log"));

    azure.run("deploy-infra.sh", &["--environment", "staging", "--location", "westeurope"]).assert(0, &[]);
    let log = azure.log("az.log");
    let group = log.find("group create --name rg-devicestate-staging --location westeurope").expect("a group");
    let deployment = log.find("deployment group create --resource-group rg-devicestate-staging").expect("a deployment");
    assert!(group < deployment, "{log}");
}

#[test]
fn a_preview_changes_nothing_and_uses_the_parameters_of_the_environment() {
    let azure = Azure::deployed(&[]);
    azure.run("deploy-infra.sh", &["--environment", "production", "--what-if"]).assert(0, &[]);
    let log = azure.log("az.log");
    assert!(!log.contains("create"), "{log}");
    for words in ["what-if", "rg-devicestate-production", "--parameters infra/production.bicepparam"] {
        assert!(log.contains(words), "{words:?} is not in: {log}");
    }
}

#[test]
fn an_environment_without_parameters_is_an_error() {
    let azure = Azure::deployed(&[]);
    azure.run("deploy-infra.sh", &["--environment", "stagnig"]).assert(2, &["infra/stagnig.bicepparam"]);
}

#[test]
fn another_resource_group_needs_its_own_parameters() {
    let azure = Azure::deployed(&[]);
    azure.set("mine.bicepparam", "");
    azure.run("deploy-infra.sh", &["--resource-group", "rg-mine"]).assert(2, &["--parameters FILE"]);
    azure.run("deploy-infra.sh", &["--resource-group", "rg-mine", "--parameters", "mine.bicepparam"]).assert(0, &[]);
    let package = package(&azure, "package", "devicestate", &["devicestate"]);
    azure.run("publish.sh", &["--resource-group", "rg-mine", "--package", &package]).assert(0, &[]);
    azure.run("publish.sh", &["--package", &package]).assert(2, &["--environment NAME", "--resource-group GROUP"]);
    let log = azure.log("az.log");
    for words in
        ["deployment group create --resource-group rg-mine", "mine.bicepparam", "group list --resource-group rg-mine"]
    {
        assert!(log.contains(words), "{words:?} is not in: {log}");
    }
}

#[test]
fn every_script_describes_its_options_and_rejects_others() {
    let azure = Azure::deployed(&[]);
    for script in ["deploy-infra.sh", "publish.sh", "smoke-test.js", "rollback.sh", "rewind-checkpoints.sh"] {
        let help = azure.run(script, &["--help"]);
        help.assert(0, &[]);
        for part in ["Usage: scripts/", "--environment NAME", "Example", "Exit codes"] {
            assert!(help.stdout.contains(part), "{part:?} is not in the help of {script}: {}", help.stdout);
        }
        azure.run(script, &["--slot", "x"]).assert(2, &["unknown option --slot", "--help"]);

        let options: Vec<_> = help.stdout.lines().filter_map(|line| line.strip_prefix("  --")).collect();
        assert!(options.len() >= 3, "{options:?}");
        for option in options {
            let mut words = option.split(' ');
            let name = format!("--{}", words.next().expect("a name"));
            let value = words.next().filter(|word| !word.is_empty());
            let words: Vec<_> = [name.as_str()].into_iter().chain(value.map(|_| "1")).chain(["--slot"]).collect();
            azure.run(script, &words).assert(2, &["unknown option --slot"]);
            if value.is_some() {
                azure.run(script, &[&name]).assert(2, &[&format!("the option {name} needs a value")]);
            }
        }
    }
}

#[test]
fn all_scripts_use_the_same_resource_group() {
    let azure = Azure::deployed(&[]);
    azure.run("deploy-infra.sh", &["--environment", "staging"]).assert(0, &[]);
    let package = package(&azure, "package", "devicestate", &["devicestate"]);
    azure.run("publish.sh", &["--environment", "staging", "--package", &package]).assert(0, &[]);
    let log = azure.log("az.log");
    let groups: Vec<_> = log
        .lines()
        .filter_map(|line| line.strip_prefix("deployment group "))
        .map(|line| line.split(' ').skip(1).take(2).collect::<Vec<_>>())
        .collect();
    assert!(groups.len() >= 2, "{log}");
    assert!(groups.iter().all(|group| *group == groups[0]), "{groups:?}");
}
