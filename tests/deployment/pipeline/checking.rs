//! `scripts/deploy-infra.sh --check`, run in a small copy of the repository with a fake of Bicep's compiler.

use std::{fs, os::unix::fs::symlink, path::Path};

use devicestate_test_support::root;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use super::azure::{Azure, ScriptResult};

/// What is kept of the compiler's output.
const KEPT: &str = "tests/deployment/infra/compiled";

/// The files of infra/ and the parameter file of a snapshot that is not in infra/.
const FILES: [(&str, &str); 7] = [
    ("infra/main.bicep", "param one int = 1\n"),
    ("infra/main.parameters.json", "{}\n"),
    ("infra/modules/alerts.bicep", "var text = loadTextContent('../queries/lag.kql')\n"),
    ("infra/queries/lag.kql", "records | summarize max(Lag)"),
    ("infra/queries/records.kql", "let records = traces;"),
    ("infra/staging.bicepparam", "using 'main.bicep'\n"),
    ("tests/deployment/infra/compiled/snapshots/standby.bicepparam", "using 'main.bicep'\nparam one = 2\n"),
];

const GROUP: &str = "/subscriptions/00000000-0000-0000-0000-000000000000/resourceGroups/rg-devicestate";

/// A copy of the repository, and a machine with a compiler that finds no fault in it.
struct Copy(Azure);

impl Copy {
    fn new() -> Self {
        let copy = Self(Azure::deployed(&[]));
        for (path, text) in FILES {
            copy.write(path, text);
        }
        for path in
            ["scripts/deploy-infra.sh", "scripts/check-infra.sh", "scripts/common.sh", &format!("{KEPT}/condense.mjs")]
        {
            let target = copy.0.path("copy").join(path);
            fs::create_dir_all(target.parent().expect("a folder")).expect("a folder in the temporary folder");
            fs::copy(root().join(path), target).expect("a file of the repository");
        }
        symlink(root().join("tests/deployment/pipeline/fakes/compiler/bicep"), copy.0.path("commands/bicep"))
            .expect("a link in the temporary folder");
        copy.0.set("bicep-version", "Bicep CLI version 0.49.2 (b34271ac51)\n");
        copy.compiles_to("1.2", "let window = 15m;\nlet retention = 168h;\n");
        copy
    }

    fn write(&self, path: &str, text: &str) {
        let path = self.0.path("copy").join(path);
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder in the temporary folder");
        fs::write(path, text).expect("a file in the temporary folder");
    }

