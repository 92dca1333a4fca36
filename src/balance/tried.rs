//! Which backends a request has already tried. The retry loop owns one and each pick reads it.

use crate::model::BackendIx;

/// A set of backends. The first 128 places of an upstream cost no allocation; the first insertion of a
/// higher one allocates.
#[derive(Debug, Clone, Default)]
pub struct Tried {
    low: [u64; 2],
    high: Vec<u64>,
}

const LOW_WORDS: usize = 2;

impl Tried {
    /// The empty set.
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a backend.
    pub fn insert(&mut self, ix: BackendIx) {
        let (word, bit) = split(ix);
        if let Some(low) = self.low.get_mut(word) {
            *low |= bit;
        } else {
            let word = word - LOW_WORDS;
            if self.high.len() <= word {
                self.high.resize(word + 1, 0);
            }
            self.high[word] |= bit;
        }
    }

    /// Whether the backend was tried.
    #[inline]
    pub fn contains(&self, ix: BackendIx) -> bool {
        let (word, bit) = split(ix);
        let bits = match self.low.get(word) {
            Some(low) => *low,
            None => self.high.get(word - LOW_WORDS).copied().unwrap_or(0),
        };
        bits & bit != 0
    }

    /// Whether nothing was tried yet.
    #[inline]
    pub fn is_empty(&self) -> bool {
        self.low.iter().chain(&self.high).all(|bits| *bits == 0)
    }

    /// How many were tried.
    #[inline]
    pub(super) fn count(&self) -> u32 {
        self.low.iter().chain(&self.high).map(|bits| bits.count_ones()).sum()
    }

    /// Forgets all; what was allocated is kept for the next use.
    pub fn clear(&mut self) {
        self.low = [0; LOW_WORDS];
        self.high.clear();
    }
}

/// The word and the bit of a place.
#[inline]
fn split(ix: BackendIx) -> (usize, u64) {
    (ix.index() / 64, 1 << (ix.index() % 64))
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use std::collections::BTreeSet;

    proptest! {
        #[test]
        fn behaves_as_a_set(places in prop::collection::vec(0_u32..400, 0..60)) {
            let mut tried = Tried::new();
            for place in &places {
                tried.insert(BackendIx(*place));
            }
            let set: BTreeSet<u32> = places.into_iter().collect();
            for place in 0..400 {
                prop_assert_eq!(tried.contains(BackendIx(place)), set.contains(&place));
            }
            prop_assert_eq!(tried.count() as usize, set.len());
            prop_assert_eq!(tried.is_empty(), set.is_empty());
            tried.clear();
            prop_assert!(tried.is_empty());
            prop_assert!((0..400).all(|place| !tried.contains(BackendIx(place))));
        }
    }

    #[test]
    fn the_first_128_places_need_no_heap() {
        let mut tried = Tried::new();
        (0..128).for_each(|place| tried.insert(BackendIx(place)));
        assert_eq!(tried.high.capacity(), 0);
        tried.insert(BackendIx(128));
        assert!(tried.contains(BackendIx(128)) && !tried.contains(BackendIx(129)));
    }
}
