//! A link to the hub, with a connection of its own.
//!
//! On `azure_core_amqp` itself: what a sender of `azure_messaging_eventhubs` 0.15 hides is told in docs/reference/send.md. Its sender
//! has one delivery under way at a time, and so has each of these. Whoever gives one up in the middle of a delivery drops
//! the connection with it, so that nothing of the delivery is still waiting on this side.

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

/// So long before its end a token is replaced.
const EARLY: Duration = Duration::from_mins(5);

/// The largest message where the hub names no limit: the smallest that any tier of Event Hubs has.
const DEFAULT_LIMIT: u64 = 262_144;

/// An open link. Dropped, it takes its connection down.
pub(crate) struct Link {
    sender: AmqpSender,
    /// Dropped, it would end, and the sender with it.
    _session: AmqpSession,
    security: Option<Security>,
    connection: AmqpConnection,
    largest: u64,
}

/// What keeps the link allowed.
struct Security {
    node: AmqpClaimsBasedSecurity,
    expires_on: OffsetDateTime,
}

impl Link {
    /// Connects, shows that it may, and attaches.
    ///
    /// # Errors
    ///
    /// Whatever of that did not work. Nothing was sent.
    pub(crate) async fn open(to: &Destination) -> Result<Self, Failure> {
        let failed = |error: AmqpError| Failure::to_open(&error);
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

        let security = Security::show(&connection, to).await?;
        let session = begin(&connection).await?;
        let sender = AmqpSender::new();
        sender.attach(&session, Uuid::new_v4().to_string(), to.hub.to_string(), None).await.map_err(failed)?;
        let largest = sender.max_message_size().await.map_err(failed)?;
        let largest = largest.filter(|limit| *limit > 0).unwrap_or(DEFAULT_LIMIT);
        Ok(Self { sender, _session: session, security, connection, largest })
    }

    /// The largest message that the hub takes, in bytes.
    pub(crate) fn largest(&self) -> u64 {
        self.largest
    }

    /// Sends a batch and waits until the hub has it.
    ///
    /// # Errors
    ///
    /// What the hub said, or that the link has ended.
    pub(crate) async fn send(&mut self, batch: &AmqpMessage, to: &Destination) -> Result<(), Failure> {
        if let Some(security) = &mut self.security {
            security.renew(to).await?;
        }
        let options = AmqpSendOptions { message_format: Some(batch::FORMAT), ..Default::default() };
        match self.sender.send_ref(batch, Some(options)).await {
            Ok(AmqpSendOutcome::Accepted) => Ok(()),
            Ok(AmqpSendOutcome::Rejected(reason)) => Err(Failure::refused(reason.as_ref())),
            Ok(AmqpSendOutcome::Released) => Err(Failure::given_back("released")),
            Ok(AmqpSendOutcome::Modified(_)) => Err(Failure::given_back("modified")),
            Err(error) => Err(Failure::to_send(&error)),
        }
    }

    /// Says goodbye. What was taken stays taken, so nobody needs to know how it ends.
    pub(crate) async fn close(self) {
        let _ = self.sender.detach().await;
        let _ = self.connection.close().await;
    }
}

impl Security {
    /// Puts the first token; nothing where nobody asks for one.
    async fn show(connection: &AmqpConnection, to: &Destination) -> Result<Option<Self>, Failure> {
        let Some(token) = to.access.token(to.hub.as_str()).await? else { return Ok(None) };
        let node = AmqpClaimsBasedSecurity::new(begin(connection).await?).map_err(|error| Failure::to_open(&error))?;
        node.attach().await.map_err(|error| Failure::to_open(&error))?;
        let put = node.authorize_path(to.hub.to_string(), Some(token.kind.to_owned()), &token.text, token.expires_on);
        put.await.map_err(|error| Failure::to_open(&error))?;
        Ok(Some(Self { node, expires_on: token.expires_on }))
    }

    /// Puts a new token when the last one is about to end.
    async fn renew(&mut self, to: &Destination) -> Result<(), Failure> {
        let left = self.expires_on.unix_timestamp() - System.now_ms() / 1_000;
        if left > EARLY.as_secs().cast_signed() {
            return Ok(());
        }
        let Some(token) = to.access.token(to.hub.as_str()).await? else { return Ok(()) };
        // One that cannot be made anew counts until its end, and the hub ends the link then.
        if token.expires_on > self.expires_on {
            let put = self.node.authorize_path(
                to.hub.to_string(),
                Some(token.kind.to_owned()),
                &token.text,
                token.expires_on,
            );
            put.await.map_err(|error| Failure::to_open(&error))?;
            self.expires_on = token.expires_on;
        }
        Ok(())
    }
}

async fn begin(connection: &AmqpConnection) -> Result<AmqpSession, Failure> {
    let session = AmqpSession::new();
    let begun = session.begin(connection, Some(AmqpSessionOptions::with_unbounded_windows())).await;
    begun.map_err(|error| Failure::to_open(&error))?;
    Ok(session)
}
