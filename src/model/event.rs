//! What any room may report to the control loop.

use crate::model::{BackendId, Finding, Tick};

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
    /// A backend asked by `Retry-After` to be left alone.
    AskedToWait {
        /// The backend.
        backend: BackendId,
        /// For how long.
        pause: std::time::Duration,
        /// When it asked.
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
    /// A certificate came from its authority, and is in its file.
    CertificateStored,
    /// A probe gave its result.
    Probed {
        /// The backend.
        backend: BackendId,
        /// The number of the check, as it was given out: an answer to one that is gone is dropped.
        check: u64,
        /// What was found.
        finding: Finding,
        /// How long the probe took.
        took: std::time::Duration,
        /// When it ended.
        at: Tick,
    },
}
