//! Dead letters that did not fit into the queue, had back from a folder: only from there, and only what was kept.

use std::{fs, path::Path};

use devicestate_engine::dead_letter::{Directory, Fingerprint, Overflow as _, OverflowError, Pointer};

/// Any bytes, and more than a read gives at once.
fn bytes() -> Vec<u8> {
    (0..300_000_u32).map(|number| number.to_le_bytes()[1]).collect()
}

async fn kept(folder: &Path) -> (Directory, Pointer) {
    let directory = Directory(folder.join("dead-letters"));
    let location = directory.put("0af1-22", bytes()).await.expect("kept");
    (directory, Pointer { location, fingerprint: Fingerprint::of_bytes(&bytes()) })
}

/// What is told when nothing is given back.
async fn told(pointer: &Pointer, directory: &Directory) -> OverflowError {
    pointer.fetch(directory).await.expect_err("it must not be given back")
}

#[track_caller]
fn assert_says(error: &OverflowError, words: &[&str]) {
    let text = error.to_string();
    for word in words {
        assert!(text.contains(word), "{word:?} is not in: {text}");
    }
}

#[tokio::test]
async fn a_file_is_given_back_byte_for_byte() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = kept(folder.path()).await;
    assert!(pointer.fetch(&directory).await.expect("given back") == bytes(), "byte for byte");
}

/// A state file may have been taken to another machine, with the folder beside it.
#[tokio::test]
async fn only_the_name_counts_wherever_the_message_says_that_it_is() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = kept(folder.path()).await;
    for location in ["0af1-22.json", "/elsewhere/0af1-22.json", r"C:\state\dead-letters\0af1-22.json"] {
        let pointer = Pointer { location: location.into(), ..pointer.clone() };
        assert!(pointer.fetch(&directory).await.expect("given back") == bytes(), "{location}");
    }
}

/// All of these are there for whoever goes where they lead.
#[tokio::test]
async fn a_location_outside_the_folder_is_never_followed() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = kept(folder.path()).await;
    let outside = folder.path().join("secret.json");
    fs::write(&outside, bytes()).expect("a file");
    fs::create_dir(directory.0.join("below")).expect("a folder");
    fs::write(directory.0.join("below").join("secret.json"), bytes()).expect("a file");
    let absolute = outside.display().to_string();
    for location in [&*absolute, "../secret.json", r"..\secret.json", "below/secret.json", "file:///secret.json"] {
        let error = told(&Pointer { location: location.into(), ..pointer.clone() }, &directory).await;
        assert!(matches!(error, OverflowError::Missing { .. }), "{location}: {error}");
        assert!(error.is_message_specific());
    }
}

#[tokio::test]
async fn a_location_that_ends_in_no_name_of_a_dead_letter_is_not_looked_for() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = kept(folder.path()).await;
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
        let error = told(&Pointer { location: location.into(), ..pointer.clone() }, &directory).await;
        assert!(matches!(error, OverflowError::InvalidLocation { .. }), "{location:?}: {error}");
        assert!(error.is_message_specific());
        assert!(!format!("{error} {error:?}").contains("secret"), "{error}");
    }
}

#[tokio::test]
async fn a_file_that_was_changed_is_told_and_not_given_back() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = kept(folder.path()).await;
    let mut changed = bytes();
    changed[150_000] ^= 1;
    let mut longer = bytes();
    longer.push(b'\n');
    for there in [&changed[..], &longer, &bytes()[..100_000], b""] {
        fs::write(&pointer.location, there).expect("a file");
        let error = told(&pointer, &directory).await;
        assert!(matches!(error, OverflowError::Changed { .. }) && error.is_message_specific(), "{error}");
        let found = Fingerprint::of_bytes(there);
        assert_says(&error, &["0af1-22.json", &format!("{} bytes", found.length), &found.sha256, "300000 bytes"]);
    }
}

#[tokio::test]
async fn a_file_that_is_not_there_is_told_with_where_it_should_be() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = kept(folder.path()).await;
    fs::remove_file(&pointer.location).expect("it was there");
    let error = told(&pointer, &directory).await;
    assert!(matches!(error, OverflowError::Missing { .. }) && error.is_message_specific(), "{error}");
    let place = directory.0.display().to_string();
    assert_says(&error, &["0af1-22.json", &place, &pointer.location, "setting DeadLetterDirectory"]);
}

#[tokio::test]
async fn a_folder_that_is_not_there_is_no_matter_of_one_dead_letter() {
    let folder = tempfile::tempdir().expect("a folder");
    let (_, pointer) = kept(folder.path()).await;
    let elsewhere = Directory(folder.path().join("elsewhere"));
    let error = told(&pointer, &elsewhere).await;
    assert!(matches!(error, OverflowError::StorageMissing { .. }) && !error.is_message_specific(), "{error}");
    let place = elsewhere.0.display().to_string();
    assert_says(&error, &[&place, &pointer.location, "setting DeadLetterDirectory"]);
}

#[tokio::test]
async fn a_folder_that_is_out_is_told_apart_from_a_file_that_cannot_be_read() {
    let folder = tempfile::tempdir().expect("a folder");
    let (directory, pointer) = kept(folder.path()).await;
    let name = Path::new(&pointer.location);
    let no_folder = Directory(name.to_owned());
    let error = told(&pointer, &no_folder).await;
    assert!(matches!(error, OverflowError::FileReadFailed { .. }) && !error.is_message_specific(), "{error}");
    assert_says(&error, &["0af1-22.json", "setting DeadLetterDirectory"]);

    fs::remove_file(name).expect("it was there");
    fs::create_dir(name).expect("a folder");
    let error = told(&pointer, &directory).await;
    assert!(matches!(error, OverflowError::FileReadFailed { .. }) && error.is_message_specific(), "{error}");
}
