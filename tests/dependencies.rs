//! What is linked into what: the layers are crates, and Cargo says what each of them pulls in.

use devicestate_test_support::{program::cargo, root};

/// The names of all packages that these arguments of `cargo tree` select, each once.
fn tree(arguments: &[&str]) -> Vec<String> {
    let mut cargo =
        cargo(&["tree", "--locked", "--offline", "--edges", "normal", "--prefix", "none", "--format", "{p}"]);
    let output = cargo.args(arguments).output().expect("Cargo is there");
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

/// The engine and what uses nothing but it know no server, no cloud and no database.
#[test]
fn the_engine_has_no_http_server_no_azure_and_no_database() {
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
    assert_eq!(ours("devicestate-terminal"), [""; 0]);
    assert_eq!(ours("devicestate-sqlite"), ["engine"]);
    assert_eq!(ours("devicestate-dead-letters"), ["engine"]);
    assert_eq!(ours("devicestate-azure"), ["dead-letters", "engine"]);
    assert_eq!(ours("devicestate-local"), ["engine", "sqlite", "terminal"]);
}

#[test]
fn what_is_deployed_has_no_stand_in_of_anything() {
    let deployed = tree(&["--package", "devicestate", "--no-default-features"]);
    let default = tree(&["--package", "devicestate"]);
    for name in ["devicestate-local", "hdrhistogram"] {
        assert!(has(&default, name) && !has(&deployed, name), "{name}");
    }
    let of_tests = |name: &&String| name.starts_with("devicestate-test-");
    assert_eq!(default.iter().find(of_tests), None);
}

#[test]
fn nothing_of_amqp_or_of_openssl_is_linked_into_the_handler() {
    let handler = tree(&["--package", "devicestate"]);
    // Of the sender only the lock file is asked: where nobody has built it, its packages are not on this machine.
    let lock = std::fs::read_to_string(root().join("Cargo.lock")).expect("the lock file");
    let is_locked = |name: &str| lock.contains(&format!("name = \"{name}\"\n"));
    for theirs in ["azure_core_amqp", "fe2o3-amqp", "webpki-roots", "ring"] {
        assert!(is_locked(theirs), "{theirs} is not looked for by its name any more");
        assert!(!has(&handler, theirs), "{theirs} is in the handler");
    }
    for nobodys in ["openssl-sys", "native-tls"] {
        assert!(!is_locked(nobodys), "{nobodys}");
    }
    assert!(has(&handler, "azure_core"));
}

/// Test programs with `test = false` are left out by `cargo test`. Each must be named by a script of another tier.
#[test]
fn what_cargo_test_leaves_out_is_run_by_another_tier() {
    let read = |path: &std::path::Path| std::fs::read_to_string(path).expect("a file of this repository");
    let files = |folder: &str| {
        let entries = std::fs::read_dir(root().join(folder)).expect("a folder of this repository");
        entries.map(|entry| entry.expect("an entry").path()).collect::<Vec<_>>()
    };
    let scripts: String = files("scripts/test").iter().map(|path| read(path)).collect();
    let packages = ["crates", "tests", "tools"].into_iter().flat_map(files).map(|package| package.join("Cargo.toml"));
    let manifests = packages.filter(|manifest| manifest.exists()).chain([root().join("Cargo.toml")]);
    let mut left_out = Vec::new();
    for manifest in manifests {
        let manifest = read(&manifest);
        for table in manifest.split("[[test]]\n").skip(1).map(|rest| rest.split("\n[").next().expect("a table")) {
            let name = table.lines().find_map(|line| line.strip_prefix("name = \"")).expect("a name");
            if table.contains("test = false") {
                left_out.push(name.trim_end_matches('"').to_owned());
            }
        }
    }
    assert!(left_out.len() > 10, "{left_out:?}");
    for name in left_out {
        assert!(scripts.contains(&format!("--test {name}")), "no script in scripts/test runs {name}");
    }
}
