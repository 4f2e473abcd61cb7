//! `devicestate dead-letters`, the real binary, over the queue in a state file and over Azurite: what a person sees and
//! does is the same, and so are the tests.

mod broken;
mod discarding;
mod editing;
mod foreign;
mod importing;
mod interrupts;
mod killed;
mod large;
mod listing;
mod live;
mod outages;
mod placeless;
mod places;
mod queue_outages;
mod refused;
mod replaying;
mod set_aside;
mod showing;
mod usage;

/// Each of these tests on both kinds of queue. `with_an_account`: the documents are in Cosmos DB in any case, so that a test
/// can make operations on them fail. What needs Azurite or an account is of the tier `just test-azure`.
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
