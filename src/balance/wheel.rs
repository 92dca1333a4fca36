//! Taking turns by weight in constant time per pick.
//!
//! nginx's smooth weighted round robin lets every backend gain its weight at each pick, hands the turn
//! to the richest (at a tie the first) and takes the sum of all weights from it: 5, 1, 1 gives
//! a a b a c a a. That is O(n) per pick, but the order repeats after sum ÷ gcd of the weights turns. So
//! the plan writes one round down and a pick only moves on by one: the wheel. There are three:
//!
//! * **Even**: equal weights. The round is the list itself.
//! * **Schedule**: nginx's order, written down. Made per class of equal weights instead of per backend:
//!   within a class the turns go in file order, so only the next of each class can be the richest.
//! * **Stride**: where the round is too long to write down (more than 65,536 turns, or too many
//!   different weights to make it in about 2 ms). The weights are laid end to end and the wheel strides
//!   over them by the golden ratio of their sum, made coprime to it: each round meets each backend
//!   exactly as often as its weight says, and never long in a row. O(log n) per pick. The shares are
//!   those of nginx; the order is our own.
//!
//! A pick that meets a backend which is tried or full moves on. What is left is the same round without
//! it, so shares among the others still follow their weights.
//!
//! A new plan has a new wheel. If nothing changed that it depends on, a cursor keeps its very turn. If
//! something did, it goes on with the next in file order on the even wheel. A schedule or a stride with
//! other weights has no place that answers to the old one: there the cursor enters at random, which even
//! with a change before each pick favours nobody (at a fixed place, or at the same part of the round,
//! backends can starve).

use std::collections::BTreeMap;
use std::ops::Rem;

use super::rng::{GOLDEN, Rng, fraction, mix};
use super::shares::Shares;

/// The longest schedule, in turns of 4 bytes.
const LONGEST_ROUND: u64 = 1 << 16;
/// The most steps to make a schedule: turns × different weights.
const MOST_STEPS: u64 = 1 << 21;
/// Turns that a pick looks at, or one for each backend if there are more.
const PATIENCE: u64 = 1 << 10;

/// The order of turns among the eligible backends.
#[derive(Debug)]
pub(super) struct Wheel {
    order: Order,
    period: u64,
    step: u64,
    patience: u64,
    print: u64,
}

#[derive(Debug)]
enum Order {
    /// The list of the eligible.
    Even,
    /// A place per turn.
    Schedule(Box<[u32]>),
    /// By rank.
    Stride(Shares),
}

impl Wheel {
    /// Each in turn, weights ignored.
    pub(super) fn even(open: &[u32]) -> Self {
        Self::weighted(open, |_| 1)
    }

    /// In turn by weight.
    pub(super) fn weighted(open: &[u32], weight: impl Fn(&u32) -> u32) -> Self {
        let common = open.iter().fold(0, |common, place| gcd(common, weight(place)));
        let share = |place: &u32| weight(place) / common;
        let mut classes: BTreeMap<u32, Vec<u32>> = BTreeMap::new();
        for place in open {
            classes.entry(share(place)).or_default().push(*place);
        }
        let period = open.iter().map(|place| u64::from(share(place))).sum::<u64>();
        let steps = period * classes.len() as u64;
        let (order, step) = if classes.len() <= 1 {
            (Order::Even, 1)
        } else if period <= LONGEST_ROUND && steps <= MOST_STEPS {
            (Order::Schedule(schedule(classes, period)), 1)
        } else {
            (Order::Stride(Shares::new(open.iter().map(share))), golden_step(period))
        };
        let print = open.iter().fold(0, |print, place| {
            mix(mix(print ^ u64::from(*place)).wrapping_add(u64::from(share(place))))
        });
        let patience = period.min(PATIENCE.max(open.len() as u64));
        Self { order, period, step, patience, print }
    }

    /// The number of turns in a round; 0 when nobody is eligible.
    pub(super) fn period(&self) -> u64 {
        self.period
    }

    /// How many turns a pick looks at before it gives up.
    #[inline]
    pub(super) fn patience(&self) -> u64 {
        self.patience
    }

    /// Whether a pick that gave up has seen every backend.
    pub(super) fn seen_all(&self) -> bool {
        self.patience == self.period
    }

