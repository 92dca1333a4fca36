//! A tier under test.

use std::sync::Arc;

use crate::balance::{
    Candidate, Cursor, Key, Live, Lives, Need, OwnedInFlight, Pick, Plan, Rng, Settings, Strategy,
    Tried,
};
use crate::model::{BackendId, BackendIx, Tick, Weight, WorkerIx};

/// A tier under test: backends, their counters and one worker.
pub(in crate::balance) struct Bed {
    pub(in crate::balance) settings: Settings,
    /// In file order; a backend's `ix` is its number in the order of making.
    pub(super) backends: Vec<Backend>,
    pub(in crate::balance) plan: Plan,
    pub(in crate::balance) cursor: Cursor,
    pub(in crate::balance) live: Lives,
    pub(in crate::balance) tried: Tried,
    pub(in crate::balance) now: Tick,
    pub(super) rng: Rng,
    pub(super) requests: u64,
}

#[derive(Clone)]
pub(super) struct Backend {
    ix: u32,
    label: String,
    weight: u32,
    pub(super) eligible: bool,
    pub(super) max_connections: u32,
}

impl Bed {
    pub(in crate::balance) fn weighted(strategy: Strategy, weights: &[u32]) -> Self {
        Self::new(Settings { strategy, choices: 1, ..Settings::default() }, weights)
    }

    pub(in crate::balance) fn two_choices(weights: &[u32]) -> Self {
        let strategy = Strategy::Random;
        Self::new(Settings { strategy, choices: 2, ..Settings::default() }, weights)
    }

    pub(in crate::balance) fn bounded(weights: &[u32], factor: f64) -> Self {
        let strategy = Strategy::ConsistentHash;
        Self::new(
            Settings { strategy, choices: 1, bounded_load: Some(factor), ..Settings::default() },
            weights,
        )
    }

    pub(in crate::balance) fn sized(weights: &[u32], table_size: u32) -> Self {
        Self::new(
            Settings { strategy: Strategy::Maglev, table_size, ..Settings::default() },
            weights,
        )
    }

    pub(in crate::balance) fn labelled(strategy: Strategy, backends: &[(&str, u32)]) -> Self {
        let settings = Settings { strategy, choices: 1, ..Settings::default() };
        let label = |(label, weight): &(&str, u32)| ((*label).to_owned(), *weight);
        Self::of(settings, backends.iter().map(label))
    }

    pub(in crate::balance) fn new(settings: Settings, weights: &[u32]) -> Self {
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
    pub(in crate::balance) fn rebuild(&mut self) {
        self.plan = self.plan.rebuild(&self.settings, &candidates(&self.backends));
        self.plan.refit(&mut self.cursor);
    }

    fn backend(&mut self, ix: usize) -> &mut Backend {
        self.backends.iter_mut().find(|backend| backend.ix as usize == ix).unwrap()
    }

    pub(in crate::balance) fn set_eligible(&mut self, ix: usize, eligible: bool) {
        self.backend(ix).eligible = eligible;
        self.rebuild();
    }

    /// How many requests each may have in flight, 0 for any number.
    pub(in crate::balance) fn limit(&mut self, limits: &[u32]) {
        for (backend, limit) in self.backends.iter_mut().zip(limits) {
            backend.max_connections = *limit;
        }
        self.rebuild();
    }

    /// A new file with the backends in this order; those not named are gone.
    pub(in crate::balance) fn reorder(&mut self, order: &[usize]) {
        self.backends = order.iter().map(|ix| self.backend(*ix).clone()).collect();
        self.rebuild();
    }

    /// Fills a backend: as many requests in flight as it may have.
    pub(super) fn fill(&mut self, ix: usize) -> OwnedInFlight {
        self.backend(ix).max_connections = 1;
        self.rebuild();
        self.live[ix].enter_owned()
    }

    /// Puts so many requests in flight at each backend.
    pub(in crate::balance) fn hold(&self, loads: &[u32]) -> Vec<OwnedInFlight> {
        let at = |(live, load): (&Arc<Live>, &u32)| {
            (0..*load).map(|_| live.enter_owned()).collect::<Vec<_>>()
        };
        self.live.iter().zip(loads).flat_map(at).collect()
    }

    pub(in crate::balance) fn pick_key(&mut self, key: Key<'_>) -> Option<u32> {
        let mut pick =
            Pick { key, live: &self.live, tried: &self.tried, now: self.now, rng: &mut self.rng };
        self.plan.pick(&mut self.cursor, &mut pick).map(|ix| ix.0)
    }

    /// A pick for the next of a stream of requests that differ in all that a strategy may look at.
    pub(in crate::balance) fn pick(&mut self) -> Option<u32> {
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

    pub(in crate::balance) fn picks(&mut self, n: usize) -> Vec<u32> {
        (0..n).map(|_| self.pick().unwrap()).collect()
    }

    /// How often each backend is picked.
    pub(in crate::balance) fn hits(&mut self, picks: u32) -> Vec<u32> {
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

pub(in crate::balance) fn keys(n: u32) -> impl Iterator<Item = String> {
    (0..n).map(|n| format!("/path/{n}?q={}", n * 7))
}
