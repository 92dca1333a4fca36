//! Monotonic time as a small value, so that pure rooms can be given `now`.

use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// A moment on the process's monotonic clock, in microseconds since the clock's origin.
///
/// Never compared across processes and never shown to a user; wall-clock time is for logs only.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Default)]
pub struct Tick(pub u64);

impl Tick {
    /// Time passed since `earlier`; zero when `earlier` is later.
    #[inline]
    pub fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(self.0.saturating_sub(earlier.0))
    }

    /// The moment `d` later.
    #[inline]
    #[must_use]
    pub fn after(self, d: Duration) -> Self {
        Self(self.0.saturating_add(u64::try_from(d.as_micros()).unwrap_or(u64::MAX)))
    }
}

/// The process's monotonic clock. All `Tick`s of a process share its one origin.
#[derive(Debug, Clone, Copy)]
pub struct Clock;

static ORIGIN: OnceLock<Instant> = OnceLock::new();

impl Clock {
    /// The present moment.
    #[inline]
    pub fn now() -> Tick {
        Self::tick(Instant::now())
    }

    /// `instant` as a tick; moments before the origin are the origin.
    #[inline]
    pub fn tick(instant: Instant) -> Tick {
        let origin = *ORIGIN.get_or_init(Instant::now);
        Tick(instant.saturating_duration_since(origin).as_micros() as u64)
    }
}
