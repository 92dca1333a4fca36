//! How many requests of each key are under way.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{BUCKET, bucket};

/// Bits of a place that hold the count; the others hold the key's hash.
const COUNT_BITS: u32 = 16;
const MOST: u64 = (1 << COUNT_BITS) - 1;

/// The counts of many keys.
///
/// A place is given to another key only while its count is 0, by exchanging both at once: so no
/// count is ever lost. When two workers meet a new key at the same instant they may give it two
/// places; it then has twice its limit until both are 0 again.
#[derive(Debug)]
pub struct Counts {
    /// Relaxed suffices: no other memory is published through these.
    slots: Box<[AtomicU64]>,
}

/// A request that is counted until this is dropped.
#[derive(Debug)]
pub struct Held<'c>(&'c AtomicU64);

impl Drop for Held<'_> {
    fn drop(&mut self) {
        // The count is at least ours, so that the place is still this key's.
        self.0.fetch_sub(1, Relaxed);
    }
}

/// The same without a borrow of the table.
#[derive(Debug)]
pub struct HeldShared {
    counts: Arc<Counts>,
    place: usize,
}

impl Drop for HeldShared {
    fn drop(&mut self) {
        drop(Held(&self.counts.slots[self.place]));
    }
}

impl Counts {
    /// A table for this many keys with requests under way, 32 bytes each.
    pub fn new(keys: usize) -> Self {
        let count = (keys * 4).next_power_of_two().max(BUCKET);
        Self { slots: (0..count).map(|_| AtomicU64::new(0)).collect() }
    }

    /// Counts a request; `None` if `most` of its key are under way, or if there is no place left for
    /// another key.
    pub fn enter(&self, hash: u64, most: u32) -> Option<Held<'_>> {
        self.take(hash, most).map(|place| Held(&self.slots[place]))
    }

    /// The same for what outlives a borrow of the table.
    pub fn enter_shared(self: &Arc<Self>, hash: u64, most: u32) -> Option<HeldShared> {
        let place = self.take(hash, most)?;
        Some(HeldShared { counts: Arc::clone(self), place })
    }

    /// Counts in the key's place, and gives it.
    fn take(&self, hash: u64, most: u32) -> Option<usize> {
        let begin = bucket(hash, self.slots.len());
        let places = begin..begin + BUCKET;
        let key = hash << COUNT_BITS;
        loop {
            let mut free = None;
            let mut own = None;
            for place in places.clone() {
                let word = self.slots[place].load(Relaxed);
                if word & !MOST == key && word & MOST != 0 {
                    own = Some((place, word));
                    break;
                }
                if word & MOST == 0 && free.is_none() {
                    free = Some((place, word));
                }
            }
            let (place, before, count) = match own {
                Some((place, word)) => (place, word, word & MOST),
                None => free.map(|(place, word)| (place, word, 0))?,
            };
            if count >= u64::from(most).min(MOST) {
                return None;
            }
            let word = key | (count + 1);
            if self.slots[place].compare_exchange(before, word, Relaxed, Relaxed).is_ok() {
                return Some(place);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn as_many_as_allowed_are_let_in_and_leave_their_place() {
        let counts = Counts::new(10);
        let held: Vec<_> = (0..3).map_while(|_| counts.enter(7, 2)).collect();
        assert_eq!(held.len(), 2);
        assert!(counts.enter(8, 2).is_some(), "another key has its own");
        drop(held);
        assert_eq!(counts.slots.iter().filter(|slot| slot.load(Relaxed) & MOST != 0).count(), 0);
        assert!(counts.enter(7, 2).is_some());
        assert!(counts.enter(7, 0).is_none());
    }

    #[test]
    fn a_table_that_is_full_takes_no_other_key() {
        let counts = Counts::new(1);
        let held: Vec<_> = (1..=BUCKET as u64).map(|key| counts.enter(key, 1).unwrap()).collect();
        assert!(counts.enter(99, 1).is_none());
        drop(held);
        assert!(counts.enter(99, 1).is_some());
    }

    #[test]
    fn what_is_held_without_a_borrow_is_counted_alike() {
        let counts = Arc::new(Counts::new(10));
        let first = counts.enter_shared(7, 2).unwrap();
        let second = counts.enter(7, 2).unwrap();
        assert!(counts.enter_shared(7, 2).is_none());
        drop(first);
        let third = counts.enter_shared(7, 2);
        assert!(third.is_some());
        drop((second, third));
        assert!(counts.slots.iter().all(|slot| slot.load(Relaxed) & MOST == 0));
    }

    #[test]
    fn workers_together_let_in_no_more_than_allowed() {
        let counts = Counts::new(10);
        let first = counts.enter(7, 100);
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..1000 {
                        let held: Vec<_> = (0..60).map_while(|_| counts.enter(7, 100)).collect();
                        assert!(held.len() < 100);
                    }
                });
            }
        });
        let held: Vec<_> = (0..200).map_while(|_| counts.enter(7, 100)).collect();
        assert_eq!(held.len(), 99);
        drop((first, held));
    }

    proptest! {
        #[test]
        fn counts_are_those_of_a_map(steps in prop::collection::vec((0..6_u64, any::<bool>()), 0..200)) {
            let counts = Counts::new(100);
            let mut model = std::collections::BTreeMap::<u64, Vec<Held<'_>>>::new();
            for (key, enters) in steps {
                let hash = (key + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
                let held = model.entry(key).or_default();
                if enters {
                    let entered = counts.enter(hash, 3);
                    prop_assert_eq!(entered.is_some(), held.len() < 3);
                    held.extend(entered);
                } else {
                    held.pop();
                }
            }
        }
    }
}
