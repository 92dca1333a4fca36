//! Every backend: may it be picked, why, and what it does.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{by_outcome, hash, serves};
use crate::config::model::Probe;
use crate::model::{AdminState, BackendIx, PassiveState, ProbedState, Share, Tick};
use crate::snapshot::{Backend, Hindrance, Limits, Snapshot, Upstream};
use crate::telemetry::CheckSeries;

/// `/api/v1/ha/load-balancer/backends`.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct BackendList<'a> {
    generation: u64,
    config_hash: String,
    backends: Vec<BackendView<'a>>,
}

/// One backend.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct BackendView<'a> {
    upstream: &'a str,
    backend: &'a str,
    address: String,
    weight: u32,
    /// The part of the weight that is in effect: less in a slow start, or when its agent says so.
    share: f64,
    backup: bool,
    /// 0 are the primaries.
    tier: u8,
    max_connections: u32,
    admin_state: &'static str,
    probed_state: &'static str,
    passive_state: &'static str,
    /// Until the trial request of a parked backend.
    parked_for_seconds: Option<f64>,
    eligible: bool,
    why: String,
    in_flight: u32,
    idle_connections: u64,
    picks: u64,
    attempts: BTreeMap<&'static str, u64>,
    /// Peak EWMA of the time to the first byte, decayed to this moment; 1 ms until one is measured.
    response_time_seconds: f64,
}

impl<'a> BackendList<'a> {
    pub(in crate::admin) fn of(snapshot: &'a Snapshot, now: Tick) -> Self {
        let all = snapshot.upstreams.iter().flat_map(|upstream| {
            (0..upstream.backends.len()).map(|ix| BackendView::of(upstream, ix, now))
        });
        Self {
            generation: snapshot.generation.0,
            config_hash: hash(snapshot),
            backends: all.collect(),
        }
    }
}

impl<'a> BackendView<'a> {
    pub(in crate::admin) fn of(upstream: &'a Upstream, ix: usize, now: Tick) -> Self {
        let (backend, live) = (&upstream.backends[ix], &upstream.live[ix]);
        let place = BackendIx(u32::try_from(ix).unwrap_or(u32::MAX));
        let hindrance = upstream.keeps_from(place, now);
        let eligible = upstream.eligible[ix];
        let in_flight = live.in_flight();
        let parked_for = match backend.state.passive {
            PassiveState::Parked { until } => Some(until.since(now)),
            PassiveState::Ok | PassiveState::Trial => None,
        };
        Self {
            upstream: &upstream.name,
            backend: &backend.label,
            address: backend.address.to_string(),
            weight: backend.weight.value(),
            share: f64::from(backend.state.share.value()) / 100.0,
            backup: backend.tier > 0,
            tier: backend.tier,
            max_connections: backend.max_connections,
            admin_state: backend.state.admin.name(),
            probed_state: backend.state.probed.name(),
            passive_state: backend.state.passive.name(),
            parked_for_seconds: parked_for.map(|pause| pause.as_secs_f64()),
            eligible: serves(upstream, ix, now),
            why: match hindrance.filter(|_| eligible) {
                Some(hindrance) => hindered(backend, hindrance),
                None => why(backend, eligible, upstream, now) + &part(backend, upstream),
            },
            in_flight,
            idle_connections: backend.series.idle_connections(),
            picks: backend.series.picks(),
            attempts: by_outcome(&backend.series.attempts()),
            // A score is that time in microseconds × (requests in flight + 1).
            response_time_seconds: live.score(now) / (f64::from(in_flight) + 1.0) / 1e6,
        }
    }
}

/// What keeps requests from a backend that could serve: for people.
fn hindered(backend: &Backend, hindrance: Hindrance) -> String {
    match hindrance {
        Hindrance::Full => {
            let most = backend.max_connections;
            format!(
                "full: {most} requests are under way there, as many as may be (`max_connections`)"
            )
        }
        Hindrance::Failed => {
            let Limits { max_fails, fail_timeout } = backend.limits;
            format!(
                "it failed {max_fails} times, and is asked again {fail_timeout:?} after the last time"
            )
        }
    }
}

