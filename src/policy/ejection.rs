//! Outlier ejection: which backends fail so much, or so much more than the others, that they are to
//! be taken out.
//!
//! Three ways to stand out, after Envoy's outlier detection: failures in a row, the part of requests
//! that failed, and a success rate far below that of the others. How many may be out is bounded, and
//! exact for few: of two or three backends one at most, a single one never.

use std::fmt;
use std::time::Duration;

use super::window::Counts;

/// A success rate is no outlier unless it is at least this far below the mean: of backends that are
/// all but perfect, one with a single failure would stand out.
const LEAST_DIFFERENCE: f64 = 0.05;

/// What makes a backend an outlier. Of each rule, 0 is off.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Outliers are told of, and stay.
    pub dry_run: bool,
    /// The time that is looked back on.
    pub window: Duration,
    /// Failures in a row.
    pub consecutive: u32,
    /// Part of the requests that failed, in percent.
    pub failure_percent: u32,
    /// Requests in the window from which `failure_percent` is looked at.
    pub min_requests: u32,
    /// How many standard deviations a success rate may be below the mean.
    pub deviations: f64,
    /// Backends with enough requests from which success rates are compared.
    pub deviation_min_backends: u32,
    /// Requests in the window from which a backend's success rate is compared.
    pub deviation_min_requests: u32,
    /// How many of the backends may be out, in percent.
    pub max_ejected: u32,
}

/// What is known of one backend that the operator has in service.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Facts {
    /// It is out already: parked or on trial.
    pub out: bool,
    /// What was counted in the window.
    pub window: Counts,
    /// Failures since the last success.
    pub in_a_row: u64,
}

/// Why a backend stands out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Reason {
    /// So many failures in a row.
    Consecutive(u64),
    /// This many of the requests failed.
    FailurePercent(Counts),
    /// The success rate is below that of the others.
    SuccessRate {
        /// The backend's, 0.0 to 1.0.
        rate: f64,
        /// The mean of all that are compared.
        mean: f64,
        /// What it would have to be at least.
        least: f64,
    },
}

impl Reason {
    /// The label in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Consecutive(_) => "consecutive",
            Self::FailurePercent(_) => "failure_percent",
            Self::SuccessRate { .. } => "success_rate",
        }
    }
}

impl fmt::Display for Reason {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match *self {
            Self::Consecutive(failures) => write!(f, "{failures} failures in a row"),
            Self::FailurePercent(counts) => {
                write!(f, "{} of {} requests failed", counts.failed, counts.judged)
            }
            Self::SuccessRate { rate, mean, least } => {
                let [rate, mean, least] = [rate, mean, least].map(|part| part * 100.0);
                write!(
                    f,
                    "success rate of {rate:.1} % is below {least:.1} % (mean of all {mean:.1} %)"
                )
            }
        }
    }
}

/// A backend that stands out.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Outlier {
    /// Its place in the list of facts.
    pub place: usize,
    /// Why.
    pub reason: Reason,
    /// It stays, because too many are out already.
    pub capped: bool,
}

/// How many of `backends` may be out: `percent` of them, rounded down, but one if there are at least
/// two, and never all.
pub fn most_ejected(backends: usize, percent: u32) -> usize {
    if percent == 0 {
        return 0;
    }
    let share = backends * percent as usize / 100;
    share.max(1).min(backends.saturating_sub(1))
}

/// The outliers among all backends that the operator has in service, those with the most failures
/// first.
pub fn decide(facts: &[Facts], rules: &Rules) -> Vec<Outlier> {
    let least = least_success_rate(facts, rules);
    let in_service = (0..).zip(facts).filter(|(_, one)| !one.out);
    let mut outliers: Vec<_> = in_service
        .filter_map(|(place, one)| {
            let reason = stands_out(one, rules, least)?;
            Some(Outlier { place, reason, capped: false })
        })
        .collect();
    outliers.sort_by(|a, b| {
        let failing = |one: &Outlier| facts[one.place].window.failing();
        failing(b).total_cmp(&failing(a)).then(a.place.cmp(&b.place))
    });
    let out = facts.iter().filter(|one| one.out).count();
    let room = most_ejected(facts.len(), rules.max_ejected).saturating_sub(out);
    for outlier in outliers.iter_mut().skip(room) {
        outlier.capped = true;
    }
    outliers
}

fn stands_out(one: &Facts, rules: &Rules, least: Option<(f64, f64)>) -> Option<Reason> {
    let Counts { judged, failed } = one.window;
    if rules.consecutive > 0 && one.in_a_row >= u64::from(rules.consecutive) {
        return Some(Reason::Consecutive(one.in_a_row));
    }
    let enough = judged > 0 && judged >= u64::from(rules.min_requests);
    let percent = u64::from(rules.failure_percent);
    if percent > 0 && enough && failed * 100 >= judged * percent {
        return Some(Reason::FailurePercent(one.window));
    }
    let (mean, least) = least.filter(|_| is_compared(one, rules))?;
    let rate = 1.0 - one.window.failing();
    (rate < least && rate <= mean - LEAST_DIFFERENCE).then_some(Reason::SuccessRate {
        rate,
        mean,
        least,
    })
}

fn is_compared(one: &Facts, rules: &Rules) -> bool {
    let judged = one.window.judged;
    !one.out && judged > 0 && judged >= u64::from(rules.deviation_min_requests)
}

