//! The tiers of an upstream, and which of them a pick goes to: the first that can serve, or the one that
//! the lot falls on where several share the requests.

use crate::model::{BackendIx, WorkerIx};

use super::cursor::Cursor;
use super::hash::crc32;
use super::plan::{Key, Pick, Plan};
use super::rng::mix;

/// One plan per tier.
#[derive(Debug)]
pub struct Tiers {
    first: Plan,
    rest: Box<[Plan]>,
    /// What each gets of the requests, in percent; `None`: each all that those before it cannot serve.
    shares: Option<Box<[u32]>>,
    /// Others, and what they get of the requests, in percent.
    beside: Option<Box<(Self, u32)>>,
    /// Others, for requests that failed at all of these.
    last: Option<Box<Self>>,
    /// A request is drawn its lot.
    is_drawn: bool,
}

/// A worker's cursors into the plans.
#[derive(Debug, Clone)]
pub struct Cursors {
    first: Cursor,
    rest: Box<[Cursor]>,
    beside: Option<Box<Self>>,
    last: Option<Box<Self>>,
}

impl Tiers {
    /// The tiers with these plans, and what each gets of the requests if not all that those before it
    /// cannot serve: in percent, as many as there are plans.
    pub fn new(first: Plan, rest: Vec<Plan>, shares: Option<&[u32]>) -> Self {
        // Where the first gets all, the others are asked when it has nobody left: as without shares.
        let shares = shares.filter(|shares| shares.first() != Some(&100) && !rest.is_empty());
        let is_drawn = shares.is_some();
        let (rest, shares) = (rest.into(), shares.map(Into::into));
        Self { first, rest, shares, beside: None, last: None, is_drawn }
    }

    /// The same with others beside them, which get so much of the requests, in percent, and those that
    /// these cannot serve.
    #[must_use]
    pub fn with_beside(self, others: Self, share: u32) -> Self {
        Self { beside: Some(Box::new((others, share))), is_drawn: true, ..self }
    }

    /// The same with others behind them, which get only requests that were tried elsewhere and that these
    /// cannot serve.
    #[must_use]
    pub fn with_last(self, others: Self) -> Self {
        Self { last: Some(Box::new(others)), ..self }
    }

    /// Fresh cursors for a worker; `seed` staggers them.
    pub fn cursors(&self, worker: WorkerIx, seed: u64) -> Cursors {
        Cursors {
            first: self.first.cursor(worker, seed),
            rest: self.rest.iter().map(|plan| plan.cursor(worker, seed)).collect(),
            beside: self.beside.as_ref().map(|one| Box::new(one.0.cursors(worker, seed))),
            last: self.last.as_ref().map(|others| Box::new(others.cursors(worker, seed))),
        }
    }

    /// Carries cursors into older plans over to these.
    pub fn refit(&self, cursors: &mut Cursors) {
        self.first.refit(&mut cursors.first);
        if cursors.rest.len() != self.rest.len() {
            let known = cursors.rest.iter().cloned();
            let fresh = self.rest.iter().skip(cursors.rest.len());
            let fresh = fresh.map(|plan| plan.cursor(WorkerIx(0), 0));
            cursors.rest = known.take(self.rest.len()).chain(fresh).collect();
        }
        for (plan, cursor) in self.rest.iter().zip(&mut cursors.rest) {
            plan.refit(cursor);
        }
        refit_others(self.beside.as_ref().map(|one| &one.0), &mut cursors.beside);
        refit_others(self.last.as_deref(), &mut cursors.last);
    }

    /// The plan of a tier; that of the last for any further one.
    pub fn plan(&self, tier: usize) -> &Plan {
        match tier.checked_sub(1) {
            Some(place) => self.rest.get(place).or(self.rest.last()).unwrap_or(&self.first),
            None => &self.first,
        }
    }

    /// How many there are.
    pub fn count(&self) -> usize {
        1 + self.rest.len()
    }

