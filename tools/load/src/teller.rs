//! Where the handler tells what it did with the events: at `/state`, or in the records of its replies.

use crate::{
    connection::Connection,
    counts::Counts,
    error::{Error, truncated},
    options::{CountsFrom, Options},
};

/// Asks a handler for its counts, from one time to the next.
pub(crate) struct Teller<'a> {
    options: &'a Options,
    /// What `/state` told the last time; `None` where the records tell.
    at_state: Option<Counts>,
}

impl<'a> Teller<'a> {
    /// Finds out where the handler tells its counts.
    pub(crate) async fn find(options: &'a Options) -> Result<Self, Error> {
        let state = state(options).await?;
        let at_state = match options.counts {
            CountsFrom::Auto => state.ok(),
            CountsFrom::State => Some(state.map_err(Error::NoState)?),
            CountsFrom::Records => None,
        };
        Ok(Self { options, at_state })
    }

    /// Where from: `state` or `records`.
    pub(crate) fn from(&self) -> &'static str {
        if self.at_state.is_some() { "state" } else { "records" }
    }

    /// What was counted since the last time, of which the records say this.
    pub(crate) async fn since(&mut self, records: Counts) -> Result<Counts, Error> {
        let Some(before) = self.at_state else { return Ok(records) };
        let now = state(self.options).await?.map_err(Error::StateGone)?;
        self.at_state = Some(now);
        Ok(now - before)
    }
}

/// The handler's counts as `/state` tells them, or why it does not.
async fn state(options: &Options) -> Result<Result<Counts, String>, Error> {
    let mut connection = Connection::open(&options.address()).await?;
    let host = options.url.authority().expect("checked when it was read");
    let request = format!("GET /state HTTP/1.1\r\nHost: {host}\r\n\r\n");
    Ok(match connection.call(request.as_bytes()).await {
        Ok((200, body)) => {
            Counts::of_state(body).ok_or_else(|| format!("no counts in the answer: {}", truncated(body)))
        }
        Ok((status, body)) => Err(format!("the handler answered {status}: {}", truncated(body))),
        Err(failure) => Err(failure.to_string()),
    })
}
