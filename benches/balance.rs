//! What a pick costs and how the cost grows: eight strategies, 1 to 10,000 backends, all up or every
//! tenth down; and what it costs to make a plan.
//!
//! `cargo bench --bench balance`; one part with, say, `-- pick/random/64`.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "constants")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use plimsoll::balance::{
    Candidate, Cursor, Key, Live, Need, Pick, Plan, Rng, Settings, Strategy, Tried,
};
use plimsoll::model::{BackendId, BackendIx, Tick, Weight, WorkerIx};

const SIZES: [u32; 5] = [1, 8, 64, 512, 10_000];
/// Different requests, so that no branch predictor learns them.
const REQUESTS: usize = 4_096;

#[derive(Clone, Copy)]
enum Health {
    AllUp,
    TenthDown,
}

impl Health {
    fn name(self) -> &'static str {
        match self {
            Self::AllUp => "all_up",
            Self::TenthDown => "tenth_down",
        }
    }

    /// The first stays up, so that one backend is enough.
    fn is_up(self, n: u32) -> bool {
        matches!(self, Self::AllUp) || n % 10 != 5
    }
}

fn settings(strategy: Strategy) -> Settings {
    Settings { strategy, choices: 2, bounded_load: None }
}

fn labels(backends: u32) -> Vec<String> {
    (0..backends).map(|n| format!("10.{}.{}.1:8080", n / 250, n % 250)).collect()
}

/// Weights 1, 2 and 3 by turns; for the ring 1 for all, so that its size is what the name says.
fn candidates(strategy: Strategy, labels: &[String], health: Health) -> Vec<Candidate<'_>> {
    let weight = |n: u32| {
        if strategy == Strategy::ConsistentHash { 1 } else { n % 3 + 1 }
    };
    (0..)
        .zip(labels)
        .map(|(n, label)| Candidate {
            ix: BackendIx(n),
            id: BackendId(n.into()),
            label,
            weight: Weight::try_from(i64::from(weight(n))).unwrap(),
            eligible: health.is_up(n),
            max_connections: 0,
        })
        .collect()
}

/// A worker with a plan and a stream of requests.
struct Worker {
    plan: Plan,
    cursor: Cursor,
    live: Vec<Arc<Live>>,
    tried: Tried,
    rng: Rng,
    addresses: Vec<std::net::IpAddr>,
    urls: Vec<String>,
    needs: Need,
    request: usize,
}

impl Worker {
    fn new(strategy: Strategy, backends: u32, health: Health) -> Self {
        let labels = labels(backends);
        let plan = Plan::build(&settings(strategy), &candidates(strategy, &labels, health));
        let live: Vec<Arc<Live>> = (0..backends).map(|_| Arc::default()).collect();
        let mut rng = Rng::new(1);
        for live in &live {
            live.observe(Duration::from_micros(u64::from(rng.below(20_000))), Tick(0));
        }
        let address = |_| std::net::Ipv4Addr::from(rng.next_u64() as u32).into();
        Self {
            cursor: plan.cursor(WorkerIx(0), 0),
            plan,
            live,
            tried: Tried::new(),
            addresses: (0..REQUESTS).map(address).collect(),
            urls: (0..REQUESTS).map(|n| format!("/catalogue/item/{n}?page={}", n % 17)).collect(),
            needs: strategy.needs(),
            request: 0,
            rng,
        }
    }

    fn pick(&mut self) -> Option<BackendIx> {
        self.request = (self.request + 1) % REQUESTS;
        let key = match self.needs {
            Need::Nothing => Key::None,
            Need::ClientAddress => Key::Address(self.addresses[self.request]),
            Need::Key => Key::Bytes(self.urls[self.request].as_bytes()),
        };
        let now = Tick(self.request as u64);
        let mut pick = Pick { key, live: &self.live, tried: &self.tried, now, rng: &mut self.rng };
        self.plan.pick(&mut self.cursor, &mut pick)
    }
}

fn picks(c: &mut Criterion) {
    let mut group = c.benchmark_group("pick");
    for strategy in Strategy::ALL {
        for backends in SIZES {
            for health in [Health::AllUp, Health::TenthDown] {
                let mut worker = Worker::new(strategy, backends, health);
                let name = format!("{backends}/{}", health.name());
                group.bench_function(BenchmarkId::new(strategy.name(), name), |b| {
                    b.iter(|| black_box(worker.pick()));
                });
            }
        }
    }
    group.finish();
}

/// From nothing, and after a change of health.
fn plans(c: &mut Criterion) {
    let mut group = c.benchmark_group("plan");
    for strategy in Strategy::ALL {
        for backends in [64, 10_000] {
            let labels = labels(backends);
            let all_up = candidates(strategy, &labels, Health::AllUp);
            let changed = candidates(strategy, &labels, Health::TenthDown);
            let settings = settings(strategy);
            let name = |what: &str| BenchmarkId::new(strategy.name(), format!("{backends}/{what}"));
            group.bench_function(name("build"), |b| {
                b.iter(|| Plan::build(&settings, &all_up));
            });
            let plan = Plan::build(&settings, &all_up);
            group.bench_function(name("rebuild"), |b| {
                b.iter(|| plan.rebuild(&settings, &changed));
            });
        }
    }
    group.finish();
}

criterion_group! {
    name = benches;
    config = Criterion::default()
        .sample_size(20)
        .warm_up_time(Duration::from_millis(100))
        .measurement_time(Duration::from_millis(300));
    targets = picks, plans
}
criterion_main!(benches);
