//! `least_connections`: fewest requests in flight per weight, over all workers. After nginx's
//! `least_conn`.
//!
//! Up to 16 eligible backends, loads are compared cross-multiplied and ties go by smooth weighted round
//! robin among the tied: bit for bit nginx's order.
//!
//! Among more, a pick is as exact and takes constant time while many are idle. Nobody has fewer requests
//! in flight than none, so whoever of the next few on the wheel is idle is picked at once, in the order
//! of `weighted_round_robin`. When they are all busy, one pass over all counts finds the least load; those
//! who tie take turns in file order. That pass is O(n), but reads the counts where they stand side by side
//! ([`Lives`](super::Lives)).

use std::cmp::Ordering;
use std::ops::Range;
use std::sync::atomic::Ordering::Relaxed;

use super::cursor::Cursor;
use super::plan::Pick;
use super::roster::Roster;

/// Turns of the wheel in which an idle backend is looked for. With half of all backends busy one pick in
/// 16 finds none; more turns would only delay the pass when nearly all are busy.
const GLANCE: u64 = 4;

/// What a pass over the counts of an upstream must know of its backends; empty where few are eligible.
#[derive(Debug)]
pub(super) struct LeastConnections {
    /// By [`BackendIx`](crate::model::BackendIx), as the counts are: 1 ÷ weight, and infinity for who is
    /// not eligible or not of this tier, and so never has the least load.
    ///
    /// Rounded twice, here and by a product, a load is off by 2^-52 of itself at most. With weights of 16
    /// bits and counts of 32, two different loads are at least 2^-48 apart: so products have the order of
    /// the fractions. (Equal fractions of different weights may differ a little; either is the least.)
    per_weight: Box<[f64]>,
    /// By [`BackendIx`](crate::model::BackendIx), the place.
    places: Box<[u32]>,
}

impl LeastConnections {
    pub(super) fn new(roster: &Roster) -> Self {
        let open = || roster.open().filter(|_| !roster.is_few());
        let size = open().map(|place| roster.ix(place).index() + 1).max().unwrap_or(0);
        let mut table =
            Self { per_weight: vec![f64::INFINITY; size].into(), places: vec![0; size].into() };
        for place in open() {
            let ix = roster.ix(place).index();
            table.per_weight[ix] = 1.0 / f64::from(roster.weight(place));
            table.places[ix] = place as u32;
        }
        table
    }

    #[inline]
    pub(super) fn pick(&self, roster: &Roster, cursor: &mut Cursor, p: &Pick<'_>) -> Option<usize> {
        if roster.is_few() {
            return least_of_few(roster, cursor, p);
        }
        let is_idle = |place| roster.in_flight(place, p) == 0 && roster.usable(place, p);
        roster
            .turn_within(GLANCE, cursor, is_idle)
            .or_else(|| self.least_of_many(roster, cursor, p))
    }

    /// The least loaded of all; of those who tie the first after the one that was picked last.
    fn least_of_many(&self, roster: &Roster, cursor: &mut Cursor, p: &Pick<'_>) -> Option<usize> {
        let next = cursor.last.map_or(0, |place| roster.ix(place).index() + 1);
        let mut least = Least { load: f64::INFINITY, place: None };
        self.look_through(next..usize::MAX, roster, p, &mut least);
        self.look_through(0..next, roster, p, &mut least);
        cursor.last = least.place.or(cursor.last);
        least.place
    }

    fn look_through(&self, those: Range<usize>, roster: &Roster, p: &Pick<'_>, least: &mut Least) {
        let mut from = 0;
        for run in p.live.counts() {
            let to = (from + run.len()).min(self.per_weight.len());
            let (start, end) = (from.max(those.start), to.min(those.end));
            if start < end {
                let run = run[start - from..].iter().zip(&self.per_weight[start..end]);
                for ((count, per_weight), place) in run.zip(&self.places[start..end]) {
                    let in_flight = count.load(Relaxed);
                    let load = f64::from(in_flight) * per_weight;
                    let place = *place as usize;
                    if load < least.load && roster.usable_with(in_flight, place, p) {
                        *least = Least { load, place: Some(place) };
                    }
                }
            }
            from = to;
        }
    }
}

/// What was found so far.
struct Least {
    load: f64,
    place: Option<usize>,
}

