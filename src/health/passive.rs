//! What follows when real requests to a backend fail: it is parked for `fail_timeout`, then one
//! trial request decides, and a failed trial parks it for `fail_timeout` again.
//!
//! Plain as nginx's `max_fails` and `fail_timeout`: the pause does not grow, so a backend that is
//! well again is back within one `fail_timeout`. Failures are counted by the workers; `control`
//! hears of a crossed limit and of the trial's end, and writes down what these functions rule.

use std::time::Duration;

use crate::model::{PassiveState, Tick};

/// What becomes of a backend.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Ruling {
    /// The news changes nothing: it is late, or was told twice.
    Stays,
    /// It would be parked, but then its upstream would have no backend left: it is not parked.
    LastOneLeft,
    /// It passes into this state.
    Becomes(PassiveState),
}

/// Requests failed too often. `others_left`: without this backend its upstream still has one that
/// is eligible.
pub fn failures_crossed(
    state: PassiveState,
    others_left: bool,
    now: Tick,
    fail_timeout: Duration,
) -> Ruling {
    match (state, others_left) {
        (PassiveState::Ok, true) => park(now, fail_timeout),
        (PassiveState::Ok, false) => Ruling::LastOneLeft,
        // A worker that still reads the snapshot before; or the trial, whose end is told apart.
        (PassiveState::Parked { .. } | PassiveState::Trial, _) => Ruling::Stays,
    }
}

/// The pause is over: one request shall try.
pub fn pause_ended(state: PassiveState, now: Tick) -> Ruling {
    match state {
        PassiveState::Parked { until } if until <= now => Ruling::Becomes(PassiveState::Trial),
        _ => Ruling::Stays,
    }
}

/// The trial request ended. The last one left returns to service even when it failed.
pub fn trial_ended(
    state: PassiveState,
    ok: bool,
    others_left: bool,
    now: Tick,
    fail_timeout: Duration,
) -> Ruling {
    match (state, ok || !others_left) {
        (PassiveState::Trial, true) => Ruling::Becomes(PassiveState::Ok),
        (PassiveState::Trial, false) => park(now, fail_timeout),
        (PassiveState::Ok | PassiveState::Parked { .. }, _) => Ruling::Stays,
    }
}

fn park(now: Tick, fail_timeout: Duration) -> Ruling {
    Ruling::Becomes(PassiveState::Parked { until: now.after(fail_timeout) })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PAUSE: Duration = Duration::from_secs(10);

    #[derive(Debug, Clone, Copy)]
    enum News {
        Crossed { others_left: bool },
        PauseEnded,
        Trial { ok: bool, others_left: bool },
    }

    fn news() -> impl Strategy<Value = News> {
        prop_oneof![
            any::<bool>().prop_map(|others_left| News::Crossed { others_left }),
            Just(News::PauseEnded),
            any::<(bool, bool)>().prop_map(|(ok, others_left)| News::Trial { ok, others_left }),
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
                    News::PauseEnded => (pause_ended(state, now), true),
                    News::Trial { ok, others_left } => {
                        (trial_ended(state, ok, others_left, now, PAUSE), others_left)
                    }
                };
                let Ruling::Becomes(next) = ruling else { continue };
                match (state, next) {
                    (PassiveState::Ok | PassiveState::Trial, PassiveState::Parked { until }) => {
                        prop_assert!(others_left);
                        prop_assert_eq!(until, now.after(PAUSE));
                    }
                    (PassiveState::Parked { until }, PassiveState::Trial) => {
                        prop_assert!(until <= now, "not before the pause is over");
                    }
                    (PassiveState::Trial, PassiveState::Ok) => {}
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
        let ruling = trial_ended(PassiveState::Trial, false, false, Tick(5), PAUSE);
        assert_eq!(ruling, Ruling::Becomes(PassiveState::Ok));
    }
}
