//! Azure as the scripts see it: the commands `az` and `func`, which `fakes/` stands in for, and what they know.

use std::{
    env, fs,
    os::unix::fs::symlink,
    path::PathBuf,
    process::{Command, Output},
    sync::LazyLock,
};

use devicestate_test_support::root;
use serde_json::{Value, json};
use tempfile::TempDir;

/// What the master key is here.
pub(super) const MASTER_KEY: &str = "the-master-key-that-opens-everything";

/// The app's name.
pub(super) const APP: &str = "func-devicestate-test";

/// The name of the app in the standby region.
pub(super) const STANDBY: &str = "func-devicestate-standby";

/// What else the scripts find: what any machine has that has bash, and Node.js. Nothing that a fresh one may lack.
const COMMANDS: [&str; 10] = ["basename", "bash", "cat", "dirname", "node", "sed", "sleep", "sort", "tail", "touch"];

/// Where these commands are on this machine.
static PROGRAMS: LazyLock<Vec<PathBuf>> = LazyLock::new(|| COMMANDS.map(program).to_vec());

/// An environment that is deployed, and somebody who is logged in and may do everything.
pub(super) struct Azure(TempDir);

/// How a script ended.
#[derive(Debug)]
pub(super) struct Ended {
    pub(super) code: Option<i32>,
    pub(super) said: String,
    pub(super) complained: String,
}

impl Azure {
    /// With these outputs of its deployment besides the app's name.
    pub(super) fn deployed(outputs: &[(&str, &str)]) -> Self {
        let azure = Self(tempfile::tempdir().expect("a temporary folder"));
        // As Resource Manager gives them back: with another case.
        let outputs = [("azurE_FUNCTION_APP_NAME", APP)].iter().chain(outputs);
        let outputs = outputs.map(|(name, value)| ((*name).to_owned(), json!({"type": "String", "value": value})));
        fs::create_dir(azure.path("commands")).expect("a folder in the temporary folder");
        for (name, program) in COMMANDS.iter().zip(&*PROGRAMS) {
            symlink(program, azure.path("commands").join(name)).expect("a link in the temporary folder");
        }
        azure.knows("outputs.json", &Value::Object(outputs.collect()).to_string());
        azure.knows("older.json", r#"{"azurE_FUNCTION_APP_NAME": {"type": "String", "value": "an older one"}}"#);
        azure.knows("key", MASTER_KEY);
        azure.knows("traces.json", "[]");
        azure.knows("func-version", "4.15.1");
        azure.knows("refusals", "0\n");
        azure.knows("running", "0\n");
        azure.knows("bicep-version", "Bicep CLI version 0.45.15 (0123456789)\n");
        azure.knows("group", "");
        let token = json!({"accessToken": "a-token", "expiresOn": "2100-01-01 00:00:00", "expires_on": 4_102_444_800_u64,
            "subscription": "s", "tenant": "t", "tokenType": "Bearer"});
        azure.knows("token.json", &token.to_string());
        azure
    }

    /// Puts down what one of the commands is to say.
    pub(super) fn knows(&self, file: &str, text: &str) {
        fs::write(self.path(file), text).expect("a file in the temporary folder");
    }

    /// Takes it away again.
    pub(super) fn knows_no(&self, file: &str) {
        fs::remove_file(self.path(file)).expect("a file in the temporary folder");
    }

    /// What a command has written down; nothing when it was never called.
    pub(super) fn log(&self, file: &str) -> String {
        fs::read_to_string(self.path(file)).unwrap_or_default()
    }

    /// A path in its folder.
    pub(super) fn path(&self, file: &str) -> PathBuf {
        self.0.path().join(file)
    }

    /// Runs a script of `scripts/` to its end.
    pub(super) fn run(&self, script: &str, arguments: &[&str]) -> Ended {
        self.run_with(script, arguments, &[])
    }

    /// Runs a script with settings.
    pub(super) fn run_with(&self, script: &str, arguments: &[&str], settings: &[(&str, &str)]) -> Ended {
        let root = root();
        let fakes = root.join("tests/deployment/pipeline/fakes");
        let mut command = Command::new(root.join("scripts").join(script));
        command.args(arguments).current_dir(self.0.path()).env_clear().envs(settings.iter().copied());
        let path = env::join_paths([fakes, self.path("commands")]).expect("a PATH");
        command.env("PATH", path).env("FAKE", self.0.path());
        command.envs(env::var_os("LLVM_PROFILE_FILE").map(|file| ("LLVM_PROFILE_FILE", file)));
        let Output { status, stdout, stderr } = command.output().expect("a script of this repository");
        let text = |bytes| String::from_utf8(bytes).expect("text");
        let ended = Ended { code: status.code(), said: text(stdout), complained: text(stderr) };
        let all = [&ended.said, &ended.complained, &self.log("az.log"), &self.log("func.log")];
        assert!(all.iter().all(|text| !text.contains(MASTER_KEY)), "a secret is told: {ended:?}");
        ended
    }
}

/// The program behind the name of a command.
fn program(name: &str) -> PathBuf {
    if name == "node" {
        // What managers of versions put into PATH would need more than itself.
        let output = Command::new(name).args(["-p", "process.execPath"]).output().expect("Node.js");
        return String::from_utf8(output.stdout).expect("text").trim().into();
    }
    let path = env::var_os("PATH").expect("a PATH");
    let mut programs = env::split_paths(&path).map(|folder| folder.join(name));
    programs.find(|program| program.is_file()).unwrap_or_else(|| panic!("there is no {name}"))
}

impl Ended {
    /// Checks the exit code, and that the complaint has these words.
    #[track_caller]
    pub(super) fn assert(&self, code: i32, words: &[&str]) {
        assert_eq!(self.code, Some(code), "{self:?}");
        for word in words {
            assert!(self.complained.contains(word), "{word:?} is not in: {}", self.complained);
        }
    }
}
