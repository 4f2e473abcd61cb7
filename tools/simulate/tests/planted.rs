//! Tests the simulation: applies each fault of the folder `planted` to a copy of the product; the seeds of a test run
//! must detect it.
//!
//! A fault is a diff in the format of `patch -p1`, after a line that describes it. If only few seeds detect it, a line
//! `# Seeds from 330` follows, so that the test does not run all those before. A diff that no longer applies to the code
//! fails the test and must be updated.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
    sync::mpsc,
    thread,
};

use devicestate_test_support::{program::target, root};

/// Number of seeds per fault, and the approximate number of events per seed.
const SEEDS: u64 = 600;
const EVENTS: u32 = 250;

/// The paths that the simulation is built from.
const PARTS: [&str; 13] = [
    "Cargo.lock",
    "DeadLetterWatchFunction",
    "DevicesFunction",
    "RawTelemetryFunction",
    "SessionTelemetryFunction",
    "SilenceWatchFunction",
    "clippy.toml",
    "crates",
    "docs",
    "host.json",
    "tests/doubles",
    "tests/oracle",
    "tests/support",
];

/// A copy of the workspace, in a folder that the next test run reuses.
struct Copy(PathBuf);

impl Copy {
    fn new() -> Self {
        let copy = Self(target().join("tmp/planted"));
        copy.write(Path::new("Cargo.toml"), manifest().as_bytes());
        for part in PARTS.map(Path::new).into_iter().chain([Path::new("tools/simulate")]) {
            copy.add(part);
        }
        copy
    }

    fn add(&self, part: &Path) {
        let from = root().join(part);
        if from.is_dir() {
            for entry in fs::read_dir(&from).expect("a folder can be read").flatten() {
                self.add(&part.join(entry.file_name()));
            }
        } else {
            self.write(part, &fs::read(&from).expect("a file can be read"));
        }
    }

    /// Writes a file unless its content is unchanged, so that Cargo does not rebuild it.
    fn write(&self, part: &Path, content: &[u8]) {
        let path = self.0.join(part);
        if fs::read(&path).is_ok_and(|there| there == content) {
            return;
        }
        fs::create_dir_all(path.parent().expect("a folder")).expect("a folder can be made");
        fs::write(&path, content).expect("a file can be written");
    }

    /// Builds the simulation and returns the program under a name of its own. All faults share one target folder, so that Cargo
    /// rebuilds only what a fault changes.
    fn build(&self, name: &str) -> PathBuf {
        let mut cargo = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()));
        cargo
            .current_dir(&self.0)
            .args(["build", "--offline", "--quiet", "--target-dir"])
            .arg(target().join("planted"));
        // Debug information is not needed.
        cargo.args(["--config", "profile.dev.debug = false"]);
        let built = cargo.output().expect("cargo runs");
        assert!(built.status.success(), "{name} does not compile:\n{}", String::from_utf8_lossy(&built.stderr));
        let program = target().join("planted").join(name);
        fs::copy(target().join("planted/debug/simulate"), &program).expect("a program can be copied");
        program
    }
}

/// Runs the seeds, of which one must detect the fault. Returns the seed and the violation.
fn detect(fault: &Fault, program: &Path) -> String {
    let Fault { name, first_seed, .. } = fault;
    let mut simulate = Command::new(program);
    simulate.args(["--from", first_seed, "--seeds", &SEEDS.to_string(), "--events", &EVENTS.to_string()]);
    let output = simulate.output().expect("the program runs");
    let errors = String::from_utf8_lossy(&output.stderr);
    let is_detected = output.status.code() == Some(1) && errors.contains("violated a check");
    assert!(is_detected, "{name} was not detected: {:?}\n{errors}", output.status);
    fs::remove_file(program).expect("a program can be removed");
    let found: Vec<_> = errors.lines().skip_while(|line| !line.contains("violated a check")).take(2).collect();
    format!("{name}: {}", found.join("\n  "))
}

