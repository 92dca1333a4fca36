//! Slow start: a backend that joins, or is back, gets a growing part of its weight, so that its caches
//! and its compiler are warm when it carries all of it.
//!
//! After nginx's and `HAProxy`'s `slow_start`: the part grows with time, from a tenth to the whole. It grows
//! in tenths, for each step makes new plans.

use std::time::Duration;

use crate::model::{Share, Tick};

/// Steps to the whole weight.
const STEPS: u64 = 10;

/// The part of the weight of a backend that has served since `since` and warms up for `time`, and when
/// the next part is due; `None` when it is warm.
pub fn warmth(since: Tick, time: Duration, now: Tick) -> (Share, Option<Tick>) {
    let time = (time.as_micros() as u64).max(1);
    let passed = now.0.saturating_sub(since.0);
    let done = passed.saturating_mul(STEPS) / time;
    if done >= STEPS {
        return (Share::WHOLE, None);
    }
    let done = done.max(1);
    let next = (time * (done + 1)).div_ceil(STEPS);
    (Share::percent((done * 100 / STEPS) as u8), Some(Tick(since.0 + next)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn it_grows_in_ten_steps_to_the_whole_when_the_time_is_over(
            time in 10_u64..100_000,
            start in 0_u64..1_000_000,
        ) {
            let (since, time) = (Tick(start), Duration::from_millis(time));
            let (mut now, mut before, mut steps) = (since, 0, 0);
            loop {
                let (share, next) = warmth(since, time, now);
                prop_assert!(share.value() > before, "{} after {before}", share.value());
                let passed = now.since(since).as_secs_f64() / time.as_secs_f64();
                prop_assert!(f64::from(share.value()) <= (passed * 100.0).max(10.0) + 0.1);
                before = share.value();
                let Some(next) = next else { break };
                prop_assert!(next > now && steps < 12);
                (now, steps) = (next, steps + 1);
            }
            prop_assert_eq!(before, 100);
            prop_assert!(now.since(since) >= time);
            prop_assert!(now.since(since) <= time + Duration::from_millis(1));
        }
    }
}
