//! What was counted lately: a sliding window of buckets.
//!
//! Workers count without end; at each tick the sums are read and their growth since the last tick goes
//! into a new bucket, in place of the oldest. Unlike a moving average, the window means the same at any
//! rate of requests (linkerd left its average for that reason).

use std::collections::VecDeque;

/// Buckets of a window.
pub const BUCKETS: usize = 10;

/// Attempts that say something of their backend, and how many of them failed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Counts {
    /// Those that failed or did not.
    pub judged: u64,
    /// Those that failed.
    pub failed: u64,
}

impl Counts {
    /// The part that failed, 0.0 to 1.0; 0.0 where nothing was counted.
    pub fn failing(self) -> f64 {
        if self.judged == 0 { 0.0 } else { self.failed as f64 / self.judged as f64 }
    }

    /// How much was counted since `before`. A sum that was reset counts from 0.
    fn since(self, before: Self) -> Self {
        if self.judged < before.judged || self.failed < before.failed {
            return self;
        }
        // The two sums are read one after the other: a failure may be seen before its attempt.
        let judged = self.judged - before.judged;
        Self { judged, failed: (self.failed - before.failed).min(judged) }
    }
}

impl std::ops::Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { judged: self.judged + other.judged, failed: self.failed + other.failed }
    }
}

/// The last [`BUCKETS`] ticks of one backend, or of one upstream.
#[derive(Debug, Clone)]
pub struct Window {
    /// The sums at the last tick.
    seen: Counts,
    buckets: VecDeque<Counts>,
    in_a_row: u64,
}

impl Window {
    /// An empty window; what is counted from `seen` on goes into it.
    pub fn new(seen: Counts) -> Self {
        Self { seen, buckets: VecDeque::with_capacity(BUCKETS), in_a_row: 0 }
    }

    /// A tick: takes up what the sums have grown by, and forgets the oldest bucket.
    pub fn tick(&mut self, sums: Counts) {
        let grown = sums.since(self.seen);
        self.seen = sums;
        if self.buckets.len() == BUCKETS {
            self.buckets.pop_front();
        }
        self.buckets.push_back(grown);
        if grown.judged > grown.failed {
            self.in_a_row = 0;
        } else {
            self.in_a_row += grown.failed;
        }
    }

    /// What was counted in the window.
    pub fn sum(&self) -> Counts {
        self.buckets.iter().fold(Counts::default(), |sum, bucket| sum + *bucket)
    }

    /// Failures since the last tick in which something succeeded, however long ago that is.
    pub fn in_a_row(&self) -> u64 {
        self.in_a_row
    }

    /// Forgets what was counted.
    pub fn clear(&mut self) {
        self.buckets.clear();
        self.in_a_row = 0;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counts() -> impl Strategy<Value = Counts> {
        (0_u64..50, 0_u64..50).prop_map(|(ok, failed)| Counts { judged: ok + failed, failed })
    }

    proptest! {
        #[test]
        fn the_window_holds_the_last_ticks_and_the_row_goes_back_to_the_last_success(
            ticks in prop::collection::vec(counts(), 0..40),
        ) {
            let start = Counts { judged: 1_000, failed: 100 };
            let mut window = Window::new(start);
            let mut sums = start;
            for grown in &ticks {
                sums = sums + *grown;
                window.tick(sums);
            }
            let last = ticks.iter().rev().take(BUCKETS);
            prop_assert_eq!(window.sum(), last.fold(Counts::default(), |sum, one| sum + *one));
            let row = ticks.iter().rev().take_while(|one| one.judged == one.failed);
            prop_assert_eq!(window.in_a_row(), row.map(|one| one.failed).sum::<u64>());
        }
    }

    #[test]
    fn sums_that_begin_anew_do_no_harm() {
        let mut window = Window::new(Counts { judged: 500, failed: 40 });
        window.tick(Counts { judged: 7, failed: 2 });
        assert_eq!(window.sum(), Counts { judged: 7, failed: 2 });
        window.tick(Counts { judged: 7, failed: 3 });
        assert_eq!(window.sum(), Counts { judged: 7, failed: 2 }, "a failure ahead of its attempt");
    }
}
