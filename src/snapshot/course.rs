//! What control has decided for an upstream as a whole: which tiers serve, and whether its circuit
//! breaker lets requests pass.

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use crate::model::Tick;

/// What is decided for an upstream.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Course {
    /// What each tier gets of the requests, in percent; `None`: each what those before it cannot serve.
    pub shares: Option<Vec<u32>>,
    /// A tier without a share gets nothing, whatever happens.
    pub strict: bool,
    /// The word for where the failover group stands; empty without one.
    pub group: &'static str,
    /// What keeps requests out.
    pub barrier: Option<Barrier>,
}

/// A circuit breaker that is not closed.
#[derive(Debug, Clone)]
pub enum Barrier {
    /// Nobody passes.
    Open {
        /// When trials begin.
        until: Tick,
    },
    /// As many pass as there are permits.
    Trials(Arc<AtomicU32>),
}

impl Barrier {
    /// The word in the admin API.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Open { .. } => "open",
            Self::Trials(_) => "half_open",
        }
    }

    /// How many requests may still pass.
    pub fn permits(&self) -> u32 {
        match self {
            Self::Open { .. } => 0,
            Self::Trials(permits) => permits.load(Relaxed),
        }
    }

    /// Whether a request may pass, as a trial. Whoever may takes a permit.
    pub fn lets_pass(&self) -> bool {
        match self {
            Self::Open { .. } => false,
            Self::Trials(permits) => {
                permits.fetch_update(Relaxed, Relaxed, |left| left.checked_sub(1)).is_ok()
            }
        }
    }

    /// After how many seconds to ask again; 1 at least.
    pub fn retry_after(&self, now: Tick) -> u32 {
        match self {
            Self::Open { until } => {
                let seconds = until.since(now).as_millis().div_ceil(1_000);
                u32::try_from(seconds).unwrap_or(u32::MAX).max(1)
            }
            Self::Trials(_) => 1,
        }
    }
}

impl PartialEq for Barrier {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Open { until: one }, Self::Open { until: two }) => one == two,
            (Self::Trials(one), Self::Trials(two)) => Arc::ptr_eq(one, two),
            _ => false,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn permits_are_given_once_each() {
        let barrier = Barrier::Trials(Arc::new(AtomicU32::new(2)));
        assert_eq!([(); 4].map(|()| barrier.lets_pass()), [true, true, false, false]);
        assert!(!Barrier::Open { until: Tick(5) }.lets_pass());
    }

    #[test]
    fn seconds_are_rounded_up_and_never_none() {
        let open = Barrier::Open { until: Tick(10_000_000) };
        let after = |micros| open.retry_after(Tick(micros));
        assert_eq!(
            [after(0), after(8_500_000), after(9_999_999), after(20_000_000)],
            [10, 2, 1, 1]
        );
    }
}
