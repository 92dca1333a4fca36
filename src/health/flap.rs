//! Flap damping: who goes down again and again is kept down until it has been quiet for a while.
//!
//! After the figure of merit of RFC 2439 §4: each fall adds to a penalty that halves within every
//! half-life; above one limit the backend is held, below another it is let go.

use std::time::Duration;

use crate::model::Tick;

/// What one fall adds.
const FALL: f64 = 1_000.0;

/// When a backend is held, and for how long.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Damping {
    /// The time in which a penalty halves.
    pub half_life: Duration,
    /// A penalty above this holds the backend.
    pub suppress: f64,
    /// A penalty below this lets it go; less than `suppress`.
    pub reuse: f64,
    /// The longest time that it is held after its last fall.
    pub max: Duration,
}

/// The penalty of one backend.
#[derive(Debug, Clone, Copy, PartialEq, Default)]
pub struct Flap {
    penalty: f64,
    /// When the penalty was so large.
    at: Tick,
    /// It is held until then.
    held_until: Option<Tick>,
}

impl Flap {
    /// It went down.
    pub fn fell(&mut self, damping: &Damping, now: Tick) {
        self.penalty = self.penalty_at(damping, now) + FALL;
        self.at = now;
        let held = self.held_until.is_some_and(|until| now < until);
        self.held_until = (held || self.penalty > damping.suppress).then(|| {
            let halves = (self.penalty / damping.reuse).log2().max(0.0);
            now.after(damping.half_life.mul_f64(halves.min(1e6)).min(damping.max))
        });
    }

    /// Until when it is held; `None` when it is not.
    pub fn held(&self, now: Tick) -> Option<Tick> {
        self.held_until.filter(|until| now < *until)
    }

    /// It is let go before its time; what counts against it stays.
    pub fn release(&mut self) {
        self.held_until = None;
    }

    fn penalty_at(&self, damping: &Damping, now: Tick) -> f64 {
        let halves = now.since(self.at).as_secs_f64() / damping.half_life.as_secs_f64();
        self.penalty * (-halves).exp2()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const DAMPING: Damping = Damping {
        half_life: Duration::from_mins(1),
        suppress: 2_500.0,
        reuse: 1_000.0,
        max: Duration::from_mins(10),
    };

    fn second(n: u64) -> Tick {
        Tick(n * 1_000_000)
    }

    #[test]
    fn the_third_fall_in_a_row_is_one_too_many_and_time_heals() {
        let mut flap = Flap::default();
        for at in [0, 5] {
            flap.fell(&DAMPING, second(at));
            assert_eq!(flap.held(second(at)), None);
        }
        flap.fell(&DAMPING, second(10));
        // 1000 × (2^(-1/6) + 2^(-1/12) + 1) = 2835 is halved 1.5 times until it is 1000.
        let until = flap.held(second(10)).unwrap();
        assert!((90.0..91.0).contains(&until.since(second(10)).as_secs_f64()), "{until:?}");
        assert_eq!(flap.held(until), None);
        assert!(flap.penalty_at(&DAMPING, until) <= DAMPING.reuse + 0.01);
    }

    #[test]
    fn rare_falls_never_add_up() {
        let mut flap = Flap::default();
        for n in 0..100 {
            flap.fell(&DAMPING, second(n * 120));
            assert_eq!(flap.held(second(n * 120)), None);
        }
    }

    proptest! {
        #[test]
        fn nobody_is_held_longer_than_the_maximum_after_its_last_fall(
            pauses in prop::collection::vec(0_u64..200, 1..60),
        ) {
            let (mut flap, mut now) = (Flap::default(), 0);
            for pause in pauses {
                now += pause;
                flap.fell(&DAMPING, second(now));
                if let Some(until) = flap.held(second(now)) {
                    prop_assert!(until.since(second(now)) <= DAMPING.max);
                    let left = flap.penalty_at(&DAMPING, until);
                    let capped = until.since(second(now)) == DAMPING.max;
                    prop_assert!(capped || left <= DAMPING.reuse * 1.001);
                }
            }
        }
    }
}
