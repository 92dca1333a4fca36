//! `random`: by chance and weight. With two choices the less loaded of two different draws, after
//! nginx's `random two`: nearly as even as `least_connections` ("The Power of Two Choices in Randomized
//! Load Balancing", Mitzenmacher 2001) at O(log n) per pick; or the one that is expected to answer sooner.

use std::cmp::Ordering;

use super::draw::Draw;
use super::least_connections::Load;
use super::least_response_time::cost;
use super::plan::{Pick, Settings};
use super::roster::Roster;

#[derive(Debug)]
pub(super) struct Random {
    draw: Draw,
    two: bool,
    by_time: bool,
    second_of_equals: bool,
}

impl Random {
    pub(super) fn new(roster: &Roster, settings: &Settings) -> Self {
        let Settings { choices, by_time, second_of_equals, .. } = *settings;
        Self { draw: Draw::new(roster), two: choices == 2, by_time, second_of_equals }
    }

    #[inline]
    pub(super) fn pick(&self, roster: &Roster, p: &mut Pick<'_>) -> Option<usize> {
        let first = self.draw.draw(roster, p, None)?;
        if !self.two {
            return Some(first);
        }
        let Some(second) = self.draw.draw(roster, p, Some(first)) else {
            return Some(first);
        };
        if self.by_time {
            let second_is_cheaper = cost(second, roster, p) < cost(first, roster, p);
            return Some(if second_is_cheaper { second } else { first });
        }
        let load = |place| Load::at(place, roster, p);
        // At a tie the first draw stands: so shares follow weights when all are equally loaded.
        let takes_second = match load(second).compare(&load(first)) {
            Ordering::Less => true,
            Ordering::Equal => self.second_of_equals,
            Ordering::Greater => false,
        };
        Some(if takes_second { second } else { first })
    }
}

#[cfg(test)]
mod tests {
    use super::super::conformance::Bed;
    use super::super::strategy::Strategy;
    use super::Settings;
    use std::time::Duration;

    #[test]
    fn of_two_draws_the_less_loaded_is_taken() {
        let mut bed = Bed::two_choices(&[1, 1]);
        let _held = bed.hold(&[1, 0]);
        assert_eq!(bed.hits(1_000), [0, 1_000]);
    }

    #[test]
    fn two_draws_differ_however_heavy_one_is() {
        let mut bed = Bed::two_choices(&[60_000, 1, 1]);
        let _held = bed.hold(&[60_001, 0, 0]);
        assert_eq!(bed.hits(1_000)[0], 0);
    }

    #[test]
    fn of_equally_loaded_ones_the_first_draw_is_taken_or_as_in_nginx_the_second() {
        let hits = |second_of_equals| {
            let settings = Settings {
                strategy: Strategy::Random,
                choices: 2,
                second_of_equals,
                ..Settings::default()
            };
            Bed::new(settings, &[3, 1]).hits(4_000)
        };
        let (ours, theirs) = (hits(false), hits(true));
        assert!(ours[0].abs_diff(3_000) < 200, "{ours:?}");
        assert!(theirs[0].abs_diff(1_000) < 200, "{theirs:?}");
    }

    #[test]
    fn of_two_draws_the_faster_is_taken_where_time_is_compared() {
        let settings = Settings {
            strategy: Strategy::Random,
            choices: 2,
            by_time: true,
            ..Settings::default()
        };
        let mut bed = Bed::new(settings, &[1, 1]);
        for (live, millis) in bed.live.iter().zip([30, 5]) {
            live.observe(Duration::from_millis(millis), bed.now);
        }
        let _held = bed.hold(&[0, 2]);
        assert_eq!(bed.hits(1_000), [0, 1_000], "5 ms × 3 are less than 30 ms × 1");
    }

    #[test]
    fn load_is_counted_per_weight() {
        let mut bed = Bed::two_choices(&[1, 10]);
        let _held = bed.hold(&[1, 9]);
        assert_eq!(bed.hits(1_000), [0, 1_000]);
    }

    #[test]
    fn one_draw_does_not_look_at_loads() {
        let mut bed = Bed::weighted(Strategy::Random, &[1, 1]);
        let _held = bed.hold(&[100, 0]);
        let hits = bed.hits(1_000);
        assert!(hits[0] > 400, "{hits:?}");
    }
}
