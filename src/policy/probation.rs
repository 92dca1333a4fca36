//! Whether a configuration that was put in force does harm: what happened since is compared with the
//! time before.
//!
//! Five figures, each with its own least number, since a few requests say nothing: the share of requests
//! that were answered with 5xx, the share that no route took (they get 404, and no backend knows of them),
//! the share that were answered with 4xx (whoever answers: a path that is rewritten wrongly has backends say
//! 404, a lock that is set wrongly has ourselves say 403), the share of attempts at backends that failed (which
//! retries may hide from clients, for a while), and the time that 99 of 100 requests stay below.
//!
//! 4xx are clients' faults for the most part, and how many there are changes by itself: their share has to rise
//! by much more, and says nothing where it is not known how it was before.

use std::fmt;
use std::time::Duration;

/// What was counted in a stretch of time.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Figures {
    /// Requests that were answered.
    pub requests: u64,
    /// Those among them that were answered with 5xx.
    pub failed: u64,
    /// Those among them that were answered with 4xx and that no route took.
    pub unrouted: u64,
    /// Those among them that were answered with 4xx.
    pub client_errors: u64,
    /// Attempts at backends that said something of them.
    pub attempts: u64,
    /// Those among them that failed.
    pub failed_attempts: u64,
    /// How long requests took: up to each bound how many, and those above all bounds at last.
    pub took: Vec<(Option<Duration>, u64)>,
}

/// When it is worse.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Rules {
    /// Requests, or attempts, from which shares are looked at.
    pub min_requests: u64,
    /// As many have to have failed at least.
    pub min_failed: u64,
    /// By how much a share may rise; 0 to 1.
    pub rise: f64,
    /// By how much the share of 4xx may; 0 to 1.
    pub client_error_rise: f64,
    /// Requests, before and since, from which times are looked at: of fewer the slowest decides alone.
    pub min_timed: u64,
    /// How many times as long requests may take.
    pub factor: f64,
    /// By how much longer they may take in any case.
    pub slack: Duration,
}

impl Default for Rules {
    /// 20 requests, of which 5 failed; 5 points more than before, 20 of 4xx; times from 100 requests on, more than
    /// twice as long and more than 100 ms longer.
    fn default() -> Self {
        Self {
            min_requests: 20,
            min_failed: 5,
            rise: 0.05,
            client_error_rise: 0.2,
            min_timed: 100,
            factor: 2.0,
            slack: Duration::from_millis(100),
        }
    }
}

/// What is worse than before.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Worse {
    /// The share of requests that were answered with 5xx, before and since.
    Failed(f64, f64),
    /// The share of requests that no route took, before and since.
    Unrouted(f64, f64),
    /// The share of requests that were answered with 4xx, before and since.
    ClientErrors(f64, f64),
    /// The share of attempts that failed, before and since.
    FailedAttempts(f64, f64),
    /// The time that 99 of 100 requests stay below, before and since.
    Slower(Duration, Duration),
}

impl fmt::Display for Worse {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let percent = |share: f64| share * 100.0;
        match self {
            Self::Failed(before, since) => write!(
                f,
                "{:.1} % of the requests were answered with 5xx, {:.1} % before",
                percent(*since),
                percent(*before)
            ),
            Self::Unrouted(before, since) => write!(
                f,
                "{:.1} % of the requests found no route, {:.1} % before",
                percent(*since),
                percent(*before)
            ),
            Self::ClientErrors(before, since) => write!(
                f,
                "{:.1} % of the requests were answered with 4xx, {:.1} % before",
                percent(*since),
                percent(*before)
            ),
            Self::FailedAttempts(before, since) => write!(
                f,
                "{:.1} % of the attempts at backends failed, {:.1} % before",
                percent(*since),
                percent(*before)
            ),
            Self::Slower(before, since) => {
                write!(f, "99 of 100 requests took up to {since:.0?}, {before:.0?} before")
            }
        }
    }
}

/// What is worse since than before, if anything is.
pub fn judge(before: &Figures, since: &Figures, rules: &Rules) -> Option<Worse> {
    let rose_by = |rise: f64, was: (u64, u64), is: (u64, u64)| {
        // Of a time without requests nothing is known: then nothing had failed.
        let was = if was.1 < rules.min_requests { 0.0 } else { share(was) };
        let enough = is.1 >= rules.min_requests && is.0 >= rules.min_failed;
        let is = share(is);
        (enough && is > was + rise).then_some((was, is))
    };
    let rose = |was, is| rose_by(rules.rise, was, is);
    if let Some((was, is)) = rose((before.failed, before.requests), (since.failed, since.requests))
    {
        return Some(Worse::Failed(was, is));
    }
    let unrouted = |figures: &Figures| (figures.unrouted, figures.requests);
    if let Some((was, is)) = rose(unrouted(before), unrouted(since)) {
        return Some(Worse::Unrouted(was, is));
    }
    let errors = |figures: &Figures| (figures.client_errors, figures.requests);
    if before.requests >= rules.min_requests
        && let Some((was, is)) = rose_by(rules.client_error_rise, errors(before), errors(since))
    {
        return Some(Worse::ClientErrors(was, is));
    }
    let attempts = |figures: &Figures| (figures.failed_attempts, figures.attempts);
    if let Some((was, is)) = rose(attempts(before), attempts(since)) {
        return Some(Worse::FailedAttempts(was, is));
    }
    let (was, is) = (nearly_all(before, rules)?, nearly_all(since, rules)?);
    (is > was.mul_f64(rules.factor) && is > was + rules.slack).then_some(Worse::Slower(was, is))
}

