//! What the compiler wrote, and the files of which it was made.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    io::Write as _,
    path::Path,
};

use devicestate_test_support::root;
use serde_json::Value as Json;
use sha2::{Digest as _, Sha256};

use super::{
    super::{bicep::Template, sources::Sources},
    snapshots::Snapshot,
};

/// The folder, in the repository.
const FOLDER: &str = "tests/deployment/infra/compiled";

/// Only azd reads it.
const NOT_COMPILED: &str = "infra/main.parameters.json";

/// What the compiler wrote.
pub(super) struct Compiled {
    pub(super) main: Json,
    snapshots: Vec<Snapshot>,
    /// The SHA-256 of each file of which it was made, by path.
    digests: BTreeMap<String, String>,
    /// The parameter files beside the snapshots, by path.
    parameter_files: BTreeMap<String, String>,
}

impl Compiled {
    /// Reads it.
    pub(super) fn read() -> Self {
        let file = |path: &str| fs::read_to_string(root().join(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let json = |path: &str| serde_json::from_str(&file(path)).unwrap_or_else(|error| panic!("{path}: {error}"));
        let digests = file(&format!("{FOLDER}/sources.sha256"));
        let digests = digests.lines().filter_map(|line| line.split_once("  "));
        let mut parameter_files = BTreeMap::new();
        let mut snapshots = Vec::new();
        let entries = fs::read_dir(root().join(FOLDER).join("snapshots")).expect("a folder of the repository");
        for entry in entries {
            let name = entry.expect("an entry").file_name().into_string().expect("a name");
            let path = format!("{FOLDER}/snapshots/{name}");
            if name.ends_with(".bicepparam") {
                parameter_files.insert(path.clone(), file(&path));
            } else if let Some(name) = name.strip_suffix(".json") {
                let beside = format!("{FOLDER}/snapshots/{name}.bicepparam");
                let own = format!("infra/{name}.bicepparam");
                let parameters = file(if root().join(&beside).exists() { &beside } else { &own });
                snapshots.push(Snapshot { name: name.to_owned(), parameters, json: json(&path) });
            }
        }
        Self {
            main: json(&format!("{FOLDER}/main.json")),
            snapshots,
            digests: digests.map(|(digest, path)| (path.to_owned(), digest.to_owned())).collect(),
            parameter_files,
        }
    }

    /// Returns the files that are new, missing, or not as they were when the compiler read them.
    pub(super) fn changed(&self, sources: &Sources) -> BTreeSet<String> {
        let own = sources.below("infra").map(|(path, text)| (path.to_str().expect("a path").to_owned(), text));
        let parameters = self.parameter_files.iter().map(|(path, text)| (path.clone(), text.as_str()));
        let now = own.filter(|(path, _)| path != NOT_COMPILED).chain(parameters);
        let now: BTreeMap<String, String> = now.map(|(path, text)| (path, digest(text))).collect();
        let paths: BTreeSet<&String> = now.keys().chain(self.digests.keys()).collect();
        paths.into_iter().filter(|path| now.get(*path) != self.digests.get(*path)).cloned().collect()
    }

    /// Returns where the reader and the snapshots differ.
    pub(super) fn snapshot_faults(&self, sources: &Sources) -> Vec<String> {
        assert!(self.snapshots.len() >= 7, "{}", self.snapshots.len());
        self.snapshots.iter().flat_map(|snapshot| snapshot.faults(sources)).collect()
    }
}

/// Returns the SHA-256 of a text, as `sha256sum` writes it.
fn digest(text: &str) -> String {
    Sha256::digest(text).iter().fold(String::new(), |all, byte| all + &format!("{byte:02x}"))
}

/// Returns the files on which the compiled template depends: its own, and those that it loads.
pub(super) fn inputs(template: &Template, sources: &Sources) -> BTreeSet<String> {
    let own = template.path.to_str().expect("a path").to_owned();
    loaded(template, sources).into_iter().chain([own]).collect()
}

/// Returns the files that a template loads.
pub(super) fn loaded(template: &Template, sources: &Sources) -> BTreeSet<String> {
    let text = sources.text(template.path.to_str().expect("a path"));
    let calls = ["loadTextContent('", "loadJsonContent('"].into_iter().flat_map(|call| text.split(call).skip(1));
    let names = calls.filter_map(|rest| rest.split('\'').next());
    names.map(|name| resolve(template.path.parent().expect("a folder"), name)).collect()
}

/// Returns the path of a file that is named in a file of this folder.
fn resolve(folder: &Path, name: &str) -> String {
    let mut path = folder.to_owned();
    for part in name.split('/') {
        match part {
            ".." => _ = path.pop(),
            part => path.push(part),
        }
    }
    path.to_str().expect("a path").to_owned()
}

/// Writes which files were not compared, past the capture of the test harness.
pub(super) fn report(changed: &BTreeSet<String>) {
    let first: Vec<&str> = changed.iter().map(String::as_str).take(3).collect();
    let more =
        if changed.len() > first.len() { format!(" and {} more", changed.len() - first.len()) } else { String::new() };
    let line = format!(
        "\nNot compared with what Bicep's compiler makes of it, because it changed since {FOLDER} was made: {}{more}. \
         Where Bicep is installed, run scripts/deploy-infra.sh --check --update-compiled and commit the result.\n",
        first.join(", ")
    );
    let _ = std::io::stderr().write_all(line.as_bytes());
}

#[test]
fn a_changed_new_or_missing_file_of_infra_is_noticed() {
    let sources =
        Sources::of(&[("infra/main.bicep", "var one = 1\n"), ("infra/roles.json", "{}"), (NOT_COMPILED, "{}")]);
    let digests = [("infra/main.bicep", digest("var one = 1\n")), ("infra/roles.json", digest("{}"))];
    let compiled = |digests: &[(&str, String)]| Compiled {
        main: Json::Null,
        snapshots: Vec::new(),
        digests: digests.iter().map(|(path, digest)| ((*path).to_owned(), digest.clone())).collect(),
        parameter_files: BTreeMap::new(),
    };
    let names = |set: BTreeSet<String>| set.into_iter().collect::<Vec<_>>();
    assert!(compiled(&digests).changed(&sources).is_empty());
    assert_eq!(names(compiled(&digests[1..]).changed(&sources)), ["infra/main.bicep"], "new");
    assert_eq!(names(compiled(&digests).changed(&sources.with("infra/roles.json", "{}", "[]"))), ["infra/roles.json"]);
    let missing = Sources::of(&[("infra/main.bicep", "var one = 1\n")]);
    assert_eq!(names(compiled(&digests).changed(&missing)), ["infra/roles.json"], "missing");
}
