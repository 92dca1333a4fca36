//! A leaky bucket per key, after nginx's `ngx_http_limit_req_module.c`.
//!
//! Each request puts 1000 thousandths into its key's bucket, which leaks `rate` thousandths a
//! millisecond; what is in it is the excess. A request that would lift the excess above the burst is
//! refused and adds nothing.

use std::sync::atomic::{AtomicU64, Ordering::Relaxed};

use super::{BUCKET, bucket};

/// Bits of a state that hold the excess; the others hold the time.
const EXCESS_BITS: u32 = 26;
const MOST_EXCESS: u64 = (1 << EXCESS_BITS) - 1;

/// Milliseconds since the process's clock began, and one: 0 is no moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Moment(u64);

impl Moment {
    /// The moment so many milliseconds after the clock's origin. Moments fit 38 bits: eight years.
    pub fn from_millis(millis: u64) -> Self {
        Self((millis + 1) & (u64::MAX >> EXCESS_BITS))
    }
}

/// How often a key may ask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Rate {
    /// Thousandths of a request per second.
    pub per_second: u64,
    /// Requests that may be ahead of the rate, at most 60,000.
    pub burst: u32,
    /// Requests of these that need not wait.
    pub undelayed: u32,
}

impl Rate {
    /// How long a request with this excess (in thousandths) waits, in milliseconds.
    pub fn delay(&self, excess: u64) -> u64 {
        excess.saturating_sub(u64::from(self.undelayed) * 1000) * 1000 / self.per_second.max(1)
    }
}

/// What is known of one key. Both words are changed alone: a place that is given to another key
/// while somebody counts in it costs that key one request at most.
#[derive(Debug, Default)]
struct Slot {
    /// The key's hash; 0 is nobody's.
    tag: AtomicU64,
    /// When a request was counted last, and the excess then; 0 before the first.
    ///
    /// Relaxed suffices for both: no other memory is published through them.
    state: AtomicU64,
}

/// The buckets of many keys.
#[derive(Debug)]
pub struct Rates {
    slots: Box<[Slot]>,
}

impl Rates {
    /// A table for this many keys, 32 bytes each. When more come, those that were not seen for the
    /// longest time are forgotten.
    pub fn new(keys: usize) -> Self {
        let count = (keys * 2).next_power_of_two().max(BUCKET);
        Self { slots: (0..count).map(|_| Slot::default()).collect() }
    }

    /// What the excess would be with one more request, in thousandths; `Err` with it if that is
    /// above the burst. Nothing is counted.
    pub fn look(&self, hash: u64, rate: &Rate, now: Moment) -> Result<u64, u64> {
        let hash = hash.max(1);
        let begin = bucket(hash, self.slots.len());
        let mut places = self.slots[begin..begin + BUCKET].iter();
        let slot = places.find(|slot| slot.tag.load(Relaxed) == hash);
        let state = slot.map_or(0, |slot| slot.state.load(Relaxed));
        within(excess(state, rate, now).0, rate)
    }

    /// Counts a request; gives the excess with it, in thousandths, or `Err` with what it would be if
    /// that is above the burst; then nothing is counted. `force` counts it even then.
    pub fn take(&self, hash: u64, rate: &Rate, now: Moment, force: bool) -> Result<u64, u64> {
        let slot = self.slot(hash.max(1));
        let mut before = slot.state.load(Relaxed);
        loop {
            let (excess, at) = excess(before, rate, now);
            if !force {
                within(excess, rate)?;
            }
            let state = at.0 << EXCESS_BITS | excess.min(MOST_EXCESS);
            match slot.state.compare_exchange_weak(before, state, Relaxed, Relaxed) {
                Ok(_) => return Ok(excess),
                Err(other) => before = other,
            }
        }
    }

    /// The place of a key: its own, a free one, or that of the key which was not seen for longest.
    fn slot(&self, hash: u64) -> &Slot {
        let begin = bucket(hash, self.slots.len());
        let places = &self.slots[begin..begin + BUCKET];
        loop {
            let mut oldest = (u64::MAX, &places[0], 0);
            for slot in places {
                let tag = slot.tag.load(Relaxed);
                if tag == hash {
                    return slot;
                }
                let age = if tag == 0 { 0 } else { slot.state.load(Relaxed) };
                if age < oldest.0 {
                    oldest = (age, slot, tag);
                }
            }
            let (_, slot, tag) = oldest;
            // Another worker may have been quicker, perhaps with this very key: look again then.
            if slot.tag.compare_exchange(tag, hash, Relaxed, Relaxed).is_ok() {
                slot.state.store(0, Relaxed);
                return slot;
            }
        }
    }
}