    /// Whether a tier gets requests now: it has a share, or those before it have nobody.
    pub fn is_in_turn(&self, tier: usize) -> bool {
        match &self.shares {
            Some(shares) => shares.get(tier).is_some_and(|share| *share > 0),
            None => (0..tier).all(|before| self.plan(before).is_empty()),
        }
    }

    /// The plan of a tier with the worker's cursor into it.
    pub fn at<'a>(&'a self, tier: usize, cursors: &'a mut Cursors) -> (&'a Plan, &'a mut Cursor) {
        match tier
            .checked_sub(1)
            .and_then(|place| self.rest.get(place).zip(cursors.rest.get_mut(place)))
        {
            Some(at) => at,
            None => (&self.first, &mut cursors.first),
        }
    }

    /// Picks a backend: of the first tier that can serve, or of the one that is drawn, and where that
    /// has nobody, of the others in order.
    #[inline]
    pub fn pick(&self, cursors: &mut Cursors, p: &mut Pick<'_>) -> Option<BackendIx> {
        let found =
            if self.is_drawn { self.draw(cursors, p) } else { self.pick_in_order(cursors, p) };
        found.or_else(|| self.pick_last(cursors, p))
    }

    #[inline]
    fn pick_in_order(&self, cursors: &mut Cursors, p: &mut Pick<'_>) -> Option<BackendIx> {
        let first = self.first.pick(&mut cursors.first, p);
        first.or_else(|| {
            let mut rest = self.rest.iter().zip(&mut cursors.rest);
            rest.find_map(|(plan, cursor)| plan.pick(cursor, p))
        })
    }

    #[cold]
    fn pick_last(&self, cursors: &mut Cursors, p: &mut Pick<'_>) -> Option<BackendIx> {
        let (others, cursors) = self.last.as_deref().zip(cursors.last.as_deref_mut())?;
        if p.tried.is_empty() { None } else { others.pick(cursors, p) }
    }

    /// Draws who gets a request: those beside, or a tier by its share. The same key draws the same, as long
    /// as the shares last.
    #[inline(never)]
    fn draw(&self, cursors: &mut Cursors, p: &mut Pick<'_>) -> Option<BackendIx> {
        let Some((others, share)) = self.beside.as_deref() else {
            return self.draw_tier(cursors, p);
        };
        let goes_beside = lot(p, BESIDE) < *share;
        let beside = |cursors: &mut Cursors, p: &mut Pick<'_>| {
            cursors.beside.as_mut().and_then(|cursors| others.pick(cursors, p))
        };
        if goes_beside {
            beside(cursors, p).or_else(|| self.draw_tier(cursors, p))
        } else {
            self.draw_tier(cursors, p).or_else(|| beside(cursors, p))
        }
    }

    fn draw_tier(&self, cursors: &mut Cursors, p: &mut Pick<'_>) -> Option<BackendIx> {
        if let Some(shares) = &self.shares {
            let drawn = drawn(shares, lot(p, 0));
            let (plan, cursor) = self.at(drawn, cursors);
            if let Some(ix) = plan.pick(cursor, p) {
                return Some(ix);
            }
        }
        self.pick_in_order(cursors, p)
    }
}

/// Carries cursors into others, if there were any, over to those that there are now.
fn refit_others(others: Option<&Tiers>, cursors: &mut Option<Box<Cursors>>) {
    match (others, &mut *cursors) {
        (Some(others), Some(cursors)) => others.refit(cursors),
        (Some(others), none) => *none = Some(Box::new(others.cursors(WorkerIx(0), 0))),
        (None, left) => *left = None,
    }
}

/// Makes the lot of who goes beside another one than that of the tiers.
const BESIDE: u32 = 0x9E37_79B9;

/// A number below 100, which the request's key decides if it has one.
fn lot(p: &mut Pick<'_>, salt: u32) -> u32 {
    match p.key {
        Key::Bytes(bytes) if !bytes.is_empty() => lot_of(crc32(bytes) ^ salt),
        Key::Address(std::net::IpAddr::V4(ip)) => lot_of(crc32(&ip.octets()) ^ salt),
        Key::Address(std::net::IpAddr::V6(ip)) => lot_of(crc32(&ip.octets()) ^ salt),
        Key::None | Key::Unix | Key::Bytes(_) => p.rng.below(100),
    }
}

