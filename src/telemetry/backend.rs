//! Series of backends: state, picks, attempts, probes.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU8, AtomicU32, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use super::cell::{Count, PerWorker, Rough, bounded};
use super::check::{CheckSeries, CheckTable};
use super::labels::{Cause, Ejected};
use super::names::{self, Family};
use super::text::Text;
use super::upstream::UpstreamSeries;
use crate::model::{AdminState, BackendState, Outcome, PassiveState, ProbedState, Share, WorkerIx};

/// The three facts of a backend's state told as one number, for people and alerts. It decides
/// nothing: who is eligible is `balance::eligible`'s to say.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Status {
    /// Probes say so.
    Down,
    /// Nothing speaks against it.
    Up,
    /// No probe has ended yet.
    Checking,
    /// The operator lets it run empty.
    Draining,
    /// Requests failed too often; on a pause or on trial.
    Parked,
    /// The operator took it out.
    Disabled,
    /// It serves, but not well.
    Degraded,
    /// It has another role than the one that is wanted.
    Standby,
}

impl Status {
    /// Every status, in the order of its number.
    pub const ALL: [Self; 8] = [
        Self::Down,
        Self::Up,
        Self::Checking,
        Self::Draining,
        Self::Parked,
        Self::Disabled,
        Self::Degraded,
        Self::Standby,
    ];

    /// The status of a backend in this state. What weighs more is told: the operator's word before
    /// the probes' before the traffic's.
    pub fn of(state: BackendState) -> Self {
        match state {
            BackendState { admin: AdminState::Disabled, .. } => Self::Disabled,
            BackendState { admin: AdminState::ForcedUp, .. } => Self::Up,
            BackendState { admin: AdminState::ForcedDown, .. } => Self::Down,
            BackendState { admin: AdminState::Draining, .. }
            | BackendState { probed: ProbedState::Draining, .. } => Self::Draining,
            BackendState { probed: ProbedState::Down, .. } => Self::Down,
            BackendState { probed: ProbedState::Standby, .. } => Self::Standby,
            BackendState { passive: PassiveState::Parked { .. } | PassiveState::Trial, .. } => {
                Self::Parked
            }
            BackendState { probed: ProbedState::Checking, .. } => Self::Checking,
            BackendState { probed: ProbedState::Degraded, .. } => Self::Degraded,
            BackendState { probed: ProbedState::Up | ProbedState::Unprobed, .. } => Self::Up,
        }
    }

    /// The label in metrics and the admin API.
    pub fn name(self) -> &'static str {
        match self {
            Self::Down => "down",
            Self::Up => "up",
            Self::Checking => "checking",
            Self::Draining => "draining",
            Self::Parked => "parked",
            Self::Disabled => "disabled",
            Self::Degraded => "degraded",
            Self::Standby => "standby",
        }
    }
}

/// A backend's series.
#[derive(Debug)]
pub struct BackendSeries {
    name: String,
    upstream_name: String,
    upstream: Arc<UpstreamSeries>,
    cells: PerWorker<BackendCell>,
    status: AtomicU8,
    weight: AtomicU32,
    max_in_flight: AtomicU32,
    /// By new status, then by cause.
    changes: [[Count; Cause::ALL.len()]; Status::ALL.len()],
    /// Outliers by what became of them, and the reason.
    ejections: Mutex<BTreeMap<(&'static str, &'static str), u64>>,
    share: AtomicU8,
    checks: CheckTable,
}

/// One worker's part of a backend's series; that worker is its only writer.
#[derive(Debug)]
#[repr(align(128))]
pub struct BackendCell {
    worker: WorkerIx,
    /// Attempt durations are kept per upstream: they shall survive a backend that leaves.
    upstream: Arc<UpstreamSeries>,
    picks: Count,
    started: Count,
    ended: Count,
    outcomes: [Count; Outcome::ALL.len()],
    /// Attempts that spoke against the backend, whatever their outcome is called.
    failures: Count,
    /// Attempts that said nothing of the backend.
    unjudged: Count,
    /// How long those waited for an answer among them that got none, in microseconds.
    in_vain_us: Count,
    /// Answers that began before their attempt ended, and those of them that have ended.
    answers_begun: Count,
    answers_ended: Count,
    /// Idle connections.
    idle: Count,
    /// How long response heads were waited for. There is room for it on the cell's lines.
    first_bytes: Rough,
}

