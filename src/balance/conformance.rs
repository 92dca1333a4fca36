//! One suite over all strategies: what a strategy must do, whichever it is. A ninth one is a row in
//! [`variants`].

use std::collections::BTreeSet;
use std::sync::Arc;

use proptest::prelude::*;
use proptest::strategy::Strategy as _;

use super::strategy::Strategy;
use super::{
    Candidate, Cursor, Key, Live, Lives, Need, OwnedInFlight, Pick, Plan, Rng, Settings, Tried,
};
use crate::model::{BackendId, BackendIx, Tick, Weight, WorkerIx};

/// A tier under test: backends, their counters and one worker.
pub(super) struct Bed {
    settings: Settings,
    /// In file order; a backend's `ix` is its number in the order of making.
    backends: Vec<Backend>,
    pub(super) plan: Plan,
    pub(super) cursor: Cursor,
    pub(super) live: Lives,
    pub(super) tried: Tried,
    pub(super) now: Tick,
    rng: Rng,
    requests: u64,
}

#[derive(Clone)]
struct Backend {
    ix: u32,
    label: String,
    weight: u32,
    eligible: bool,
    max_connections: u32,
}

impl Bed {
    pub(super) fn weighted(strategy: Strategy, weights: &[u32]) -> Self {
        Self::new(Settings { strategy, choices: 1, ..Settings::default() }, weights)
    }

    pub(super) fn two_choices(weights: &[u32]) -> Self {
        let strategy = Strategy::Random;
        Self::new(Settings { strategy, choices: 2, ..Settings::default() }, weights)
    }

    pub(super) fn bounded(weights: &[u32], factor: f64) -> Self {
        let strategy = Strategy::ConsistentHash;
        Self::new(
            Settings { strategy, choices: 1, bounded_load: Some(factor), ..Settings::default() },
            weights,
        )
    }

    pub(super) fn labelled(strategy: Strategy, backends: &[(&str, u32)]) -> Self {
        let settings = Settings { strategy, choices: 1, ..Settings::default() };
        let label = |(label, weight): &(&str, u32)| ((*label).to_owned(), *weight);
        Self::of(settings, backends.iter().map(label))
    }

    pub(super) fn new(settings: Settings, weights: &[u32]) -> Self {
        let label = |n: u32| format!("10.0.{}.{}:80", n / 250, n % 250 + 1);
        Self::of(settings, (0..).zip(weights).map(|(n, weight)| (label(n), *weight)))
    }

    fn of(settings: Settings, backends: impl Iterator<Item = (String, u32)>) -> Self {
        let backends: Vec<Backend> = (0..)
            .zip(backends)
            .map(|(ix, (label, weight))| Backend {
                ix,
                label,
                weight,
                eligible: true,
                max_connections: 0,
            })
            .collect();
        let plan = Plan::build(&settings, &candidates(&backends));
        Self {
            cursor: plan.cursor(WorkerIx(0), 0),
            live: Lives::new(backends.len()),
            tried: Tried::new(),
            now: Tick(1_000_000),
            rng: Rng::new(1),
            requests: 0,
            settings,
            backends,
            plan,
        }
    }

    /// What happens at a change of health or configuration.
    pub(super) fn rebuild(&mut self) {
        self.plan = self.plan.rebuild(&self.settings, &candidates(&self.backends));
        self.plan.refit(&mut self.cursor);
    }

    fn backend(&mut self, ix: usize) -> &mut Backend {
        self.backends.iter_mut().find(|backend| backend.ix as usize == ix).unwrap()
    }

    pub(super) fn set_eligible(&mut self, ix: usize, eligible: bool) {
        self.backend(ix).eligible = eligible;
        self.rebuild();
    }

    /// How many requests each may have in flight, 0 for any number.
    pub(super) fn limit(&mut self, limits: &[u32]) {
        for (backend, limit) in self.backends.iter_mut().zip(limits) {
            backend.max_connections = *limit;
        }
        self.rebuild();
    }

    /// A new file with the backends in this order; those not named are gone.
    pub(super) fn reorder(&mut self, order: &[usize]) {
        self.backends = order.iter().map(|ix| self.backend(*ix).clone()).collect();
        self.rebuild();
    }

    /// Fills a backend: as many requests in flight as it may have.
    fn fill(&mut self, ix: usize) -> OwnedInFlight {
        self.backend(ix).max_connections = 1;
        self.rebuild();
        self.live[ix].enter_owned()
    }

    /// Puts so many requests in flight at each backend.
    pub(super) fn hold(&self, loads: &[u32]) -> Vec<OwnedInFlight> {
        let at = |(live, load): (&Arc<Live>, &u32)| {
            (0..*load).map(|_| live.enter_owned()).collect::<Vec<_>>()
        };
        self.live.iter().zip(loads).flat_map(at).collect()
    }

    pub(super) fn pick_key(&mut self, key: Key<'_>) -> Option<u32> {
        let mut pick =
            Pick { key, live: &self.live, tried: &self.tried, now: self.now, rng: &mut self.rng };
        self.plan.pick(&mut self.cursor, &mut pick).map(|ix| ix.0)
    }

