//! What keeps requests from their backends: a limit of how many are in flight, be it one that adapts itself, and
//! admission control. The part of `control::load`.

use std::time::Duration;

use crate::config::model::{Adaptive, Admission as Terms};
use crate::model::Tick;
use crate::policy::admission::Admission;
use crate::policy::concurrency::{Concurrency, Sample};
use crate::policy::{BUCKETS, Counts};
use crate::snapshot::Upstream;

/// One in so many requests that fail are few.
const FEW: u64 = 10;

/// What is declared, and where it stands.
#[derive(Debug)]
pub(super) struct Guards {
    gate: Option<Gate>,
    limit: Option<Limit>,
}

#[derive(Debug)]
struct Gate {
    rules: Terms,
    admission: Admission,
    refused: u32,
}

#[derive(Debug)]
struct Limit {
    rules: Adaptive,
    adapts: Concurrency,
    most: u32,
    /// Answers until the last sample, how long they took together, and what was counted.
    seen: (u64, Duration, Counts),
    at: Tick,
}

impl Guards {
    pub(super) fn of(upstream: &Upstream) -> Self {
        let gate = upstream.admission().map(|rules| Gate {
            rules: *rules,
            admission: Admission::new(Counts::default()),
            refused: 0,
        });
        let limit = upstream.adaptive().map(|rules| Limit {
            rules: *rules,
            adapts: Concurrency::new(rules),
            most: rules.initial,
            seen: (0, Duration::ZERO, Counts::default()),
            at: Tick(0),
        });
        Self { gate, limit }
    }

    /// How often admission control is looked at, if there is any.
    pub(super) fn gate_step(&self) -> Option<Duration> {
        Some(self.gate.as_ref()?.rules.window / BUCKETS as u32)
    }

    /// Whether a limit adapts itself, once a second.
    pub(super) fn adapts(&self) -> bool {
        self.limit.is_some()
    }

    pub(super) fn look_at_gate(&mut self, sums: Counts) {
        if let Some(gate) = &mut self.gate {
            gate.refused = gate.admission.look(sums, &gate.rules).refused;
        }
    }

    pub(super) fn sample(&mut self, upstream: &Upstream, sums: Counts, now: Tick) {
        let Some(limit) = &mut self.limit else { return };
        let (answers, time) = upstream.series.response_heads();
        let (answers_then, time_then, sums_then) =
            std::mem::replace(&mut limit.seen, (answers, time, sums));
        let (grown, spent) = (answers - answers_then, time.saturating_sub(time_then));
        let passed = now.since(limit.at);
        limit.at = now;
        let took = (grown > 0).then(|| spent.div_f64(grown as f64));
        let on_the_mean = spent.as_secs_f64() / passed.as_secs_f64().max(1e-3);
        let in_flight = on_the_mean.max(f64::from(under_way(upstream)));
        let failing = (sums.failed - sums_then.failed) * FEW > sums.judged - sums_then.judged;
        let sample = Sample { took, in_flight, failing, passed };
        limit.most = limit.adapts.sample(sample, &limit.rules);
    }

    /// The part of the requests that is refused, of [`ALL`](crate::policy::admission::ALL).
    pub(super) fn refused(&self) -> u32 {
        self.gate.as_ref().map_or(0, |gate| gate.refused)
    }

    /// Whether as many are under way as may be, those that pause among them.
    pub(super) fn is_full(&self, upstream: &Upstream, pausing: u32) -> bool {
        let most = match &self.limit {
            Some(limit) => limit.most,
            None => upstream.line.as_ref().map_or(0, |line| line.most()),
        };
        most > 0 && under_way(upstream) + pausing >= most
    }
}

fn under_way(upstream: &Upstream) -> u32 {
    upstream.live.iter().map(|live| live.in_flight()).sum()
}
