//! What a process has used, from `/proc`.

use std::{fs, io, time::Duration};

/// A process.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

/// Memory in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) peak: u64,
    pub(crate) resident: u64,
}

/// The kernel tells processor time in hundredths of a second, whatever its own clock has.
const TICK: Duration = Duration::from_millis(10);

impl Process {
    pub(crate) fn own() -> Self {
        Self(std::process::id())
    }

    /// Processor time of all its threads, in user mode and in the kernel.
    pub(crate) fn processor_time(self) -> io::Result<Duration> {
        let stat = self.read("stat")?;
        // The name before it is in brackets, and may have any in it. What follows begins with the third field; the 14th
        // and the 15th are the ticks in user mode and in the kernel.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks: Vec<u32> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        match ticks[..] {
            [user, system] => Ok(TICK * user + TICK * system),
            _ => Err(io::Error::other("/proc tells no processor time")),
        }
    }

    pub(crate) fn memory(self) -> io::Result<Memory> {
        let status = self.read("status")?;
        let bytes = |name: &str| {
            let kilobytes = status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
            let kilobytes: Option<u64> = kilobytes.and_then(|kilobytes| kilobytes.parse().ok());
            kilobytes.map(|kilobytes| kilobytes << 10).ok_or_else(|| io::Error::other(format!("/proc tells no {name}")))
        };
        Ok(Memory { peak: bytes("VmHWM:")?, resident: bytes("VmRSS:")? })
    }

    fn read(self, file: &str) -> io::Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.0))
    }
}
