//! The closed loop: on each connection one batch is in flight, and the next one goes out when the reply is in.

use std::time::{Duration, Instant};

use devicestate::surroundings::{Clock as _, System};
use futures_util::{TryStreamExt as _, stream::FuturesUnordered};

use crate::{
    connection::Connection,
    counts::Counts,
    error::{Error, Failure, in_short},
    options::{CountsFrom, Options},
    partition::Partition,
    process::Process,
    report::{CountsReport, Report},
    tally::{Tally, Window},
    watch::Watch,
};

/// Drives the handler, and tells what came of it.
pub(crate) async fn drive(options: &Options) -> Result<Report, Error> {
    Process::own().processor_time().map_err(Error::NoProc)?;
    if let Some(pid) = options.pid {
        Process(pid).processor_time().map_err(|error| Error::NoProcess { pid, error })?;
    }
    let before = counts_before(options).await?;
    let partitions: Vec<_> =
        (0..options.connections).map(|number| Partition::new(options, number, System.now_ms())).collect();
    let mut lanes = Vec::new();
    for partition in partitions {
        lanes.push((partition, Connection::open(&options.address()).await?));
    }

    let tally = Tally::new();
    let window = window(options);
    let watch = Watch::new(options, window, &tally);
    let all: FuturesUnordered<_> = lanes
        .into_iter()
        .map(|(partition, connection)| lane(options, &window, &tally, partition, connection))
        .collect();
    tokio::select! {
        biased;
        failed = watch.look_on() => match failed {
            Err(error) => return Err(error),
        },
        done = all.try_collect::<()>() => done?,
    }
    let used = watch.used()?;

    let counts = match before {
        Some(before) => {
            let after = state(options).await?.map_err(Error::StateGone)?;
            CountsReport { from: "state", counts: after - before }
        }
        None => CountsReport { from: "records", counts: tally.records.get() },
    };
    let memory = options.pid.map(|pid| Process(pid).memory().map_err(|error| Error::ProcessGone { pid, error }));
    Report::new(options, &window, &tally, &used, memory.transpose()?, counts)
}

/// One connection, until the time is over or all its batches are sent.
async fn lane(
    options: &Options,
    window: &Window,
    tally: &Tally,
    mut partition: Partition,
    mut connection: Connection,
) -> Result<(), Error> {
    let is_large = options.large_body.is_some() && partition.number == 0;
    let batches = options.batches.map_or(u64::MAX, u64::from);
    for number in 1..=batches {
        let request = partition.request(System.now_ms());
        let sent = Instant::now();
        if window.is_over(sent) {
            break;
        }
        let answer = connection.call(request).await;
        let now = Instant::now();
        match answer.and_then(|(status, body)| counts_of(status, body)) {
            Ok(counts) => tally.told(counts),
            Err(failure) => return Err(Error::Request { partition: partition.number, number, failure }),
        }
        tally.answered(window, partition.events, is_large, now, now - sent);
    }
    Ok(())
}

/// What a reply says of its events, where it says anything.
fn counts_of(status: u16, body: &[u8]) -> Result<Counts, Failure> {
    match status {
        200 if body.is_empty() => Err(Failure::Empty),
        200 => Ok(Counts::of_reply(body).unwrap_or_default()),
        status => Err(Failure::Status { status, body: in_short(body) }),
    }
}

fn window(options: &Options) -> Window {
    let now = Instant::now();
    if options.batches.is_some() {
        return Window { begin: now, end: None };
    }
    let begin = now + Duration::from_secs(options.warm.into());
    Window { begin, end: Some(begin + Duration::from_secs(options.seconds.into())) }
}

/// The handler's counts beforehand, where it tells them at `/state`; `None` where its records do.
async fn counts_before(options: &Options) -> Result<Option<Counts>, Error> {
    let state = state(options).await?;
    match options.counts {
        CountsFrom::Auto => Ok(state.ok()),
        CountsFrom::State => state.map(Some).map_err(Error::NoState),
        CountsFrom::Records => Ok(None),
    }
}

/// The handler's counts as `/state` tells them, or why it does not.
async fn state(options: &Options) -> Result<Result<Counts, String>, Error> {
    let mut connection = Connection::open(&options.address()).await?;
    let host = options.url.authority().expect("checked when it was read");
    let request = format!("GET /state HTTP/1.1\r\nHost: {host}\r\n\r\n");
    Ok(match connection.call(request.as_bytes()).await {
        Ok((200, body)) => Counts::of_state(body).ok_or_else(|| format!("no counts in the answer: {}", in_short(body))),
        Ok((status, body)) => Err(format!("the handler answered {status}: {}", in_short(body))),
        Err(failure) => Err(failure.to_string()),
    })
}
