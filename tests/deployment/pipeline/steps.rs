//! The scripts, options, stages, variables and artifacts that the pipeline's steps name must exist.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    process::Command,
};

use devicestate_test_support::root;
use serde_json::Value;

use super::{
    calls::{call_errors, calls, commands, file, is_script, objects},
    yaml::{THIS, pipeline, read},
};

/// The run of a rollback.
const EARLIER: &str = "4711";

#[test]
fn the_steps_call_existing_scripts_with_known_options() {
    for run in [THIS, EARLIER] {
        let calls = calls(&commands(&pipeline(run)));
        assert!(calls.len() >= 4, "{calls:?}");
        assert_eq!(call_errors(&calls), Vec::<String>::new());
    }
    let invalid = ["scripts/publsih.sh", "scripts/common.sh", "scripts/publish.sh --slot staging"].map(str::to_owned);
    assert_eq!(
        call_errors(&calls(&invalid)),
        [
            "scripts/publsih.sh does not exist",
            "scripts/common.sh is not executable",
            "scripts/publish.sh has no option --slot"
        ]
    );
}

/// All other commands are in scripts, which an operator can also run.
#[test]
fn each_step_is_a_script_or_prepares_the_machine() {
    let machine_commands =
        ["npm install --global azure-functions-core-tools@", "tar ", "mkdir -p target/", "echo \"##vso["];
    for run in [THIS, EARLIER] {
        for command in commands(&pipeline(run)) {
            let is_known = command.split_whitespace().any(is_script)
                || command.starts_with("cargo deny ")
                || machine_commands.iter().any(|begin| command.starts_with(begin));
            assert!(is_known, "the command is not in a script: {command}");
        }
    }
}

#[test]
fn ci_run_has_all_checks_and_the_audit_adds_only_the_advisories() {
    let commands = commands(&pipeline(THIS));
    assert!(commands.iter().any(|command| command.contains("; .ci/run 2>&1 | tee ")), "{commands:?}");
    assert!(file(".ci/run").ends_with(".ci/check\n"));
    let checks = file(".ci/check").replace("\"$LISTENER\"", "tests/cosmos-listener/Cargo.toml");
    let audits: Vec<_> = commands.iter().filter(|command| command.starts_with("cargo deny ")).collect();
    assert_eq!(audits.len(), 2, "of both workspaces: {audits:?}");
    for audit in audits {
        assert!(checks.contains(&format!("{audit} bans licenses sources ")), "{audit} is not in .ci/check");
    }
}

#[test]
fn stages_depend_only_on_earlier_stages() {
    for run in [THIS, EARLIER] {
        let pipeline = pipeline(run);
        let mut before = BTreeSet::new();
        for stage in pipeline["stages"].as_array().expect("stages") {
            let needed = match &stage["dependsOn"] {
                Value::String(name) => vec![name.as_str()],
                Value::Array(names) => names.iter().filter_map(Value::as_str).collect(),
                _ => Vec::new(),
            };
            assert!(needed.iter().all(|name| before.contains(name)), "{needed:?} of {before:?}");
            before.insert(stage["stage"].as_str().expect("a name"));
        }
        let last: Vec<_> = pipeline["stages"].as_array().expect("stages").iter().rev().take(2).collect();
        assert_eq!((&last[0]["stage"], &last[0]["dependsOn"]), (&"Production".into(), &"Staging".into()));
        assert_eq!(last[1]["stage"], "Staging");
    }
}

/// Predefined variables of Azure Pipelines have a dot in their names.
#[test]
fn every_variable_is_defined_and_used() {
    let mut used = BTreeSet::new();
    for run in [THIS, EARLIER] {
        let text = pipeline(run).to_string();
        let names = text.split("$(").skip(1).filter_map(|rest| rest.split_once(')').map(|(name, _)| name.to_owned()));
        used.extend(names.filter(|name| !name.contains('.')));
    }
    let from_environment = ["infra/staging.bicepparam", "infra/production.bicepparam"].map(file).concat();
    let names = from_environment.split("readEnvironmentVariable('").skip(1);
    used.extend(names.filter_map(|rest| rest.split_once('\'').map(|(name, _)| name.to_owned())));
    let pipeline = pipeline(THIS);
    let defined: BTreeSet<_> = pipeline["variables"].as_object().expect("variables").keys().cloned().collect();
    assert_eq!(defined, used);
}

