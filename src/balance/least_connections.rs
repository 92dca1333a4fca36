//! `least_connections`: fewest requests in flight per weight, over all workers. After nginx's
//! `least_conn`: loads are compared cross-multiplied, and ties go by smooth weighted round robin among
//! the tied, not by list order. O(n) per pick, as every counter is read.

use std::cmp::Ordering;

use super::cursor::Cursor;
use super::plan::Pick;
use super::roster::Roster;

#[inline]
pub(super) fn pick(roster: &Roster, cursor: &mut Cursor, p: &Pick<'_>) -> Option<usize> {
    let mut best: Option<Load> = None;
    cursor.tied.clear();
    for place in roster.open().filter(|place| roster.usable(*place, p)) {
        let load = Load::at(place, roster, p);
        match best.as_ref().map_or(Ordering::Less, |best| load.compare(best)) {
            Ordering::Less => {
                best = Some(load);
                cursor.tied.clear();
                cursor.tied.push(place as u32);
            }
            Ordering::Equal => cursor.tied.push(place as u32),
            Ordering::Greater => {}
        }
    }
    match cursor.tied[..] {
        // As in nginx: one that is alone neither gains nor pays.
        [place] => Some(place as usize),
        _ => roster.smooth_tied(cursor),
    }
}

/// Requests in flight per weight.
pub(super) struct Load {
    pub(super) place: usize,
    in_flight: u64,
    weight: u64,
}

impl Load {
    #[inline]
    pub(super) fn at(place: usize, roster: &Roster, p: &Pick<'_>) -> Self {
        Self {
            place,
            in_flight: roster.in_flight(place, p).into(),
            weight: roster.weight(place).into(),
        }
    }

    #[inline]
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        (self.in_flight * other.weight).cmp(&(other.in_flight * self.weight))
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::Bed;
    use super::super::strategy::Strategy;
    use crate::model::WorkerIx;

    #[test]
    fn the_idle_one_is_picked() {
        let mut bed = Bed::weighted(Strategy::LeastConnections, &[1, 1, 1]);
        let _held = bed.hold(&[2, 1, 3]);
        assert_eq!(bed.picks(3), [1, 1, 1]);
    }

    #[test]
    fn load_is_counted_per_weight() {
        let mut bed = Bed::weighted(Strategy::LeastConnections, &[1, 10]);
        let _held = bed.hold(&[1, 9]);
        assert_eq!(bed.picks(2), [1, 1]);
        let _one_more_each = bed.hold(&[0, 2]);
        assert_eq!(bed.picks(2), [0, 0]);
    }

    #[test]
    fn ties_go_by_smooth_weighted_round_robin() {
        let mut bed = Bed::weighted(Strategy::LeastConnections, &[5, 1, 1]);
        assert_eq!(bed.picks(7), [0, 0, 1, 0, 2, 0, 0]);
        // Among the tied only.
        let mut bed = Bed::weighted(Strategy::LeastConnections, &[1, 2, 1]);
        let _held = bed.hold(&[1, 2, 0]);
        assert_eq!(bed.picks(2), [2, 2]);
        let _tied = bed.hold(&[0, 0, 1]);
        assert_eq!(bed.picks(4), [1, 0, 2, 1]);
    }

    #[test]
    fn workers_break_ties_from_different_places() {
        let mut bed = Bed::weighted(Strategy::LeastConnections, &[1; 8]);
        let starts: std::collections::BTreeSet<u32> = (0..4)
            .map(|worker| {
                bed.cursor = bed.plan.cursor(WorkerIx(worker), 0);
                bed.pick().unwrap()
            })
            .collect();
        assert_eq!(starts.len(), 4);
    }

    #[test]
    fn a_reload_that_moves_backends_keeps_what_each_is_owed() {
        let mut steady = Bed::weighted(Strategy::LeastConnections, &[5, 1, 1, 3]);
        let mut moved = Bed::weighted(Strategy::LeastConnections, &[5, 1, 1, 3]);
        assert_eq!(steady.picks(4), moved.picks(4));
        moved.reorder(&[3, 0, 2, 1]);
        moved.reorder(&[0, 1, 2, 3]);
        assert_eq!(steady.picks(20), moved.picks(20));
    }
}
