//! Graduated spill: how much each tier of backends carries when the tiers before it are not whole.
//!
//! The arithmetic is Envoy's, kept exactly because it is proven (priority levels with an
//! overprovisioning factor of 1.4): a tier with 72 % of its backends eligible still carries all, one with
//! half of them 70 % of the requests, and the next tier gets the rest. Away from a tier that is failing the
//! load moves at once; back to it, 25 points every 10 s.

use std::time::Duration;

use crate::model::Tick;

/// How much more than its share each backend can carry, in percent.
const OVERPROVISIONED: u64 = 140;

/// By how many points the load may move back at once.
const RISE: u32 = 25;

/// After this time it may move back again.
const RISE_EVERY: Duration = Duration::from_secs(10);

/// The backends of one tier that the operator has in service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Tier {
    /// Those that may be picked.
    pub eligible: usize,
    /// All of them.
    pub total: usize,
    /// Those that are eligible are good for less than is asked of the upstream.
    pub small: bool,
}

impl Tier {
    /// How much of all requests it can carry, in percent.
    pub fn health(self) -> u32 {
        if self.total == 0 {
            return 0;
        }
        let health = OVERPROVISIONED * self.eligible as u64 / self.total as u64;
        u32::try_from(health.min(100)).unwrap_or(100)
    }
}

/// Whether all tiers together can carry all requests. Only if they cannot may an upstream panic.
pub fn suffices(tiers: &[Tier]) -> bool {
    tiers.iter().map(|tier| tier.health()).sum::<u32>() >= 100
}

/// What degraded backends carry of all requests, in percent: as much as those that are well cannot, or in
/// proportion where both together cannot carry all. 0 when those that are well suffice, or nobody is.
pub fn degraded(well: &[Tier], degraded: &[Tier]) -> u32 {
    let health = |tiers: &[Tier]| tiers.iter().map(|tier| tier.health()).sum::<u32>().min(100);
    let (well, degraded) = (health(well), health(degraded));
    if well == 0 {
        return 0;
    }
    let left = (100 - well).min(degraded);
    left * 100 / (well + left)
}

/// What each tier carries, in percent: tiers are filled in order up to their health. If that is not enough
/// for all requests, each carries in proportion to its health. The sum is 100, or 0 when nobody is
/// eligible.
pub fn loads(tiers: &[Tier]) -> Vec<u32> {
    let sum: u32 = tiers.iter().map(|tier| tier.health()).sum::<u32>().min(100);
    if sum == 0 {
        return vec![0; tiers.len()];
    }
    let mut left = 100;
    let mut loads: Vec<u32> = tiers
        .iter()
        .map(|tier| {
            let load = (tier.health() * 100 / sum).min(left);
            left -= load;
            load
        })
        .collect();
    // What rounding left over goes to the first that can serve.
    if let Some(first) = tiers.iter().position(|tier| tier.health() > 0) {
        loads[first] += left;
    }
    loads
}

/// The loads in force, on their way to those that the tiers' health asks for.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Ramp {
    shares: Vec<u32>,
    raised: Option<Tick>,
}

impl Ramp {
    /// What each tier carries now, in percent.
    pub fn shares(&self) -> &[u32] {
        &self.shares
    }

    /// Follows the tiers' health; gives when to look again, if the loads are not yet as they shall be.
    pub fn follow(&mut self, tiers: &[Tier], now: Tick) -> Option<Tick> {
        let target = loads(tiers);
        let held = self.shares.len() == target.len() && self.shares.iter().sum::<u32>() == 100;
        if !held || target.iter().sum::<u32>() == 0 {
            *self = Self { shares: target, raised: None };
            return None;
        }
        let may_rise = self.raised.is_none_or(|raised| now >= raised.after(RISE_EVERY));
        let step = if may_rise { RISE } else { 0 };
        let next = stepped(&self.shares, &target, step);
        let carries =
            |(share, (target, tier)): (&u32, (&u32, &Tier))| *share <= (*target).max(tier.health());
        if !next.iter().zip(target.iter().zip(tiers)).all(carries) {
            // Who shall hold on for a while cannot.
            *self = Self { shares: target, raised: Some(now) };
            return None;
        }
        if rises(&self.shares, &next) {
            self.raised = Some(now);
        }
        self.shares = next;
        let at = self.raised.unwrap_or(now).after(RISE_EVERY);
        (self.shares != target).then_some(at)
    }
}

/// The loads on the way from `now` to `target`: together, the first tiers of the list get at most `step`
/// points more than they have, however many they are.
fn stepped(now: &[u32], target: &[u32], step: u32) -> Vec<u32> {
    let (mut had, mut wanted, mut given) = (0, 0, 0);
    let mut next = Vec::with_capacity(now.len());
    for (place, (now, target)) in now.iter().zip(target).enumerate() {
        had += now;
        wanted += target;
        let last = place + 1 == next.capacity();
        let together = if last { 100 } else { wanted.min(had + step) };
        next.push(together - given);
        given = together;
    }
    next
}

