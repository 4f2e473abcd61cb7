//! A program that is built when a test asks for it, since `cargo test` builds no binary of an example.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
};

use serde_json::Value;

/// Cargo in this repository, with these arguments.
pub(crate) fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments);
    cargo
}

/// Builds an example, and tells where its binary is.
pub(crate) fn example(name: &str, arguments: &[&str]) -> PathBuf {
    program(&[&["--example", name], arguments].concat())
}

/// Builds the one program that these arguments name, and tells where its binary is. It lies where everything else is
/// built, so that no dependency is built for it.
pub(crate) fn program(arguments: &[&str]) -> PathBuf {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent().expect("a folder of Cargo's");
    let mut cargo = cargo(&["build", "--locked", "--quiet", "--message-format", "json"]);
    let output = cargo.args(arguments).arg("--target-dir").arg(target).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).expect("UTF-8");
    let mut messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let binary = messages.find_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    binary.expect("Cargo says where the binary is")
}
