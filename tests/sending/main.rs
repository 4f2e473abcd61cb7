//! `devicestate-send` is a package of its own, and Cargo unifies features: tested with the handler, it would link its TLS
//! into it. So its tests are a run of Cargo of their own, behind this one.

use std::{
    env,
    process::{Command, Output},
};

/// Cargo in the workspace, with the same target folder as everything else.
fn cargo(arguments: &[&str]) -> (bool, String) {
    let cargo = env::var("CARGO").unwrap_or_else(|_| "cargo".into());
    let mut command = Command::new(cargo);
    command.current_dir(env!("CARGO_MANIFEST_DIR")).args(arguments).env("RUST_BACKTRACE", "0");
    // What this test was told about its own package: build scripts of others would take it for a change of theirs.
    for (name, _) in env::vars_os() {
        if name.to_str().is_some_and(|name| name.starts_with("CARGO_PKG_") || name.starts_with("CARGO_MANIFEST_")) {
            command.env_remove(name);
        }
    }
    let Output { status, stdout, stderr } = command.output().expect("Cargo is there");
    (status.success(), [stdout, stderr].map(|bytes| String::from_utf8_lossy(&bytes).into_owned()).join("\n"))
}

/// How many tests have passed, by what Rust's harness says of each binary.
fn passed(told: &str) -> u32 {
    let of_binary = |line: &str| line.strip_prefix("test result: ok. ")?.split(' ').next()?.parse::<u32>().ok();
    told.lines().filter_map(of_binary).sum()
}

#[test]
fn devicestate_send_passes_its_tests() {
    let (succeeded, told) = cargo(&["test", "--locked", "--package", "devicestate-send"]);
    assert!(succeeded, "{told}\nto repeat: cargo test --package devicestate-send");
    let done = "a_hundred_thousand_events_of_a_hundred_keys_arrive_complete_and_in_order_per_key ... ok";
    assert!(told.contains(done), "the promise was not tested: {told}");
    assert!(passed(&told) >= 40, "{} tests have passed: {told}", passed(&told));
}

#[test]
fn nothing_of_amqp_or_of_openssl_is_linked_into_the_handler() {
    let tree = |package| {
        let (succeeded, told) = cargo(&[
            "tree",
            "--locked",
            "--package",
            package,
            "--edges",
            "normal",
            "--prefix",
            "none",
            "--format",
            "{p}",
        ]);
        assert!(succeeded, "{told}");
        told
    };
    let (handler, sender) = (tree("devicestate"), tree("devicestate-send"));
    let has = |tree: &str, name: &str| tree.lines().any(|line| line.starts_with(&format!("{name} v")));
    for theirs in ["azure_core_amqp", "fe2o3-amqp", "webpki-roots", "ring"] {
        assert!(has(&sender, theirs), "{theirs} is not looked for by its name any more");
        assert!(!has(&handler, theirs), "{theirs} is in the handler: {handler}");
    }
    for nobodys in ["openssl-sys", "native-tls"] {
        assert!(!has(&handler, nobodys) && !has(&sender, nobodys), "{nobodys}");
    }
    assert!(has(&handler, "azure_core"), "{handler}");
}
