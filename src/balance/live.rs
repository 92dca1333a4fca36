//! What a backend is going through right now, counted across all workers.
//!
//! One `Live` per backend, shared by `Arc` over all snapshots and workers: besides the snapshot's cell
//! this is the only memory that workers share. Each stands on its own pair of cache lines, so that
//! traffic to one backend does not slow down another's; only the requests in flight are counted
//! [elsewhere](super::lives). The attempt writes here, picks read, and the control loop offers trials.
//!
//! All atomics are `Relaxed`: each one is a whole fact by itself (a value and its time are packed into
//! one word), and none of them publishes other memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU32, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use crate::model::{Tick, Weight};

use super::lives::Count;
use super::tally::{Limits, Tally};

/// How fast an old response time loses its weight: after this long it counts 1/e.
const DECAY: Duration = Duration::from_secs(10);
/// A failure counts as a response at least this slow, however quickly it came.
const FAILURE: Duration = Duration::from_secs(5);
/// What a backend that was never measured, or not for long, is taken to need, in microseconds. Not 0:
/// it would then draw all traffic at once until its first response.
const UNKNOWN_MICROS: f64 = 1_000.0;

/// The counters of one backend, for all workers.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct Live {
    in_flight: Count,
    /// Whether a trial is on offer.
    trial: AtomicBool,
    /// Peak EWMA in microseconds (the bits of an `f32`) and when it was taken; 0 is never.
    response_time: AtomicU64,
    /// Failures in the present window and when it began; 0 is none.
    failures: AtomicU64,
    /// Failures as nginx counts them.
    tally: Tally,
}

impl Live {
    /// A backend of which nothing is known yet.
    pub fn new() -> Self {
        Self::default()
    }

    /// The same, with its requests in flight counted there.
    pub(super) fn counting_on(in_flight: Count) -> Self {
        Self { in_flight, ..Self::default() }
    }

    /// Where its requests in flight are counted.
    pub(super) fn count(&self) -> &Count {
        &self.in_flight
    }

    /// Requests that entered and did not end yet.
    #[inline]
    pub fn in_flight(&self) -> u32 {
        self.in_flight.load(Relaxed)
    }

