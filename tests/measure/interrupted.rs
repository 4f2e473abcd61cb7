//! An interrupted measurement leaves no process and no folder, and keeps its results.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::tempdir;

use super::{ANYWHERE, command, list, write_script};

/// Returns the command lines of the running processes that have this folder in their environment.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = format!("TMPDIR={}", folder.display());
    let text = |path: PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\0', " ");
    let all = fs::read_dir("/proc").expect("Linux").flatten().map(|entry| entry.path());
    all.filter(|process| text(process.join("environ")).contains(&folder))
        .map(|process| text(process.join("cmdline")))
        .collect()
}

/// Starts a measurement with this folder for temporary files.
fn start(script: &str, folder: &Path, words: &[&str]) -> Child {
    command(script, folder, words).env("TMPDIR", folder).spawn().expect("Node.js (the command node)")
}

/// Interrupts a measurement with a signal, and checks its exit code and that it leaves no process and no folder.
#[track_caller]
fn assert_leaves_nothing(mut measurement: Child, folder: &Path, signal: &str, exit_code: i32) {
    let killed =
        Command::new("sh").args(["-c", "kill $0 $1", signal, &measurement.id().to_string()]).status().expect("a shell");
    assert!(killed.success());
    assert_eq!(measurement.wait().expect("a child").code(), Some(exit_code));
    wait_until("all processes have ended", || processes_of(folder).is_empty().then_some(()));
    assert_eq!(folders_of(folder), 0);
}

/// Returns the number of a measurement's folders.
fn folders_of(folder: &Path) -> usize {
    let names = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().starts_with("devicestate-measure-")).count()
}

#[test]
fn interrupted_growth_leaves_no_process_and_no_folder_and_keeps_earlier_rounds() {
    let folder = tempdir().expect("a temporary folder");
    let driver = folder.path().join("driver");
    // The first round ends immediately; in the second, a child of the driver hangs.
    write_script(&driver, r#"if mkdir "$0.1" 2>&-; then echo '{"eventsPerSecond":5}'; exit; fi; sleep 600; echo"#);
    let driver = ["--driver", driver.to_str().expect("UTF-8")];
    for (signal, exit_code) in [("-TERM", 143), ("-HUP", 129)] {
        let round = ["--only", "hot", "--largest", "1", "--rounds", "2"];
        let growth = start("growth.js", folder.path(), &[&round[..], &ANYWHERE, &driver].concat());
        let hangs = || processes_of(folder.path()).iter().any(|command| command.starts_with("sleep")).then_some(());
        wait_until("the driver hangs", hangs);
        assert_eq!(folders_of(folder.path()), 1);
        assert_leaves_nothing(growth, folder.path(), signal, exit_code);
        let file = folder.path().join("results.json");
        let results: Value = serde_json::from_slice(&fs::read(&file).expect("the raw results")).expect("JSON");
        assert_eq!(results["isComplete"], false);
        assert_eq!(list(&results["curves"][0]["points"][0]["rounds"]).len(), 1, "{results}");
        fs::remove_file(file).expect("the file exists");
        fs::remove_dir(folder.path().join("driver.1")).expect("the folder exists");
    }
}

#[test]
fn an_interrupted_run_stops_the_handlers_of_its_host() {
    let folder = tempdir().expect("a temporary folder");
    let endless = ["--only", "keys", "--events", "100000000", "--cores", ""];
    let run = start("end-to-end.js", folder.path(), &endless);
    wait_until("the host has started a handler", || {
        let all = processes_of(folder.path());
        let is_running = |part: &str| all.iter().any(|command| command.contains(part));
        (is_running("devicestate local") && is_running("devicestate serve")).then_some(())
    });
    assert_leaves_nothing(run, folder.path(), "-INT", 130);
}

#[track_caller]
fn wait_until<T>(what: &str, mut check: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(seen) = check() {
            return seen;
        }
        assert!(Instant::now() < deadline, "not reached within a minute: {what}");
        pause();
    }
}

#[expect(clippy::disallowed_methods, reason = "it waits for another process, in real time")]
fn pause() {
    thread::sleep(Duration::from_millis(10));
}
