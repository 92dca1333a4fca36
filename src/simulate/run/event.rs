//! What is due, and when.

use std::cmp::Ordering;

use crate::model::{BackendIx, Found, Outcome, Tick};

/// What happens at some time.
#[derive(Debug, Clone, Copy)]
pub(super) enum Event {
    /// A request comes; the place of a recorded one.
    Comes(usize),
    /// An attempt ends.
    Ends(usize, Outcome),
    /// A backend has served an attempt.
    Served(usize),
    /// A pause is over.
    PauseOver(BackendIx),
    /// Outliers are looked for.
    Look,
    /// Hung backends are looked for.
    Listen,
    /// A second is over.
    Second,
    /// A request is sent again.
    Again(usize),
    /// A backend is probed.
    Probe(BackendIx),
    /// A probe ends that began then.
    Probed(BackendIx, Found, Tick),
    /// The tiers are looked at again.
    Steer,
    /// A step of the circuit breaker's window is over.
    Breaker,
    /// A step of admission control is over.
    Gate,
    /// A backend warms up, or was kept down.
    LookAgain(BackendIx),
    /// An attempt may take long.
    Hedge(usize),
    /// A request may still wait, and no longer.
    Late(usize),
}

impl Event {
    /// It comes again and again, whatever happens.
    pub(super) fn is_regular(self) -> bool {
        matches!(
            self,
            Self::Look
                | Self::Listen
                | Self::Second
                | Self::Probe(_)
                | Self::Probed(..)
                | Self::Steer
                | Self::Breaker
                | Self::Gate
        )
    }
}

/// What is due when; what was put down first goes first.
pub(super) struct Due(pub(super) Tick, pub(super) u64, pub(super) Event);

impl Ord for Due {
    fn cmp(&self, other: &Self) -> Ordering {
        (other.0, other.1).cmp(&(self.0, self.1))
    }
}

impl PartialOrd for Due {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Due {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other) == Ordering::Equal
    }
}

impl Eq for Due {}
