//! The pages that operators follow: each script, option, output, parameter, setting and file that they name must exist.

use std::{collections::BTreeSet, fs, os::unix::fs::symlink};

use devicestate_test_support::root;

use super::{
    azure::Azure,
    calls::{call_errors, calls, file},
    steps::used_outputs,
};
use crate::infra::sources::{Sources, assert_detected, assert_no_faults};

const FIRST: &str = "docs/operate/first-deployment.md";

/// Returns the blocks of shell commands of a page.
fn blocks(page: &str) -> Vec<&str> {
    page.split("```sh\n").skip(1).filter_map(|block| block.split("```").next()).collect()
}

/// Returns what is between backticks outside the blocks.
fn spans(page: &str) -> Vec<String> {
    let outside = page.split("```").step_by(2);
    outside.flat_map(|text| text.split('`').skip(1).step_by(2)).map(|span| span.replace('\n', " ")).collect()
}

/// Returns the code of a page, with at most one command per line.
fn code(page: &str) -> Vec<String> {
    let blocks = blocks(page).into_iter().map(|block| block.replace("\\\n", " "));
    let code = blocks.chain(spans(page)).collect::<Vec<_>>().join("\n");
    let separators = ["&&", ";", "|", "$("];
    separators
        .into_iter()
        .fold(code, |code, separator| code.replace(separator, "\n"))
        .lines()
        .map(str::to_owned)
        .collect()
}

/// Returns the parameters of the page's trials: `trial GROUP 'NAME = VALUE' ...`.
fn trial_parameters(code: &[String]) -> Vec<&str> {
    let trials = code.iter().filter(|line| line.trim_start().starts_with("trial "));
    trials.flat_map(|line| line.split(['\'', '"'])).filter_map(|word| Some(word.split_once(" = ")?.0)).collect()
}

/// Returns what a page names and this repository does not have.
fn faults(page: &str) -> Vec<String> {
    let code = code(page);
    let sources = Sources::read();
    let template = sources.text("infra/main.bicep");
    let azd = sources.text("infra/main.parameters.json");
    // What is named without more is a file, which need not be executable, as the module scripts/deployment.js.
    let is_call = |line: &&String| line.trim().contains(' ') && !line.contains("scripts/deployment.js");
    let lines: Vec<_> = code.iter().filter(is_call).cloned().collect();
    let mut faults = call_errors(&calls(&lines));

    let outputs = used_outputs(&code.join("\n"));
    let missing = outputs.iter().filter(|name| !template.contains(&format!("\noutput {name} ")));
    faults.extend(missing.map(|name| format!("there is no output {name}")));
    let parameters = trial_parameters(&code);
    let missing = parameters.iter().filter(|name| !template.contains(&format!("\nparam {name} ")));
    faults.extend(missing.map(|name| format!("there is no parameter {name}")));

    for word in words(&code.join("\n"), "_./-") {
        let function = word.strip_prefix("AzureWebJobs.").and_then(|rest| rest.strip_suffix(".Disabled"));
        if let Some(function) = function.filter(|name| !root().join(name).join("function.json").is_file()) {
            faults.push(format!("there is no function {function}"));
        }
        if word.starts_with("DEVICESTATE_") && !azd.contains(&format!("${{{word}=")) {
            faults.push(format!("azd has no setting {word}"));
        }
        if ["infra/", "tests/", "scripts/"].iter().any(|folder| word.starts_with(folder))
            && !root().join(&word).exists()
        {
            faults.push(format!("there is no file {word}"));
        }
    }
    faults
}

/// Returns the names in camel case of a page, between backticks, that are not in the templates.
fn unknown_properties(page: &str) -> Vec<String> {
    let sources = Sources::read();
    let templates = sources.paths("bicep").into_iter().filter_map(|path| path.to_str()).map(|path| sources.text(path));
    let known = words(&templates.collect::<Vec<_>>().join("\n"), "");
    let names = spans(page).into_iter().filter_map(|span| Some(span.split(['=', '[', ' ']).next()?.to_owned()));
    let names = names.filter(|name| {
        name.starts_with(|c: char| c.is_ascii_lowercase())
            && name.contains(|c: char| c.is_ascii_uppercase())
            && name.chars().all(|c| c.is_ascii_alphanumeric())
    });
    names.filter(|name| !known.contains(name)).map(|name| format!("infra/ does not have {name}")).collect()
}

/// Returns the words of a text; these characters belong to words, too.
fn words(text: &str, others: &str) -> BTreeSet<String> {
    text.split(|c: char| !c.is_ascii_alphanumeric() && !others.contains(c)).map(str::to_owned).collect()
}

