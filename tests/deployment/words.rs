//! `scripts/words.sh`, which CI runs over the whole repository: each kind of finding fails it, and a justified line passes.

use std::{fs, path::Path, process::Command};

const ROOT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/../..");

/// Runs the check over one file with this content; returns the exit code and what it printed.
fn check(name: &str, content: &str) -> (Option<i32>, String) {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join(name);
    fs::write(&path, content).expect("a file");
    check_file(&path)
}

fn check_file(path: &Path) -> (Option<i32>, String) {
    let output = Command::new("scripts/words.sh").arg(path).current_dir(ROOT).output().expect("scripts/words.sh");
    let printed = [output.stdout, output.stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).concat();
    (output.status.code(), printed)
}

#[test]
fn each_kind_of_finding_fails_the_check_and_is_named() {
    let long = format!("{}.\n", "word ".repeat(30).trim_end());
    for (name, content, finding) in [
        ("comment.rs", "//! What the host told.\n", "told"), // words:allow it is what the check must find
        ("name.rs", "fn told_apart() {}\n", "told"),         // words:allow it is what the check must find
        ("Type.rs", "struct RetryVerdict;\n", "Verdict"),    // words:allow it is what the check must find
        ("Cargo.toml", "# nobody\n", "nobody"),              // words:allow the same
        ("script.sh", "# This is no dead letter.\n", "is not a"), // words:allow the same
        ("error.rs", "const E: &str = \"(os error 2)\";\n", "the reason in words"), // words:allow the same
        ("spelling.md", "The recieved events.\n", "recieved"), // words:allow a misspelling on purpose
        ("long.md", &long, "MD013"),
        ("link.md", "[missing](missing.md)\n", "relative-links"),
        ("anchor.md", "# One\n\n[two](#two)\n", "MD051"),
    ] {
        let (code, printed) = check(name, content);
        assert_eq!(code, Some(1), "{name}: {printed}");
        assert!(printed.contains(finding) && printed.contains(name), "{name}: {printed}");
    }
}

#[test]
fn plain_text_and_a_justified_line_pass_the_check() {
    let plain = "//! Returns the position of an event.\nfn position() {}\n";
    assert_eq!(check("plain.rs", plain), (Some(0), String::new()));
    let justified = "let parent = \"none\"; // Azure says \"is no \" here; words:allow a quoted message\n";
    assert_eq!(check("justified.rs", justified), (Some(0), String::new()));
}

#[test]
fn the_check_does_not_start_without_a_file_or_with_an_unknown_option() {
    assert_eq!(check_file(Path::new("no-such-file.rs")).0, Some(2));
    assert_eq!(check_file(Path::new("--no-such-option")).0, Some(2));
}
