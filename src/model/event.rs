//! What any room may report to the control loop.

use crate::model::{BackendId, Tick};

/// News that travels uphill, as a value through a channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// Requests to a backend failed `max_fails` times within `fail_timeout`.
    FailuresCrossed {
        /// The backend.
        backend: BackendId,
        /// When the last failure was seen.
        at: Tick,
    },
    /// The one trial request of a parked backend ended.
    TrialEnded {
        /// The backend.
        backend: BackendId,
        /// Whether it succeeded.
        ok: bool,
        /// When it ended.
        at: Tick,
    },
    /// A probe gave its result.
    Probed {
        /// The backend.
        backend: BackendId,
        /// `Ok` or the reason, in words for the log.
        result: Result<(), String>,
        /// How long the probe took.
        took: std::time::Duration,
        /// When it ended.
        at: Tick,
    },
}
