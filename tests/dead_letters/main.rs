//! `devicestate dead-letters`, the real binary, over the queue in a state file and over Azurite: what a person sees and
//! does is the same, and so are the tests.

#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../storage/azurite.rs"]
mod azurite;
mod bench;
mod broken;
mod discarding;
mod editing;
mod foreign;
mod importing;
mod interrupts;
mod killed;
mod large;
#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../support/listener.rs"]
mod listener;
mod listing;
mod live;
#[path = "../support/npm.rs"]
mod npm;
mod outages;
mod placeless;
mod places;
#[allow(dead_code, reason = "a part of it is enough here")]
#[path = "../storage/proxy.rs"]
mod proxy;
mod queue_outages;
mod refused;
mod replaying;
mod set_aside;
mod showing;
#[allow(dead_code, unused_imports, reason = "it serves the black-box tests first, which use all of it")]
#[path = "../black_box/support/mod.rs"]
mod support;
mod usage;

use support::http;

/// Each of these tests on both kinds of queue. `with_an_account`: the documents are in Cosmos DB in any case, so that a test
/// can make operations on them fail.
macro_rules! on_both_queues {
    (with_an_account: $($test:ident),+ $(,)?) => { on_both_queues![@ local_with_account: $($test),+]; };
    ($($test:ident),+ $(,)?) => { on_both_queues![@ local: $($test),+]; };
    (@ $local:ident: $($test:ident),+) => {
        mod on_the_queue_of_a_state_file {
            $(#[test] fn $test() { super::$test(&crate::bench::Bench::$local()); })+
        }
        mod on_a_storage_queue {
            $(#[test] fn $test() { super::$test(&crate::bench::Bench::azurite()); })+
        }
    };
}
pub(crate) use on_both_queues;