impl BackendCell {
    /// The strategy chose this backend.
    #[inline]
    pub fn pick(&self) {
        self.picks.add(1);
    }

    /// An attempt begins. Each call is followed by one of [`ended`](Self::ended).
    #[inline]
    pub fn started(&self) {
        self.started.add(1);
    }

    /// An attempt is no longer under way.
    #[inline]
    pub fn ended(&self) {
        self.ended.add(1);
    }

    /// An attempt ended so, after this time since the pick.
    #[inline]
    pub fn attempt(&self, outcome: Outcome, took: Duration) {
        self.outcomes[outcome as usize].add(1);
        self.upstream.worker(self.worker).attempt(took);
    }

    /// The response head came after this time since the start of the attempt.
    #[inline]
    pub fn first_byte(&self, took: Duration) {
        self.first_bytes.add(self.upstream.worker(self.worker).first_byte(took));
    }

    /// An attempt speaks against the backend. Beside [`attempt`](Self::attempt).
    pub fn failed(&self) {
        self.failures.add(1);
    }

    /// An attempt says nothing of the backend. Beside [`attempt`](Self::attempt).
    pub fn unjudged(&self) {
        self.unjudged.add(1);
    }

    /// An attempt was given up by others after this time, without an answer.
    pub fn waited_in_vain(&self, took: Duration) {
        self.in_vain_us.add(u64::try_from(took.as_micros()).unwrap_or(u64::MAX));
    }

    /// The backend has begun to answer, and the rest takes time. Until what this gives is dropped,
    /// the attempt is under way, but is owed no answer any more.
    #[must_use = "it answers as long as this lives"]
    pub fn answers(&self) -> Answering<'_> {
        self.answers_begun.add(1);
        Answering(&self.answers_ended)
    }

    /// The worker's pool has so many idle connections to this backend.
    pub fn set_idle(&self, connections: usize) {
        self.idle.set(connections as u64);
    }
}

/// An answer that takes time, counted as long as this lives.
#[derive(Debug)]
pub struct Answering<'a>(&'a Count);

impl Drop for Answering<'_> {
    fn drop(&mut self) {
        self.0.add(1);
    }
}

impl BackendSeries {
    pub(super) fn new(
        upstream_name: &str,
        name: &str,
        upstream: &Arc<UpstreamSeries>,
        workers: usize,
    ) -> Self {
        let cell = |worker| BackendCell {
            worker,
            upstream: Arc::clone(upstream),
            picks: Count::default(),
            started: Count::default(),
            ended: Count::default(),
            outcomes: Default::default(),
            failures: Count::default(),
            unjudged: Count::default(),
            in_vain_us: Count::default(),
            answers_begun: Count::default(),
            answers_ended: Count::default(),
            idle: Count::default(),
            first_bytes: Rough::default(),
        };
        Self {
            name: name.to_owned(),
            upstream_name: upstream_name.to_owned(),
            upstream: Arc::clone(upstream),
            cells: PerWorker::new(workers, cell),
            status: AtomicU8::new(Status::of(BackendState::default()) as u8),
            weight: AtomicU32::new(1),
            max_in_flight: AtomicU32::new(0),
            changes: Default::default(),
            ejections: Mutex::default(),
            share: AtomicU8::new(Share::WHOLE.value()),
            checks: CheckTable::default(),
        }
    }

    /// The cell of `worker`.
    #[inline]
    pub fn worker(&self, worker: WorkerIx) -> &BackendCell {
        self.cells.of(worker)
    }

    /// The cells of all workers, for whoever asks for one with every request: it finds them without a look at
    /// what else stands here.
    pub fn cells(&self) -> PerWorker<BackendCell> {
        self.cells.clone()
    }

    /// Notes the state. For control.
    pub fn set_state(&self, state: BackendState) {
        self.status.store(Status::of(state) as u8, Relaxed);
        self.share.store(state.share.value(), Relaxed);
    }

    /// Notes that the state changed. For control, beside [`set_state`](Self::set_state).
    pub fn state_change(&self, to: Status, cause: Cause) {
        self.changes[to as usize][cause as usize].add_shared(1);
    }

    /// Notes the share in use. For control.
    pub fn set_weight(&self, weight: u32) {
        self.weight.store(weight, Relaxed);
    }

    /// Notes the limit of attempts under way; 0 is none. For control.
    pub fn set_max_in_flight(&self, limit: u32) {
        self.max_in_flight.store(limit, Relaxed);
    }

