//! Whether the process is short of memory, and what new work gets then.
//!
//! With `memory_limit`, the memory of the process that is in RAM is looked at several times a second,
//! outside of the workers; they read one number. At 90 % of the limit connections end with their
//! request, at 95 % requests are refused before anything is looked up for them, and beyond the limit
//! new connections are closed before a byte of them is read. What is under way goes on, and the admin
//! listener answers.

use std::sync::atomic::{AtomicU8, Ordering};

/// How short it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
#[repr(u8)]
enum Level {
    Ample,
    /// From 90 % of the limit: connections end with their request.
    Tight,
    /// From 95 %: requests are refused.
    Short,
    /// All of it: connections too.
    Exhausted,
}

impl Level {
    fn of(resident: u64, limit: u64) -> Self {
        let percent = u128::from(resident) * 100 / u128::from(limit.max(1));
        match percent {
            0..90 => Self::Ample,
            90..95 => Self::Tight,
            95..100 => Self::Short,
            _ => Self::Exhausted,
        }
    }

    const fn name(self) -> &'static str {
        match self {
            Self::Ample => "ample",
            Self::Tight => "tight",
            Self::Short => "short",
            Self::Exhausted => "exhausted",
        }
    }
}

/// How short of memory the process is; written by one thread, read by all.
#[derive(Debug)]
pub struct Memory(AtomicU8);

impl Default for Memory {
    fn default() -> Self {
        Self(AtomicU8::new(Level::Ample as u8))
    }
}

impl Memory {
    /// Takes note of how much the process has, and may have; `None` is no limit.
    pub fn note(&self, resident: u64, limit: Option<u64>) {
        let now = limit.map_or(Level::Ample, |limit| Level::of(resident, limit));
        // Relaxed: a hint. It comes to the workers within an instant, and nothing hangs by the order.
        let before = self.0.swap(now as u8, Ordering::Relaxed);
        let (memory, limit) = (now.name(), limit.unwrap_or_default());
        match before {
            _ if before == now as u8 => {}
            _ if now == Level::Ample => tracing::info!(memory, resident, limit, "memory"),
            _ => tracing::warn!(memory, resident, limit, "memory"),
        }
    }

    fn is(&self, least: Level) -> bool {
        self.0.load(Ordering::Relaxed) >= least as u8
    }

    /// Connections end with their request.
    #[inline]
    pub fn is_tight(&self) -> bool {
        self.is(Level::Tight)
    }

    /// Requests are refused.
    #[inline]
    pub(super) fn is_short(&self) -> bool {
        self.is(Level::Short)
    }

    /// New connections are closed.
    pub(super) fn is_exhausted(&self) -> bool {
        self.is(Level::Exhausted)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_nearer_to_the_limit_the_more_is_refused() {
        for (resident, tight, short, exhausted) in [
            (0, false, false, false),
            (899, false, false, false),
            (900, true, false, false),
            (949, true, false, false),
            (950, true, true, false),
            (999, true, true, false),
            (1000, true, true, true),
            (u64::MAX, true, true, true),
        ] {
            let memory = Memory::default();
            memory.note(resident, Some(1000));
            let is = (memory.is_tight(), memory.is_short(), memory.is_exhausted());
            assert_eq!(is, (tight, short, exhausted), "{resident}");
            memory.note(resident, None);
            assert!(!memory.is_tight(), "there is no limit any more");
        }
        assert_eq!(Level::of(u64::MAX - 1, u64::MAX), Level::Short, "no overflow");
    }
}
