//! What differs of upstreams and their backends.

use std::collections::BTreeMap;

use super::{Change, Effect, How, differing, keys};
use crate::config::model::{Backend, Config, Upstream};
use crate::model::BackendIx;
use crate::snapshot::{Snapshot, Upstream as Live};

pub(super) fn upstreams(old: &Config, new: &Config, live: &Snapshot, of_it: &mut Effect) {
    for (name, two) in &new.upstreams {
        let one = old.upstreams.get(name);
        let live = live.upstream_by_name(name).map(|live| &**live);
        match one {
            None => {
                let told = vec![backends_of(two)];
                of_it.changes.push(Change::new("upstream", name, How::Added, told));
                of_it.pools.new += two.backends.len();
            }
            Some(one) if one == two => of_it.pools.kept += two.backends.len(),
            Some(one) => changed((new, name), (one, two), live, of_it),
        }
    }
    for (name, gone) in old.upstreams.iter().filter(|(name, _)| !new.upstreams.contains_key(*name))
    {
        let told = vec![backends_of(gone)];
        of_it.changes.push(Change::new("upstream", name, How::Removed, told));
        if let Some(live) = live.upstream_by_name(name) {
            leave(live, |_| true, of_it);
        }
    }
}

fn backends_of(upstream: &Upstream) -> String {
    let count = upstream.backends.len();
    format!("{count} backend{}", if count == 1 { "" } else { "s" })
}

fn changed(
    (config, name): (&Config, &str),
    (one, two): (&Upstream, &Upstream),
    live: Option<&Live>,
    of_it: &mut Effect,
) {
    let mut settings: Vec<_> = differing!(Upstream: one, two; choices, by_time, measures_whole, key,
        bounded_load, table_size, hot_quantile, subset, protocol, max_in_flight, adaptive, admission,
        hedge, queue, pool, timeouts, retry, passive, ejection, checks, flap, slow_start,
        when_none_eligible, panic, breaker, failover, load, dns, sticky, source, transparent, tls, tls_name,
        own_files, send_proxy, nginx; but name, strategy, backends)
    .collect();
    if one.strategy != two.strategy {
        settings.push(format!("strategy {} → {}", one.strategy.name(), two.strategy.name()));
    }
    let keys_moved = keys::moved(config, one, two);
    let renewed = one.tls != two.tls;
    if renewed {
        settings.push("connections to all backends are made anew".to_owned());
    }
    if !settings.is_empty() || keys_moved.is_some_and(|moved| moved > 0.0) {
        let change = Change::new("upstream", name, How::Changed, settings);
        of_it.changes.push(Change { keys_moved, ..change });
    }
    backends(name, (one, two), renewed, live, of_it);
}

fn backends(
    name: &str,
    (one, two): (&Upstream, &Upstream),
    renewed: bool,
    live: Option<&Live>,
    of_it: &mut Effect,
) {
    let by_name = |upstream: &Upstream| -> BTreeMap<String, Backend> {
        upstream.backends.iter().map(|one| (one.called(), one.clone())).collect()
    };
    let (before, after) = (by_name(one), by_name(two));
    for backend in &two.backends {
        let called = backend.called();
        let full = format!("{name}/{called}");
        match before.get(&called) {
            None => {
                let told = vec![format!("weight {}", backend.weight.value())];
                of_it.changes.push(Change::new("backend", full, How::Added, told));
                of_it.pools.new += 1;
            }
            Some(was) => {
                let moved = renewed || was.address != backend.address;
                if moved {
                    of_it.pools.renewed += 1;
                } else {
                    of_it.pools.kept += 1;
                }
                if was != backend {
                    let told = differ(was, backend);
                    of_it.changes.push(Change::new("backend", full, How::Changed, told));
                }
            }
        }
    }
    for gone in one.backends.iter().filter(|one| !after.contains_key(&one.called())) {
        let full = format!("{name}/{}", gone.called());
        let told = live.map(|live| in_flight(live, &gone.called())).unwrap_or_default();
        of_it.changes.push(Change::new("backend", full, How::Removed, told));
    }
    if let Some(live) = live {
        leave(live, |called| !after.contains_key(called), of_it);
        let anew = |called: &str| {
            let both = before.get(called).zip(after.get(called));
            both.is_some_and(|(was, is)| renewed || was.address != is.address)
        };
        of_it.drains.idle_connections += idle(live, anew);
    }
}

fn differ(one: &Backend, two: &Backend) -> Vec<String> {
    let mut settings: Vec<_> =
        differing!(Backend: one, two; zone, region, max_connections, capacity, max_fails,
        fail_timeout, route, service; but name, address, weight, tier, state)
        .collect();
    let mut turns = |what: &str, was: String, is: String| {
        if was != is {
            settings.push(format!("{what} {was} → {is}"));
        }
    };
    let tier = |one: &Backend| one.tier.unwrap_or(0).to_string();
    turns("address", one.address.to_string(), two.address.to_string());
    turns("weight", one.weight.value().to_string(), two.weight.value().to_string());
    turns("tier", tier(one), tier(two));
    turns("state", one.state.name().to_owned(), two.state.name().to_owned());
    settings
}

/// Those backends of a running upstream that the entries stand for which `is` says.
fn of(live: &Live, is: impl Fn(&str) -> bool) -> impl Iterator<Item = usize> {
    let all = 0..live.backends.len();
    all.filter(move |place| is(&live.declared(BackendIx(*place as u32)).called()))
}

fn leave(live: &Live, leaves: impl Fn(&str) -> bool, of_it: &mut Effect) {
    let requests = of(live, &leaves).map(|place| u64::from(live.live[place].in_flight()));
    of_it.drains.requests += requests.sum::<u64>();
    of_it.drains.idle_connections += idle(live, leaves);
}

fn idle(live: &Live, is: impl Fn(&str) -> bool) -> u64 {
    of(live, is).map(|place| live.backends[place].series.idle_connections()).sum()
}

/// What a backend that leaves has to finish, in words.
fn in_flight(live: &Live, called: &str) -> Vec<String> {
    let requests = of(live, |one| one == called).map(|place| live.live[place].in_flight());
    match requests.sum::<u32>() {
        0 => Vec::new(),
        1 => vec!["a request in flight finishes".to_owned()],
        many => vec![format!("{many} requests in flight finish")],
    }
}