fn least_of_few(roster: &Roster, cursor: &mut Cursor, p: &Pick<'_>) -> Option<usize> {
    let mut least = Load::INFINITE;
    cursor.tied.clear();
    for place in roster.open().filter(|place| roster.usable(*place, p)) {
        let load = Load::at(place, roster, p);
        match load.compare(&least) {
            Ordering::Less => {
                least = load;
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
        _ => roster.smooth_tied(cursor, p),
    }
}

/// Requests in flight per weight.
#[derive(Debug, Clone, Copy)]
pub(super) struct Load {
    in_flight: u64,
    weight: u64,
}

impl Load {
    /// More than any other, and as much as that of anybody without weight.
    const INFINITE: Self = Self { in_flight: 1, weight: 0 };

    #[inline]
    pub(super) fn at(place: usize, roster: &Roster, p: &Pick<'_>) -> Self {
        Self { in_flight: roster.in_flight(place, p).into(), weight: roster.weight(place).into() }
    }

    #[inline]
    pub(super) fn compare(&self, other: &Self) -> Ordering {
        (self.in_flight * other.weight).cmp(&(other.in_flight * self.weight))
    }
}

#[cfg(test)]
mod tests {
    use super::super::OwnedInFlight;
    use super::super::conformance::Bed;
    use super::super::strategy::Strategy;
    use crate::model::{BackendIx, WorkerIx};
    use proptest::prelude::*;
    use proptest::strategy::Strategy as _;

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

    #[test]
    fn many_idle_ones_take_turns_by_weight() {
        let weights: Vec<u32> = (0..40).map(|n| n % 3 + 1).collect();
        let mut bed = Bed::weighted(Strategy::LeastConnections, &weights);
        let mut turns = Bed::weighted(Strategy::WeightedRoundRobin, &weights);
        assert_eq!(bed.picks(200), turns.picks(200));
    }

    #[test]
    fn many_busy_ones_that_tie_take_turns() {
        let mut bed = Bed::weighted(Strategy::LeastConnections, &[1; 40]);
        let mut load = [2; 40];
        (5..10).for_each(|place| load[place] = 3);
        let _held = bed.hold(&load);
        let turns: Vec<u32> = (0..5).chain(10..40).collect();
        assert_eq!(bed.picks(35), turns);
        assert_eq!(bed.picks(35), turns);
        // Number 39 was last; the turn goes on from there, not from the head.
        bed.set_eligible(0, false);
        assert_eq!(bed.picks(2), [1, 2]);
    }

    /// A backend's weight, requests in flight and condition.
    type Seat = (u32, u32, bool, bool, bool);

    fn any_seat() -> impl proptest::strategy::Strategy<Value = Seat> {
        let weight = prop_oneof![4 => 1_u32..4, 1 => 1_u32..=65_535];
        let busy = prop_oneof![4 => 1_u32..5, 1 => 0_u32..200];
        let rarely = || prop::bool::weighted(0.1);
        (weight, busy, rarely(), rarely(), rarely())
    }

    fn is_less((load, weight): (u32, u32), (other, others_weight): (u32, u32)) -> bool {
        u64::from(load) * u64::from(others_weight) < u64::from(other) * u64::from(weight)
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(200))]

        #[test]
        fn nobody_usable_has_less_than_who_is_picked(
            seats in prop_oneof![
                prop::collection::vec(any_seat(), 1..80),
                prop::collection::vec(any_seat(), 400..600),
            ],
        ) {
            let weights: Vec<u32> = seats.iter().map(|seat| seat.0).collect();
            let loads: Vec<u32> = seats.iter().map(|seat| seat.1).collect();
            let mut bed = Bed::weighted(Strategy::LeastConnections, &weights);
            let _held = bed.hold(&loads);
            let limits: Vec<u32> = seats.iter().map(|seat| if seat.4 { seat.1 } else { 0 }).collect();
            bed.limit(&limits);
            for (ix, (_, _, out, tried, _)) in seats.iter().enumerate() {
                if *out {
                    bed.set_eligible(ix, false);
                }
                if *tried {
                    bed.tried.insert(BackendIx(ix as u32));
                }
            }
            let usable = |ix: &usize| {
                let (_, load, out, tried, full) = seats[*ix];
                !(out || tried || full && load > 0)
            };
            for _ in 0..20 {
                let load = |ix: usize| (loads[ix], weights[ix]);
                match bed.pick() {
                    None => prop_assert!(!(0..seats.len()).any(|ix| usable(&ix))),
                    Some(picked) => {
                        let picked = picked as usize;
                        prop_assert!(usable(&picked));
                        let less = (0..seats.len())
                            .find(|ix| usable(ix) && is_less(load(*ix), load(picked)));
                        prop_assert_eq!(less, None, "picked {}", picked);
                    }
                }
            }
        }

        /// Requests come and go: with one worker each goes to one of the least loaded at that moment.
        #[test]
        fn each_of_a_stream_of_requests_goes_to_the_least_loaded(
            backends in 1_usize..200,
            steps in prop::collection::vec(prop_oneof![3 => Just(None), 2 => any::<u16>().prop_map(Some)], 1..800),
        ) {
            let mut bed = Bed::weighted(Strategy::LeastConnections, &vec![1; backends]);
            let mut held: Vec<OwnedInFlight> = Vec::new();
            for step in steps {
                match step {
                    Some(which) if !held.is_empty() => {
                        held.swap_remove(usize::from(which) % held.len());
                    }
                    _ => {
                        let picked = bed.pick().unwrap() as usize;
                        let least = bed.live.iter().map(|live| live.in_flight()).min();
                        prop_assert_eq!(Some(bed.live[picked].in_flight()), least);
                        held.push(bed.live[picked].enter_owned());
                    }
                }
            }
        }
    }
}
