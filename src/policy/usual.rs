//! How long the answers of an upstream usually take: the last minute of a histogram that only grows.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Tick;

/// The time that is looked back on: so many times [`MARK`], or one less.
const MARKS: usize = 6;
const MARK: Duration = Duration::from_secs(10);

/// Answers that say what is usual, at least.
const ENOUGH: u64 = 100;

/// Numbers of answers, those that took the shortest first, each with the longest that they took;
/// `None`: longer than any.
pub type Answers = [(Option<Duration>, u64)];

/// What is usual of an upstream's answers.
#[derive(Debug, Clone, Default)]
pub struct Usual {
    /// The numbers at some moments of the last minute.
    marks: VecDeque<(Tick, Vec<u64>)>,
    /// Those of the last minute.
    lately: Vec<(Option<Duration>, u64)>,
}

impl Usual {
    /// Takes up all answers until now.
    pub fn look(&mut self, answers: &Answers, now: Tick) {
        if self.marks.back().is_none_or(|(at, _)| now.since(*at) >= MARK) {
            self.marks.push_back((now, answers.iter().map(|(_, number)| *number).collect()));
            if self.marks.len() > MARKS {
                self.marks.pop_front();
            }
        }
        let Some((_, before)) = self.marks.front() else { return };
        let grown =
            |(now, was): (&(Option<Duration>, u64), &u64)| (now.0, now.1.saturating_sub(*was));
        self.lately.clear();
        self.lately.extend(answers.iter().zip(before).map(grown));
    }

    /// The time within which this part of the answers, 0 to 1, came in the last minute: within the bounds
    /// that hold it, as if they were spread evenly. `None`: there were too few, or it is beyond all
    /// bounds.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        let all: u64 = self.lately.iter().map(|(_, number)| number).sum();
        if all < ENOUGH {
            return None;
        }
        let (mut below, mut from) = (0.0, Duration::ZERO);
        let wanted = all as f64 * part;
        for (bound, number) in &self.lately {
            let (bound, number) = ((*bound)?, *number as f64);
            if below + number >= wanted {
                let within = ((wanted - below) / number.max(1.0)).clamp(0.0, 1.0);
                return Some(from + bound.saturating_sub(from).mul_f64(within));
            }
            (below, from) = (below + number, bound);
        }
        None
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn answers(numbers: [u64; 3]) -> Vec<(Option<Duration>, u64)> {
        let bounds = [Some(Duration::from_millis(10)), Some(Duration::from_millis(100)), None];
        bounds.into_iter().zip(numbers).collect()
    }

    fn after(numbers: [u64; 3]) -> Usual {
        let mut usual = Usual::default();
        usual.look(&answers([7, 7, 7]), Tick(0));
        usual.look(&answers(numbers.map(|number| number + 7)), Tick(1));
        usual
    }

    #[test]
    fn a_quantile_lies_between_the_bounds_that_hold_it() {
        let usual = after([100, 100, 0]);
        assert_eq!(usual.quantile(0.25), Some(Duration::from_millis(5)));
        assert_eq!(usual.quantile(0.5), Some(Duration::from_millis(10)));
        assert_eq!(usual.quantile(0.75), Some(Duration::from_millis(55)));
        assert_eq!(usual.quantile(1.0), Some(Duration::from_millis(100)));
    }

    #[test]
    fn of_few_answers_and_of_endless_ones_nothing_is_known() {
        assert_eq!(after([99, 0, 0]).quantile(0.5), None);
        assert_eq!(after([50, 0, 50]).quantile(0.9), None);
        assert!(after([50, 0, 50]).quantile(0.4).is_some());
    }

    #[test]
    fn after_a_minute_what_was_is_forgotten() {
        let mut usual = after([0, 1_000, 0]);
        let slow = usual.quantile(0.99).unwrap();
        for second in 1..=70 {
            usual.look(&answers([second * 100, 1_007, 7]), Tick(second * 1_000_000));
        }
        assert!(
            usual.quantile(0.99).unwrap() <= Duration::from_millis(10) && slow.as_millis() > 90
        );
    }
}
