//! How backends are judged, and the verdicts.

use serde::Serialize;

use super::hash;
use crate::config::model::Probe;
use crate::model::Tick;
use crate::snapshot::{Backend, Snapshot, Upstream};
use crate::telemetry::{CheckNow, CheckSeries};

/// `/api/v1/ha/health-checks`.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct HealthChecks<'a> {
    generation: u64,
    config_hash: String,
    upstreams: Vec<UpstreamHealth<'a>>,
}

#[derive(Debug, Serialize)]
struct UpstreamHealth<'a> {
    upstream: &'a str,
    /// Empty when backends are not probed.
    checks: Vec<Active<'a>>,
    passive: Passive,
    /// `null` when nobody looks for outliers.
    ejection: Option<Ejection>,
    backends: Vec<Verdict<'a>>,
}

#[derive(Debug, Serialize)]
struct Active<'a> {
    name: &'a str,
    kind: &'static str,
    path: Option<&'a str>,
    interval_seconds: f64,
    timeout_seconds: f64,
    rise: u32,
    fall: u32,
}

#[derive(Debug, Serialize)]
struct Passive {
    /// 0 never parks.
    max_fails: u32,
    fail_timeout_seconds: f64,
    max_pause_seconds: f64,
    trials: u32,
    /// Statuses that count as failures.
    statuses: Vec<u16>,
}

/// Of each rule, 0 is off.
#[derive(Debug, Serialize)]
struct Ejection {
    dry_run: bool,
    window_seconds: f64,
    consecutive: u32,
    failure_percent: u32,
    min_requests: u32,
    deviations: f64,
    max_ejected: u32,
}

impl Ejection {
    fn of(upstream: &Upstream) -> Option<Self> {
        let rules = upstream.ejection()?;
        Some(Self {
            dry_run: rules.dry_run,
            window_seconds: rules.window.as_secs_f64(),
            consecutive: rules.consecutive,
            failure_percent: rules.failure_percent,
            min_requests: rules.min_requests,
            deviations: rules.deviations,
            max_ejected: rules.max_ejected,
        })
    }
}

#[derive(Debug, Serialize)]
struct Verdict<'a> {
    backend: &'a str,
    probed_state: &'static str,
    passive_state: &'static str,
    checks: Vec<CheckVerdict>,
}

/// How one check of one backend stands.
#[derive(Debug, Serialize)]
pub(in crate::admin) struct CheckVerdict {
    name: String,
    state: &'static str,
    probes_ok: u64,
    probes_failed: u64,
    /// `null` until there is one.
    last: Option<Last>,
    /// Until it is asked again; `null` while it is being asked, and of those that are made of others.
    next_in_seconds: Option<f64>,
}

/// A result.
#[derive(Debug, Serialize)]
struct Last {
    ok: bool,
    result: String,
    took_seconds: f64,
    seconds_ago: f64,
}

impl CheckVerdict {
    pub(in crate::admin) fn of(check: &CheckSeries, now: Tick) -> Self {
        let (probes_ok, probes_failed) = check.counts();
        let CheckNow { state, last, next } = check.now();
        let last = last.map(|last| Last {
            ok: last.ok,
            result: last.why,
            took_seconds: last.took.as_secs_f64(),
            seconds_ago: now.since(last.at).as_secs_f64(),
        });
        Self {
            name: check.name().to_owned(),
            state: state.name(),
            probes_ok,
            probes_failed,
            last,
            next_in_seconds: next.map(|next| next.since(now).as_secs_f64()),
        }
    }
}

impl<'a> HealthChecks<'a> {
    pub(in crate::admin) fn of(snapshot: &'a Snapshot, now: Tick) -> Self {
        Self {
            generation: snapshot.generation.0,
            config_hash: hash(snapshot),
            upstreams: snapshot.upstreams.iter().map(|one| UpstreamHealth::of(one, now)).collect(),
        }
    }
}

impl<'a> UpstreamHealth<'a> {
    fn of(upstream: &'a Upstream, now: Tick) -> Self {
        let checks = upstream.checks().iter().map(|check| Active {
            name: &check.name,
            kind: check.probe.name(),
            path: match &check.probe {
                Probe::Http(probe) => Some(&probe.path),
                _ => None,
            },
            interval_seconds: check.interval.as_secs_f64(),
            timeout_seconds: check.timeout.as_secs_f64(),
            rise: check.rise,
            fall: check.fall,
        });
        let verdict = |backend: &'a Backend| {
            let checks = backend.series.checks();
            Verdict {
                backend: &backend.label,
                probed_state: backend.state.probed.name(),
                passive_state: backend.state.passive.name(),
                checks: checks.iter().map(|check| CheckVerdict::of(check, now)).collect(),
            }
        };
        Self {
            upstream: &upstream.name,
            checks: checks.collect(),
            passive: Passive {
                max_fails: upstream.passive.max_fails,
                fail_timeout_seconds: upstream.passive.fail_timeout.as_secs_f64(),
                max_pause_seconds: upstream.passive.max_pause.as_secs_f64(),
                trials: upstream.passive.trials,
                statuses: upstream.passive.statuses.clone(),
            },
            ejection: Ejection::of(upstream),
            backends: upstream.backends.iter().map(|backend| verdict(backend)).collect(),
        }
    }
}
