//! Reading large dead letters from a folder: only from that folder, and only unchanged ones.

use std::{fs, path::Path, time::Duration};

use devicestate_engine::dead_letter::{Directory, Fingerprint, Overflow as _, OverflowError, Pointer};
use tokio::time::timeout;

/// The id of a dead letter.
const ID: &str = "0af1c2d40af1c2d40af1c2d40af1c2d4";

/// Returns more bytes than one read returns.
fn bytes() -> Vec<u8> {
    (0..300_000_u32).map(|number| number.to_le_bytes()[1]).collect()
}

async fn stored(folder: &Path) -> (Directory, Pointer) {
    let directory = Directory(folder.join("dead-letters"));
    let location = directory.put("0af1-22", bytes()).await.expect("kept");
    (directory, Pointer { location, fingerprint: Fingerprint::of_bytes(&bytes()) })
}

/// Returns the error of a fetch that must fail.
async fn fetch_error(pointer: &Pointer, directory: &Directory) -> OverflowError {
    pointer.fetch(directory).await.expect_err("the fetch must fail")
}

#[track_caller]
fn assert_says(error: &OverflowError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[tokio::test]
async fn a_stored_file_is_read_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = stored(folder.path()).await;
    assert!(pointer.fetch(&directory).await.expect("the stored bytes") == bytes(), "byte for byte");
}

/// A state file may have been copied to another machine, together with the folder.
#[tokio::test]
async fn only_the_name_in_the_location_is_used() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = stored(folder.path()).await;
    for location in ["0af1-22.json", "/elsewhere/0af1-22.json", r"C:\state\dead-letters\0af1-22.json"] {
        let pointer = Pointer { location: location.into(), ..pointer.clone() };
        assert!(pointer.fetch(&directory).await.expect("the stored bytes") == bytes(), "{location}");
    }
}

/// Each of these locations leads to an existing file.
#[tokio::test]
async fn a_location_outside_the_folder_is_never_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = stored(folder.path()).await;
    let outside = folder.path().join("secret.json");
    fs::write(&outside, bytes()).expect("a file");
    fs::create_dir(directory.0.join("below")).expect("a folder");
    fs::write(directory.0.join("below").join("secret.json"), bytes()).expect("a file");
    let absolute = outside.display().to_string();
    for location in [&*absolute, "../secret.json", r"..\secret.json", "below/secret.json", "file:///secret.json"] {
        let error = fetch_error(&Pointer { location: location.into(), ..pointer.clone() }, &directory).await;
        assert!(matches!(error, OverflowError::Missing { .. }), "{location}: {error}");
        assert!(error.is_message_specific());
    }
}

#[tokio::test]
async fn a_location_without_a_valid_name_is_never_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = stored(folder.path()).await;
    fs::write(directory.0.join(".json"), bytes()).expect("a file");
    let long = format!("{}.json", "x".repeat(1_000));
    for location in [
        "",
        "/",
        ".json",
        "..",
        "../../etc/passwd",
        "dead-letters/",
        "0af1-22.json/",
        "0af1-22.json/..",
        "0af1-22",
        "0af1-22.JSON",
        "0af1-22.json?sig=secret",
        "%2e%2e%2f0af1-22.json",
        "0af1-22.json\0.json",
        "a b.json",
        "c:0af1-22.json",
        &long,
    ] {
        let error = fetch_error(&Pointer { location: location.into(), ..pointer.clone() }, &directory).await;
        assert!(matches!(error, OverflowError::InvalidLocation { .. }), "{location:?}: {error}");
        assert!(error.is_message_specific());
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_changed_file_is_an_error() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = stored(folder.path()).await;
    let mut changed = bytes();
    changed[150_000] ^= 1;
    let mut longer = bytes();
    longer.push(b'\n');
    for there in [&changed[..], &longer, &bytes()[..100_000], b""] {
        fs::write(&pointer.location, there).expect("a file");
        let error = fetch_error(&pointer, &directory).await;
        assert!(matches!(error, OverflowError::Changed { .. }) && error.is_message_specific(), "{error}");
        let found = Fingerprint::of_bytes(there);
        assert_says(&error, &["0af1-22.json", &format!("{} bytes", found.length), &found.sha256, "300000 bytes"]);
    }
}

#[tokio::test]
async fn a_missing_file_is_reported_with_its_location() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = stored(folder.path()).await;
    fs::remove_file(&pointer.location).expect("it was there");
    let error = fetch_error(&pointer, &directory).await;
    assert!(matches!(error, OverflowError::Missing { .. }) && error.is_message_specific(), "{error}");
    let place = directory.0.display().to_string();
    assert_says(&error, &["0af1-22.json", &place, &pointer.location, "setting `DeadLetterDirectory`"]);
}

