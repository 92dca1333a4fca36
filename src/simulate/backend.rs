//! A made-up backend: so many places, a queue before them, and what happens to it.

use std::collections::VecDeque;
use std::f64::consts::TAU;
use std::time::Duration;

use crate::balance::Rng;

/// How far service times are spread: the standard deviation of their logarithm. The 99th percentile is
/// 3.2 times the median.
const SPREAD: f64 = 0.5;

/// A queue before a number of places.
#[derive(Debug, Default)]
pub(super) struct Queue {
    busy: usize,
    waiting: VecDeque<usize>,
}

impl Queue {
    /// Somebody comes; whether there is a place at once.
    pub(super) fn come(&mut self, who: usize, places: usize) -> bool {
        if self.busy < places {
            self.busy += 1;
            return true;
        }
        self.waiting.push_back(who);
        false
    }

    /// Somebody is served; gives who is next.
    pub(super) fn leave(&mut self) -> Option<usize> {
        let next = self.waiting.pop_front();
        if next.is_none() {
            self.busy -= 1;
        }
        next
    }
}

/// Draws of chance.
#[derive(Debug)]
pub(super) struct Chance(Rng);

impl Chance {
    pub(super) fn new(seed: u64) -> Self {
        Self(Rng::new(seed))
    }

    /// Evenly between 0, exclusive, and 1.
    pub(super) fn even(&mut self) -> f64 {
        ((self.0.next_u64() >> 11) + 1) as f64 / (1_u64 << 53) as f64
    }

    /// One of `n`.
    pub(super) fn below(&mut self, n: u32) -> u32 {
        self.0.below(n)
    }

    /// The time until the next of `rate` events in a second that know nothing of each other.
    pub(super) fn gap(&mut self, rate: f64) -> Duration {
        Duration::from_secs_f64(-self.even().ln() / rate)
    }

    /// How long serving takes, of this median.
    pub(super) fn service(&mut self, median: Duration) -> Duration {
        // Box and Muller's transform: two even draws, one normal.
        let normal = (-2.0 * self.even().ln()).sqrt() * (TAU * self.even()).cos();
        median.mul_f64((SPREAD * normal).exp())
    }
}