    /// Counts a request in until the guard is dropped.
    ///
    /// Enter directly after the pick: between the two another worker may take the last free place, so
    /// `max_connections` may be exceeded by at most the number of workers less one. (`max_in_flight` of the
    /// upstream is not.)
    #[inline]
    #[must_use = "the request counts only as long as the guard lives"]
    pub fn enter(&self) -> InFlight<'_> {
        let count: &AtomicU32 = &self.in_flight;
        count.fetch_add(1, Relaxed);
        InFlight(count)
    }

    /// As [`Live::enter`], for a guard that travels with a response body.
    #[inline]
    #[must_use = "the request counts only as long as the guard lives"]
    pub fn enter_owned(self: &Arc<Self>) -> OwnedInFlight {
        self.in_flight.fetch_add(1, Relaxed);
        OwnedInFlight(Arc::clone(self))
    }

    /// Takes note of the time from sending a request to the first byte of its response.
    ///
    /// A peak EWMA (after Finagle's): a slower response counts at once and in full, a faster one by the
    /// time passed since the last, with a decay of 10 s.
    pub fn observe(&self, first_byte: Duration, now: Tick) {
        let sample = first_byte.as_micros() as f64;
        let now = Stamp::at(now);
        let update = |word| {
            let old = Stamped::unpack(word);
            let kept = old.faded(now);
            let old = f64::from(f32::from_bits(old.value));
            // A sample above the old value exceeds the mixture too, and wins.
            let new = sample.max(old * kept + sample * (1.0 - kept));
            Some(Stamped { value: (new as f32).to_bits(), at: now }.pack())
        };
        let _ = self.response_time.fetch_update(Relaxed, Relaxed, update);
    }

    /// Takes note of an attempt that had no response after this time, and was given up: only if it was
    /// to be expected sooner.
    pub fn observe_at_least(&self, waited: Duration, now: Tick) {
        if waited.as_micros() as f64 > self.expected_micros(now) {
            self.observe(waited, now);
        }
    }

    /// Takes note of an attempt that failed after `elapsed`: as a response that took at least 5 s, for
    /// a backend that fails fast must not look fast.
    pub fn observe_failure(&self, elapsed: Duration, now: Tick) {
        self.observe(elapsed.max(FAILURE), now);
    }

    /// What a further request would cost here: response time in microseconds × (requests in flight + 1).
    ///
    /// The response time decays by itself while nothing is measured, down to 1 ms; so a backend that
    /// was slow is tried again. One that was never measured counts as 1 ms as well.
    #[inline]
    pub fn score(&self, now: Tick) -> f64 {
        self.expected_micros(now) * (f64::from(self.in_flight()) + 1.0)
    }

    /// The response time in microseconds as [`Live::score`] takes it.
    #[inline]
    pub(super) fn expected_micros(&self, now: Tick) -> f64 {
        let word = self.response_time.load(Relaxed);
        if word == 0 {
            return UNKNOWN_MICROS;
        }
        let last = Stamped::unpack(word);
        let micros = f64::from(f32::from_bits(last.value));
        if micros <= UNKNOWN_MICROS {
            return micros;
        }
        (micros * last.faded(Stamp::at(now))).max(UNKNOWN_MICROS)
    }

    /// Counts a failure; true when it is number `max_fails` within `window`, and then the count starts
    /// again: of all workers exactly one is told. The window begins with its first failure. `max_fails`
    /// 0 is never.
    #[must_use = "the crossing is told once only"]
    pub fn record_failure(&self, now: Tick, window: Duration, max_fails: u32) -> bool {
        if max_fails == 0 {
            return false;
        }
        let now = Stamp::at(now);
        let count = |word| {
            let old = Stamped::unpack(word);
            if word == 0 || now.since(old.at) > window {
                Stamped { value: 1, at: now }
            } else {
                Stamped { value: old.value + 1, ..old }
            }
        };
        let next = |counted: Stamped| {
            if counted.value >= max_fails { 0 } else { counted.pack() }
        };
        self.failures
            .fetch_update(Relaxed, Relaxed, |word| Some(next(count(word))))
            .is_ok_and(|before| next(count(before)) == 0)
    }

    /// Where failures are counted as in nginx.
    #[inline]
    pub(super) fn tally(&self) -> &Tally {
        &self.tally
    }

    /// Counts a failure as nginx does; true when it takes the backend out.
    #[must_use = "that it is out is worth telling"]
    pub fn tally_failure(&self, limits: &Limits, weight: Weight, now: Tick) -> bool {
        self.tally.failed(limits, weight.value(), now)
    }

    /// Counts an attempt that did not fail, as nginx does.
    pub fn tally_success(&self) {
        self.tally.passed();
    }

    /// Whether it is out as nginx counts failures.
    pub fn is_out(&self, limits: &Limits, now: Tick) -> bool {
        self.tally.is_out(limits, now)
    }

    /// What is known at this moment, for whoever plays with it: what is counted there counts nowhere else.
    pub(super) fn copied(&self) -> Self {
        let response_time = AtomicU64::new(self.response_time.load(Relaxed));
        let copy = Self { response_time, tally: self.tally.copied(), ..Self::default() };
        copy.in_flight.store(self.in_flight(), Relaxed);
        copy
    }

    /// Whether a trial request is on offer.
    pub fn offers_trial(&self) -> bool {
        self.trial.load(Relaxed)
    }

    /// Puts one trial request on offer. Called by the control loop when a pause is over, and by an
    /// attempt that claimed the trial and decided nothing.
    pub fn offer_trial(&self) {
        self.trial.store(true, Relaxed);
    }

    /// Claims the trial request: true for exactly one caller per offer.
    #[must_use = "whoever claims the trial must make it"]
    pub fn begin_trial(&self) -> bool {
        // Read first: while none is on offer the line stays shared.
        self.trial.load(Relaxed) && self.trial.swap(false, Relaxed)
    }
}