/// The mean of the success rates and what is required: so many standard deviations below it.
fn least_success_rate(facts: &[Facts], rules: &Rules) -> Option<(f64, f64)> {
    let compared = facts.iter().filter(|one| is_compared(one, rules));
    let rates: Vec<f64> = compared.map(|one| 1.0 - one.window.failing()).collect();
    let enough = rates.len() >= rules.deviation_min_backends.max(2) as usize;
    if rules.deviations <= 0.0 || !enough {
        return None;
    }
    let n = rates.len() as f64;
    let mean = rates.iter().sum::<f64>() / n;
    let variance = rates.iter().map(|rate| (rate - mean).powi(2)).sum::<f64>() / n;
    Some((mean, mean - rules.deviations * variance.sqrt()))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const RULES: Rules = Rules {
        dry_run: false,
        window: Duration::from_secs(10),
        consecutive: 5,
        failure_percent: 50,
        min_requests: 20,
        deviations: 1.9,
        deviation_min_backends: 5,
        deviation_min_requests: 100,
        max_ejected: 50,
    };

    fn of(judged: u64, failed: u64) -> Facts {
        Facts { out: false, window: Counts { judged, failed }, in_a_row: 0 }
    }

    fn out() -> Facts {
        Facts { out: true, ..of(0, 0) }
    }

    fn in_a_row(failures: u64) -> Facts {
        Facts { in_a_row: failures, ..of(failures, failures) }
    }

    /// Who is ejected, and who only for the others' sake is not.
    fn ejected(facts: &[Facts], rules: &Rules) -> (Vec<usize>, Vec<usize>) {
        let (capped, ejected): (Vec<_>, _) =
            decide(facts, rules).into_iter().partition(|outlier| outlier.capped);
        let places = |list: Vec<Outlier>| list.iter().map(|one| one.place).collect();
        (places(ejected), places(capped))
    }

    #[test]
    fn of_one_none_is_ejected_of_two_or_three_one_and_of_four_two() {
        let most = |percent| (0..=10).map(move |n| most_ejected(n, percent)).collect::<Vec<_>>();
        assert_eq!(most(50), [0, 0, 1, 1, 2, 2, 3, 3, 4, 4, 5]);
        assert_eq!(most(10), [0, 0, 1, 1, 1, 1, 1, 1, 1, 1, 1]);
        assert_eq!(most(100), [0, 0, 1, 2, 3, 4, 5, 6, 7, 8, 9]);
        assert_eq!(most(0), [0; 11]);
    }

    #[test]
    fn failures_in_a_row_need_no_window() {
        assert_eq!(ejected(&[in_a_row(5), of(5, 0)], &RULES), (vec![0], vec![]));
        assert_eq!(ejected(&[in_a_row(4), of(5, 0)], &RULES), (vec![], vec![]));
        let off = Rules { consecutive: 0, ..RULES };
        assert_eq!(ejected(&[in_a_row(9), of(5, 0)], &off), (vec![], vec![]));
    }

    #[test]
    fn half_of_twenty_requests_is_too_much() {
        for (judged, failed, stands_out) in [(20, 10, true), (20, 9, false), (19, 19, false)] {
            let places = if stands_out { vec![0] } else { vec![] };
            assert_eq!(ejected(&[of(judged, failed), of(20, 0)], &RULES), (places, vec![]));
        }
    }

    #[test]
    fn a_success_rate_stands_out_among_five_with_a_hundred_requests_each() {
        let rates = |n: usize, odd: Facts| [&vec![of(1_000, 5); n - 1][..], &[odd]].concat();
        assert_eq!(ejected(&rates(5, of(1_000, 300)), &RULES).0, [4]);
        assert_eq!(ejected(&rates(4, of(1_000, 300)), &RULES).0, [0_usize; 0], "too few backends");
        assert_eq!(ejected(&rates(5, of(99, 40)), &RULES).0, [0_usize; 0], "too few requests");
        let close = rates(10, of(1_000, 20));
        assert_eq!(ejected(&close, &RULES).0, [0_usize; 0], "far in deviations, near in percent");
    }

    #[test]
    fn the_worst_go_first_and_the_rest_stays() {
        let facts = [of(20, 12), of(20, 20), of(20, 15), of(20, 0)];
        assert_eq!(ejected(&facts, &RULES), (vec![1, 2], vec![0]));
        let facts = [of(20, 12), out(), of(20, 15), of(20, 0)];
        assert_eq!(ejected(&facts, &RULES), (vec![2], vec![0]));
        let facts = [of(20, 12), out(), out(), of(20, 0)];
        assert_eq!(ejected(&facts, &RULES), (vec![], vec![0]));
        assert_eq!(ejected(&[of(20, 20)], &RULES), (vec![], vec![0]), "a single one never");
        assert_eq!(ejected(&[of(20, 20), of(20, 20)], &RULES), (vec![0], vec![1]));
    }

    proptest! {
        #[test]
        fn never_are_more_out_than_may_be(
            backends in prop::collection::vec((any::<bool>(), 0_u64..200, 0_u64..200), 0..12),
            max_ejected in 0_u32..=100,
        ) {
            let facts: Vec<_> = backends
                .into_iter()
                .map(|(out, ok, failed)| Facts { out, ..of(ok + failed, failed) })
                .collect();
            let rules = Rules { max_ejected, ..RULES };
            let before = facts.iter().filter(|one| one.out).count();
            let (ejected, capped) = ejected(&facts, &rules);
            let most = most_ejected(facts.len(), max_ejected);
            prop_assert!(ejected.is_empty() || before + ejected.len() <= most);
            prop_assert!(facts.is_empty() || most < facts.len());
            for place in ejected.iter().chain(&capped) {
                prop_assert!(!facts[*place].out && facts[*place].window.failed > 0);
            }
        }
    }
}
