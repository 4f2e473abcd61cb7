//! Processor time and memory of a process, from `/proc`.

use std::{fs, io, time::Duration};

/// A process, by its id.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Process(pub(crate) u32);

/// Memory in bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Memory {
    pub(crate) peak: u64,
    pub(crate) resident: u64,
}

/// The unit of processor times in `/proc`.
const TICK: Duration = Duration::from_millis(10);

impl Process {
    /// Returns this process.
    pub(crate) fn own() -> Self {
        Self(std::process::id())
    }

    /// Returns the processor time of all threads, in user mode and in the kernel.
    pub(crate) fn processor_time(self) -> io::Result<Duration> {
        let stat = self.read("stat")?;
        // The process name is in parentheses and may contain some itself. After it comes the third field; the 14th and the
        // 15th are the ticks in user mode and in the kernel.
        let fields = stat.rsplit_once(')').map_or("", |(_, fields)| fields).split_whitespace();
        let ticks: Vec<u32> = fields.skip(11).take(2).filter_map(|field| field.parse().ok()).collect();
        match ticks[..] {
            [user, system] => Ok(TICK * user + TICK * system),
            _ => Err(io::Error::other("/proc has no processor time of it")),
        }
    }

    /// Returns the peak and the current resident memory.
    pub(crate) fn memory(self) -> io::Result<Memory> {
        let status = self.read("status")?;
        let bytes = |name: &str| {
            let kilobytes = status.lines().find_map(|line| line.strip_prefix(name)?.split_whitespace().next());
            let kilobytes: Option<u64> = kilobytes.and_then(|kilobytes| kilobytes.parse().ok());
            kilobytes
                .map(|kilobytes| kilobytes << 10)
                .ok_or_else(|| io::Error::other(format!("/proc has no {name} of it")))
        };
        Ok(Memory { peak: bytes("VmHWM:")?, resident: bytes("VmRSS:")? })
    }

    fn read(self, file: &str) -> io::Result<String> {
        fs::read_to_string(format!("/proc/{}/{file}", self.0))
    }
}
