//! Runs one part of processing a batch a number of times, for a tool that counts instructions:
//! `tools/bench/tests/instructions` runs it under valgrind. Without arguments it lists the parts.
//!
//! ```text
//! counts                        # each part's name and the events of a round
//! counts PART ROUNDS PREPARED   # runs ROUNDS of PREPARED prepared rounds
//! ```
//!
//! Two runs with the same PREPARED differ only in their rounds: start-up and preparation are in both.

mod parts;

use std::{env, process::ExitCode};

use parts::{PARTS, Round};

fn main() -> ExitCode {
    let arguments: Vec<_> = env::args().skip(1).collect();
    let arguments: Vec<_> = arguments.iter().map(String::as_str).collect();
    match run(&arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("counts: {error}");
            ExitCode::from(2)
        }
    }
}

fn run(arguments: &[&str]) -> Result<(), String> {
    let number =
        |text: &str| text.parse::<usize>().map_err(|error| format!("{text:?} is not a number of rounds: {error}"));
    match *arguments {
        [] => {
            for part in PARTS {
                println!("{} {}", part.name, part.events);
            }
            Ok(())
        }
        [name, rounds, prepared] => {
            let part = PARTS.into_iter().find(|part| part.name == name);
            let part =
                part.ok_or_else(|| format!("the part {name:?} does not exist; run `counts` to list all parts"))?;
            let (rounds, prepared) = (number(rounds)?, number(prepared)?);
            if rounds > prepared {
                return Err(format!("ROUNDS ({rounds}) must not be greater than PREPARED ({prepared})"));
            }
            let ready: Vec<Round> = (part.rounds)().take(prepared).collect();
            ready.into_iter().take(rounds).for_each(|round| round());
            Ok(())
        }
        _ => Err("usage: counts, or counts PART ROUNDS PREPARED".to_owned()),
    }
}
