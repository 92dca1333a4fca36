//! How much an upstream is let have: a limit of requests in flight that adapts itself, and the part of the
//! requests that is refused when too many fail.
//!
//! `policy::concurrency` and `policy::admission` decide; what they say is put where requests come by, in
//! their upstream's [`Line`](crate::limit::Line).

use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use tracing::{info, warn};

use crate::control::ejection::Sums;
use crate::control::history::Told;
use crate::control::writer::{Control, Due};
use crate::model::{Tick, UpstreamId, UpstreamIx};
use crate::policy::admission::{self, ALL, Admission};
use crate::policy::concurrency::{self, Concurrency, Sample};
use crate::policy::{BUCKETS, Counts};
use crate::snapshot::Upstream;

/// Between two samples of a limit that adapts itself.
const SAMPLE: Duration = Duration::from_secs(1);

/// One in so many requests that fail are few.
const FEW: u64 = 10;

/// What was seen, by upstream that adapts or refuses.
#[derive(Debug, Default)]
pub(super) struct Loads {
    limits: AHashMap<UpstreamId, Limit>,
    gates: AHashMap<UpstreamId, Gate>,
}

/// A limit of requests in flight.
#[derive(Debug)]
struct Limit {
    rules: concurrency::Rules,
    adapts: Concurrency,
    /// Response heads until the last sample, and how long they took together.
    seen: (u64, Duration),
    at: Tick,
    sums: Sums,
    /// What was counted until the last sample.
    counted: Counts,
}

/// Where a part of the requests is refused.
#[derive(Debug)]
struct Gate {
    rules: admission::Rules,
    admission: Admission,
    sums: Sums,
}

impl Limit {
    fn look(&mut self, upstream: &Upstream, under_way: u32, now: Tick) -> u32 {
        let (heads, time) = upstream.series.response_heads();
        let grown = heads.saturating_sub(self.seen.0);
        let spent = time.saturating_sub(self.seen.1);
        let passed = now.since(self.at).as_secs_f64().max(1e-3);
        (self.seen, self.at) = ((heads, time), now);
        let took = (grown > 0).then(|| spent.div_f64(grown as f64));
        // On the mean of the time that has passed (Little's law), or now.
        let in_flight = (spent.as_secs_f64() / passed).max(f64::from(under_way));
        let failing = self.fails(upstream);
        let passed = Duration::from_secs_f64(passed);
        self.adapts.sample(Sample { took, in_flight, failing, passed }, &self.rules)
    }

    /// Whether more than a few of the requests since the last sample failed.
    fn fails(&mut self, upstream: &Upstream) -> bool {
        let now = self.sums.count(upstream);
        let before = std::mem::replace(&mut self.counted, now);
        let [judged, failed] = [now.judged - before.judged, now.failed - before.failed];
        failed * FEW > judged
    }
}

impl Control {
    /// Begins to watch the load of upstreams where that is asked for, and ends it where it is not any more.
    pub(super) fn watch_loads(&mut self, now: Tick) {
        let snapshot = Arc::clone(&self.snapshot);
        for upstream in &snapshot.upstreams {
            let id = upstream.id;
            match upstream.adaptive() {
                Some(rules)
                    if self.loads.limits.get(&id).is_some_and(|one| one.rules == *rules) => {}
                Some(rules) => {
                    let seen = upstream.series.response_heads();
                    let mut sums = Sums::default();
                    let counted = sums.count(upstream);
                    let adapts = Concurrency::new(rules);
                    let limit = Limit { rules: *rules, adapts, seen, at: now, sums, counted };
                    self.loads.limits.insert(id, limit);
                    upstream.series.policy().set_limit(Some(rules.initial));
                    self.timers.set(Due::Concurrency(id), now.after(SAMPLE));
                }
                None => {
                    if self.loads.limits.remove(&id).is_some() {
                        upstream.series.policy().set_limit(None);
                    }
                }
            }
            match upstream.admission() {
                Some(rules) if self.loads.gates.get(&id).is_some_and(|one| one.rules == *rules) => {
                }
                Some(rules) => {
                    let mut sums = Sums::default();
                    let admission = Admission::new(sums.count(upstream));
                    let gate = Gate { rules: *rules, admission, sums };
                    self.loads.gates.insert(id, gate);
                    upstream.series.policy().set_refused(Some(0.0));
                    self.timers.set(Due::Admission(id), now.after(step(rules)));
                }
                None => {
                    if self.loads.gates.remove(&id).is_some() {
                        upstream.series.policy().set_refused(None);
                    }
                }
            }
        }
        let known = |id: &UpstreamId| snapshot.upstreams.iter().any(|one| one.id == *id);
        self.loads.limits.retain(|id, _| known(id));
        self.loads.gates.retain(|id, _| known(id));
    }

    /// A limit takes a sample. It ends by itself when nobody wants it any more.
    pub(super) fn sample_load(&mut self, id: UpstreamId, now: Tick) {
        let Some(place) = self.place_of(id) else { return };
        let upstream = Arc::clone(self.snapshot.upstream(place));
        let (Some(limit), Some(line)) = (self.loads.limits.get_mut(&id), &upstream.line) else {
            return;
        };
        let most = limit.look(&upstream, line.under_way(), now);
        line.set_most(most);
        upstream.series.policy().set_limit(Some(most));
        self.timers.set(Due::Concurrency(id), now.after(SAMPLE));
    }

    /// A step of the window of admission control is over.
    pub(super) fn look_at_gate(&mut self, id: UpstreamId, now: Tick) {
        let Some(place) = self.place_of(id) else { return };
        let upstream = Arc::clone(self.snapshot.upstream(place));
        let (Some(gate), Some(line)) = (self.loads.gates.get_mut(&id), &upstream.line) else {
            return;
        };
        let sums = gate.sums.count(&upstream);
        let admission::Look { refused, turned } = gate.admission.look(sums, &gate.rules);
        line.set_refused(refused);
        upstream.series.policy().set_refused(Some(f64::from(refused) / f64::from(ALL)));
        self.timers.set(Due::Admission(id), now.after(step(&gate.rules)));
        let Some(refuses) = turned else { return };
        let counts = gate.admission.sum();
        let (failed, judged) = (counts.failed, counts.judged);
        let cause =
            format!("{failed} of {judged} requests failed within {:.1?}", gate.rules.window);
        let least = gate.rules.success_percent;
        self.tell_of_gate((place, &upstream.name), refuses, cause, least);
    }

    fn tell_of_gate(
        &self,
        (place, upstream): (UpstreamIx, &str),
        refuses: bool,
        cause: String,
        least: u32,
    ) {
        let (kind, next) = if refuses {
            let next = format!("ends when {least} % of those that pass succeed");
            warn!(upstream, cause, next, "a part of the requests is refused");
            ("admission.refusing", next)
        } else {
            info!(upstream, cause, "requests are not refused any more");
            ("admission.open", String::new())
        };
        self.snapshot.upstream(place).series.policy().event(kind);
        self.note((place, None), Told { kind, actor: "policy".into(), cause, next });
    }
}

fn step(rules: &admission::Rules) -> Duration {
    rules.window / BUCKETS as u32
}
