//! A link to the hub, with its own connection.
//!
//! It uses `azure_core_amqp` directly; docs/reference/send.md describes what `azure_messaging_eventhubs` 0.15 hides. A link has
//! one delivery in flight. Dropping a link during a delivery drops its connection too, so that nothing of the delivery stays
//! queued in this process.

use std::time::Duration;

use azure_core::time::OffsetDateTime;
use azure_core_amqp::{
    AmqpClaimsBasedSecurity, AmqpClaimsBasedSecurityApis as _, AmqpConnection, AmqpConnectionApis as _,
    AmqpConnectionOptions, AmqpError, AmqpMessage, AmqpOrderedMap, AmqpSendOptions, AmqpSendOutcome, AmqpSender,
    AmqpSenderApis as _, AmqpSession, AmqpSessionApis as _, AmqpSessionOptions, AmqpSymbol, AmqpValue,
};
use devicestate_engine::clock::{Clock as _, System};
use uuid::Uuid;

use crate::{PROGRAM, batch, destination::Destination, failure::Failure};

/// How long before its expiry a token is replaced.
const RENEWAL_MARGIN: Duration = Duration::from_mins(5);

/// The largest message in bytes if the hub reports no limit: the smallest limit of all tiers of Event Hubs.
const DEFAULT_MAX_MESSAGE_BYTES: u64 = 262_144;

/// An open link. Dropping it closes its connection.
pub(crate) struct Link {
    sender: AmqpSender,
    /// Kept, because dropping it would close the sender.
    _session: AmqpSession,
    authorization: Option<Authorization>,
    connection: AmqpConnection,
    max_message_bytes: u64,
}

/// The token of a link and where to renew it.
struct Authorization {
    node: AmqpClaimsBasedSecurity,
    expires_on: OffsetDateTime,
}

impl Link {
    /// Connects, puts a token, and attaches the link.
    ///
    /// # Errors
    ///
    /// One of these steps failed. Nothing was sent.
    pub(crate) async fn open(to: &Destination) -> Result<Self, Failure> {
        let failed = |error: AmqpError| Failure::open_failed(&error);
        let connection = AmqpConnection::new();
        let mut properties = AmqpOrderedMap::<AmqpSymbol, AmqpValue>::new();
        properties.insert("product".into(), PROGRAM.into());
        properties.insert("version".into(), env!("CARGO_PKG_VERSION").into());
        let options = AmqpConnectionOptions {
            properties: Some(properties),
            custom_endpoint: to.endpoint.clone(),
            ..Default::default()
        };
        connection.open(Uuid::new_v4().to_string(), to.hub.clone(), Some(options)).await.map_err(failed)?;

        let authorization = Authorization::new(&connection, to).await?;
        let session = begin_session(&connection).await?;
        let sender = AmqpSender::new();
        sender.attach(&session, Uuid::new_v4().to_string(), to.hub.to_string(), None).await.map_err(failed)?;
        let max_message_bytes = sender.max_message_size().await.map_err(failed)?;
        let max_message_bytes = max_message_bytes.filter(|limit| *limit > 0).unwrap_or(DEFAULT_MAX_MESSAGE_BYTES);
        Ok(Self { sender, _session: session, authorization, connection, max_message_bytes })
    }

    /// Returns the largest message that the hub accepts, in bytes.
    pub(crate) fn max_message_bytes(&self) -> u64 {
        self.max_message_bytes
    }

    /// Sends a batch and waits until the hub accepts it.
    ///
    /// # Errors
    ///
    /// The hub did not accept it, or the link has ended.
    pub(crate) async fn send(&mut self, batch: &AmqpMessage, to: &Destination) -> Result<(), Failure> {
        if let Some(authorization) = &mut self.authorization {
            authorization.renew(to).await?;
        }
        let options = AmqpSendOptions { message_format: Some(batch::MESSAGE_FORMAT), ..Default::default() };
        match self.sender.send_ref(batch, Some(options)).await {
            Ok(AmqpSendOutcome::Accepted) => Ok(()),
            Ok(AmqpSendOutcome::Rejected(reason)) => Err(Failure::rejected(reason.as_ref())),
            Ok(AmqpSendOutcome::Released) => Err(Failure::not_accepted("released")),
            Ok(AmqpSendOutcome::Modified(_)) => Err(Failure::not_accepted("modified")),
            Err(error) => Err(Failure::send_failed(&error)),
        }
    }

    /// Closes the link and its connection. Errors are ignored: accepted batches stay accepted.
    pub(crate) async fn close(self) {
        let _ = self.sender.detach().await;
        let _ = self.connection.close().await;
    }
}

impl Authorization {
    /// Puts the first token; `None` if the hub needs none.
    async fn new(connection: &AmqpConnection, to: &Destination) -> Result<Option<Self>, Failure> {
        let Some(token) = to.access.token(to.hub.as_str()).await? else { return Ok(None) };
        let node = AmqpClaimsBasedSecurity::new(begin_session(connection).await?)
            .map_err(|error| Failure::open_failed(&error))?;
        node.attach().await.map_err(|error| Failure::open_failed(&error))?;
        let put = node.authorize_path(to.hub.to_string(), Some(token.kind.to_owned()), &token.text, token.expires_on);
        put.await.map_err(|error| Failure::open_failed(&error))?;
        Ok(Some(Self { node, expires_on: token.expires_on }))
    }

    /// Puts a new token if the last one is about to expire.
    async fn renew(&mut self, to: &Destination) -> Result<(), Failure> {
        let left = self.expires_on.unix_timestamp() - System.now_ms() / 1_000;
        if left > RENEWAL_MARGIN.as_secs().cast_signed() {
            return Ok(());
        }
        let Some(token) = to.access.token(to.hub.as_str()).await? else { return Ok(()) };
        // A token that cannot be renewed is valid until it expires; then the hub closes the link.
        if token.expires_on > self.expires_on {
            let put = self.node.authorize_path(
                to.hub.to_string(),
                Some(token.kind.to_owned()),
                &token.text,
                token.expires_on,
            );
            put.await.map_err(|error| Failure::open_failed(&error))?;
            self.expires_on = token.expires_on;
        }
        Ok(())
    }
}

async fn begin_session(connection: &AmqpConnection) -> Result<AmqpSession, Failure> {
    let session = AmqpSession::new();
    let begun = session.begin(connection, Some(AmqpSessionOptions::with_unbounded_windows())).await;
    begun.map_err(|error| Failure::open_failed(&error))?;
    Ok(session)
}
