//! GitHub's workflows. Nothing is run: actionlint checks them, and they keep the rules of this project.

use serde_json::{Value, json};

use crate::pipeline::{
    calls::{call_errors, calls, commands, file, is_script, objects, paths_in},
    yaml::{THIS, pipeline, read, run_node},
};

const CI: &str = ".github/workflows/ci.yml";
const AUDIT: &str = ".github/workflows/audit.yml";
pub(crate) const DEPLOY: &str = ".github/workflows/azure-dev.yml";

/// Returns the paths of all workflows.
fn workflows() -> Vec<String> {
    paths_in(".github/workflows").collect()
}

/// Returns the errors that actionlint finds in each of these workflows.
fn actionlint(texts: &[String]) -> Vec<Vec<String>> {
    serde_json::from_value(run_node("actionlint.js", &[], &json!(texts))).expect("a list for each text")
}

#[test]
fn actionlint_passes_on_the_workflows_and_finds_planted_errors() {
    let paths = workflows();
    assert!([CI, AUDIT, DEPLOY].iter().all(|path| paths.iter().any(|known| known == path)), "{paths:?}");
    let mut texts: Vec<_> = paths.iter().map(|path| file(path)).collect();
    let planted = [
        (CI, "timeout-minutes: 15", "timeout: 15", "unexpected key \"timeout\""),
        (CI, "github.event_name", "github.event_nme", "property \"event_nme\" is not defined"),
        (
            CI,
            "    timeout-minutes: 15",
            "    timeout-minutes: 15\n    needs: check",
            "needs job \"check\" which does not exist",
        ),
        (CI, "runs-on: ubuntu-24.04", "runs-on: ubuntu-24", "label \"ubuntu-24\" is unknown"),
        (AUDIT, "17 5 * * 1", "17 5 * *", "invalid CRON"),
        (DEPLOY, "id-token: write", "id_token: write", "unknown permission scope \"id_token\""),
        (
            DEPLOY,
            "if: vars.AZURE_CLIENT_ID != ''",
            "if: env.AZURE_CLIENT_ID != ''",
            "context \"env\" is not allowed here",
        ),
    ];
    for (path, from, to, _) in planted {
        let text = file(path);
        assert!(text.contains(from), "{path} has no {from}");
        texts.push(text.replace(from, to));
    }
    let errors = actionlint(&texts);
    for (path, errors) in paths.iter().zip(&errors) {
        assert_eq!(errors, &Vec::<String>::new(), "{path}");
    }
    for ((path, _, to, expected), errors) in planted.into_iter().zip(&errors[paths.len()..]) {
        assert!(errors.iter().any(|error| error.contains(expected)), "{to} in {path}: {errors:?}");
    }
}

/// Returns violations of the rules that GitHub itself does not enforce.
fn rule_errors(workflow: &Value) -> Vec<String> {
    let mut errors = Vec::new();
    let triggers = workflow["on"].as_object().expect("triggers");
    let is_for_forks = triggers.contains_key("pull_request");
    if triggers.contains_key("pull_request_target") {
        errors.push("pull_request_target gives the code of a fork the rights of this repository".into());
    }
    let allowed = if is_for_forks { json!({"contents": "read"}) } else { workflow["permissions"].clone() };
    let is_least = allowed["contents"] == "read"
        && allowed.as_object().expect("permissions").keys().all(|scope| scope == "contents" || scope == "id-token");
    if workflow["permissions"] != allowed || !is_least {
        errors.push(format!("permissions: {}", workflow["permissions"]));
    }
    let text = workflow.to_string();
    if text.contains("secrets.") || is_for_forks && text.contains("vars.") {
        errors.push("a workflow needs neither secrets nor, for pull requests, variables".into());
    }
    // Without a named shell, GitHub runs `bash -e`: a failure before a pipe is ignored.
    if workflow["defaults"]["run"]["shell"] != "bash" {
        errors.push("no shell with pipefail".into());
    }
    for (name, job) in workflow["jobs"].as_object().expect("jobs") {
        if job["timeout-minutes"].as_u64().is_none_or(|minutes| minutes > 90) {
            errors.push(format!("{name} has no timeout, or a long one"));
        }
        if !job["runs-on"].as_str().is_some_and(|image| image.contains(|c: char| c.is_ascii_digit())) {
            errors.push(format!("{name} has no image of a certain version"));
        }
        if !job["permissions"].is_null() {
            errors.push(format!("{name} has permissions of its own"));
        }
        for step in job["steps"].as_array().expect("steps") {
            let action = step["uses"].as_str().unwrap_or("none@v0");
            let (owner, version) = action.split_once('@').unwrap_or((action, ""));
            // A major version, or a commit.
            let is_pinned = version.strip_prefix('v').is_some_and(|major| major.parse::<u32>().is_ok())
                || version.len() == 40 && version.chars().all(|digit| digit.is_ascii_hexdigit());
            let is_trusted = ["actions/", "Azure/", "none"].iter().any(|known| owner.starts_with(known));
            if !is_pinned || !is_trusted {
                errors.push(format!("{name} uses {action}"));
            }
            if !step["shell"].is_null() {
                errors.push(format!("{name} has a shell of its own"));
            }
        }
    }
    errors
}

