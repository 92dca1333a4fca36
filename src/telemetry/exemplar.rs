//! Exemplars: of each bucket of a histogram the trace of a request that fell into it last.
//!
//! A worker writes while a scrape reads. Neither waits: the writer counts before and after, and a
//! reader that sees two numbers, or an odd one, looks again (a seqlock; Boehm, "Can seqlocks get along
//! with programming language memory models?", 2012).

use std::sync::atomic::{AtomicU64, Ordering, fence};
use std::time::Duration;

/// A request of a trace.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Exemplar {
    /// The trace's id.
    pub trace: u128,
    /// How long it took; parts of a microsecond are cut off.
    pub took: Duration,
    /// When it ended, since 1970; parts of a millisecond are cut off.
    pub at: Duration,
}

/// The last one of a bucket. One thread writes.
#[derive(Debug, Default)]
pub(super) struct Slot {
    /// Odd while it is written; 0: there is none yet.
    version: AtomicU64,
    trace: [AtomicU64; 2],
    took_us: AtomicU64,
    at_ms: AtomicU64,
}

/// How often a reader looks that meets a writer each time.
const TRIES: usize = 8;

impl Slot {
    /// Puts one in place of the one before. For one writer only.
    pub(super) fn set(&self, one: Exemplar) {
        use Ordering::{Relaxed, Release};
        let version = self.version.load(Relaxed);
        self.version.store(version + 1, Relaxed);
        fence(Release);
        self.trace[0].store((one.trace >> 64) as u64, Relaxed);
        self.trace[1].store(one.trace as u64, Relaxed);
        self.took_us.store(one.took.as_micros() as u64, Relaxed);
        self.at_ms.store(one.at.as_millis() as u64, Relaxed);
        self.version.store(version + 2, Release);
    }

    /// The last one; none too where it is written all the time.
    pub(super) fn get(&self) -> Option<Exemplar> {
        use Ordering::{Acquire, Relaxed};
        for _ in 0..TRIES {
            let version = self.version.load(Acquire);
            if version == 0 {
                return None;
            }
            let [high, low] = [0, 1].map(|half: usize| u128::from(self.trace[half].load(Relaxed)));
            let one = Exemplar {
                trace: high << 64 | low,
                took: Duration::from_micros(self.took_us.load(Relaxed)),
                at: Duration::from_millis(self.at_ms.load(Relaxed)),
            };
            fence(Acquire);
            if version.is_multiple_of(2) && self.version.load(Relaxed) == version {
                return Some(one);
            }
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::AtomicBool;

    use super::*;

    #[test]
    fn the_last_one_is_there() {
        let slot = Slot::default();
        assert_eq!(slot.get(), None);
        for trace in [1, u128::MAX, 1 << 64] {
            let one = Exemplar {
                trace,
                took: Duration::from_micros(7),
                at: Duration::from_millis(1_700_000_000_123),
            };
            slot.set(one);
            assert_eq!(slot.get(), Some(one));
        }
    }

    /// All numbers of one exemplar are the same, so that a mixture of two shows.
    #[test]
    fn a_reader_never_sees_parts_of_two() {
        let (slot, done) = (Slot::default(), AtomicBool::new(false));
        std::thread::scope(|scope| {
            scope.spawn(|| {
                for n in 1..200_000_u64 {
                    slot.set(Exemplar {
                        trace: u128::from(n) << 64 | u128::from(n),
                        took: Duration::from_micros(n),
                        at: Duration::from_millis(n),
                    });
                }
                done.store(true, Ordering::Release);
            });
            while !done.load(Ordering::Acquire) {
                let Some(one) = slot.get() else { continue };
                let n = one.trace as u64;
                assert_eq!((one.trace >> 64) as u64, n);
                assert_eq!(
                    (one.took, one.at),
                    (Duration::from_micros(n), Duration::from_millis(n))
                );
            }
        });
        assert_eq!(slot.get().map(|one| one.trace as u64), Some(199_999));
    }
}
