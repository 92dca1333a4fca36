//! Series of upstreams: attempts, retries and connections of all their backends together.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed};
use std::time::Duration;

use super::backend::Status;
use super::cell::{Count, Distribution, Histogram, PerWorker, bounded};
use super::exemplar::Exemplar;
use super::labels::{Hedged, QueueRejected, RetryDenied, Shed};
use super::names::{self, Family};
use super::text::Text;
use super::upstream_policy::PolicySeries;
use crate::model::{BackendState, Outcome, WorkerIx};

/// An upstream's series.
#[derive(Debug)]
pub struct UpstreamSeries {
    name: String,
    cells: PerWorker<UpstreamCell>,
    /// Backends by [`Status`].
    backends: [AtomicU64; Status::ALL.len()],
    fail_open: AtomicBool,
    policy: PolicySeries,
    /// Requests that wait.
    waiting: AtomicU64,
    probes: Histogram,
}

/// One worker's part of an upstream's series; that worker is its only writer.
#[derive(Debug, Default)]
#[repr(align(128))]
pub struct UpstreamCell {
    attempt: Histogram,
    connect: Histogram,
    first_byte: Histogram,
    retries: [Count; Outcome::ALL.len()],
    denied: [Count; RetryDenied::ALL.len()],
    /// Retries and other attempts of the last seconds, as far as they count for the budget.
    lately: [Count; 2],
    queue_wait: Histogram,
    queue_rejected: [Count; QueueRejected::ALL.len()],
    sheds: [Count; Shed::ALL.len()],
    hedges: [Count; Hedged::ALL.len()],
    /// Of requests that no backend has seen, and of those that one may have.
    crossings: [Count; 2],
    none_eligible: Count,
    fail_open_picks: Count,
    kept_out: Count,
    /// Of requests that a circuit breaker let pass to try: those that succeeded, and that failed.
    tries: [Count; 2],
    reuses: Count,
    opens: Count,
    open_failures: Count,
    stale_replays: Count,
}

impl UpstreamCell {
    /// Another attempt is made because one ended with `outcome`.
    #[inline]
    pub fn retry(&self, outcome: Outcome) {
        self.retries[outcome as usize].add(1);
    }

    /// No other attempt is made after a failed one.
    #[inline]
    pub fn retry_denied(&self, reason: RetryDenied) {
        self.denied[reason as usize].add(1);
    }

    /// A request was sent on to another zone; a backend may have `seen` it.
    pub fn crossed(&self, seen: bool) {
        self.crossings[usize::from(seen)].add(1);
    }

    /// Attempts that ended, and retries of requests that a backend may have seen or that went to another
    /// zone.
    pub fn repeated(&self) -> (u64, u64) {
        let seen = |outcome: &&Outcome| {
            !matches!(outcome, Outcome::ConnectFailed | Outcome::ConnectTimeout)
        };
        let retries = Outcome::ALL.iter().filter(seen);
        let seen: u64 = retries.map(|outcome| self.retries[*outcome as usize].get()).sum();
        (self.attempt.count(), seen + self.crossings[0].get())
    }

    /// So many retries, and so many other attempts, count for the budget at present.
    pub fn set_lately(&self, (retries, others): (u64, u64)) {
        self.lately[0].set(retries);
        self.lately[1].set(others);
    }

    /// A connection was made in this time.
    #[inline]
    pub fn connected(&self, took: Duration) {
        self.connect.record(took);
    }

    /// The response head came after this time; gives its bucket's place. Called by the backend's cell.
    #[inline]
    pub(super) fn first_byte(&self, took: Duration) -> usize {
        self.first_byte.record(took)
    }

    /// An attempt that ended belongs to a trace that is recorded.
    pub fn exemplify_attempt(&self, one: Exemplar) {
        self.attempt.exemplify(one);
    }

    /// The response head of an attempt belongs to a trace that is recorded.
    pub fn exemplify_first_byte(&self, one: Exemplar) {
        self.first_byte.exemplify(one);
    }

    /// A request that waited got a backend after this time.
    pub fn queued(&self, waited: Duration) {
        self.queue_wait.record(waited);
    }

    /// A request that would wait for a backend got none.
    pub fn queue_rejected(&self, reason: QueueRejected) {
        self.queue_rejected[reason as usize].add(1);
    }

