//! `consistent_hash`: a ketama ring, bit for bit nginx's `hash KEY consistent` (that is, as
//! `Cache::Memcached::Fast`): 160 points per weight, made from the text of the address. A key belongs to
//! the first point at or after its hash, so a backend that leaves moves only its own keys, and gets them
//! back on return. O(key) per pick, however many points there are; 1.4 KiB of memory per unit of weight.
//!
//! The ring holds eligible and ineligible backends alike; a pick that meets one it cannot use goes on to
//! the next point. So the ring outlives changes of health.
//!
//! Backends with the same text are *twins*: they share their points, and take turns by weight on them.
//!
//! Two points of different backends may collide (in about one ring of 5,000 with eight backends): the
//! point then belongs to the first in the file, as in nginx, and only there the order of the file counts.
//!
//! # Bounded loads
//!
//! With `bounded_load = c` a backend takes a key only while its requests in flight stay within
//! ceil(c × (all requests in flight + 1) × its share of the weights), after "Consistent Hashing with
//! Bounded Loads" (arXiv 1608.01350). What overflows does not go to the next point, whose backend would
//! be flooded in turn, but jumps to a pseudo-random one (arXiv 1908.08762), always the same for the same
//! key. After 20 misses backends take turns.
//!
//! All requests in flight are summed up anew once per n/16 picks of a worker: so a pick reads 16
//! counters on average, and the bound is off by a sixteenth of a request per backend and worker.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::cursor::{Cursor, SummedLoad};
use super::hash::{Crc32, crc32};
use super::plan::{Candidate, Pick};
use super::rng::mix;
use super::roster::{MISSES, Roster};

const POINTS_PER_WEIGHT: u32 = 160;
const NO_TWIN: u32 = u32::MAX;

#[derive(Debug)]
pub(super) struct ConsistentHash {
    ring: Arc<Ring>,
    bound: Option<Bound>,
}

/// The points on the circle of 2^32 hashes.
#[derive(Debug)]
pub(super) struct Ring {
    /// A point's hash above the place of its backend (of twins the first), ascending.
    points: Box<[u64]>,
    /// By the upper bits of a hash, the first point with these or higher ones; at the end the number of
    /// points. So a search looks at a few points and does not jump about in the whole ring.
    index: Box<[u32]>,
    /// What a hash is shifted by for the index.
    shift: u32,
    /// By place, the next twin. Empty when no two texts are the same.
    twins: Box<[u32]>,
}

/// How much of the load a backend may have.
#[derive(Debug)]
struct Bound {
    factor: f64,
    weight_of_all: f64,
}

/// What a pick found at a point.
enum Found {
    Backend(usize),
    /// Nobody that may be picked.
    Nobody,
    /// Somebody, but above the bound.
    Overflow,
}

impl ConsistentHash {
    pub(super) fn new(ring: Arc<Ring>, roster: &Roster, bounded_load: Option<f64>) -> Self {
        let weight_of_all = roster.open().map(|place| f64::from(roster.weight(place))).sum();
        Self { ring, bound: bounded_load.map(|factor| Bound { factor, weight_of_all }) }
    }

