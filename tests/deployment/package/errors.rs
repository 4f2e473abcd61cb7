//! Programs that are not packaged, and folders that are not replaced.

use std::{fs, path::Path};

use devicestate_test_support::{program::devicestate, root};
use tempfile::TempDir;

use super::{
    command::{ANSWERING, Run, expected_files, files, program_name, write_changed},
    packaging,
};

/// The offsets in an ELF file of the processor's number and of the entry point.
const MACHINE: usize = 18;
const ENTRY: usize = 24;

/// Packages a program with some bytes changed, which must fail with these words and leave nothing.
#[track_caller]
fn assert_rejected(program: &Path, change: impl FnOnce(&mut Vec<u8>), words: &[&str]) {
    let temp = TempDir::new().expect("a temporary folder");
    let file = temp.path().join("program");
    write_changed(program, &file, change);
    packaging(temp.path(), &file).fails(1, words);
    assert_eq!(files(temp.path()).into_iter().collect::<Vec<_>>(), ["program"]);
}

/// Replaces each occurrence, at least one, with text of the same length.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    let positions: Vec<usize> = (0..bytes.len() - old.len()).filter(|&at| bytes[at..].starts_with(old)).collect();
    assert!(old.len() == new.len() && !positions.is_empty(), "{}", String::from_utf8_lossy(old));
    for at in positions {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
}

#[test]
fn a_program_that_needs_a_newer_glibc_is_rejected() {
    let newer = |bytes: &mut Vec<u8>| replace(bytes, b"GLIBC_2.2.5\0", b"GLIBC_2.999\0");
    assert_rejected(devicestate(), newer, &["needs glibc 2.999", "2.28", "scripts/package.sh"]);
}

#[test]
fn a_program_that_needs_a_library_outside_glibc_is_rejected() {
    assert_rejected(devicestate(), |_| (), &["devicestate needs libgcc_s.so.1", "statically"]);
}

#[test]
fn a_program_for_another_processor_is_rejected() {
    assert_rejected(&ANSWERING, |bytes| bytes[MACHINE] = 0xb7, &["built for arm64", "x86-64"]);
}

#[test]
fn a_damaged_program_is_rejected() {
    assert_rejected(&ANSWERING, |bytes| bytes.truncate(bytes.len() / 2), &["is a damaged ELF file"]);
}

#[test]
fn a_program_that_ends_at_its_start_is_rejected_with_the_signal() {
    assert_rejected(&ANSWERING, |bytes| bytes[ENTRY..ENTRY + 8].fill(0), &["does not answer", "SIGSEGV"]);
}

#[test]
fn a_file_that_is_not_a_program_is_rejected() {
    assert_rejected(&ANSWERING, |bytes| *bytes = b"#!/bin/sh\n".to_vec(), &["is not an ELF file"]);
}

#[test]
fn a_missing_program_is_named() {
    let temp = TempDir::new().expect("a temporary folder");
    let file = temp.path().join("program");
    packaging(temp.path(), &file).fails(1, &["does not exist", file.to_str().expect("text")]);
    assert!(files(temp.path()).is_empty());
}

#[test]
fn a_failure_leaves_the_earlier_package_unchanged() {
    let temp = TempDir::new().expect("a temporary folder");
    packaging(temp.path(), &ANSWERING).succeeds();
    packaging(temp.path(), &root().join("host.json")).fails(1, &["is not an ELF file"]);
    let folder = temp.path().join("package");
    assert_eq!(files(&folder), expected_files());
    assert_eq!(fs::read(folder.join(program_name())).ok(), fs::read(&*ANSWERING).ok());
}

#[test]
fn a_folder_with_other_files_is_never_deleted() {
    for other in
        ["notes.txt", "src/main.rs", "RawTelemetryFunction/notes.txt", ".git/config", "Function/a/function.json"]
    {
        let temp = TempDir::new().expect("a temporary folder");
        let folder = temp.path().join("package");
        packaging(temp.path(), &ANSWERING).succeeds();
        let other = folder.join(other);
        fs::create_dir_all(other.parent().expect("a folder")).expect("a folder can be made");
        fs::write(&other, "mine").expect("a file can be written");
        let before = files(temp.path());
        let words = ["package already exists and is not a package", "nothing was changed", "--folder"];
        packaging(temp.path(), &ANSWERING).fails(1, &words);
        assert_eq!(files(temp.path()), before);
        assert_eq!(fs::read(&other).expect("the file"), b"mine");
    }
}

#[test]
fn a_file_with_the_name_of_the_folder_is_not_deleted() {
    let temp = TempDir::new().expect("a temporary folder");
    fs::write(temp.path().join("package"), "mine").expect("a file can be written");
    packaging(temp.path(), &ANSWERING).fails(1, &["package already exists"]);
    assert_eq!(fs::read(temp.path().join("package")).expect("the file"), b"mine");
}

#[test]
fn an_invalid_option_is_named() {
    let temp = TempDir::new().expect("a temporary folder");
    let fails = |words: &[&str], expected: &[&str]| Run::new(temp.path(), words).fails(2, expected);
    fails(&["--foldre", "p"], &["--foldre", "--help"]);
    fails(&["--folder"], &["the option --folder needs a value"]);
    fails(&["--output", "xml"], &["table, json or jsonl", "xml"]);
    fails(&["--binary", "p", "--profile", "dev"], &["--profile", "--binary"]);
    fails(&["--binary", "p", "--features", "otlp"], &["--features", "--binary"]);
}
