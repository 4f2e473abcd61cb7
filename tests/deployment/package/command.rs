//! Runs `scripts/package.sh`.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::{Command, Output, Stdio},
    sync::LazyLock,
};

use devicestate_test_support::{output_schema::read_output, program::target, repository_file, root};
use serde_json::Value;

/// The folder and the arguments of a run.
pub(super) struct Run {
    pub(super) from: PathBuf,
    /// The repository.
    pub(super) root: PathBuf,
    pub(super) arguments: Vec<String>,
}

impl Run {
    /// Creates a run in this folder with these arguments.
    pub(super) fn new<Argument: ToString>(from: &Path, arguments: impl IntoIterator<Item = Argument>) -> Self {
        let root = root().to_owned();
        Self {
            from: from.to_owned(),
            root,
            arguments: arguments.into_iter().map(|argument| argument.to_string()).collect(),
        }
    }

    pub(super) fn output(&self) -> Output {
        let mut command = Command::new("bash");
        command.arg(self.root.join("scripts/package.sh")).args(&self.arguments).current_dir(&self.from);
        command.env("CARGO_TARGET_DIR", target()).env("CARGO_PROFILE_DEV_DEBUG", "false").stdin(Stdio::null());
        command.output().expect("the command bash")
    }

    /// Runs the script, which must succeed, and returns the data of its JSON output, which must satisfy the schema.
    pub(super) fn succeeds(mut self) -> Value {
        self.arguments.extend(["--output", "json"].map(str::to_owned));
        let output = self.output();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
        read_output(&output.stdout, output.status.code())
    }

    /// Runs the script, which must fail with this exit code, these words, and nothing on standard output.
    pub(super) fn fails(&self, code: i32, words: &[&str]) {
        let output = self.output();
        let error = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{error}");
        assert_eq!(String::from_utf8_lossy(&output.stdout), "");
        for word in words {
            assert!(error.contains(word), "{word:?} is missing in: {error}");
        }
    }
}

/// A small static program that passes the checks. It compiles in a second with Rust alone; the real program takes minutes
/// and needs python3.
pub(super) static ANSWERING: LazyLock<PathBuf> = LazyLock::new(|| {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(all).expect("the target folder");
    let (program, temporary) = (all.join("answering"), all.join(format!("answering.{}", std::process::id())));
    let mut rustc = Command::new("rustc");
    rustc.args(["--edition", "2024", "-C", "target-feature=+crt-static", "-o"]).arg(&temporary);
    let output =
        rustc.arg(root().join("tests/deployment/package/answering_program.rs")).output().expect("the command rustc");
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    fs::rename(temporary, &program).expect("the temporary folder is writable");
    program
});

/// Writes a changed copy of a file.
pub(super) fn write_changed(from: &Path, to: &Path, change: impl FnOnce(&mut Vec<u8>)) {
    let mut bytes = fs::read(from).expect("a program");
    change(&mut bytes);
    fs::write(to, bytes).expect("a file can be written");
}

/// Returns the program of host.json.
pub(super) fn program_name() -> String {
    let host = repository_file("host.json");
    host["customHandler"]["description"]["defaultExecutablePath"].as_str().expect("a name").to_owned()
}

/// Returns the function folders of the repository.
pub(super) fn functions() -> Vec<String> {
    let entries = fs::read_dir(root()).expect("the repository").map(|entry| entry.expect("an entry"));
    let functions = entries.filter(|entry| entry.path().join("function.json").is_file());
    functions.map(|entry| entry.file_name().into_string().expect("text")).collect()
}

/// The files with the licences of the program.
pub(super) const LICENCES: [&str; 2] = ["LICENSE", "THIRD-PARTY-NOTICES.md"];

/// Returns the files that are copied from the repository into a package.
pub(super) fn copied_files() -> BTreeSet<String> {
    let functions = functions().into_iter().map(|function| function + "/function.json");
    functions.chain(["host.json".to_owned()]).chain(LICENCES.map(str::to_owned)).collect()
}

/// Returns the files of a package.
pub(super) fn expected_files() -> BTreeSet<String> {
    copied_files().into_iter().chain([program_name()]).collect()
}

/// Returns all files below a folder, by relative path.
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

/// Copies a folder.
pub(super) fn copy(from: &Path, to: &Path) {
    for file in files(from) {
        let to = to.join(&file);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder can be made");
        fs::copy(from.join(file), to).expect("a file can be copied");
    }
}
