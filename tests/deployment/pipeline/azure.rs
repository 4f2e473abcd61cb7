//! A fake Azure for the scripts: the commands `az` and `func` of `fakes/`, and the files with their answers.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::{Path, PathBuf},
    process::{Command, Output},
    sync::LazyLock,
};

use devicestate_test_support::root;
use serde_json::{Value, json};
use tempfile::TempDir;

/// The master key.
pub(super) const MASTER_KEY: &str = "the-master-key-that-opens-everything";

/// The name of the app.
pub(super) const APP: &str = "func-devicestate-test";

/// The name of the app in the standby region.
pub(super) const STANDBY: &str = "func-devicestate-standby";

/// The other commands of the scripts: those of any machine with bash, and Node.js.
const COMMANDS: [&str; 20] = [
    "basename",
    "bash",
    "cat",
    "cp",
    "diff",
    "dirname",
    "find",
    "grep",
    "mkdir",
    "mktemp",
    "mv",
    "node",
    "rm",
    "sed",
    "sha256sum",
    "sleep",
    "sort",
    "tail",
    "touch",
    "xargs",
];

/// The paths of these commands on this machine.
static PROGRAMS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| COMMANDS.map(program).to_vec());

/// A deployed environment, and a login with all permissions.
pub(super) struct Azure(TempDir);

/// The result of a script.
#[derive(Debug)]
pub(super) struct ScriptResult {
    pub(super) code: Option<i32>,
    pub(super) stdout: String,
    pub(super) stderr: String,
}

impl Azure {
    /// Creates a deployment with these outputs and the app's name.
    pub(super) fn deployed(outputs: &[(&str, &str)]) -> Self {
        let azure = Self(tempfile::tempdir().expect("a temporary folder"));
        // Resource Manager changes the case of names.
        let outputs = [("azurE_FUNCTION_APP_NAME", APP)].iter().chain(outputs);
        let outputs = outputs.map(|(name, value)| ((*name).to_owned(), json!({"type": "String", "value": value})));
        fs::create_dir(azure.path("commands")).expect("a folder in the temporary folder");
        for (name, program) in COMMANDS.iter().zip(&*PROGRAMS) {
            symlink(program, azure.path("commands").join(name)).expect("a link in the temporary folder");
        }
        symlink(root().join("tests/deployment/pipeline/fakes"), azure.path("fakes"))
            .expect("a link in the temporary folder");
        azure.set("outputs.json", &Value::Object(outputs.collect()).to_string());
        azure.set("older.json", r#"{"azurE_FUNCTION_APP_NAME": {"type": "String", "value": "an older one"}}"#);
        azure.set("key", MASTER_KEY);
        azure.set("traces.json", "[]");
        azure.set("func-version", "4.15.1");
        azure.set("refusals", "0\n");
        azure.set("running", "0\n");
        azure.set("bicep-version", "Bicep CLI version 0.45.15 (0123456789)\n");
        azure.set("group", "");
        let token = json!({"accessToken": "a-token", "expiresOn": "2100-01-01 00:00:00", "expires_on": 4_102_444_800_u64,
            "subscription": "s", "tenant": "t", "tokenType": "Bearer"});
        azure.set("token.json", &token.to_string());
        azure
    }

    /// Writes an answer of a command.
    pub(super) fn set(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).expect("a file in the temporary folder");
    }

    /// Removes an answer.
    pub(super) fn remove(&self, file: &str) {
        fs::remove_file(self.path(file)).expect("a file in the temporary folder");
    }

    /// Returns the log of a command; empty if it was never called.
    pub(super) fn log(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_default()
    }

    /// Returns a path in the folder.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Runs a script of `scripts/`.
    pub(super) fn run(&self, script: &str, arguments: &[&str]) -> ScriptResult {
        self.run_with(script, arguments, &[])
    }

    /// Runs a script with environment variables.
    pub(super) fn run_with(&self, script: &str, arguments: &[&str], settings: &[(&str, &str)]) -> ScriptResult {
        self.run_program(&root().join("scripts").join(script), arguments, settings)
    }

    /// Runs a script of a copy of the repository.
    pub(super) fn run_program(&self, program: &Path, arguments: &[&str], settings: &[(&str, &str)]) -> ScriptResult {
        self.finish(Command::new(program).args(arguments), settings)
    }

    /// Runs a shell script of this folder.
    pub(super) fn shell(&self, script: &str) -> ScriptResult {
        self.finish(Command::new(program("bash")).arg(script), &[])
    }

    fn finish(&self, command: &mut Command, settings: &[(&str, &str)]) -> ScriptResult {
        command.current_dir(self.0.path()).env_clear().envs(settings.iter().copied());
        let path = env::join_paths([self.path("fakes"), self.path("commands")]).expect("a PATH");
        command.env("PATH", path).env("FAKE", self.0.path());
        command.envs(env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)));
        let Output { status, stdout, stderr } = command.output().expect("a script of this repository");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let result = ScriptResult { code: status.code(), stdout: text(stdout), stderr: text(stderr) };
        let all = [&result.stdout, &result.stderr, &self.log("az.log"), &self.log("func.log")];
        assert!(all.iter().all(|text| !text.contains(MASTER_KEY)), "a secret is printed: {result:?}");
        result
    }
}

/// Returns the path of a command.
fn program(name: &str) -> PathBuf {
    if name == "node" {
        // A version manager's wrapper in PATH would need other commands.
        let output = Command::new(name).args(["-p", "process.execPath"]).output().expect("Node.js");
        return String::from_utf8(output.stdout).expect("text").trim().into();
    }
    let path = env::var_os("PATH").expect("a PATH");
    let mut programs = env::split_paths(&path).map(|folder| folder.join(name));
    programs.find(|program| program.is_file()).unwrap_or_else(|| panic!("{name} is not installed"))
}

impl ScriptResult {
    /// Checks the exit code, and that standard error contains these words.
    #[track_caller]
    pub(super) fn assert(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.stderr.contains(word), "{word:?} is not in: {}", self.stderr);
        }
    }
}