    /// A pick for the next of a stream of requests that differ in all that a strategy may look at.
    pub(super) fn pick(&mut self) -> Option<u32> {
        self.requests += 1;
        match self.settings.strategy.needs() {
            Need::Nothing => self.pick_key(Key::None),
            Need::ClientAddress => {
                let address = Rng::new(self.requests).next_u64() as u32;
                self.pick_key(Key::Address(std::net::Ipv4Addr::from(address).into()))
            }
            Need::Key => self.pick_key(Key::Bytes(format!("/item/{}", self.requests).as_bytes())),
        }
    }

    pub(super) fn picks(&mut self, n: usize) -> Vec<u32> {
        (0..n).map(|_| self.pick().unwrap()).collect()
    }

    /// How often each backend is picked.
    pub(super) fn hits(&mut self, picks: u32) -> Vec<u32> {
        let mut hits = vec![0; self.live.len()];
        for _ in 0..picks {
            hits[self.pick().unwrap() as usize] += 1;
        }
        hits
    }
}

fn candidates(backends: &[Backend]) -> Vec<Candidate<'_>> {
    backends
        .iter()
        .map(|backend| Candidate {
            ix: BackendIx(backend.ix),
            id: BackendId(u64::from(backend.ix) + 1_000),
            label: &backend.label,
            weight: Weight::try_from(i64::from(backend.weight)).unwrap(),
            eligible: backend.eligible,
            max_connections: backend.max_connections,
            failures: None,
        })
        .collect()
}

pub(super) fn keys(n: u32) -> impl Iterator<Item = String> {
    (0..n).map(|n| format!("/path/{n}?q={}", n * 7))
}

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
            Strategy::WeightedRoundRobin | Strategy::LeastConnections | Strategy::Random => true,
            // Even shares whatever the weights.
            Strategy::RoundRobin
            // By cost: an idle heavier backend is always the cheaper one.
            | Strategy::LeastResponseTime
            // By key.
            | Strategy::IpHash | Strategy::UrlHash | Strategy::ConsistentHash => false,
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
fn the_order_of_the_file_does_not_move_keys_on_the_ring() {
    let mut bed = Bed::weighted(Strategy::ConsistentHash, &[3, 2, 9, 5, 1]);
    let before: Vec<_> = keys(5_000).map(|k| bed.pick_key(Key::Bytes(k.as_bytes()))).collect();
    bed.reorder(&[4, 2, 0, 1, 3]);
    let after: Vec<_> = keys(5_000).map(|k| bed.pick_key(Key::Bytes(k.as_bytes()))).collect();
    assert_eq!(before, after);
}

/// Gone from the file, not only ineligible: the ring itself is another.
#[test]
fn a_backend_that_leaves_the_ring_moves_its_own_keys_only() {
    let mut bed = Bed::weighted(Strategy::ConsistentHash, &[1; 10]);
    let pick_all = |bed: &mut Bed| -> Vec<u32> {
        keys(5_000).map(|k| bed.pick_key(Key::Bytes(k.as_bytes())).unwrap()).collect()
    };
    let before = pick_all(&mut bed);
    let without = {
        let order: Vec<usize> = (0..10).filter(|ix| *ix != 4).collect();
        let mut smaller = Bed::weighted(Strategy::ConsistentHash, &[1; 10]);
        smaller.reorder(&order);
        pick_all(&mut smaller)
    };
    bed.set_eligible(4, false);
    let out = pick_all(&mut bed);
    for ((before, without), out) in before.iter().zip(&without).zip(&out) {
        assert_ne!(*without, 4);
        if *before != 4 {
            assert_eq!((without, out), (before, before));
        }
        // To be out and to be gone is the same to a key.
        assert_eq!(without, out);
    }
    assert!(before.contains(&4));
    bed.set_eligible(4, true);
    assert_eq!(pick_all(&mut bed), before);
}

/// The modulo hashes move keys when the list changes, but not when health does.
#[test]
fn a_backend_that_is_down_moves_its_own_keys_only() {
    for strategy in [Strategy::IpHash, Strategy::UrlHash, Strategy::ConsistentHash] {
        let mut bed = Bed::weighted(strategy, &[3, 1, 2, 1, 1]);
        let pick_all = |bed: &mut Bed| {
            bed.requests = 0;
            bed.picks(2_000)
        };
        let before = pick_all(&mut bed);
        bed.set_eligible(2, false);
        for (before, after) in before.iter().zip(pick_all(&mut bed)) {
            assert!(after != 2 && (*before == 2 || *before == after), "{strategy:?}");
        }
        bed.set_eligible(2, true);
        assert_eq!(pick_all(&mut bed), before);
    }
}

#[test]
fn the_same_key_goes_to_the_same_backend_whoever_picks() {
    for settings in variants().into_iter().filter(|s| s.strategy.needs() != Need::Nothing) {
        let mut one = Bed::new(settings.clone(), &[3, 1, 2, 1, 1, 4]);
        let mut other = Bed::new(settings.clone(), &[3, 1, 2, 1, 1, 4]);
        other.cursor = other.plan.cursor(WorkerIx(3), 77);
        other.rng = Rng::new(1_234);
        let first = one.picks(1_000);
        assert_eq!(first, other.picks(1_000), "{settings:?}");
        one.requests = 0;
        assert_eq!(first, one.picks(1_000), "{settings:?}");
        assert_eq!(first.into_iter().collect::<BTreeSet<_>>().len(), 6, "{settings:?}");
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
