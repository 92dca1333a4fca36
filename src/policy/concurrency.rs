//! Adaptive concurrency: how many requests an upstream may have in flight, found out by how long its
//! answers take.
//!
//! After Netflix's Gradient2 (`concurrency-limits`). Answers that take longer than they do in the long
//! run have waited in a queue somewhere, and fewer requests are let in; those that do not leave room for
//! some more. The limit follows the ratio of the two, `tolerance` times which is no queue. What is not
//! used up is not raised, nor is anything while many requests fail: how fast a backend says that it
//! cannot does not tell how long it takes when it can.

use std::time::Duration;

/// Requests that may wait in a queue of the backends: the room by which the limit is tried out.
const QUEUE: f64 = 4.0;

/// Samples of which the long run begins with a plain mean.
const FIRST: u32 = 10;

/// Least part that is left of the limit by one sample, before smoothing.
const LEAST_GRADIENT: f64 = 0.5;

/// How the limit is found.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// It begins here.
    pub initial: u32,
    /// It does not fall below; at least 1.
    pub least: u32,
    /// It does not rise above.
    pub most: u32,
    /// The part of a new limit that is taken up at once, above 0 to 1.
    pub smoothing: f64,
    /// How many times as long as in the long run answers may take without a queue; at least 1.
    pub tolerance: f64,
    /// Samples that make the long run.
    pub long_window: u32,
}

/// What was seen since the last sample.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// How long answers took, on the mean; `None`: there were none.
    pub took: Option<Duration>,
    /// Requests in flight.
    pub in_flight: f64,
    /// More than a few of them failed.
    pub failing: bool,
    /// The time since the last sample.
    pub passed: Duration,
}

/// A limit that adapts itself.
#[derive(Debug, Clone)]
pub struct Concurrency {
    limit: f64,
    /// How long answers take in the long run, in microseconds.
    long_run: f64,
    samples: u32,
    /// How long nothing has come back, in microseconds.
    silent: f64,
}

impl Concurrency {
    /// Nothing is known yet.
    pub fn new(rules: &Rules) -> Self {
        Self { limit: f64::from(rules.initial), long_run: 0.0, samples: 0, silent: 0.0 }
    }

    /// Takes up a sample; gives the limit from now on.
    pub fn sample(&mut self, sample: Sample, rules: &Rules) -> u32 {
        let Some((gradient, room)) = self.heard(sample, rules) else { return self.limit as u32 };
        if sample.in_flight >= self.limit / 2.0 {
            let next = self.limit * gradient + room;
            let next = self.limit * (1.0 - rules.smoothing) + next * rules.smoothing;
            self.limit = next.clamp(f64::from(rules.least), f64::from(rules.most));
        }
        self.limit as u32
    }

    /// What is to be left of the limit, and the room by which it is tried out; `None`: a sample that
    /// says nothing.
    fn heard(&mut self, sample: Sample, rules: &Rules) -> Option<(f64, f64)> {
        let Some(took) = sample.took else {
            self.silent += sample.passed.as_secs_f64() * 1e6;
            // Answers that always take longer than a sample are no sign of anything.
            let is_long = self.long_run > 0.0 && self.silent > rules.tolerance * self.long_run;
            return is_long.then_some((LEAST_GRADIENT, QUEUE));
        };
        self.silent = 0.0;
        let took = (took.as_secs_f64() * 1e6).max(1.0);
        if sample.failing {
            return (self.long_run > 0.0).then(|| (self.compare(took, rules), 0.0));
        }
        self.learn(took, rules);
        let gradient = self.compare(took, rules);
        if self.long_run > 2.0 * took {
            // A long overload is over: the long run shall not take as long to forget it.
            self.long_run *= 0.95;
        }
        Some((gradient, QUEUE))
    }

    fn compare(&self, took: f64, rules: &Rules) -> f64 {
        (rules.tolerance * self.long_run / took).clamp(LEAST_GRADIENT, 1.0)
    }

