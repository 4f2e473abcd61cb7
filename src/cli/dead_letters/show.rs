//! `dead-letters show`.

use clap::Args;
use devicestate_dead_letters::{BodyForm, Candidate, Entry, ReadableBody, Summary, log_query, readable_body};
use devicestate_engine::{
    dead_letter::{DeadLetter, event_body},
    device_state::{Document, document_id},
    store::RequestCharge,
};
use devicestate_sqlite::OpenMode;
use devicestate_terminal::{CommandError, Output, OutputOption, Table, print};
use serde::Serialize;
use serde_json::value::RawValue;

use super::{
    context::Context,
    find::find,
    preview::{Change, Preview, preview},
    progress, select,
};
use crate::cli::devices;

pub(super) const COMMAND: &str = "dead-letters show";

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate dead-letters show 0af1c2d4
  devicestate dead-letters show 0af1c2d4 -o json

The effect of a replay is computed from the stored documents, and nothing is written. Without the \
setting StateStore, only this part is missing. Telemetry in other formats is shown as JSON, and \
bytes that are not text as hexadecimal digits.

Docs: docs/operate/repair-dead-letters.md")]
pub(super) struct Options {
    /// Id, or at least its first 8 digits
    #[arg(value_name = "ID", value_parser = select::id)]
    id: String,
    #[command(flatten)]
    pub(super) output: OutputOption,
}

/// The parts of the output. A part that is not available is the text of an error; the other parts are shown.
struct Details {
    summary: Summary,
    letter: DeadLetter,
    body: Result<ReadableBody, String>,
    telemetry: Option<String>,
    stored: Result<Option<Document>, String>,
    preview: Result<Preview, String>,
}

impl Options {
    pub(super) async fn run(self, context: &Context) -> Result<(), CommandError> {
        let entry = find(context, &self.id).await?;
        let details = progress::unless_stopped(Details::read(context, &entry)).await?;
        match self.output.output {
            Output::Table => print(details.text()),
            output => context.print_json(output, COMMAND, &Ok(()), &details.as_json(output)),
        }
    }
}

async fn stored_document(context: &Context, device: Option<&str>) -> Result<Option<Document>, CommandError> {
    let Some(device) = device else { return Ok(None) };
    let store = context.store(OpenMode::ReadOnly)?;
    let stored =
        store.read(&document_id(device), &RequestCharge::default()).await.map_err(CommandError::not_started)?;
    Ok(stored.map(|stored| stored.document))
}

impl Details {
    async fn read(context: &Context, entry: &Entry) -> Result<Self, CommandError> {
        let message = entry.dead_letter().cloned().expect("only dead letters are found by an id");
        let summary = entry.summary();
        let fetched = context.fetch_complete(&message).await;
        let letter = fetched.as_ref().ok().cloned().unwrap_or(message);
        let body = match fetched {
            Ok(_) => event_body(&letter),
            Err(reason) => Err(reason.to_string()),
        };
        let body = body.and_then(|body| {
            let telemetry = context.telemetry().map_err(CommandError::into_message)?;
            Ok(readable_body(&letter, &body, &*telemetry))
        });
        let preview = preview(context, Candidate { letter: &letter, edited: None }).await;
        let stored = stored_document(context, summary.device()).await;
        Ok(Self {
            stored: stored.map_err(CommandError::into_message),
            preview: preview.map_err(CommandError::into_message),
            telemetry: context.telemetry_name().map(str::to_owned),
            body,
            summary,
            letter,
        })
    }