/// Returns how often each artifact is published and downloaded.
fn artifacts(pipeline: &Value) -> BTreeMap<String, [usize; 2]> {
    let mut artifacts = BTreeMap::<_, [usize; 2]>::new();
    for object in objects(pipeline) {
        for (name, column) in [("artifact", 0), ("artifactName", 1)] {
            if let Some(name) = object.get(name).and_then(Value::as_str) {
                artifacts.entry(name.to_owned()).or_default()[column] += 1;
            }
        }
    }
    artifacts
}

#[test]
fn the_published_package_is_deployed_and_used_for_rollbacks() {
    // Published once; downloaded in each environment for the deployment and for the rollback.
    assert_eq!(artifacts(&pipeline(THIS)), [("package".to_owned(), [1, 4])].into());
    assert_eq!(artifacts(&pipeline(EARLIER)), [("package".to_owned(), [0, 4])].into());
    let runs =
        objects(&pipeline(EARLIER)).iter().filter(|object| object.get("pipelineId") == Some(&EARLIER.into())).count();
    assert_eq!(runs, 2, "the package of the earlier run");
}

#[test]
fn both_environments_roll_back_to_the_tag_that_their_own_success_sets() {
    let pipeline = pipeline(THIS);
    for environment in ["staging", "production"] {
        let name = Value::from(format!("devicestate-{environment}"));
        let objects = objects(&pipeline);
        let deployment = objects.iter().find(|object| object.get("environment") == Some(&name)).expect("a deployment");
        let strategy = deployment["strategy"]["runOnce"].clone();
        let tag = format!("good-{environment}");
        assert!(strategy["on"]["success"].to_string().contains(&format!("##vso[build.addbuildtag]{tag}\\\"")));
        let rollback = strategy["on"]["failure"].to_string();
        for words in [format!("\"tags\":\"{tag}\""), format!("scripts/rollback.sh --environment {environment} ")] {
            assert!(rollback.contains(&words), "{words} is not in: {rollback}");
        }
    }
}

#[test]
fn only_staging_has_the_drill() {
    let tests = commands(&pipeline(THIS)).into_iter().filter(|command| command.starts_with("scripts/smoke-test.js"));
    let tests: Vec<_> = tests.map(|command| command.trim().to_owned()).collect();
    let expected =
        ["scripts/smoke-test.js --environment staging", "scripts/smoke-test.js --environment production --no-drill"];
    assert_eq!(tests, expected);
    let sets_drill =
        |environment: &str| file(&format!("infra/{environment}.bicepparam")).contains("param retryDrillDevice");
    assert!(sets_drill("staging") && !sets_drill("production"));
}

/// Returns the outputs of a deployment that a script reads.
pub(super) fn used_outputs(script: &str) -> BTreeSet<String> {
    let starts = [
        "AZURE_FUNCTION",
        "STANDBY_",
        "EVENT_HUB",
        "HOST_",
        "COSMOS_",
        "DEAD_LETTER_",
        "LOG_ANALYTICS_",
        "SERVICE_BUS_",
        "SESSION_QUEUE",
    ];
    let words = script.split(|c: char| !c.is_ascii_uppercase() && c != '_');
    let used = words.filter(|word| starts.iter().any(|start| word.starts_with(start)) && !word.ends_with('_'));
    let mut used: BTreeSet<String> = used.map(str::to_owned).collect();
    // With --standby, those of the second region.
    let standby = script.split("${region}").skip(1).map(|rest| {
        let name = rest.chars().take_while(|c| c.is_ascii_uppercase() || *c == '_');
        format!("STANDBY_{}", name.collect::<String>())
    });
    used.extend(standby);
    used
}

