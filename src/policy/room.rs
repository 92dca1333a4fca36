//! Room: whether those that serve can carry what is asked of them, by what the operator says that each is
//! good for.
//!
//! After a tier or a zone is lost the others get its requests too. If that is more than they are good for, the
//! part that is too much is refused, so that they carry the rest instead of drowning in all of it.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Tick;

use super::admission::ALL;

/// Between two marks of what is asked.
pub const STEP: Duration = Duration::from_secs(1);

/// So many steps are looked back on.
const STEPS: usize = 5;

/// Parts of all requests that are too much begin to be told of, and are no more, so that one that is just at
/// the limit is not told of each second.
const TOLD: (u32, u32) = (ALL / 50, 0);

/// How many requests come in a second.
#[derive(Debug, Clone, Default)]
pub struct Demand {
    /// What was asked in all at the last moments.
    marks: VecDeque<(Tick, u64)>,
}

impl Demand {
    /// A step is over: so much was asked in all until now.
    pub fn mark(&mut self, asked: u64, now: Tick) {
        self.marks.push_back((now, asked));
        if self.marks.len() > STEPS + 1 {
            self.marks.pop_front();
        }
    }

    /// Requests in a second, of the last few.
    pub fn rate(&self) -> f64 {
        let (Some((from, first)), Some((to, last))) = (self.marks.front(), self.marks.back())
        else {
            return 0.0;
        };
        let passed = to.since(*from).as_secs_f64();
        if passed < STEP.as_secs_f64() / 2.0 {
            0.0
        } else {
            last.saturating_sub(*first) as f64 / passed
        }
    }
}

/// How many of [`ALL`] requests are too much: of so many a second that go to tiers by `shares`, in percent,
/// each of which is good for its part of `room`. Without anybody who serves nothing is: that is not for want
/// of room.
pub fn too_much(demand: f64, shares: &[u32], room: &[f64]) -> u32 {
    let served = shares.iter().zip(room).any(|(share, room)| *share > 0 && *room > 0.0);
    if !served || demand <= 0.0 {
        return 0;
    }
    let excess = shares.iter().zip(room).map(|(share, room)| {
        let asked = demand * f64::from(*share) / 100.0;
        // A tier with a share and nobody left is passed over, which moves its load for a moment.
        if *room > 0.0 { (asked - room).max(0.0) } else { 0.0 }
    });
    let part = excess.sum::<f64>() / demand;
    (part * f64::from(ALL)).round().clamp(0.0, f64::from(ALL)) as u32
}

/// Whether that is told of as a want of room, when it was or was not before.
pub fn is_short(too_much: u32, before: bool) -> bool {
    too_much > if before { TOLD.1 } else { TOLD.0 }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use proptest::test_runner::RngSeed;

    use super::*;

    #[test]
    fn what_is_asked_is_the_mean_of_the_last_seconds() {
        let mut demand = Demand::default();
        demand.mark(1_000, Tick(0));
        assert!(demand.rate().abs() < 1e-9, "nothing is known yet");
        for second in 1..=20 {
            demand.mark(1_000 + second * 50, Tick(second * 1_000_000));
            assert!((demand.rate() - 50.0).abs() < 1e-9);
        }
        for second in 21..=25 {
            demand.mark(2_000, Tick(second * 1_000_000));
        }
        assert!(demand.rate().abs() < 1e-9, "and of no others");
    }

    #[test]
    fn what_is_too_much_is_what_is_beyond_each_tiers_room() {
        let of = |demand, shares: &[u32], room: &[f64]| too_much(demand, shares, room);
        assert_eq!(of(100.0, &[100], &[100.0]), 0);
        assert_eq!(of(200.0, &[100], &[100.0]), 5_000);
        assert_eq!(of(200.0, &[0, 100], &[500.0, 150.0]), 2_500, "who has no share has no say");
        // 120 and 80 of a hundred each.
        assert_eq!(of(200.0, &[60, 40], &[100.0, 100.0]), 1_000);
        assert_eq!(of(200.0, &[100], &[0.0]), 0, "nobody serves at all");
        assert_eq!(of(0.0, &[100], &[10.0]), 0);
    }

    #[test]
    fn who_is_just_at_the_limit_is_not_told_of_all_the_time() {
        assert!(!is_short(150, false) && is_short(201, false));
        assert!(is_short(150, true) && !is_short(0, true));
    }

    proptest! {
        #![proptest_config(ProptestConfig { rng_seed: RngSeed::Fixed(6), ..ProptestConfig::default() })]
        #[test]
        fn what_passes_fits(
            demand in 0.0_f64..10_000.0,
            share in 0_u32..=100,
            room in prop::collection::vec(1.0_f64..5_000.0, 2),
        ) {
            let shares = [share, 100 - share];
            let part = f64::from(too_much(demand, &shares, &room)) / f64::from(ALL);
            let passes = demand * (1.0 - part);
            prop_assert!(passes <= room.iter().sum::<f64>() + demand / f64::from(ALL) + 1e-6);
            let more = too_much(demand + 1.0, &shares, &room);
            prop_assert!(f64::from(more) / f64::from(ALL) >= part - 1e-3);
        }
    }
}
