//! `dead-letters show`.

use clap::Args;
use devicestate_dead_letters::{Candidate, Form, Readable, Summary, log_query, readable};
use devicestate_engine::{
    dead_letter::{DeadLetter, event_body},
    device_state::{Document, document_id},
    store::RequestCharge,
};
use devicestate_sqlite::OpenMode;
use devicestate_terminal::{CommandError, Format, Table, clean, print};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    find::find,
    place::Place,
    preview::{Change, Preview, preview},
    select, way,
};
use crate::cli::state;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters show 0af1c2d4
  devicestate dead-letters show 0af1c2d4 --format json

What a replay would change is tried over the documents as they are, which stay so: without the
setting StateStore the rest is told. Telemetry in other formats is shown as JSON, and bytes that are
no text in hexadecimal digits.")]
pub(super) struct Options {
    /// The id, or its beginning.
    #[arg(value_name = "ID", value_parser = select::id)]
    id: String,
}

/// All that is known of a dead letter. What could not be learned is an error's text: the rest is told all the same.
struct Shown {
    summary: Summary,
    letter: DeadLetter,
    body: Result<Readable, String>,
    stored: Result<Option<Document>, String>,
    preview: Result<Preview, String>,
}

impl Options {
    pub(super) async fn run(self, place: &Place, format: Format) -> Result<(), CommandError> {
        let entry = find(place, &self.id).await?;
        let message = entry.letter().cloned().expect("only dead letters are found by an id");
        let summary = entry.summary();
        let fetched = place.fetch_complete(&message).await;
        let letter = fetched.as_ref().ok().cloned().unwrap_or(message);
        let text = match fetched {
            Ok(_) => event_body(&letter).map(|body| readable(&letter, &body, &place.telemetry)),
            Err(reason) => Err(reason.to_string()),
        };
        let preview = way::unless_stopped(preview(place, Candidate { letter: &letter, edited: None })).await;
        let shown = Shown {
            stored: way::unless_stopped(stored(place, summary.device())).await.map_err(CommandError::into_message),
            preview: preview.map_err(CommandError::into_message),
            body: text,
            summary,
            letter,
        };
        match format {
            Format::Json => print(serde_json::to_string_pretty(&shown.as_json()).map_err(CommandError::failed)? + "\n"),
            Format::Table => print(clean(&shown.text())),
        }
    }
}

async fn stored(place: &Place, device: Option<&str>) -> Result<Option<Document>, CommandError> {
    let Some(device) = device else { return Ok(None) };
    let store = place.store(OpenMode::ReadOnly)?;
    let stored =
        store.read(&document_id(device), &RequestCharge::default()).await.map_err(CommandError::not_started)?;
    Ok(stored.map(|stored| stored.document))
}