/// A request in flight, counted as long as this lives.
#[derive(Debug)]
pub struct InFlight<'a>(&'a AtomicU32);

impl Drop for InFlight<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

/// As [`InFlight`], keeping the backend's counters alive by itself.
#[derive(Debug)]
pub struct OwnedInFlight(Arc<Live>);

impl Drop for OwnedInFlight {
    fn drop(&mut self) {
        self.0.in_flight.fetch_sub(1, Relaxed);
    }
}

/// A moment in units of 1.024 ms, modulo 2^32 (50 days).
#[derive(Debug, Clone, Copy)]
struct Stamp(u32);

impl Stamp {
    const MICROS_LOG2: u32 = 10;
    /// A distance in the last minute before the wrap is a moment that another worker read a little
    /// later than we did, not one of 50 days ago.
    const LATER: u32 = u32::MAX - (60_000_000 >> Self::MICROS_LOG2);

    #[inline]
    fn at(tick: Tick) -> Self {
        Self((tick.0 >> Self::MICROS_LOG2) as u32)
    }

    #[inline]
    fn units_since(self, earlier: Self) -> u32 {
        match self.0.wrapping_sub(earlier.0) {
            Self::LATER.. => 0,
            units => units,
        }
    }

    #[inline]
    fn since(self, earlier: Self) -> Duration {
        Duration::from_micros(u64::from(self.units_since(earlier)) << Self::MICROS_LOG2)
    }
}

/// A value and its moment in one word, so that they change together.
#[derive(Debug, Clone, Copy)]
struct Stamped {
    value: u32,
    at: Stamp,
}

impl Stamped {
    #[inline]
    fn pack(self) -> u64 {
        u64::from(self.value) << 32 | u64::from(self.at.0)
    }

    #[inline]
    fn unpack(word: u64) -> Self {
        Self { value: (word >> 32) as u32, at: Stamp(word as u32) }
    }