fn within(excess: u64, rate: &Rate) -> Result<u64, u64> {
    if excess > u64::from(rate.burst) * 1000 { Err(excess) } else { Ok(excess) }
}

/// The excess with one more request, and the moment up to which the bucket has leaked then.
fn excess(state: u64, rate: &Rate, now: Moment) -> (u64, Moment) {
    let last = Moment(state >> EXCESS_BITS);
    if state == 0 {
        return (0, now);
    }
    // Another worker's clock reading may be a little ahead.
    let passed = now.0.saturating_sub(last.0);
    let leaked = rate.per_second.saturating_mul(passed) / 1000;
    let excess = ((state & MOST_EXCESS) + 1000).saturating_sub(leaked);
    (excess, now.max(last))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn at(millis: u64) -> Moment {
        Moment::from_millis(millis)
    }

    fn rate(per_second: u64, burst: u32, undelayed: u32) -> Rate {
        Rate { per_second: per_second * 1000, burst, undelayed }
    }

    #[test]
    fn the_first_request_is_free_and_the_next_ones_pay() {
        let (rates, rate) = (Rates::new(100), rate(10, 2, 0));
        let excesses = [0, 0, 0, 0, 100, 1000].map(|now| rates.take(7, &rate, at(now), false));
        // nginx: the burst is what may be ahead, beside the one that is due.
        assert_eq!(excesses, [Ok(0), Ok(1000), Ok(2000), Err(3000), Ok(2000), Ok(0)]);
        assert_eq!(rates.take(8, &rate, at(1000), false), Ok(0), "another key has its own");
    }

    #[test]
    fn what_is_refused_adds_nothing_unless_forced() {
        let (rates, rate) = (Rates::new(100), rate(1, 0, 0));
        assert_eq!(rates.take(7, &rate, at(0), false), Ok(0));
        for _ in 0..5 {
            assert_eq!(rates.look(7, &rate, at(500)), Err(500));
            assert_eq!(rates.take(7, &rate, at(500), false), Err(500));
        }
        assert_eq!(rates.take(7, &rate, at(1000), false), Ok(0));
        assert_eq!(rates.take(7, &rate, at(1000), true), Ok(1000));
    }

    #[test]
    fn who_is_ahead_waits_until_it_is_due() {
        let rate = rate(10, 5, 2);
        for (excess, millis) in [(0, 0), (1000, 0), (2000, 0), (2100, 10), (3000, 100), (5000, 300)]
        {
            assert_eq!(rate.delay(excess), millis, "{excess}");
        }
    }

    #[test]
    fn keys_that_were_not_seen_for_longest_are_forgotten() {
        let (rates, rate) = (Rates::new(1), rate(1, 0, 0));
        assert_eq!(rates.slots.len(), BUCKET);
        for key in 1..=BUCKET as u64 {
            rates.take(key, &rate, at(key), false).unwrap();
        }
        rates.take(99, &rate, at(20), false).unwrap();
        assert!(rates.look(2, &rate, at(20)).is_err(), "the second is still known");
        assert_eq!(rates.look(1, &rate, at(20)), Ok(0), "the first one is not");
    }

    #[test]
    fn workers_together_let_through_no_more_than_one_would() {
        let (rates, rate) = (Rates::new(100), rate(1, 999, 999));
        let passed: usize = std::thread::scope(|scope| {
            let takes = || (0..500).filter(|_| rates.take(7, &rate, at(5), false).is_ok()).count();
            let workers = [(); 4].map(|()| scope.spawn(takes));
            workers.into_iter().map(|worker| worker.join().unwrap()).sum()
        });
        assert_eq!(passed, 1000);
    }

    proptest! {
        /// What nginx computes, written down straight.
        #[test]
        fn excess_goes_as_in_nginx(
            per_second in 1..2000_u64,
            burst in 0..50_u32,
            steps in prop::collection::vec(0..3000_u64, 1..60),
        ) {
            let (rates, rate) = (Rates::new(10), rate(per_second, burst, 0));
            let (mut excess, mut last, mut now) = (0_i64, None, 0);
            for step in steps {
                now += step;
                let expected = match last {
                    None => 0,
                    Some(last) => {
                        let leaked = per_second as i64 * 1000 * (now - last) as i64 / 1000;
                        (excess - leaked + 1000).max(0)
                    }
                };
                let taken = rates.take(3, &rate, at(now), false);
                if expected > i64::from(burst) * 1000 {
                    prop_assert_eq!(taken, Err(expected as u64));
                } else {
                    prop_assert_eq!(taken, Ok(expected as u64));
                    (excess, last) = (expected, Some(now));
                }
            }
        }
    }
}
