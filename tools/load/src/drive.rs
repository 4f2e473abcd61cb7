//! The closed loop: each connection has one batch in flight, and sends the next one after the reply.

use std::time::{Duration, Instant};

use devicestate_engine::clock::{Clock as _, System};
use futures_util::{TryStreamExt as _, stream::FuturesUnordered};

use crate::{
    connection::Connection,
    counts::{Counts, decoded_records},
    counts_reader::CountsReader,
    error::Error,
    metrics::{Metrics, Window},
    monitor::Monitor,
    options::Options,
    partition::Partition,
    partition_connection::PartitionConnection,
    process::Process,
    repeat::Repeat,
    report::{CountsReport, Report},
};

/// Drives the handler and returns the report.
pub(crate) async fn drive(options: &Options) -> Result<Report, Error> {
    Process::own().processor_time().map_err(Error::NoProc)?;
    if let Some(pid) = options.pid {
        Process(pid).processor_time().map_err(|error| Error::NoProcess { pid, error })?;
    }
    let mut counts_reader = CountsReader::detect(options).await?;
    let partitions: Vec<_> =
        (0..options.connections).map(|number| Partition::new(options, number, System.now_ms())).collect();
    let mut connections = Vec::new();
    for partition in partitions {
        connections.push(PartitionConnection { partition, connection: Connection::open(&options.address()).await? });
    }

    let metrics = Metrics::new();
    let window = measured_window(options);
    let monitor = Monitor::new(options, window, &metrics);
    let all: FuturesUnordered<_> = connections
        .into_iter()
        .map(|partition_connection| drive_connection(options, &window, &metrics, partition_connection))
        .collect();
    let connections = tokio::select! {
        biased;
        failed = monitor.run() => match failed {
            Err(error) => return Err(error),
        },
        done = all.try_collect::<Vec<_>>() => done?,
    };
    let usage = monitor.usage()?;
    let memory = options.pid.map(|pid| Process(pid).memory().map_err(|error| Error::ProcessLost { pid, error }));
    let memory = memory.transpose()?;

    let counts =
        CountsReport { from: counts_reader.source(), counts: counts_reader.take_new(metrics.records.get()).await? };
    let repeated = Repeat::send(connections, &mut counts_reader).await?;
    Report::new(options, &window, &metrics, &usage, memory, counts, repeated)
}

/// Drives one connection until the time is over or all its batches are sent.
async fn drive_connection(
    options: &Options,
    window: &Window,
    metrics: &Metrics,
    partition_connection: PartitionConnection,
) -> Result<PartitionConnection, Error> {
    let PartitionConnection { mut partition, mut connection } = partition_connection;
    let is_large = options.large_body.is_some() && partition.number == 0;
    let batches = options.batches.map_or(u64::MAX, u64::from);
    for number in 1..=batches {
        // Checked before the next batch is created, because the last sent one is repeated at the end. At least one batch is
        // sent.
        if number > 1 && window.is_over(Instant::now()) {
            break;
        }
        let request = partition.next_request(System.now_ms());
        let sent = Instant::now();
        let reply = connection.call(request).await;
        let now = Instant::now();
        let decoded_records = match &reply {
            Ok((_, body)) if options.pack > 1 => decoded_records(body).unwrap_or_default(),
            _ => 0,
        };
        match reply.and_then(Counts::from_reply_status) {
            Ok(counts) => metrics.add_record(counts, decoded_records),
            Err(error) => return Err(Error::Request { partition: partition.number, number, error }),
        }
        metrics.record_reply(window, partition.events, is_large, now, now - sent);
    }
    Ok(PartitionConnection { partition, connection })
}

/// Returns the measured time of a run that starts now.
fn measured_window(options: &Options) -> Window {
    let now = Instant::now();
    if options.batches.is_some() {
        return Window { begin: now, end: None };
    }
    let begin = now + Duration::from_secs(options.warm.into());
    Window { begin, end: Some(begin + Duration::from_secs(options.seconds.into())) }
}
