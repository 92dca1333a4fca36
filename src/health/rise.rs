//! Hysteresis between probe results and the verdict: one bad answer takes nobody down.
//!
//! `control` keeps one [`Rise`] per probed backend, feeds it every result and asks it when to probe
//! again. After `HAProxy`'s `rise`, `fall` and `fastinter`, with one exception at the start: nothing
//! is known of a backend in `Checking`, so its first good result brings it up at once, while it
//! still takes `fall` bad ones in a row to call it down.

use std::mem;
use std::time::Duration;

use crate::model::ProbedState;

/// The longest wait for the first probe of a backend of which nothing is known: the first one that
/// is found up would carry all the traffic until the others are probed too.
const LONGEST_FIRST_WAIT: Duration = Duration::from_secs(1);

/// How often a backend is probed.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Pace {
    /// Between two probes while the verdict stands firm.
    pub interval: Duration,
    /// Between two probes while results speak against the verdict, or while there is none.
    pub fast_interval: Duration,
    /// Part by which each pause is varied, 0.0 to 1.0.
    pub jitter: f64,
}

impl Pace {
    /// How long the first probe waits. `draw` is a random number in 0.0..1.0.
    pub fn first(&self, draw: f64) -> Duration {
        self.interval.min(LONGEST_FIRST_WAIT).mul_f64(draw)
    }
}

/// The verdict on one backend and how firmly it stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rise {
    needed_up: u32,
    needed_down: u32,
    state: ProbedState,
    /// Results in a row that speak against `state`; in `Checking`, bad results in a row.
    against: u32,
    /// Whether the probes already have a place of their own within the interval.
    spread: bool,
}

impl Rise {
    /// Begins with what is `known` of the backend. `rise` good results in a row bring it up, `fall`
    /// bad ones take it down; each is at least 1.
    pub fn new(rise: u32, fall: u32, known: ProbedState) -> Self {
        let state = match known {
            ProbedState::Unprobed => ProbedState::Checking,
            known => known,
        };
        Self { needed_up: rise, needed_down: fall, state, against: 0, spread: false }
    }

    /// Takes one result; `Some` is a new verdict, `Up` or `Down`.
    pub fn observe(&mut self, ok: bool) -> Option<ProbedState> {
        let (verdict, needed) = match (self.state, ok) {
            (ProbedState::Up, true) | (ProbedState::Down, false) => {
                self.against = 0;
                return None;
            }
            (ProbedState::Checking | ProbedState::Unprobed, true) => (ProbedState::Up, 0),
            (ProbedState::Down, true) => (ProbedState::Up, self.needed_up),
            (_, false) => (ProbedState::Down, self.needed_down),
        };
        self.against += 1;
        if self.against < needed {
            return None;
        }
        self.state = verdict;
        self.against = 0;
        Some(verdict)
    }

    /// How long to wait from the start of the last probe to the next. `draw` is a random number in
    /// 0.0..1.0.
    ///
    /// The first pause at the regular pace is any part of the interval: backends that were first
    /// probed together at start-up are spread over the interval from then on.
    pub fn pause(&mut self, pace: &Pace, draw: f64) -> Duration {
        let varied = |pause: Duration| pause.mul_f64(1.0 + pace.jitter * (2.0 * draw - 1.0));
        if self.against > 0 || self.state == ProbedState::Checking {
            varied(pace.fast_interval)
        } else if mem::replace(&mut self.spread, true) {
            varied(pace.interval)
        } else {
            pace.interval.mul_f64(draw)
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const PACE: Pace = Pace {
        interval: Duration::from_secs(10),
        fast_interval: Duration::from_secs(2),
        jitter: 0.1,
    };

    /// What a stranger would write down as the rule: look back over the whole history.
    fn verdict_by_history(rise: usize, fall: usize, results: &[bool]) -> ProbedState {
        let mut state = ProbedState::Checking;
        let mut since = 0;
        for now in 1..=results.len() {
            let ends_with = |count: usize, ok: bool| {
                now - since >= count && results[now - count..now].iter().all(|r| *r == ok)
            };
            let next = match state {
                ProbedState::Down if ends_with(rise, true) => ProbedState::Up,
                ProbedState::Checking if results[now - 1] => ProbedState::Up,
                ProbedState::Up | ProbedState::Checking if ends_with(fall, false) => {
                    ProbedState::Down
                }
                same => same,
            };
            if next != state {
                (state, since) = (next, now);
            }
        }
        state
    }

    proptest! {
        #[test]
        fn the_verdict_follows_from_the_history(
            rise in 1_u32..5,
            fall in 1_u32..5,
            results in prop::collection::vec(any::<bool>(), 0..60),
        ) {
            let mut pure = Rise::new(rise, fall, ProbedState::Unprobed);
            let mut state = ProbedState::Checking;
            for n in 0..results.len() {
                if let Some(verdict) = pure.observe(results[n]) {
                    prop_assert_ne!(verdict, state, "a verdict is told only when it is new");
                    state = verdict;
                }
                let want = verdict_by_history(rise as usize, fall as usize, &results[..=n]);
                prop_assert_eq!(state, want);
            }
        }

        #[test]
        fn pauses_stay_within_jitter(
            results in prop::collection::vec(any::<bool>(), 1..20),
            draw in 0.0_f64..1.0,
        ) {
            let mut rise = Rise::new(2, 3, ProbedState::Checking);
            let mut regular_pauses = 0;
            for ok in results {
                rise.observe(ok);
                let pause = rise.pause(&PACE, draw).as_secs_f64();
                let settled = rise.against == 0 && rise.state != ProbedState::Checking;
                if !settled {
                    prop_assert!((1.8..=2.2).contains(&pause), "{pause}");
                    continue;
                }
                let range = if regular_pauses == 0 { 0.0..=10.0 } else { 9.0..=11.0 };
                prop_assert!(range.contains(&pause), "{pause}");
                regular_pauses += 1;
            }
        }

        #[test]
        fn first_probe_waits_at_most_a_second(interval in 1_u64..100_000, draw in 0.0_f64..1.0) {
            let pace = Pace { interval: Duration::from_millis(interval), ..PACE };
            prop_assert!(pace.first(draw) <= pace.interval.min(Duration::from_secs(1)));
        }
    }

    #[test]
    fn known_verdict_is_not_forgotten_by_new_thresholds() {
        let mut rise = Rise::new(2, 3, ProbedState::Down);
        assert_eq!(rise.observe(true), None);
        assert_eq!(rise.observe(true), Some(ProbedState::Up));
    }
}
