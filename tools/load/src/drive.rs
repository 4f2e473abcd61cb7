//! The closed loop: on each connection one batch is in flight, and the next one goes out when the reply is in.

use std::time::{Duration, Instant};

use devicestate_engine::clock::{Clock as _, System};
use futures_util::{TryStreamExt as _, stream::FuturesUnordered};

use crate::{
    connection::Connection,
    counts::Counts,
    error::Error,
    lane::Lane,
    options::Options,
    partition::Partition,
    process::Process,
    repeat::Repeat,
    report::{CountsReport, Report},
    tally::{Tally, Window},
    teller::Teller,
    watch::Watch,
};

/// Drives the handler, and tells what came of it.
pub(crate) async fn drive(options: &Options) -> Result<Report, Error> {
    Process::own().processor_time().map_err(Error::NoProc)?;
    if let Some(pid) = options.pid {
        Process(pid).processor_time().map_err(|error| Error::NoProcess { pid, error })?;
    }
    let mut teller = Teller::find(options).await?;
    let partitions: Vec<_> =
        (0..options.connections).map(|number| Partition::new(options, number, System.now_ms())).collect();
    let mut lanes = Vec::new();
    for partition in partitions {
        lanes.push(Lane { partition, connection: Connection::open(&options.address()).await? });
    }

    let tally = Tally::new();
    let window = window(options);
    let watch = Watch::new(options, window, &tally);
    let all: FuturesUnordered<_> = lanes.into_iter().map(|lane| drive_one(options, &window, &tally, lane)).collect();
    let lanes = tokio::select! {
        biased;
        failed = watch.look_on() => match failed {
            Err(error) => return Err(error),
        },
        done = all.try_collect::<Vec<_>>() => done?,
    };
    let used = watch.used()?;
    let memory = options.pid.map(|pid| Process(pid).memory().map_err(|error| Error::ProcessGone { pid, error }));
    let memory = memory.transpose()?;

    let counts = CountsReport { from: teller.from(), counts: teller.since(tally.records.get()).await? };
    let repeated = Repeat::of(lanes, &mut teller).await?;
    Report::new(options, &window, &tally, &used, memory, counts, repeated)
}

/// One connection, until the time is over or all its batches are sent.
async fn drive_one(options: &Options, window: &Window, tally: &Tally, lane: Lane) -> Result<Lane, Error> {
    let Lane { mut partition, mut connection } = lane;
    let is_large = options.large_body.is_some() && partition.number == 0;
    let batches = options.batches.map_or(u64::MAX, u64::from);
    for number in 1..=batches {
        // Before the next batch is made: the last one that was sent is to come again. So at least one is sent.
        if number > 1 && window.is_over(Instant::now()) {
            break;
        }
        let request = partition.request(System.now_ms());
        let sent = Instant::now();
        let answer = connection.call(request).await;
        let now = Instant::now();
        match answer.and_then(Counts::of_answer) {
            Ok(counts) => tally.told(counts),
            Err(failure) => return Err(Error::Request { partition: partition.number, number, failure }),
        }
        tally.answered(window, partition.events, is_large, now, now - sent);
    }
    Ok(Lane { partition, connection })
}

fn window(options: &Options) -> Window {
    let now = Instant::now();
    if options.batches.is_some() {
        return Window { begin: now, end: None };
    }
    let begin = now + Duration::from_secs(options.warm.into());
    Window { begin, end: Some(begin + Duration::from_secs(options.seconds.into())) }
}
