//! The package with the real program, built for old glibc versions but without optimisations, which take minutes.

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

/// The linker is installed from PyPI, so `scripts/test/deployment` checks for python3 with pip.
static PACKAGE: LazyLock<Package> = LazyLock::new(|| {
    let all = Path::new(env!("CARGO_TARGET_TMPDIR"));
    fs::create_dir_all(all).expect("the target folder");
    // Held until this process ends, because another test process would replace the package.
    let alone = File::create(all.join("package.lock")).expect("a file in the target folder");
    alone.lock().expect("a lock");
    let folder = all.join("package");
    // A folder from an unfinished change of the script may not be a package; the script would not replace it.
    if folder.exists() {
        fs::remove_dir_all(&folder).expect("a folder in the target folder");
    }
    let arguments = ["--profile", "dev", "--folder", folder.to_str().expect("text")];
    Package { report: Run::new(all, arguments).succeeds(), folder, _alone: alone }
});

#[test]
fn the_packaged_program_runs_with_glibc_2_28() {
    let package = &PACKAGE;
    let glibc = package.report["glibc"].as_str().expect("it is linked dynamically");
    let glibc: Vec<u32> = glibc.split('.').map(|number| number.parse().expect("a number")).collect();
    assert!(vec![2] < glibc && glibc <= vec![2, 28], "{glibc:?}");
}

#[test]
fn the_packaged_program_rejects_the_command_local() {
    let package = &PACKAGE;
    let mut command = Command::new(package.folder.join(program_name()));
    let output = command.args(["local", "--devices", "3"]).output().expect("the binary runs");
    let error = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(2), "{error}");
    assert!(error.contains("the command `local` is not in this build"), "{error}");
}

#[test]
fn devicestate_local_of_another_build_runs_a_copied_package() {
    const EVENTS: u64 = 500;
    let package = &PACKAGE;
    let temp = TempDir::new().expect("a temporary folder");
    let app = temp.path().join("app");
    copy(&package.folder, &app);
    let program = app.join(program_name()).canonicalize().expect("the copied program");
    let mut local = local(&app, &temp.path().join("state.db"));
    let mut input = local.stdin.take().expect("a pipe");
    for number in 0..EVENTS {
        let device = number % 7;
        writeln!(input, r#"{{"deviceId":"drone-{device}","battery":0.{number}}}"#).expect("local reads");
    }
    // Checked while it waits for more input: the handler is the packaged program, not this build with the same name.
    assert_eq!(handler(&mut local), program);
    drop(input);
    let output = local.wait_with_output().expect("it ends");
    let error = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{error}");
    let report = read_output(&output.stdout, output.status.code());
    let count = |name: &str| report["events"][name].as_u64().unwrap_or_else(|| panic!("{name} is missing in {report}"));
    assert_eq!([count("received"), count("applied"), count("deadLettered"), count("lost")], [EVENTS, EVENTS, 0, 0]);
    // The run leaves no files in the app's folder.
    assert_eq!(files(&app), expected_files());
}

/// Starts `devicestate local` of this build, with events from standard input.
fn local(app_root: &Path, state: &Path) -> Child {
    let mut command = Command::new(devicestate());
    command.args(["local", "--output", "json", "--file", "-", "--app-root"]).arg(app_root).arg("--state").arg(state);
    for setting in
        ["StateStore", "SqlitePath", "InvocationBudget", "Telemetry", "TelemetryFormat", "DeadLetterDirectory"]
    {
        command.env_remove(setting);
    }
    command
        .env("Telemetry", "drone")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the binary runs")
}

/// Returns the path of the program that `devicestate local` has started as its handler.
fn handler(local: &mut Child) -> PathBuf {
    let started = Instant::now();
    let own_program = fs::read_link(format!("/proc/{}/exe", local.id())).expect("Linux");
    while started.elapsed() < Duration::from_mins(1) && local.try_wait().expect("a child").is_none() {
        let tasks = fs::read_dir(format!("/proc/{}/task", local.id())).into_iter().flatten().flatten();
        let children = tasks.filter_map(|task| fs::read_to_string(task.path().join("children")).ok());
        let child = children.flat_map(|pids| pids.split_whitespace().map(str::to_owned).collect::<Vec<_>>()).next();
        // Between fork and exec it is still its parent's program.
        if let Some(file) = child.and_then(|pid| fs::read_link(format!("/proc/{pid}/exe")).ok())
            && file != own_program
        {
            return file;
        }
        std::thread::yield_now();
    }
    // Interrupted, because after a kill its handler would keep running.
    let _ = Command::new("sh").args(["-c", "kill -INT $0", &local.id().to_string()]).status();
    let mut errors = String::new();
    let _ = local.stderr.take().expect("a pipe").read_to_string(&mut errors);
    panic!("no handler of another program than {} was started: {errors}", own_program.display());
}
