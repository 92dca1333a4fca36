//! Where keys stay.

use std::collections::BTreeSet;

use super::bed::{Bed, keys};
use super::variants;
use crate::balance::{Key, Need, Rng, Strategy};
use crate::model::WorkerIx;

#[test]
fn the_order_of_the_file_does_not_move_keys_on_the_ring() {
    let mut bed = Bed::weighted(Strategy::ConsistentHash, &[3, 2, 9, 5, 1]);
    let before: Vec<_> = keys(5_000).map(|k| bed.pick_key(Key::Bytes(k.as_bytes()))).collect();
    bed.reorder(&[4, 2, 0, 1, 3]);
    let after: Vec<_> = keys(5_000).map(|k| bed.pick_key(Key::Bytes(k.as_bytes()))).collect();
    assert_eq!(before, after);
}

/// Gone from the file, not only ineligible: the ring itself is another.
#[test]
fn a_backend_that_leaves_the_ring_moves_its_own_keys_only() {
    let mut bed = Bed::weighted(Strategy::ConsistentHash, &[1; 10]);
    let pick_all = |bed: &mut Bed| -> Vec<u32> {
        keys(5_000).map(|k| bed.pick_key(Key::Bytes(k.as_bytes())).unwrap()).collect()
    };
    let before = pick_all(&mut bed);
    let without = {
        let order: Vec<usize> = (0..10).filter(|ix| *ix != 4).collect();
        let mut smaller = Bed::weighted(Strategy::ConsistentHash, &[1; 10]);
        smaller.reorder(&order);
        pick_all(&mut smaller)
    };
    bed.set_eligible(4, false);
    let out = pick_all(&mut bed);
    for ((before, without), out) in before.iter().zip(&without).zip(&out) {
        assert_ne!(*without, 4);
        if *before != 4 {
            assert_eq!((without, out), (before, before));
        }
        // To be out and to be gone is the same to a key.
        assert_eq!(without, out);
    }
    assert!(before.contains(&4));
    bed.set_eligible(4, true);
    assert_eq!(pick_all(&mut bed), before);
}

/// The modulo hashes and the table move keys when the list changes, but not when health does.
#[test]
fn a_backend_that_is_down_moves_its_own_keys_only() {
    for strategy in
        [Strategy::IpHash, Strategy::UrlHash, Strategy::ConsistentHash, Strategy::Maglev]
    {
        let mut bed = Bed::weighted(strategy, &[3, 1, 2, 1, 1]);
        let pick_all = |bed: &mut Bed| {
            bed.requests = 0;
            bed.picks(2_000)
        };
        let before = pick_all(&mut bed);
        bed.set_eligible(2, false);
        for (before, after) in before.iter().zip(pick_all(&mut bed)) {
            assert!(after != 2 && (*before == 2 || *before == after), "{strategy:?}");
        }
        bed.set_eligible(2, true);
        assert_eq!(pick_all(&mut bed), before);
    }
}

#[test]
fn the_same_key_goes_to_the_same_backend_whoever_picks() {
    for settings in variants().into_iter().filter(|s| s.strategy.needs() != Need::Nothing) {
        let mut one = Bed::new(settings.clone(), &[3, 1, 2, 1, 1, 4]);
        let mut other = Bed::new(settings.clone(), &[3, 1, 2, 1, 1, 4]);
        other.cursor = other.plan.cursor(WorkerIx(3), 77);
        other.rng = Rng::new(1_234);
        let first = one.picks(1_000);
        assert_eq!(first, other.picks(1_000), "{settings:?}");
        one.requests = 0;
        assert_eq!(first, one.picks(1_000), "{settings:?}");
        assert_eq!(first.into_iter().collect::<BTreeSet<_>>().len(), 6, "{settings:?}");
    }
}
