//! The folder that is published, as `scripts/package.sh` makes it.

mod command;
mod editors;
mod refusals;

use std::{
    fs,
    io::{Read as _, Write as _},
    os::unix::fs::PermissionsExt as _,
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use command::{PACKAGE, Run, copy, expected_files, files, functions, program_name, root};
use serde_json::Value;
use tempfile::TempDir;

#[test]
fn the_package_is_host_json_the_functions_and_the_program_and_nothing_else() {
    assert_eq!(files(&PACKAGE.folder), expected_files());
    let functions = functions().into_iter().map(|function| function + "/function.json");
    for file in functions.chain(["host.json".to_owned()]) {
        assert_eq!(fs::read(PACKAGE.folder.join(&file)).ok(), fs::read(root().join(&file)).ok(), "{file}");
    }
    let mode = fs::metadata(PACKAGE.program()).expect("the program").permissions().mode();
    assert_eq!(mode & 0o777, 0o755);
}

#[test]
fn the_report_tells_the_files_their_sizes_the_glibc_and_how_soon_it_answers() {
    let report = &PACKAGE.report;
    let size = |file: &String| fs::metadata(PACKAGE.folder.join(file)).expect("a file").len();
    assert_eq!(report["files"], serde_json::json!(expected_files()));
    assert_eq!(report["binaryBytes"], size(&program_name()));
    assert_eq!(report["folderBytes"], expected_files().iter().map(size).sum::<u64>());
    let glibc: Vec<u32> = text(&report["glibc"]).split('.').map(|number| number.parse().expect("a number")).collect();
    assert!(glibc <= vec![2, 28], "{report}");
    let [start, first, last] =
        [&report["startMilliseconds"], &report["startMillisecondsBetween"][0], &report["startMillisecondsBetween"][1]]
            .map(|value| value.as_f64().expect("a time"));
    assert!(0.0 < first && first <= start && start <= last, "{report}");
}

#[test]
fn copied_to_an_empty_folder_it_runs_under_the_local_of_another_build() {
    const EVENTS: u64 = 500;
    let place = TempDir::new().expect("a temporary folder");
    let app = place.path().join("app");
    copy(&PACKAGE.folder, &app);
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
    let report: Value = serde_json::from_slice(&output.stdout).expect("a report");
    let count = |name: &str| report["events"][name].as_u64().unwrap_or_else(|| panic!("no {name} in {report}"));
    assert_eq!([count("received"), count("applied"), count("deadLettered"), count("lost")], [EVENTS, EVENTS, 0, 0]);
    // Running leaves nothing behind in the app's folder.
    assert_eq!(files(&app), expected_files());
}

#[test]
fn an_earlier_package_is_replaced_with_all_that_was_in_it_wherever_the_command_is_called_from() {
    let place = TempDir::new().expect("a temporary folder");
    let folder = place.path().join("published");
    copy(&PACKAGE.folder, &folder);
    fs::create_dir(folder.join("Removed")).expect("a folder can be made");
    fs::write(folder.join("Removed/function.json"), "{}").expect("a file can be written");
    fs::write(folder.join(program_name()), "an older one").expect("a file can be written");
    let program = PACKAGE.program();
    let words = ["--output", "published", "--binary", program.to_str().expect("text")];
    Run::new(place.path(), words).succeeds();
    assert_eq!(files(&folder), expected_files());
    assert_eq!(fs::read(folder.join(program_name())).ok(), fs::read(program).ok());
    let beside = fs::read_dir(place.path()).expect("a folder").count();
    assert_eq!(beside, 1, "nothing is left beside it");
}

#[test]
fn the_report_is_a_table_for_people() {
    let place = TempDir::new().expect("a temporary folder");
    let program = PACKAGE.program();
    let output = Run::new(place.path(), ["--output", "p", "--binary", program.to_str().expect("text")]).output();
    let table = String::from_utf8(output.stdout).expect("text");
    let rows: Vec<&str> = table.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(rows, ["PACKAGE", "files", "folder", "binary", "glibc", "start"], "{table}");
    assert!(table.contains(" ms to the first answer") && table.contains("2.28 or newer"), "{table}");
}

#[test]
fn help_has_examples() {
    let output = Run::new(root(), ["--help"]).output();
    let help = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && help.contains("Examples:\n  scripts/package.sh\n"), "{help}");
}

/// `devicestate local` of this build, with events from standard input.
fn local(app_root: &Path, state: &Path) -> Child {
    let mut command = Command::new(env!("CARGO_BIN_EXE_devicestate"));
    command.args(["local", "--report", "json", "--input", "-", "--app-root"]).arg(app_root).arg("--state").arg(state);
    for setting in ["StateStore", "SqlitePath", "InvocationBudget", "TelemetryFormat", "DeadLetterDirectory"] {
        command.env_remove(setting);
    }
    // A package has no local.settings.json: what function.json asks for is an app setting, as on Azure.
    command.envs([("EventHubName", "telemetry"), ("EventHubConsumerGroup", "devicestate")]);
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
    let _ = local.kill();
    let mut errors = String::new();
    let _ = local.stderr.take().expect("a pipe").read_to_string(&mut errors);
    panic!("it has started no handler from another file than {}: {errors}", itself.display());
}

fn text(value: &Value) -> &str {
    value.as_str().unwrap_or_else(|| panic!("no text: {value}"))
}