#[tokio::test]
async fn a_missing_folder_is_not_message_specific() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, pointer) = stored(folder.path()).await;
    let elsewhere = Directory(folder.path().join("elsewhere"));
    let error = fetch_error(&pointer, &elsewhere).await;
    assert!(matches!(error, OverflowError::StorageMissing { .. }) && !error.is_message_specific(), "{error}");
    let place = elsewhere.0.display().to_string();
    assert_says(&error, &[&place, &pointer.location, "setting `DeadLetterDirectory`"]);
}

#[tokio::test]
async fn an_unavailable_folder_is_distinguished_from_an_unreadable_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = stored(folder.path()).await;
    let name = Path::new(&pointer.location);
    let no_folder = Directory(name.to_owned());
    let error = fetch_error(&pointer, &no_folder).await;
    assert!(matches!(error, OverflowError::FileReadFailed { .. }) && !error.is_message_specific(), "{error}");
    assert_says(&error, &["0af1-22.json", "setting `DeadLetterDirectory`"]);

    fs::remove_file(name).expect("it was there");
    fs::create_dir(name).expect("a folder");
    let error = fetch_error(&pointer, &directory).await;
    assert!(matches!(error, OverflowError::FileReadFailed { .. }) && error.is_message_specific(), "{error}");
}

/// Returns the names in a folder.
fn names(folder: &Path) -> Vec<String> {
    let names = fs::read_dir(folder).into_iter().flatten().map(|file| file.expect("a file").file_name());
    names.map(|name| name.into_string().expect("text")).collect()
}

#[tokio::test]
async fn a_write_that_is_cut_off_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = Directory(folder.path().join("dead-letters"));
    // More than is written at once.
    let mut put = directory.put("0af1-22", vec![7; 20 << 20]);
    while names(&directory.0).is_empty() {
        assert!(timeout(Duration::ZERO, &mut put).await.is_err(), "the write is not complete");
        tokio::task::yield_now().await;
    }
    drop(put);
    assert_eq!(names(&directory.0), [""; 0]);
}

#[tokio::test]
async fn a_write_that_fails_leaves_no_file() {
    let folder = tempfile::tempdir().expect("a folder");
    let directory = Directory(folder.path().to_owned());
    // No file can get the name of a folder.
    fs::create_dir(folder.path().join("0af1-22.json")).expect("a folder");
    directory.put("0af1-22", bytes()).await.expect_err("the name is in use");
    assert_eq!(names(folder.path()), ["0af1-22.json"]);
}

#[tokio::test]
async fn unfinished_files_of_killed_processes_are_removed_and_those_of_others_stay() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = stored(folder.path()).await;
    let name_of = |random: &str| format!("{ID}-0123abcd.{random}.unfinished");
    let in_progress = directory.0.join(name_of("9a"));
    let other_process = fs::File::create(&in_progress).expect("a file");
    other_process.lock().expect("a lock");
    for random in ["1f", "Xy12aZ"] {
        fs::write(directory.0.join(name_of(random)), b"{").expect("a file");
    }
    assert_eq!(directory.remove_unfinished(), 2);
    assert!(in_progress.exists());
    drop(other_process);
    assert_eq!(directory.remove_unfinished(), 1);
    assert_eq!(names(&directory.0), ["0af1-22.json"]);
    pointer.fetch(&directory).await.expect("the stored bytes");
    assert_eq!(Directory(folder.path().join("missing")).remove_unfinished(), 0);
}

#[cfg(unix)]
#[test]
fn only_regular_files_with_the_name_of_a_dead_letter_count_as_unfinished() {
    use std::os::unix::fs::symlink;

    let folder = tempfile::tempdir().expect("a folder");
    let path = |name: &str| folder.path().join(name);
    let name_of = |random: &str| format!("{ID}-0123abcd.{random}.unfinished");
    let foreign = [
        "report.unfinished".to_owned(),
        format!("{ID}.9a.unfinished"),
        format!("{ID}-0123abcd.json"),
        format!("{ID}-0123abcdunfinished"),
        format!("{ID}-0123abcx.9a.unfinished"),
        format!("{}-0123abcd.9a.unfinished", ID.to_uppercase()),
        name_of("folder"),
        name_of("link"),
        name_of("pipe"),
    ];
    let [files @ .., inner, link, pipe] = &foreign;
    for name in files {
        fs::write(path(name), "").expect("a file");
    }
    fs::create_dir(path(inner)).expect("a folder");
    symlink(path("report.unfinished"), path(link)).expect("a link");
    let made = std::process::Command::new("mkfifo").arg(path(pipe)).status();
    assert!(made.expect("mkfifo").success());
    assert_eq!(Directory(folder.path().to_owned()).remove_unfinished(), 0);
    assert_eq!(names(folder.path()).len(), foreign.len());
}
