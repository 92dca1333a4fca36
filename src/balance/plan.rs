//! The plan of one tier: a strategy's tables, and the one `match` that hands a pick to its strategy.
//!
//! The snapshot builds plans, workers pick from them. A further strategy is one file, one arm in
//! [`Table`], `Table::build` and [`Plan::pick`], and one row in the conformance suite.

use std::net::IpAddr;

use crate::model::{BackendId, BackendIx, Tick, Weight, WorkerIx};

use super::consistent_hash::ConsistentHash;
use super::cursor::Cursor;
use super::ip_hash::IpHash;
use super::least_connections::LeastConnections;
use super::least_response_time::LeastResponseTime;
use super::lives::Lives;
use super::maglev::{self, Maglev};
use super::prequal::Prequal;
use super::random::Random;
use super::rng::Rng;
use super::roster::Roster;
use super::strategy::Strategy;
use super::tally::Limits;
use super::tried::Tried;
use super::url_hash::UrlHash;
use super::{round_robin, weighted};

/// How an upstream picks.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The strategy.
    pub strategy: Strategy,
    /// `random` only: 2 takes the less loaded of two draws, anything else is one draw.
    pub choices: u8,
    /// `random` with two choices only: of the two the one is taken that costs less, as `least_response_time`
    /// reckons it.
    pub by_time: bool,
    /// `consistent_hash` only: the most requests in flight that a backend may have, as a multiple of
    /// its share of all requests in flight. Above 1; `None` is no bound.
    pub bounded_load: Option<f64>,
    /// `random` with two choices only: of two that are equally loaded the second draw is taken, as in
    /// nginx, not the first.
    pub second_of_equals: bool,
    /// `maglev` only: slots of the table, a prime number.
    pub table_size: u32,
    /// `prequal` only: a backend with more requests in flight than this part of all backends is hot,
    /// 0 to 1.
    pub hot_quantile: f64,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            strategy: Strategy::default(),
            choices: 1,
            by_time: false,
            bounded_load: None,
            second_of_equals: false,
            table_size: maglev::SLOTS,
            hot_quantile: 0.84,
        }
    }
}

/// One backend as a plan sees it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Candidate<'a> {
    /// Its place in the snapshot.
    pub ix: BackendIx,
    /// Its identity across snapshots, by which a cursor finds its place again.
    pub id: BackendId,
    /// Its address as written in the file (`10.0.0.1:80`, `unix:/run/a.sock`); the ring's points are
    /// made from this text.
    pub label: &'a str,
    /// Its share.
    pub weight: Weight,
    /// Whether it may be picked, by [`eligible`](super::eligible()).
    pub eligible: bool,
    /// Requests in flight at which it is full; 0 is never.
    pub max_connections: u32,
    /// Failures after which it is out, where they are counted as in nginx.
    pub failures: Option<Limits>,
}

/// What a pick looks at.
#[derive(Debug)]
pub struct Pick<'a> {
    /// The request's key.
    pub key: Key<'a>,
    /// The counters of all backends of the upstream, by [`BackendIx::index`].
    pub live: &'a Lives,
    /// What this request has tried already.
    pub tried: &'a Tried,
    /// The present moment.
    pub now: Tick,
    /// The worker's random numbers.
    pub rng: &'a mut Rng,
}

/// What of a request decides under the hash strategies. A key that the strategy cannot use is taken as
/// [`Key::None`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Key<'a> {
    /// Nothing: backends take turns.
    None,
    /// For `ip_hash`: the client's address.
    Address(IpAddr),
    /// For `ip_hash`: the client came over a Unix socket.
    Unix,
    /// For `url_hash`, `consistent_hash` and `maglev`: the key's bytes. Without any, backends take turns.
    Bytes(&'a [u8]),
}

impl<'a> Key<'a> {
    /// The bytes that are hashed; `None` where there are none, and backends take turns.
    #[inline]
    pub(super) fn bytes(self) -> Option<&'a [u8]> {
        match self {
            Key::Bytes(bytes) if !bytes.is_empty() => Some(bytes),
            _ => None,
        }
    }
}

/// How one tier of an upstream picks: immutable, and remade when anything in it changes.
#[derive(Debug)]
pub struct Plan {
    roster: Roster,
    pub(super) table: Table,
}

/// What a strategy has worked out beforehand. Those without a value need the roster only.
#[derive(Debug)]
pub(super) enum Table {
    RoundRobin,
    WeightedRoundRobin,
    LeastConnections(LeastConnections),
    LeastResponseTime(LeastResponseTime),
    IpHash(IpHash),
    UrlHash(UrlHash),
    Random(Random),
    ConsistentHash(ConsistentHash),
    Maglev(Maglev),
    Prequal(Prequal),
}

