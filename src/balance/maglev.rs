//! `maglev`: a table of slots, each of which belongs to a backend; a key's hash names its slot. After
//! "Maglev: A Fast and Reliable Software Network Load Balancer" (Eisenbud et al., NSDI 2016, §3.4): every
//! backend has a permutation of all slots, made from its name, and by turns each takes the
//! next slot of its own that is still free. Backends get the same number of slots to within one, where
//! points on a ring differ by several percent; in return a change of the list moves a few keys of others.
//! O(key) per pick, 4 bytes of memory per slot, however heavy the backends are.
//!
//! Beside the paper:
//!
//! - *Weights*: with the heaviest weight w, a backend of weight v takes its turn in v of w rounds (after
//!   Envoy's). Each has at least one slot as long as there are as many slots as backends.
//! - *Order*: backends take their turns in the order of a hash of their texts, not in that of the file: so
//!   nodes whose files differ in order place alike.
//! - *Health*: the paper makes a new table when a backend fails, which moves some keys of others too. Here
//!   the table holds eligible and ineligible backends alike, and a pick that meets one it cannot use jumps
//!   to a pseudo-random slot, always the same for the same key: keys of others stay where they are, those
//!   of the lost one spread over all, and the table outlives changes of health. After 20 misses backends
//!   take turns.
//! - *Connections*: the paper's second half, a table of connections that keeps them where they are, is not
//!   needed where a proxy owns both sides.

use std::sync::Arc;

use super::cursor::Cursor;
use super::hash::crc32;
use super::plan::{Candidate, Pick};
use super::rng::{fraction, mix};
use super::roster::{MISSES, Roster};

/// The slots of a table where nothing else is said: the paper's, with which shares of up to 650 backends
/// are right to 1 %.
pub(super) const SLOTS: u32 = 65_537;

/// What a slot holds that nobody took.
const FREE: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct Maglev {
    slots: Arc<[u32]>,
}

impl Maglev {
    pub(super) fn new(slots: Arc<[u32]>) -> Self {
        Self { slots }
    }