    /// The series of these checks and no others; one that is there already goes on. For control.
    pub fn set_checks<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Arc<CheckSeries>> {
        self.checks.set(names)
    }

    /// The series of its checks.
    pub fn checks(&self) -> Vec<Arc<CheckSeries>> {
        self.checks.all()
    }

    /// A probe ended after this time. From any thread.
    pub fn probed(&self, took: Duration) {
        self.upstream.probed(took);
    }

    /// Times the strategy chose this backend.
    pub fn picks(&self) -> u64 {
        self.cells.sum(|cell| &cell.picks)
    }

    /// Attempts under way.
    pub fn in_flight(&self) -> u64 {
        self.cells.open(|cell| &cell.started, |cell| &cell.ended)
    }

    /// Ended attempts by outcome.
    pub fn attempts(&self) -> [(Outcome, u64); Outcome::ALL.len()] {
        Outcome::ALL
            .map(|outcome| (outcome, self.cells.sum(|cell| &cell.outcomes[outcome as usize])))
    }

    /// Ended attempts that said something of the backend, and those among them that spoke against it.
    pub fn verdicts(&self) -> (u64, u64) {
        let unjudged = self.cells.sum(|cell| &cell.unjudged);
        let failed = self.cells.sum(|cell| &cell.failures);
        let ended: u64 = self.attempts().iter().map(|(_, count)| count).sum();
        (ended.saturating_sub(unjudged), failed)
    }

    /// Attempts that were begun.
    pub fn started(&self) -> u64 {
        self.cells.sum(|cell| &cell.started)
    }

    /// How long all those attempts waited for an answer that were given up by others without one.
    pub fn in_vain(&self) -> Duration {
        Duration::from_micros(self.cells.sum(|cell| &cell.in_vain_us))
    }

    /// Answers that were given or have begun, and answers under way. One that takes time may be counted
    /// twice among the first. A time-out is no answer, nor is a client that left.
    pub fn answers(&self) -> (u64, u64) {
        let silent = |outcome: Outcome| {
            matches!(outcome, Outcome::ConnectTimeout | Outcome::Timeout) || outcome.says_nothing()
        };
        let attempts = self.attempts().into_iter();
        let ended: u64 =
            attempts.filter(|(outcome, _)| !silent(*outcome)).map(|(_, count)| count).sum();
        let begun = self.cells.sum(|cell| &cell.answers_begun);
        let under_way = self.cells.open(|cell| &cell.answers_begun, |cell| &cell.answers_ended);
        (ended + begun, under_way)
    }

    /// How long its response heads were waited for: up to each bound, how many; the last ones took longer
    /// than any.
    pub fn first_bytes(&self) -> Vec<(Option<Duration>, u64)> {
        bounded(self.cells.rough(|cell| &cell.first_bytes))
    }

    /// The backend stood out by its failures, or by its silence. For control.
    pub fn ejected(&self, ejected: Ejected, reason: &'static str) {
        let mut ejections = self.ejections.lock().unwrap_or_else(PoisonError::into_inner);
        *ejections.entry((reason, ejected.name())).or_default() += 1;
    }

    /// Idle connections of all workers.
    pub fn idle_connections(&self) -> u64 {
        self.cells.sum(|cell| &cell.idle).cast_signed().max(0).cast_unsigned()
    }

    pub(super) fn encode(all: &[Arc<Self>], text: &mut Text) {
        text.family(&names::UPSTREAM_ATTEMPTS, |samples| {
            for series in all {
                let [upstream, backend] = series.labels();
                for (outcome, count) in series.attempts() {
                    samples.count(&[upstream, backend, outcome.name()], count);
                }
            }
        });
        encode_state(all, text);
        encode_plain(&names::BACKEND_IN_FLIGHT, all, text, Self::in_flight);
        encode_plain(&names::BACKEND_MAX_IN_FLIGHT, all, text, |series| {
            series.max_in_flight.load(Relaxed).into()
        });
        encode_plain(&names::BACKEND_WEIGHT, all, text, |series| {
            series.weight.load(Relaxed).into()
        });
        text.family(&names::BACKEND_SHARE, |samples| {
            for series in all {
                let share = f64::from(series.share.load(Relaxed)) / 100.0;
                samples.value(&series.labels(), share);
            }
        });
        encode_plain(&names::BACKEND_PICKS, all, text, Self::picks);
        text.family(&names::POOL_CONNECTIONS, |samples| {
            for series in all {
                let [upstream, backend] = series.labels();
                samples.count(&[upstream, backend, "idle"], series.idle_connections());
            }
        });
        encode_checks(all, text);
    }

