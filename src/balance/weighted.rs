//! `weighted_round_robin`: in turn by weight, spread smoothly, after nginx's default balancer: 5, 1, 1
//! gives a a b a c a a. With equal weights the same as `round_robin`. O(1) per pick.
//!
//! Up to 16 eligible backends the order is bit for bit nginx's, with backends that are tried or full too:
//! who may not be picked neither gains nor pays. Among more, it is nginx's as long as everybody may be
//! picked and the round can be written down ([`wheel`](super::wheel)); a backend that is tried or full
//! then loses the turns that it would have had meanwhile. One that fails is not slowed down by degrees
//! (nginx's effective weight) but parked by passive health, unless the upstream wants failures counted as
//! in nginx ([`tally`](super::tally)).

use super::cursor::Cursor;
use super::plan::Pick;
use super::roster::Roster;

#[inline]
pub(super) fn pick(roster: &Roster, cursor: &mut Cursor, p: &mut Pick<'_>) -> Option<usize> {
    roster.turn_by_weight(cursor, p)
}

#[cfg(test)]
mod tests {
    use super::super::conformance::Bed;
    use super::super::strategy::Strategy;
    use crate::model::WorkerIx;

    #[test]
    fn five_one_one() {
        let mut bed = Bed::weighted(Strategy::WeightedRoundRobin, &[5, 1, 1]);
        assert_eq!(bed.picks(14), [0, 0, 1, 0, 2, 0, 0, 0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn equal_weights_are_round_robin() {
        let mut weighted = Bed::weighted(Strategy::WeightedRoundRobin, &[4; 5]);
        let mut even = Bed::weighted(Strategy::RoundRobin, &[4; 5]);
        for worker in 0..5 {
            weighted.cursor = weighted.plan.cursor(WorkerIx(worker), 99);
            even.cursor = even.plan.cursor(WorkerIx(worker), 99);
            assert_eq!(weighted.picks(12), even.picks(12));
        }
    }

    #[test]
    fn a_rebuild_with_the_same_backends_changes_no_turn() {
        let mut steady = Bed::weighted(Strategy::WeightedRoundRobin, &[5, 1, 1, 3]);
        let mut rebuilt = Bed::weighted(Strategy::WeightedRoundRobin, &[5, 1, 1, 3]);
        for _ in 0..40 {
            rebuilt.rebuild();
            assert_eq!(steady.pick(), rebuilt.pick());
        }
    }

    #[test]
    fn constant_rebuilds_do_not_favour_anyone() {
        // One backend comes and goes before each pick; a cold cursor would always give the first.
        let mut bed = Bed::weighted(Strategy::WeightedRoundRobin, &[5, 1, 1, 3]);
        let mut hits = [0_u32; 4];
        for round in 0..10_000 {
            bed.set_eligible(3, round % 2 == 0);
            hits[bed.pick().unwrap() as usize] += 1;
        }
        // Over all rounds 5 : 1 : 1 among the first three.
        let rest = hits[0] + hits[1] + hits[2];
        for (place, share) in [(0, 5), (1, 1), (2, 1)] {
            let expected = rest * share / 7;
            assert!(hits[place].abs_diff(expected) <= rest / 20, "{hits:?}");
        }
    }
}
