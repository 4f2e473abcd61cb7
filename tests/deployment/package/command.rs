//! Runs `scripts/package.sh`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::LazyLock,
};

use devicestate_test_support::{program::target, repository_file, root};
use serde_json::Value;

/// What a run is given.
pub(super) struct Run {
    pub(super) from: PathBuf,
    pub(super) arguments: Vec<String>,
}

impl Run {
    /// From this folder, with these words.
    pub(super) fn new<Word: ToString>(from: &Path, arguments: impl IntoIterator<Item = Word>) -> Self {
        Self { from: from.to_owned(), arguments: arguments.into_iter().map(|word| word.to_string()).collect() }
    }

    pub(super) fn output(&self) -> Output {
        let mut command = Command::new("bash");
        command.arg(root().join("scripts/package.sh")).args(&self.arguments).current_dir(&self.from);
        command.env("CARGO_TARGET_DIR", target()).env("CARGO_PROFILE_DEV_DEBUG", "false").stdin(Stdio::null());
        command.output().expect("the command bash")
    }

    /// Runs to the end, expects success, and reads the report.
    pub(super) fn succeeds(mut self) -> Value {
        self.arguments.extend(["--format", "json"].map(str::to_owned));
        let output = self.output();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        serde_json::from_slice(&output.stdout).expect("the report is JSON and stands alone")
    }

    /// Runs to the end, expects a refusal with this exit code and these words, and nothing on standard output.
    pub(super) fn fails(&self, code: i32, words: &[&str]) {
        let output = self.output();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        for word in words {
            assert!(error.contains(word), "no {word:?} in: {error}");
        }
    }
}

/// A small static program that passes the checks. Compiling it takes a second and needs nothing but Rust, where the
/// real program takes minutes and python3.
pub(super) static ANSWERING: LazyLock<PathBuf> = LazyLock::new(|| {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(all).expect("the target folder");
    let (program, mine) = (all.join("answering"), all.join(format!("answering.{}", std::process::id())));
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "-C", "target-feature=+crt-static", "-o"]).arg(&mine);
    let output = rustc.arg(root().join("tests/deployment/package/answering.rs")).output().expect("the command rustc");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(mine, &program).expect("a folder of our own");
    program
});

/// A file with the bytes of another, but for a change.
pub(super) fn changed(from: &Path, to: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(from).expect("a program");
    change(&mut bytes);
    fs::write(to, bytes).expect("a file can be written");
}

/// What host.json tells the host to start.
pub(super) fn program_name() -> String {
    let host = repository_file("host.json");
    host["customHandler"]["description"]["defaultExecutablePath"].as_str().expect("a name").to_owned()
}

/// The folders of the repository that are functions.
pub(super) fn functions() -> Vec<String> {
    let entries = fs::read_dir(root()).expect("the repository").map(|entry| entry.expect("an entry"));
    let functions = entries.filter(|entry| entry.path().join("function.json").is_file());
    functions.map(|entry| entry.file_name().into_string().expect("text")).collect()
}

/// The files with the licences of the program.
pub(super) const LICENCES: [&str; 2] = ["LICENSE", "THIRD-PARTY-NOTICES.md"];

/// The files that belong into a package as they are in the repository.
pub(super) fn copied_files() -> BTreeSet<String> {
    let functions = functions().into_iter().map(|function| function + "/function.json");
    functions.chain(["host.json".to_owned()]).chain(LICENCES.map(str::to_owned)).collect()
}

/// The files that belong into a package.
pub(super) fn expected_files() -> BTreeSet<String> {
    copied_files().into_iter().chain([program_name()]).collect()
}

/// The files in a folder and below, by their paths from there.
pub(super) fn files(folder: &Path) -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    for entry in fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry")) {
        let name = entry.file_name().into_string().expect("text");
        if entry.path().is_dir() {
            found.extend(files(&entry.path()).into_iter().map(|file| format!("{name}/{file}")));
        } else {
            found.insert(name);
        }
    }
    found
}

/// A folder with the same files, made anew.
pub(super) fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let to = to.join(&file);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder can be made");
        fs::copy(from.join(file), to).expect("a file can be copied");
    }
}
