//! Failures counted as nginx counts them, for upstreams that ask for it (`[upstream.NAME.nginx]`).
//!
//! After `ngx_http_upstream_round_robin.c`. A backend is out while it has failed `max_fails` times and
//! the last failure is no more than `fail_timeout` ago. Then the next pick is a probe: it begins a new
//! window of `fail_timeout`, in which nobody else is let through while the backend still counts as
//! failed. A success forgets the failures only if the last of them came before the last probe; so
//! failures between successes add up. Each failure takes weight ÷ `max_fails` off the weight by which
//! the backend takes its turns, and each pick that could have been its own gives 1 back.
//!
//! Plimsoll's own judgement (`policy::parking`) parks a backend through the control loop, which keeps
//! the last one left in service; nginx's does not.

use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::model::Tick;

/// How many failures take a backend out, and for how long.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Failures after which it is out; 0 is never.
    pub max_fails: u32,
    /// How long it is out, and how long failures count, in whole seconds.
    pub fail_timeout: Duration,
}

/// What is counted of one backend. All zero at first; times are whole seconds, as in nginx.
///
/// Several workers may write at once; then a failure may be lost or a probe made twice, as between
/// nginx's workers without a `zone`.
#[derive(Debug, Default)]
pub(super) struct Tally {
    fails: AtomicU32,
    /// When it failed last.
    failed: AtomicU32,
    /// When it failed or was probed last.
    checked: AtomicU32,
    /// What failures took off its weight.
    lost: AtomicU32,
}

impl Tally {
    /// Whether the backend is out.
    #[inline]
    pub(super) fn is_out(&self, limits: &Limits, now: Tick) -> bool {
        limits.max_fails > 0
            && self.fails.load(Relaxed) >= limits.max_fails
            && self.since_checked(now) <= whole(limits.fail_timeout)
    }

    /// The backend was picked: a probe, if the window is over.
    #[inline]
    pub(super) fn picked(&self, limits: &Limits, now: Tick) {
        if self.since_checked(now) > whole(limits.fail_timeout) {
            self.checked.store(seconds(now), Relaxed);
        }
    }

    /// An attempt failed. True when that takes the backend out.
    pub(super) fn failed(&self, limits: &Limits, weight: u32, now: Tick) -> bool {
        let fails = self.fails.fetch_add(1, Relaxed).saturating_add(1);
        let now = seconds(now);
        self.failed.store(now, Relaxed);
        self.checked.store(now, Relaxed);
        if limits.max_fails == 0 {
            return false;
        }
        let lost = self.lost.load(Relaxed).saturating_add(weight / limits.max_fails);
        self.lost.store(lost.min(weight), Relaxed);
        fails >= limits.max_fails
    }

    /// An attempt did not fail.
    pub(super) fn passed(&self) {
        if self.failed.load(Relaxed) < self.checked.load(Relaxed) {
            self.fails.store(0, Relaxed);
        }
    }

    /// The weight by which it takes part in a pick; the next time it is 1 more, up to `weight`.
    #[inline]
    pub(super) fn take_weight(&self, weight: u32) -> u32 {
        match self.lost.load(Relaxed) {
            0 => weight,
            lost => {
                self.lost.store(lost - 1, Relaxed);
                weight.saturating_sub(lost)
            }
        }
    }

    /// The same numbers, to go on by themselves.
    pub(super) fn copied(&self) -> Self {
        let copy = |one: &AtomicU32| AtomicU32::new(one.load(Relaxed));
        Self {
            fails: copy(&self.fails),
            failed: copy(&self.failed),
            checked: copy(&self.checked),
            lost: copy(&self.lost),
        }
    }

    fn since_checked(&self, now: Tick) -> u32 {
        seconds(now).saturating_sub(self.checked.load(Relaxed))
    }
}

/// From the clock's origin; 0 is never, for which the first second stands in too.
fn seconds(now: Tick) -> u32 {
    (now.0 / 1_000_000) as u32
}

fn whole(time: Duration) -> u32 {
    time.as_secs().min(u64::from(u32::MAX)) as u32
}

#[cfg(test)]
mod tests {
    use super::*;

    const TWICE: Limits = Limits { max_fails: 2, fail_timeout: Duration::from_secs(10) };

    fn at(second: u64) -> Tick {
        Tick((1_000 + second) * 1_000_000)
    }

    #[test]
    fn it_is_out_for_the_time_and_the_second_in_which_that_ends() {
        let tally = Tally::default();
        assert!(!tally.failed(&TWICE, 1, at(0)));
        assert!(!tally.is_out(&TWICE, at(0)));
        assert!(tally.failed(&TWICE, 1, at(3)));
        assert!(tally.is_out(&TWICE, at(3)) && tally.is_out(&TWICE, at(13)));
        assert!(!tally.is_out(&TWICE, at(14)));
    }

    #[test]
    fn one_probe_a_window() {
        let tally = Tally::default();
        for _ in 0..2 {
            let _ = tally.failed(&TWICE, 1, at(0));
        }
        tally.picked(&TWICE, at(11));
        assert!(tally.is_out(&TWICE, at(12)), "the probe is under way");
        tally.passed();
        assert!(!tally.is_out(&TWICE, at(12)));
    }

    #[test]
    fn failures_between_successes_add_up_until_a_window_without_any() {
        let tally = Tally::default();
        tally.picked(&TWICE, at(0));
        let _ = tally.failed(&TWICE, 1, at(1));
        tally.picked(&TWICE, at(5));
        tally.passed();
        assert!(tally.failed(&TWICE, 1, at(9)), "the success forgot nothing");
        let tally = Tally::default();
        let _ = tally.failed(&TWICE, 1, at(1));
        tally.picked(&TWICE, at(12));
        tally.passed();
        assert!(!tally.failed(&TWICE, 1, at(13)), "a probe went well meanwhile");
    }

    #[test]
    fn weight_is_lost_by_failures_and_comes_back_by_picks() {
        let tally = Tally::default();
        let _ = tally.failed(&TWICE, 5, at(0));
        let weights: Vec<u32> = (0..4).map(|_| tally.take_weight(5)).collect();
        assert_eq!(weights, [3, 4, 5, 5]);
        for _ in 0..3 {
            let _ = tally.failed(&TWICE, 5, at(1));
        }
        assert_eq!([tally.take_weight(5), tally.take_weight(5)], [0, 1]);
    }

    #[test]
    fn max_fails_0_is_never_out_and_loses_nothing() {
        let never = Limits { max_fails: 0, ..TWICE };
        let tally = Tally::default();
        assert!((0..9).all(|_| !tally.failed(&never, 5, at(0))));
        assert!(!tally.is_out(&never, at(0)));
        assert_eq!(tally.take_weight(5), 5);
    }
}