impl Plan {
    /// Makes a plan from **all** backends of a tier, in file order, eligible or not: nginx's hashes walk
    /// over ineligible ones too.
    ///
    /// Costs at most a few milliseconds for 10,000 backends; the ring of `consistent_hash`, 160 points
    /// per weight to be sorted, costs many times as much. Use [`Plan::rebuild`] where an older plan of
    /// the tier is at hand.
    pub fn build(settings: &Settings, candidates: &[Candidate<'_>]) -> Self {
        Self::make(settings, candidates, None)
    }

    /// As [`Plan::build`], and takes over from `self` what still holds. The ring of `consistent_hash`
    /// and the slots of `maglev` do not know of health: with the same backends (by id) and weights they
    /// are shared, not made again.
    #[must_use]
    pub fn rebuild(&self, settings: &Settings, candidates: &[Candidate<'_>]) -> Self {
        Self::make(settings, candidates, Some(self))
    }

    fn make(settings: &Settings, candidates: &[Candidate<'_>], old: Option<&Self>) -> Self {
        let roster = Roster::new(settings.strategy, candidates);
        let table = match settings.strategy {
            Strategy::RoundRobin => Table::RoundRobin,
            Strategy::WeightedRoundRobin => Table::WeightedRoundRobin,
            Strategy::LeastConnections => Table::LeastConnections(LeastConnections::new(&roster)),
            Strategy::LeastResponseTime => {
                Table::LeastResponseTime(LeastResponseTime::new(&roster))
            }
            Strategy::IpHash => Table::IpHash(IpHash::new(&roster)),
            Strategy::UrlHash => Table::UrlHash(UrlHash::new(&roster)),
            Strategy::Random => Table::Random(Random::new(&roster, settings)),
            Strategy::ConsistentHash => {
                let ring = old.and_then(|old| match &old.table {
                    Table::ConsistentHash(table) if old.roster.same_shares(&roster) => {
                        Some(table.ring())
                    }
                    _ => None,
                });
                let ring = ring.unwrap_or_else(|| ConsistentHash::ring_of(candidates));
                Table::ConsistentHash(ConsistentHash::new(ring, &roster, settings.bounded_load))
            }
            Strategy::Maglev => {
                let size = settings.table_size;
                let slots = old.and_then(|old| match &old.table {
                    Table::Maglev(table) if old.roster.same_shares(&roster) => Some(table.slots()),
                    _ => None,
                });
                let slots = slots.filter(|slots| slots.len() == size as usize);
                Table::Maglev(Maglev::new(
                    slots.unwrap_or_else(|| Maglev::table_of(candidates, size)),
                ))
            }
            Strategy::Prequal => Table::Prequal(Prequal::new(&roster, settings.hot_quantile)),
        };
        Self { roster, table }
    }

    /// Whether nobody is eligible.
    pub fn is_empty(&self) -> bool {
        self.roster.open_len() == 0
    }

    /// A worker's first cursor. Workers start at places that are spread evenly over the list, all
    /// shifted by `seed` (any number, at best a random one per process): after a start not every
    /// worker of every process begins with the same backend. Worker 0 with seed 0 begins at the head.
    pub fn cursor(&self, worker: WorkerIx, seed: u64) -> Cursor {
        self.roster.cursor(worker, seed, self.needs_credits())
    }

    /// Carries a cursor of an older plan of this tier, whatever its strategy and backends, over to this
    /// one: it goes on where it was. Costs O(n), once per worker and plan.
    pub fn refit(&self, cursor: &mut Cursor) {
        self.roster.refit(cursor, self.needs_credits());
    }

    /// Whether a backend, eligible or not, is neither tried nor full nor out: for requests that are
    /// bound to it.
    pub fn has_room(&self, ix: BackendIx, p: &Pick<'_>) -> bool {
        self.roster.place_of(ix).is_some_and(|place| self.roster.has_room(place, p))
    }

    /// Takes note of a backend that was picked because the request is bound to it: it has had a turn,
    /// so that the other requests' turns even out.
    pub fn note_bound(&self, ix: BackendIx, cursor: &mut Cursor, p: &mut Pick<'_>) {
        if let Some(place) = self.roster.place_of(ix) {
            self.roster.note_turn(place, cursor, p);
            self.roster.note_pick(place, p);
        }
    }

    /// Whether both pick by the very same ring.
    #[cfg(test)]
    pub(crate) fn shares_ring(&self, other: &Self) -> bool {
        match (&self.table, &other.table) {
            (Table::ConsistentHash(one), Table::ConsistentHash(two)) => {
                std::sync::Arc::ptr_eq(&one.ring(), &two.ring())
            }
            _ => false,
        }
    }

    fn needs_credits(&self) -> bool {
        match self.table {
            Table::WeightedRoundRobin
            | Table::LeastConnections(_)
            | Table::IpHash(_)
            | Table::UrlHash(_)
            | Table::Maglev(_) => self.roster.is_few(),
            // Of `consistent_hash` twins take turns, however many they are; `prequal` has no turns, but needs
            // the room in which those who tie are put down.
            Table::ConsistentHash(_) | Table::Prequal(_) => true,
            Table::RoundRobin | Table::LeastResponseTime(_) | Table::Random(_) => false,
        }
    }

    /// Picks a backend that is eligible, not tried and not full; `None` when there is none.
    ///
    /// `cursor` must come from this plan's [`Plan::cursor`] or have been through its [`Plan::refit`].
    /// Allocates nothing; the cost of each strategy stands in the [room's doc](super).
    #[inline]
    pub fn pick(&self, cursor: &mut Cursor, p: &mut Pick<'_>) -> Option<BackendIx> {
        let roster = &self.roster;
        if roster.open_len() == 0 {
            return None;
        }
        let place = match &self.table {
            Table::RoundRobin => round_robin::pick(roster, cursor, p),
            Table::WeightedRoundRobin => weighted::pick(roster, cursor, p),
            Table::LeastConnections(table) => table.pick(roster, cursor, p),
            Table::LeastResponseTime(table) => table.pick(roster, p),
            Table::IpHash(table) => table.pick(roster, cursor, p),
            Table::UrlHash(table) => table.pick(roster, cursor, p),
            Table::Random(table) => table.pick(roster, p),
            Table::ConsistentHash(table) => table.pick(roster, cursor, p),
            Table::Maglev(table) => table.pick(roster, cursor, p),
            Table::Prequal(table) => table.pick(roster, cursor, p),
        }?;
        roster.note_pick(place, p);
        Some(roster.ix(place))
    }
}
