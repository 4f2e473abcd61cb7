//! `telemetry infer`.

use clap::Args;
use devicestate_terminal::CommandError;

use super::EventsArgument;

#[derive(Debug, Args)]
#[command(after_help = "\
Examples:
  devicestate telemetry infer events.jsonl
  devicestate telemetry infer capture.avro --output telemetry.json

Docs: docs/reference/commands.md")]
pub(super) struct Options {
    #[command(flatten)]
    events: EventsArgument,
}
impl Options {
    pub(super) async fn run(self) -> Result<(), CommandError> {
        let _ = self.events;
        Ok(())
    }
}
