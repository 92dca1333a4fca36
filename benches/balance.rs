//! What a pick costs and how the cost grows: all strategies, 1 to 10,000 backends, all up, every tenth
//! down, or all busy; and what it costs to make a plan.
//!
//! `cargo bench --bench balance`; one part with, say, `-- pick/random/64`.

#![allow(missing_docs, reason = "criterion's macros make public functions")]
#![allow(clippy::unwrap_used, reason = "constants")]

use std::hint::black_box;
use std::time::Duration;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use plimsoll::balance::{
    Candidate, Cursor, Key, Lives, Need, OwnedInFlight, Pick, Plan, Rng, Settings, Strategy, Tried,
};
use plimsoll::model::{BackendId, BackendIx, Tick, Weight, WorkerIx};

const SIZES: [u32; 5] = [1, 4, 64, 512, 10_000];
/// Different requests, so that no branch predictor learns them.
const REQUESTS: usize = 4_096;

#[derive(Clone, Copy)]
enum Condition {
    AllUp,
    TenthDown,
    /// Nobody is idle: 1 to 3 requests are in flight at each.
    AllBusy,
}

impl Condition {
    fn name(self) -> &'static str {
        match self {
            Self::AllUp => "all_up",
            Self::TenthDown => "tenth_down",
            Self::AllBusy => "all_busy",
        }
    }

    /// The first stays up, so that one backend is enough.
    fn is_up(self, n: u32) -> bool {
        !matches!(self, Self::TenthDown) || n % 10 != 5
    }
}

/// What is measured, by name.
fn variants() -> impl Iterator<Item = (&'static str, Settings)> {
    let settings = |strategy| Settings { strategy, choices: 2, ..Settings::default() };
    let bounded = Settings { bounded_load: Some(1.25), ..settings(Strategy::ConsistentHash) };
    let plain = Strategy::ALL.map(|strategy| (strategy.name(), settings(strategy)));
    plain.into_iter().chain([("consistent_hash_bounded", bounded)])
}

fn labels(backends: u32) -> Vec<String> {
    (0..backends).map(|n| format!("10.{}.{}.1:8080", n / 250, n % 250)).collect()
}

/// Weights 1, 2 and 3 by turns; for the ring 1 for all, so that its size is what the name says.
fn candidates(strategy: Strategy, labels: &[String], condition: Condition) -> Vec<Candidate<'_>> {
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
            eligible: condition.is_up(n),
            max_connections: 0,
            failures: None,
        })
        .collect()
}

/// A worker with a plan and a stream of requests.
struct Worker {
    plan: Plan,
    cursor: Cursor,
    live: Lives,
    _busy: Vec<OwnedInFlight>,
    tried: Tried,
    rng: Rng,
    addresses: Vec<std::net::IpAddr>,
    urls: Vec<String>,
    needs: Need,
    request: usize,
}

impl Worker {
    fn new(settings: &Settings, backends: u32, condition: Condition) -> Self {
        let labels = labels(backends);
        let plan = Plan::build(settings, &candidates(settings.strategy, &labels, condition));
        let live = Lives::new(backends as usize);
        let mut rng = Rng::new(1);
        let mut busy = Vec::new();
        for live in live.iter() {
            live.observe(Duration::from_micros(u64::from(rng.below(20_000))), Tick(0));
            if matches!(condition, Condition::AllBusy) {
                busy.extend((0..=rng.below(3)).map(|_| live.enter_owned()));
            }
        }
        let address = |_| std::net::Ipv4Addr::from(rng.next_u64() as u32).into();
        Self {
            cursor: plan.cursor(WorkerIx(0), 0),
            plan,
            live,
            _busy: busy,
            tried: Tried::new(),
            addresses: (0..REQUESTS).map(address).collect(),
            urls: (0..REQUESTS).map(|n| format!("/catalogue/item/{n}?page={}", n % 17)).collect(),
            needs: settings.strategy.needs(),
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
    for (name, settings) in variants() {
        for backends in SIZES {
            for condition in [Condition::AllUp, Condition::TenthDown, Condition::AllBusy] {
                let mut worker = Worker::new(&settings, backends, condition);
                let parameter = format!("{backends}/{}", condition.name());
                group.bench_function(BenchmarkId::new(name, parameter), |b| {
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
    for (name, settings) in variants() {
        for backends in [64, 10_000] {
            let labels = labels(backends);
            let all_up = candidates(settings.strategy, &labels, Condition::AllUp);
            let changed = candidates(settings.strategy, &labels, Condition::TenthDown);
            let name = |what: &str| BenchmarkId::new(name, format!("{backends}/{what}"));
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
