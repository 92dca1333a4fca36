//! Admission control: when too many requests fail, a part of those that come is refused at once, so that
//! what is left can be served.
//!
//! By the success rate, after Envoy's admission control and "Handling Overload" of Google's book on site
//! reliability: of `n` requests lately, `ok` of which succeeded, `(n - ok / target) / (n + 1)` are too
//! many; what is refused is not among them. Nothing is refused while successes keep up with the target,
//! and never all: those that pass show when it is over.

use std::time::Duration;

use super::window::{BUCKETS, Counts, Window};

/// All: parts of requests are counted in this many.
pub const ALL: u32 = 10_000;

/// When requests are refused.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// The time that is looked back on.
    pub window: Duration,
    /// Part of the requests that have to succeed, in percent; 1 to 100.
    pub success_percent: u32,
    /// Requests in the window from which that is looked at.
    pub min_requests: u32,
    /// At most this part is refused, in percent.
    pub max_percent: u32,
    /// How steeply it rises: the part that is too much to the power of one by this; above 0.
    pub aggression: f64,
}

/// What was counted lately of all backends together.
#[derive(Debug, Clone)]
pub struct Admission {
    window: Window,
    /// Some were to be refused within the last window.
    refuses: bool,
    /// Looks since the last one by which some were to be refused.
    calm: usize,
}

/// What is to be done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Look {
    /// How many of [`ALL`] requests are to be refused.
    pub refused: u32,
    /// Refusing begins, or is over: a whole window has gone by in which nothing was to be refused. Where
    /// failures are just about as many as may be, that is no news with each step.
    pub turned: Option<bool>,
}

impl Admission {
    /// What was counted before, `sums`, does not matter to it.
    pub fn new(sums: Counts) -> Self {
        Self { window: Window::new(sums), refuses: false, calm: 0 }
    }

    /// A step of the window, a tenth of it, is over: takes up what was counted until now.
    pub fn look(&mut self, sums: Counts, rules: &Rules) -> Look {
        self.window.tick(sums);
        let refused = refused(self.window.sum(), rules);
        self.calm = if refused > 0 { 0 } else { self.calm + 1 };
        let refuses = refused > 0 || (self.refuses && self.calm < BUCKETS);
        let turned = (refuses != self.refuses).then_some(refuses);
        self.refuses = refuses;
        Look { refused, turned }
    }

    /// What was counted in the window.
    pub fn sum(&self) -> Counts {
        self.window.sum()
    }
}

fn refused(counts: Counts, rules: &Rules) -> u32 {
    if counts.judged < u64::from(rules.min_requests) {
        return 0;
    }
    let (n, ok) = (counts.judged as f64, (counts.judged - counts.failed) as f64);
    let target = f64::from(rules.success_percent) / 100.0;
    let too_many = ((n - ok / target) / (n + 1.0)).max(0.0);
    let part = too_many.powf(1.0 / rules.aggression);
    let most = f64::from(rules.max_percent) / 100.0;
    (part.min(most) * f64::from(ALL)).round() as u32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    const RULES: Rules = Rules {
        window: Duration::from_secs(30),
        success_percent: 95,
        min_requests: 20,
        max_percent: 80,
        aggression: 1.0,
    };

    fn of(judged: u64, failed: u64, rules: &Rules) -> u32 {
        refused(Counts { judged, failed }, rules)
    }

    #[test]
    fn nothing_is_refused_while_enough_succeed_or_little_is_known() {
        assert_eq!(of(1_000, 50, &RULES), 0);
        assert_eq!(of(19, 19, &RULES), 0);
        assert_eq!(of(0, 0, &Rules { min_requests: 0, ..RULES }), 0);
    }

    #[test]
    fn what_is_too_much_is_refused_and_never_all() {
        // (1000 - 500 / 0.95) / 1001
        assert_eq!(of(1_000, 500, &RULES), 4_732);
        assert_eq!(of(1_000, 1_000, &RULES), 8_000);
        let steep = Rules { aggression: 2.0, ..RULES };
        assert_eq!(of(1_000, 500, &steep), 6_879);
    }

    #[test]
    fn it_is_over_when_the_failures_have_left_the_window() {
        let mut admission = Admission::new(Counts::default());
        let mut sums = Counts { judged: 100, failed: 100 };
        assert_eq!(admission.look(sums, &RULES), Look { refused: 8_000, turned: Some(true) });
        let mut last = 8_000;
        for _ in 0..10 {
            sums.judged += 100;
            let next = admission.look(sums, &RULES).refused;
            assert!(next <= last);
            last = next;
        }
        assert_eq!(last, 0);
    }

    #[test]
    fn what_goes_to_and_fro_is_told_once_and_again_after_a_calm_window() {
        let mut admission = Admission::new(Counts::default());
        let mut sums = Counts::default();
        let mut look = |failed| {
            sums = sums + Counts { judged: 100, failed };
            let Look { refused, turned } = admission.look(sums, &RULES);
            (refused > 0, turned)
        };
        for _ in 0..10 {
            assert_eq!(look(5), (false, None), "just as many as may be");
        }
        assert_eq!(look(7), (true, Some(true)));
        assert_eq!(look(3), (false, None));
        for _ in 0..4 {
            assert_eq!(look(7), (true, None));
            assert_eq!(look(3), (false, None));
        }
        for _ in 0..8 {
            assert_eq!(look(5), (false, None));
        }
        assert_eq!(look(5), (false, Some(false)), "ten in a row");
        assert_eq!(look(5), (false, None));
        assert_eq!(look(100), (true, Some(true)));
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(6), ..ProptestConfig::default() })]
        #[test]
        fn more_failures_are_never_less_refused(
            (judged, failed) in (0_u64..100_000, 0_u64..100_000),
            success_percent in 1_u32..=100,
            aggression in 0.1_f64..10.0,
        ) {
            let rules = Rules { success_percent, aggression, ..RULES };
            let failed = failed.min(judged);
            let part = of(judged, failed, &rules);
            prop_assert!(part <= 8_000);
            prop_assert!(of(judged, (failed + 1).min(judged), &rules) >= part);
        }
    }
}
