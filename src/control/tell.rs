//! What the loop says of its changes: to the journal, to the gauges, to the log.

use std::collections::{BTreeMap, BTreeSet};

use tracing::{error, info};

use crate::control::Origin;
use crate::control::backends::Change;
use crate::model::UpstreamIx;
use crate::snapshot::{Snapshot, Upstream};

/// Where a change came from and what it was, for the journal.
pub(super) fn cause(
    before: &Snapshot,
    changes: &[Change],
    moved: &BTreeMap<UpstreamIx, String>,
) -> (Origin, String) {
    const SHOWN: usize = 3;
    let origin = if changes.is_empty() { Origin::Dns } else { Origin::Health };
    let names: BTreeSet<_> = moved.values().collect();
    let changes = changes.iter().map(|change| change.words(before));
    let names = names.into_iter().map(|name| format!("{name} has other addresses"));
    let mut words: Vec<_> = changes.chain(names).collect();
    if let Some(more @ 1..) = words.len().checked_sub(SHOWN) {
        words.truncate(SHOWN);
        words.push(format!("{more} more"));
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
}

/// How an upstream serves.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Service {
    /// By backends that are eligible by their health.
    Eligible,
    /// By all enabled backends, for want of an eligible one.
    FailOpen,
    /// Not at all.
    Nobody,
}

impl Service {
    /// How `upstream` serves.
    pub(super) fn of(upstream: &Upstream) -> Self {
        match (upstream.fail_open, upstream.eligible.contains(&true)) {
            (true, _) => Self::FailOpen,
            (false, true) => Self::Eligible,
            (false, false) => Self::Nobody,
        }
    }
}

/// Says when an upstream loses its last eligible backend, and when it has one again.
pub(super) fn service(before: Option<Service>, upstream: &Upstream) {
    let now = Service::of(upstream);
    if before.unwrap_or(Service::Eligible) == now {
        return;
    }
    let upstream = &upstream.name;
    match now {
        Service::Eligible => info!(upstream, "upstream has eligible backends again"),
        Service::FailOpen => {
            error!(upstream, "no backend is eligible: failing open, all enabled ones are tried");
        }
        Service::Nobody => {
            error!(upstream, "no backend is eligible: requests are answered with 503");
        }
    }
}
