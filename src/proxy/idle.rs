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
#[derive(Debug, Default)]
pub(super) struct Learned {
    /// When a limit was learned, while it holds.
    since: Cell<Option<Instant>>,
    /// The last closing by the backend: how long the connection was idle, and when it was seen.
    last: Cell<Option<(Duration, Instant)>>,
}

impl Learned {
    /// Takes note that the backend closed a connection that was idle for so long. Gives how long a
    /// connection may be idle from now on, if that has shown.
    #[cold]
    pub(super) fn closed(&self, idle: Duration, now: Instant) -> Option<Duration> {
        let Some((before, at)) = self.last.get() else {
            self.last.set(Some((idle, now)));
            return None;
        };
        if now.saturating_duration_since(at) < APART {
            return None;
        }
        self.last.set(Some((idle, now)));
        if idle.abs_diff(before) > SAME {
            return None;
        }
        self.since.set(Some(now));
        let shorter = idle.min(before);
        Some(shorter.saturating_sub(SAME).max(shorter / 2))
    }

    /// Whether a limit was learned so long ago that it holds no more; told once.
    pub(super) fn forgets(&self, now: Instant) -> bool {
        let old = |since| now.saturating_duration_since(since) >= HOLDS;
        let forgets = self.since.get().is_some_and(old);
        if forgets {
            self.since.set(None);
        }
        forgets
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
        assert_eq!(learned.closed(ms(5_400), start), None);
        assert_eq!(learned.closed(ms(5_900), start + ms(9_000)), Some(ms(3_900)));
    }

    #[test]
    fn a_backend_that_starts_anew_teaches_nothing() {
        let (learned, start) = (Learned::default(), Instant::now());
        for idle in [5_000, 5_000, 4_000] {
            assert_eq!(learned.closed(ms(idle), start + ms(500)), None);
        }
        assert_eq!(learned.closed(ms(40_000), start + ms(60_000)), None);
    }

    #[test]
    fn a_short_limit_is_halved_at_most() {
        let (learned, start) = (Learned::default(), Instant::now());
        assert_eq!(learned.closed(ms(1_000), start), None);
        assert_eq!(learned.closed(ms(1_200), start + ms(3_000)), Some(ms(500)));
    }

    #[test]
    fn what_was_learned_is_forgotten_in_time() {
        let (learned, start) = (Learned::default(), Instant::now());
        assert_eq!(learned.closed(ms(5_000), start), None);
        assert!(!learned.forgets(start + ms(800_000)), "nothing was learned");
        assert!(learned.closed(ms(5_000), start + ms(5_000)).is_some());
        assert!(!learned.forgets(start + ms(600_000)));
        assert!(learned.forgets(start + ms(605_000)));
        assert!(!learned.forgets(start + ms(606_000)), "told once");
    }
}
