//! The dependencies of the crates, which are the layers, as `cargo tree` lists them.

use devicestate_test_support::{program::cargo, root};

/// Returns the distinct names of the packages that `cargo tree` lists with these arguments.
fn tree(arguments: &[&str]) -> Vec<String> {
    let mut cargo =
        cargo(&["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let output = cargo.args(arguments).output().expect("Cargo");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let text = String::from_utf8(output.stdout).expect("UTF-8");
    let mut names: Vec<_> = text.lines().filter_map(|line| line.split(' ').next()).map(str::to_owned).collect();
    names.sort_unstable();
    names.dedup();
    names
}

fn has(tree: &[String], name: &str) -> bool {
    tree.iter().any(|package| package == name)
}

#[test]
fn the_engine_and_dead_letters_depend_on_no_http_server_azure_or_database() {
    for package in ["devicestate-engine", "devicestate-dead-letters"] {
        let tree = tree(&["--package", package]);
        assert!(has(&tree, "serde_json") && has(&tree, "tokio"), "{tree:?}");
        let foreign = |name: &&String| {
            ["axum", "hyper", "reqwest", "rusqlite", "rustls"].contains(&name.as_str()) || name.starts_with("azure_")
        };
        assert_eq!(tree.iter().find(foreign), None, "{package}");
    }
}

#[test]
fn each_layer_uses_only_the_layers_below_it() {
    let ours = |package: &str| -> Vec<String> {
        let used = tree(&["--package", package]).into_iter();
        let is_another = |name: &String| name.starts_with("devicestate") && name != package;
        used.filter_map(|name| is_another(&name).then(|| name.trim_start_matches("devicestate-").to_owned())).collect()
    };
    assert_eq!(ours("devicestate-engine"), [""; 0]);
    assert_eq!(ours("devicestate-terminal"), ["engine"]);
    assert_eq!(ours("devicestate-report-page"), ["engine"]);
    assert_eq!(ours("devicestate-sqlite"), ["engine"]);
    assert_eq!(ours("devicestate-dead-letters"), ["engine"]);
    assert_eq!(ours("devicestate-azure"), ["dead-letters", "engine"]);
    assert_eq!(ours("devicestate-telemetry"), ["engine"]);
    assert_eq!(ours("devicestate-event-files"), ["engine", "terminal"]);
    assert_eq!(ours("devicestate-read-api"), ["engine"]);
    assert_eq!(ours("devicestate-live"), ["dead-letters", "engine", "read-api", "terminal"]);
    assert_eq!(
        ours("devicestate-local"),
        ["dead-letters", "engine", "event-files", "live", "read-api", "sqlite", "telemetry", "terminal"]
    );
}

#[test]
fn the_deployed_program_has_no_stand_ins() {
    let deployed = tree(&["--package", "devicestate", "--no-default-features"]);
    let default = tree(&["--package", "devicestate"]);
    for name in ["devicestate-local", "devicestate-live", "devicestate-report-page", "hdrhistogram", "maud"] {
        assert!(has(&default, name) && !has(&deployed, name), "{name}");
    }
    let is_for_tests = |name: &&String| name.starts_with("devicestate-test-");
    assert_eq!(default.iter().find(is_for_tests), None);
}

#[test]
fn the_handler_links_neither_amqp_nor_openssl() {
    let handler = tree(&["--package", "devicestate"]);
    // The sender is checked only by the lock file: if it was never built, its packages are not on this machine.
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("the lock file");
    let is_locked = |name: &str| lock.contains(&format!("name = \"{name}\"\n"));
    for name in ["azure_core_amqp", "fe2o3-amqp", "webpki-roots", "ring"] {
        assert!(is_locked(name), "{name} is not in the lock file: update its name here");
        assert!(!has(&handler, name), "{name} is in the handler");
    }
    for name in ["openssl-sys", "native-tls"] {
        assert!(!is_locked(name), "{name}");
    }
    assert!(has(&handler, "azure_core"));
}

/// `cargo test` does not run test programs with `test = false`, so a script of another tier must.
#[test]
fn every_test_that_cargo_test_skips_is_run_by_another_tier() {
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("a file of this repository");
    let files = |folder: &str| {
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder of this repository");
        entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    let scripts: String = files("scripts/test").iter().map(|path| read(path)).collect();
    let packages = ["crates", "tests", "tools"].into_iter().flat_map(files).map(|package| package.join("Cargo.toml"));
    let manifests = packages.filter(|manifest| manifest.exists()).chain([root().join("Cargo.toml")]);
    let mut skipped = Vec::new();
    for manifest in manifests {
        let manifest = read(&manifest);
        for table in manifest.split("[[test]]\n").skip(1).map(|rest| rest.split("\n[").next().expect("a table")) {
            let name = table.lines().find_map(|line| line.strip_prefix("name = \"")).expect("a name");
            if table.contains("test = false") {
                skipped.push(name.trim_end_matches('"').to_owned());
            }
        }
    }
    assert!(skipped.len() > 10, "{skipped:?}");
    for name in skipped {
        assert!(scripts.contains(&format!("--test {name}")), "no script in scripts/test runs {name}");
    }
}
