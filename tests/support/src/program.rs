//! The programs that tests start. Cargo builds each when a test asks for it for the first time, where everything else is
//! built; when nothing has changed since, that takes a moment.

use std::{
    env,
    path::{Path, PathBuf},
    process::Command,
    sync::OnceLock,
};

use serde_json::Value;

use crate::root;

/// Cargo in this repository, with these arguments.
pub fn cargo(arguments: &[&str]) -> Command {
    let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
    cargo.current_dir(root()).args(arguments);
    // What this test was told of its own package: build scripts would take it for a change of theirs.
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            cargo.env_remove(name);
        }
    }
    cargo
}

/// The folder below which everything is built.
pub fn target() -> &'static Path {
    static TARGET: OnceLock<PathBuf> = OnceLock::new();
    TARGET.get_or_init(|| {
        // A test program is in target/PROFILE/deps.
        let program = env::current_exe().expect("a test program is a file");
        program.ancestors().nth(3).expect("it lies in Cargo's folders").to_owned()
    })
}

/// The program `devicestate`. Tests of its own package are told where it is; for others it is built.
pub fn devicestate() -> &'static Path {
    static PROGRAM: OnceLock<PathBuf> = OnceLock::new();
    PROGRAM.get_or_init(|| match env::var_os("CARGO_BIN_EXE_devicestate") {
        Some(path) => path.into(),
        None => built(&["--bin", "devicestate"]),
    })
}

/// Builds the one program that these arguments name, and returns where its binary is.
pub fn built(arguments: &[&str]) -> PathBuf {
    built_in(target(), arguments)
}

/// The same in another folder than where everything else is built.
pub fn built_in(target: &Path, arguments: &[&str]) -> PathBuf {
    let mut cargo = cargo(&["build", "--locked", "--quiet", "--message-format", "json", "--target-dir"]);
    let output = cargo.arg(target).args(arguments).output().expect("cargo runs");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let messages = String::from_utf8(output.stdout).expect("UTF-8");
    let messages = messages.lines().map(|line| serde_json::from_str::<Value>(line).expect("JSON"));
    let mut binaries = messages.filter_map(|message| Some(PathBuf::from(message["executable"].as_str()?)));
    binaries.next_back().expect("Cargo says where the binary is")
}