    fn learn(&mut self, took: f64, rules: &Rules) {
        self.samples = self.samples.saturating_add(1);
        if self.samples <= FIRST {
            self.long_run += (took - self.long_run) / f64::from(self.samples);
        } else {
            let part = 2.0 / (f64::from(rules.long_window) + 1.0);
            self.long_run += (took - self.long_run) * part;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    const RULES: Rules = Rules {
        initial: 20,
        least: 20,
        most: 200,
        smoothing: 0.2,
        tolerance: 1.5,
        long_window: 600,
    };

    const SECOND: Duration = Duration::from_secs(1);

    fn of(millis: u64, in_flight: f64) -> Sample {
        let took = Some(Duration::from_millis(millis));
        Sample { took, in_flight, failing: false, passed: SECOND }
    }

    /// The limit after so many samples that use it up.
    fn after(concurrency: &mut Concurrency, samples: u32, millis: u64) -> u32 {
        let mut limit = 0;
        for _ in 0..samples {
            limit = concurrency.sample(of(millis, concurrency.limit), &RULES);
        }
        limit
    }

    #[test]
    fn it_rises_by_the_queue_as_long_as_nothing_gets_slower() {
        let mut concurrency = Concurrency::new(&RULES);
        // 4 × 0.2 a sample.
        assert_eq!(after(&mut concurrency, 10, 10), 28);
        assert_eq!(after(&mut concurrency, 1_000, 10), 200);
    }

    #[test]
    fn it_falls_when_answers_take_twice_as_long_and_rises_when_they_do_not_any_more() {
        let mut concurrency = Concurrency::new(&RULES);
        let high = after(&mut concurrency, 300, 10);
        let low = after(&mut concurrency, 30, 100);
        assert!(low * 2 < high, "{low} of {high}");
        assert!(after(&mut concurrency, 300, 10) > 190);
    }

    #[test]
    fn a_little_slower_is_no_queue() {
        let mut concurrency = Concurrency::new(&RULES);
        let before = after(&mut concurrency, 100, 10);
        assert!(after(&mut concurrency, 20, 14) >= before);
    }

    #[test]
    fn what_is_not_used_up_stays() {
        let mut concurrency = Concurrency::new(&RULES);
        for millis in [10, 10, 500] {
            assert_eq!(concurrency.sample(of(millis, 9.0), &RULES), 20);
        }
    }

    #[test]
    fn where_nothing_comes_back_it_falls_to_the_least() {
        let mut concurrency = Concurrency::new(&RULES);
        after(&mut concurrency, 300, 10);
        let nothing = Sample { took: None, ..of(0, 200.0) };
        for _ in 0..40 {
            concurrency.sample(nothing, &RULES);
        }
        assert_eq!(concurrency.sample(nothing, &RULES), 20);
    }

    #[test]
    fn answers_that_take_longer_than_a_sample_as_they_always_do_change_nothing() {
        let mut concurrency = Concurrency::new(&RULES);
        for _ in 0..50 {
            for _ in 0..4 {
                let nothing = Sample { took: None, ..of(0, 20.0) };
                assert!(concurrency.sample(nothing, &RULES) >= 20);
            }
            concurrency.sample(of(5_000, concurrency.limit), &RULES);
        }
        assert!(concurrency.limit > 50.0, "{}", concurrency.limit);
    }

    #[test]
    fn how_fast_they_fail_does_not_tell_how_long_answers_take() {
        let mut concurrency = Concurrency::new(&RULES);
        let failing = Sample { failing: true, ..of(1, 20.0) };
        for _ in 0..100 {
            assert_eq!(concurrency.sample(failing, &RULES), 20, "and nothing is raised");
        }
        let high = after(&mut concurrency, 200, 10);
        assert!(high > 100, "it works: {high}");
        for _ in 0..1_000 {
            concurrency.sample(Sample { in_flight: 200.0, ..failing }, &RULES);
        }
        assert!(after(&mut concurrency, 10, 10) >= high, "what is usual was not forgotten");
        // Slow ones that fail too are a queue all the same.
        let slow = Sample { failing: true, ..of(100, 200.0) };
        let low = (0..30).map(|_| concurrency.sample(slow, &RULES)).last();
        assert!(low.unwrap() * 2 < high);
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(6), ..ProptestConfig::default() })]
        #[test]
        fn it_stays_between_the_least_and_the_most(
            samples in prop::collection::vec((prop::option::of(0_u64..10_000_000), 0.0_f64..500.0), 1..200),
        ) {
            let mut concurrency = Concurrency::new(&RULES);
            for (micros, in_flight) in samples {
                let took = micros.map(Duration::from_micros);
                let sample = Sample { took, in_flight, failing: micros == Some(7), passed: SECOND };
                let limit = concurrency.sample(sample, &RULES);
                prop_assert!((20..=200).contains(&limit));
            }
        }
    }
}
