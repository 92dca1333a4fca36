//! When a backend closes idle connections, learned from those that it closed.
//!
//! A request that goes out in the moment in which the backend closes the connection comes to nothing,
//! and one that must not be repeated fails by that. So connections are not used that are nearly as old
//! as those that the backend has closed. One closing says little: a backend that starts anew closes all
//! its connections, whatever their age. Two at different times and at the same age are a rule.

use std::cell::Cell;
use std::time::Duration;

use tokio::time::Instant;

/// Closings within this time may have one cause.
const APART: Duration = Duration::from_secs(2);
/// Ages are seen up to a second late, and clocks of backends are coarse.
const SAME: Duration = Duration::from_millis(1_500);
/// What was learned is forgotten after this time: the backend may have another limit by then.
const HOLDS: Duration = Duration::from_mins(10);

/// What is known of a backend's limit for idle connections.
#[derive(Debug)]
pub(super) struct Learned {
    /// No connection is used that was idle for longer.
    limit: Cell<Duration>,
    since: Cell<Option<Instant>>,
    /// The last closing by the backend: how long the connection was idle, and when it was seen.
    last: Cell<Option<(Duration, Instant)>>,
}

impl Default for Learned {
    fn default() -> Self {
        Self { limit: Cell::new(Duration::MAX), since: Cell::default(), last: Cell::default() }
    }
}

impl Learned {
    /// How long a connection may be idle; the largest duration while nothing is known.
    #[inline]
    pub(super) fn limit(&self) -> Duration {
        self.limit.get()
    }

    /// Takes note that the backend closed a connection that was idle for so long.
    #[cold]
    pub(super) fn closed(&self, idle: Duration, now: Instant) {
        let Some((before, at)) = self.last.get() else {
            return self.last.set(Some((idle, now)));
        };
        if now.saturating_duration_since(at) < APART {
            return;
        }
        self.last.set(Some((idle, now)));
        if idle.abs_diff(before) <= SAME {
            let shorter = idle.min(before);
            self.limit.set(shorter.saturating_sub(SAME).max(shorter / 2));
            self.since.set(Some(now));
        }
    }

    /// Forgets what was learned long ago.
    pub(super) fn review(&self, now: Instant) {
        let old = |since| now.saturating_duration_since(since) >= HOLDS;
        if self.since.get().is_some_and(old) {
            self.limit.set(Duration::MAX);
            self.since.set(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    #[test]
    fn two_closings_at_the_same_age_are_a_limit_and_it_is_stayed_below() {
        let (learned, start) = (Learned::default(), Instant::now());
        learned.closed(ms(5_400), start);
        assert_eq!(learned.limit(), Duration::MAX);
        learned.closed(ms(5_900), start + ms(9_000));
        assert_eq!(learned.limit(), ms(3_900));
    }

    #[test]
    fn a_backend_that_starts_anew_teaches_nothing() {
        let (learned, start) = (Learned::default(), Instant::now());
        for idle in [5_000, 5_000, 4_000] {
            learned.closed(ms(idle), start + ms(500));
        }
        learned.closed(ms(40_000), start + ms(60_000));
        assert_eq!(learned.limit(), Duration::MAX);
    }

    #[test]
    fn a_short_limit_is_halved_at_most() {
        let (learned, start) = (Learned::default(), Instant::now());
        learned.closed(ms(1_000), start);
        learned.closed(ms(1_200), start + ms(3_000));
        assert_eq!(learned.limit(), ms(500));
    }

    #[test]
    fn what_was_learned_is_forgotten_in_time() {
        let (learned, start) = (Learned::default(), Instant::now());
        learned.closed(ms(5_000), start);
        learned.closed(ms(5_000), start + ms(5_000));
        learned.review(start + ms(600_000));
        assert_eq!(learned.limit(), ms(3_500));
        learned.review(start + ms(605_000));
        assert_eq!(learned.limit(), Duration::MAX);
    }
}
