//! The scripts that change something on Azure, and what they would do there.

use std::fs;

use super::azure::{APP, Azure, STANDBY};

/// A package with this handler in its host.json, and these files besides.
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
fn core_tools_that_cannot_publish_custom_handlers_are_refused() {
    for version in ["4.2.1", "4.0.5907", "3.0.9"] {
        let azure = Azure::deployed(&[]);
        azure.knows("func-version", version);
        let package = package(&azure, "package", "devicestate", &["devicestate"]);
        let ended = azure.run("publish.sh", &["--environment", "staging", "--package", &package]);
        ended.assert(2, &[version, "newer than 4.2.1"]);
        assert_eq!(azure.log("func.log"), "", "nothing is published");
    }
}

#[test]
fn newer_core_tools_publish_the_package_as_a_custom_handler() {
    for version in ["4.2.2", "4.10.0", "5.0.0"] {
        let azure = Azure::deployed(&[]);
        azure.knows("func-version", version);
        let package = package(&azure, "package", "devicestate", &["devicestate"]);
        azure.run("publish.sh", &["--environment", "staging", "--package", &package]).assert(0, &[]);
        assert_eq!(azure.log("func.log"), format!("{package}: azure functionapp publish {APP} --custom\n"));
    }
}

/// Where nothing is read yet, nothing is lost by a package that does not come up.
#[test]
fn with_two_regions_the_package_is_published_to_the_standby_first_and_then_to_the_first() {
    let azure = Azure::deployed(&[("STANDBY_FUNCTION_APP_NAME", STANDBY)]);
    let package = package(&azure, "package", "devicestate", &["devicestate"]);
    azure.run("publish.sh", &["--environment", "staging", "--package", &package]).assert(0, &[]);
    let published = |apps: &[&str]| {
        let lines = apps.iter().map(|app| format!("{package}: azure functionapp publish {app} --custom\n"));
        lines.collect::<String>()
    };
    assert_eq!(azure.log("func.log"), published(&[STANDBY, APP]));

    azure.knows("func.log", "");
    azure.run("publish.sh", &["--environment", "staging", "--standby", "--package", &package]).assert(0, &[]);
    assert_eq!(azure.log("func.log"), published(&[STANDBY]), "the first one is lost");

    azure.knows("func.log", "");
    azure.run("publish.sh", &["--environment", "staging", "--first", "--package", &package]).assert(0, &[]);
    assert_eq!(azure.log("func.log"), published(&[APP]), "the standby is lost");
}

#[test]
fn a_package_that_the_standby_does_not_take_never_comes_to_the_app_that_reads() {
    let azure = Azure::deployed(&[("STANDBY_FUNCTION_APP_NAME", STANDBY)]);
    azure.knows("refusals", "5\n");
    let package = package(&azure, "package", "devicestate", &["devicestate"]);
    let arguments = ["--environment", "staging", "--package", &package, "--every", "0"];
    azure.run("publish.sh", &arguments).assert(1, &[STANDBY]);
    assert!(!azure.log("func.log").contains(APP), "{}", azure.log("func.log"));
}

#[test]
fn a_standby_that_there_is_not_is_told() {
    let azure = Azure::deployed(&[]);
    let package = package(&azure, "package", "devicestate", &["devicestate"]);
    let arguments = ["--environment", "staging", "--standby", "--package", &package];
    for script in ["publish.sh", "rollback.sh"] {
        azure.run(script, &arguments).assert(2, &["no second region", "standbyLocation"]);
    }
    assert_eq!(azure.log("func.log"), "");
}

#[test]
fn a_package_that_is_refused_while_roles_are_new_is_published_again_and_not_for_ever() {
    for (refusals, code, tries) in [("4\n", 0, 5), ("5\n", 1, 5)] {
        let azure = Azure::deployed(&[]);
        azure.knows("refusals", refusals);
        let package = package(&azure, "package", "devicestate", &["devicestate"]);
        let arguments = ["--environment", "staging", "--package", &package, "--every", "0"];
        azure.run("publish.sh", &arguments).assert(code, &[]);
        assert_eq!(azure.log("func.log").lines().count(), tries);
    }
}

