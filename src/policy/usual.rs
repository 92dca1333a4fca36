//! How long the answers of an upstream, and of one backend, usually take: the last minutes of histograms that
//! only grow.

use std::collections::VecDeque;
use std::time::Duration;

use crate::model::Tick;

/// The time that is looked back on: so many times [`MARK`], or one less. Where few answers come it is longer, so
/// that there are enough of them.
const MARKS: usize = 6;
const MARK: Duration = Duration::from_secs(10);

/// Answers that say what is usual, at least.
const ENOUGH: u64 = 100;
/// Answers between two marks, at least.
const BETWEEN: u64 = ENOUGH.div_ceil(MARKS as u64 - 1);

/// Of one backend at least so much time is looked back on, and at most twice as much where enough answers came.
/// Those that it owed when it was left as hung, which are about a second's, are less than one in a hundred then.
const BACKEND_MARK: Duration = Duration::from_mins(3);

/// Numbers of answers, those that took the shortest first, each with the longest that they took;
/// `None`: longer than any.
pub type Answers = [(Option<Duration>, u64)];

/// What is usual of an upstream's answers.
#[derive(Debug, Clone, Default)]
pub struct Usual {
    /// The numbers at some moments of the last minute, or of the time in which enough came.
    marks: VecDeque<(Tick, Vec<u64>)>,
    /// Those since the first of these.
    lately: Vec<(Option<Duration>, u64)>,
}

impl Usual {
    /// Takes up all answers until now.
    pub fn look(&mut self, answers: &Answers, now: Tick) {
        let is_due = |(at, before): &(Tick, Vec<u64>)| {
            let came = number(answers).abs_diff(before.iter().sum());
            now.since(*at) >= MARK && came >= BETWEEN
        };
        if self.marks.back().is_none_or(is_due) {
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

    /// The time within which this part of the answers, 0 to 1, came in the last minute, or of the last hundred
    /// where these took longer to come: within the bounds that hold it, as if they were spread evenly. `None`:
    /// there were too few ever, or it is beyond all bounds.
    pub fn quantile(&self, part: f64) -> Option<Duration> {
        if number(&self.lately) < ENOUGH {
            return None;
        }
        quantile(&self.lately, part)
    }
}

/// What is usual of one backend's answers: of which moments it is looked back on. There may be thousands of
/// these, so each has two rows of numbers and no more, and none of them is read at each look.
#[derive(Debug, Clone, Default)]
pub struct UsualOfOne {
    /// The numbers up to which nothing counts any more; none: all count.
    before: Box<[u64]>,
    /// Those that take their place at the next mark.
    marked: Box<[u64]>,
    /// When, and at which number of answers, that was.
    mark: Option<(Tick, u64)>,
}

impl UsualOfOne {
    /// Whether another mark is due, when it has given so many answers.
    pub fn is_due(&self, given: u64, now: Tick) -> bool {
        self.mark.is_none_or(|(at, before)| {
            now.since(at) >= BACKEND_MARK && given.abs_diff(before) >= ENOUGH
        })
    }

    /// Sets a mark.
    pub fn mark(&mut self, answers: &Answers, given: u64, now: Tick) {
        let numbers = answers.iter().map(|(_, number)| *number).collect();
        self.before = std::mem::replace(&mut self.marked, numbers);
        self.mark = Some((now, given));
    }

    /// The time within which this part of its answers came, of all until now. While they are few, it is not
    /// less than `others`, what is usual elsewhere. `None`: it is beyond all bounds.
    pub fn quantile(&self, part: f64, answers: &Answers, others: Duration) -> Option<Duration> {
        let mut lately = answers.to_vec();
        for ((_, number), before) in lately.iter_mut().zip(&self.before) {
            // Less than before: it is counted anew.
            *number = number.checked_sub(*before).unwrap_or(*number);
        }
        let own = quantile(&lately, part);
        if number(&lately) < ENOUGH { own.map(|own| own.max(others)) } else { own }
    }
}

fn number(answers: &Answers) -> u64 {
    answers.iter().map(|(_, number)| number).sum()
}

/// The time within which this part of all answers came; of none that is none.
fn quantile(answers: &Answers, part: f64) -> Option<Duration> {
    let (mut below, mut from) = (0.0, Duration::ZERO);
    let wanted = number(answers) as f64 * part;
    for (bound, number) in answers {
        let (bound, number) = ((*bound)?, *number as f64);
        if below + number >= wanted {
            let within = ((wanted - below) / number.max(1.0)).clamp(0.0, 1.0);
            return Some(from + bound.saturating_sub(from).mul_f64(within));
        }
        (below, from) = (below + number, bound);
    }
    None
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

    #[test]
    fn where_few_answers_come_it_is_looked_back_for_longer() {
        let mut usual = after([0, 0, 0]);
        let minutes = |n: u64| Tick(0).after(Duration::from_mins(n));
        // Ten a minute, and after half an hour they are slower.
        for minute in 1..=60_u64 {
            let slow = minute.saturating_sub(30) * 10;
            usual.look(&answers([7 + minute * 10 - slow, 7 + slow, 7]), minutes(minute));
            let known = usual.quantile(0.5);
            assert_eq!(known.is_some(), minute >= 10, "minute {minute}");
            let is_slow = known.is_some_and(|usual| usual > Duration::from_millis(10));
            assert!(is_slow == (minute >= 37) || (31..43).contains(&minute), "minute {minute}");
        }
        assert!(usual.marks.len() <= MARKS);
        // Nobody comes for a day: what was holds.
        usual.look(&answers([307, 307, 7]), minutes(60 * 25));
        assert!(usual.quantile(0.5).unwrap() > Duration::from_millis(10));
    }

    #[test]
    fn of_few_answers_of_one_backend_the_slowest_says_what_is_usual_or_the_others_do() {
        let of = |numbers| UsualOfOne::default().quantile(0.99, &answers(numbers), MARK);
        let short = Duration::from_millis(1);
        let fast = |numbers| UsualOfOne::default().quantile(0.99, &answers(numbers), short);
        assert_eq!(of([0, 0, 0]), Some(MARK));
        assert_eq!(of([99, 0, 0]), Some(MARK));
        assert!(fast([50, 3, 0]).unwrap() > Duration::from_millis(80));
        assert_eq!(of([50, 0, 1]), None, "one took longer than can be told");
        assert_eq!(of([100, 0, 0]), Some(Duration::from_micros(9_900)), "those are its own");
        assert!(of([1_000, 0, 1]).unwrap() < Duration::from_millis(10), "one of a thousand");
    }

    #[test]
    fn of_one_backend_what_was_is_forgotten_when_enough_came_after_it() {
        let minutes = |n: u64| Tick(0).after(Duration::from_mins(n));
        let mut usual = UsualOfOne::default();
        let slow = answers([0, 500, 0]);
        assert!(usual.is_due(500, minutes(0)));
        usual.mark(&slow, 500, minutes(0));
        assert!(!usual.is_due(900, minutes(2)) && !usual.is_due(599, minutes(60)));
        assert!(usual.is_due(700, minutes(3)));
        let fast = answers([200, 500, 0]);
        usual.mark(&fast, 700, minutes(3));
        let now = usual.quantile(0.99, &fast, Duration::ZERO).unwrap();
        assert!(now <= Duration::from_millis(10), "{now:?}: of 200");
        // Its counters are others: it left, and came back.
        let anew = usual.quantile(0.99, &answers([0, 120, 0]), Duration::ZERO).unwrap();
        assert!(anew > Duration::from_millis(90), "{anew:?}");
    }
}
