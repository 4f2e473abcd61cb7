//! What keeps a measurement from its beginning is said in one line.

use std::fs;

use serde_json::json;
use tempfile::tempdir;

use super::{ANYWHERE, evaluated, measured, node};

const SCRIPTS: [&str; 3] = ["side-by-side.js", "growth.js", "end-to-end.js"];

#[test]
fn help_has_examples_and_every_option_that_they_use() {
    for script in SCRIPTS {
        let output = node().arg(format!("scripts/measure/{script}")).arg("--help").output().expect("Node.js");
        let help = String::from_utf8(output.stdout).expect("UTF-8");
        assert_eq!(output.status.code(), Some(0), "{script}");
        let (options, examples) = help.split_once("Examples:").expect("examples");
        for option in examples.split_whitespace().filter(|word| word.starts_with("--")) {
            assert!(options.contains(&format!("\n  {option} ")), "{script} {option}");
        }
        assert!(help.contains("Exit codes: 0 "), "{script}");
    }
}

#[test]
fn a_wrong_option_or_a_program_that_is_not_built_is_refused_with_what_to_do() {
    let folder = tempdir().expect("a temporary folder");
    for script in SCRIPTS {
        for (words, said) in [
            (&["--roundz", "1"][..], "--roundz"),
            (&["--rounds", "many"], "--rounds needs a number, and many is none"),
            (&["--only", "rust"], "--only takes "),
            (&["--format", "yaml"], "--format is table or json"),
            (&["--binary", "no/such/program"], "there is no no/such/program: cargo build --profile dist"),
        ] {
            let words = [&["--driver", "/bin/true"], words].concat();
            let output = measured(script, folder.path(), &words);
            let complaint = String::from_utf8(output.stderr).expect("UTF-8");
            assert_eq!((output.status.code(), &output.stdout[..]), (Some(2), &b""[..]), "{script}: {complaint}");
            assert!(complaint.contains(said) && complaint.lines().count() == 1, "{script} {words:?}: {complaint}");
        }
    }
    for script in ["side-by-side.js", "growth.js"] {
        let output = measured(script, folder.path(), &["--driver", "no/such/driver"]);
        let complaint = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains("cargo build --profile dist --package devicestate-load"), "{complaint}");
    }
}

#[test]
fn results_that_are_there_already_stay_as_they_are() {
    let folder = tempdir().expect("a temporary folder");
    let file = folder.path().join("results.json");
    fs::write(&file, "of yesterday").expect("a temporary file");
    for (script, words) in [
        ("side-by-side.js", &["--driver", "/bin/true"][..]),
        ("growth.js", &["--driver", "/bin/true"]),
        ("end-to-end.js", &["--only", "size"]),
    ] {
        let anywhere = if script == "end-to-end.js" { &["--cores", ""][..] } else { &ANYWHERE };
        let output = measured(script, folder.path(), &[words, anywhere].concat());
        let complaint = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains("results.json already") && complaint.lines().count() == 1, "{complaint}");
        assert_eq!(fs::read_to_string(&file).expect("a file"), "of yesterday");
    }
}

#[test]
fn cores_that_cannot_be_had_are_refused_at_the_beginning() {
    let folder = tempdir().expect("a temporary folder");
    for (script, option) in
        [("side-by-side.js", "--handler-core"), ("growth.js", "--driver-core"), ("end-to-end.js", "--cores")]
    {
        let rest = if script == "end-to-end.js" { &[][..] } else { &ANYWHERE };
        let words = [&["--driver", "/bin/true"], rest, &[option, "4095"]].concat();
        let output = measured(script, folder.path(), &words);
        let complaint = String::from_utf8(output.stderr).expect("UTF-8");
        assert_eq!(output.status.code(), Some(2), "{complaint}");
        assert!(complaint.contains(&format!("{option} 4095: core 4095 cannot be had")), "{complaint}");
    }
}

#[test]
fn another_system_than_linux_is_refused() {
    let said = "(() => { try { return ensureLinux('darwin') } catch (error) { return error.message } })()";
    let said = evaluated(&["ensureLinux from options.js"], said);
    assert!(
        said.as_str().is_some_and(|said| said.contains("Linux only") && said.ends_with("here is darwin")),
        "{said}"
    );
}

#[test]
fn a_handler_that_devicestate_local_would_start_in_place_of_itself_is_refused() {
    let folder = tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name).display().to_string();
    fs::create_dir(folder.path().join("bin")).expect("a temporary folder");
    for binary in ["bin/devicestate", "bin/renamed"] {
        fs::write(folder.path().join(binary), "").expect("a temporary file");
    }
    fs::copy("host.json", at("host.json")).expect("that of this repository");
    let said = |binary: &str| {
        let call = format!("ensureHandler({}, {})", json!(at(binary)), json!(folder.path()));
        let caught = format!("(() => {{ try {{ return {call} ?? '' }} catch (error) {{ return error.message }} }})()");
        evaluated(&["ensureHandler from end-to-end/runs.js"], &caught).as_str().expect("text").to_owned()
    };
    assert_eq!(said("bin/devicestate"), "");
    assert!(said("bin/renamed").contains("only where it is called devicestate"), "{}", said("bin/renamed"));
    fs::write(at("devicestate"), "").expect("a temporary file");
    assert!(said("bin/devicestate").ends_with("as its handler, and not itself: remove that"));
}

#[test]
fn a_handler_that_accepts_and_never_answers_is_given_up() {
    let silent = "require('node:net').createServer(() => {}).listen(process.env.FUNCTIONS_CUSTOMHANDLER_PORT)";
    let start = format!(
        "await Handler.start({{ command: ['node', '-e', {}], within: 1_500 }}).catch(({{ message }}) => message)",
        json!(silent)
    );
    let said = evaluated(&["Handler from handler.js"], &start);
    assert!(said.as_str().is_some_and(|said| said.contains("does not answer GET /")), "{said}");
}
