//! Adaptive concurrency: how many requests an upstream may have in flight, found out by how long its
//! answers take.
//!
//! After Netflix's Gradient2 (`concurrency-limits`). Answers that take longer than they do in the long
//! run have waited in a queue somewhere, and fewer requests are let in; those that do not leave room for
//! some more. The limit follows the ratio of the two, `tolerance` times which is no queue. What is not
//! used up is not raised.

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
}

/// A limit that adapts itself.
#[derive(Debug, Clone)]
pub struct Concurrency {
    limit: f64,
    /// How long answers take in the long run, in microseconds.
    long_run: f64,
    samples: u32,
}

impl Concurrency {
    /// Nothing is known yet.
    pub fn new(rules: &Rules) -> Self {
        Self { limit: f64::from(rules.initial), long_run: 0.0, samples: 0 }
    }

    /// Takes up a sample; gives the limit from now on.
    pub fn sample(&mut self, sample: Sample, rules: &Rules) -> u32 {
        let gradient = match sample.took {
            Some(took) => self.gradient(took.as_secs_f64() * 1e6, rules),
            // Nothing came back at all.
            None => LEAST_GRADIENT,
        };
        if sample.in_flight >= self.limit / 2.0 {
            let next = self.limit * gradient + QUEUE;
            let next = self.limit * (1.0 - rules.smoothing) + next * rules.smoothing;
            self.limit = next.clamp(f64::from(rules.least), f64::from(rules.most));
        }
        self.limit as u32
    }

    fn gradient(&mut self, took: f64, rules: &Rules) -> f64 {
        let took = took.max(1.0);
        self.samples = self.samples.saturating_add(1);
        if self.samples <= FIRST {
            self.long_run += (took - self.long_run) / f64::from(self.samples);
        } else {
            let part = 2.0 / (f64::from(rules.long_window) + 1.0);
            self.long_run += (took - self.long_run) * part;
        }
        let long_run = self.long_run;
        if long_run > 2.0 * took {
            // A long overload is over: the long run shall not take as long to forget it.
            self.long_run *= 0.95;
        }
        (rules.tolerance * long_run / took).clamp(LEAST_GRADIENT, 1.0)
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

    fn of(millis: u64, in_flight: f64) -> Sample {
        Sample { took: Some(Duration::from_millis(millis)), in_flight }
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
        for _ in 0..40 {
            concurrency.sample(Sample { took: None, in_flight: 200.0 }, &RULES);
        }
        assert_eq!(concurrency.sample(Sample { took: None, in_flight: 200.0 }, &RULES), 20);
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
                let limit = concurrency.sample(Sample { took, in_flight }, &RULES);
                prop_assert!((20..=200).contains(&limit));
            }
        }
    }
}
