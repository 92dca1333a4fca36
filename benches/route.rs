//! How the cost of finding a route grows with their number: it should hardly do so.
//!
//! Half of the hosts are names, half suffixes; every host has ten prefixes of two segments. The
//! requests go round over all routes, so the larger tables also pay for cold memory.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use plimsoll::config::model::{Action, Condition, HostMatch, PathMatch, Respond, Route as Rule};
use plimsoll::snapshot::{Facts, Request, RouteTable};

const SIZES: [usize; 4] = [10, 100, 1_000, 10_000];
const PREFIXES_PER_HOST: usize = 10;

/// Nothing but host and path: the routes here have no rules for more.
struct NoFacts;

impl Facts for NoFacts {
    fn values(&self, _name: &str) -> impl Iterator<Item = &[u8]> {
        std::iter::empty()
    }

    fn holds(&self, _condition: &Condition) -> bool {
        false
    }
}

fn rule(index: usize) -> Rule {
    let (host, path) = (index / PREFIXES_PER_HOST, index % PREFIXES_PER_HOST);
    let name = format!("shop-{host}.example.com");
    let body = Vec::new();
    let respond = Respond { status: 204, content_type: String::new(), body, template: None };
    Rule {
        name: format!("route-{index}"),
        hosts: vec![if host % 2 == 0 { HostMatch::Exact(name) } else { HostMatch::Suffix(name) }],
        path: PathMatch::Prefix(format!("/api/service-{path}")),
        ..Rule::new(Action::Respond(respond))
    }
}

/// Host and path that the rule of this place takes.
fn request(index: usize) -> (String, String) {
    let (host, path) = (index / PREFIXES_PER_HOST, index % PREFIXES_PER_HOST);
    let label = if host % 2 == 0 { "" } else { "eu." };
    (
        format!("{label}Shop-{host}.example.com:8080"),
        format!("/api/service-{path}/items/42/reviews"),
    )
}

fn find(c: &mut Criterion) {
    let mut group = c.benchmark_group("route/find");
    group.throughput(Throughput::Elements(1));
    for size in SIZES {
        let rules: Vec<Rule> = (0..size).map(rule).collect();
        let table = RouteTable::build(&rules.iter().collect::<Vec<_>>());
        let requests: Vec<(String, String)> = (0..size).map(request).collect();
        let find = |index: usize| {
            let (host, path) = &requests[index];
            table.find(&Request {
                host: host.as_bytes(),
                path: path.as_bytes(),
                method: b"GET",

                facts: &NoFacts,
            })
        };
        assert!((0..size).all(|index| find(index) == Some(index)), "every route is found");
        // A step that is prime to all sizes: neighbours in time are not neighbours in memory.
        let mut index = 0;
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| {
                index = (index + 7919) % size;
                black_box(find(black_box(index)))
            });
        });
    }
    group.finish();
}

fn build(c: &mut Criterion) {
    let mut group = c.benchmark_group("route/build");
    for size in SIZES {
        let rules: Vec<Rule> = (0..size).map(rule).collect();
        let rules: Vec<&Rule> = rules.iter().collect();
        group.throughput(Throughput::Elements(size as u64));
        group.bench_function(BenchmarkId::from_parameter(size), |b| {
            b.iter(|| RouteTable::build(black_box(&rules)));
        });
    }
    group.finish();
}

criterion_group!(benches, find, build);
criterion_main!(benches);