    /// Makes the table of these backends with `size` slots, a prime number.
    pub(super) fn table_of(candidates: &[Candidate<'_>], size: u32) -> Arc<[u32]> {
        fill(candidates, size).into()
    }

    pub(super) fn slots(&self) -> Arc<[u32]> {
        Arc::clone(&self.slots)
    }

    #[inline]
    pub(super) fn pick(
        &self,
        roster: &Roster,
        cursor: &mut Cursor,
        p: &mut Pick<'_>,
    ) -> Option<usize> {
        let Some(key) = p.key.bytes() else {
            return roster.turn_by_weight(cursor, p);
        };
        // One is added because 0 stays 0 when it is stirred.
        let mut hash = mix(u64::from(crc32(key)) + 1);
        for _ in 0..=MISSES {
            let slot = fraction(hash, self.slots.len() as u64) as usize;
            let place = self.slots[slot] as usize;
            if roster.usable(place, p) {
                return Some(place);
            }
            hash = mix(hash.wrapping_add(1));
        }
        roster.turn_by_weight(cursor, p)
    }
}

/// A backend's way through all slots.
struct Walk {
    place: u32,
    weight: u64,
    /// The next slot of its permutation.
    at: u64,
    skip: u64,
    /// Rounds × weight at which it takes a turn again.
    next_turn: u64,
}

/// Slot by slot, the place of the backend that it belongs to.
fn fill(candidates: &[Candidate<'_>], size: u32) -> Vec<u32> {
    let slots = u64::from(size);
    let mut walks: Vec<_> = (0..)
        .zip(candidates)
        .map(|(place, one)| {
            let hash = mix(u64::from(crc32(one.label.as_bytes())) + 1);
            // Two hashes of the text: the two halves would be too few bits for large tables.
            let (offset, skip) = (mix(hash) % slots, mix(!hash) % (slots - 1) + 1);
            let weight = u64::from(one.weight.value());
            (hash, Walk { place, weight, at: offset, skip, next_turn: 0 })
        })
        .collect();
    // Twins stay in the order of the file.
    walks.sort_by_key(|(hash, _)| *hash);
    let heaviest = walks.iter().map(|(_, walk)| walk.weight).max().unwrap_or(1);
    let mut table = vec![FREE; size as usize];
    let mut left = if walks.is_empty() { 0 } else { size };
    let mut round = 0;
    while left > 0 {
        round += 1;
        for (_, walk) in &mut walks {
            if round * walk.weight < walk.next_turn {
                continue;
            }
            walk.next_turn += heaviest;
            // A prime number of slots: whatever the skip, the walk comes by all of them.
            while table[walk.at as usize] != FREE {
                walk.at = (walk.at + walk.skip) % slots;
            }
            table[walk.at as usize] = walk.place;
            left -= 1;
            if left == 0 {
                break;
            }
        }
    }
    table
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{Bed, keys};
    use super::super::plan::Key;
    use super::super::plan::Table;
    use super::super::strategy::Strategy;
    use super::*;
    use std::collections::BTreeSet;

    fn slots(bed: &Bed) -> Arc<[u32]> {
        match &bed.plan.table {
            Table::Maglev(table) => table.slots(),
            other => panic!("{other:?}"),
        }
    }

    fn counts(slots: &[u32], backends: usize) -> Vec<u32> {
        let mut counts = vec![0; backends];
        for place in slots {
            counts[*place as usize] += 1;
        }
        counts
    }

    #[test]
    fn equal_backends_have_equally_many_slots_to_within_one() {
        for backends in [1, 2, 3, 7, 100] {
            let bed = Bed::weighted(Strategy::Maglev, &vec![1; backends]);
            let counts = counts(&slots(&bed), backends);
            let (least, most) = (counts.iter().min().unwrap(), counts.iter().max().unwrap());
            assert!(most - least <= 1, "{counts:?}");
        }
    }

    #[test]
    fn slots_follow_weights_and_the_lightest_has_one() {
        let weights = [1, 2, 3, 10];
        let bed = Bed::weighted(Strategy::Maglev, &weights);
        for (count, weight) in counts(&slots(&bed), 4).into_iter().zip(weights) {
            let due = SLOTS * weight / 16;
            assert!(count.abs_diff(due) <= 10, "{count} for {due}");
        }
        let bed = Bed::weighted(Strategy::Maglev, &[65_535, 1, 65_535]);
        assert!(counts(&slots(&bed), 3)[1] > 0);
    }

    /// The paper's figure: of the keys of others, next to none move.
    #[test]
    fn a_backend_that_leaves_the_list_moves_few_keys_of_others() {
        let pick_all = |bed: &mut Bed| -> Vec<u32> {
            keys(5_000).map(|k| bed.pick_key(Key::Bytes(k.as_bytes())).unwrap()).collect()
        };
        let mut bed = Bed::weighted(Strategy::Maglev, &[1; 10]);
        let before = pick_all(&mut bed);
        let order: Vec<usize> = (0..10).filter(|ix| *ix != 4).collect();
        bed.reorder(&order);
        let after = pick_all(&mut bed);
        let others = before.iter().zip(&after).filter(|(before, _)| **before != 4);
        let moved = others.filter(|(before, after)| before != after).count();
        // Modulo would move nine tenths of 5,000; 2 % is what a table of 65,537 slots comes to.
        assert!(moved < 100, "{moved}");
    }

    #[test]
    fn the_order_of_the_file_changes_nothing() {
        let mut bed = Bed::weighted(Strategy::Maglev, &[3, 2, 9, 5, 1]);
        let before: Vec<_> = keys(2_000).map(|k| bed.pick_key(Key::Bytes(k.as_bytes()))).collect();
        bed.reorder(&[4, 2, 0, 1, 3]);
        let after: Vec<_> = keys(2_000).map(|k| bed.pick_key(Key::Bytes(k.as_bytes()))).collect();
        assert_eq!(before, after);
    }

    #[test]
    fn keys_of_one_that_is_out_spread_over_all_others() {
        let mut bed = Bed::weighted(Strategy::Maglev, &[1; 8]);
        let keys: Vec<String> = keys(4_000).collect();
        let pick = |bed: &mut Bed, key: &String| bed.pick_key(Key::Bytes(key.as_bytes()));
        let of_five: Vec<_> = keys.iter().filter(|key| pick(&mut bed, key) == Some(5)).collect();
        bed.set_eligible(5, false);
        let mut heirs = [0_u32; 8];
        for key in &of_five {
            heirs[pick(&mut bed, key).unwrap() as usize] += 1;
        }
        let mean = of_five.len() as u32 / 7;
        let even = |n: &u32| n.abs_diff(mean) < mean / 2;
        assert!(heirs.iter().filter(|n| even(n)).count() == 7 && heirs[5] == 0, "{heirs:?}");
    }

    #[test]
    fn a_change_of_health_shares_the_table_and_one_of_its_size_does_not() {
        let mut bed = Bed::weighted(Strategy::Maglev, &[1, 2, 3]);
        let first = slots(&bed);
        bed.set_eligible(1, false);
        assert!(Arc::ptr_eq(&first, &slots(&bed)));
        bed.settings.table_size = 1_009;
        bed.rebuild();
        assert_eq!(slots(&bed).len(), 1_009);
    }

    #[test]
    fn more_backends_than_slots_leave_some_without() {
        let bed = Bed::sized(&[1; 40], 31);
        let owners: BTreeSet<u32> = slots(&bed).iter().copied().collect();
        assert_eq!(owners.len(), 31);
    }
}
