//! One suite over all strategies: what a strategy must do, whichever it is. A further one is a row in
//! [`variants`].

mod affinity;
mod bed;

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use super::strategy::Strategy;
use super::{OwnedInFlight, Rng, Settings};
use crate::model::{BackendIx, WorkerIx};

pub(super) use bed::{Bed, keys};

/// All that an operator can choose.
fn variants() -> Vec<Settings> {
    let plain = |strategy| Settings { strategy, choices: 1, ..Settings::default() };
    let mut all: Vec<Settings> = Strategy::ALL.into_iter().map(plain).collect();
    all.push(Settings { choices: 2, ..plain(Strategy::Random) });
    all.push(Settings { bounded_load: Some(1.25), ..plain(Strategy::ConsistentHash) });
    all
}

/// Those whose shares follow the weights while loads are steady.
fn by_weight() -> Vec<Settings> {
    variants()
        .into_iter()
        .filter(|settings| match settings.strategy {
            Strategy::WeightedRoundRobin
            | Strategy::LeastConnections
            | Strategy::Random
            | Strategy::Prequal => true,
            // Even shares whatever the weights.
            Strategy::RoundRobin
            // By cost: an idle heavier backend is always the cheaper one.
            | Strategy::LeastResponseTime
            // By key.
            | Strategy::IpHash
            | Strategy::UrlHash
            | Strategy::ConsistentHash
            | Strategy::Maglev => false,
        })
        .collect()
}

/// For a ring, weights of at most `most`: in an unoptimised build a ring of the heaviest takes seconds.
fn lighter(settings: &Settings, weights: &[u32], most: u32) -> Vec<u32> {
    let is_ring = settings.strategy == Strategy::ConsistentHash;
    weights.iter().map(|weight| if is_ring { *weight.min(&most) } else { *weight }).collect()
}

const PICKS: u32 = 100_000;

/// Pearson's chi-square of hits against weights, where 0 must have no hits. A fair draw exceeds 30 and 2
/// for each backend less than once in a million times.
fn assert_shares(settings: &Settings, hits: &[u32], weights: &[u32]) {
    let picks: u32 = hits.iter().sum();
    let total: u32 = weights.iter().sum();
    let mut chi_square = 0.0;
    for (hits, weight) in hits.iter().zip(weights) {
        if *weight == 0 {
            assert_eq!(*hits, 0, "{settings:?}");
            continue;
        }
        let expected = f64::from(picks) * f64::from(*weight) / f64::from(total);
        chi_square += (f64::from(*hits) - expected).powi(2) / expected;
    }
    let most = 30.0 + 2.0 * weights.len() as f64;
    assert!(chi_square < most, "{settings:?}: {chi_square}, {hits:?} for {weights:?}");
}

#[test]
fn shares_follow_weights() {
    let many: Vec<u32> = (0..40).map(|n| n % 7 + 1).collect();
    for settings in by_weight() {
        for weights in
            [&[5, 1, 1][..], &[1; 12], &[7, 3, 2, 5, 1, 1, 9, 4], &[65_535, 40_000, 3_000], &many]
        {
            let mut bed = Bed::new(settings.clone(), weights);
            assert_shares(&settings, &bed.hits(PICKS), weights);
        }
    }
}

#[test]
fn round_robin_shares_evenly() {
    let mut bed = Bed::weighted(Strategy::RoundRobin, &[9, 1, 1, 1, 5]);
    assert_eq!(bed.hits(PICKS), [PICKS / 5; 5]);
    bed.set_eligible(2, false);
    assert_eq!(bed.hits(PICKS), [PICKS / 4, PICKS / 4, 0, PICKS / 4, PICKS / 4]);
}

/// Three ways to be out: by health, by having been tried, by being full.
#[test]
fn shares_follow_weights_around_a_hole() {
    type Dig = fn(&mut Bed) -> Option<OwnedInFlight>;
    let ways: [Dig; 3] = [
        |bed| {
            bed.set_eligible(2, false);
            None
        },
        |bed| {
            bed.tried.insert(BackendIx(2));
            None
        },
        |bed| Some(bed.fill(2)),
    ];
    for settings in by_weight() {
        for dig in ways {
            for weights in [[3, 2, 9, 5, 1], [1, 1, 1, 1, 1], [1_000, 200, 65_535, 5_000, 300]] {
                let mut bed = Bed::new(settings.clone(), &weights);
                let _full = dig(&mut bed);
                let mut left = weights;
                left[2] = 0;
                assert_shares(&settings, &bed.hits(PICKS), &left);
            }
        }
    }
}

#[test]
fn the_order_of_the_file_does_not_change_shares() {
    let weights = [3, 2, 9, 5, 1];
    for settings in by_weight() {
        let mut bed = Bed::new(settings.clone(), &weights);
        bed.reorder(&[4, 2, 0, 1, 3]);
        assert_shares(&settings, &bed.hits(PICKS), &weights);
    }
}

