//! The circuit breaker of an upstream: when too many requests to all of its backends fail, it is left
//! alone for a while, and then a few requests try.
//!
//! Closed → open, when in the window enough requests were made and too large a part of them failed →
//! half-open, when the pause is over → closed, when enough trials succeeded, or open again, for longer,
//! when one failed. Only trials decide: what was under way before it opened may end at any time. (A single backend is parked instead: [`parking`](super::parking).)

use std::mem;
use std::time::Duration;

use crate::model::Tick;

use super::pause::Relapses;
use super::window::{Counts, Window};

/// When a breaker opens, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rules {
    /// The time that is looked back on.
    pub window: Duration,
    /// Part of the requests that failed, in percent; at least 1.
    pub failure_percent: u32,
    /// Requests in the window from which that is looked at.
    pub min_requests: u32,
    /// How long it is open the first time.
    pub open_for: Duration,
    /// How long at most, when it opens again and again.
    pub max_open: Duration,
    /// Requests that have to succeed before it closes.
    pub trials: u32,
}

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum State {
    /// Requests pass.
    #[default]
    Closed,
    /// None passes.
    Open {
        /// When trials begin.
        until: Tick,
    },
    /// A few pass, to try.
    HalfOpen {
        /// What was counted of trials when these began.
        since: Counts,
        /// When requests were let pass last.
        renewed: Tick,
    },
}

impl State {
    /// The word in the admin API and in logs.
    pub fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Open { .. } => "open",
            Self::HalfOpen { .. } => "half_open",
        }
    }
}

/// A breaker, and what was counted lately of all its backends together.
#[derive(Debug, Clone)]
pub struct Breaker {
    state: State,
    window: Window,
    relapses: Relapses,
}

/// What a look at a breaker gives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Look {
    /// Why the state has changed, in words, if it has.
    pub changed: Option<String>,
    /// How many requests may pass from now on, if that is another number than is left of the last.
    pub permits: Option<u32>,
}

impl Breaker {
    /// A closed breaker; what was counted before, `sums`, does not matter to it.
    pub fn new(sums: Counts) -> Self {
        Self { state: State::Closed, window: Window::new(sums), relapses: Relapses::default() }
    }

    /// Where it stands.
    pub fn state(&self) -> State {
        self.state
    }

    /// A step of the window, a tenth of it, is over: takes up what was counted until now, of all requests
    /// and of those that were trials.
    pub fn look(
        &mut self,
        (all, trials): (Counts, Counts),
        rules: &Rules,
        now: Tick,
        draw: f64,
    ) -> Look {
        self.window.tick(all);
        let before = self.state;
        let why = match self.state {
            State::Closed => self.closed(rules, now, draw),
            State::Open { until } if now >= until => {
                self.state = State::HalfOpen { since: trials, renewed: now };
                format!("open until now; {} trial requests decide", rules.trials)
            }
            State::Open { .. } => String::new(),
            State::HalfOpen { since, .. } => self.half_open(since, trials, rules, now, draw),
        };
        let permits = self.permits(before, trials, rules, now);
        let changed = mem::discriminant(&self.state) != mem::discriminant(&before);
        Look { changed: changed.then_some(why), permits }
    }

    /// How many requests may pass: as many as trials are needed when they begin. Of those whose end is not
    /// known after a while, as they hang or were given up, others take the place.
    fn permits(&mut self, before: State, sums: Counts, rules: &Rules, now: Tick) -> Option<u32> {
        match (before, self.state) {
            (State::HalfOpen { .. }, State::HalfOpen { since, renewed }) => {
                if now < renewed.after(rules.open_for) {
                    return None;
                }
                self.state = State::HalfOpen { since, renewed: now };
                let judged = u32::try_from(grown(since, sums).judged).unwrap_or(u32::MAX);
                Some(rules.trials.saturating_sub(judged))
            }
            (_, State::HalfOpen { .. }) => Some(rules.trials),
            _ => Some(0),
        }
    }

    fn closed(&mut self, rules: &Rules, now: Tick, draw: f64) -> String {
        let Counts { judged, failed } = self.window.sum();
        let enough = judged > 0 && judged >= u64::from(rules.min_requests);
        if enough && failed * 100 >= judged * u64::from(rules.failure_percent) {
            self.open(rules, now, draw);
        }
        format!("{failed} of {judged} requests failed within {:?}", rules.window)
    }

    fn half_open(
        &mut self,
        since: Counts,
        sums: Counts,
        rules: &Rules,
        now: Tick,
        draw: f64,
    ) -> String {
        let Counts { judged, failed } = grown(since, sums);
        if failed > 0 {
            self.open(rules, now, draw);
            return format!("{failed} of {judged} trial requests failed");
        }
        if judged >= u64::from(rules.trials) {
            self.state = State::Closed;
            self.window.clear();
            self.relapses.back(now);
        }
        format!("{judged} trial requests succeeded")
    }