#[test]
fn the_pages_name_existing_scripts_options_outputs_parameters_settings_and_files() {
    for (page, calls_of, outputs_of) in
        [(FIRST, 10, 5), ("docs/operate/deploy.md", 5, 2), ("docs/operate/failover.md", 7, 8)]
    {
        let text = file(page);
        assert!(calls(&code(&text)).len() >= calls_of, "{page}: {:?}", calls(&code(&text)));
        assert!(used_outputs(&code(&text).join("\n")).len() >= outputs_of, "{page}");
        assert_no_faults(&faults(&text));
    }
    for page in [FIRST, "docs/operate/deploy.md"] {
        assert_no_faults(&unknown_properties(&file(page)));
    }
}

#[test]
fn each_kind_of_name_that_does_not_exist_is_detected() {
    for (block, fault) in [
        ("scripts/package.sh && scripts/publsih.sh", "there is no file scripts/publsih.sh"),
        ("sleep 1h; scripts/publish.sh --slot staging", "scripts/publish.sh has no option --slot"),
        ("curl \"https://$COSMOS_ENDPOINTS\"", "there is no output COSMOS_ENDPOINTS"),
        ("trial \"$group\" 'sessions = true' 'sessionOwner = true'", "there is no parameter sessionOwner"),
        ("app set AzureWebJobs.WatchFunction.Disabled=true", "there is no function WatchFunction"),
        ("azd env set DEVICESTATE_SESSION true", "azd has no setting DEVICESTATE_SESSION"),
        ("cat infra/test.bicepparam", "there is no file infra/test.bicepparam"),
    ] {
        assert_detected(&faults(&format!("```sh\n{block}\n```\n")), fault);
        assert_detected(&faults(&format!("Run `{block}`.\n")), fault);
    }
    assert_detected(&unknown_properties("`sessionOwner=true`"), "sessionOwner");
}

/// Returns what each step of a page lacks: a command, or one of the three answers.
fn incomplete_steps(page: &str) -> Vec<String> {
    let parts = ["```sh\n", "* **Expect**: ", "* **Settles**: ", "* **Record**: "];
    let steps = page.split("\n## ").skip(1).filter_map(|step| step.split_once('\n'));
    let missing = steps.flat_map(|(title, step)| {
        let missing = parts.iter().filter(|part| !step.contains(**part));
        missing.map(move |part| format!("{title} lacks {}", part.trim()))
    });
    missing.collect()
}

#[test]
fn each_step_has_a_command_what_to_expect_what_it_settles_and_where_to_record_it() {
    let page = file(FIRST);
    assert_no_faults(&incomplete_steps(&page));
    assert_eq!(page.matches("\n## ").count(), 10);
    for part in ["```sh", "* **Expect**", "* **Settles**", "* **Record**"] {
        let (before, steps) = page.split_once("\n## 1. ").expect("its first step");
        let changed = format!("{before}\n## 1. {}", steps.replacen(part, "", 1));
        assert_detected(&incomplete_steps(&changed), &format!("lacks {part}"));
    }
}

/// The commands of the page's preparation are run.
#[test]
fn a_trial_deploys_the_parameters_of_staging_and_others() {
    let azure = Azure::deployed(&[]);
    for folder in ["scripts", "infra"] {
        symlink(root().join(folder), azure.path(folder)).expect("a link in the temporary folder");
    }
    fs::create_dir(azure.path("target")).expect("a folder in the temporary folder");
    let preparation = blocks(&file(FIRST))[0].to_owned();
    let script =
        format!("set -euo pipefail\n{preparation}\ntrial rg-trial 'sessions = true' 'instanceMemoryMB = 512'\n");
    azure.set("trial.sh", &script);
    azure.shell("trial.sh").assert(0, &[]);

    let deployed = azure.log("az.log");
    let file_name = azure.path("target/trial.bicepparam").display().to_string();
    let create = deployed.lines().find(|line| line.starts_with("deployment group create ")).expect("a deployment");
    assert!(
        create.contains("--resource-group rg-trial ") && create.contains(&format!("--parameters {file_name} ")),
        "{create}"
    );
    let parameters = azure.log("target/trial.bicepparam");
    assert!(parameters.contains("\nusing '../infra/main.bicep'\n"), "{parameters}");
    let staging = file("infra/staging.bicepparam");
    let (_, staging) = staging.split_once("\nusing 'main.bicep'\n").expect("its template");
    assert!(
        parameters.ends_with(&format!("{staging}param sessions = true\nparam instanceMemoryMB = 512\n")),
        "{parameters}"
    );
}