#[test]
fn nobody_gives_none() {
    for settings in variants() {
        let mut empty = Bed::new(settings.clone(), &[]);
        assert!(empty.plan.is_empty());
        assert_eq!(empty.pick(), None, "{settings:?}");
        let mut all_out = Bed::new(settings.clone(), &[1, 2]);
        assert!(!all_out.plan.is_empty());
        all_out.set_eligible(0, false);
        all_out.set_eligible(1, false);
        assert!(all_out.plan.is_empty());
        assert_eq!(all_out.pick(), None, "{settings:?}");
    }
}

#[test]
fn one_backend_gets_everything() {
    for settings in variants() {
        let mut bed = Bed::new(settings.clone(), &[9]);
        assert_eq!(bed.hits(1_000), [1_000], "{settings:?}");
    }
}

/// However heavy those are that cannot be picked.
#[test]
fn the_last_one_left_is_always_found() {
    for settings in variants() {
        for weights in [&[1; 300][..], &[60_000, 1, 5_000], &[65_535, 65_534, 1, 65_535]] {
            let last = weights.len() - 1 - weights.len() / 3;
            let mut bed = Bed::new(settings.clone(), &lighter(&settings, weights, 400));
            for ix in (0..weights.len()).filter(|ix| *ix != last) {
                bed.tried.insert(BackendIx(ix as u32));
            }
            for _ in 0..200 {
                assert_eq!(bed.pick(), Some(last as u32), "{settings:?}");
            }
            bed.tried.insert(BackendIx(last as u32));
            assert_eq!(bed.pick(), None, "{settings:?}");
            bed.tried.clear();
            assert!(bed.pick().is_some(), "{settings:?}");
        }
    }
}

#[test]
fn ten_thousand_backends_are_served() {
    for settings in variants() {
        let weights: Vec<u32> = (0..10_000).map(|n| n % 7 + 1).collect();
        let mut bed = Bed::new(settings.clone(), &lighter(&settings, &weights, 1));
        let distinct: BTreeSet<u32> = bed.picks(2_000).into_iter().collect();
        // `ip_hash` has 6,271 values only, and their remainders fall on part of the weights.
        assert!(distinct.len() > 500, "{settings:?}: {}", distinct.len());
        bed.set_eligible(5_000, false);
        assert!(bed.picks(2_000).iter().all(|ix| *ix != 5_000));
    }
}

#[test]
fn a_cursor_finds_its_way_from_any_strategy_to_any_other() {
    for from in variants() {
        for to in variants() {
            let mut bed = Bed::new(from.clone(), &[3, 1, 2, 1]);
            bed.picks(5);
            bed.settings = to;
            bed.rebuild();
            let seen: BTreeSet<u32> = bed.picks(3_000).into_iter().collect();
            assert_eq!(seen.len(), 4, "{from:?} to {:?}", bed.settings);
            bed.reorder(&[3, 1, 0]);
            let seen: BTreeSet<u32> = bed.picks(400).into_iter().collect();
            assert_eq!(seen, BTreeSet::from([0, 1, 3]), "{from:?} to {:?}", bed.settings);
        }
    }
}

/// A backend in any condition.
#[derive(Debug, Clone)]
struct Condition {
    weight: u32,
    eligible: bool,
    tried: bool,
    full: bool,
}

fn any_condition() -> impl proptest::strategy::Strategy<Value = Condition> {
    let weight = prop_oneof![8 => 1_u32..20, 1 => 1_u32..=65_535];
    (weight, prop::bool::weighted(0.6), prop::bool::weighted(0.3), prop::bool::weighted(0.3))
        .prop_map(|(weight, eligible, tried, full)| Condition { weight, eligible, tried, full })
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(128))]

    #[test]
    fn only_usable_backends_are_picked_and_one_whenever_there_is_one(
        conditions in prop::collection::vec(any_condition(), 1..40),
        seed in any::<u64>(),
    ) {
        for mut settings in variants() {
            let weights: Vec<u32> = conditions.iter().map(|c| c.weight).collect();
            let weights = lighter(&settings, &weights, 4);
            settings.bounded_load = settings.bounded_load.map(|_| 1.1);
            settings.table_size = 1_009;
            let mut bed = Bed::new(settings.clone(), &weights);
            let mut held = Vec::new();
            for (ix, condition) in conditions.iter().enumerate() {
                bed.backends[ix].eligible = condition.eligible;
                bed.backends[ix].max_connections = 2;
                if condition.tried {
                    bed.tried.insert(BackendIx(ix as u32));
                }
                held.push(bed.live[ix].enter_owned());
                if condition.full {
                    held.push(bed.live[ix].enter_owned());
                }
            }
            bed.rebuild();
            bed.cursor = bed.plan.cursor(WorkerIx(2), seed);
            bed.rng = Rng::new(seed);
            let usable = |c: &Condition| c.eligible && !c.tried && !c.full;
            for _ in 0..50 {
                match bed.pick() {
                    Some(ix) => prop_assert!(usable(&conditions[ix as usize]), "{:?}", settings),
                    None => prop_assert!(!conditions.iter().any(usable), "{:?}", settings),
                }
            }
        }
    }
}
