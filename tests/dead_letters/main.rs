//! `devicestate dead-letters`, the real binary, with the queue of a state file and with Azurite: most tests run on both.

mod concurrent_replays;
mod discarding;
mod editing;
mod faulty_bench;
mod foreign_messages;
mod hidden_characters;
mod hostile_messages;
mod importing;
mod interrupts;
mod killed_replays;
mod large_dead_letters;
mod listing;
mod overflow_outages;
mod queue_outages;
mod rejected_documents;
mod replaying;
mod set_aside;
mod showing;
mod store_outages;
mod unreplayable;
mod usage;

/// Runs each of these tests on both kinds of queue. `with_an_account`: the documents are always in Cosmos DB, so that a test
/// can inject faults. Tests that need Azurite or an account belong to the tier `just test-azure`.
macro_rules! on_both_queues {
    (with_an_account: $($test:ident),+ $(,)?) => {
        mod on_the_queue_of_a_state_file {
            $(
                #[test]
                #[ignore = "just test-azure"]
                fn $test() { super::$test(&devicestate_test_storage::bench::Bench::local_with_account()); }
            )+
        }
        on_both_queues![@ $($test),+];
    };
    ($($test:ident),+ $(,)?) => {
        mod on_the_queue_of_a_state_file {
            $(#[test] fn $test() { super::$test(&devicestate_test_storage::bench::Bench::local()); })+
        }
        on_both_queues![@ $($test),+];
    };
    (@ $($test:ident),+) => {
        mod on_a_storage_queue {
            $(#[test] #[ignore = "just test-azure"] fn $test() { super::$test(&devicestate_test_storage::bench::Bench::azurite()); })+
        }
    };
}
pub(crate) use on_both_queues;

/// Runs `devicestate dead-letters` on a terminal, with `script` of util-linux, and types this answer. Returns the exit code
/// and the text on the terminal.
#[cfg(target_os = "linux")]
pub(crate) fn run_on_terminal(
    bench: &devicestate_test_storage::bench::Bench,
    words: &[&str],
    answer: &str,
) -> (Option<i32>, String) {
    use std::{
        io::Write as _,
        process::{Command, Stdio},
    };
    let command = bench.command(words);
    let words = [command.get_program()].into_iter().chain(command.get_args());
    let words: Vec<_> = words.map(|word| format!("'{}'", word.to_str().expect("text"))).collect();
    let mut script = Command::new("script");
    script.args(["-q", "-e", "-c", &words.join(" "), "/dev/null"]).current_dir(bench.app.path(""));
    script.env("StateStore", "sqlite").env("SqlitePath", bench.state()).env("Telemetry", "drone");
    let mut child = script.stdin(Stdio::piped()).stdout(Stdio::piped()).spawn().expect("script");
    let mut stdin = child.stdin.take().expect("a pipe");
    writeln!(stdin, "{answer}").expect("written");
    let output = child.wait_with_output().expect("it ends");
    (output.status.code(), String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The notice of a dry run.
pub(crate) const DRY_RUN: &str = "Dry run: nothing changed. Run again with `--yes` to apply.";
