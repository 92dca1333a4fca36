//! What the loop says of its changes: to the journal, to the gauges, to the log.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{error, info};

use crate::control::Origin;
use crate::control::backends::Change;
use crate::control::history::Told;
use crate::model::UpstreamIx;
use crate::snapshot::{Barrier, Snapshot, Upstream};

/// Where a change came from and what it was, for the journal.
pub(super) fn cause(
    before: &Snapshot,
    changes: &[Change],
    moved: &BTreeMap<UpstreamIx, String>,
    steered: &BTreeSet<UpstreamIx>,
) -> (Origin, String) {
    const SHOWN: usize = 3;
    let origin = match (changes.is_empty(), moved.is_empty()) {
        (false, _) if changes.iter().any(Change::is_by_hand) => Origin::Api,
        (false, _) => Origin::Health,
        (true, false) => Origin::Dns,
        (true, true) => Origin::Policy,
    };
    let names: BTreeSet<_> = moved.values().collect();
    let changes = changes.iter().map(|change| change.words(before));
    let names = names.into_iter().map(|name| format!("{name} has other addresses"));
    let steered = steered.iter().map(|ix| format!("{} is steered anew", before.upstream(*ix).name));
    let mut words: Vec<_> = changes.chain(names).chain(steered).collect();
    if let Some(more @ 1..) = words.len().checked_sub(SHOWN) {
        words.truncate(SHOWN);
        words.push(format!("{more} more"));
    }
    if words.is_empty() {
        words.push("other parts of weights are in effect".to_owned());
    }
    (origin, words.join("; "))
}

/// Sets the gauges of an upstream and its backends.
pub(super) fn measure(upstream: &Upstream) {
    for backend in &upstream.backends {
        backend.series.set_state(backend.state);
        backend.series.set_weight(backend.weight.value());
        backend.series.set_max_in_flight(backend.max_connections);
    }
    upstream.series.set_backends(upstream.backends.iter().map(|backend| backend.state));
    upstream.series.set_fail_open(upstream.fail_open);
    let breaker = upstream.breaker().map(|_| match &upstream.course.barrier {
        None => 0,
        Some(Barrier::Trials(_)) => 1,
        Some(Barrier::Open { .. }) => 2,
    });
    let shares = upstream.course.shares.as_deref().unwrap_or_default();
    upstream.series.policy().set(shares, breaker, upstream.panic);
}

/// How an upstream serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// By backends that are eligible by their health.
    Eligible,
    /// By all enabled backends, for want of an eligible one.
    FailOpen,
    /// By all enabled backends, for too few are able to serve.
    Panic,
    /// Not at all, for too few are able to serve.
    Refusing,
    /// Not at all.
    Nobody,
}

impl Service {
    /// How `upstream` serves.
    pub(super) fn of(upstream: &Upstream) -> Self {
        match (upstream.panic, upstream.fail_open, upstream.eligible.contains(&true)) {
            (true, true, _) => Self::Panic,
            (true, false, _) => Self::Refusing,
            (false, true, _) => Self::FailOpen,
            (false, false, true) => Self::Eligible,
            (false, false, false) => Self::Nobody,
        }
    }
}

/// Says when an upstream loses its last eligible backend or has too few, and when it is well again. What
/// is said goes into the events too.
pub(super) fn service(before: Option<Service>, upstream: &Upstream) -> Option<Told> {
    let now = Service::of(upstream);
    if before.unwrap_or(Service::Eligible) == now {
        return None;
    }
    let (able, enabled) = upstream.able();
    let least = upstream.least_able();
    let cause = format!("{able} of {enabled} backends are able to serve");
    let upstream = &upstream.name;
    let until = format!("ends when {} of {enabled} are", least.max(1));
    let (kind, next) = match now {
        Service::Eligible => {
            info!(upstream, cause, "upstream has eligible backends again");
            ("upstream.recovered", String::new())
        }
        Service::FailOpen => {
            error!(upstream, "no backend is eligible: failing open, all enabled ones are tried");
            ("upstream.fail_open", "ends when one is".to_owned())
        }
        Service::Panic => {
            error!(upstream, cause, next = until, "panic: all enabled backends are used");
            ("upstream.panic", until)
        }
        Service::Refusing => {
            error!(upstream, cause, next = until, "panic: requests are answered with 503");
            ("upstream.panic", until)
        }
        Service::Nobody => {
            error!(upstream, "no backend is eligible: requests are answered with 503");
            ("upstream.none_eligible", "ends when one is".to_owned())
        }
    };
    Some(Told { kind, actor: "policy".into(), cause, next })
}
