//! The audit trail in a file: what a line looks like, and that each is whole whoever else writes.

use std::{fs, path::Path};

use devicestate_dead_letters::{Action, Audit as _, AuditError, AuditLine, FileAudit, Outcome};
use serde_json::{Value, json};

fn line() -> AuditLine {
    AuditLine {
        time: "2026-11-21T15:23:29.000Z".into(),
        who: "ada@bridge".into(),
        action: Action::Replay,
        outcome: Outcome::Applied,
        queue: "dead_letters in state.db".into(),
        store: None,
        message_id: "17".into(),
        id: None,
        device_id: None,
        issue: None,
        original: None,
        edited: None,
    }
}

fn written(path: &Path) -> Vec<AuditLine> {
    let text = fs::read_to_string(path).expect("a trail");
    assert!(text.ends_with('\n'));
    text.lines().map(|line| serde_json::from_str(line).expect("a whole line")).collect()
}

#[tokio::test]
async fn a_line_is_compact_json_in_which_nothing_is_null() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state.db");
    let audit = FileAudit::beside(&state);
    assert!(audit.place().ends_with("state.db-audit.jsonl"), "{}", audit.place());
    let full = AuditLine {
        action: Action::Edit,
        outcome: Outcome::FailedAgain,
        id: Some("0af1".into()),
        device_id: Some("d\n1".into()),
        issue: Some("no \"such\" field".into()),
        original: Some("eyI=".into()),
        edited: Some("e30=".into()),
        ..line()
    };
    audit.append(&[line(), full]).await.expect("appended");
    let text = fs::read_to_string(folder.path().join("state.db-audit.jsonl")).expect("a trail");
    let expected = concat!(
        r#"{"Time":"2026-11-21T15:23:29.000Z","Who":"ada@bridge","Action":"replay","Outcome":"applied","#,
        r#""Queue":"dead_letters in state.db","MessageId":"17"}"#,
        "\n",
        r#"{"Time":"2026-11-21T15:23:29.000Z","Who":"ada@bridge","Action":"edit","Outcome":"failed again","#,
        r#""Queue":"dead_letters in state.db","MessageId":"17","Id":"0af1","DeviceId":"d\n1","#,
        r#""Issue":"no \"such\" field","Original":"eyI=","Edited":"e30="}"#,
        "\n",
    );
    assert_eq!(text, expected);
}

#[test]
fn each_action_and_outcome_is_told_as_it_is_written() {
    let text = |value: Value| value.as_str().expect("a text").to_owned();
    for action in [Action::Replay, Action::Edit, Action::Discard, Action::Import, Action::Export] {
        assert_eq!(action.to_string(), text(json!(action)));
    }
    for outcome in [
        Outcome::Applied,
        Outcome::Superseded,
        Outcome::FailedAgain,
        Outcome::Discarded,
        Outcome::Imported,
        Outcome::Exported,
    ] {
        assert_eq!(outcome.to_string(), text(json!(outcome)));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_lines_of_many_writers_at_once_are_all_whole() {
    const WRITERS: usize = 4;
    const APPENDS: usize = 25;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let write = |writer: usize| {
        // Each opens the file for itself, as a process of its own does.
        let audit = FileAudit::new(path.clone());
        async move {
            for number in 0..APPENDS {
                let body = Some("x".repeat(100 * number * number));
                let message_id = format!("{writer} {number}");
                let line = AuditLine { who: writer.to_string(), message_id, original: body, ..line() };
                audit.append(&[line.clone(), line]).await.expect("appended");
            }
        }
    };
    let writers: Vec<_> = (0..WRITERS).map(|writer| tokio::spawn(write(writer))).collect();
    for writer in writers {
        writer.await.expect("no panic");
    }
    let lines = written(&path);
    assert_eq!(lines.len(), WRITERS * APPENDS * 2);
    for writer in 0..WRITERS {
        let of_one = lines.iter().filter(|line| line.who == writer.to_string()).map(|line| line.message_id.clone());
        let expected = (0..APPENDS).flat_map(|number| [format!("{writer} {number}"), format!("{writer} {number}")]);
        assert!(of_one.eq(expected), "in their order");
    }
}

#[tokio::test]
async fn half_a_line_that_a_full_disk_has_left_spoils_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    fs::write(&path, r#"{"Time":"2026-1"#).expect("a file");
    let audit = FileAudit::new(path.clone());
    for _ in 0..2 {
        audit.append(&[line()]).await.expect("appended");
    }
    let text = fs::read_to_string(&path).expect("a trail");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, r#"{"Time":"2026-1"#));
    assert!(lines[1..].iter().all(|text| serde_json::from_str::<AuditLine>(text).expect("a whole line") == line()));
}

#[tokio::test]
async fn without_a_line_it_is_made_sure_that_there_is_a_place_for_one() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    FileAudit::new(path.clone()).append(&[]).await.expect("nothing");
    assert_eq!(std::fs::read(path).expect("the file"), b"");
}

#[tokio::test]
async fn a_trail_that_cannot_be_written_is_told_with_its_path() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("no folder"), "").expect("a file");
    let path = folder.path().join("no folder").join("audit.jsonl");
    let error = FileAudit::new(path.clone()).append(&[line()]).await.expect_err("there is no folder");
    assert!(matches!(error, AuditError::File { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()) && text.contains("not done"), "{text}");
}
