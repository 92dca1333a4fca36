//! What a reload and a health event cost the control loop: building a snapshot, rebuilding one
//! upstream of it, publishing it, and what a reader pays to look for news.
//!
//! 10,000 backends, once as 100 upstreams of 100 and once as one upstream of 10,000.

use std::collections::BTreeSet;
use std::hint::black_box;
use std::sync::Arc;

use criterion::{BenchmarkId, Criterion, criterion_group, criterion_main};
use plimsoll::config::{self, Loaded};
use plimsoll::model::{BackendState, Generation, PassiveState, Tick, UpstreamIx};
use plimsoll::snapshot::build::{self, Addresses, Identities, Input, Known};
use plimsoll::snapshot::{Cell, Course, Snapshot};
use plimsoll::telemetry::Registry;

const BACKENDS: usize = 10_000;

struct World {
    loaded: Loaded,
    identities: Identities,
    addresses: Addresses,
    registry: Arc<Registry>,
}

impl World {
    fn new(upstreams: usize) -> Self {
        let head = "[[listener]]\naddress = \"127.0.0.1:0\"\n";
        let upstream = |u: usize| {
            let backend = |b: usize| {
                let (high, low) = (b / 256, b % 256);
                let address = format!("10.{}.{high}.{low}:80", u % 256);
                format!("[[upstream.u{u}.backend]]\naddress = \"{address}\"\n")
            };
            let route = format!("[[route]]\npath = \"/{u}\"\nupstream = \"u{u}\"\n");
            let backends: Vec<_> = (0..BACKENDS / upstreams).map(backend).collect();
            route + &backends.concat()
        };
        let parts: Vec<_> = (0..upstreams).map(upstream).collect();
        let text = head.to_owned() + &parts.concat();
        let loaded = config::parse("bench.toml", &text, &|_| None)
            .unwrap_or_else(|report| panic!("{report}"));
        Self {
            loaded,
            identities: Identities::default(),
            addresses: Addresses::new(),
            registry: Registry::new(1),
        }
    }

    fn build(&mut self, previous: Option<&Snapshot>) -> Snapshot {
        build::build(Input {
            config: &self.loaded.config,
            hash: self.loaded.hash,
            generation: Generation(1),
            previous,
            known: Known {
                states: &|_| None,
                orders: &std::collections::BTreeMap::default(),
                courses: &|_| Course::default(),
                addresses: &self.addresses,
                identities: &mut self.identities,
                registry: &self.registry,
                challenges: &Arc::default(),
            },
        })
    }

    /// The first backend of the first upstream is parked.
    fn rebuild(&mut self, previous: &Snapshot) -> Snapshot {
        let parked = previous.upstreams[0].backends[0].id;
        let passive = PassiveState::Parked { until: Tick(1) };
        let known = Known {
            orders: &std::collections::BTreeMap::default(),
            courses: &|_| Course::default(),
            states: &|id| {
                (id == parked).then_some(BackendState { passive, ..BackendState::default() })
            },
            addresses: &self.addresses,
            identities: &mut self.identities,
            registry: &self.registry,
            challenges: &Arc::default(),
        };
        build::rebuild(previous, &BTreeSet::from([UpstreamIx(0)]), Generation(2), known)
    }
}

fn snapshot(c: &mut Criterion) {
    for upstreams in [100, 1] {
        let mut world = World::new(upstreams);
        let first = world.build(None);
        let mut group = c.benchmark_group("snapshot");
        group.sample_size(20);
        let id = |what| BenchmarkId::new(what, format!("{upstreams}x{}", BACKENDS / upstreams));
        group.bench_function(id("build"), |b| b.iter(|| world.build(None)));
        group.bench_function(id("reload_unchanged"), |b| {
            b.iter(|| world.build(Some(&first)));
        });
        group.bench_function(id("rebuild_one"), |b| b.iter(|| world.rebuild(&first)));
        let cell = Cell::new(Snapshot::empty());
        let mut reader = cell.reader();
        group.bench_function(id("publish"), |b| {
            b.iter_batched(
                || world.rebuild(&first),
                |next| cell.publish(next),
                criterion::BatchSize::SmallInput,
            );
        });
        group.bench_function(id("look_for_news"), |b| {
            b.iter(|| black_box(reader.current().generation));
        });
        group.finish();
    }
}

criterion_group!(benches, snapshot);
criterion_main!(benches);
