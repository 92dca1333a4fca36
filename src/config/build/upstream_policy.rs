//! Tiers and what is decided for an upstream as a whole: failover, panic, circuit breaker.

use super::field::Head;
use super::{Build, Named, field};
use crate::config::faults::Place;
use crate::config::model::{
    Backend, Breaker, Failback, Failover, FailoverStrategy, Panic, Process, UpstreamNginx,
};
use crate::config::tree::Table;

/// The tier of a backend, if it is said: backups are of tier 1.
pub(super) fn tier(b: &mut Build<'_>, table: &Table) -> Option<u8> {
    let tier = table.integer("tier");
    if table.bool("backup")
        && let Some((at, _)) = table.written("tier")
    {
        b.error(at, "a backup is of tier 1", "write `backup` or `tier`, not both");
    }
    if table.bool("backup") { Some(1) } else { tier }
}

/// A place that a backend or this node is in.
pub(super) fn locality(b: &mut Build<'_>, table: &Table, key: &str) -> Option<String> {
    let (_, item) = table.written(key)?;
    Some(field::name(b, item.place, item.text()))
}

pub(super) fn failover(
    b: &mut Build<'_>,
    upstream: &Table,
    backends: &[Backend],
) -> Option<Failover> {
    let table = upstream.table("failover")?;
    let rules = rules(table);
    let local = backends.iter().any(|one| one.zone.is_some() || one.region.is_some());
    let service = backends.iter().any(|one| one.service.is_some());
    let last = backends.iter().filter_map(|one| one.tier).max().unwrap_or(0);
    if !backends.is_empty() && !local && !service && last == 0 {
        let help = "write `tier = 1` for those that shall take over";
        b.warning(table.place, "all backends are of one tier: there is nothing to share", help);
    }
    if let (Some(pin), Some((at, _))) = (rules.pin, table.written("pin"))
        && !local
        && !service
        && !backends.iter().any(|one| usize::from(one.tier.unwrap_or(0)) == pin)
    {
        b.error(at, format!("no backend is of tier {pin}"), "pin a tier that has backends");
    }
    Some(rules)
}

fn rules(table: &Table) -> Failover {
    let strategy = FailoverStrategy::ALL.into_iter();
    let strategy = strategy.rev().find(|one| one.name() == table.text("strategy"));
    let time = |key| table.duration(key).unwrap_or_default();
    Failover {
        strategy: strategy.unwrap_or(FailoverStrategy::ActivePassive),
        min_healthy: table.integer("min_healthy").unwrap_or(1),
        detection_timeout: time("detection_timeout"),
        failback: match table.text("failback") {
            "manual" => Failback::Manual,
            "never" => Failback::Never,
            _ => Failback::Auto,
        },
        failback_delay: time("failback_delay"),
        refill_interval: time("refill_interval"),
        pin: table.integer("pin"),
    }
}

pub(super) fn panic(b: &mut Build<'_>, upstream: &Table) -> Option<Panic> {
    let table = upstream.table("panic")?;
    let header = table.written("header").map(|(at, item)| {
        field::changed_field(b, at, item.text(), Head::Response);
        item.text().to_owned()
    });
    Some(Panic {
        threshold: table.integer("threshold").unwrap_or_default(),
        use_all: table.text("action") == "use_all",
        header,
    })
}

pub(super) fn breaker(
    b: &mut Build<'_>,
    upstream: &Table,
    nginx: UpstreamNginx,
) -> Option<Breaker> {
    let table = upstream.table("breaker")?;
    if nginx.failures {
        let help = "leave `breaker` out, or `nginx.failures`";
        b.error(table.place, "failures that are counted as in nginx open no breaker", help);
    }
    Some(Breaker {
        window: table.duration("window").unwrap_or_default(),
        failure_percent: table.integer("failure_percent").unwrap_or(100),
        min_requests: table.integer("min_requests").unwrap_or(1),
        open_for: table.duration("open_for").unwrap_or_default(),
        max_open: table.duration("max_open").unwrap_or_default(),
        trials: table.integer("trials").unwrap_or(1),
    })
}

/// Gives each backend whose tier is not said one by its place: 0 in this node's zone, 1 in its region, 2
/// elsewhere.
pub(super) fn localise(b: &mut Build<'_>, node: &Process, upstreams: &mut [Named<'_>]) {
    let here = node.zone.is_some() || node.region.is_some();
    for named in upstreams {
        let upstream = &mut named.model;
        let placed = |one: &Backend| one.zone.is_some() || one.region.is_some();
        if !upstream.backends.iter().any(placed) {
            continue;
        }
        if !here {
            let message = format!(
                "it is not said where this node is, so places in `{}` mean nothing",
                upstream.name
            );
            let help = "write `zone` or `region` at the top of the main file";
            let place: Place = named.key.place;
            b.warning(place, message, help);
            continue;
        }
        for backend in &mut upstream.backends {
            if backend.tier.is_some() || !placed(backend) {
                continue;
            }
            let same = |own: &Option<String>, its: &Option<String>| own.is_some() && own == its;
            backend.tier = Some(match () {
                () if same(&node.zone, &backend.zone) => 0,
                () if same(&node.region, &backend.region) => 1,
                () => 2,
            });
        }
        upstream.failover.get_or_insert_with(Failover::spilling);
    }
}
