//! How long a backend is out: longer each time, and shorter again after it has served for a while.
//!
//! After Envoy's outlier detection: base × number of times, up to a most. The number falls by one for
//! each base time that the backend has served in between.

use std::time::Duration;

use crate::model::Tick;

/// How often a backend was taken out lately.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Relapses {
    count: u32,
    /// Since when it serves again; `None`: it is out, or was never.
    back: Option<Tick>,
}

impl Relapses {
    /// It is taken out at `now`; gives for how long: `base` the first time, up to `most` (at least
    /// `base`) when it happens again. `draw`, 0.0 to 1.0, lengthens what exceeds `base` by up to a
    /// tenth, so that the nodes of a fleet do not ask all at once.
    pub fn out(&mut self, base: Duration, most: Duration, now: Tick, draw: f64) -> Duration {
        *self = self.at(base, now);
        self.count = self.count.saturating_add(1);
        self.back = None;
        let longer = base.saturating_mul(self.count - 1);
        let longer = longer.min(most.saturating_sub(base));
        base + longer.mul_f64(1.0 + draw / 10.0)
    }

    /// It serves again from `now` on.
    pub fn back(&mut self, now: Tick) {
        self.back = Some(now);
    }

    /// How many times it was taken out, as far as that still counts at `now`.
    pub fn count(&self, base: Duration, now: Tick) -> u32 {
        self.at(base, now).count
    }

    fn at(self, base: Duration, now: Tick) -> Self {
        let Some(back) = self.back else { return self };
        let served = now.since(back).as_micros() / base.as_micros().max(1);
        let forgotten = u32::try_from(served).unwrap_or(u32::MAX);
        Self { count: self.count.saturating_sub(forgotten), ..self }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BASE: Duration = Duration::from_secs(10);
    const MOST: Duration = Duration::from_secs(35);

    fn at(seconds: u64) -> Tick {
        Tick(seconds * 1_000_000)
    }

    #[test]
    fn pauses_grow_up_to_the_most_and_shrink_with_service() {
        let mut relapses = Relapses::default();
        let mut out = |now| relapses.out(BASE, MOST, at(now), 0.0).as_secs();
        assert_eq!([out(0), out(10), out(30), out(60), out(95)], [10, 20, 30, 35, 35]);
        relapses.back(at(130));
        assert_eq!(relapses.count(BASE, at(139)), 5);
        assert_eq!(relapses.count(BASE, at(150)), 3);
        assert_eq!(relapses.out(BASE, MOST, at(160), 0.0).as_secs(), 30);
        relapses.back(at(190));
        assert_eq!(relapses.out(BASE, MOST, at(1_000), 0.0), BASE, "all is forgotten");
    }

    #[test]
    fn chance_lengthens_only_what_exceeds_the_first_pause() {
        let mut relapses = Relapses::default();
        assert_eq!(relapses.out(BASE, MOST, at(0), 1.0), BASE);
        assert_eq!(relapses.out(BASE, MOST, at(0), 1.0).as_secs(), 21);
        let mut plain = Relapses::default();
        for _ in 0..5 {
            assert_eq!(
                plain.out(BASE, BASE, at(0), 1.0),
                BASE,
                "no most above the base: no growth"
            );
        }
    }
}
