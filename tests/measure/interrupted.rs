//! A measurement that is ended in the middle leaves no process and no folder, and keeps what it has measured.

use std::{
    fs,
    path::{Path, PathBuf},
    process::{Child, Command},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;
use tempfile::tempdir;

use super::{ANYWHERE, command, list, program};

/// The commands of what such a measurement has started: of all that has this folder in its environment, and has not ended.
fn processes_of(folder: &Path) -> Vec<String> {
    let folder = format!("TMPDIR={}", folder.display());
    let text = |path: PathBuf| String::from_utf8_lossy(&fs::read(path).unwrap_or_default()).replace('\0', " ");
    let all = fs::read_dir("/proc").expect("Linux").flatten().map(|entry| entry.path());
    all.filter(|process| text(process.join("environ")).contains(&folder))
        .map(|process| text(process.join("cmdline")))
        .collect()
}

/// Starts a measurement whose temporary files lie in this folder.
fn started(script: &str, folder: &Path, words: &[&str]) -> Child {
    command(script, folder, words).env("TMPDIR", folder).spawn().expect("Node.js (the command node)")
}

/// Ends it by this signal: then it has to end with this exit code, and all is gone that was its own.
#[track_caller]
fn assert_leaves_nothing(mut measurement: Child, folder: &Path, signal: &str, exit_code: i32) {
    let killed =
        Command::new("sh").args(["-c", "kill $0 $1", signal, &measurement.id().to_string()]).status().expect("a shell");
    assert!(killed.success());
    assert_eq!(measurement.wait().expect("a child").code(), Some(exit_code));
    until("all processes are gone", || processes_of(folder).is_empty().then_some(()));
    assert_eq!(folders_of(folder), 0);
}

/// How many folders of a measurement are there.
fn folders_of(folder: &Path) -> usize {
    let names = fs::read_dir(folder).expect("a folder").flatten().map(|entry| entry.file_name());
    names.filter(|name| name.to_string_lossy().starts_with("devicestate-measure-")).count()
}

#[test]
fn growth_leaves_no_process_and_no_folder_and_keeps_the_rounds_before() {
    let folder = tempdir().expect("a temporary folder");
    let driver = folder.path().join("driver");
    // The first round is over at once; in the second a child of the driver hangs.
    program(&driver, r#"if mkdir "$0.1" 2>&-; then echo '{"eventsPerSecond":5}'; exit; fi; sleep 600; echo"#);
    let driver = ["--driver", driver.to_str().expect("UTF-8")];
    for (signal, exit_code) in [("-TERM", 143), ("-HUP", 129)] {
        let round = ["--only", "hot", "--largest", "1", "--rounds", "2"];
        let growth = started("growth.js", folder.path(), &[&round[..], &ANYWHERE, &driver].concat());
        let hangs = || processes_of(folder.path()).iter().any(|command| command.starts_with("sleep")).then_some(());
        until("the driver hangs", hangs);
        assert_eq!(folders_of(folder.path()), 1);
        assert_leaves_nothing(growth, folder.path(), signal, exit_code);
        let kept = folder.path().join("results.json");
        let results: Value = serde_json::from_slice(&fs::read(&kept).expect("the raw results")).expect("JSON");
        assert_eq!(results["isComplete"], false);
        assert_eq!(list(&results["curves"][0]["points"][0]["rounds"]).len(), 1, "{results}");
        fs::remove_file(kept).expect("a file of ours");
        fs::remove_dir(folder.path().join("driver.1")).expect("a folder of ours");
    }
}

#[test]
fn a_whole_run_leaves_none_of_the_handlers_that_its_host_has_started() {
    let folder = tempdir().expect("a temporary folder");
    let endless = ["--only", "keys", "--events", "100000000", "--cores", ""];
    let run = started("end-to-end.js", folder.path(), &endless);
    until("the host has started a handler", || {
        let all = processes_of(folder.path());
        let is_there = |part: &str| all.iter().any(|command| command.contains(part));
        (is_there("devicestate local") && is_there("devicestate serve")).then_some(())
    });
    assert_leaves_nothing(run, folder.path(), "-INT", 130);
}

#[track_caller]
fn until<T>(what: &str, mut look: impl FnMut() -> Option<T>) -> T {
    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        if let Some(seen) = look() {
            return seen;
        }
        assert!(Instant::now() < deadline, "it never came to this: {what}");
        look_again();
    }
}

#[expect(clippy::disallowed_methods, reason = "another process gets somewhere in real time")]
fn look_again() {
    thread::sleep(Duration::from_millis(10));
}
