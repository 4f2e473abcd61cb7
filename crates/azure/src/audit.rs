//! The audit trail of the tools, in an append blob.

use std::sync::Arc;

use async_trait::async_trait;
use azure_core::{Bytes, error::ErrorKind, http::StatusCode};
use azure_storage_blob::{
    AppendBlobClient,
    models::{AppendBlobClientAppendBlockOptions, AppendBlobClientCreateOptions},
};
use devicestate_dead_letters::{Action, AuditError, AuditLine, AuditTrail};
use devicestate_engine::{clock::Clock, settings::ConfigError};
use tokio::sync::Mutex;

use crate::storage::{Container, StorageConnection, StorageError, StorageErrorKind};

/// The largest block that every version of the service accepts.
const MAX_BLOCK_BYTES: usize = 4 << 20;

/// Limits the attempts to append a block: a response can report another end position, and then a full blob.
const MAX_APPEND_ATTEMPTS: usize = 3;

/// The audit trail of one run of a tool: an append blob such as `audit/2026/11/21/152329-replay-1a2b3c4d.jsonl`. The first
/// line creates the blob, and the container if it is missing.
///
/// No other process writes to the blob, and each block is sent with its expected position. So a block whose response was lost
/// is detected when it is sent again, and no line is written twice.
pub struct BlobAudit {
    container: Container,
    /// The name without its suffix: a blob holds at most 50,000 blocks, so a long run needs several blobs.
    name: String,
    end: Mutex<End>,
}

/// The end of the trail: where the next line is appended.
#[derive(Debug, Clone, Copy, Default)]
struct End {
    /// The number of the run's last blob, from 1; 0 before the first one.
    part: u32,
    /// The size of that blob in bytes.
    position: usize,
}

impl BlobAudit {
    /// Creates the trail of a run of this action that starts now, in the container of this name. Sends no request yet.
    ///
    /// # Errors
    ///
    /// [`ConfigError`] if the connection has no usable blob service.
    pub fn new(
        connection: &StorageConnection,
        container: &str,
        action: Action,
        clock: &dyn Clock,
    ) -> Result<Self, ConfigError> {
        let now = jiff::Timestamp::from_millisecond(clock.now_ms()).unwrap_or_default();
        // Distinguishes runs that start in the same second.
        let suffix = &uuid::Uuid::new_v4().simple().to_string()[..8];
        let name = format!("audit/{}-{action}-{suffix}", now.strftime("%Y/%m/%d/%H%M%S"));
        Ok(Self { container: Container::new(connection, container)?, name, end: Mutex::default() })
    }

    fn blob_name(&self, part: u32) -> String {
        match part {
            0 | 1 => format!("{}.jsonl", self.name),
            part => format!("{}-{part}.jsonl", self.name),
        }
    }

    fn blob(&self, part: u32) -> AppendBlobClient {
        self.container.blob(&self.blob_name(part)).append_blob_client()
    }

    fn subject(&self, part: u32) -> String {
        format!("the blob {}", self.blob_name(part))
    }

    /// Appends a block and returns the new end.
    async fn append_block(&self, mut end: End, block: &[u8]) -> Result<End, StorageError> {
        for _ in 0..MAX_APPEND_ATTEMPTS {
            let Err(error) = append(&self.blob(end.part), end.position, block).await else {
                return Ok(End { position: end.position + block.len(), ..end });
            };
            match error_code(&error) {
                Some("AppendPositionConditionNotMet") => {
                    // The response to an earlier try of this block was lost, or a caller gave up on an earlier block.
                    let found = self.container.read(&self.blob_name(end.part), end.position as u64).await;
                    let found = found.map_err(|error| self.translate(end, &error))?;
                    let is_this_block = found.starts_with(block);
                    end.position += if is_this_block { block.len() } else { found.len() };
                    if is_this_block {
                        return Ok(end);
                    }
                }
                Some("BlockCountExceedsLimit") => end = self.create_blob(end.part + 1).await?,
                _ => return Err(self.translate(end, &error)),
            }
        }
        let kind = StorageErrorKind::Rejected("another process writes to the blob; repeat the command".to_owned());
        Err(self.container.resource(&self.subject(end.part)).error(kind))
    }

    /// Creates the blob of this number.
    async fn create_blob(&self, part: u32) -> Result<End, StorageError> {
        let (blob, end) = (self.blob(part), End { part, position: 0 });
        match self.container.write_creating_container(|| create(&blob)).await {
            // This run created it, and the response was lost. The first block detects what is in it.
            Err(error)
                if error.http_status() == Some(StatusCode::Conflict)
                    && error_code(&error) == Some(BLOB_ALREADY_EXISTS) =>
            {
                Ok(end)
            }
            result => result.map(|()| end).map_err(|error| self.translate(end, &error)),
        }
    }

    fn translate(&self, end: End, error: &azure_core::Error) -> StorageError {
        self.container.translate(&self.subject(end.part), error)
    }
}

#[async_trait]
impl AuditTrail for BlobAudit {
    async fn append(&self, lines: &[AuditLine]) -> Result<(), AuditError> {
        // Locked for the complete append: the blocks of two concurrent calls would expect the same position.
        let mut end = self.end.lock().await;
        if end.part == 0 {
            *end = self.create_blob(1).await.map_err(audit_error)?;
        }
        let mut next = *end;
        for block in group_into_blocks(lines) {
            for chunk in block.chunks(MAX_BLOCK_BYTES) {
                next = self.append_block(next, chunk).await.map_err(audit_error)?;
            }
        }
        // Set only after all blocks: a caller that appends the same lines again after an error starts at the same position,
        // and the lines that were written are detected.
        *end = next;
        Ok(())
    }

    fn location(&self) -> String {
        format!("{} in {}", self.subject(1), self.container.location())
    }
}

fn audit_error(error: StorageError) -> AuditError {
    AuditError::WriteFailed(Arc::new(error))
}

const BLOB_ALREADY_EXISTS: &str = "BlobAlreadyExists";

async fn create(blob: &AppendBlobClient) -> azure_core::Result<()> {
    let options = AppendBlobClientCreateOptions {
        blob_content_type: Some("application/x-ndjson".to_owned()),
        ..Default::default()
    };
    // A retry must not empty it.
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

/// Returns the service's error code.
fn error_code(error: &azure_core::Error) -> Option<&str> {
    match error.kind() {
        ErrorKind::HttpResponse { error_code, .. } => error_code.as_deref(),
        _ => None,
    }
}

/// Groups lines into blocks, as many lines as a block holds. A line that is larger than a block is alone.
fn group_into_blocks(lines: &[AuditLine]) -> Vec<Vec<u8>> {
    let mut blocks: Vec<Vec<u8>> = Vec::new();
    for line in lines.iter().map(AuditLine::to_bytes) {
        match blocks.last_mut() {
            Some(block) if block.len() + line.len() <= MAX_BLOCK_BYTES => block.extend(line),
            _ => blocks.push(line),
        }
    }
    blocks
}
