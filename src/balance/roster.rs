//! What every strategy shares: the backends of a tier by place, who of them is eligible, the one test
//! whether a backend may be picked now, and the fallbacks that find the last one left.
//!
//! A *place* is a position in the list of candidates, a *rank* one in the list of the eligible.

use std::collections::BTreeMap;
use std::sync::Arc;

use crate::model::{BackendId, BackendIx, WorkerIx};

use super::cursor::{Cursor, Hot, SummedLoad};
use super::live::Live;
use super::plan::{Candidate, Pick};
use super::rng::{GOLDEN, Rng, fraction, mix};
use super::strategy::Strategy;
use super::tally::Limits;
use super::wheel::Wheel;

/// Misses in a row after which a strategy gives up its own way and falls back (nginx's number).
pub(super) const MISSES: u32 = 20;

/// As many eligible backends are few: to look at each of them in every pick is cheap.
const FEW: usize = 16;

/// The backends of a tier.
#[derive(Debug)]
pub(super) struct Roster {
    ids: Arc<[BackendId]>,
    entries: Box<[Entry]>,
    /// The places of the eligible, ascending.
    open: Box<[u32]>,
    wheel: Wheel,
    /// Looking at each of the eligible in every pick is cheap, or asked for.
    few: bool,
    /// By place, where failures are counted as in nginx; else empty.
    failures: Box<[Limits]>,
}

#[derive(Debug, Clone, Copy)]
struct Entry {
    ix: BackendIx,
    weight: u32,
    /// Requests in flight at which it is full; the largest number is never reached.
    full_at: u32,
    eligible: bool,
    /// Whether it can be full or out.
    bounded: bool,
}

