//! What follows when real requests to a backend fail: it is parked for a while, then trial requests
//! decide, one after the other, and the first that fails parks it again.
//!
//! This is the circuit breaker of a backend: ok is closed, parked is open, trial is half-open. Whether
//! failures cross `max_fails`, counted by the workers, or [`ejection`](super::ejection) finds that it stands
//! out, the way back is the same. How long it is parked is [`pause`](super::pause)'s to say. A [`Record`] keeps
//! the books of one backend, for `control` and for the simulator alike.

use std::time::Duration;

use super::pause::Relapses;
use crate::model::{PassiveState, Tick};

/// What is known of a backend's requests beside its state.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Record {
    relapses: Relapses,
    /// How long it is parked, or was last.
    pause: Duration,
    /// Trials that succeeded since then.
    passed: u32,
}

impl Record {
    /// Of a backend that is parked for so long already when it is first seen.
    pub fn parked(pause: Duration) -> Self {
        Self { pause, ..Self::default() }
    }
}

/// What was heard of a backend's requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum News {
    /// They failed too often.
    FailuresCrossed,
    /// It asked to be left alone for so long.
    AskedToWait(Duration),
    /// A trial ended.
    TrialEnded {
        /// It succeeded.
        ok: bool,
    },
    /// It has answered what it owed, for which it was parked.
    Answered,
    /// Its pause is over.
    PauseEnded,
}

/// Who hears it, and under which circumstances.
#[derive(Debug, Clone, Copy)]
pub struct Case {
    /// What traffic said of it until now.
    pub state: PassiveState,
    /// Without it, its upstream still has a backend that is eligible.
    pub others_left: bool,
    /// The present moment.
    pub now: Tick,
    /// How long it is parked the first time.
    pub fail_timeout: Duration,
    /// How long at most, when it is parked again and again.
    pub max_pause: Duration,
    /// Trials that have to succeed.
    pub trials: u32,
    /// A random number, 0.0 to 1.0, which spreads long pauses.
    pub draw: f64,
}

/// What becomes of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// What follows.
    pub ruling: Ruling,
    /// How long it was parked, or is from now on.
    pub pause: Duration,
}

impl Record {
    /// Rules on news, and puts down what came of it.
    pub fn hear(&mut self, news: News, case: &Case) -> Verdict {
        let Case { state, others_left, now, .. } = *case;
        let mut relapses = self.relapses;
        let pause = match news {
            News::AskedToWait(pause) => pause,
            News::PauseEnded | News::Answered => self.pause,
            News::FailuresCrossed | News::TrialEnded { .. } => {
                relapses.out(case.fail_timeout, case.max_pause, now, case.draw)
            }
        };
        let ruling = match news {
            News::FailuresCrossed => failures_crossed(state, others_left, now, pause),
            News::AskedToWait(_) => asked_to_wait(state, others_left, now, pause),
            News::TrialEnded { ok } => {
                let trial = self.trial(ok, case.trials);
                trial_ended(state, trial, others_left, now, pause)
            }
            News::Answered => answers(state),
            News::PauseEnded => {
                self.passed = 0;
                pause_ended(state, now)
            }
        };
        match ruling {
            Ruling::Becomes(PassiveState::Ok) => self.relapses.back(now),
            Ruling::Becomes(PassiveState::Parked { .. }) => {
                *self = Self { relapses, pause, passed: 0 };
            }
            _ => {}
        }
        Verdict { ruling, pause }
    }

    fn trial(&mut self, ok: bool, needed: u32) -> Trial {
        self.passed = if ok { self.passed.saturating_add(1) } else { 0 };
        match ok {
            true if self.passed >= needed => Trial::Passed,
            true => Trial::OneOfMore,
            false => Trial::Failed,
        }
    }
}

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
fn failures_crossed(state: PassiveState, others_left: bool, now: Tick, pause: Duration) -> Ruling {
    match (state, others_left) {
        (PassiveState::Ok, true) => park(now, pause),
        (PassiveState::Ok, false) => Ruling::LastOneLeft,
        // A worker that still reads the snapshot before; or the trial, whose end is told apart.
        (PassiveState::Parked { .. } | PassiveState::Trial, _) => Ruling::Stays,
    }
}