/// azd has names of its own, so a deployment is known by what it tells.
#[test]
fn a_group_in_which_nothing_of_ours_was_deployed_is_pointed_out() {
    let azure = Azure::deployed(&[]);
    azure.knows("outputs.json", r#"{"name": {"type": "String", "value": "another"}}"#);
    azure.knows("older.json", "{}");
    let package = package(&azure, "package", "devicestate", &["devicestate"]);
    let ended = azure.run("publish.sh", &["--resource-group", "rg-mine", "--package", &package]);
    ended.assert(2, &["no deployment of infra/main.bicep in rg-mine"]);
}

/// Core Tools compare the names, and nothing would be executable.
#[test]
fn a_package_whose_handler_is_not_where_host_json_says_is_not_published() {
    let azure = Azure::deployed(&[]);
    for (name, handler, files) in [
        ("misnamed", "handler", &["devicestate"][..]),
        ("unnamed", "", &["devicestate"]),
        ("missing", "devicestate", &[]),
    ] {
        let package = package(&azure, name, handler, files);
        let ended = azure.run("publish.sh", &["--environment", "staging", "--package", &package]);
        ended.assert(2, &[&package, "does not hold the handler"]);
    }
    azure.run("publish.sh", &["--environment", "staging", "--package", "nowhere"]).assert(2, &["scripts/package.sh"]);
    assert_eq!(azure.log("func.log"), "");
}

#[test]
fn bicep_that_cannot_build_the_templates_is_refused() {
    let azure = Azure::deployed(&[]);
    azure.knows("bicep-version", "Bicep CLI version 0.36.177 (0123456789)\n");
    azure.run("deploy-infra.sh", &["--environment", "staging"]).assert(2, &["0.36.177", "az bicep upgrade"]);
    assert!(!azure.log("az.log").contains("deployment group"), "nothing is deployed");
}

#[test]
fn a_rollback_publishes_the_package_that_is_given_and_looks_whether_it_works() {
    let azure = Azure::deployed(&[("AZURE_FUNCTION_APP_HOST_NAME", "function-app.invalid")]);
    let good = package(&azure, "good", "devicestate", &["devicestate"]);
    let ended = azure.run("rollback.sh", &["--environment", "production", "--package", "good", "--no-drill"]);
    assert_eq!(azure.log("func.log"), format!("{good}: azure functionapp publish {APP} --custom\n"));
    ended.assert(2, &["smoke-test.js: the deployment has no output COSMOS_ENDPOINT"]);
}

#[test]
fn a_rollback_to_no_package_is_refused() {
    let azure = Azure::deployed(&[]);
    azure.run("rollback.sh", &["--environment", "production"]).assert(2, &["--package DIR"]);
    assert_eq!(azure.log("func.log"), "");
}

#[test]
fn a_resource_group_is_made_where_it_is_missing_and_only_if_somebody_says_where() {
    let azure = Azure::deployed(&[]);
    azure.knows_no("group");
    azure.run("deploy-infra.sh", &["--environment", "staging"]).assert(2, &["--location REGION"]);
    let preview = azure.run("deploy-infra.sh", &["--environment", "staging", "--what-if"]);
    preview.assert(0, &[]);
    assert!(preview.said.contains("all of infra/main.bicep would be new"), "{}", preview.said);
    assert!(!azure.log("az.log").contains("create"), "nothing is made: {}", azure.log("az.log"));

    azure.run("deploy-infra.sh", &["--environment", "staging", "--location", "westeurope"]).assert(0, &[]);
    let log = azure.log("az.log");
    let group = log.find("group create --name rg-devicestate-staging --location westeurope").expect("a group");
    let deployment = log.find("deployment group create --resource-group rg-devicestate-staging").expect("a deployment");
    assert!(group < deployment, "{log}");
}

#[test]
fn a_preview_changes_nothing_and_has_the_parameters_of_the_environment() {
    let azure = Azure::deployed(&[]);
    azure.run("deploy-infra.sh", &["--environment", "production", "--what-if"]).assert(0, &[]);
    let log = azure.log("az.log");
    assert!(!log.contains("create"), "{log}");
    for words in ["what-if", "rg-devicestate-production", "--parameters infra/production.bicepparam"] {
        assert!(log.contains(words), "{words:?} is not in: {log}");
    }
}

#[test]
fn an_environment_without_parameters_is_refused() {
    let azure = Azure::deployed(&[]);
    azure.run("deploy-infra.sh", &["--environment", "stagnig"]).assert(2, &["infra/stagnig.bicepparam"]);
}

#[test]
fn a_resource_group_of_another_name_is_taken_with_parameters_of_its_own() {
    let azure = Azure::deployed(&[]);
    azure.knows("mine.bicepparam", "");
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
fn every_script_tells_its_options_and_refuses_others() {
    let azure = Azure::deployed(&[]);
    for script in ["deploy-infra.sh", "publish.sh", "smoke-test.js", "rollback.sh", "rewind-checkpoints.sh"] {
        let help = azure.run(script, &["--help"]);
        help.assert(0, &[]);
        for part in ["Usage: scripts/", "--environment NAME", "Example", "Exit codes"] {
            assert!(help.said.contains(part), "{part:?} is not in the help of {script}: {}", help.said);
        }
        azure.run(script, &["--slot", "x"]).assert(2, &["no option --slot", "--help"]);

        let options: Vec<_> = help.said.lines().filter_map(|line| line.strip_prefix("  --")).collect();
        assert!(options.len() >= 3, "{options:?}");
        for option in options {
            let mut words = option.split(' ');
            let name = format!("--{}", words.next().expect("a name"));
            let value = words.next().filter(|word| !word.is_empty());
            let words: Vec<_> = [name.as_str()].into_iter().chain(value.map(|_| "1")).chain(["--slot"]).collect();
            azure.run(script, &words).assert(2, &["no option --slot"]);
            if value.is_some() {
                azure.run(script, &[&name]).assert(2, &[&format!("the option {name} needs a value")]);
            }
        }
    }
}

#[test]
fn what_one_script_has_deployed_the_others_look_for_in_the_same_group() {
    let azure = Azure::deployed(&[]);
    azure.run("deploy-infra.sh", &["--environment", "staging"]).assert(0, &[]);
    let package = package(&azure, "package", "devicestate", &["devicestate"]);
    azure.run("publish.sh", &["--environment", "staging", "--package", &package]).assert(0, &[]);
    let log = azure.log("az.log");
    let places: Vec<_> = log
        .lines()
        .filter_map(|line| line.strip_prefix("deployment group "))
        .map(|line| line.split(' ').skip(1).take(2).collect::<Vec<_>>())
        .collect();
    assert!(places.len() >= 2, "{log}");
    assert!(places.iter().all(|place| *place == places[0]), "{places:?}");
}
