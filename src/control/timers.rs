//! What is due when: one moment per key, setting it again moves it.
//!
//! All that the control loop does later (probes, ends of pauses, names to resolve again) waits here
//! under its own key, so nothing can be due twice and what is gone is cleared by its key.

use std::collections::{BTreeMap, BTreeSet};

use crate::model::Tick;

/// Moments by key. Each operation costs the logarithm of their number.
#[derive(Debug)]
pub(super) struct Timers<K> {
    by_key: BTreeMap<K, Tick>,
    by_time: BTreeSet<(Tick, K)>,
}

impl<K> Default for Timers<K> {
    fn default() -> Self {
        Self { by_key: BTreeMap::new(), by_time: BTreeSet::new() }
    }
}

impl<K: Ord + Clone> Timers<K> {
    /// Sets or moves the moment of `key`.
    pub(super) fn set(&mut self, key: K, at: Tick) {
        self.clear(&key);
        self.by_key.insert(key.clone(), at);
        self.by_time.insert((at, key));
    }

    /// Forgets `key`.
    pub(super) fn clear(&mut self, key: &K) {
        if let Some((key, at)) = self.by_key.remove_entry(key) {
            self.by_time.remove(&(at, key));
        }
    }

    /// The earliest moment.
    pub(super) fn next(&self) -> Option<Tick> {
        self.by_time.first().map(|(at, _)| *at)
    }

    /// Takes out the earliest key if it is due.
    pub(super) fn pop(&mut self, now: Tick) -> Option<K> {
        if self.next()? > now {
            return None;
        }
        let (_, key) = self.by_time.pop_first()?;
        self.by_key.remove(&key);
        Some(key)
    }

    /// Whether `key` waits.
    pub(super) fn contains(&self, key: &K) -> bool {
        self.by_key.contains_key(key)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn keys_come_once_in_order_at_their_last_moment(
            steps in prop::collection::vec((0_u8..6, prop::option::of(0_u64..100)), 0..60),
        ) {
            let mut timers = Timers::default();
            let mut model = BTreeMap::new();
            for (key, at) in steps {
                if let Some(at) = at {
                    timers.set(key, Tick(at));
                    model.insert(key, Tick(at));
                } else {
                    timers.clear(&key);
                    model.remove(&key);
                }
                prop_assert_eq!(timers.next(), model.values().min().copied());
                prop_assert_eq!(timers.contains(&key), model.contains_key(&key));
            }
            let mut last = Tick(0);
            for now in 0..100 {
                while let Some(key) = timers.pop(Tick(now)) {
                    let at = model.remove(&key).expect("each key comes once");
                    prop_assert!(at <= Tick(now) && at >= last);
                    last = at;
                }
                prop_assert!(model.values().all(|at| *at > Tick(now)), "nothing due is left");
            }
            prop_assert!(timers.next().is_none() && model.is_empty());
        }
    }
}