/// A number below 100 that a hash decides. Stirred first: the strategies place keys by the same hash.
fn lot_of(hash: u32) -> u32 {
    (mix(u64::from(hash) + 1) % 100) as u32
}

/// The tier that a lot below 100 falls on.
fn drawn(shares: &[u32], lot: u32) -> usize {
    let mut sum = 0;
    let tier = shares.iter().position(|share| {
        sum += share;
        lot < sum
    });
    tier.unwrap_or(0)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::balance::{Candidate, Lives, Rng, Settings, Strategy, Tried};
    use crate::model::{BackendId, Tick, Weight};

    const LABELS: [&str; 4] = ["10.0.0.1:80", "10.0.0.2:80", "10.0.1.1:80", "10.0.1.2:80"];

    /// Two tiers of two backends each, of which these are eligible.
    fn tiers(strategy: Strategy, eligible: [bool; 4], shares: Option<&[u32]>) -> Tiers {
        let settings = Settings { strategy, choices: 1, ..Settings::default() };
        let plan = |places: std::ops::Range<u32>| {
            let candidate = |n: u32| Candidate {
                ix: BackendIx(n),
                id: BackendId(n.into()),
                label: LABELS[n as usize],
                weight: Weight::ONE,
                eligible: eligible[n as usize],
                max_connections: 0,
                failures: None,
            };
            Plan::build(&settings, &places.map(candidate).collect::<Vec<_>>())
        };
        Tiers::new(plan(0..2), vec![plan(2..4)], shares)
    }

    /// How many of so many picks go to each backend.
    fn picks(tiers: &Tiers, times: usize, key: impl Fn(usize) -> Option<String>) -> [usize; 4] {
        let (live, tried, mut rng) = (Lives::new(4), Tried::new(), Rng::new(7));
        let mut cursors = tiers.cursors(WorkerIx(0), 0);
        let mut counts = [0; 4];
        for n in 0..times {
            let key = key(n);
            let key = key.as_ref().map_or(Key::None, |key| Key::Bytes(key.as_bytes()));
            let mut pick = Pick { key, live: &live, tried: &tried, now: Tick(0), rng: &mut rng };
            if let Some(ix) = tiers.pick(&mut cursors, &mut pick) {
                counts[ix.index()] += 1;
            }
        }
        counts
    }

    fn no_key(_: usize) -> Option<String> {
        None
    }

    #[test]
    fn without_shares_a_tier_serves_when_those_before_it_have_nobody() {
        let all = tiers(Strategy::RoundRobin, [true; 4], None);
        assert_eq!(picks(&all, 100, no_key), [50, 50, 0, 0]);
        let second = tiers(Strategy::RoundRobin, [false, false, true, true], None);
        assert_eq!(picks(&second, 100, no_key), [0, 0, 50, 50]);
        assert!(!all.is_in_turn(1) && second.is_in_turn(1));
    }

    #[test]
    fn each_tier_gets_its_share() {
        for share in [0_usize, 10, 35, 70, 99] {
            let shares = [share as u32, 100 - share as u32];
            let tiers = tiers(Strategy::RoundRobin, [true; 4], Some(&shares));
            let counts = picks(&tiers, 10_000, no_key);
            let first = counts[0] + counts[1];
            // Five standard deviations of 10,000 draws are at most 250.
            assert!(first.abs_diff(share * 100) <= 250, "{share} %: {counts:?}");
            assert!(counts[0].abs_diff(counts[1]) <= 1 && counts[2].abs_diff(counts[3]) <= 1);
            assert_eq!(tiers.is_in_turn(0), share > 0);
        }
    }

    #[test]
    fn where_the_drawn_tier_has_nobody_another_one_serves() {
        let half = tiers(Strategy::RoundRobin, [false, false, true, true], Some(&[50, 50]));
        assert_eq!(picks(&half, 100, no_key), [0, 0, 50, 50]);
        let nobody = tiers(Strategy::RoundRobin, [false; 4], Some(&[50, 50]));
        assert_eq!(picks(&nobody, 10, no_key), [0; 4]);
    }

    #[test]
    fn a_key_stays_in_its_tier() {
        let tiers = tiers(Strategy::UrlHash, [true; 4], Some(&[40, 60]));
        for n in 0..50 {
            let counts = picks(&tiers, 20, |_| Some(format!("/path/{n}")));
            assert_eq!(counts.iter().filter(|count| **count > 0).count(), 1, "{counts:?}");
        }
        let counts = picks(&tiers, 10_000, |n| Some(format!("/path/{n}")));
        assert!((counts[0] + counts[1]).abs_diff(4_000) <= 250, "{counts:?}");
        assert!(counts.iter().all(|count| *count > 1_500), "{counts:?}");
    }

    #[test]
    fn those_beside_get_their_share_and_whom_the_others_cannot_serve() {
        let well = [true, true, false, false];
        let sick = [false, false, true, false];
        let both = |share, well| {
            tiers(Strategy::RoundRobin, well, None)
                .with_beside(tiers(Strategy::RoundRobin, sick, None), share)
        };
        let counts = picks(&both(30, well), 10_000, no_key);
        assert!(
            counts[2].abs_diff(3_000) <= 250 && counts[0].abs_diff(counts[1]) <= 1,
            "{counts:?}"
        );
        assert_eq!(picks(&both(30, [false; 4]), 100, no_key), [0, 0, 100, 0]);
        // A key stays, whichever side it is on.
        let keyed = tiers(Strategy::UrlHash, well, None)
            .with_beside(tiers(Strategy::UrlHash, sick, None), 50);
        for n in 0..50 {
            let counts = picks(&keyed, 20, |_| Some(format!("/path/{n}")));
            assert_eq!(counts.iter().filter(|count| **count > 0).count(), 1, "{counts:?}");
        }
    }

    #[test]
    fn the_last_get_what_was_tried_elsewhere_and_nobody_else_can_serve() {
        let (well, unproven) = ([true, false, false, false], [false, true, true, false]);
        let both = tiers(Strategy::RoundRobin, well, None).with_last(tiers(
            Strategy::RoundRobin,
            unproven,
            None,
        ));
        assert_eq!(picks(&both, 10, no_key), [10, 0, 0, 0]);
        let (live, mut tried, mut rng) = (Lives::new(4), Tried::new(), Rng::new(7));
        // A cursor into tiers that had no others before.
        let mut cursors = tiers(Strategy::RoundRobin, well, None).cursors(WorkerIx(0), 0);
        both.refit(&mut cursors);
        let mut asked = Vec::new();
        loop {
            let mut pick =
                Pick { key: Key::None, live: &live, tried: &tried, now: Tick(0), rng: &mut rng };
            let Some(ix) = both.pick(&mut cursors, &mut pick) else { break };
            asked.push(ix.index());
            tried.insert(ix);
        }
        assert_eq!(asked, [0, 1, 2]);
        let nobody = tiers(Strategy::RoundRobin, [false; 4], None).with_last(tiers(
            Strategy::RoundRobin,
            unproven,
            None,
        ));
        assert_eq!(picks(&nobody, 10, no_key), [0; 4], "only after a failure");
    }

    #[test]
    fn cursors_follow_a_change_of_tiers() {
        let two = tiers(Strategy::RoundRobin, [true; 4], Some(&[50, 50]));
        let settings = Settings::default();
        let one = Tiers::new(Plan::build(&settings, &[]), Vec::new(), None);
        let mut cursors = one.cursors(WorkerIx(0), 0);
        two.refit(&mut cursors);
        assert_eq!(cursors.rest.len(), 1);
        one.refit(&mut cursors);
        assert_eq!(cursors.rest.len(), 0);
    }
}