impl Roster {
    pub(super) fn new(strategy: Strategy, candidates: &[Candidate<'_>]) -> Self {
        let entries: Box<[Entry]> = candidates
            .iter()
            .map(|c| Entry {
                ix: c.ix,
                weight: c.weight.value(),
                full_at: if c.max_connections == 0 { u32::MAX } else { c.max_connections },
                eligible: c.eligible,
                bounded: c.max_connections > 0 || c.failures.is_some(),
            })
            .collect();
        let open: Box<[u32]> = (0..)
            .zip(&entries)
            .filter(|(_, entry)| entry.eligible)
            .map(|(place, _)| place)
            .collect();
        let failures: Box<[Limits]> = candidates.iter().filter_map(|c| c.failures).collect();
        // Weights that change from pick to pick cannot be written down in a wheel.
        let few = open.len() <= FEW || !failures.is_empty();
        let weight = |place: &u32| entries[*place as usize].weight;
        let wheel = match strategy {
            Strategy::RoundRobin
            | Strategy::LeastResponseTime
            | Strategy::Random
            | Strategy::Prequal => Wheel::even(&open),
            // Few take their turns by credits; a wheel that costs nothing keeps a cursor's place.
            _ if few => Wheel::even(&open),
            _ => Wheel::weighted(&open, weight),
        };
        Self { ids: candidates.iter().map(|c| c.id).collect(), entries, open, wheel, few, failures }
    }

    /// Whether each of the eligible is looked at in every pick: there are few, or their weights change.
    #[inline]
    pub(super) fn is_few(&self) -> bool {
        self.few
    }

    /// Whether the backends and their weights are the same, in the same order.
    pub(super) fn same_shares(&self, other: &Self) -> bool {
        self.ids == other.ids
            && self.entries.iter().zip(&other.entries).all(|(a, b)| a.weight == b.weight)
    }

    #[inline]
    pub(super) fn ix(&self, place: usize) -> BackendIx {
        self.entries[place].ix
    }

    #[inline]
    pub(super) fn weight(&self, place: usize) -> u32 {
        self.entries[place].weight
    }

    /// The weights of all, eligible or not.
    pub(super) fn weights(&self) -> impl Iterator<Item = u32> {
        self.entries.iter().map(|entry| entry.weight)
    }

    /// The places of the eligible, ascending.
    #[inline]
    pub(super) fn open(&self) -> impl Iterator<Item = usize> {
        self.open.iter().map(|place| *place as usize)
    }

    #[inline]
    pub(super) fn open_len(&self) -> usize {
        self.open.len()
    }

    /// The place of an eligible backend by its rank.
    #[inline]
    pub(super) fn ranked(&self, rank: usize) -> usize {
        self.open[rank] as usize
    }

    /// The rank of a place; `None` when it is not eligible.
    #[inline]
    pub(super) fn rank(&self, place: usize) -> Option<usize> {
        self.open.binary_search(&(place as u32)).ok()
    }

    /// **The** test: eligible, not tried, not full, not out.
    #[inline]
    pub(super) fn usable(&self, place: usize, p: &Pick<'_>) -> bool {
        let entry = &self.entries[place];
        entry.eligible
            && !p.tried.contains(entry.ix)
            && (!entry.bounded || self.is_within(self.in_flight(place, p), place, p))
    }

    /// The same, of a place that has so many requests in flight.
    #[inline]
    pub(super) fn usable_with(&self, in_flight: u32, place: usize, p: &Pick<'_>) -> bool {
        let entry = &self.entries[place];
        entry.eligible
            && !p.tried.contains(entry.ix)
            && (!entry.bounded || self.is_within(in_flight, place, p))
    }

    /// The same whether it is eligible or not.
    pub(super) fn has_room(&self, place: usize, p: &Pick<'_>) -> bool {
        !p.tried.contains(self.entries[place].ix)
            && self.is_within(self.in_flight(place, p), place, p)
    }

    fn is_within(&self, in_flight: u32, place: usize, p: &Pick<'_>) -> bool {
        let out = |limits: &Limits| self.live(place, p).tally().is_out(limits, p.now);
        in_flight < self.entries[place].full_at && !self.failures.get(place).is_some_and(out)
    }

    /// Takes note that a place was picked.
    #[inline]
    pub(super) fn note_pick(&self, place: usize, p: &Pick<'_>) {
        if let Some(limits) = self.failures.get(place) {
            self.live(place, p).tally().picked(limits, p.now);
        }
    }

    /// Gives a place a turn that was not its own: all gain as in a pick, and it pays.
    pub(super) fn note_turn(&self, place: usize, cursor: &mut Cursor, p: &Pick<'_>) {
        if !cursor.credits.is_empty() && self.entries[place].eligible {
            let usable = self.open().filter(|one| self.usable(*one, p));
            let (total, _) = self.gain(cursor, usable, p);
            cursor.credits[place] -= total;
        }
    }

    /// The place of a backend.
    pub(super) fn place_of(&self, ix: BackendIx) -> Option<usize> {
        let by_ix = |entry: &Entry| entry.ix.cmp(&ix);
        self.entries.binary_search_by(by_ix).ok()
    }

    /// The counters of a place.
    #[inline]
    pub(super) fn live<'a>(&self, place: usize, p: &Pick<'a>) -> &'a Live {
        &p.live[self.entries[place].ix.index()]
    }

    /// Requests in flight at a place.
    #[inline]
    pub(super) fn in_flight(&self, place: usize, p: &Pick<'_>) -> u32 {
        self.live(place, p).in_flight()
    }

    /// The next usable backend in turn, by the wheel.
    #[inline]
    pub(super) fn turn(&self, cursor: &mut Cursor, p: &mut Pick<'_>) -> Option<usize> {
        let next = self.turn_within(self.wheel.patience(), cursor, |place| self.usable(place, p));
        if next.is_some() || self.wheel.seen_all() { next } else { self.lot(p, None) }
    }

    /// Of the next `turns` on the wheel the first whose backend will do. The others' turns are over.
    #[inline]
    pub(super) fn turn_within(
        &self,
        turns: u64,
        cursor: &mut Cursor,
        will_do: impl Fn(usize) -> bool,
    ) -> Option<usize> {
        for _ in 0..turns {
            let place = self.wheel.place(cursor.turn, &self.open);
            cursor.turn = self.wheel.after(cursor.turn);
            if will_do(place) {
                cursor.last = Some(place);
                return Some(place);
            }
        }
        None
    }

    /// Draws by weight among all that are usable, `except` left out: one pass over all, O(n).
    #[cold]
    pub(super) fn lot(&self, p: &mut Pick<'_>, except: Option<usize>) -> Option<usize> {
        let mut total = 0;
        let mut drawn = None;
        for place in self.open() {
            if Some(place) != except && self.usable(place, p) {
                let weight = u64::from(self.weight(place));
                total += weight;
                if p.rng.below_u64(total) < weight {
                    drawn = Some(place);
                }
            }
        }
        drawn
    }

    /// One step of smooth weighted round robin among those that tied in this pick.
    pub(super) fn smooth_tied(&self, cursor: &mut Cursor, p: &Pick<'_>) -> Option<usize> {
        let tied = std::mem::take(&mut cursor.tied);
        let place = self.smooth(cursor, tied.iter().map(|place| *place as usize), p);
        cursor.tied = tied;
        place
    }

    /// The next usable backend in turn, by weight. Few take turns as in nginx, whoever is usable at the
    /// moment; many by the wheel, in the same order as long as all of them are.
    #[inline]
    pub(super) fn turn_by_weight(&self, cursor: &mut Cursor, p: &mut Pick<'_>) -> Option<usize> {
        if self.is_few() {
            self.smooth(cursor, self.open().filter(|place| self.usable(*place, p)), p)
        } else {
            self.turn(cursor, p)
        }
    }

    /// One step of nginx's smooth weighted round robin among `places`, a set that may differ from step
    /// to step: each of them gains its weight, and the richest (at a tie the first) pays for all.
    pub(super) fn smooth(
        &self,
        cursor: &mut Cursor,
        places: impl Iterator<Item = usize>,
        p: &Pick<'_>,
    ) -> Option<usize> {
        let (total, richest) = self.gain(cursor, places, p);
        let place = richest?;
        cursor.credits[place] -= total;
        Some(place)
    }

    /// Each of `places` gains its weight. Gives the sum, and who is the richest then.
    #[inline]
    fn gain(
        &self,
        cursor: &mut Cursor,
        places: impl Iterator<Item = usize>,
        p: &Pick<'_>,
    ) -> (i64, Option<usize>) {
        let mut total = 0;
        let mut richest: Option<(usize, i64)> = None;
        for place in places {
            let weight = i64::from(self.weight_now(place, p));
            let credit = &mut cursor.credits[place];
            *credit += weight;
            total += weight;
            if richest.is_none_or(|(_, most)| *credit > most) {
                richest = Some((place, *credit));
            }
        }
        (total, richest.map(|(place, _)| place))
    }

    /// The weight in this pick: less for who failed lately, where failures are counted as in nginx.
    #[inline]
    fn weight_now(&self, place: usize, p: &Pick<'_>) -> u32 {
        let weight = self.weight(place);
        if self.failures.is_empty() {
            weight
        } else {
            self.live(place, p).tally().take_weight(weight)
        }
    }

    pub(super) fn cursor(&self, worker: WorkerIx, seed: u64, credits: bool) -> Cursor {
        // Multiples of the golden ratio: however many workers there are, they stand apart.
        let part = mix(seed).wrapping_add(GOLDEN.wrapping_mul(u64::from(worker.0)));
        let mut cursor = Cursor {
            ids: Arc::clone(&self.ids),
            turn: fraction(part, self.wheel.period()),
            wheel: self.wheel.print(),
            last: None,
            luck: Rng::new(part),
            credits: Vec::new(),
            tied: Vec::new(),
            load: SummedLoad::default(),
            hot: Hot::default(),
        };
        if credits {
            cursor.tied.reserve(self.open.len());
            cursor.credits = vec![0; self.entries.len()];
            // Those before the starting place are one gain behind, so the others come first.
            for place in self.open().take(fraction(part, self.open.len() as u64) as usize) {
                cursor.credits[place] = -i64::from(self.weight(place));
            }
        }
        cursor
    }

    pub(super) fn refit(&self, cursor: &mut Cursor, credits: bool) {
        let same = cursor.ids == self.ids;
        cursor.load = SummedLoad::default();
        cursor.hot = Hot::default();
        cursor.tied.clear();
        cursor.tied.reserve(if credits { self.open.len() } else { 0 });
        cursor.credits = match (credits, same && cursor.credits.len() == self.entries.len()) {
            (false, _) => Vec::new(),
            (true, true) => std::mem::take(&mut cursor.credits),
            (true, false) => {
                let old: BTreeMap<_, _> = cursor.ids.iter().zip(&cursor.credits).collect();
                self.ids.iter().map(|id| old.get(id).map_or(0, |credit| **credit)).collect()
            }
        };
        let last = cursor.last.map(|was| {
            let id = cursor.ids[was];
            if same { (was, true) } else { self.find(id).map_or((was, false), |now| (now, true)) }
        });
        // With nobody eligible there is no place to go to: the old one is kept until there is.
        let unchanged = same && cursor.wheel == self.wheel.print();
        if !unchanged && self.wheel.period() > 0 {
            cursor.turn = self.wheel.enter(last, &self.open, &mut cursor.luck);
            cursor.wheel = self.wheel.print();
        }
        // A backend that is gone has no place any more; the turn taken from it stays.
        cursor.last = last.and_then(|(place, known)| known.then_some(place));
        cursor.ids = Arc::clone(&self.ids);
    }

    fn find(&self, id: BackendId) -> Option<usize> {
        self.ids.iter().position(|known| *known == id)
    }
}
