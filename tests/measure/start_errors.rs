//! Errors that prevent a measurement from starting are reported in one line, with exit code 2.

use std::fs;

use serde_json::json;
use tempfile::tempdir;

use super::{ANYWHERE, evaluate, measure, node};

const SCRIPTS: [&str; 3] = ["side-by-side.js", "growth.js", "end-to-end.js"];

#[test]
fn help_describes_every_option_of_its_examples() {
    for script in SCRIPTS {
        let output = node().arg(format!("scripts/measure/{script}")).arg("--help").output().expect("Node.js");
        let help = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(output.status.code(), Some(0), "{script}");
        let (options, examples) = help.split_once("Examples:").expect("examples");
        for option in examples.split_whitespace().filter(|word| word.starts_with("--")) {
            let is_described =
                [format!("\n  {option} "), format!(", {option} ")].iter().any(|text| options.contains(text));
            assert!(is_described, "{script} {option}");
        }
        assert!(help.contains("Exit codes: 0 "), "{script}");
    }
}

#[test]
fn an_invalid_option_or_a_missing_program_is_an_error_with_the_fix() {
    let folder = tempdir().expect("a temporary folder");
    for script in SCRIPTS {
        for (words, expected) in [
            (&["--roundz", "1"][..], "--roundz"),
            (&["--rounds", "many"], "--rounds must be a number of at least 0, not \"many\""),
            (&["--only", "rust"], "--only must be one of "),
            (&["--output", "yaml"], "--output must be table, json or jsonl, not \"yaml\""),
            (&["--binary", "no/such/program"], "no/such/program does not exist; run cargo build --profile dist"),
        ] {
            let words = [&["--driver", "/bin/true"], words].concat();
            let output = measure(script, folder.path(), &words);
            let stderr = String::from_utf8(output.stderr).expect("UTF-8");
            assert_eq!((output.status.code(), &output.stdout[..]), (Some(2), &b""[..]), "{script}: {stderr}");
            assert!(stderr.contains(expected) && stderr.lines().count() == 1, "{script} {words:?}: {stderr}");
        }
    }
    for script in ["side-by-side.js", "growth.js"] {
        let output = measure(script, folder.path(), &["--driver", "no/such/driver"]);
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("cargo build --profile dist --package devicestate-load"), "{stderr}");
    }
}

#[test]
fn an_existing_results_file_is_not_overwritten() {
    let folder = tempdir().expect("a temporary folder");
    let file = folder.path().join("results.json");
    fs::write(&file, "of yesterday").expect("a temporary file");
    for (script, words) in [
        ("side-by-side.js", &["--driver", "/bin/true"][..]),
        ("growth.js", &["--driver", "/bin/true"]),
        ("end-to-end.js", &["--only", "size"]),
    ] {
        let anywhere = if script == "end-to-end.js" { &["--cores", ""][..] } else { &ANYWHERE };
        let output = measure(script, folder.path(), &[words, anywhere].concat());
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains("results.json already exists") && stderr.lines().count() == 1, "{stderr}");
        assert_eq!(fs::read_to_string(&file).expect("a file"), "of yesterday");
    }
}

#[test]
fn an_unavailable_core_is_an_error() {
    let folder = tempdir().expect("a temporary folder");
    for (script, option) in
        [("side-by-side.js", "--handler-core"), ("growth.js", "--driver-core"), ("end-to-end.js", "--cores")]
    {
        let rest = if script == "end-to-end.js" { &[][..] } else { &ANYWHERE };
        let words = [&["--driver", "/bin/true"], rest, &[option, "4095"]].concat();
        let output = measure(script, folder.path(), &words);
        let stderr = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{stderr}");
        assert!(stderr.contains(&format!("{option} 4095: core 4095 is not available")), "{stderr}");
    }
}

#[test]
fn a_system_other_than_linux_is_an_error() {
    let message = "(() => { try { return ensureLinux('darwin') } catch (error) { return error.message } })()";
    let message = evaluate(&["ensureLinux from options.js"], message);
    assert!(
        message.as_str().is_some_and(|message| message.contains("Linux only") && message.ends_with("not on darwin")),
        "{message}"
    );
}

#[test]
fn a_handler_that_devicestate_local_would_start_instead_of_itself_is_an_error() {
    let folder = tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(folder.path().join("bin")).expect("a temporary folder");
    for binary in ["bin/devicestate", "bin/renamed"] {
        fs::write(folder.path().join(binary), "").expect("a temporary file");
    }
    fs::copy("host.json", at("host.json")).expect("host.json of this repository");
    let message = |binary: &str| {
        let call = format!("ensureHandler({}, {})", json!(at(binary)), json!(folder.path()));
        let caught = format!("(() => {{ try {{ return {call} ?? '' }} catch (error) {{ return error.message }} }})()");
        evaluate(&["ensureHandler from end-to-end/runs.js"], &caught).as_str().expect("text").to_owned()
    };
    assert_eq!(message("bin/devicestate"), "");
    assert!(message("bin/renamed").contains("only if it is named devicestate"), "{}", message("bin/renamed"));
    fs::write(at("devicestate"), "").expect("a temporary file");
    assert!(message("bin/devicestate").ends_with("as its handler instead of itself; remove that file"));
}

#[test]
fn a_handler_that_accepts_connections_and_never_answers_is_an_error() {
    let silent = "require('node:net').createServer(() => {}).listen(process.env.FUNCTIONS_CUSTOMHANDLER_PORT)";
    let start = format!(
        "await Handler.start({{ command: ['node', '-e', {}], timeoutMs: 1_500 }}).catch(({{ message }}) => message)",
        json!(silent)
    );
    let message = evaluate(&["Handler from handler.js"], &start);
    assert!(message.as_str().is_some_and(|message| message.contains("does not answer GET /")), "{message}");
}