fn share((part, whole): (u64, u64)) -> f64 {
    if whole == 0 { 0.0 } else { part as f64 / whole as f64 }
}

/// The time that 99 of 100 requests stay below, as a straight line through its bucket has it; of those
/// above all bounds the last bound.
fn nearly_all(figures: &Figures, rules: &Rules) -> Option<Duration> {
    let all: u64 = figures.took.iter().map(|(_, count)| count).sum();
    if all < rules.min_timed.max(1) {
        return None;
    }
    let wanted = all as f64 * 0.99;
    let (mut below, mut lower) = (0.0, Duration::ZERO);
    for (bound, count) in &figures.took {
        let Some(upper) = bound else { break };
        let count = *count as f64;
        if below + count >= wanted && count > 0.0 {
            return Some(lower + upper.saturating_sub(lower).mul_f64((wanted - below) / count));
        }
        (below, lower) = (below + count, *upper);
    }
    Some(lower)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const BOUNDS: [u64; 4] = [10, 100, 1000, 10_000];

    fn figures(requests: u64, failed: u64, took: [u64; 5]) -> Figures {
        let bounds = BOUNDS.map(|ms| Some(Duration::from_millis(ms))).into_iter().chain([None]);
        Figures { requests, failed, took: bounds.zip(took).collect(), ..Figures::default() }
    }

    #[test]
    fn what_is_worse_is_told() {
        let rules = Rules::default();
        let quiet = figures(0, 0, [0; 5]);
        let good = figures(1000, 10, [1000, 0, 0, 0, 0]);
        for (before, since, told) in [
            (
                &good,
                figures(20, 5, [0; 5]),
                "25.0 % of the requests were answered with 5xx, 1.0 % before",
            ),
            (
                &quiet,
                figures(20, 20, [0; 5]),
                "100.0 % of the requests were answered with 5xx, 0.0 % before",
            ),
            (&good, figures(100, 6, [0; 5]), ""),
            (&good, figures(19, 19, [0; 5]), ""),
            (&good, figures(20, 4, [0; 5]), ""),
            (
                &good,
                figures(100, 0, [0, 0, 100, 0, 0]),
                "99 of 100 requests took up to 991ms, 10ms before",
            ),
            (&good, figures(100, 0, [0, 100, 0, 0, 0]), ""),
            (&quiet, figures(100, 0, [0, 0, 100, 0, 0]), ""),
            (
                &good,
                figures(100, 0, [0, 0, 0, 0, 100]),
                "99 of 100 requests took up to 10s, 10ms before",
            ),
        ] {
            let worse = judge(before, &since, &rules).map(|worse| worse.to_string());
            assert_eq!(worse.unwrap_or_default(), told, "{since:?}");
        }
        let attempts =
            |attempts, failed_attempts| Figures { attempts, failed_attempts, ..good.clone() };
        let worse = judge(&attempts(100, 0), &attempts(50, 25), &rules).unwrap();
        assert_eq!(worse.to_string(), "50.0 % of the attempts at backends failed, 0.0 % before");
        let unrouted = |unrouted| Figures { unrouted, ..good.clone() };
        let worse = judge(&unrouted(20), &unrouted(100), &rules).unwrap();
        assert_eq!(worse.to_string(), "10.0 % of the requests found no route, 2.0 % before");
        assert_eq!(judge(&unrouted(80), &unrouted(100), &rules), None);
        let errors = |client_errors| Figures { client_errors, ..good.clone() };
        let worse = judge(&errors(20), &errors(230), &rules).unwrap();
        assert_eq!(
            worse.to_string(),
            "23.0 % of the requests were answered with 4xx, 2.0 % before"
        );
        assert_eq!(judge(&errors(20), &errors(210), &rules), None, "their share changes by itself");
        assert_eq!(judge(&quiet, &errors(1000), &rules), None, "nobody knows how it was");
    }

    proptest! {
        #[test]
        fn the_same_as_before_is_never_worse(
            requests in 0u64..10_000, part in 0.0f64..=1.0, took in prop::array::uniform5(0u64..1000),
        ) {
            let failed = (requests as f64 * part) as u64;
            let same = Figures {
                attempts: requests,
                failed_attempts: failed,
                unrouted: failed,
                client_errors: failed,
                ..figures(requests, failed, took)
            };
            // Before there were requests enough to know how it was.
            prop_assume!(requests >= Rules::default().min_requests);
            prop_assert_eq!(judge(&same, &same, &Rules::default()), None);
        }

        #[test]
        fn one_that_fails_more_is_not_better(
            requests in 0u64..1000, failed in 0u64..1000, more in 0u64..1000, was in 0u64..1000,
        ) {
            let (failed, more) = (failed.min(requests), (failed + more).min(requests));
            let before = figures(1000, was, [0; 5]);
            let worse = |failed| judge(&before, &figures(requests, failed, [0; 5]), &Rules::default());
            prop_assert!(worse(failed).is_none() || worse(more).is_some());
        }

        #[test]
        fn the_time_lies_within_the_bounds(took in prop::array::uniform5(0u64..1000)) {
            let all = nearly_all(&figures(0, 0, took), &Rules { min_timed: 1, ..Rules::default() });
            let all = all.unwrap_or_default();
            prop_assert!(all <= Duration::from_millis(BOUNDS[3]));
        }
    }
}
