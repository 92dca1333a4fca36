//! What follows when real requests to a backend fail: it is parked for a while, then trial requests
//! decide, one after the other, and the first that fails parks it again.
//!
//! This is the circuit breaker of a backend: ok is closed, parked is open, trial is half-open. Whether
//! failures cross `max_fails`, counted by the workers, or `policy::ejection` finds that it stands out,
//! the way back is the same. How long it is parked is `policy::pause`'s to say; `control` hears the news
//! and writes down what these functions rule.

use std::time::Duration;

use crate::model::{PassiveState, Tick};

/// What becomes of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// The news changes nothing: it is late, or was told twice.
    Stays,
    /// It would be parked, but then its upstream would have no backend left: it is not parked.
    LastOneLeft,
    /// The trial succeeded, and another one is to follow.
    AnotherTrial,
    /// It passes into this state.
    Becomes(PassiveState),
}

/// Requests failed too often: it is parked for `pause`. `others_left`: without this backend its
/// upstream still has one that is eligible.
pub fn failures_crossed(
    state: PassiveState,
    others_left: bool,
    now: Tick,
    pause: Duration,
) -> Ruling {
    match (state, others_left) {
        (PassiveState::Ok, true) => park(now, pause),
        (PassiveState::Ok, false) => Ruling::LastOneLeft,
        // A worker that still reads the snapshot before; or the trial, whose end is told apart.
        (PassiveState::Parked { .. } | PassiveState::Trial, _) => Ruling::Stays,
    }
}

/// It asked to be left alone for `pause`. The last one left is not asked whether it likes to.
pub fn asked_to_wait(state: PassiveState, others_left: bool, now: Tick, pause: Duration) -> Ruling {
    match state {
        PassiveState::Parked { until } if until >= now.after(pause) => Ruling::Stays,
        _ if others_left => park(now, pause),
        _ => Ruling::Stays,
    }
}

/// It has answered what it owed, for which it was parked: it serves again.
pub fn answers(state: PassiveState) -> Ruling {
    match state {
        PassiveState::Parked { .. } => Ruling::Becomes(PassiveState::Ok),
        PassiveState::Ok | PassiveState::Trial => Ruling::Stays,
    }
}

/// The pause is over: one request shall try.
pub fn pause_ended(state: PassiveState, now: Tick) -> Ruling {
    match state {
        PassiveState::Parked { until } if until <= now => Ruling::Becomes(PassiveState::Trial),
        _ => Ruling::Stays,
    }
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Trial {
    /// It succeeded, and was the last one needed.
    Passed,
    /// It succeeded, and more are needed.
    OneOfMore,
    /// It failed.
    Failed,
}

/// A trial request ended. The last one left returns to service whatever came of it.
pub fn trial_ended(
    state: PassiveState,
    trial: Trial,
    others_left: bool,
    now: Tick,
    pause: Duration,
) -> Ruling {
    match (state, trial) {
        (PassiveState::Ok | PassiveState::Parked { .. }, _) => Ruling::Stays,
        (PassiveState::Trial, Trial::Failed) if others_left => park(now, pause),
        (PassiveState::Trial, Trial::OneOfMore) if others_left => Ruling::AnotherTrial,
        (PassiveState::Trial, _) => Ruling::Becomes(PassiveState::Ok),
    }
}

fn park(now: Tick, pause: Duration) -> Ruling {
    Ruling::Becomes(PassiveState::Parked { until: now.after(pause) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    #[derive(Debug, Clone, Copy)]
    enum News {
        Asked { others_left: bool },
        Crossed { others_left: bool },
        Answers,
        PauseEnded,
        Trial { trial: Trial, others_left: bool },
    }

    fn news() -> impl Strategy<Value = News> {
        prop_oneof![
            any::<bool>().prop_map(|others_left| News::Crossed { others_left }),
            any::<bool>().prop_map(|others_left| News::Asked { others_left }),
            Just(News::PauseEnded),
            Just(News::Answers),
            (
                prop::sample::select(vec![Trial::Passed, Trial::OneOfMore, Trial::Failed]),
                any::<bool>(),
            )
                .prop_map(|(trial, others_left)| News::Trial { trial, others_left }),
        ]
    }

    proptest! {
        #[test]
        fn every_parked_backend_is_tried_again_and_the_last_one_left_is_never_parked(
            story in prop::collection::vec((0_u64..20_000_000, news()), 0..50),
        ) {
            let mut state = PassiveState::Ok;
            let mut now = Tick(0);
            for (later, news) in story {
                now = Tick(now.0 + later);
                let (ruling, others_left) = match news {
                    News::Crossed { others_left } => {
                        (failures_crossed(state, others_left, now, PAUSE), others_left)
                    }
                    News::Asked { others_left } => {
                        (asked_to_wait(state, others_left, now, PAUSE), others_left)
                    }
                    News::Answers => (answers(state), true),
                    News::PauseEnded => (pause_ended(state, now), true),
                    News::Trial { trial, others_left } => {
                        (trial_ended(state, trial, others_left, now, PAUSE), others_left)
                    }
                };
                if ruling == Ruling::AnotherTrial {
                    prop_assert!(state == PassiveState::Trial && others_left);
                }
                let Ruling::Becomes(next) = ruling else { continue };
                match (state, next) {
                    (PassiveState::Ok | PassiveState::Trial, PassiveState::Parked { until }) => {
                        prop_assert!(others_left);
                        prop_assert_eq!(until, now.after(PAUSE));
                    }
                    (PassiveState::Parked { until: was }, PassiveState::Parked { until }) => {
                        prop_assert!(others_left && was < until && until == now.after(PAUSE));
                    }
                    (PassiveState::Parked { until }, PassiveState::Trial) => {
                        prop_assert!(until <= now, "not before the pause is over");
                    }
                    (PassiveState::Trial, PassiveState::Ok) => {}
                    (PassiveState::Parked { .. }, PassiveState::Ok) => {
                        prop_assert!(matches!(news, News::Answers));
                    }
                    (from, to) => prop_assert!(false, "{from:?} -> {to:?}"),
                }
                state = next;
            }
        }
    }

    #[test]
    fn late_news_of_failures_does_not_lengthen_the_pause() {
        let parked = PassiveState::Parked { until: Tick(7) };
        assert_eq!(failures_crossed(parked, true, Tick(5), PAUSE), Ruling::Stays);
        assert_eq!(failures_crossed(PassiveState::Trial, true, Tick(5), PAUSE), Ruling::Stays);
    }

    #[test]
    fn the_last_one_left_is_not_parked() {
        let ruling = failures_crossed(PassiveState::Ok, false, Tick(5), PAUSE);
        assert_eq!(ruling, Ruling::LastOneLeft);
        for trial in [Trial::Failed, Trial::OneOfMore] {
            let ruling = trial_ended(PassiveState::Trial, trial, false, Tick(5), PAUSE);
            assert_eq!(ruling, Ruling::Becomes(PassiveState::Ok));
        }
    }
}