    /// What is left of a value at `now`, from 1 (all) down to 0.
    #[inline]
    fn faded(self, now: Stamp) -> f64 {
        const UNITS: f64 = (DECAY.as_micros() >> Stamp::MICROS_LOG2) as f64;
        match now.units_since(self.at) {
            0 => 1.0,
            passed => (-f64::from(passed) / UNITS).exp(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const START: Tick = Tick(1_000_000_000);

    fn ms(n: u64) -> Duration {
        Duration::from_millis(n)
    }

    fn secs(n: u64) -> Duration {
        Duration::from_secs(n)
    }

    /// Nearly equal: times are kept to 1 ms and seven digits.
    fn near(found: f64, expected: f64) -> bool {
        (found - expected).abs() <= expected * 0.001
    }

    #[test]
    fn guards_count_in_and_out() {
        let live = Arc::new(Live::new());
        let first = live.enter();
        let second = live.enter_owned();
        assert_eq!(live.in_flight(), 2);
        drop(first);
        assert_eq!(live.in_flight(), 1);
        drop(second);
        assert_eq!(live.in_flight(), 0);
    }

    #[test]
    fn no_two_backends_share_a_cache_line() {
        assert_eq!(align_of::<Live>(), 128);
        assert_eq!(size_of::<Live>(), 128);
    }

    #[test]
    fn a_slower_response_counts_at_once_and_fades_over_ten_seconds() {
        let live = Live::new();
        live.observe(ms(20), START);
        live.observe(ms(200), START);
        assert!(near(live.score(START), 200_000.0));
        let later = START.after(secs(10));
        assert!(near(live.score(later), 200_000.0 / std::f64::consts::E));
        live.observe(ms(20), later);
        let kept = 1.0 / std::f64::consts::E;
        assert!(near(live.score(later), 200_000.0 * kept + 20_000.0 * (1.0 - kept)));
    }

    #[test]
    fn reading_changes_nothing() {
        let live = Live::new();
        live.observe(ms(50), START);
        let first = live.score(START.after(secs(3)));
        assert_eq!(live.score(START.after(secs(3))).to_bits(), first.to_bits());
        assert!(near(live.score(START), 50_000.0));
    }

    #[test]
    fn requests_in_flight_multiply_the_cost() {
        let live = Live::new();
        live.observe(ms(10), START);
        let _guards = [live.enter(), live.enter()];
        assert!(near(live.score(START), 30_000.0));
    }

    #[test]
    fn the_unmeasured_and_the_long_idle_count_as_one_millisecond() {
        let live = Live::new();
        assert!(near(live.score(START), 1_000.0));
        live.observe(secs(3), START);
        assert!(near(live.score(START.after(secs(1_000))), 1_000.0));
    }

    #[test]
    fn a_backend_faster_than_a_millisecond_keeps_its_value() {
        let live = Live::new();
        live.observe(Duration::from_micros(300), START);
        assert!(near(live.score(START.after(secs(1_000))), 300.0));
    }

    #[test]
    fn a_failure_counts_as_slow() {
        let live = Live::new();
        live.observe_failure(Duration::from_micros(40), START);
        assert!(near(live.score(START), 5_000_000.0));
        live.observe_failure(secs(9), START);
        assert!(near(live.score(START), 9_000_000.0));
    }

    #[test]
    fn what_was_given_up_sooner_than_expected_says_nothing() {
        let live = Live::new();
        live.observe(ms(50), START);
        live.observe_at_least(ms(20), START);
        assert!(near(live.score(START), 50_000.0));
        live.observe_at_least(ms(80), START);
        assert!(near(live.score(START), 80_000.0));
    }

    #[test]
    fn a_moment_before_the_last_one_is_taken_for_the_same() {
        let live = Live::new();
        live.observe(ms(50), START);
        let before = Tick(START.0 - 2_000_000);
        assert!(near(live.score(before), 50_000.0));
        live.observe(ms(5), before);
        assert!(near(live.score(before), 50_000.0));
    }

    #[test]
    fn time_goes_on_when_the_stamp_wraps() {
        let live = Live::new();
        let wrap = 1_u64 << (32 + Stamp::MICROS_LOG2);
        let before = Tick(wrap - 5_000_000);
        live.observe(ms(100), before);
        assert!(near(live.score(before.after(secs(10))), 100_000.0 / std::f64::consts::E));
    }

    #[test]
    fn failures_cross_once_per_count() {
        let live = Live::new();
        let told: Vec<bool> = (0..10).map(|_| live.record_failure(START, secs(10), 5)).collect();
        let places: Vec<usize> = (0..10).filter(|i| told[*i]).collect();
        assert_eq!(places, [4, 9]);
    }

    #[test]
    fn failures_older_than_the_window_are_forgotten() {
        let live = Live::new();
        assert!(!live.record_failure(START, secs(10), 2));
        assert!(!live.record_failure(START.after(secs(11)), secs(10), 2));
        assert!(live.record_failure(START.after(secs(20)), secs(10), 2));
    }

    #[test]
    fn one_failure_may_be_enough_and_none_is_never() {
        let live = Live::new();
        assert!(live.record_failure(START, secs(10), 1));
        assert!(live.record_failure(START, secs(10), 1));
        assert!((0..100).all(|_| !live.record_failure(START, secs(10), 0)));
    }

    #[test]
    fn of_many_threads_one_is_told_of_each_crossing() {
        let live = Live::new();
        let told: usize = std::thread::scope(|scope| {
            let count = || (0..1_000).filter(|_| live.record_failure(START, secs(10), 8)).count();
            let threads: Vec<_> = (0..4).map(|_| scope.spawn(count)).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(told, 4_000 / 8);
    }

    #[test]
    fn each_offer_of_a_trial_is_claimed_once() {
        let live = Live::new();
        assert!(!live.begin_trial());
        live.offer_trial();
        let claimed: usize = std::thread::scope(|scope| {
            let threads: Vec<_> =
                (0..4).map(|_| scope.spawn(|| usize::from(live.begin_trial()))).collect();
            threads.into_iter().map(|thread| thread.join().unwrap()).sum()
        });
        assert_eq!(claimed, 1);
        assert!(!live.begin_trial());
    }
}