    /// A request was refused though a backend was there.
    pub fn shed(&self, reason: Shed) {
        self.sheds[reason as usize].add(1);
    }

    /// A second request was made, or was not, and this became of it.
    pub fn hedged(&self, result: Hedged) {
        self.hedges[result as usize].add(1);
    }

    /// No backend could be picked for a request.
    #[inline]
    pub fn none_eligible(&self) {
        self.none_eligible.add(1);
    }

    /// A pick was made while the upstream fails open.
    #[inline]
    pub fn fail_open_pick(&self) {
        self.fail_open_picks.add(1);
    }

    /// A request was answered at once because the circuit breaker is open.
    pub fn kept_out(&self) {
        self.kept_out.add(1);
    }

    /// A request that a circuit breaker let pass to try succeeded or `failed`.
    pub fn tried(&self, failed: bool) {
        self.tries[usize::from(failed)].add(1);
    }

    /// An attempt took an idle connection.
    #[inline]
    pub fn pool_reuse(&self) {
        self.reuses.add(1);
    }

    /// An attempt opened a connection, or failed to.
    #[inline]
    pub fn pool_open(&self, ok: bool) {
        if ok { &self.opens } else { &self.open_failures }.add(1);
    }

    /// A request was sent again because an idle connection turned out to be closed.
    #[inline]
    pub fn stale_replay(&self) {
        self.stale_replays.add(1);
    }

    /// An attempt at any backend ended after this time. Called by the backend's cell.
    #[inline]
    pub(super) fn attempt(&self, took: Duration) {
        self.attempt.record(took);
    }
}

impl UpstreamSeries {
    pub(super) fn new(name: &str, workers: usize) -> Self {
        Self {
            name: name.to_owned(),
            cells: PerWorker::new(workers, |_| UpstreamCell::default()),
            backends: Default::default(),
            fail_open: AtomicBool::new(false),
            policy: PolicySeries::default(),
            waiting: AtomicU64::new(0),
            probes: Histogram::default(),
        }
    }

    /// The cell of `worker`.
    #[inline]
    pub fn worker(&self, worker: WorkerIx) -> &UpstreamCell {
        self.cells.of(worker)
    }

    /// Notes the states of all backends, in any order. For control.
    pub fn set_backends(&self, states: impl IntoIterator<Item = BackendState>) {
        let mut counts = [0_u64; Status::ALL.len()];
        for state in states {
            counts[Status::of(state) as usize] += 1;
        }
        for (gauge, count) in self.backends.iter().zip(counts) {
            gauge.store(count, Relaxed);
        }
    }

    /// Notes whether the upstream fails open. For control.
    pub fn set_fail_open(&self, fails_open: bool) {
        self.fail_open.store(fails_open, Relaxed);
    }

    /// What is decided for the upstream as a whole.
    pub fn policy(&self) -> &PolicySeries {
        &self.policy
    }

    /// Its name.
    pub(super) fn name(&self) -> &str {
        &self.name
    }

