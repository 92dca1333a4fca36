//! What stands between a request and its backend, and what happens beside it: circuit breaker, admission,
//! limits and the line of those who wait, hedging, the budget of retries. Each with what it says now, where a
//! process runs.

use super::Asker;
use crate::http1::Framing;
use crate::proxy::retry::is_idempotent;
use crate::snapshot::settings::Retry;
use crate::snapshot::{Barrier, Upstream};
use crate::telemetry::RetryDenied;

/// Parts of requests are counted in this many.
const ALL: f64 = 10_000.0;

/// What it is called in the configuration, and what it says.
pub(super) type Term = (&'static str, String);

impl Asker<'_> {
    /// All that are declared for an upstream.
    pub(super) fn terms(&self, upstream: &Upstream, retry: &Retry) -> Vec<Term> {
        let said = [
            ("health", health(upstream)),
            ("breaker", self.breaker(upstream)),
            ("admission", admission(upstream)),
            ("room", room(upstream)),
            ("in_flight", in_flight(upstream)),
            ("queue", queue(upstream)),
            ("hedge", self.hedge(upstream)),
            ("budget", budget(upstream, retry)),
        ];
        said.into_iter().filter_map(|(name, says)| Some((name, says?))).collect()
    }

    fn breaker(&self, upstream: &Upstream) -> Option<String> {
        let rules = upstream.breaker()?;
        Some(match &upstream.course.barrier {
            None => format!(
                "closed: opens when {} % of {} requests or more fail within {:?}",
                rules.failure_percent, rules.min_requests, rules.window
            ),
            Some(Barrier::Open { until }) => format!(
                "open: 503 for {:.1?} more, then {} requests try",
                until.since(self.now),
                rules.trials
            ),
            Some(barrier @ Barrier::Trials(_)) => format!(
                "half-open: {} of {} requests may still try, all others get 503",
                barrier.permits(),
                rules.trials
            ),
        })
    }

    fn hedge(&self, upstream: &Upstream) -> Option<String> {
        let hedge = upstream.hedge.as_ref()?;
        let method = String::from_utf8_lossy(self.head.method());
        if !is_idempotent(self.head.method()) {
            return Some(format!("not this one: {method} may not be done twice"));
        }
        if self.head.framing() != Framing::None || self.head.upgrade().is_some() {
            return Some("not this one: it has a body, or asks for another protocol".to_owned());
        }
        let percent = hedge.part * 100.0;
        let usual = || format!("after the time in which {percent:.1} % of a minute's answers come");
        let after = hedge.after.map_or_else(usual, |after| format!("after {after:?}"));
        Some(format!("a second backend {after}, for {} % of the requests at most", hedge.budget))
    }
}

/// What is done for want of backends that are able to serve.
fn health(upstream: &Upstream) -> Option<String> {
    let says = match (upstream.panic, upstream.fail_open) {
        (true, true) => "too few are able to serve, and all that are enabled are asked (`panic`)",
        (true, false) => "too few are able to serve, and nobody is asked (`panic`)",
        (false, true) => "nobody is known to work, and all that are enabled are asked",
        (false, false) => return None,
    };
    Some(says.to_owned())
}

fn admission(upstream: &Upstream) -> Option<String> {
    let rules = upstream.admission()?;
    let refused = upstream.line.as_ref().map_or(0, |line| line.refused());
    if refused > 0 {
        return Some(format!("{:.1} % of the requests get 503", f64::from(refused) / ALL * 100.0));
    }
    Some(format!(
        "passes: a part gets 503 when less than {} % of {} requests or more succeed within {:?}",
        rules.success_percent, rules.min_requests, rules.window
    ))
}

fn room(upstream: &Upstream) -> Option<String> {
    let good_for = upstream.room()?.iter().sum::<f64>();
    let asked = upstream.series.policy().room().map_or(0.0, |(_, demand)| demand);
    let beyond = upstream.line.as_ref().map_or(0, |line| line.beyond());
    let refused = f64::from(beyond) / ALL * 100.0;
    let told = format!("good for {good_for:.0} requests a second, asked for {asked:.0}");
    Some(if beyond > 0 { format!("{told}: {refused:.1} % get 503") } else { told })
}

fn in_flight(upstream: &Upstream) -> Option<String> {
    let line = upstream.line.as_ref().filter(|line| line.most() > 0)?;
    let (now, most) = (line.under_way(), line.most());
    let adapts = upstream
        .adaptive()
        .map(|rules| format!(", which adapts itself between {} and {}", rules.least, rules.most));
    let then = if upstream.queue.is_some() { "waits" } else { "gets 503" };
    Some(format!("{now} of {most}{}; what is more {then}", adapts.unwrap_or_default()))
}

fn queue(upstream: &Upstream) -> Option<String> {
    let queue = upstream.queue.as_ref()?;
    let waiting = upstream.series.waiting();
    Some(format!("{waiting} of {} wait, for {:?} at most", queue.depth, queue.timeout))
}

fn budget(upstream: &Upstream, retry: &Retry) -> Option<String> {
    if upstream.nginx.failures || retry.tries == 1 {
        return None;
    }
    let denied = upstream.series.retries_denied();
    let denied = denied.iter().find(|(why, _)| *why == RetryDenied::Budget).map_or(0, |one| one.1);
    let until_now = if denied > 0 { format!("; {denied} were denied") } else { String::new() };
    let lately = match upstream.series.repeated_lately() {
        (0, 0) => String::new(),
        (retries, others) => format!(", {retries} beside {others} at present"),
    };
    Some(format!(
        "retries of what a backend may have seen are {} % of the other attempts of 10s at most, or {}{lately}{until_now}",
        retry.budget, retry.budget_min
    ))
}
