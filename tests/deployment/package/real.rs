//! The program as it is published, but for its optimizations, which take minutes: built against the old glibc.

use std::{
    fs::{self, File},
    io::{Read as _, Write as _},
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    sync::LazyLock,
    time::{Duration, Instant},
};

use devicestate_test_support::{program::devicestate, read_output};
use serde_json::Value;
use tempfile::TempDir;

use super::command::{Run, copy, expected_files, files, program_name};

struct Package {
    folder: PathBuf,
    report: Value,
    _alone: File,
}

/// The linker comes from PyPI: `scripts/test/deployment` looks for python3 with pip first.
static PACKAGE: LazyLock<Package> = LazyLock::new(|| {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(all).expect("the target folder");
    // Held until this process ends, since the next one puts a package of its own into that folder.
    let alone = File::create(all.join("package.lock")).expect("a file in the target folder");
    alone.lock().expect("a lock");
    let folder = all.join("package");
    // One that an unfinished change of the script has made may be no package, and the script would not touch it.
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("a folder in the target folder");
    }
    let arguments = ["--profile", "dev", "--output", folder.to_str().expect("text")];
    Package { report: Run::new(all, arguments).succeeds(), folder, _alone: alone }
});

#[test]
fn the_program_needs_no_newer_glibc_than_2_28() {
    let package = &PACKAGE;
    let glibc = package.report["glibc"].as_str().expect("it is not static");
    let glibc: Vec<u32> = glibc.split('.').map(|number| number.parse().expect("a number")).collect();
    assert!(vec![2] < glibc && glibc <= vec![2, 28], "{glibc:?}");
}

#[test]
fn the_program_has_no_local_and_says_so() {
    let package = &PACKAGE;
    let mut command = Command::new(package.folder.join(program_name()));
    let output = command.args(["local", "--devices", "3"]).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("this build has no `local`"), "{error}");
}

#[test]
fn copied_to_an_empty_folder_it_runs_under_the_local_of_another_build() {
    const EVENTS: u64 = 500;
    let package = &PACKAGE;
    let place = TempDir::new().expect("a temporary folder");
    let app = place.path().join("app");
    copy(&package.folder, &app);
    let program = app.join(program_name()).canonicalize().expect("the copied program");
    let mut local = local(&app, &place.path().join("state.db"));
    let mut input = local.stdin.take().expect("a pipe");
    for number in 0..EVENTS {
        let device = number % 7;
        writeln!(input, r#"{{"deviceId":"drone-{device}","battery":0.{number}}}"#).expect("local reads");
    }
    // It is looked at while it waits for more: what runs is the packaged program, and not this build, whose name is
    // the same.
    assert_eq!(handler(&mut local), program);
    drop(input);
    let output = local.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let report = read_output(&output.stdout, output.status.code());
    let count = |name: &str| report["events"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"));
    assert_eq!([count("received"), count("applied"), count("deadLettered"), count("lost")], [EVENTS, EVENTS, 0, 0]);
    // Running leaves nothing behind in the app's folder.
    assert_eq!(files(&app), expected_files());
}

/// `devicestate local` of this build, with events from standard input.
fn local(app_root: &Path, state: &Path) -> Child {
    let mut command = Command::new(devicestate());
    command.args(["local", "--output", "json", "--file", "-", "--app-root"]).arg(app_root).arg("--state").arg(state);
    for setting in ["StateStore", "SqlitePath", "InvocationBudget", "TelemetryFormat", "DeadLetterDirectory"] {
        command.env_remove(setting);
    }
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().expect("the binary runs")
}

/// The file of the handler that it has started.
fn handler(local: &mut Child) -> PathBuf {
    let started = Instant::now();
    let itself = fs::read_link(format!("/proc/{}/exe", local.id())).expect("Linux");
    while started.elapsed() < Duration::from_mins(1) && local.try_wait().expect("a child").is_none() {
        let tasks = fs::read_dir(format!("/proc/{}/task", local.id())).into_iter().flatten().flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let child = children.flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).next();
        // Between fork and exec it is the same file as its parent.
        if let Some(file) = child.and_then(|pid| fs::read_link(format!("/proc/{pid}/exe")).ok())
            && file != itself
        {
            return file;
        }
        std::thread::yield_now();
    }
    // Not killed, which would leave its handler behind.
    let _ = Command::new("sh").args(["-c", "kill -INT $0", &local.id().to_string()]).status();
    let mut errors = String::new();
    let _ = local.stderr.take().expect("a pipe").read_to_string(&mut errors);
    panic!("it has started no handler from another file than {}: {errors}", itself.display());
}
