//! `round_robin`: each eligible backend in turn, weights ignored. O(1) per pick.
//!
//! Order is promised per worker only; workers start at different places. The even wheel
//! ([`wheel`](super::wheel)) does the turning.

use super::cursor::Cursor;
use super::plan::Pick;
use super::roster::Roster;

#[inline]
pub(super) fn pick(roster: &Roster, cursor: &mut Cursor, p: &mut Pick<'_>) -> Option<usize> {
    roster.turn(cursor, p)
}

#[cfg(test)]
mod tests {
    use super::super::conformance::Bed;
    use super::super::strategy::Strategy;
    use crate::model::WorkerIx;

    #[test]
    fn everyone_in_turn_whatever_the_weights() {
        let mut bed = Bed::weighted(Strategy::RoundRobin, &[1, 9, 1]);
        assert_eq!(bed.picks(7), [0, 1, 2, 0, 1, 2, 0]);
    }

    #[test]
    fn workers_start_at_different_places() {
        let mut bed = Bed::weighted(Strategy::RoundRobin, &[1; 8]);
        let mut starts: Vec<u32> = (0..4)
            .map(|worker| {
                bed.cursor = bed.plan.cursor(WorkerIx(worker), 0);
                bed.pick().unwrap()
            })
            .collect();
        starts.sort_unstable();
        starts.dedup();
        assert_eq!(starts.len(), 4);
    }

    #[test]
    fn a_seed_shifts_the_start() {
        let bed = Bed::weighted(Strategy::RoundRobin, &[1; 64]);
        let turns: std::collections::BTreeSet<u64> =
            (0..32).map(|seed| bed.plan.cursor(WorkerIx(0), seed).turn).collect();
        assert!(turns.len() > 16, "{turns:?}");
    }

    #[test]
    fn the_turn_goes_on_when_the_last_one_leaves_and_returns() {
        let mut bed = Bed::weighted(Strategy::RoundRobin, &[1; 4]);
        assert_eq!(bed.picks(2), [0, 1]);
        bed.set_eligible(1, false);
        assert_eq!(bed.picks(2), [2, 3]);
        bed.set_eligible(1, true);
        assert_eq!(bed.picks(5), [0, 1, 2, 3, 0]);
    }

    #[test]
    fn the_turn_survives_a_time_with_nobody() {
        let mut bed = Bed::weighted(Strategy::RoundRobin, &[1; 3]);
        assert_eq!(bed.picks(2), [0, 1]);
        (0..3).for_each(|place| bed.set_eligible(place, false));
        assert_eq!(bed.pick(), None);
        (0..3).for_each(|place| bed.set_eligible(place, true));
        assert_eq!(bed.picks(1), [2]);
    }
}