/// What part of its weight a backend gets, where that is less than the whole.
fn part(backend: &Backend, upstream: &Upstream) -> String {
    let share = backend.state.share;
    if share == Share::WHOLE {
        return String::new();
    }
    let checks = upstream.checks().iter().zip(backend.series.checks());
    let agents = checks.filter(|(check, _)| matches!(check.probe, Probe::Agent(_)));
    let said = agents
        .filter_map(|(check, series)| Some(format!("{}: {}", check.name, series.now().last?.why)));
    let starts = upstream.slow_start().map(|_| "it starts slowly".to_owned());
    let why: Vec<_> = starts.into_iter().chain(said).collect();
    format!("; it gets {} % of its weight ({})", share.value(), why.join("; "))
}

/// Why a backend may, or may not, be picked: for people.
fn why(backend: &Backend, eligible: bool, upstream: &Upstream, now: Tick) -> String {
    let state = backend.state;
    let fact = match (state.admin, state.probed, state.passive) {
        (AdminState::Disabled, _, _) => "disabled: taken out of service".to_owned(),
        (AdminState::Draining, _, _) => "draining: requests under way finish".to_owned(),
        (AdminState::ForcedUp, _, _) => "forced up, whatever probes and traffic say".to_owned(),
        (AdminState::ForcedDown, _, _) => "forced down, as if its probes failed".to_owned(),
        (_, ProbedState::Down, _) => format!("down: its probes fail{}", faults(backend)),
        (_, ProbedState::Standby, _) => {
            format!("standby: it serves nobody, whoever is left{}", faults(backend))
        }
        (_, ProbedState::Draining, _) => {
            format!("it asks for no new clients itself{}", faults(backend))
        }
        (_, _, PassiveState::Parked { until }) => {
            let pause = until.since(now).as_secs_f64();
            format!("parked after failed requests; a trial request is due in {pause:.1} s")
        }
        (_, _, PassiveState::Trial) => {
            "on trial after failed requests: the next request decides".to_owned()
        }
        (_, ProbedState::Checking, _) => "not proven yet: no probe has succeeded".to_owned(),
        (_, ProbedState::Degraded, _) => format!("degraded{}", faults(backend)),
        (_, ProbedState::Unprobed | ProbedState::Up, _) => "nothing speaks against it".to_owned(),
    };
    let unproven = state.admin == AdminState::Enabled
        && state.probed == ProbedState::Checking
        && state.passive == PassiveState::Ok;
    let shares = upstream.course.shares.as_ref();
    let share = shares.and_then(|shares| shares.get(usize::from(backend.tier)));
    let degraded = state.admin == AdminState::Enabled
        && state.probed == ProbedState::Degraded
        && state.passive == PassiveState::Ok;
    let serving = state.admin == AdminState::Enabled
        && matches!(state.probed, ProbedState::Unprobed | ProbedState::Up)
        && state.passive == PassiveState::Ok;
    let so = match eligible {
        _ if upstream.course.barrier.is_some() => {
            "; the upstream's circuit breaker is not closed, and no request but a trial passes"
        }
        _ if share == Some(&0) => "; its tier does not serve at present",
        true if upstream.panic => "; too few backends are able to serve, and all are used",
        false if upstream.panic => "; too few backends are able to serve, and none is used",
        true if upstream.fail_open => "; used all the same, because no backend is known to work",
        true if unproven => "; used, because no other is proven either",
        true if degraded => "; used for what those that are well cannot carry",
        false if degraded => "; others serve as long as they can",
        true if backend.tier > 0 => "; a backup, used when no primary can be",
        false if unproven => "; others serve until then",
        false if serving && upstream.is_subset() => {
            "; none of the few that this node uses (`subset`)"
        }
        true | false => "",
    };
    fact + so
}

/// What its checks found that speaks against it: `: web: status 503, expected 200-399`.
fn faults(backend: &Backend) -> String {
    let told = |check: &CheckSeries| {
        let now = check.now();
        let last = now.last.filter(|_| now.state != ProbedState::Up)?;
        Some(format!("{}: {}", check.name(), last.why))
    };
    let told: Vec<_> = backend.series.checks().iter().filter_map(|check| told(check)).collect();
    if told.is_empty() { String::new() } else { format!(" ({})", told.join("; ")) }
}
