//! Reads the handler's own counts: from `GET /state`, or from the records in its replies.

use crate::{
    connection::Connection,
    counts::Counts,
    error::{Error, truncated},
    options::{CountsSource, Options},
};

/// Reads the handler's counts since the previous reading.
pub(crate) struct CountsReader<'a> {
    options: &'a Options,
    /// The last counts of `GET /state`; `None` if the records are the source.
    last_state: Option<Counts>,
}

impl<'a> CountsReader<'a> {
    /// Detects where the handler reports its counts.
    pub(crate) async fn detect(options: &'a Options) -> Result<Self, Error> {
        let state = read_state(options).await?;
        let last_state = match options.counts {
            CountsSource::Auto => state.ok(),
            CountsSource::State => Some(state.map_err(Error::StateUnavailable)?),
            CountsSource::Records => None,
        };
        Ok(Self { options, last_state })
    }

    /// Returns the source of the counts: `state` or `records`.
    pub(crate) fn source(&self) -> &'static str {
        if self.last_state.is_some() { "state" } else { "records" }
    }

    /// Returns the counts since the previous call, which are `records` if the records are the source.
    pub(crate) async fn take_new(&mut self, records: Counts) -> Result<Counts, Error> {
        let Some(before) = self.last_state else { return Ok(records) };
        let now = read_state(self.options).await?.map_err(Error::StateLost)?;
        self.last_state = Some(now);
        Ok(now - before)
    }
}

/// Returns the counts of `GET /state`, or the reason why they are not available.
async fn read_state(options: &Options) -> Result<Result<Counts, String>, Error> {
    let mut connection = Connection::open(&options.address()).await?;
    let host = options.url.authority().expect("checked by the options");
    let request = format!("GET /state HTTP/1.1\r\nHost: {host}\r\n\r\n");
    Ok(match connection.call(request.as_bytes()).await {
        Ok((200, body)) => {
            Counts::from_state(body).ok_or_else(|| format!("the reply has no counts: {}", truncated(body)))
        }
        Ok((status, body)) => Err(format!("the handler responded {status}: {}", truncated(body))),
        Err(failure) => Err(failure.to_string()),
    })
}