    /// Whose turn it is.
    #[inline]
    pub(super) fn place(&self, turn: u64, open: &[u32]) -> usize {
        let place = match &self.order {
            Order::Even => open[turn as usize],
            Order::Schedule(places) => places[turn as usize],
            Order::Stride(shares) => open[shares.at(turn)],
        };
        place as usize
    }

    /// The turn after `turn`.
    #[inline]
    pub(super) fn after(&self, turn: u64) -> u64 {
        let next = turn + self.step;
        if next >= self.period { next - self.period } else { next }
    }

    /// Tells this wheel from those of other places or weights.
    pub(super) fn print(&self) -> u64 {
        self.print
    }

    /// The turn at which a cursor of another wheel goes on. `last` is the place in the new list of the
    /// backend that it handed out last, and true; or that backend's old place, and false, if it is gone.
    pub(super) fn enter(&self, last: Option<(usize, bool)>, open: &[u32], luck: &mut Rng) -> u64 {
        let (Order::Even, Some((place, known))) = (&self.order, last) else {
            return luck.below_u64(self.period);
        };
        // Where it was now stands its successor, if it is gone.
        let from = place + usize::from(known);
        let rank = open.partition_point(|open| (*open as usize) < from);
        if rank < open.len() { rank as u64 } else { 0 }
    }
}

/// Backends of one weight, of which the one at `next` has the most credit.
struct Class {
    weight: i64,
    places: Vec<u32>,
    next: usize,
    credit: i64,
}

/// One round of nginx's smooth weighted round robin, from the places of each weight. The weights have no
/// common divisor, and their sum is `period`.
fn schedule(classes: BTreeMap<u32, Vec<u32>>, period: u64) -> Box<[u32]> {
    let mut classes: Vec<Class> = classes
        .into_iter()
        .map(|(weight, places)| Class { weight: weight.into(), places, next: 0, credit: 0 })
        .collect();
    (0..period)
        .map(|_| {
            let mut richest = 0;
            for i in 0..classes.len() {
                classes[i].credit += classes[i].weight;
                let (this, most) = (&classes[i], &classes[richest]);
                let before = || this.places[this.next] < most.places[most.next];
                if this.credit > most.credit || (this.credit == most.credit && before()) {
                    richest = i;
                }
            }
            let class = &mut classes[richest];
            let place = class.places[class.next];
            class.next += 1;
            // Whoever has had its turn is one total poorer. That is the next one only after all were.
            if class.next == class.places.len() {
                class.next = 0;
                class.credit -= period as i64;
            }
            place
        })
        .collect()
}

/// The golden ratio's part of `period`, or the next number that is coprime to it.
fn golden_step(period: u64) -> u64 {
    let mut step = fraction(GOLDEN, period);
    while gcd(step, period) != 1 {
        step += 1;
    }
    step
}

fn gcd<T: Copy + Default + PartialEq + Rem<Output = T>>(a: T, b: T) -> T {
    if b == T::default() { a } else { gcd(b, a % b) }
}

#[cfg(test)]
mod tests {
    use super::super::rng::Rng;
    use super::*;
    use proptest::prelude::*;

    fn wheel(weights: &[u32]) -> (Wheel, Vec<u32>) {
        let open: Vec<u32> = (0..weights.len() as u32).collect();
        (Wheel::weighted(&open, |place| weights[*place as usize]), open)
    }

    fn turns(wheel: &Wheel, open: &[u32], from: u64, n: u64) -> Vec<usize> {
        let mut turn = from;
        (0..n)
            .map(|_| {
                let place = wheel.place(turn, open);
                turn = wheel.after(turn);
                place
            })
            .collect()
    }

    /// nginx's algorithm as it is told.
    fn smooth(weights: &[u32], n: u64) -> Vec<usize> {
        let total: i64 = weights.iter().map(|w| i64::from(*w)).sum();
        let mut credit = vec![0_i64; weights.len()];
        (0..n)
            .map(|_| {
                let mut richest = 0;
                for place in 0..weights.len() {
                    credit[place] += i64::from(weights[place]);
                    if credit[place] > credit[richest] {
                        richest = place;
                    }
                }
                credit[richest] -= total;
                richest
            })
            .collect()
    }

