//! How much of an upstream's load may be retries. Pure.
//!
//! When backends fail for all, each request that is sent again makes the load larger that they fail
//! under. So requests that a backend may have seen are repeated only as long as those of the last ten
//! seconds are few beside the others (after Finagle's retry budget). A request that nobody has seen is
//! no load, and may always be sent elsewhere.

/// Seconds that count.
const WINDOW: usize = 10;

/// What a worker has counted of an upstream so far.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Counted {
    /// Attempts that ended.
    pub(crate) attempts: u64,
    /// Attempts that were made because of one that a backend may have seen.
    pub(crate) retries: u64,
}

/// What was counted at each of the last seconds.
#[derive(Debug, Clone)]
pub(crate) struct Budget {
    marks: [Counted; WINDOW],
    /// The oldest.
    next: usize,
}

impl Budget {
    /// A budget that begins now.
    pub(crate) fn new(now: Counted) -> Self {
        Self { marks: [now; WINDOW], next: 0 }
    }

    /// Takes note of what is counted by now, once a second.
    pub(crate) fn mark(&mut self, now: Counted) {
        self.marks[self.next] = now;
        self.next = (self.next + 1) % WINDOW;
    }

    /// Whether one more retry is within `percent` of the other attempts of the window, or one of its
    /// first `least`.
    pub(crate) fn allows(&self, (percent, least): (u32, u32), now: Counted) -> bool {
        let (retries, others) = self.lately(now);
        retries < u64::from(least) || retries * 100 < others * u64::from(percent)
    }

    /// Retries and other attempts of the window.
    pub(crate) fn lately(&self, now: Counted) -> (u64, u64) {
        let then = self.marks[self.next];
        let retries = now.retries.saturating_sub(then.retries);
        (retries, now.attempts.saturating_sub(then.attempts).saturating_sub(retries))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn counted(attempts: u64, retries: u64) -> Counted {
        Counted { attempts, retries }
    }

    #[test]
    fn the_first_few_are_always_allowed_and_then_a_share() {
        let budget = Budget::new(counted(1_000, 500));
        let at = |attempts: u64, retries: u64| {
            budget.allows((20, 3), counted(1_000 + attempts, 500 + retries))
        };
        assert!(at(1, 0) && at(2, 1) && at(3, 2));
        assert!(!at(3, 3));
        assert!(at(119, 19), "100 others, 19 retries");
        assert!(!at(120, 20));
    }

    #[test]
    fn what_is_ten_seconds_old_counts_no_more() {
        let mut budget = Budget::new(Counted::default());
        let spent = counted(10, 5);
        for _ in 0..WINDOW - 1 {
            budget.mark(spent);
            assert!(!budget.allows((20, 3), spent));
        }
        budget.mark(spent);
        assert!(budget.allows((20, 3), spent));
    }

    proptest! {
        #[test]
        fn of_all_attempts_retries_are_the_share_at_most(
            (percent, least) in (0_u32..200, 0_u32..10),
            seconds in prop::collection::vec(0_u64..50, 1..10),
        ) {
            let mut budget = Budget::new(Counted::default());
            let mut now = Counted::default();
            for requests in seconds {
                for _ in 0..requests {
                    now.attempts += 1;
                    // Everything fails, and is repeated whenever that is allowed.
                    while budget.allows((percent, least), now) {
                        now.retries += 1;
                        now.attempts += 1;
                    }
                }
                budget.mark(now);
            }
            let others = now.attempts - now.retries;
            let most = (others * u64::from(percent)).div_ceil(100).max(u64::from(least));
            prop_assert!(now.retries <= most);
        }
    }
}