    fn labels(&self) -> [&str; 2] {
        [&self.upstream_name, &self.name]
    }
}

/// A family with one number per backend.
fn encode_plain(
    family: &Family,
    all: &[Arc<BackendSeries>],
    text: &mut Text,
    read: impl Fn(&BackendSeries) -> u64,
) {
    text.family(family, |samples| {
        for series in all {
            samples.count(&series.labels(), read(series));
        }
    });
}

fn encode_checks(all: &[Arc<BackendSeries>], text: &mut Text) {
    text.family(&names::HEALTH_CHECK_STATE, |samples| {
        for series in all {
            let [upstream, backend] = series.labels();
            for check in series.checks() {
                let state = check.status() as u64;
                samples.count(&[upstream, backend, check.name()], state);
            }
        }
    });
    text.family(&names::HEALTH_CHECKS, |samples| {
        for series in all {
            let [upstream, backend] = series.labels();
            for check in series.checks() {
                let (ok, failed) = check.counts();
                samples.count(&[upstream, backend, check.name(), "ok"], ok);
                samples.count(&[upstream, backend, check.name(), "failed"], failed);
            }
        }
    });
}

fn encode_state(all: &[Arc<BackendSeries>], text: &mut Text) {
    encode_plain(&names::BACKEND_UP, all, text, |series| {
        (series.status.load(Relaxed) == Status::Up as u8).into()
    });
    encode_plain(&names::BACKEND_STATE, all, text, |series| series.status.load(Relaxed).into());
    text.family(&names::BACKEND_EJECTIONS, |samples| {
        for series in all {
            let [upstream, backend] = series.labels();
            let ejections = series.ejections.lock().unwrap_or_else(PoisonError::into_inner);
            for ((reason, result), count) in &*ejections {
                samples.count(&[upstream, backend, reason, result], *count);
            }
        }
    });
    text.family(&names::BACKEND_STATE_CHANGES, |samples| {
        for series in all {
            let [upstream, backend] = series.labels();
            for (to, causes) in Status::ALL.into_iter().zip(&series.changes) {
                for (cause, count) in Cause::ALL.into_iter().zip(causes) {
                    if count.get() > 0 {
                        samples.count(&[upstream, backend, to.name(), cause.name()], count.get());
                    }
                }
            }
        }
    });
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Tick;

    #[test]
    fn a_workers_part_is_two_pairs_of_cache_lines() {
        assert_eq!(size_of::<BackendCell>(), 256);
    }

    #[test]
    fn numbers_and_places_agree() {
        for (place, status) in Status::ALL.into_iter().enumerate() {
            assert_eq!(status as usize, place);
        }
    }

    #[test]
    fn the_operators_word_is_told_before_the_probes_and_theirs_before_the_traffics() {
        use AdminState::{Disabled, Draining, Enabled, ForcedDown, ForcedUp};
        use ProbedState::{Checking, Degraded, Down, Standby, Unprobed, Up};
        let parked = PassiveState::Parked { until: Tick(1) };
        let of = |admin, probed, passive| {
            Status::of(BackendState { admin, probed, passive, ..BackendState::default() })
        };
        assert_eq!(of(Disabled, Down, parked), Status::Disabled);
        assert_eq!(of(Draining, Down, parked), Status::Draining);
        assert_eq!(of(ForcedUp, Down, parked), Status::Up);
        assert_eq!(of(ForcedDown, Up, PassiveState::Ok), Status::Down);
        assert_eq!(of(Enabled, Down, parked), Status::Down);
        assert_eq!(of(Enabled, Checking, parked), Status::Parked);
        assert_eq!(of(Enabled, Up, PassiveState::Trial), Status::Parked);
        assert_eq!(of(Enabled, Checking, PassiveState::Ok), Status::Checking);
        assert_eq!(of(Enabled, Up, PassiveState::Ok), Status::Up);
        assert_eq!(of(Enabled, Unprobed, PassiveState::Ok), Status::Up);
        assert_eq!(of(Enabled, Standby, parked), Status::Standby);
        assert_eq!(of(Enabled, Degraded, PassiveState::Ok), Status::Degraded);
        assert_eq!(of(Enabled, ProbedState::Draining, PassiveState::Ok), Status::Draining);
    }
}