/// Whether the load moves back, to a tier further ahead.
fn rises(before: &[u32], now: &[u32]) -> bool {
    let (mut had, mut has) = (0, 0);
    before.iter().zip(now).any(|(before, now)| {
        had += before;
        has += now;
        has > had
    })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn the_degraded_carry_what_the_others_cannot() {
        let of = |eligible, total| [tier(eligible, total)];
        // Of ten, so many are well, and so many degraded.
        let share = |well, sick| degraded(&of(well, 10), &of(sick, 10));
        assert_eq!([share(10, 0), share(8, 2), share(7, 3), share(5, 5)], [0, 0, 2, 30]);
        assert_eq!([share(1, 9), share(0, 9)], [86, 0]);
        // Together they are good for 42 % of the requests: two of three of them at those that are well.
        assert_eq!(share(2, 1), 33);
        let two_tiers = [tier(1, 2), tier(1, 2)];
        assert_eq!(degraded(&two_tiers, &of(1, 2)), 0, "a later tier that is well goes before");
    }

    fn tier(eligible: usize, total: usize) -> Tier {
        Tier { eligible, total, small: false }
    }

    fn at(seconds: u64) -> Tick {
        Tick(seconds * 1_000_000)
    }

    #[test]
    fn a_tier_carries_all_down_to_72_percent() {
        for (eligible, health) in [(100, 100), (72, 100), (71, 99), (50, 70), (25, 35), (0, 0)] {
            assert_eq!(tier(eligible, 100).health(), health, "{eligible} %");
        }
        assert_eq!(tier(0, 0).health(), 0);
    }

    #[test]
    fn the_next_tier_gets_the_rest() {
        for (tiers, expected) in [
            (vec![tier(72, 100), tier(100, 100)], vec![100, 0]),
            (vec![tier(71, 100), tier(100, 100)], vec![99, 1]),
            (vec![tier(50, 100), tier(100, 100)], vec![70, 30]),
            (vec![tier(25, 100), tier(100, 100)], vec![35, 65]),
            (vec![tier(0, 100), tier(100, 100)], vec![0, 100]),
            // 35 + 35 = 70: each carries its half of all.
            (vec![tier(25, 100), tier(25, 100)], vec![50, 50]),
            // 7 + 28 = 35: a fifth and four fifths.
            (vec![tier(5, 100), tier(20, 100)], vec![20, 80]),
            (vec![tier(25, 100), tier(25, 100), tier(100, 100)], vec![35, 35, 30]),
            (vec![tier(0, 5), tier(0, 5)], vec![0, 0]),
            (vec![tier(0, 0), tier(1, 3)], vec![0, 100]),
            (vec![tier(1, 3)], vec![100]),
        ] {
            assert_eq!(loads(&tiers), expected, "{tiers:?}");
        }
        assert!(suffices(&[tier(50, 100), tier(25, 100)]));
        assert!(!suffices(&[tier(50, 100), tier(15, 100)]));
    }

    #[test]
    fn the_load_leaves_at_once_and_comes_back_by_25_points_every_10_seconds() {
        let (whole, none) = (tier(4, 4), tier(0, 4));
        let mut ramp = Ramp::default();
        let mut shares = |first, seconds| {
            let again = ramp.follow(&[first, whole], at(seconds));
            (ramp.shares().to_vec(), again.map(|again| again.0 / 1_000_000))
        };
        assert_eq!(shares(whole, 0), (vec![100, 0], None));
        assert_eq!(shares(none, 1), (vec![0, 100], None));
        assert_eq!(shares(whole, 2), (vec![25, 75], Some(12)));
        assert_eq!(shares(whole, 5), (vec![25, 75], Some(12)));
        assert_eq!(shares(whole, 12), (vec![50, 50], Some(22)));
        assert_eq!(shares(none, 13), (vec![0, 100], None), "away at once, in the middle of it");
        assert_eq!(shares(whole, 22), (vec![25, 75], Some(32)));
        assert_eq!(shares(whole, 32), (vec![50, 50], Some(42)));
        assert_eq!(shares(whole, 42), (vec![75, 25], Some(52)));
        assert_eq!(shares(whole, 52), (vec![100, 0], None));
    }

    #[test]
    fn who_cannot_hold_on_is_relieved_at_once() {
        let mut ramp = Ramp::default();
        ramp.follow(&[tier(0, 4), tier(4, 4)], at(0));
        ramp.follow(&[tier(4, 4), tier(0, 4)], at(1));
        assert_eq!(ramp.shares(), [100, 0]);
    }

    fn tiers() -> impl Strategy<Value = Vec<Tier>> {
        let one = (0_usize..=10, 1_usize..=10);
        prop::collection::vec(one.prop_map(|(eligible, total)| tier(eligible.min(total), total)), 3)
    }

    proptest! {
        #[test]
        fn loads_are_whole_and_only_on_those_who_can_serve(tiers in tiers()) {
            let loads = loads(&tiers);
            let anybody = tiers.iter().any(|tier| tier.eligible > 0);
            prop_assert_eq!(loads.iter().sum::<u32>(), if anybody { 100 } else { 0 });
            for (load, tier) in loads.iter().zip(&tiers) {
                prop_assert!(*load == 0 || tier.health() > 0);
            }
        }

        #[test]
        fn the_ramp_arrives_and_never_moves_back_too_fast(
            story in prop::collection::vec((tiers(), 0_u64..15), 1..30),
        ) {
            let mut ramp = Ramp::default();
            let mut now = 0;
            for (tiers, later) in &story {
                now += later;
                let before = ramp.clone();
                ramp.follow(tiers, at(now));
                let target = loads(tiers);
                prop_assert_eq!(ramp.shares().iter().sum::<u32>(), target.iter().sum::<u32>());
                if ramp.shares() != target {
                    let risen = before.shares().iter().zip(ramp.shares()).scan(
                        (0, 0),
                        |sums, (before, after)| {
                            *sums = (sums.0 + before, sums.1 + after);
                            Some(sums.1.saturating_sub(sums.0))
                        },
                    );
                    prop_assert!(risen.max().unwrap_or(0) <= RISE);
                }
            }
            let (last, _) = &story[story.len() - 1];
            let mut left = 10;
            while let Some(again) = ramp.follow(last, at(now)) {
                prop_assert!(again.0 <= at(now).0 + 10_000_000 && left > 0);
                (now, left) = (now + 10, left - 1);
            }
            prop_assert_eq!(ramp.shares(), loads(last));
        }
    }
}