/// It asked to be left alone for `pause`. The last one left is not asked whether it likes to.
fn asked_to_wait(state: PassiveState, others_left: bool, now: Tick, pause: Duration) -> Ruling {
    match state {
        PassiveState::Parked { until } if until >= now.after(pause) => Ruling::Stays,
        _ if others_left => park(now, pause),
        _ => Ruling::Stays,
    }
}

/// It has answered what it owed, for which it was parked: it serves again.
fn answers(state: PassiveState) -> Ruling {
    match state {
        PassiveState::Parked { .. } => Ruling::Becomes(PassiveState::Ok),
        PassiveState::Ok | PassiveState::Trial => Ruling::Stays,
    }
}

/// The pause is over: one request shall try.
fn pause_ended(state: PassiveState, now: Tick) -> Ruling {
    match state {
        PassiveState::Parked { until } if until <= now => Ruling::Becomes(PassiveState::Trial),
        _ => Ruling::Stays,
    }
}

/// How a trial ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Trial {
    /// It succeeded, and was the last one needed.
    Passed,
    /// It succeeded, and more are needed.
    OneOfMore,
    /// It failed.
    Failed,
}

/// A trial request ended. The last one left returns to service whatever came of it.
fn trial_ended(
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
    enum Heard {
        Asked { others_left: bool },
        Crossed { others_left: bool },
        Answers,
        PauseEnded,
        Trial { trial: Trial, others_left: bool },
    }

    fn news() -> impl Strategy<Value = Heard> {
        prop_oneof![
            any::<bool>().prop_map(|others_left| Heard::Crossed { others_left }),
            any::<bool>().prop_map(|others_left| Heard::Asked { others_left }),
            Just(Heard::PauseEnded),
            Just(Heard::Answers),
            (
                prop::sample::select(vec![Trial::Passed, Trial::OneOfMore, Trial::Failed]),
                any::<bool>(),
            )
                .prop_map(|(trial, others_left)| Heard::Trial { trial, others_left }),
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
                    Heard::Crossed { others_left } => {
                        (failures_crossed(state, others_left, now, PAUSE), others_left)
                    }
                    Heard::Asked { others_left } => {
                        (asked_to_wait(state, others_left, now, PAUSE), others_left)
                    }
                    Heard::Answers => (answers(state), true),
                    Heard::PauseEnded => (pause_ended(state, now), true),
                    Heard::Trial { trial, others_left } => {
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
                        prop_assert!(matches!(news, Heard::Answers));
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

    #[test]
    fn the_record_of_one_backend_from_its_failure_to_its_return() {
        let mut record = Record::default();
        let mut state = PassiveState::Ok;
        let mut hear = |seconds: u64, news| {
            let now = Tick(0).after(Duration::from_secs(seconds));
            let case = Case {
                state,
                others_left: true,
                now,
                fail_timeout: PAUSE,
                max_pause: Duration::from_mins(1),
                trials: 2,
                draw: 0.0,
            };
            let verdict = record.hear(news, &case);
            if let Ruling::Becomes(next) = verdict.ruling {
                state = next;
            }
            (verdict.ruling, verdict.pause.as_secs())
        };
        let parked = |seconds: u64| PassiveState::Parked {
            until: Tick(0).after(Duration::from_secs(seconds)),
        };
        let trial = |ok| News::TrialEnded { ok };
        assert_eq!(hear(0, News::FailuresCrossed), (Ruling::Becomes(parked(10)), 10));
        assert_eq!(hear(10, News::PauseEnded), (Ruling::Becomes(PassiveState::Trial), 10));
        assert_eq!(hear(11, trial(true)).0, Ruling::AnotherTrial);
        // One fails: out for twice as long, and two have to succeed again.
        assert_eq!(hear(12, trial(false)), (Ruling::Becomes(parked(32)), 20));
        assert_eq!(hear(31, News::PauseEnded).0, Ruling::Stays);
        assert_eq!(hear(32, News::PauseEnded).0, Ruling::Becomes(PassiveState::Trial));
        assert_eq!(hear(33, trial(true)).0, Ruling::AnotherTrial);
        assert_eq!(hear(34, trial(true)).0, Ruling::Becomes(PassiveState::Ok));
        // What it asks for itself is no relapse.
        let wait = News::AskedToWait(Duration::from_secs(3));
        assert_eq!(hear(40, wait), (Ruling::Becomes(parked(43)), 3));
    }
}
