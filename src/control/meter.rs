//! What is counted of all requests, across configurations: what a configuration on probation is judged by.

use std::collections::VecDeque;

use ahash::AHashMap;

use crate::control::ejection::Sums;
use crate::model::{Tick, UpstreamId};
use crate::policy::probation::Figures;
use crate::snapshot::Snapshot;
use crate::telemetry::RouteSeries;

/// Notes that are kept: the time before is the last five minutes.
const MARKS: usize = 20;

/// What is counted of all requests, across configurations.
#[derive(Debug, Default)]
pub(super) struct Meter {
    all: Figures,
    /// What was counted of each route, by listener.
    seen: AHashMap<(String, String), Figures>,
    attempts: AHashMap<UpstreamId, Sums>,
    /// What there was at some moments of the last minutes, the oldest first.
    marks: VecDeque<Figures>,
    /// What there was when the configuration on probation came into force.
    pub(super) begun: Figures,
    /// When it has been watched long enough, and when it has to be confirmed, by a clock that nobody sets.
    pub(super) guard_until: Option<Tick>,
    pub(super) confirm_until: Option<Tick>,
}

fn figures(series: &RouteSeries, is_routed: bool) -> Figures {
    let requests = series.requests();
    let of =
        |class| requests.iter().filter(|(code, _)| *code == class).map(|(_, count)| count).sum();
    Figures {
        requests: requests.iter().map(|(_, count)| count).sum(),
        failed: of("5xx"),
        unrouted: if is_routed { 0 } else { of("4xx") },
        client_errors: of("4xx"),
        took: series.durations(),
        ..Figures::default()
    }
}

/// What has come between `was` and `is`.
pub(super) fn grown(is: &Figures, was: &Figures) -> Figures {
    let before = |place: usize| was.took.get(place).map_or(0, |(_, count)| *count);
    let took = is.took.iter().enumerate();
    Figures {
        requests: is.requests.saturating_sub(was.requests),
        failed: is.failed.saturating_sub(was.failed),
        unrouted: is.unrouted.saturating_sub(was.unrouted),
        client_errors: is.client_errors.saturating_sub(was.client_errors),
        attempts: is.attempts.saturating_sub(was.attempts),
        failed_attempts: is.failed_attempts.saturating_sub(was.failed_attempts),
        took: took.map(|(place, (to, n))| (*to, n.saturating_sub(before(place)))).collect(),
    }
}

fn add(to: &mut Figures, more: &Figures) {
    to.requests += more.requests;
    to.failed += more.failed;
    to.unrouted += more.unrouted;
    to.client_errors += more.client_errors;
    if to.took.is_empty() {
        to.took.clone_from(&more.took);
    } else {
        to.took.iter_mut().zip(&more.took).for_each(|((_, sum), (_, count))| *sum += count);
    }
}

impl Meter {
    /// Takes up what was counted until now. A route that is new or came back counts from then on.
    pub(super) fn count(&mut self, snapshot: &Snapshot) -> Figures {
        let mut seen = AHashMap::new();
        for listener in &snapshot.listeners {
            let routed = listener.routes.iter().map(|one| (&*one.route.name, &one.series, true));
            for (name, series, is_routed) in routed.chain([("", &listener.unrouted, false)]) {
                let key = (listener.name.clone(), name.to_owned());
                let now = figures(series, is_routed);
                if let Some(was) = self.seen.get(&key) {
                    add(&mut self.all, &grown(&now, was));
                }
                seen.insert(key, now);
            }
        }
        self.seen = seen;
        self.attempts.retain(|id, _| snapshot.upstreams.iter().any(|one| one.id == *id));
        for upstream in &snapshot.upstreams {
            let sums = self.attempts.entry(upstream.id).or_default();
            let was = sums.sum();
            let now = sums.count(upstream);
            self.all.attempts += now.judged - was.judged;
            self.all.failed_attempts += now.failed - was.failed;
        }
        self.all.clone()
    }

    pub(super) fn mark(&mut self, snapshot: &Snapshot) {
        let now = self.count(snapshot);
        if self.marks.len() == MARKS {
            self.marks.pop_front();
        }
        self.marks.push_back(now);
    }

    /// What was counted in the last minutes.
    pub(super) fn lately(&mut self, snapshot: &Snapshot) -> Figures {
        let first = self.marks.front().cloned().unwrap_or_default();
        grown(&self.count(snapshot), &first)
    }
}
