//! Drawing by chance and weight, for `random`, and for `least_response_time` and `prequal` above a few
//! backends.

use super::plan::Pick;
use super::roster::{MISSES, Roster};
use super::shares::Shares;

/// The stretches of all eligible backends of a plan.
#[derive(Debug)]
pub(super) struct Draw {
    shares: Shares,
}

impl Draw {
    pub(super) fn new(roster: &Roster) -> Self {
        Self { shares: Shares::new(roster.open().map(|place| roster.weight(place))) }
    }

    /// Draws a usable backend other than `first`; `None` when there is none.
    ///
    /// O(log n); when 20 draws in a row miss, one pass over all that are eligible decides, still by
    /// weight.
    #[inline]
    pub(super) fn draw(
        &self,
        roster: &Roster,
        p: &mut Pick<'_>,
        first: Option<usize>,
    ) -> Option<usize> {
        let (gap, length) = match first.and_then(|place| roster.rank(place)) {
            None => (u64::MAX, 0),
            Some(rank) => (self.shares.start(rank), self.shares.length(rank)),
        };
        let rest = self.shares.total() - length;
        if rest == 0 {
            return None;
        }
        for _ in 0..=MISSES {
            // The line without the stretch of `first`: no draw is lost on it, however heavy it is.
            let point = p.rng.below_u64(rest);
            let point = if point >= gap { point + length } else { point };
            let place = roster.ranked(self.shares.at(point));
            if roster.usable(place, p) {
                return Some(place);
            }
        }
        roster.lot(p, first)
    }
}
