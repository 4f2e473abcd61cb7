//! Counts: the program `counts` is built as the package is, and run under valgrind.

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

/// A part, and how many events each of its rounds has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Part {
    pub(crate) name: String,
    pub(crate) events: u64,
}

/// glibc has `memcpy` and its like in several versions and takes the one for the processor that it is shown. Here it takes
/// those that run on any: what another valgrind shows must not count, and it would count each byte of a `rep movsb`.
const ANY_PROCESSOR: &str = "glibc.cpu.hwcaps=-AVX,-AVX2,-AVX_Fast_Unaligned_Load,-BMI2,-ERMS,-FSRM,-MOVBE,-SSE4_1,\
    -SSE4_2,-SSSE3:glibc.cpu.x86_non_temporal_threshold=0xc0000";

/// The program whose instructions are counted.
pub(crate) struct Counting {
    program: PathBuf,
}

impl Counting {
    /// Builds the program. The baseline is of Linux on x86-64: another kind of processor has other instructions.
    pub(crate) fn new() -> Self {
        assert_eq!((ARCH, OS), ("x86_64", "linux"), "the baseline is of another kind of machine");
        Self { program: program::build(&["--profile", "dist", "--package", "devicestate-bench", "--bin", "counts"]) }
    }

    /// All parts, in the order of the way.
    pub(crate) fn parts(&self) -> Vec<Part> {
        let output = Command::new(&self.program).output().expect("the program runs");
        let lines = String::from_utf8(output.stdout).expect("UTF-8");
        let part = |line: &str| {
            let (name, events) = line.split_once(' ').expect("a name and how many events");
            Part { name: name.to_owned(), events: events.parse().expect("a number of events") }
        };
        lines.lines().map(part).collect()
    }

    /// The instructions of one round of each part, as many parts at a time as there are processors.
    pub(crate) fn count(&self, parts: &[Part]) -> Counts {
        let next = AtomicUsize::new(0);
        let some = || -> Counts {
            let mine = std::iter::from_fn(|| parts.get(next.fetch_add(1, Relaxed)));
            mine.map(|part| (part.name.clone(), self.of_one_round(part))).collect()
        };
        let at_once = thread::available_parallelism().map_or(1, usize::from);
        thread::scope(|scope| {
            let threads: Vec<_> = (0..at_once).map(|_| scope.spawn(some)).collect();
            threads.into_iter().flat_map(|thread| thread.join().expect("no panic while counting")).collect()
        })
    }

    /// Two runs that prepare as much: in their difference are further rounds, and nothing else.
    fn of_one_round(&self, part: &Part) -> u64 {
        // So many that chance, which is in where the allocator finds its place, evens out.
        let further = match part.events {
            1000.. => 20,
            100.. => 40,
            _ => 200,
        };
        let of_all = self.instructions(part, further + 1, further + 1);
        let of_the_first = self.instructions(part, 1, further + 1);
        (of_all - of_the_first + further / 2) / further
    }

    fn instructions(&self, part: &Part, rounds: u64, prepared: u64) -> u64 {
        let mut valgrind = Command::new("valgrind");
        valgrind.args(["--tool=cachegrind", "--cache-sim=no", "--cachegrind-out-file=/dev/null"]);
        valgrind.arg(&self.program).args([&part.name, &rounds.to_string(), &prepared.to_string()]);
        // What the environment says of valgrind or of the allocator would count, too.
        valgrind.env_clear().envs(env::var_os("PATH").map(|path| ("PATH", path)));
        valgrind.env("GLIBC_TUNABLES", ANY_PROCESSOR);
        let output = valgrind.output().expect("the command valgrind");
        let told = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{}: {told}", part.name);
        instructions_told(&told).unwrap_or_else(|| panic!("{}: no count in what valgrind says: {told}", part.name))
    }
}

/// The count in a line such as `==7== I   refs:      251,281,231`.
fn instructions_told(told: &str) -> Option<u64> {
    let count = |line: &str| {
        let (name, count) = line.split_once("refs:")?;
        (name.split_whitespace().last()? == "I").then(|| count.trim().replace(',', "").parse().ok())?
    };
    told.lines().find_map(count)
}

#[test]
fn the_count_is_found_in_what_valgrind_says() {
    let told = "==7== Cachegrind, a cache and branch-prediction profiler\n==7== \n==7== I   refs:      251,281,231\n";
    assert_eq!(instructions_told(told), Some(251_281_231));
    assert_eq!(instructions_told("==7== I refs:        1,005\n"), Some(1_005));
    assert_eq!(instructions_told("==7== D   refs:      251,281,231\nvalgrind: counts: No such file\n"), None);
}