    fn as_json(&self, output: Output) -> DetailsJson<'_> {
        let Self { summary, letter, body, telemetry, stored, preview } = self;
        DetailsJson {
            telemetry: telemetry.as_deref(),
            message: summary,
            dead_letter: letter,
            body: Known::new(body.as_ref().map(|body| body_json(body, output)).map_err(Clone::clone)),
            stored: Known::new(stored.as_ref().map(Option::as_ref).map_err(Clone::clone)),
            replay: Known::new(preview.as_ref().map(ReplayJson::new).map_err(Clone::clone)),
            log_query: log_query(letter),
        }
    }

    fn text(&self) -> String {
        let Self { summary, letter, body, stored, preview, .. } = self;
        let form_name = |form| match form {
            BodyForm::Json => "JSON",
            BodyForm::AsJson => "shown as JSON",
            BodyForm::Text => "text",
            BodyForm::Hexadecimal => "hexadecimal",
            BodyForm::Empty => "empty",
        };
        let body = match body {
            Ok(ReadableBody { form, text }) => format!("BODY ({})\n{text}\n\n", form_name(*form)),
            Err(reason) => format!("BODY\n{reason}\n\n"),
        };
        // Senders usually choose the device for the partition key, but not always.
        let is_guess = summary.device_id.is_none() && summary.partition_key.is_some();
        let heading = if is_guess { "STORED NOW (device of the partition key)" } else { "STORED NOW" };
        let stored = match stored {
            Ok(Some(document)) => format!("{heading}\n{}\n\n{}\n", document.id, devices::readings_table(document)),
            Ok(None) if summary.device().is_none() => {
                format!("{heading}\nunknown: the dead letter has no device id\n\n")
            }
            Ok(None) => format!("{heading}\nno document\n\n"),
            Err(reason) => format!("{heading}\nunknown: {reason}\n\n"),
        };
        let replay = match preview {
            Ok(preview) => {
                let table = preview.table().map(|table| table.to_string()).unwrap_or_default();
                format!("REPLAY\n{}\n{table}\n", preview.sentence())
            }
            Err(reason) => format!("REPLAY\nunknown: {reason}\n\n"),
        };
        format!("{}\n{body}{stored}{replay}IN LOG ANALYTICS\n{}\n", self.facts_table(), log_query(letter))
    }

    fn facts_table(&self) -> Table {
        let Self { summary, letter, telemetry, .. } = self;
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
        row("enqueued (UTC)", summary.enqueued_time_utc.clone().unwrap_or_default());
        row("properties", cell(&data.properties));
        row("system properties", cell(&data.system_properties));
        row("invocation", letter.invocation_id.clone());
        row("handler", letter.handler_version.clone());
        row("decoded as", letter.telemetry.clone().unwrap_or_default());
        row("decoded here as", telemetry.clone().unwrap_or_default());
        row("stored at", summary.overflow.clone().unwrap_or_default());
        row("message", format!("{}, received {}", summary.message_id, times_text(summary.dequeue_count)));
        row("inserted", summary.inserted_time.clone());
        row("expires", summary.expiration_time.clone().unwrap_or_default());
        table
    }
}

/// A part of the output, or why it is not known.
#[derive(Serialize)]
#[serde(untagged)]
enum Known<T> {
    Known(T),
    #[serde(rename_all = "camelCase")]
    Unknown {
        error: String,
    },
}

impl<T> Known<T> {
    fn new(result: Result<T, String>) -> Self {
        result.map_or_else(|error| Self::Unknown { error }, Self::Known)
    }
}

/// The result for machines. Not a [`serde_json::Value`], which would change digits and the order of members.
#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct DetailsJson<'a> {
    message: &'a Summary,
    dead_letter: &'a DeadLetter,
    body: Known<Option<Box<RawValue>>>,
    telemetry: Option<&'a str>,
    stored: Known<Option<&'a Document>>,
    replay: Known<ReplayJson<'a>>,
    log_query: String,
}

#[derive(Serialize)]
#[serde(rename_all = "camelCase")]
struct ReplayJson<'a> {
    outcome: &'static str,
    detail: String,
    changes: &'a [Change],
}

impl<'a> ReplayJson<'a> {
    fn new(preview: &'a Preview) -> Self {
        Self { outcome: preview.outcome_name(), detail: preview.sentence(), changes: &preview.changes }
    }
}

/// Returns a body as JSON: itself, or a string of what is shown of it.
fn body_json(ReadableBody { form, text }: &ReadableBody, output: Output) -> Option<Box<RawValue>> {
    let json = match (form, output) {
        // No string contains a line end, so the lines can be joined, or indented as deep as in the envelope.
        (BodyForm::Json | BodyForm::AsJson, Output::Jsonl) => text.lines().map(str::trim_start).collect(),
        (BodyForm::Json | BodyForm::AsJson, _) => text.replace('\n', "\n    "),
        (BodyForm::Text | BodyForm::Hexadecimal, _) => serde_json::to_string(text).ok()?,
        (BodyForm::Empty, _) => return None,
    };
    RawValue::from_string(json).ok()
}

fn times_text(count: i64) -> String {
    if count == 1 { "once".into() } else { format!("{count} times") }
}