impl Shown {
    fn as_json(&self) -> Json<'_> {
        let Self { summary, letter, body, stored, preview } = self;
        Json {
            message: summary,
            dead_letter: letter,
            body: Known::of(body.as_ref().map(as_json).map_err(Clone::clone)),
            stored: Known::of(stored.as_ref().map(Option::as_ref).map_err(Clone::clone)),
            replay: Known::of(preview.as_ref().map(JsonReplay::of).map_err(Clone::clone)),
            log_query: log_query(letter),
        }
    }

    fn text(&self) -> String {
        let Self { summary, letter, body, stored, preview } = self;
        let of_form = |form| match form {
            Form::Json => "JSON",
            Form::AsJson => "shown as JSON",
            Form::Text => "text",
            Form::Hexadecimal => "hexadecimal",
            Form::Empty => "empty",
        };
        let body = match body {
            Ok(Readable { form, text }) => format!("BODY ({})\n{text}\n\n", of_form(*form)),
            Err(reason) => format!("BODY\n{reason}\n\n"),
        };
        // It is only likely that senders choose the device for the partition key.
        let is_guess = summary.device_id.is_none() && summary.partition_key.is_some();
        let of_whom = if is_guess { "STORED NOW (of the device that the partition key names)" } else { "STORED NOW" };
        let stored = match stored {
            Ok(Some(document)) => format!("{of_whom}\n{}\n\n{}\n", document.id, state::readings(document)),
            Ok(None) if summary.device().is_none() => {
                format!("{of_whom}\nnot known: nothing says which device it is\n\n")
            }
            Ok(None) => format!("{of_whom}\nnothing\n\n"),
            Err(reason) => format!("{of_whom}\nnot known: {reason}\n\n"),
        };
        let replay = match preview {
            Ok(preview) => {
                let table = preview.table().map(|table| table.to_string()).unwrap_or_default();
                format!("A REPLAY\n{}\n{table}\n", preview.sentence())
            }
            Err(reason) => format!("A REPLAY\nnot known: {reason}\n\n"),
        };
        format!("{}\n{body}{stored}{replay}IN LOG ANALYTICS\n{}\n", self.facts(), log_query(letter))
    }

    fn facts(&self) -> Table {
        let Self { summary, letter, .. } = self;
        let data = &letter.event_data;
        let source = &letter.source;
        let mut table = Table::new(["DEAD LETTER", &letter.id]);
        let mut row = |name: &str, value: String| {
            if !value.is_empty() {
                table.row([name.to_owned(), value]);
            }
        };
        let cell = |cell: &Option<Box<RawValue>>| cell.as_ref().map(|cell| cell.get().to_owned()).unwrap_or_default();
        row("issue", letter.issue.clone());
        row("stage", format!("{} ({})", letter.stage, letter.error_class));
        row("failed", format!("{} in attempt {}", letter.time, letter.attempt));
        if let Some(replay) = &letter.replay {
            row("replays", format!("{}, the last at {}", replay.attempts, replay.time));
            row("failed again", format!("{} ({}): {}", replay.stage, replay.error_class, replay.issue));
        }
        row("device", summary.device_id.clone().unwrap_or_default());
        row("namespace", source.fully_qualified_namespace.clone());
        row("hub", source.event_hub_name.clone());
        row("consumer group", source.consumer_group.clone());
        row("partition", source.partition_id.clone());
        row("session queue", source.session_queue_name.clone());
        row("session", data.session_id.clone().unwrap_or_default());
        row("message id", data.message_id.clone().unwrap_or_default());
        row("delivery", data.delivery_count.map(|count| count.to_string()).unwrap_or_default());
        row("partition key", summary.partition_key.clone().unwrap_or_default());
        row("sequence number", cell(&data.sequence_number));
        row("offset", cell(&data.offset).trim_matches('"').to_owned());
        row("enqueued", summary.enqueued_time_utc.clone().unwrap_or_default());
        row("properties", cell(&data.properties));
        row("system properties", cell(&data.system_properties));
        row("invocation", letter.invocation_id.clone());
        row("handler", letter.handler_version.clone());
        row("lies at", summary.overflow.clone().unwrap_or_default());
        row("message", format!("{}, received {}", summary.message_id, times(summary.dequeue_count)));
        row("put", summary.inserted_time.clone());
        row("forgotten", summary.expiration_time.clone().unwrap_or_default());
        table
    }
}

/// What is known, or why it is not.
#[derive(Serialize)]
#[serde(untagged)]
enum Known<T> {
    Known(T),
    #[serde(rename_all = "PascalCase")]
    Unknown {
        error: String,
    },
}

impl<T> Known<T> {
    fn of(result: Result<T, String>) -> Self {
        result.map_or_else(|error| Self::Unknown { error }, Self::Known)
    }
}

/// The JSON form. Each part is written as it is: a [`serde_json::Value`] would change digits and the order of members.
#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct Json<'a> {
    message: &'a Summary,
    dead_letter: &'a DeadLetter,
    body: Known<Option<Box<RawValue>>>,
    stored: Known<Option<&'a Document>>,
    replay: Known<JsonReplay<'a>>,
    log_query: String,
}

#[derive(Serialize)]
#[serde(rename_all = "PascalCase")]
struct JsonReplay<'a> {
    outcome: String,
    changes: &'a [Change],
}

impl<'a> JsonReplay<'a> {
    fn of(preview: &'a Preview) -> Self {
        Self { outcome: preview.sentence(), changes: &preview.changes }
    }
}

/// A body as JSON: itself, or a string of what is shown of it.
fn as_json(Readable { form, text }: &Readable) -> Option<Box<RawValue>> {
    let json = match form {
        // There are no line ends within its strings.
        Form::Json | Form::AsJson => text.replace('\n', "\n  "),
        Form::Text | Form::Hexadecimal => serde_json::to_string(text).ok()?,
        Form::Empty => return None,
    };
    RawValue::from_string(json).ok()
}

fn times(count: i64) -> String {
    if count == 1 { "once".into() } else { format!("{count} times") }
}