    #[test]
    fn five_one_one() {
        let (wheel, open) = wheel(&[5, 1, 1]);
        assert_eq!(turns(&wheel, &open, 0, 7), [0, 0, 1, 0, 2, 0, 0]);
    }

    #[test]
    fn equal_weights_take_turns_in_file_order() {
        let (wheel, open) = wheel(&[7, 7, 7]);
        assert!(matches!(wheel.order, Order::Even));
        assert_eq!(turns(&wheel, &open, 1, 5), [1, 2, 0, 1, 2]);
    }

    proptest! {
        #[test]
        fn a_schedule_is_the_smooth_order(weights in prop::collection::vec(1_u32..12, 1..20)) {
            let (wheel, open) = wheel(&weights);
            prop_assert!(!matches!(wheel.order, Order::Stride(_)));
            let n = wheel.period() * 2 + 3;
            prop_assert_eq!(turns(&wheel, &open, 0, n), smooth(&weights, n));
        }
    }

    #[test]
    fn a_stride_gives_each_its_exact_share_and_spreads_it() {
        let weights = [40_000, 30_001, 20_000, 9_998, 1];
        let (wheel, open) = wheel(&weights);
        assert!(matches!(wheel.order, Order::Stride(_)));
        let round = turns(&wheel, &open, 12_345, wheel.period());
        for (place, weight) in weights.iter().enumerate() {
            assert_eq!(round.iter().filter(|p| **p == place).count() as u32, *weight);
        }
        // In each stretch of 100 turns too, to within a few.
        for stretch in round.chunks_exact(100) {
            let first = stretch.iter().filter(|p| **p == 0).count();
            assert!((36..=44).contains(&first), "{first}");
        }
    }

    #[test]
    fn a_wheel_too_long_or_too_varied_to_write_down_is_strided() {
        let varied: Vec<u32> = (1..=360).collect();
        for weights in [&[65_535, 65_534][..], &varied] {
            assert!(matches!(wheel(weights).0.order, Order::Stride(_)));
        }
        assert!(matches!(wheel(&[65_535, 1]).0.order, Order::Schedule(_)));
        assert!(matches!(wheel(&[60_000, 30_000]).0.order, Order::Schedule(_)));
    }

    #[test]
    fn the_even_wheel_goes_on_with_the_next_in_file_order() {
        let next = |open: &[u32], last| {
            let wheel = Wheel::even(open);
            wheel.place(wheel.enter(Some(last), open, &mut Rng::new(1)), open)
        };
        // Of five, number 1 was last and is no longer eligible.
        assert_eq!(next(&[0, 2, 3, 4], (1, true)), 2);
        // It is gone from the list: its place is now that of its successor.
        assert_eq!(next(&[0, 1, 2, 3], (1, false)), 1);
        // The last of the list was last.
        assert_eq!(next(&[0, 1, 2, 3], (4, true)), 0);
    }

    #[test]
    fn a_schedule_of_other_weights_is_entered_anywhere() {
        let (wheel, open) = wheel(&[5, 1, 2]);
        let mut luck = Rng::new(1);
        let turns: std::collections::BTreeSet<u64> =
            (0..200).map(|_| wheel.enter(Some((1, true)), &open, &mut luck)).collect();
        assert_eq!(turns.len(), 8);
    }

    #[test]
    fn wheels_of_other_places_or_shares_have_other_prints() {
        let prints = [
            Wheel::weighted(&[0, 1, 2], |_| 1).print(),
            Wheel::weighted(&[0, 1, 3], |_| 1).print(),
            Wheel::weighted(&[0, 1], |_| 1).print(),
            Wheel::weighted(&[0, 1, 2], |place| place + 1).print(),
        ];
        assert_eq!(prints.iter().collect::<std::collections::BTreeSet<_>>().len(), 4);
        assert_eq!(prints[0], Wheel::weighted(&[0, 1, 2], |_| 7).print());
    }

    #[test]
    fn nobody_is_no_round() {
        let wheel = Wheel::weighted(&[], |_| 1);
        assert_eq!((wheel.period(), wheel.patience(), wheel.seen_all()), (0, 0, true));
    }
}
