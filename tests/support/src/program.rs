//! The programs that tests start. Cargo builds each in the usual target folder when a test uses it for the first time.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::Value;

use crate::root;

/// Returns a Cargo command in this repository with these arguments.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(arguments);
    // Removes the variables of this test's own package: with them, Cargo would run build scripts again.
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// Returns Cargo's target folder.
pub fn target() -> &'static Path {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    TARGET.get_or_init(|| {
        // A test program is in target/PROFILE/deps.
        let program = env::current_exe().expect("a test program is a file");
        program.ancestors().nth(3).expect("it is in Cargo's folders").to_owned()
    })
}

/// Returns the path of the program `devicestate`. Cargo sets it for tests of the same package; for others, it is built.
pub fn devicestate() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match env::var_os("CARGO_BIN_EXE_devicestate") {
        Some(path) => path.into(),
        None => build(&["--bin", "devicestate"]),
    })
}

/// Builds the program of these arguments and returns the path of its binary.
pub fn build(arguments: &[&str]) -> PathBuf {
    build_in(target(), arguments)
}

/// Builds a program in another target folder.
pub fn build_in(target: &Path, arguments: &[&str]) -> PathBuf {
    let mut cargo = cargo(&["build", "--locked", "--quiet", "--message-format", "json", "--target-dir"]);
    let output = cargo.arg(target).args(arguments).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).expect("UTF-8");
    let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut binaries = messages.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    binaries.next_back().expect("Cargo reports the path of the binary")
}