    /// A request waits until what this gives is dropped.
    #[must_use = "it waits as long as this lives"]
    pub fn waits(&self) -> Waits<'_> {
        self.waiting.fetch_add(1, Relaxed);
        Waits(&self.waiting)
    }

    /// Requests that wait.
    pub fn waiting(&self) -> u64 {
        self.waiting.load(Relaxed)
    }

    /// Requests that waited in vain or could not wait, by reason.
    pub fn queue_rejections(&self) -> [(QueueRejected, u64); QueueRejected::ALL.len()] {
        QueueRejected::ALL
            .map(|reason| (reason, self.cells.sum(|cell| &cell.queue_rejected[reason as usize])))
    }

    /// How long response heads were waited for: up to each bound, how many; the last ones took longer
    /// than any.
    pub fn first_bytes(&self) -> Vec<(Option<Duration>, u64)> {
        bounded(self.cells.distribution(|cell| &cell.first_byte).buckets)
    }

    /// Response heads that came, and how long they took together.
    pub fn response_heads(&self) -> (u64, Duration) {
        let seen = self.cells.distribution(|cell| &cell.first_byte);
        (seen.buckets.iter().sum(), Duration::from_micros(seen.sum_us))
    }

    /// Requests that a circuit breaker let pass to try, and how many of them failed.
    pub fn tries(&self) -> (u64, u64) {
        let [ok, failed] = [0, 1].map(|failed| self.cells.sum(|cell| &cell.tries[failed]));
        (ok + failed, failed)
    }

    /// Requests that came, whatever became of them: attempts but for further and second ones, and those
    /// that nobody was asked for.
    pub fn asked(&self) -> u64 {
        let attempts = self.cells.distribution(|cell| &cell.attempt).buckets.iter().sum::<u64>();
        let retries = self.retries().iter().map(|(_, count)| count).sum::<u64>();
        let hedges = self.hedges().into_iter().filter(|(result, _)| *result != Hedged::Denied);
        let more = retries + hedges.map(|(_, count)| count).sum::<u64>();
        let shed = self.sheds().iter().map(|(_, count)| count).sum::<u64>();
        attempts.saturating_sub(more) + shed + self.none_eligible()
    }

    /// Requests that were refused though a backend was there, by reason.
    pub fn sheds(&self) -> [(Shed, u64); Shed::ALL.len()] {
        Shed::ALL.map(|reason| (reason, self.cells.sum(|cell| &cell.sheds[reason as usize])))
    }

    /// Second requests by what became of them.
    pub fn hedges(&self) -> [(Hedged, u64); Hedged::ALL.len()] {
        Hedged::ALL.map(|result| (result, self.cells.sum(|cell| &cell.hedges[result as usize])))
    }

    /// A probe of any backend took this time. Called by the backend's series.
    pub(super) fn probed(&self, took: Duration) {
        self.probes.record_shared(took);
    }

    /// Retries by the outcome that made them necessary.
    pub fn retries(&self) -> [(Outcome, u64); Outcome::ALL.len()] {
        Outcome::ALL
            .map(|outcome| (outcome, self.cells.sum(|cell| &cell.retries[outcome as usize])))
    }

    /// Retries that were not made, by reason.
    pub fn retries_denied(&self) -> [(RetryDenied, u64); RetryDenied::ALL.len()] {
        RetryDenied::ALL
            .map(|reason| (reason, self.cells.sum(|cell| &cell.denied[reason as usize])))
    }

    /// Retries, and other attempts, that count for the budget of retries, as of the last second.
    pub fn repeated_lately(&self) -> (u64, u64) {
        let [retries, others] = [0, 1].map(|which| self.cells.sum(|cell| &cell.lately[which]));
        (retries, others)
    }

    /// Requests for which no backend could be picked.
    pub fn none_eligible(&self) -> u64 {
        self.cells.sum(|cell| &cell.none_eligible)
    }

    /// Picks made while failing open.
    pub fn fail_open_picks(&self) -> u64 {
        self.cells.sum(|cell| &cell.fail_open_picks)
    }

    /// Attempts that took an idle connection.
    pub fn pool_reuses(&self) -> u64 {
        self.cells.sum(|cell| &cell.reuses)
    }

    /// Attempts that opened a connection, and attempts that failed to.
    pub fn pool_opens(&self) -> (u64, u64) {
        (self.cells.sum(|cell| &cell.opens), self.cells.sum(|cell| &cell.open_failures))
    }

    /// Requests sent again because an idle connection turned out to be closed.
    pub fn stale_replays(&self) -> u64 {
        self.cells.sum(|cell| &cell.stale_replays)
    }

    pub(super) fn encode(all: &[Arc<Self>], text: &mut Text) {
        encode_attempts(all, text);
        encode_crossings(all, text);
        encode_queue(all, text);
        encode_sheds(all, text);
        encode_eligibility(all, text);
        encode_pool(all, text);
        text.family(&names::HEALTH_CHECK_DURATION, |samples| {
            for series in all {
                let mut seen = Distribution::default();
                seen.add(&series.probes);
                samples.histogram(&[&series.name], &seen);
            }
        });
    }
}

/// A request that waits, counted as long as this lives.
#[derive(Debug)]
pub struct Waits<'a>(&'a AtomicU64);

impl Drop for Waits<'_> {
    fn drop(&mut self) {
        self.0.fetch_sub(1, Relaxed);
    }
}

fn encode_durations(
    family: &Family,
    all: &[Arc<UpstreamSeries>],
    text: &mut Text,
    histogram: fn(&UpstreamCell) -> &Histogram,
) {
    text.family(family, |samples| {
        for series in all {
            samples.histogram(&[&series.name], &series.cells.distribution(histogram));
        }
    });
}

