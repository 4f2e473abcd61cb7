//! Several runs with one state file.

use crate::support::{Workspace, count};

#[test]
fn a_run_is_newer_than_the_run_before_it() {
    for arguments in [["--check"].as_slice(), &["--sessions"]] {
        let workspace = Workspace::new();
        // The run before has more events, and so has higher sequence numbers than those with which a new hub would start.
        for events in ["40", "20"] {
            let run = [&["--devices", "2", "--events", events], arguments].concat();
            let report = workspace.run(&run);
            let counts = ["applied", "superseded"].map(|name| count(&report, name));
            assert_eq!(counts, [2 * events.parse::<u64>().expect("a number"), 0], "{run:?}: {report}");
        }
    }
}
