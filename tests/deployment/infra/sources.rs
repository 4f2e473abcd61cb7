//! The texts of the deployed files and of those that describe the deployment. A test can change one to see whether the change
//! is detected.

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
pub(crate) const FUNCTIONS: [&str; 5] = [
    "DeadLetterWatchFunction/function.json",
    "DevicesFunction/function.json",
    "RawTelemetryFunction/function.json",
    "SessionTelemetryFunction/function.json",
    "SilenceWatchFunction/function.json",
];

/// The files, by their paths in the repository.
#[derive(Debug, Clone)]
pub(crate) struct Sources(BTreeMap<PathBuf, String>);

impl Sources {
    /// Reads the files.
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

    /// These files only.
    pub(crate) fn of(files: &[(&str, &str)]) -> Self {
        Self(files.iter().map(|(path, text)| (PathBuf::from(path), (*text).to_owned())).collect())
    }

    /// Returns a copy with each occurrence of a text in a file replaced.
    #[track_caller]
    pub(crate) fn with(&self, path: &str, from: &str, to: &str) -> Self {
        let mut changed = self.clone();
        let text = changed.0.get_mut(Path::new(path)).unwrap_or_else(|| panic!("{path} does not exist"));
        assert!(text.contains(from), "{path} does not contain {from:?}");
        *text = text.replace(from, to);
        changed
    }

    /// Returns a copy with each occurrence of a text in a template, such as `main` or `modules/documents`, replaced.
    #[track_caller]
    pub(crate) fn with_template(&self, template: &str, from: &str, to: &str) -> Self {
        self.with(&format!("infra/{template}.bicep"), from, to)
    }

    pub(crate) fn text(&self, path: &str) -> &str {
        &self.0[Path::new(path)]
    }

    pub(crate) fn json(&self, path: &str) -> Value {
        serde_json::from_str(self.text(path)).unwrap_or_else(|error| panic!("{path}: {error}"))
    }

    /// Returns the files below a folder, each with its text.
    pub(crate) fn below(&self, folder: &str) -> impl Iterator<Item = (&Path, &str)> {
        self.0
            .iter()
            .filter(move |(path, _)| path.starts_with(folder))
            .map(|(path, text)| (path.as_path(), text.as_str()))
    }

    /// Returns the paths of the files with this extension.
    pub(crate) fn paths(&self, ending: &str) -> Vec<&Path> {
        self.0.keys().map(PathBuf::as_path).filter(|path| path.extension().is_some_and(|own| own == ending)).collect()
    }

    /// Returns the deployed template, then its modules.
    pub(crate) fn templates(&self) -> Vec<Template> {
        let mut paths = self.paths("bicep");
        paths.sort_by_key(|path| *path != Path::new(MAIN));
        paths.into_iter().map(|path| Template::parse(path, &self.0[path])).collect()
    }
}

/// Checks that there are no faults.
#[track_caller]
pub(crate) fn assert_no_faults(faults: &[String]) {
    assert!(faults.is_empty(), "{}", faults.join("\n"));
}

/// Checks that a fault has these words.
#[track_caller]
pub(crate) fn assert_detected(faults: &[String], words: &str) {
    assert!(faults.iter().any(|fault| fault.contains(words)), "no fault about {words:?} in {faults:#?}");
}
