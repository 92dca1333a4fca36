//! How backends are judged, and the verdicts.

use serde::Serialize;

use super::hash;
use crate::config::model::Probe;
use crate::snapshot::{Backend, Snapshot, Upstream};

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
    /// `null` when backends are not probed.
    active: Option<Active<'a>>,
    passive: Passive,
    backends: Vec<Verdict<'a>>,
}

#[derive(Debug, Serialize)]
struct Active<'a> {
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
}

#[derive(Debug, Serialize)]
struct Verdict<'a> {
    backend: &'a str,
    probed_state: &'static str,
    passive_state: &'static str,
    probes_ok: u64,
    probes_failed: u64,
}

impl<'a> HealthChecks<'a> {
    pub(in crate::admin) fn of(snapshot: &'a Snapshot) -> Self {
        Self {
            generation: snapshot.generation.0,
            config_hash: hash(snapshot),
            upstreams: snapshot.upstreams.iter().map(|one| UpstreamHealth::of(one)).collect(),
        }
    }
}

impl<'a> UpstreamHealth<'a> {
    fn of(upstream: &'a Upstream) -> Self {
        let active = upstream.health().map(|health| {
            let (kind, path) = match &health.probe {
                Probe::Tcp => ("tcp", None),
                Probe::Http(probe) => ("http", Some(probe.path.as_str())),
            };
            Active {
                kind,
                path,
                interval_seconds: health.interval.as_secs_f64(),
                timeout_seconds: health.timeout.as_secs_f64(),
                rise: health.rise,
                fall: health.fall,
            }
        });
        let verdict = |backend: &'a Backend| {
            let (probes_ok, probes_failed) = backend.series.probes();
            Verdict {
                backend: &backend.label,
                probed_state: backend.state.probed.name(),
                passive_state: backend.state.passive.name(),
                probes_ok,
                probes_failed,
            }
        };
        Self {
            upstream: &upstream.name,
            active,
            passive: Passive {
                max_fails: upstream.passive.max_fails,
                fail_timeout_seconds: upstream.passive.fail_timeout.as_secs_f64(),
            },
            backends: upstream.backends.iter().map(|backend| verdict(backend)).collect(),
        }
    }
}
