//! What is not made into a package, and what is not deleted for one.

use std::{fs, path::Path};

use devicestate_test_support::{program::devicestate, root};
use tempfile::TempDir;

use super::{
    command::{ANSWERING, Run, changed, expected_files, files, program_name},
    packaging,
};

/// The offset in an ELF file where the number of its processor stands, and where its first instruction.
const MACHINE: usize = 18;
const ENTRY: usize = 24;

/// A program with some bytes changed is refused with these words, and nothing is left.
fn is_refused(program: &Path, change: impl FnOnce(&mut Vec<u8>), words: &[&str]) {
    let place = TempDir::new().expect("a temporary folder");
    let file = place.path().join("program");
    changed(program, &file, change);
    packaging(place.path(), &file).fails(1, words);
    assert_eq!(files(place.path()).into_iter().collect::<Vec<_>>(), ["program"]);
}

/// Puts other text of the same length in the place of each occurrence, of which there has to be one.
fn replace(bytes: &mut [u8], old: &[u8], new: &[u8]) {
    let places: Vec<usize> = (0..bytes.len() - old.len()).filter(|&at| bytes[at..].starts_with(old)).collect();
    assert!(old.len() == new.len() && !places.is_empty(), "{}", String::from_utf8_lossy(old));
    for at in places {
        bytes[at..at + new.len()].copy_from_slice(new);
    }
}

#[test]
fn a_program_that_needs_a_newer_glibc_is_refused() {
    let newer = |bytes: &mut Vec<u8>| replace(bytes, b"GLIBC_2.2.5\0", b"GLIBC_2.999\0");
    is_refused(devicestate(), newer, &["needs glibc 2.999", "2.28", "scripts/package.sh"]);
}

#[test]
fn a_program_that_needs_another_library_than_those_of_glibc_is_refused() {
    is_refused(devicestate(), |_| (), &["devicestate needs libgcc_s.so.1", "statically"]);
}

#[test]
fn a_program_for_another_processor_is_refused() {
    is_refused(&ANSWERING, |bytes| bytes[MACHINE] = 0xb7, &["built for arm64", "x86-64"]);
}

#[test]
fn a_damaged_program_is_refused() {
    is_refused(&ANSWERING, |bytes| bytes.truncate(bytes.len() / 2), &["is a damaged ELF file"]);
}

#[test]
fn a_program_that_ends_at_its_start_is_refused_with_how_it_ended() {
    is_refused(&ANSWERING, |bytes| bytes[ENTRY..ENTRY + 8].fill(0), &["does not answer", "SIGSEGV"]);
}

#[test]
fn what_is_no_program_is_refused() {
    is_refused(&ANSWERING, |bytes| *bytes = b"#!/bin/sh\n".to_vec(), &["is no ELF file"]);
}

#[test]
fn a_program_that_is_not_there_is_named() {
    let place = TempDir::new().expect("a temporary folder");
    let file = place.path().join("program");
    packaging(place.path(), &file).fails(1, &["not there", file.to_str().expect("text")]);
    assert!(files(place.path()).is_empty());
}

#[test]
fn a_refusal_leaves_the_earlier_package_as_it_is() {
    let place = TempDir::new().expect("a temporary folder");
    packaging(place.path(), &ANSWERING).succeeds();
    packaging(place.path(), &root().join("host.json")).fails(1, &["is no ELF file"]);
    let folder = place.path().join("package");
    assert_eq!(files(&folder), expected_files());
    assert_eq!(fs::read(folder.join(program_name())).ok(), fs::read(&*ANSWERING).ok());
}

#[test]
fn a_folder_that_holds_something_else_is_never_deleted() {
    for other in
        ["notes.txt", "src/main.rs", "RawTelemetryFunction/notes.txt", ".git/config", "Function/a/function.json"]
    {
        let place = TempDir::new().expect("a temporary folder");
        let folder = place.path().join("package");
        packaging(place.path(), &ANSWERING).succeeds();
        let other = folder.join(other);
        fs::create_dir_all(other.parent().expect("a folder")).expect("a folder can be made");
        fs::write(&other, "mine").expect("a file can be written");
        let before = files(place.path());
        let words = ["package is there already and is no package", "nothing was touched", "--output"];
        packaging(place.path(), &ANSWERING).fails(1, &words);
        assert_eq!(files(place.path()), before);
        assert_eq!(fs::read(&other).expect("the file"), b"mine");
    }
}

#[test]
fn a_file_in_the_place_of_the_folder_is_not_deleted() {
    let place = TempDir::new().expect("a temporary folder");
    fs::write(place.path().join("package"), "mine").expect("a file can be written");
    packaging(place.path(), &ANSWERING).fails(1, &["package is there already"]);
    assert_eq!(fs::read(place.path().join("package")).expect("the file"), b"mine");
}

#[test]
fn a_wrong_word_is_named() {
    let place = TempDir::new().expect("a temporary folder");
    let fails = |words: &[&str], expected: &[&str]| Run::new(place.path(), words).fails(2, expected);
    fails(&["--outptu", "p"], &["--outptu", "--help"]);
    fails(&["--output"], &["--output needs a value"]);
    fails(&["--format", "xml"], &["text or json", "xml"]);
    fails(&["--binary", "p", "--profile", "dev"], &["--profile", "--binary"]);
    fails(&["--binary", "p", "--features", "otlp"], &["--features", "--binary"]);
}
