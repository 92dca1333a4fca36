//! `prequal`: of a few backends the one that answers fastest, unless it is loaded more than most. After
//! "Load is not what you should balance: Introducing Prequal" (Wydrowski et al., NSDI 2024).
//!
//! What is the paper's: the rule by which one of several is picked, *hot-cold lexicographic*. A backend is
//! *hot* when more requests are in flight there than at the quantile `hot_quantile` of all backends, else
//! cold. Of the cold ones the one with the lowest latency is picked; when all are hot, the one with the
//! fewest requests in flight.
//!
//! What is not: the paper's clients ask servers by probes and keep the answers in a pool, for each of them
//! sees a small part of a server's load. Here no probe is sent. What it would tell is read at the moment of
//! the pick from the counters that all workers of this process share ([`Live`](super::Live)): requests in
//! flight exactly, the latency as the peak EWMA of the time to first byte, where the paper has a median by
//! load. So nothing is ever old, and a pool's ageing, reuse and removal have no counterpart; but load that
//! reaches a backend past this process shows in its latency only. That is the paper's synchronous mode (its
//! §4.3 has `d` probes per request and takes the best), with answers that take no time.
//!
//! Up to 8 backends all are looked at, above that 5 draws by weight. The quantile is worked out over all
//! backends anew once per n/16 picks of a worker: a pick reads 16 counters on average. Requests in flight
//! count per weight. One pick in 64 is a draw by weight: the paper's probes also learn the latency of those
//! that are not picked, and here only a request does. The paper guards itself against servers that fail fast ("sinkholing"); here a failure
//! counts as a response of 5 s at least.

use super::cursor::Cursor;
use super::draw::Draw;
use super::plan::Pick;
use super::roster::Roster;

/// Up to this many backends all are looked at.
const SCAN: usize = 8;
/// One pick in this many explores.
const EXPLORE: u32 = 64;
/// Draws among more: the paper's synchronous mode has 3 to 5 probes.
const DRAWS: u32 = 5;

#[derive(Debug)]
pub(super) struct Prequal {
    draw: Draw,
    quantile: f64,
}

/// What is known of a backend that is looked at.
#[derive(Debug, Clone, Copy)]
struct Seen {
    place: usize,
    /// Requests in flight per weight.
    load: u32,
    micros: f64,
}

impl Prequal {
    pub(super) fn new(roster: &Roster, quantile: f64) -> Self {
        Self { draw: Draw::new(roster), quantile }
    }

    #[inline]
    pub(super) fn pick(
        &self,
        roster: &Roster,
        cursor: &mut Cursor,
        p: &mut Pick<'_>,
    ) -> Option<usize> {
        self.refresh(roster, cursor, p);
        if p.rng.below(EXPLORE) == 0 {
            return self.draw.draw(roster, p, None);
        }
        let hot_above = cursor.hot.above;
        if roster.open_len() <= SCAN {
            scan(roster, hot_above, p)
        } else {
            self.draw(roster, hot_above, p)
        }
    }

    /// The best of some draws; of equals the first, so that shares follow weights when all are alike.
    fn draw(&self, roster: &Roster, hot_above: u32, p: &mut Pick<'_>) -> Option<usize> {
        let mut best = seen(self.draw.draw(roster, p, None)?, roster, p);
        for _ in 1..DRAWS {
            let Some(place) = self.draw.draw(roster, p, None) else { break };
            let other = seen(place, roster, p);
            if other.is_better(&best, hot_above) {
                best = other;
            }
        }
        Some(best.place)
    }

    /// Works out the load above which a backend is hot, if the last one has served its picks.
    #[inline]
    fn refresh(&self, roster: &Roster, cursor: &mut Cursor, p: &Pick<'_>) {
        if cursor.hot.picks_left > 0 {
            cursor.hot.picks_left -= 1;
            return;
        }
        cursor.hot.picks_left = roster.open_len() / 16;
        let loads = &mut cursor.tied;
        loads.clear();
        // As many as there is room for: all.
        loads.extend(roster.open().map(|place| load(place, roster, p)));
        let last = loads.len() - 1;
        let (_, nth, _) = loads.select_nth_unstable((self.quantile * last as f64) as usize);
        cursor.hot.above = *nth;
        loads.clear();
    }
}

/// The best of all; of equals any, by chance and weight.
fn scan(roster: &Roster, hot_above: u32, p: &mut Pick<'_>) -> Option<usize> {
    let mut best: Option<Seen> = None;
    let mut tied = 0;
    for place in roster.open() {
        if !roster.usable(place, p) {
            continue;
        }
        let other = seen(place, roster, p);
        let weight = roster.weight(place);
        match best {
            Some(best) if best.is_better(&other, hot_above) => {}
            Some(first) if !other.is_better(&first, hot_above) => {
                tied += weight;
                if p.rng.below(tied) < weight {
                    best = Some(other);
                }
            }
            _ => (best, tied) = (Some(other), weight),
        }
    }
    best.map(|seen| seen.place)
}

impl Seen {
    /// The rule: cold before hot, of the cold the faster, of the hot the less loaded.
    #[inline]
    fn is_better(&self, other: &Self, hot_above: u32) -> bool {
        match (self.load > hot_above, other.load > hot_above) {
            (false, true) => true,
            (true, false) => false,
            (false, false) => self.micros < other.micros,
            (true, true) => self.load < other.load,
        }
    }
}

