//! What keeps a measurement from its beginning is said in one line.

use tempfile::tempdir;

use super::{measured, node};

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
            (&["--binary", "no/such/program"], "there is no no/such/program: cargo build --release"),
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
        assert!(complaint.contains("cargo build --release --example load"), "{complaint}");
    }
}
