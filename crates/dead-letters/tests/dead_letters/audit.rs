//! The audit trail in a file: the format of a line, and that concurrent writers leave complete lines.

use std::{fs, path::Path};

use devicestate_dead_letters::{Action, AuditError, AuditLine, AuditTrail as _, FileAuditTrail, Outcome};
use serde_json::{Value, json};

fn line() -> AuditLine {
    AuditLine {
        time: "2026-11-21T15:23:29.000Z".into(),
        operator: "ada@bridge".into(),
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
    text.lines().map(|line| serde_json::from_str(line).expect("a complete line")).collect()
}

#[tokio::test]
async fn an_audit_line_is_compact_json_without_nulls() {
    let folder = tempfile::tempdir().expect("a folder");
    let state = folder.path().join("state.db");
    let audit = FileAuditTrail::next_to(&state);
    assert!(audit.location().ends_with("state.db-audit.jsonl"), "{}", audit.location());
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
        r#"{"time":"2026-11-21T15:23:29.000Z","operator":"ada@bridge","action":"replay","outcome":"applied","#,
        r#""queue":"dead_letters in state.db","messageId":"17"}"#,
        "\n",
        r#"{"time":"2026-11-21T15:23:29.000Z","operator":"ada@bridge","action":"edit","outcome":"failedAgain","#,
        r#""queue":"dead_letters in state.db","messageId":"17","id":"0af1","deviceId":"d\n1","#,
        r#""issue":"no \"such\" field","original":"eyI=","edited":"e30="}"#,
        "\n",
    );
    assert_eq!(text, expected);
}

#[test]
fn each_action_and_outcome_is_displayed_as_in_the_line() {
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
async fn concurrent_writers_leave_complete_audit_lines() {
    const WRITERS: usize = 4;
    const APPENDS: usize = 25;
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    let write = |writer: usize| {
        // Each opens the file itself, as separate processes do.
        let audit = FileAuditTrail::new(path.clone());
        async move {
            for number in 0..APPENDS {
                let body = Some("x".repeat(100 * number * number));
                let message_id = format!("{writer} {number}");
                let line = AuditLine { operator: writer.to_string(), message_id, original: body, ..line() };
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
        let of_one =
            lines.iter().filter(|line| line.operator == writer.to_string()).map(|line| line.message_id.clone());
        let expected = (0..APPENDS).flat_map(|number| [format!("{writer} {number}"), format!("{writer} {number}")]);
        assert!(of_one.eq(expected), "in their order");
    }
}

#[tokio::test]
async fn an_incomplete_audit_line_after_a_full_disk_damages_no_other() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    fs::write(&path, r#"{"time":"2026-1"#).expect("a file");
    let audit = FileAuditTrail::new(path.clone());
    for _ in 0..2 {
        audit.append(&[line()]).await.expect("appended");
    }
    let text = fs::read_to_string(&path).expect("a trail");
    let lines: Vec<_> = text.lines().collect();
    assert_eq!((lines.len(), lines[0]), (3, r#"{"time":"2026-1"#));
    assert!(lines[1..].iter().all(|text| serde_json::from_str::<AuditLine>(text).expect("a complete line") == line()));
}

#[tokio::test]
async fn an_empty_append_checks_that_the_audit_file_is_writable() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("audit.jsonl");
    FileAuditTrail::new(path.clone()).append(&[]).await.expect("nothing");
    assert_eq!(std::fs::read(path).expect("the file"), b"");
}

#[tokio::test]
async fn an_audit_error_names_the_path() {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("no folder"), "").expect("a file");
    let path = folder.path().join("no folder").join("audit.jsonl");
    let error = FileAuditTrail::new(path.clone()).append(&[line()]).await.expect_err("there is no folder");
    assert!(matches!(error, AuditError::File { .. }), "{error}");
    let text = error.to_string();
    assert!(text.contains(&path.display().to_string()) && text.contains("Nothing is done"), "{text}");
}