    /// Makes the ring of these backends.
    pub(super) fn ring_of(candidates: &[Candidate<'_>]) -> Arc<Ring> {
        Arc::new(Ring::new(candidates))
    }

    pub(super) fn ring(&self) -> Arc<Ring> {
        Arc::clone(&self.ring)
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
        if self.bound.is_some() {
            cursor.load.refresh(roster, p);
        }
        let mut hash = crc32(key);
        let mut at = self.ring.first_from(hash);
        for _ in 0..=MISSES {
            match self.look(self.ring.owner(at), roster, cursor, p) {
                Found::Backend(place) => return Some(place),
                Found::Nobody => at = self.ring.after(at),
                Found::Overflow => {
                    // The high half, which `mix` stirs best.
                    hash = (mix(u64::from(hash) + 1) >> 32) as u32;
                    at = self.ring.first_from(hash);
                }
            }
        }
        roster.turn_by_weight(cursor, p)
    }

    #[inline]
    fn look(&self, owner: usize, roster: &Roster, cursor: &mut Cursor, p: &Pick<'_>) -> Found {
        let sum = cursor.load.sum;
        let within = |place: &usize| match &self.bound {
            None => true,
            Some(bound) => {
                f64::from(roster.in_flight(*place, p)) < bound.most(roster.weight(*place), sum)
            }
        };
        let usable = |place: &usize| roster.usable(*place, p);
        let (found, any) = if self.ring.has_twin(owner) {
            let here = || self.ring.with_twins(owner).filter(usable);
            (roster.smooth(cursor, here().filter(within), p), here().next().is_some())
        } else {
            let any = usable(&owner);
            (Some(owner).filter(|owner| any && within(owner)), any)
        };
        match (found, any) {
            (Some(place), _) => Found::Backend(place),
            (None, true) => Found::Overflow,
            (None, false) => Found::Nobody,
        }
    }
}

impl Bound {
    /// The requests in flight at which a backend is above the bound.
    #[inline]
    fn most(&self, weight: u32, sum: u64) -> f64 {
        (self.factor * (sum + 1) as f64 * f64::from(weight) / self.weight_of_all).ceil()
    }
}

impl SummedLoad {
    /// Sums up all requests in flight, if the last sum has served its picks.
    #[inline]
    fn refresh(&mut self, roster: &Roster, p: &Pick<'_>) {
        if self.picks_left == 0 {
            self.sum = roster.open().map(|place| u64::from(roster.in_flight(place, p))).sum();
            self.picks_left = roster.open_len() / 16;
        } else {
            self.picks_left -= 1;
        }
    }
}

impl Ring {
    fn new(candidates: &[Candidate<'_>]) -> Self {
        let count: u64 = candidates.iter().map(|c| u64::from(c.weight.value())).sum();
        let mut points = Vec::with_capacity(count as usize * POINTS_PER_WEIGHT as usize);
        for (place, candidate) in (0_u64..).zip(candidates) {
            let (host, port) = host_and_port(candidate.label);
            let base = Crc32::new().update(host).update(&[0]).update(port);
            let mut previous = 0_u32;
            for _ in 0..candidate.weight.value() * POINTS_PER_WEIGHT {
                previous = base.update(&previous.to_le_bytes()).finish();
                points.push(u64::from(previous) << 32 | place);
            }
        }
        // With the place in the low half, the first in the file is the first of equal points.
        points.sort_unstable();
        points.dedup_by_key(|point| *point >> 32);
        let twins = match twins(candidates) {
            None => Box::default(),
            Some((first, next)) => {
                for point in &mut points {
                    *point = *point >> 32 << 32 | u64::from(first[*point as u32 as usize]);
                }
                next
            }
        };
        let bits = points.len().next_power_of_two().ilog2().saturating_sub(2).max(1);
        Self { index: index(&points, bits), shift: 32 - bits, points: points.into(), twins }
    }

    /// The first point at or after `hash`.
    #[inline]
    fn first_from(&self, hash: u32) -> usize {
        let upper = (hash >> self.shift) as usize;
        let (from, to) = (self.index[upper] as usize, self.index[upper + 1] as usize);
        let nearby = &self.points[from..to];
        let at = from + nearby.partition_point(|point| *point < u64::from(hash) << 32);
        if at == self.points.len() { 0 } else { at }
    }

    #[inline]
    fn after(&self, at: usize) -> usize {
        if at + 1 == self.points.len() { 0 } else { at + 1 }
    }

    #[inline]
    fn owner(&self, at: usize) -> usize {
        self.points[at] as u32 as usize
    }

    #[inline]
    fn has_twin(&self, place: usize) -> bool {
        self.twins.get(place).is_some_and(|next| *next != NO_TWIN)
    }

    /// A backend and its twins, in file order.
    fn with_twins(&self, owner: usize) -> impl Iterator<Item = usize> {
        let next = |place: &usize| match self.twins[*place] {
            NO_TWIN => None,
            next => Some(next as usize),
        };
        std::iter::successors(Some(owner), next)
    }
}

/// For each value of the upper `bits`, and the one after the last, how many points are below.
fn index(points: &[u64], bits: u32) -> Box<[u32]> {
    let mut below = 0;
    (0..=1_u64 << bits)
        .map(|upper| {
            while points.get(below).is_some_and(|point| point >> (64 - bits) < upper) {
                below += 1;
            }
            below as u32
        })
        .collect()
}

/// By place, the first with the same text, and the next with the same text. `None` when all texts
/// differ.
fn twins(candidates: &[Candidate<'_>]) -> Option<(Vec<u32>, Box<[u32]>)> {
    let mut first_and_last: BTreeMap<&str, (u32, u32)> = BTreeMap::new();
    let mut next = vec![NO_TWIN; candidates.len()];
    let first: Vec<u32> = (0..)
        .zip(candidates)
        .map(|(place, candidate)| {
            let (first, last) = first_and_last.entry(candidate.label).or_insert((place, place));
            if *last != place {
                next[*last as usize] = place;
                *last = place;
            }
            *first
        })
        .collect();
    (first_and_last.len() < candidates.len()).then(|| (first, next.into()))
}

/// The two parts of an address's text that go into its points, cut as nginx cuts them: at a colon
/// before trailing digits; a Unix path and a text without a port have no second part.
fn host_and_port(label: &str) -> (&[u8], &[u8]) {
    let text = label.as_bytes();
    if text.get(..5).is_some_and(|scheme| scheme.eq_ignore_ascii_case(b"unix:")) {
        return (&text[5..], b"");
    }
    match text.iter().rposition(|byte| !byte.is_ascii_digit()) {
        Some(colon) if text[colon] == b':' => (&text[..colon], &text[colon + 1..]),
        _ => (text, b""),
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::{Bed, keys};
    use super::super::plan::Key;
    use super::super::plan::Table;
    use super::super::strategy::Strategy;
    use super::*;

    fn ring(bed: &Bed) -> Arc<Ring> {
        match &bed.plan.table {
            Table::ConsistentHash(table) => table.ring(),
            other => panic!("{other:?}"),
        }
    }

    #[test]
    fn addresses_are_cut_as_nginx_cuts_them() {
        let cut = |label| {
            let (host, port) = host_and_port(label);
            (str::from_utf8(host).unwrap(), str::from_utf8(port).unwrap())
        };
        assert_eq!(cut("10.0.0.1:80"), ("10.0.0.1", "80"));
        assert_eq!(cut("[2001:db8::1]:8080"), ("[2001:db8::1]", "8080"));
        assert_eq!(cut("[::1]"), ("[::1]", ""));
        assert_eq!(cut("app.example"), ("app.example", ""));
        assert_eq!(cut("unix:/run/app:1"), ("/run/app:1", ""));
        assert_eq!(cut("UNIX:/run/app"), ("/run/app", ""));
        assert_eq!(cut("10"), ("10", ""));
    }

    #[test]
    fn the_index_leads_to_the_first_point_from_a_hash() {
        let bed = Bed::weighted(Strategy::ConsistentHash, &[3, 1]);
        let ring = ring(&bed);
        let points: Vec<u32> = ring.points.iter().map(|point| (point >> 32) as u32).collect();
        let around = points.iter().flat_map(|p| [p.wrapping_sub(1), *p, p.wrapping_add(1)]);
        for hash in around.chain([0, u32::MAX]) {
            let expected = points.iter().position(|point| *point >= hash).unwrap_or(0);
            assert_eq!(ring.first_from(hash), expected, "{hash}");
        }
    }

    #[test]
    fn twins_share_their_keys_by_weight() {
        let mut bed = Bed::labelled(
            Strategy::ConsistentHash,
            &[("a:80", 3), ("b:80", 3), ("a:80", 1), ("c:80", 3)],
        );
        let mut alone =
            Bed::labelled(Strategy::ConsistentHash, &[("a:80", 3), ("b:80", 3), ("c:80", 3)]);
        let mut of_a = [0_u32; 4];
        for key in keys(3_000) {
            let picked = bed.pick_key(Key::Bytes(key.as_bytes())).unwrap();
            match alone.pick_key(Key::Bytes(key.as_bytes())).unwrap() {
                0 => of_a[picked as usize] += 1,
                1 => assert_eq!(picked, 1),
                _ => assert_eq!(picked, 3),
            }
        }
        assert_eq!((of_a[1], of_a[3]), (0, 0));
        assert!(of_a[0].abs_diff(of_a[2] * 3) <= 3, "{of_a:?}");
        // One twin out: the other has all.
        bed.set_eligible(0, false);
        for key in keys(500) {
            if alone.pick_key(Key::Bytes(key.as_bytes())) == Some(0) {
                assert_eq!(bed.pick_key(Key::Bytes(key.as_bytes())), Some(2));
            }
        }
    }

    #[test]
    fn a_change_of_health_shares_the_ring() {
        let mut bed = Bed::weighted(Strategy::ConsistentHash, &[1, 2, 3]);
        let first = ring(&bed);
        bed.set_eligible(1, false);
        assert!(Arc::ptr_eq(&first, &ring(&bed)));
        bed.reorder(&[2, 0, 1]);
        assert!(!Arc::ptr_eq(&first, &ring(&bed)));
    }

    #[test]
    fn a_hot_key_overflows_onto_several_others_and_no_bound_is_broken() {
        let mut bed = Bed::bounded(&[1; 8], 1.25);
        let live = bed.live.to_vec();
        let mut held = Vec::new();
        for sent in 0..400_u32 {
            let picked = bed.pick_key(Key::Bytes(b"/hot")).unwrap() as usize;
            held.push(live[picked].enter());
            let bound = (1.25 * f64::from(sent + 1) / 8.0).ceil();
            assert!(f64::from(live[picked].in_flight()) <= bound);
        }
        // One key, and yet nearly everyone helps: 400 ÷ 62.5 at the most.
        let busy = live.iter().filter(|live| live.in_flight() >= 50).count();
        assert_eq!(busy, 6, "{:?}", live.iter().map(|l| l.in_flight()).collect::<Vec<_>>());
    }

    #[test]
    fn below_the_bound_keys_stay_where_they_are() {
        let mut bounded = Bed::bounded(&[1; 8], 2.0);
        let mut free = Bed::weighted(Strategy::ConsistentHash, &[1; 8]);
        let _held = bounded.hold(&[10; 8]);
        for key in keys(1_000) {
            let key = Key::Bytes(key.as_bytes());
            assert_eq!(bounded.pick_key(key), free.pick_key(key));
        }
    }

    #[test]
    fn the_same_key_overflows_to_the_same_backend() {
        let mut bed = Bed::bounded(&[1; 8], 1.25);
        let home = bed.pick_key(Key::Bytes(b"/hot")).unwrap() as usize;
        let mut load = [4; 8];
        load[home] = 50;
        let _held = bed.hold(&load);
        let second = bed.pick_key(Key::Bytes(b"/hot")).unwrap();
        assert_ne!(second as usize, home);
        assert!((0..50).all(|_| bed.pick_key(Key::Bytes(b"/hot")) == Some(second)));
    }

    #[test]
    fn what_one_backend_overflows_spreads_over_many() {
        let mut bed = Bed::bounded(&[1; 8], 1.25);
        let mut load = [4; 8];
        load[3] = 50;
        let _held = bed.hold(&load);
        let mut hits = [0_u32; 8];
        let mut free = Bed::weighted(Strategy::ConsistentHash, &[1; 8]);
        for key in keys(4_000) {
            let key = Key::Bytes(key.as_bytes());
            if free.pick_key(key) == Some(3) {
                hits[bed.pick_key(key).unwrap() as usize] += 1;
            }
        }
        let overflow: u32 = hits.iter().sum();
        assert_eq!(hits[3], 0);
        assert!(hits.iter().all(|n| *n < overflow / 3), "{hits:?}");
    }
}