#[test]
fn the_workflows_have_least_permissions_timeouts_and_certain_versions() {
    for path in workflows() {
        assert_eq!(rule_errors(&read(&path)), Vec::<String>::new(), "{path}");
    }
    let ci = read(CI);
    for (pointer, value, expected) in [
        ("/permissions", json!("write-all"), "permissions: \"write-all\""),
        ("/permissions", json!({"contents": "write"}), "permissions: {\"contents\":\"write\"}"),
        ("/permissions", json!({"contents": "read", "id-token": "write"}), "permissions:"),
        ("/on", json!({"pull_request_target": {}}), "pull_request_target"),
        ("/defaults/run/shell", json!("sh"), "no shell with pipefail"),
        ("/jobs/checks/timeout-minutes", json!(360), "checks has no timeout"),
        ("/jobs/checks/runs-on", json!("ubuntu-latest"), "checks has no image"),
        ("/jobs/checks/steps/0/uses", json!("actions/checkout@main"), "checks uses actions/checkout@main"),
        ("/jobs/checks/steps/0/uses", json!("someone/checkout@v6"), "checks uses someone/checkout@v6"),
        ("/jobs/checks/steps/0", json!({"run": "echo ${{ secrets.KEY }}"}), "needs neither secrets"),
        ("/jobs/checks/steps/0", json!({"run": "echo ${{ vars.NAME }}"}), "needs neither secrets"),
    ] {
        let mut planted = ci.clone();
        *planted.pointer_mut(pointer).unwrap_or_else(|| panic!("{pointer} does not exist")) = value;
        let errors = rule_errors(&planted);
        assert!(errors.iter().any(|error| error.contains(expected)), "{pointer}: {errors:?}");
    }
    let mut deploy = read(DEPLOY);
    assert_eq!(deploy["permissions"], json!({"contents": "read", "id-token": "write"}));
    assert!(
        deploy["on"].as_object().expect("triggers").keys().all(|event| event == "push" || event == "workflow_dispatch")
    );
    deploy["permissions"]["actions"] = json!("write");
    assert_eq!(rule_errors(&deploy).len(), 1);
}

#[test]
fn the_workflows_call_existing_scripts_with_known_options() {
    for path in workflows() {
        let commands = commands(&read(&path));
        assert_eq!(call_errors(&calls(&commands)), Vec::<String>::new(), "{path}");
        // All other commands are in scripts, which an operator can also run.
        let prepares = [
            "azd ",
            "cargo deny ",
            "git config --global ",
            "mkdir -p target ",
            "npm install --global azure-functions-core-tools@",
        ];
        for command in commands {
            let is_known =
                command.split_whitespace().any(is_script) || prepares.iter().any(|begin| command.starts_with(begin));
            assert!(is_known, "the command is not in a script: {command}");
        }
    }
}

/// Returns the script calls and the audits of a pipeline, sorted.
fn checks(steps: &[Value]) -> Vec<String> {
    let is_check = |command: &String| command.split_whitespace().any(is_script) || command.starts_with("cargo deny ");
    let commands = steps.iter().flat_map(commands).filter(is_check);
    // Where the results are kept differs.
    let mut checks: Vec<_> = commands
        .map(|command| {
            let words = command.split_whitespace().skip_while(|word| !is_script(word) && *word != "cargo");
            words.take_while(|word| *word != "2>&1" && !word.contains(".log")).collect::<Vec<_>>().join(" ")
        })
        .collect();
    checks.sort();
    checks
}

#[test]
fn github_runs_the_checks_that_azure_pipelines_runs() {
    let verify = pipeline(THIS)["stages"][0].clone();
    assert_eq!(verify["stage"], "Verify");
    let expected = checks(&[verify]);
    assert_eq!(checks(&[read(CI), read(AUDIT)]), expected);
    assert_eq!(expected.len(), 7, "{expected:?}");
    // The disk of a hosted machine is small.
    let verify =
        objects(&pipeline(THIS)).iter().any(|step| step.get("env") == Some(&json!({"CARGO_INCREMENTAL": "0"})));
    assert!(verify && read(CI)["env"]["CARGO_INCREMENTAL"] == "0");
}