    fn read(&self, path: &str) -> String {
        fs::read_to_string(self.0.path("copy").join(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Sets what the compiler makes of infra/: with this version of TLS, and this beginning of a query.
    fn compiles_to(&self, tls: &str, query: &str) {
        let resource = json!({"type": "Microsoft.Web/sites", "properties": {"minTlsVersion": tls}});
        let template =
            json!({"metadata": {"_generator": {"name": "bicep", "version": "0.49.2.45890"}}, "resources": [resource]});
        self.0.set("main.json", &template.to_string());
        let query = format!("{query}let records = traces;\nrecords | summarize max(Lag)");
        let mut resources = vec![
            json!({"id": format!("{GROUP}/one"), "properties": {"minTlsVersion": tls}}),
            json!({"id": format!("{GROUP}/two"), "properties": {"query": query}}),
        ];
        // A JSON object of this crate is ordered by name.
        for (turn, outputs) in [r#""A": "OPERATOR", "B": "b""#, r#""B": "b", "A": "OPERATOR""#].into_iter().enumerate()
        {
            resources.reverse();
            let text = format!(
                r#"{{"predictedResources": {}, "diagnostics": [], "outputs": {{{outputs}}}}}"#,
                json!(resources)
            );
            for name in ["staging", "standby"] {
                self.0.set(&format!("{name}.snapshot.{turn}"), &text);
            }
        }
    }

    fn check(&self, arguments: &[&str]) -> ScriptResult {
        let script = self.0.path("copy/scripts/deploy-infra.sh");
        let settings = self.0.path("az").display().to_string();
        let arguments: Vec<&str> = ["--check"].iter().chain(arguments).copied().collect();
        self.0.run_program(&script, &arguments, &[("AZURE_CONFIG_DIR", &settings)])
    }

    /// Writes anew what is kept.
    #[track_caller]
    fn updated(self) -> Self {
        self.check(&["--update-compiled"]).assert(0, &[]);
        self
    }
}

#[test]
fn infra_without_faults_passes_without_az_or_a_login() {
    let copy = Copy::new().updated();
    copy.check(&[]).assert(0, &[]);
    assert_eq!(copy.0.log("az.log"), "", "az is not called");
    // Nothing is written into infra/: snapshots are written beside the parameter files.
    let names = |folder: &str| fs::read_dir(copy.0.path("copy").join(folder)).expect("a folder").count();
    assert_eq!([names("infra"), names("infra/modules"), names("infra/queries")], [5, 1, 2]);
}

#[test]
fn a_warning_fails_although_the_compiler_ends_with_0() {
    let copy = Copy::new().updated();
    let warning = "/infra/main.bicep(102,124) : Warning BCP089: The property \"minTlsVersions\" is not allowed\n";
    copy.0.set("main.bicep.lint", warning);
    copy.check(&[]).assert(1, &["minTlsVersions", "infra/main.bicep has errors or warnings"]);
    copy.0.remove("main.bicep.lint");
    copy.0.set(
        "staging.bicepparam.lint",
        "/infra/staging.bicepparam(3,1) : Error BCP259: The parameter is not declared\n",
    );
    copy.check(&["--update-compiled"]).assert(1, &["BCP259", "infra/staging.bicepparam has errors or warnings"]);
    assert!(!copy.0.log("bicep.log").lines().next_back().expect("a call").contains("snapshot"), "nothing is compiled");
}

#[test]
fn a_file_that_is_not_formatted_fails() {
    let copy = Copy::new().updated();
    copy.0.set("alerts.bicep.formatted", "var text = loadTextContent(\n  '../queries/lag.kql'\n)\n");
    copy.check(&[])
        .assert(1, &["infra/modules/alerts.bicep is not formatted: run bicep format", "+  '../queries/lag.kql'"]);
}

#[test]
fn what_is_kept_of_an_older_infra_fails_until_it_is_updated() {
    let copy = Copy::new();
    copy.check(&[]).assert(1, &["main.json", "--check --update-compiled"]);
    let copy = copy.updated();
    copy.compiles_to("1.1", "let window = 15m;\nlet retention = 168h;\n");
    let words = ["\"minTlsVersion\": \"1.1\"", "snapshots/standby.json", "--check --update-compiled"];
    copy.check(&[]).assert(1, &words);
    let copy = copy.updated();

    // A query that is not composed as `scripts/alerts` does it is not only named.
    copy.compiles_to("1.1", "let window = 15m;\n");
    copy.check(&[]).assert(1, &["let window = 15m;"]);
    let copy = copy.updated();

    // Of a comment the compiler makes nothing, but the tests compare only files that did not change.
    copy.write("infra/modules/alerts.bicep", "// Two.\nvar text = loadTextContent('../queries/lag.kql')\n");
    copy.check(&[]).assert(1, &["sources.sha256"]);
    let copy = copy.updated();

    // A snapshot of a parameter file that no longer exists.
    fs::remove_file(copy.0.path("copy").join(KEPT).join("snapshots/standby.bicepparam")).expect("a file");
    copy.check(&[]).assert(1, &["standby.json"]);
    copy.updated().check(&[]).assert(0, &[]);
}

#[test]
fn the_kept_data_is_the_same_with_every_version_and_at_every_run() {
    let copy = Copy::new().updated();
    let template: Value = serde_json::from_str(&copy.read(&format!("{KEPT}/main.json"))).expect("JSON");
    assert_eq!(template["metadata"], json!({}), "no version of the compiler");
    let snapshot: Value = serde_json::from_str(&copy.read(&format!("{KEPT}/snapshots/staging.json"))).expect("JSON");
    assert_eq!(snapshot["predictedResources"][0]["id"], "~/one", "no resource group");
    let query = &snapshot["predictedResources"][1]["properties"]["query"];
    assert_eq!(query, "window 15m, retention 168h, records.kql, lag.kql");
    assert_eq!(snapshot["outputs"]["A"], "11111111-1111-1111-1111-111111111111");
    // The fake writes resources and outputs in another order at each run.
    for _ in 0..2 {
        copy.check(&[]).assert(0, &[]);
    }
    copy.0.set("bicep-version", "Bicep CLI version 0.50.1 (0123456789)\n");
    copy.check(&[]).assert(0, &[]);
}

/// The test of infra/ that compares only files that did not change computes the same.
#[test]
fn the_kept_digests_are_those_of_the_files_that_the_compiler_reads() {
    let copy = Copy::new().updated();
    let digest = |text: &str| Sha256::digest(text).iter().fold(String::new(), |all, byte| all + &format!("{byte:02x}"));
    let read = FILES.iter().filter(|(path, _)| *path != "infra/main.parameters.json");
    let expected: Vec<String> = read.map(|(path, text)| format!("{}  {path}", digest(text))).collect();
    assert_eq!(copy.read(&format!("{KEPT}/sources.sha256")).lines().collect::<Vec<_>>(), expected);
}

#[test]
fn without_a_compiler_that_is_new_enough_the_check_does_not_start() {
    let copy = Copy::new();
    // That of a hosted image may be older than what az installs.
    copy.0.set("bicep-version", "Bicep CLI version 0.46.1 (0123456789)\n");
    copy.check(&[]).assert(2, &["Bicep 0.47.16 or newer is required, and az bicep upgrade failed"]);
    copy.0.set("bicep-latest", "Bicep CLI version 0.47.10 (0123456789)\n");
    copy.check(&[]).assert(2, &["az bicep upgrade installed none in", "az/bin/bicep"]);
    fs::remove_dir_all(copy.0.path("az")).expect("a folder in the temporary folder");
    copy.0.remove("commands/bicep");
    copy.check(&[]).assert(2, &["az bicep upgrade failed"]);
    copy.0.set("bicep-latest", "Bicep CLI version 0.49.2 (b34271ac51)\n");
    copy.check(&["--update-compiled"]).assert(0, &[]);
    copy.0.set("az.log", "");
    copy.check(&[]).assert(0, &[]);
    assert_eq!(copy.0.log("az.log"), "", "it is installed once");
    fs::remove_dir_all(copy.0.path("az")).expect("a folder in the temporary folder");
    copy.0.remove("fakes");
    copy.check(&[]).assert(2, &["Bicep 0.47.16 or newer is required: install it, or az"]);
}

#[test]
fn what_is_kept_is_written_only_by_a_check() {
    let azure = Azure::deployed(&[]);
    azure
        .run("deploy-infra.sh", &["--environment", "staging", "--update-compiled"])
        .assert(2, &["--update-compiled needs --check"]);
    assert!(!azure.log("az.log").contains("deployment group"), "nothing is deployed");
}

/// The parameter files beside the snapshots are of the main template, too.
#[test]
fn the_kept_parameter_files_use_the_main_template() {
    let folder = root().join(KEPT).join("snapshots");
    let files = fs::read_dir(folder).expect("a folder of the repository").map(|entry| entry.expect("an entry").path());
    let files: Vec<_> = files.filter(|path| path.extension() == Some("bicepparam".as_ref())).collect();
    assert!(files.len() >= 5, "{files:?}");
    for file in files {
        let text = fs::read_to_string(&file).expect("a file of the repository");
        assert!(text.starts_with("using 'main.bicep'\n"), "{}", file.display());
        let name = file.file_name().expect("a name");
        assert!(!Path::new(root()).join("infra").join(name).exists(), "{} is in infra/, too", file.display());
    }
}
