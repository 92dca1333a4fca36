//! Sessions of an upstream: which backend has a client's session, as it was learnt from a response.
//!
//! One table for all workers, without a lock: places are found by a hash of what names the session, and
//! each is two words. Time is counted in seconds, and backends by the low half of their number, of which
//! a process never has so many.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::model::{BackendId, Tick};

/// So many places are looked through for a session.
const BUCKET: usize = 8;

/// What is known of one session. Both words are changed alone, and no other memory is published through
/// them: a request that comes while a place is given to another session may be told the backend of the
/// one before, as if it had been balanced anew.
#[derive(Debug, Default)]
struct Slot {
    /// The hash of what names the session; 0 is nobody's.
    tag: AtomicU64,
    /// The backend and the second of the last use; 0 is none.
    state: AtomicU64,
}

/// The sessions of an upstream.
#[derive(Debug)]
pub struct Sessions {
    slots: Box<[Slot]>,
}

impl Sessions {
    /// A table for so many sessions, at 32 bytes each. When more are learnt, those that were not used
    /// for the longest time are forgotten.
    pub fn new(most: usize) -> Self {
        let count = (most * 2).next_power_of_two().max(BUCKET);
        Self { slots: (0..count).map(|_| Slot::default()).collect() }
    }

    /// The backend of a session that was used within `timeout`; it counts as used now.
    pub fn find(&self, hash: u64, now: Tick, timeout: Duration) -> Option<BackendId> {
        let (slot, state) = self.known(hash, now, timeout)?;
        let (backend, used) = (state >> 32, state & u64::from(u32::MAX));
        let now = second(now);
        if used < now {
            // If it fails, another worker has used it, or bound it to another backend.
            let renewed = backend << 32 | now;
            let _ = slot.state.compare_exchange(state, renewed, Relaxed, Relaxed);
        }
        Some(BackendId(backend))
    }

    /// As [`Sessions::find`], but it does not count as used.
    pub fn peek(&self, hash: u64, now: Tick, timeout: Duration) -> Option<BackendId> {
        let (_, state) = self.known(hash, now, timeout)?;
        Some(BackendId(state >> 32))
    }

    /// The place of a session that was used within `timeout`, and its second word.
    fn known(&self, hash: u64, now: Tick, timeout: Duration) -> Option<(&Slot, u64)> {
        let hash = hash.max(1);
        let slot = self.bucket(hash).iter().find(|slot| slot.tag.load(Relaxed) == hash)?;
        let state = slot.state.load(Relaxed);
        let used = state & u64::from(u32::MAX);
        let is_known = state != 0 && second(now).saturating_sub(used) <= timeout.as_secs();
        is_known.then_some((slot, state))
    }

    /// Binds a session to a backend, whether it was known or not.
    pub fn bind(&self, hash: u64, backend: BackendId, now: Tick) {
        let Ok(backend) = u32::try_from(backend.0) else { return };
        let slot = self.place(hash.max(1));
        slot.state.store(u64::from(backend) << 32 | second(now), Relaxed);
    }

    fn bucket(&self, hash: u64) -> &[Slot] {
        let begin = hash as usize & (self.slots.len() - 1) & !(BUCKET - 1);
        &self.slots[begin..begin + BUCKET]
    }

    /// The place of a session: its own, a free one, or that of the one not used for longest.
    fn place(&self, hash: u64) -> &Slot {
        let places = self.bucket(hash);
        loop {
            let mut oldest = (u64::MAX, &places[0], 0);
            for slot in places {
                let tag = slot.tag.load(Relaxed);
                if tag == hash {
                    return slot;
                }
                let used = slot.state.load(Relaxed) & u64::from(u32::MAX);
                let age = if tag == 0 { 0 } else { used };
                if age < oldest.0 {
                    oldest = (age, slot, tag);
                }
            }
            let (_, slot, tag) = oldest;
            // Another worker may have been quicker, perhaps with this very session: look again then.
            if slot.tag.compare_exchange(tag, hash, Relaxed, Relaxed).is_ok() {
                return slot;
            }
        }
    }
}

/// Seconds since the clock's origin, and one: 0 is no moment. They fit 32 bits: a century.
fn second(now: Tick) -> u64 {
    (now.0 / 1_000_000 + 1).min(u64::from(u32::MAX))
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE: Duration = Duration::from_mins(1);

    fn at(seconds: u64) -> Tick {
        Tick(seconds * 1_000_000)
    }

    #[test]
    fn a_session_is_kept_as_long_as_it_is_used() {
        let sessions = Sessions::new(100);
        assert_eq!(sessions.find(7, at(0), MINUTE), None);
        sessions.bind(7, BackendId(3), at(0));
        for now in [0, 60, 120, 180] {
            assert_eq!(sessions.find(7, at(now), MINUTE), Some(BackendId(3)), "{now}");
        }
        assert_eq!(sessions.find(7, at(241), MINUTE), None);
        assert_eq!(sessions.find(8, at(0), MINUTE), None);
    }

    #[test]
    fn a_session_moves_to_the_backend_it_was_bound_to_last() {
        let sessions = Sessions::new(100);
        sessions.bind(7, BackendId(0), at(0));
        sessions.bind(7, BackendId(1), at(1));
        assert_eq!(sessions.find(7, at(2), MINUTE), Some(BackendId(1)));
    }

    #[test]
    fn when_the_table_is_full_the_one_unused_for_longest_goes() {
        let sessions = Sessions::new(1);
        let many = BUCKET as u64 + 1;
        for n in 1..many {
            sessions.bind(n, BackendId(n), at(n));
        }
        // The first is used again: the second is then the oldest.
        assert_eq!(sessions.find(1, at(20), MINUTE), Some(BackendId(1)));
        sessions.bind(many, BackendId(many), at(21));
        let left: Vec<u64> =
            (1..=many).filter(|n| sessions.find(*n, at(21), MINUTE).is_some()).collect();
        assert_eq!(left, [1, 3, 4, 5, 6, 7, 8, 9]);
    }

    #[test]
    fn workers_may_all_bind_at_once() {
        let sessions = Sessions::new(1000);
        std::thread::scope(|scope| {
            for worker in 0..4 {
                let sessions = &sessions;
                scope.spawn(move || {
                    for n in 0..200 {
                        let hash = (n * 4 + worker) << 3;
                        sessions.bind(hash, BackendId(hash), at(1));
                        assert_eq!(sessions.find(hash, at(1), MINUTE), Some(BackendId(hash)));
                    }
                });
            }
        });
    }
}
