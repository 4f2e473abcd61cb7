//! The files that are deployed or say how, as texts: so that a test can misspell one and see that it is noticed.

use std::{
    collections::BTreeMap,
    fs,
    path::{Path, PathBuf},
};

use devicestate_test_support::root;
use serde_json::Value;

use super::bicep::Template;

const MAIN: &str = "infra/main.bicep";

/// The functions of the app.
pub(crate) const FUNCTIONS: [&str; 3] = [
    "DeadLetterWatchFunction/function.json",
    "RawTelemetryFunction/function.json",
    "SessionTelemetryFunction/function.json",
];

/// The files, by their paths in the repository.
#[derive(Debug, Clone)]
pub(crate) struct Sources(BTreeMap<PathBuf, String>);

impl Sources {
    /// As they are.
    pub(crate) fn read() -> Self {
        let root = root();
        let files = |folder: &str| {
            let entries = fs::read_dir(root.join(folder)).expect("a folder of the repository");
            entries.map(|entry| entry.expect("an entry").path()).filter(|path| path.is_file()).collect::<Vec<_>>()
        };
        let single = ["host.json", "local.settings.json", "azure.yaml"].into_iter().chain(FUNCTIONS);
        let paths = ["infra", "infra/modules", "infra/queries", "emulators"].into_iter().flat_map(files);
        let paths = paths.chain(single.map(|path| root.join(path)));
        let text = |path: &Path| fs::read_to_string(path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        Self(
            paths
                .map(|path| (path.strip_prefix(root).expect("a path below the root").to_owned(), text(&path)))
                .collect(),
        )
    }

    /// With each occurrence of a text in a file replaced by another one.
    #[track_caller]
    pub(crate) fn with(&self, path: &str, from: &str, to: &str) -> Self {
        let mut changed = self.clone();
        let text = changed.0.get_mut(Path::new(path)).unwrap_or_else(|| panic!("there is no {path}"));
        assert!(text.contains(from), "{path} has no {from:?}");
        *text = text.replace(from, to);
        changed
    }

    pub(crate) fn text(&self, path: &str) -> &str {
        &self.0[Path::new(path)]
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_str(self.text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// The paths of the files with this ending.
    pub(crate) fn paths(&self, ending: &str) -> Vec<&Path> {
        self.0.keys().map(PathBuf::as_path).filter(|path| path.extension().is_some_and(|own| own == ending)).collect()
    }

    /// The template that is deployed, with its modules; that one first.
    pub(crate) fn templates(&self) -> Vec<Template> {
        let mut paths = self.paths("bicep");
        paths.sort_by_key(|path| *path != Path::new(MAIN));
        paths.into_iter().map(|path| Template::parse(path, &self.0[path])).collect()
    }
}

/// Fails with all the faults, if there are any.
#[track_caller]
pub(crate) fn assert_none(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Fails unless one of the faults has these words.
#[track_caller]
pub(crate) fn assert_noticed(faults: &[String], words: &str) {
    assert!(faults.iter().any(|fault| fault.contains(words)), "no fault about {words:?} in {faults:#?}");
}