/// A family with one number per upstream.
fn encode_plain(
    family: &Family,
    all: &[Arc<UpstreamSeries>],
    text: &mut Text,
    read: impl Fn(&UpstreamSeries) -> u64,
) {
    text.family(family, |samples| {
        for series in all {
            samples.count(&[&series.name], read(series));
        }
    });
}

fn encode_attempts(all: &[Arc<UpstreamSeries>], text: &mut Text) {
    encode_durations(&names::UPSTREAM_ATTEMPT_DURATION, all, text, |cell| &cell.attempt);
    encode_durations(&names::UPSTREAM_CONNECT_DURATION, all, text, |cell| &cell.connect);
    encode_durations(&names::UPSTREAM_FIRST_BYTE, all, text, |cell| &cell.first_byte);
    text.family(&names::UPSTREAM_RETRIES, |samples| {
        for series in all {
            for (outcome, count) in series.retries() {
                samples.count(&[&series.name, outcome.name()], count);
            }
        }
    });
    text.family(&names::UPSTREAM_RETRIES_DENIED, |samples| {
        for series in all {
            for (reason, count) in series.retries_denied() {
                samples.count(&[&series.name, reason.name()], count);
            }
        }
    });
}

fn encode_crossings(all: &[Arc<UpstreamSeries>], text: &mut Text) {
    encode_plain(&names::UPSTREAM_CROSSINGS, all, text, |series| {
        [0, 1].map(|seen| series.cells.sum(|cell| &cell.crossings[seen])).into_iter().sum()
    });
}

fn encode_queue(all: &[Arc<UpstreamSeries>], text: &mut Text) {
    encode_plain(&names::UPSTREAM_QUEUE_DEPTH, all, text, UpstreamSeries::waiting);
    encode_durations(&names::UPSTREAM_QUEUE_WAIT, all, text, |cell| &cell.queue_wait);
    text.family(&names::UPSTREAM_QUEUE_REJECTED, |samples| {
        for series in all {
            for (reason, count) in series.queue_rejections() {
                samples.count(&[&series.name, reason.name()], count);
            }
        }
    });
}

fn encode_sheds(all: &[Arc<UpstreamSeries>], text: &mut Text) {
    text.family(&names::UPSTREAM_HEDGES, |samples| {
        for series in all {
            for (result, count) in series.hedges() {
                samples.count(&[&series.name, result.name()], count);
            }
        }
    });
    text.family(&names::UPSTREAM_SHED, |samples| {
        for series in all {
            for (reason, count) in series.sheds() {
                samples.count(&[&series.name, reason.name()], count);
            }
        }
    });
}

fn encode_eligibility(all: &[Arc<UpstreamSeries>], text: &mut Text) {
    encode_plain(&names::UPSTREAM_NONE_ELIGIBLE, all, text, UpstreamSeries::none_eligible);
    encode_plain(&names::UPSTREAM_FAIL_OPEN, all, text, |series| {
        series.fail_open.load(Relaxed).into()
    });
    encode_plain(&names::UPSTREAM_FAIL_OPEN_PICKS, all, text, UpstreamSeries::fail_open_picks);
    encode_plain(&names::UPSTREAM_BREAKER_REFUSED, all, text, |series| {
        series.cells.sum(|cell| &cell.kept_out)
    });
    PolicySeries::encode(all, text);
    text.family(&names::UPSTREAM_BACKENDS, |samples| {
        for series in all {
            for status in Status::ALL {
                let count = series.backends[status as usize].load(Relaxed);
                samples.count(&[&series.name, status.name()], count);
            }
        }
    });
}

fn encode_pool(all: &[Arc<UpstreamSeries>], text: &mut Text) {
    encode_plain(&names::POOL_REUSES, all, text, UpstreamSeries::pool_reuses);
    text.family(&names::POOL_OPENS, |samples| {
        for series in all {
            let (ok, failed) = series.pool_opens();
            samples.count(&[&series.name, "ok"], ok);
            samples.count(&[&series.name, "failed"], failed);
        }
    });
    encode_plain(&names::POOL_STALE_REPLAYS, all, text, UpstreamSeries::stale_replays);
}
