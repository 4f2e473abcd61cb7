//! The package that `scripts/package.sh` creates.

mod command;
mod editors;
mod errors;
mod notices;
mod real_package;

use std::{collections::BTreeSet, fs, os::unix::fs::PermissionsExt as _, path::Path};

use devicestate_test_support::root;
use serde_json::json;
use tempfile::TempDir;

use command::{ANSWERING, LICENCES, Run, copied_files, copy, expected_files, files, program_name};

/// Returns a run that packages this program into the subfolder `package`.
fn packaging(parent: &Path, program: &Path) -> Run {
    Run::new(parent, ["--folder", "package", "--binary", program.to_str().expect("text")])
}

#[test]
fn the_package_has_host_json_the_functions_the_program_and_the_licences() {
    let temp = TempDir::new().expect("a temporary folder");
    packaging(temp.path(), &ANSWERING).succeeds();
    let folder = temp.path().join("package");
    assert_eq!(files(&folder), expected_files());
    for file in copied_files() {
        assert_eq!(fs::read(folder.join(&file)).ok(), fs::read(root().join(&file)).ok(), "{file}");
    }
    let program = folder.join(program_name());
    assert_eq!(fs::read(&program).ok(), fs::read(&*ANSWERING).ok());
    assert_eq!(fs::metadata(program).expect("the program").permissions().mode() & 0o777, 0o755);
}

#[test]
fn the_package_has_the_telemetry_file_and_its_schemas_if_there_are_any() {
    let temp = TempDir::new().expect("a temporary folder");
    // As much of a repository as the script reads, and a telemetry file.
    let root = temp.path().join("repository");
    for file in copied_files() {
        let to = root.join(&file);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder can be made");
        fs::copy(self::root().join(&file), to).expect("a file can be copied");
    }
    copy(&self::root().join("scripts/package"), &root.join("scripts/package"));
    for (file, content) in [
        ("scripts/package.sh", fs::read_to_string(self::root().join("scripts/package.sh")).expect("the script")),
        ("Cargo.toml", "[package]\nname = \"empty\"\n".to_owned()),
        ("Cargo.lock", "version = 4\n\n[[package]]\nname = \"empty\"\nversion = \"0.0.0\"\n".to_owned()),
        ("src/lib.rs", String::new()),
        ("telemetry.json", "{}".to_owned()),
        ("schemas/fleet/a.avsc", "\"string\"".to_owned()),
    ] {
        let to = root.join(file);
        fs::create_dir_all(to.parent().expect("a folder")).expect("a folder can be made");
        fs::write(to, content).expect("a file can be written");
    }
    let telemetry = ["telemetry.json", "schemas/fleet/a.avsc"].map(str::to_owned);
    let expected: BTreeSet<_> = expected_files().into_iter().chain(telemetry).collect();
    // The second run replaces the first package.
    for _ in 0..2 {
        let run = Run { root: root.clone(), ..packaging(temp.path(), &ANSWERING) };
        assert_eq!(run.succeeds()["files"], json!(expected));
        assert_eq!(files(&temp.path().join("package")), expected);
    }
}

#[test]
fn the_report_has_the_files_their_sizes_the_glibc_and_the_start_time() {
    let temp = TempDir::new().expect("a temporary folder");
    let report = packaging(temp.path(), &ANSWERING).succeeds();
    let size = |file: &String| fs::metadata(temp.path().join("package").join(file)).expect("a file").len();
    assert_eq!(report["files"], json!(expected_files()));
    assert_eq!(report["binaryBytes"], size(&program_name()));
    assert_eq!(report["folderBytes"], expected_files().iter().map(size).sum::<u64>());
    assert!(report["glibc"].is_null(), "this program is static: {report}");
    let range = &report["startMillisecondsBetween"];
    let [start, first, last] =
        [&report["startMilliseconds"], &range[0], &range[1]].map(|value| value.as_f64().expect("a time"));
    assert!(0.0 < first && first <= start && start <= last, "{report}");
}

#[test]
fn an_earlier_package_is_replaced_completely() {
    let temp = TempDir::new().expect("a temporary folder");
    let folder = temp.path().join("package");
    packaging(temp.path(), &ANSWERING).succeeds();
    fs::create_dir(folder.join("Removed")).expect("a folder can be made");
    fs::write(folder.join("Removed/function.json"), "{}").expect("a file can be written");
    fs::write(folder.join(program_name()), "an older one").expect("a file can be written");
    packaging(temp.path(), &ANSWERING).succeeds();
    assert_eq!(files(&folder), expected_files());
    assert_eq!(fs::read(folder.join(program_name())).ok(), fs::read(&*ANSWERING).ok());
    assert_eq!(fs::read_dir(temp.path()).expect("a folder").count(), 1);
}

#[test]
fn a_package_of_an_earlier_version_without_licences_is_replaced() {
    let temp = TempDir::new().expect("a temporary folder");
    packaging(temp.path(), &ANSWERING).succeeds();
    for file in LICENCES {
        fs::remove_file(temp.path().join("package").join(file)).expect("a file of the package");
    }
    packaging(temp.path(), &ANSWERING).succeeds();
    assert_eq!(files(&temp.path().join("package")), expected_files());
}

#[test]
fn the_report_of_a_package_is_a_table_by_default() {
    let temp = TempDir::new().expect("a temporary folder");
    let output = packaging(temp.path(), &ANSWERING).output();
    let table = String::from_utf8(output.stdout).expect("text");
    let rows: Vec<&str> = table.lines().filter_map(|line| line.split_whitespace().next()).collect();
    assert_eq!(rows, ["PACKAGE", "files", "folder", "binary", "glibc", "start"], "{table}");
    assert!(table.contains(" ms to the first answer") && table.contains("none needed: static"), "{table}");
}

#[test]
fn the_help_of_package_sh_has_examples_and_describes_the_build() {
    let output = Run::new(root(), ["--help"]).output();
    let help = String::from_utf8(output.stdout).expect("text");
    assert!(output.status.success() && help.contains("Examples:\n  scripts/package.sh\n"), "{help}");
    assert!(help.contains("no `devicestate local`") && help.contains("[default: dist]"), "{help}");
}
