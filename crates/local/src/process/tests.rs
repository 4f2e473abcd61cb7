use super::*;

const MINUTE: Duration = Duration::from_mins(1);

fn crashed() -> ExitReason {
    ExitReason::Exited(None)
}

#[test]
fn a_handler_is_restarted_after_the_times_of_the_host() {
    let react = |ended| Errors::default().react(ended, Instant::now());
    for ended in [crashed(), ExitReason::Exited(Some(3)), ExitReason::Exited(Some(200)), ExitReason::Failed("x".into())]
    {
        let Reaction::Restart(delay) = react(ended) else { panic!("no restart") };
        assert!((100..=150).contains(&delay.as_millis()), "{delay:?}");
    }
    assert_eq!(react(ExitReason::TimedOut), Reaction::Restart(Duration::from_secs(2)));
    assert_eq!(react(ExitReason::Exited(Some(0))), Reaction::Nothing);
    assert_eq!(react(ExitReason::Stopped), Reaction::End);
}

#[test]
fn a_handler_that_cannot_start_is_tried_three_times_within_a_second_and_then_the_host_stops() {
    let (mut errors, started) = (Errors::default(), Instant::now());
    let mut now = started;
    for _ in 0..2 {
        let Reaction::Restart(delay) = errors.react(ExitReason::Exited(Some(1)), now) else { panic!("no restart") };
        now += delay;
    }
    assert!(now - started < Duration::from_secs(1));
    assert_eq!(errors.react(ExitReason::Exited(Some(1)), now), Reaction::StopHost("exited with exit code 1".into()));
}

#[test]
fn restarts_that_are_not_errors_and_errors_of_half_an_hour_ago_do_not_stop_the_host() {
    let (mut errors, mut now) = (Errors::default(), Instant::now());
    for _ in 0..10 {
        for ended in [ExitReason::TimedOut, ExitReason::Exited(Some(200)), crashed()] {
            assert!(matches!(errors.react(ended, now), Reaction::Restart(_)));
        }
        now += 16 * MINUTE;
    }
}
