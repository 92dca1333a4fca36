//! `least_response_time`: the lowest expected cost, which is the time to first byte (peak EWMA,
//! [`Live::score`](super::Live::score)) × (requests in flight + 1) ÷ weight. After Finagle's peak EWMA.
//!
//! Up to 8 backends all are compared; above that the better of two draws by weight is taken, for a full
//! scan would send a herd to whoever looks best this moment. One pick in 64 is a plain draw by weight,
//! so that a backend with a bad name gets the requests with which to clear it.

use super::draw::Draw;
use super::plan::Pick;
use super::roster::Roster;

/// Up to this many backends all are compared.
const SCAN: usize = 8;
/// One pick in this many explores.
const EXPLORE: u32 = 64;

#[derive(Debug)]
pub(super) struct LeastResponseTime {
    draw: Draw,
}

impl LeastResponseTime {
    pub(super) fn new(roster: &Roster) -> Self {
        Self { draw: Draw::new(roster) }
    }

    #[inline]
    pub(super) fn pick(&self, roster: &Roster, p: &mut Pick<'_>) -> Option<usize> {
        if p.rng.below(EXPLORE) == 0 {
            return self.draw.draw(roster, p, None);
        }
        if roster.open_len() <= SCAN {
            return cheapest(roster, p);
        }
        let first = self.draw.draw(roster, p, None)?;
        let Some(second) = self.draw.draw(roster, p, Some(first)) else {
            return Some(first);
        };
        Some(if cost(second, roster, p) < cost(first, roster, p) { second } else { first })
    }
}

/// The cheapest of all; of several equally cheap ones any, by chance.
#[inline]
fn cheapest(roster: &Roster, p: &mut Pick<'_>) -> Option<usize> {
    let mut best: Option<(usize, f64)> = None;
    let mut tied = 1;
    for place in roster.open() {
        if !roster.usable(place, p) {
            continue;
        }
        let cost = cost(place, roster, p);
        match best.map(|(_, least)| cost.total_cmp(&least)) {
            Some(std::cmp::Ordering::Greater) => {}
            Some(std::cmp::Ordering::Equal) => {
                tied += 1;
                if p.rng.below(tied) == 0 {
                    best = Some((place, cost));
                }
            }
            Some(std::cmp::Ordering::Less) | None => {
                best = Some((place, cost));
                tied = 1;
            }
        }
    }
    best.map(|(place, _)| place)
}

#[inline]
pub(super) fn cost(place: usize, roster: &Roster, p: &Pick<'_>) -> f64 {
    roster.live(place, p).score(p.now) / f64::from(roster.weight(place))
}

#[cfg(test)]
mod tests {
    use super::super::conformance::Bed;
    use super::super::strategy::Strategy;
    use std::time::Duration;

    const PICKS: u32 = 6_400;

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    /// A tier of `n` with these response times, the last one for all further backends.
    fn measured(n: usize, times: &[u64]) -> Bed {
        let bed = Bed::weighted(Strategy::LeastResponseTime, &vec![1; n]);
        for place in 0..n {
            bed.live[place].observe(ms(times[place.min(times.len() - 1)]), bed.now);
        }
        bed
    }

    #[test]
    fn the_fastest_is_picked_but_for_exploration() {
        let mut bed = measured(4, &[20, 5, 20, 20]);
        let hits = bed.hits(PICKS);
        assert!(hits[1] > PICKS * 95 / 100, "{hits:?}");
        assert!(hits.iter().all(|n| *n > 0), "nobody starves: {hits:?}");
    }

    #[test]
    fn among_many_nobody_starves_either() {
        let mut bed = measured(64, &[5_000, 5]);
        let hits = bed.hits(PICKS * 10);
        let mean = PICKS * 10 / 64;
        assert!(hits[0] > 0 && hits[0] < mean / 10, "{hits:?}");
        assert!(hits[1..].iter().all(|n| *n > mean / 2), "{hits:?}");
    }

    #[test]
    fn requests_in_flight_outweigh_speed_in_the_end() {
        let mut bed = measured(2, &[10, 30]);
        let _held = bed.hold(&[3, 0]);
        let hits = bed.hits(PICKS);
        assert!(hits[1] > hits[0] * 10, "{hits:?}");
    }

    #[test]
    fn weight_divides_the_cost() {
        let mut bed = Bed::weighted(Strategy::LeastResponseTime, &[1, 4]);
        bed.live[0].observe(ms(10), bed.now);
        bed.live[1].observe(ms(30), bed.now);
        let hits = bed.hits(PICKS);
        assert!(hits[1] > hits[0] * 10, "{hits:?}");
    }

    #[test]
    fn a_slow_backend_left_idle_recovers_with_time() {
        let mut bed = measured(2, &[200, 5]);
        let before = bed.hits(PICKS);
        assert!(before[0] < PICKS / 50, "{before:?}");
        // The fast one is measured on, the slow one gets nothing for 60 s.
        bed.now = bed.now.after(Duration::from_mins(1));
        bed.live[1].observe(ms(5), bed.now);
        assert!(bed.hits(PICKS)[0] > PICKS / 2);
    }

    #[test]
    fn failing_fast_is_not_preferred() {
        let mut bed = measured(2, &[50]);
        bed.live[0].observe_failure(Duration::from_micros(100), bed.now);
        let hits = bed.hits(PICKS);
        assert!(hits[0] < PICKS / 50, "{hits:?}");
    }

    #[test]
    fn unmeasured_backends_share_evenly() {
        let mut bed = Bed::weighted(Strategy::LeastResponseTime, &[1; 4]);
        let hits = bed.hits(PICKS);
        let mean = PICKS / 4;
        assert!(hits.iter().all(|n| n.abs_diff(mean) < mean / 5), "{hits:?}");
    }
}