    fn open(&mut self, rules: &Rules, now: Tick, draw: f64) {
        let pause = self.relapses.out(rules.open_for, rules.max_open, now, draw);
        self.state = State::Open { until: now.after(pause) };
        self.window.clear();
    }
}

/// What was counted since then. Sums that began anew, as those of backends that left, count nothing.
fn grown(since: Counts, sums: Counts) -> Counts {
    Counts {
        judged: sums.judged.saturating_sub(since.judged),
        failed: sums.failed.saturating_sub(since.failed),
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules {
        window: Duration::from_secs(10),
        failure_percent: 50,
        min_requests: 20,
        open_for: Duration::from_secs(10),
        max_open: Duration::from_mins(1),
        trials: 3,
    };

    /// A breaker, the sums of before and the time.
    struct Story(Breaker, (Counts, Counts), u64);

    impl Story {
        fn new() -> Self {
            Self(Breaker::new(Counts::default()), Default::default(), 0)
        }

        /// A second in which so many requests succeeded and failed.
        fn second(&mut self, ok: u64, failed: u64) -> (&'static str, Option<u32>) {
            let counts = Counts { judged: ok + failed, failed };
            if let State::HalfOpen { .. } = self.0.state() {
                self.1.1 = self.1.1 + counts;
            }
            self.late(ok, failed)
        }

        /// The same, of requests that were no trials.
        fn late(&mut self, ok: u64, failed: u64) -> (&'static str, Option<u32>) {
            self.1.0 = self.1.0 + Counts { judged: ok + failed, failed };
            self.2 += 1;
            let look = self.0.look(self.1, &RULES, Tick(self.2 * 1_000_000), 0.0);
            (self.0.state().name(), look.permits)
        }

        fn seconds(&mut self, count: usize) -> Vec<&'static str> {
            (0..count).map(|_| self.second(0, 0).0).collect()
        }
    }

    #[test]
    fn half_of_twenty_failures_open_it_and_three_trials_close_it() {
        let mut story = Story::new();
        assert_eq!(story.second(9, 9), ("closed", Some(0)), "too few");
        assert_eq!(story.second(1, 1), ("open", Some(0)));
        assert_eq!(story.seconds(9), ["open"; 9]);
        assert_eq!(story.second(0, 0), ("half_open", Some(3)));
        assert_eq!(story.second(2, 0), ("half_open", None));
        assert_eq!(story.second(1, 0), ("closed", Some(0)));
        assert_eq!(story.second(10, 9), ("closed", Some(0)), "what was before is forgotten");
    }

    #[test]
    fn a_failed_trial_opens_it_for_longer() {
        let mut story = Story::new();
        assert_eq!(story.second(0, 20).0, "open");
        assert_eq!(story.seconds(9), ["open"; 9]);
        assert_eq!(story.second(0, 0).0, "half_open");
        assert_eq!(story.second(1, 1).0, "open");
        assert_eq!(story.seconds(19), ["open"; 19]);
        assert_eq!(story.second(0, 0).0, "half_open");
    }

    #[test]
    fn what_was_under_way_before_it_opened_decides_nothing() {
        let mut story = Story::new();
        assert_eq!(story.second(0, 20).0, "open");
        assert_eq!(story.late(5, 30), ("open", Some(0)));
        story.seconds(8);
        assert_eq!(story.second(0, 0).0, "half_open");
        assert_eq!(story.late(9, 40), ("half_open", None));
        assert_eq!(story.second(2, 0).0, "half_open");
        assert_eq!(story.second(1, 0), ("closed", Some(0)));
    }

    #[test]
    fn trials_that_do_not_end_are_made_again() {
        let mut story = Story::new();
        story.second(0, 20);
        story.seconds(9);
        assert_eq!(story.second(0, 0), ("half_open", Some(3)));
        assert_eq!(story.second(1, 0), ("half_open", None));
        story.seconds(8);
        assert_eq!(story.second(0, 0), ("half_open", Some(2)));
    }

    proptest! {
        #[test]
        fn it_never_lets_more_trials_pass_than_asked_for_and_always_tries_again(
            seconds in prop::collection::vec((0_u64..30, 0_u64..30), 1..60),
        ) {
            let mut story = Story::new();
            for (ok, failed) in seconds {
                let open = story.0.state() != State::Closed;
                let (ok, failed) = if open { (ok.min(3), failed.min(1)) } else { (ok, failed) };
                let (state, permits) = story.second(ok, failed);
                prop_assert!(permits.unwrap_or(0) <= RULES.trials);
                prop_assert!(permits.unwrap_or(0) == 0 || state == "half_open");
            }
            let tries = (0..100).any(|_| story.second(0, 0).0 != "open");
            prop_assert!(tries);
        }
    }
}
