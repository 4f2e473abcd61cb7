//! The third-party notices, checked by `scripts/notices.sh`.

use std::process::{Command, Output};

use devicestate_test_support::root;

fn notices(argument: &str) -> Output {
    let mut command = Command::new("bash");
    command.arg(root().join("scripts/notices.sh")).arg(argument).output().expect("the command bash")
}

#[test]
fn the_notices_name_every_linked_package_and_version() {
    let output = notices("--check");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn the_help_of_notices_sh_has_examples_and_an_unknown_option_is_named() {
    let help = notices("--help");
    let text = String::from_utf8_lossy(&help.stdout);
    assert!(help.status.success() && text.contains("Examples:\n  scripts/notices.sh\n"), "{text}");
    let wrong = notices("--chekc");
    let error = String::from_utf8_lossy(&wrong.stderr);
    assert!(wrong.status.code() == Some(2) && error.contains("--chekc"), "{error}");
}
