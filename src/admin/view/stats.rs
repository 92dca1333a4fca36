//! Counters by listener, route and upstream.

use std::collections::{BTreeMap, BTreeSet};

use serde::Serialize;

use super::{by_outcome, eligible, hash, serves};
use crate::model::Tick;
use crate::snapshot::{Action, RouteEntry, Snapshot, Upstream};
use crate::telemetry::RouteSeries;

/// `/api/v1/ha/load-balancer/stats`.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Stats<'a> {
    generation: u64,
    config_hash: String,
    listeners: Vec<ListenerStats<'a>>,
    upstreams: Vec<UpstreamStats<'a>>,
}

#[derive(Debug, Serialize)]
struct ListenerStats<'a> {
    name: &'a str,
    routes: Vec<RouteStats<'a>>,
}

#[derive(Debug, Serialize)]
struct RouteStats<'a> {
    route: &'a str,
    /// Where its requests go; none where the route itself answers.
    upstreams: Vec<&'a str>,
    in_flight: u64,
    requests: BTreeMap<&'static str, u64>,
}

impl<'a> RouteStats<'a> {
    fn of(route: &'a str, upstreams: Vec<&'a str>, series: &RouteSeries) -> Self {
        let requests = series.requests().into_iter().collect();
        Self { route, upstreams, in_flight: series.in_flight(), requests }
    }
}

#[derive(Debug, Serialize)]
struct UpstreamStats<'a> {
    name: &'a str,
    strategy: &'static str,
    backends: usize,
    eligible: usize,
    eligible_primaries: usize,
    fail_open: bool,
    fail_open_picks: u64,
    none_eligible: u64,
    waiting: u64,
    in_flight: u64,
    attempts: BTreeMap<&'static str, u64>,
    retries: BTreeMap<&'static str, u64>,
    retries_denied: BTreeMap<&'static str, u64>,
    pool: PoolStats,
}

#[derive(Debug, Serialize)]
struct PoolStats {
    idle: u64,
    reuses: u64,
    opens: u64,
    open_failures: u64,
    stale_replays: u64,
}

impl<'a> Stats<'a> {
    pub(in crate::admin) fn of(snapshot: &'a Snapshot, now: Tick) -> Self {
        let listeners = snapshot.listeners.iter().map(|listener| {
            let routes = listener.routes.iter();
            let routed = routes.map(|entry| {
                RouteStats::of(&entry.route.name, destinations(snapshot, entry), &entry.series)
            });
            let unrouted = RouteStats::of("_none", Vec::new(), &listener.unrouted);
            ListenerStats { name: &listener.name, routes: routed.chain([unrouted]).collect() }
        });
        Self {
            generation: snapshot.generation.0,
            config_hash: hash(snapshot),
            listeners: listeners.collect(),
            upstreams: snapshot.upstreams.iter().map(|one| UpstreamStats::of(one, now)).collect(),
        }
    }
}

/// The upstreams that a route sends to, each once.
fn destinations<'a>(snapshot: &'a Snapshot, entry: &RouteEntry) -> Vec<&'a str> {
    let Action::Proxy { split, .. } = &entry.route.action else {
        return Vec::new();
    };
    let places: BTreeSet<_> = split.destinations().iter().map(|one| one.upstream.index()).collect();
    places.into_iter().map(|place| &*snapshot.upstreams[place].name).collect()
}

impl<'a> UpstreamStats<'a> {
    fn of(upstream: &'a Upstream, now: Tick) -> Self {
        let series = &upstream.series;
        let (opens, open_failures) = series.pool_opens();
        let mut attempts = BTreeMap::new();
        for (outcome, count) in upstream.backends.iter().flat_map(|one| one.series.attempts()) {
            *attempts.entry(outcome.name()).or_default() += count;
        }
        let denied = series.retries_denied();
        let primaries = (0..upstream.backends.len()).filter(|ix| upstream.backends[*ix].tier == 0);
        Self {
            name: &upstream.name,
            strategy: upstream.strategy.name(),
            backends: upstream.backends.len(),
            eligible: eligible(upstream, now),
            eligible_primaries: primaries.filter(|ix| serves(upstream, *ix, now)).count(),
            fail_open: upstream.fail_open,
            fail_open_picks: series.fail_open_picks(),
            none_eligible: series.none_eligible(),
            waiting: series.waiting(),
            in_flight: upstream.live.iter().map(|live| u64::from(live.in_flight())).sum(),
            attempts,
            retries: by_outcome(&series.retries()),
            retries_denied: denied.iter().map(|(why, count)| (why.name(), *count)).collect(),
            pool: PoolStats {
                idle: upstream.backends.iter().map(|one| one.series.idle_connections()).sum(),
                reuses: series.pool_reuses(),
                opens,
                open_failures,
                stale_replays: series.stale_replays(),
            },
        }
    }
}
