//! Counts instructions: builds the program `counts` like the package, and runs it under valgrind.

use std::{
    env::{
        self,
        consts::{ARCH, OS},
    },
    path::PathBuf,
    process::Command,
    sync::atomic::{AtomicUsize, Ordering::Relaxed},
    thread,
};

use devicestate_test_support::program;

use crate::comparison::Counts;

/// A part with the number of events per round.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) events: u64,
}

/// Makes glibc use the `memcpy` variants for any processor. Otherwise the counts would depend on the processor that valgrind
/// emulates, and each byte of a `rep movsb` would count.
const ANY_PROCESSOR: &str = "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX_Fast_Unaligned_Load,-BMI2,-ERMS,-FSRM,-MOVBE,-SSE4_1,\
    -SSE4_2,-SSSE3:glibc.cpu.x86_non_temporal_threshold=0xc0000";

/// The program whose instructions are counted.
pub(crate) struct Counting {
    program: PathBuf,
}

impl Counting {
    /// Builds the program. The baseline is valid only for Linux on x86-64.
    pub(crate) fn new() -> Self {
        assert_eq!((ARCH, OS), ("x86_64", "linux"), "the baseline is valid only for Linux on x86-64");
        Self { program: program::build(&["--profile", "dist", "--package", "devicestate-bench", "--bin", "counts"]) }
    }

    /// Returns all parts, in processing order.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let output = Command::new(&self.program).output().expect("the program runs");
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        let part = |line: &str| {
            let (name, events) = line.split_once(' ').expect("a name and a number of events");
            Part { name: name.to_owned(), events: events.parse().expect("a number of events") }
        };
        lines.lines().map(part).collect()
    }

    /// Counts the instructions of one round of each part, with one thread per processor.
    pub(crate) fn count(&self, parts: &[Part]) -> Counts {
        let next = AtomicUsize::new(0);
        let count_parts = || -> Counts {
            let own_parts = std::iter::from_fn(|| parts.get(next.fetch_add(1, Relaxed)));
            own_parts.map(|part| (part.name.clone(), self.instructions_of_one_round(part))).collect()
        };
        let thread_count = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..thread_count).map(|_| scope.spawn(count_parts)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("counting does not panic")).collect()
        })
    }

    /// Counts two runs with the same preparation; their difference is only further rounds.
    fn instructions_of_one_round(&self, part: &Part) -> u64 {
        // Enough rounds to even out the random variation of the allocator.
        let further = match part.events {
            1000.. => 20,
            100.. => 40,
            _ => 200,
        };
        let all = self.instructions(part, further + 1, further + 1);
        let first_only = self.instructions(part, 1, further + 1);
        (all - first_only + further / 2) / further
    }

    fn instructions(&self, part: &Part, rounds: u64, prepared: u64) -> u64 {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
        valgrind.arg(&self.program).args([&part.name, &rounds.to_string(), &prepared.to_string()]);
        // Environment variables for valgrind or the allocator would change the counts.
        valgrind.env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        valgrind.env("GLIBC_TUNABLES", ANY_PROCESSOR);
        let output = valgrind.output().expect("the command valgrind");
        let stderr = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {stderr}", part.name);
        parse_instructions(&stderr).unwrap_or_else(|| panic!("{}: valgrind printed no count: {stderr}", part.name))
    }
}

/// Returns the count of a line such as `==7== I   refs:      251,281,231`.
fn parse_instructions(stderr: &str) -> Option<u64> {
    let count = |line: &str| {
        let (name, count) = line.split_once("refs:")?;
        (name.split_whitespace().last()? == "I").then(|| count.trim().replace(',', "").parse().ok())?
    };
    stderr.lines().find_map(count)
}

#[test]
fn the_count_is_parsed_from_the_output_of_valgrind() {
    let stderr = "==7== Cachegrind, a cache and branch-prediction profiler\n==7== \n==7== I   refs:      251,281,231\n";
    assert_eq!(parse_instructions(stderr), Some(251_281_231));
    assert_eq!(parse_instructions("==7== I refs:        1,005\n"), Some(1_005));
    assert_eq!(parse_instructions("==7== D   refs:      251,281,231\nvalgrind: counts: No such file\n"), None);
}
