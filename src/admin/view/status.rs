//! Health of the upstreams, and the summary of everything.

use std::time::Duration;

use serde::Serialize;

use super::revisions::ProbationView;
use super::{eligible, hash};
use crate::admin::Phase;
use crate::control::Ledger;
use crate::model::Tick;
use crate::snapshot::{Backend, Barrier, Listener, Snapshot, Upstream};
use crate::telemetry::Status;

/// `/healthz`.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Checks<'a> {
    pub(in crate::admin) status: Health,
    checks: Vec<Check<'a>>,
}

#[derive(Debug, Serialize)]
struct Check<'a> {
    upstream: &'a str,
    status: Health,
    backends: usize,
    eligible: usize,
    fail_open: bool,
    panic: bool,
    /// Where the circuit breaker stands; `null` without one.
    breaker: Option<&'static str>,
    /// Where the failover group stands; `null` without one.
    failover: Option<&'static str>,
    /// What each tier gets of the requests, in percent; `null` where that is not decided.
    tier_shares: Option<&'a [u32]>,
    /// The part of the requests that gets 503, as those that serve are good for less; `null` where it is not
    /// said what they are good for.
    beyond_room: Option<f64>,
}

impl<'a> Checks<'a> {
    pub(in crate::admin) fn of(snapshot: &'a Snapshot, now: Tick) -> Self {
        let each: Vec<_> = snapshot.upstreams.iter().map(|one| health(one, now)).collect();
        let checks = snapshot.upstreams.iter().zip(&each);
        let checks = checks.map(|(upstream, status)| Check::of(upstream, *status, now));
        Self { status: overall(&each), checks: checks.collect() }
    }
}

impl<'a> Check<'a> {
    fn of(upstream: &'a Upstream, status: Health, now: Tick) -> Self {
        let course = &upstream.course;
        Self {
            upstream: &upstream.name,
            status,
            backends: upstream.backends.len(),
            eligible: eligible(upstream, now),
            fail_open: upstream.fail_open,
            panic: upstream.panic,
            breaker: upstream
                .breaker()
                .map(|_| course.barrier.as_ref().map_or("closed", Barrier::name)),
            failover: Some(course.group).filter(|group| !group.is_empty()),
            tier_shares: course.shares.as_deref(),
            beyond_room: upstream.series.policy().room().and_then(|_| {
                let beyond = upstream.line.as_ref()?.beyond();
                Some(f64::from(beyond) / 10_000.0)
            }),
        }
    }
}

/// `/api/v1/ha/status`.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct Summary<'a> {
    version: &'static str,
    pid: u32,
    phase: Phase,
    status: Health,
    generation: u64,
    config_hash: String,
    /// The revision that is in force; `null`: none yet.
    revision: Option<u64>,
    /// What it has to prove; `null`: nothing.
    probation: Option<ProbationView<'a>>,
    uptime_seconds: f64,
    reloads: Reloads,
    listeners: Vec<ListenerStatus<'a>>,
    upstreams: Vec<Check<'a>>,
}

#[derive(Debug, Serialize)]
struct Reloads {
    ok: u64,
    refused: u64,
    /// Whether the last one was good; if not, the files do not hold what is in force.
    last_successful: bool,
}

#[derive(Debug, Serialize)]
struct ListenerStatus<'a> {
    name: &'a str,
    address: String,
    connections_active: u64,
    connections_accepted: u64,
    connections_refused: u64,
}

impl<'a> ListenerStatus<'a> {
    fn of(listener: &'a Listener) -> Self {
        Self {
            name: &listener.name,
            address: listener.address.to_string(),
            connections_active: listener.series.active(),
            connections_accepted: listener.series.accepted(),
            connections_refused: listener.series.refused(),
        }
    }
}

impl<'a> Summary<'a> {
    pub(in crate::admin) fn of(
        snapshot: &'a Snapshot,
        phase: Phase,
        uptime: Duration,
        (ok, refused, last_successful): (u64, u64, bool),
        ledger: &'a Ledger,
        now: Tick,
    ) -> Self {
        let Checks { status, checks } = Checks::of(snapshot, now);
        Self {
            version: env!("CARGO_PKG_VERSION"),
            pid: std::process::id(),
            phase,
            status,
            generation: snapshot.generation.0,
            config_hash: hash(snapshot),
            revision: ledger.running().map(|one| one.number),
            probation: ProbationView::of(ledger),
            uptime_seconds: uptime.as_secs_f64(),
            reloads: Reloads { ok, refused, last_successful },
            listeners: snapshot.listeners.iter().map(|one| ListenerStatus::of(one)).collect(),
            upstreams: checks,
        }
    }
}

/// How well upstreams can serve.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(in crate::admin) enum Health {
    /// Every enabled backend is up, and none is out as nginx counts failures.
    Healthy,
    /// Some enabled backend is not.
    Degraded,
    /// Nobody is known to work.
    Unhealthy,
}

fn health(upstream: &Upstream, now: Tick) -> Health {
    let chosen = upstream.eligible.iter().filter(|eligible| **eligible).count();
    let up = |backend: &Backend| Status::of(backend.state) == Status::Up;
    let mut enabled = upstream.backends.iter().filter(|b| b.state.admin.in_rotation());
    if upstream.fail_open || !upstream.eligible.contains(&true) {
        Health::Unhealthy
    } else if enabled.all(|backend| up(backend)) && eligible(upstream, now) == chosen {
        Health::Healthy
    } else {
        Health::Degraded
    }
}

/// The health of all upstreams together: unhealthy only when none of them can serve, so that one
/// team's outage does not take the balancer itself out of service.
fn overall(each: &[Health]) -> Health {
    if each.iter().all(|health| *health == Health::Healthy) {
        Health::Healthy
    } else if each.iter().all(|health| *health == Health::Unhealthy) {
        Health::Unhealthy
    } else {
        Health::Degraded
    }
}
