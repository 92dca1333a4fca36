//! The snapshot and its series as JSON shapes, one file per endpoint.
//!
//! Reads only; judges nothing. Who is eligible was decided by `balance::eligible` when the snapshot
//! was built, and the words here explain that decision. Called by `endpoints`.

mod backends;
mod events;
pub(super) mod explain;
mod failover;
mod health_checks;
mod overrides;
mod revisions;
mod stats;
mod status;

use std::collections::BTreeMap;

use crate::model::{BackendIx, Outcome, Tick};
use crate::snapshot::{Hindrance, Snapshot, Upstream};

pub(super) use backends::{BackendList, BackendView};
pub(super) use events::{EventView, Events, Wanted};
pub(super) use failover::Failover;
pub(super) use health_checks::{CheckVerdict, HealthChecks};
pub(super) use overrides::{OverrideView, Overrides};
pub(super) use revisions::{Difference, RevisionList, RevisionView};
pub(super) use stats::Stats;
pub(super) use status::{Checks, Health, Summary};

fn hash(snapshot: &Snapshot) -> String {
    format!("{:016x}", snapshot.config_hash)
}

/// Whether a backend gets requests: what the snapshot says, unless it failed too often as nginx counts, which
/// is known beside it.
fn serves(upstream: &Upstream, ix: usize, now: Tick) -> bool {
    let place = BackendIx(u32::try_from(ix).unwrap_or(u32::MAX));
    upstream.eligible[ix] && upstream.keeps_from(place, now) != Some(Hindrance::Failed)
}

fn eligible(upstream: &Upstream, now: Tick) -> usize {
    (0..upstream.backends.len()).filter(|ix| serves(upstream, *ix, now)).count()
}

fn by_outcome(counts: &[(Outcome, u64)]) -> BTreeMap<&'static str, u64> {
    counts.iter().map(|(outcome, count)| (outcome.name(), *count)).collect()
}
