//! The audit trail as a blob beside the dead letters that did not fit into their queue.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::{Bytes, error::ErrorKind, http::StatusCode};
use azure_storage_blob::{
    AppendBlobClient,
    models::{AppendBlobClientAppendBlockOptions, AppendBlobClientCreateOptions},
};
use devicestate_dead_letters::{Action, Audit, AuditError, AuditLine};
use devicestate_engine::{clock::Clock, settings::ConfigError};
use tokio::sync::Mutex;

use crate::storage::{Container, Fault, StorageConnection, StorageError};

/// The most bytes of a block that each version of the service takes.
const BLOCK: usize = 4 << 20;

/// How often a block is tried: after an answer that the end of the blob is elsewhere, and after one that the blob is full.
const TURNS: usize = 3;

/// A blob for one run of the tools, such as `audit/2026/11/21/152329-replay-1a2b3c4d.jsonl`, to which lines are only
/// appended. It is made with the first line, and so is the container if it is not there.
///
/// Nobody else writes to it, and each block says where it must come to lie. So a block whose answer was lost is found
/// when it is sent again, and no line is there twice.
pub struct BlobAudit {
    container: Container,
    /// Without its ending: a blob takes 50,000 blocks, and a long run has a second one.
    name: String,
    end: Mutex<End>,
}

/// Where the next line goes.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    /// Which of the run's blobs, from 1; 0 while there is none.
    part: u32,
    /// How many bytes are in it.
    position: usize,
}

impl BlobAudit {
    /// A blob of its own for a run of this action that begins now, in the container of this name. Nobody is asked yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`], when the connection does not lead to a blob service.
    pub fn new(
        connection: &StorageConnection,
        container: &str,
        action: Action,
        clock: &dyn Clock,
    ) -> Result<Self, ConfigError> {
        let now = jiff::Timestamp::from_millisecond(clock.now_ms()).unwrap_or_default();
        // Runs of one second are told apart by it.
        let chance = &uuid::Uuid::new_v4().simple().to_string()[..8];
        let name = format!("audit/{}-{action}-{chance}", now.strftime("%Y/%m/%d/%H%M%S"));
        Ok(Self { container: Container::new(connection, container)?, name, end: Mutex::default() })
    }

    fn name_of(&self, part: u32) -> String {
        match part {
            0 | 1 => format!("{}.jsonl", self.name),
            part => format!("{}-{part}.jsonl", self.name),
        }
    }

    fn blob(&self, part: u32) -> AppendBlobClient {
        self.container.blob(&self.name_of(part)).append_blob_client()
    }

    fn subject(&self, part: u32) -> String {
        format!("the blob {}", self.name_of(part))
    }

    /// Appends a block, and tells where the next one goes.
    async fn append_block(&self, mut end: End, block: &[u8]) -> Result<End, StorageError> {
        for _ in 0..TURNS {
            let Err(error) = append(&self.blob(end.part), end.position, block).await else {
                return Ok(End { position: end.position + block.len(), ..end });
            };
            match code(&error) {
                Some("AppendPositionConditionNotMet") => {
                    // Somebody's answer was lost: this block's, or that of one that was given up.
                    let there = self.container.read(&self.name_of(end.part), end.position as u64).await;
                    let there = there.map_err(|error| self.translate(end, &error))?;
                    let is_this = there.starts_with(block);
                    end.position += if is_this { block.len() } else { there.len() };
                    if is_this {
                        return Ok(end);
                    }
                }
                Some("BlockCountExceedsLimit") => end = self.begin(end.part + 1).await?,
                _ => return Err(self.translate(end, &error)),
            }
        }
        let fault = Fault::Refused("somebody else writes to it".to_owned());
        Err(self.container.of(&self.subject(end.part)).error(fault))
    }

    /// Makes a blob.
    async fn begin(&self, part: u32) -> Result<End, StorageError> {
        let (blob, end) = (self.blob(part), End { part, position: 0 });
        match self.container.made_for(|| create(&blob)).await {
            // By this run, when an answer was lost; and what is in it is found with the first block.
            Err(error) if error.http_status() == Some(StatusCode::Conflict) && code(&error) == Some(EXISTS) => Ok(end),
            created => created.map(|()| end).map_err(|error| self.translate(end, &error)),
        }
    }

    fn translate(&self, end: End, error: &azure_core::Error) -> StorageError {
        self.container.translate(&self.subject(end.part), error)
    }
}

#[async_trait]
impl Audit for BlobAudit {
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        // Held over all, since the blocks of two at once would look for the same place.
        let mut end = self.end.lock().await;
        if end.part == 0 {
            *end = self.begin(1).await.map_err(unwritten)?;
        }
        let mut next = *end;
        for block in blocks(lines) {
            for piece in block.chunks(BLOCK) {
                next = self.append_block(next, piece).await.map_err(unwritten)?;
            }
        }
        // Only now: whoever appends the same lines again after an error begins at the same place, and those that are
        // there are found.
        *end = next;
        Ok(())
    }

    fn place(&self) -> String {
        format!("{} in {}", self.subject(1), self.container.place())
    }
}

fn unwritten(error: StorageError) -> AuditError {
    AuditError::Unwritten(Arc::new(error))
}

const EXISTS: &str = "BlobAlreadyExists";

async fn create(blob: &AppendBlobClient) -> azure_core::Result<()> {
    let options = AppendBlobClientCreateOptions {
        blob_content_type: Some("application/x-ndjson".to_owned()),
        ..Default::default()
    };
    // A repeated one must not empty it.
    blob.create(Some(options.if_not_exists())).await.map(drop)
}

async fn append(blob: &AppendBlobClient, position: usize, block: &[u8]) -> azure_core::Result<()> {
    let options = AppendBlobClientAppendBlockOptions {
        append_position: Some(i64::try_from(position).unwrap_or(i64::MAX)),
        ..Default::default()
    };
    let bytes = Bytes::copy_from_slice(block);
    blob.append_block(bytes.into(), block.len() as u64, Some(options)).await.map(drop)
}

/// The service's word for what went wrong.
fn code(error: &azure_core::Error) -> Option<&str> {
    match error.kind() {
        ErrorKind::HttpResponse { error_code, .. } => error_code.as_deref(),
        _ => None,
    }
}

/// The lines, as many together as a block takes. One that is too large for any is alone.
fn blocks(lines: &[AuditLine]) -> Vec<Vec<u8>> {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    for line in lines.iter().map(AuditLine::to_bytes) {
        match blocks.last_mut() {
            Some(block) if block.len() + line.len() <= BLOCK => block.extend(line),
            _ => blocks.push(line),
        }
    }
    blocks
}
