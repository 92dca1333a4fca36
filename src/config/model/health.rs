//! How backends are judged.

use std::time::Duration;

use super::Hung;

/// Judging by real requests.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Passive {
    /// Failures within `fail_timeout` that park a backend; 0 never parks.
    pub max_fails: u32,
    /// The window in which failures count, and how long a backend is parked the first time.
    pub fail_timeout: Duration,
    /// How long a backend is parked at most that is parked again and again.
    pub max_pause: Duration,
    /// Requests in a row that have to succeed before a backend is back; at least 1.
    pub trials: u32,
    /// Statuses that count as failures.
    pub statuses: Vec<u16>,
    /// A backend that asks for it is left alone for so long at most; `None`: it is not.
    pub retry_after: Option<Duration>,
    /// When a backend is taken for hung; `None`: never.
    pub hung: Option<Hung>,
}

/// What happens when too few backends are able to serve.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Panic {
    /// Part of the enabled backends below which it begins, in percent; 0 is never.
    pub threshold: u32,
    /// All enabled backends are used; else requests are answered with 503.
    pub use_all: bool,
    /// The field of responses that tells of it.
    pub header: Option<String>,
}

/// What happens when no backend is eligible.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WhenNoneEligible {
    /// Every backend that the operator has not taken out is tried all the same.
    FailOpen,
    /// Requests are answered with 503.
    Reject,
}