/// Returns the manifest of a workspace that contains only the simulation and its dependencies.
fn manifest() -> String {
    let manifest = fs::read_to_string(root().join("Cargo.toml")).expect("the manifest");
    let mut tables = manifest.split("\n[").map(|table| table.trim_start_matches('['));
    let is_shared = |table: &&str| table.starts_with("workspace.") || table.starts_with("profile.dev");
    let shared: Vec<_> = tables.by_ref().filter(is_shared).collect();
    let workspace = "[workspace]\nresolver = \"3\"\nmembers = [\"tools/simulate\"]\n";
    format!("{workspace}\n[{}", shared.join("\n["))
}

/// A fault: a file, with each text to replace and its replacement.
struct Fault {
    name: String,
    /// The first of the seeds that must detect it.
    first_seed: String,
    file: PathBuf,
    hunks: Vec<(String, String)>,
}

impl Fault {
    fn all() -> Vec<Self> {
        let folder = root().join("tools/simulate/tests/planted");
        let entries = fs::read_dir(folder).expect("the folder of the faults").flatten();
        let mut faults: Vec<_> = entries.map(|entry| Self::read(&entry.path())).collect();
        faults.sort_by(|a, b| a.name.cmp(&b.name));
        faults
    }

    fn read(path: &Path) -> Self {
        let diff = fs::read_to_string(path).expect("a diff can be read");
        let file = diff.lines().find_map(|line| line.strip_prefix("+++ b/")).expect("a diff names its file");
        let mut hunks: Vec<(String, String)> = Vec::new();
        for line in diff.lines().skip_while(|line| !line.starts_with("@@")) {
            let (kind, text) = line.split_at_checked(1).unwrap_or((" ", ""));
            if kind == "@" {
                hunks.push(Default::default());
                continue;
            }
            let (before, after) = hunks.last_mut().expect("a diff has hunks");
            for (side, other) in [(before, "+"), (after, "-")] {
                if kind != other {
                    side.push_str(text);
                    side.push('\n');
                }
            }
        }
        let first_seed = diff.lines().find_map(|line| line.strip_prefix("# Seeds from ")).unwrap_or("0").to_owned();
        let name = path.file_stem().expect("a name").to_string_lossy().into_owned();
        Self { name, first_seed, file: file.into(), hunks }
    }

    fn apply_to(&self, text: &str) -> String {
        self.hunks.iter().fold(text.to_owned(), |text, (before, after)| {
            let times = text.matches(before).count();
            assert_eq!(times, 1, "{}: this text occurs {times} times in {}:\n{before}", self.name, self.file.display());
            text.replace(before, after)
        })
    }
}

#[test]
fn the_simulation_detects_each_planted_fault() {
    let (copy, faults) = (Copy::new(), Fault::all());
    assert_eq!(faults.len(), 32);
    let plant = |fault: &Fault| {
        let original = fs::read_to_string(root().join(&fault.file)).expect("a file");
        copy.write(&fault.file, fault.apply_to(&original).as_bytes());
        (copy.build(&fault.name), original)
    };
    // The programs read the files of the function app while they run, so a fault in one of them runs alone.
    let (in_code, in_app): (Vec<_>, Vec<_>) =
        faults.iter().partition(|fault| fault.file.extension().is_some_and(|extension| extension == "rs"));
    for fault in in_app {
        let (program, original) = plant(fault);
        println!("{}", detect(fault, &program));
        copy.write(&fault.file, original.as_bytes());
    }
    // The next fault is built while the seeds of one run.
    let (sender, programs) = mpsc::sync_channel::<(&Fault, PathBuf)>(1);
    thread::scope(|scope| {
        scope.spawn(move || {
            for (fault, program) in programs {
                println!("{}", detect(fault, &program));
            }
        });
        for fault in in_code {
            let (program, original) = plant(fault);
            copy.write(&fault.file, original.as_bytes());
            if sender.send((fault, program)).is_err() {
                // The seeds did not detect an earlier fault.
                break;
            }
        }
        drop(sender);
    });
}