#[inline]
fn seen(place: usize, roster: &Roster, p: &Pick<'_>) -> Seen {
    let micros = roster.live(place, p).expected_micros(p.now);
    Seen { place, load: load(place, roster, p), micros }
}

/// Requests in flight per weight, in 65,536ths.
#[inline]
fn load(place: usize, roster: &Roster, p: &Pick<'_>) -> u32 {
    let scaled = (u64::from(roster.in_flight(place, p)) << 16) / u64::from(roster.weight(place));
    u32::try_from(scaled).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::super::conformance::Bed;
    use super::super::plan::Settings;
    use super::super::strategy::Strategy;
    use std::time::Duration;

    const PICKS: u32 = 6_400;
    /// All but those that explore.
    const NEARLY_ALL: u32 = PICKS * 95 / 100;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn bed(backends: usize, hot_quantile: f64) -> Bed {
        let strategy = Strategy::Prequal;
        let settings = Settings { strategy, hot_quantile, ..Settings::default() };
        Bed::new(settings, &vec![1; backends])
    }

    /// A tier with these response times, the last one for all further backends.
    fn measured(backends: usize, times: &[u64]) -> Bed {
        let bed = bed(backends, 0.84);
        for place in 0..backends {
            bed.live[place].observe(ms(times[place.min(times.len() - 1)]), bed.now);
        }
        bed
    }

    #[test]
    fn of_the_cold_the_fastest_is_picked() {
        let mut bed = measured(4, &[20, 5, 20, 20]);
        let hits = bed.hits(PICKS);
        assert!(hits[1] > NEARLY_ALL && hits.iter().all(|n| *n > 0), "nobody starves: {hits:?}");
    }

    #[test]
    fn the_fastest_is_left_alone_when_it_is_loaded_more_than_most() {
        let mut bed = measured(4, &[20, 5, 10, 20]);
        let _held = bed.hold(&[2, 3, 2, 2]);
        assert!(bed.hits(PICKS)[2] > NEARLY_ALL);
    }

    #[test]
    fn loads_that_are_all_alike_make_nobody_hot() {
        let mut bed = measured(4, &[20, 5]);
        let _held = bed.hold(&[9; 4]);
        // Three are as fast, and share.
        let hits = bed.hits(PICKS);
        assert!(hits[0] < PICKS / 50 && hits[1..].iter().all(|n| *n > PICKS / 4), "{hits:?}");
    }

    #[test]
    fn at_quantile_zero_load_decides_and_at_one_latency() {
        let mut bed = bed(3, 0.0);
        for (place, time) in [(0, 5), (1, 20), (2, 20)] {
            bed.live[place].observe(ms(time), bed.now);
        }
        let _held = bed.hold(&[2, 1, 1]);
        assert!(bed.hits(PICKS)[0] < PICKS / 50);
        bed.settings.hot_quantile = 1.0;
        bed.rebuild();
        assert!(bed.hits(PICKS)[0] > NEARLY_ALL);
    }

    #[test]
    fn when_those_left_are_all_hot_the_least_loaded_is_picked() {
        let mut bed = measured(4, &[20, 5, 10, 20]);
        let _held = bed.hold(&[0, 9, 8, 0]);
        bed.settings.hot_quantile = 0.5;
        bed.rebuild();
        bed.tried.insert(crate::model::BackendIx(0));
        bed.tried.insert(crate::model::BackendIx(3));
        assert!(bed.hits(PICKS)[2] > NEARLY_ALL);
    }

    #[test]
    fn load_counts_per_weight() {
        let settings =
            Settings { strategy: Strategy::Prequal, hot_quantile: 0.0, ..Settings::default() };
        let mut bed = Bed::new(settings, &[1, 10]);
        let _held = bed.hold(&[1, 9]);
        assert!(bed.hits(PICKS)[1] > NEARLY_ALL);
    }

    #[test]
    fn among_many_the_slow_one_and_the_loaded_one_get_little() {
        let mut bed = measured(64, &[5_000, 5]);
        let mut loads = [1; 64];
        loads[1] = 50;
        let _held = bed.hold(&loads);
        let hits = bed.hits(PICKS * 10);
        let mean = PICKS * 10 / 64;
        assert!(hits[0] < mean / 10 && hits[1] < mean / 10, "{hits:?}");
        assert!(hits[2..].iter().all(|n| *n > mean / 2), "{hits:?}");
    }

    #[test]
    fn a_slow_backend_left_idle_recovers_with_time() {
        let mut bed = measured(2, &[200, 5]);
        assert!(bed.hits(PICKS)[0] < PICKS / 50);
        bed.now = bed.now.after(Duration::from_mins(1));
        bed.live[1].observe(ms(5), bed.now);
        assert!(bed.hits(PICKS)[0] > PICKS / 2);
    }

    #[test]
    fn failing_fast_is_not_preferred() {
        let mut bed = measured(2, &[50]);
        bed.live[0].observe_failure(Duration::from_micros(100), bed.now);
        assert!(bed.hits(PICKS)[1] > NEARLY_ALL);
    }
}