#[test]
fn the_infrastructure_has_the_outputs_and_the_setting_that_the_scripts_use() {
    let smoke_test = file("scripts/smoke-test/app.js");
    let rewinding = file("scripts/rewind-checkpoints.sh");
    let outputs = [&file("scripts/publish.sh"), &smoke_test, &rewinding].map(|script| used_outputs(script));
    assert_eq!(outputs.each_ref().map(BTreeSet::len), [2, 9, 8], "{outputs:?}");
    let template = file("infra/main.bicep");
    let exists = |output: &str| template.contains(&format!("\noutput {output} "));
    assert!(outputs.iter().flatten().all(|output| exists(output)), "{outputs:?}");
    assert!(!exists("COSMOS_ENDPOINTS"), "names are compared completely");
    let setting = "RetryDrillDevice";
    assert!(smoke_test.contains(&format!("name=='{setting}'")) && template.contains(setting));
}

#[test]
fn the_emulators_have_the_ports_that_the_tests_use() {
    let compose = read("emulators/compose.yaml");
    let ports = compose["services"]["azurite"]["ports"].as_array().expect("ports");
    let ports: Vec<_> = ports.iter().filter_map(Value::as_str).collect();
    let script = file("scripts/test-emulators.sh");
    assert!(script.contains("DEVICESTATE_TEST_AZURITE=10000,10001"), "blobs and queues");
    assert!(ports.starts_with(&["127.0.0.1:10000:10000", "127.0.0.1:10001:10001"]), "{ports:?}");
    let images = compose["services"].as_object().expect("services").values().map(|service| &service["image"]);
    let mut versions = images.map(|image| image.as_str().and_then(|image| image.split_once(':')).expect("a tag").1);
    assert!(versions.all(|version| version.contains(|character: char| character.is_ascii_digit())), "pinned");
}

/// The permission to change this file must not include the permission to approve a deployment.
#[test]
fn deployments_use_the_checks_of_their_environments_and_the_pipeline_has_no_secrets() {
    let pipeline = pipeline(THIS);
    let names: Vec<_> = objects(&pipeline)
        .into_iter()
        .filter(|object| object.contains_key("deployment"))
        .map(|object| object["environment"].clone())
        .collect();
    assert_eq!(names, ["devicestate-staging", "devicestate-production"]);
    for object in objects(&pipeline).into_iter().filter(|object| object.contains_key("azureSubscription")) {
        assert!(names.contains(&object["azureSubscription"]), "a connection of the same name: {object:?}");
    }
    let text = read("azure-pipelines.yml").to_string().to_lowercase();
    assert!(["password", "secret:", "accountkey", "clientsecret"].iter().all(|word| !text.contains(word)));
}

#[test]
fn the_test_report_has_the_results_that_cargo_printed() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let log = folder.path().join("log");
    let text = "\n== cargo test\n     Running unittests src/lib.rs (target/debug/deps/devicestate-1)\n\
                test a::works ... ok\ntest a::<fails> ... FAILED\n     Running tests/engine/main.rs (target/debug/deps/engine-2f)\n\
                test left ... ignored, why\ntest result: FAILED. 1 passed\n   Doc-tests devicestate\n\
                test src/lib.rs - (line 3) ... ok\n";
    fs::write(&log, text).expect("a file in the temporary folder");
    let script = root().join(".ci/test-results");
    let output = Command::new(script).arg(&log).output().expect("a script of this repository");
    let expected = "<testsuites><testsuite name=\"cargo test\">\n\
                    <testcase classname=\"devicestate src/lib.rs\" name=\"a::works\"></testcase>\n\
                    <testcase classname=\"devicestate src/lib.rs\" name=\"a::&lt;fails&gt;\"><failure message=\"see the log\"/></testcase>\n\
                    <testcase classname=\"engine tests/engine/main.rs\" name=\"left\"><skipped/></testcase>\n\
                    <testcase classname=\"devicestate (documentation)\" name=\"src/lib.rs - (line 3)\"></testcase>\n\
                    </testsuite></testsuites>\n";
    assert_eq!(String::from_utf8_lossy(&output.stdout), expected);
}
