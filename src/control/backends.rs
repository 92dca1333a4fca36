//! What is known of each backend, and how news changes it.
//!
//! Probe results go through `health::rise`, the fate of requests through `health::passive`; what
//! they rule is written into the backend's state here and waits as a [`Change`] for the next
//! snapshot.

use std::mem;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use tracing::{info, warn};

use crate::config::model::Health;
use crate::control::writer::{Control, Due};
use crate::health::passive::{self, Ruling};
use crate::health::probe::probe;
use crate::health::rise::{Pace, Rise};
use crate::model::{
    BackendId, BackendIx, BackendState, Clock, Event, PassiveState, ProbedState, Tick, UpstreamIx,
};
use crate::snapshot::{Limits, Snapshot};
use crate::telemetry::{Cause, Status};

/// A trial that nobody made, or whose end was never told, is offered again after at least this.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);

/// The backends of the present snapshot.
#[derive(Debug, Default)]
pub(super) struct Backends(AHashMap<BackendId, Tracked>);

/// What is known of one backend.
#[derive(Debug)]
struct Tracked {
    /// Its place in the present snapshot.
    upstream: UpstreamIx,
    ix: BackendIx,
    state: BackendState,
    /// The verdict of the probes, where there are any.
    rise: Option<Rise>,
}

impl Backends {
    pub(super) fn state(&self, id: BackendId) -> Option<BackendState> {
        self.0.get(&id).map(|tracked| tracked.state)
    }
}

/// One change of one backend's state.
#[derive(Debug)]
pub(super) struct Change {
    /// Its upstream.
    pub(super) upstream: UpstreamIx,
    ix: BackendIx,
    /// What it has become.
    is_now: &'static str,
    /// The cause in words.
    why: String,
}

impl Change {
    /// For the journal: `api/10.0.0.1:80 down: probe: connection refused (3 in a row)`.
    pub(super) fn words(&self, snapshot: &Snapshot) -> String {
        let upstream = snapshot.upstream(self.upstream);
        let backend = &upstream.backends[self.ix.index()];
        format!("{}/{} {}: {}", upstream.name, backend.label, self.is_now, self.why)
    }

    /// Logs and counts it. The place holds in `before`; how many are left is told by `now`.
    pub(super) fn tell(&self, before: &Snapshot, now: &Snapshot) {
        let backend = &before.upstream(self.upstream).backends[self.ix.index()];
        let upstream = now.upstream(self.upstream);
        let left = upstream.eligible.iter().filter(|eligible| **eligible).count();
        let (name, label, is_now) = (&upstream.name, &backend.label, self.is_now);
        let eligible = format!("{left}/{}", upstream.backends.len());
        let generation = now.generation.0;
        if matches!(is_now, "down" | "parked") {
            warn!(
                upstream = name,
                backend = label,
                cause = self.why,
                eligible,
                generation,
                "backend {is_now}"
            );
        } else {
            info!(
                upstream = name,
                backend = label,
                cause = self.why,
                eligible,
                generation,
                "backend {is_now}"
            );
        }
    }
}

impl Control {
    /// Finds every backend of the present snapshot its place. What is known of it is kept; new
    /// ones begin to be probed, gone ones are forgotten.
    pub(super) fn track(&mut self, before: &Snapshot) {
        let now = Clock::now();
        let snapshot = Arc::clone(&self.snapshot);
        let mut known = mem::take(&mut self.backends.0);
        for (place, upstream) in (0..).zip(&snapshot.upstreams) {
            for (ix, backend) in (0..).zip(&upstream.backends) {
                let was = known.remove(&backend.id);
                if let Some(was) = &was
                    && was.state != backend.state
                {
                    backend.series.state_change(Status::of(backend.state), Cause::Config);
                    let (name, label) = (&upstream.name, &backend.label);
                    let status = Status::of(backend.state).name();
                    info!(
                        upstream = name,
                        backend = label,
                        cause = "configuration",
                        "backend {status}"
                    );
                }
                let probed_before =
                    was.as_ref().and_then(|was| before.upstream(was.upstream).health());
                let rise = match (upstream.health(), was.and_then(|was| was.rise)) {
                    (None, _) => {
                        self.timers.clear(&Due::Probe(backend.id));
                        None
                    }
                    (Some(health), Some(rise)) if probed_before == Some(health) => Some(rise),
                    (Some(health), _) => {
                        let first = pace(health).first(self.random.f64());
                        self.timers.set(Due::Probe(backend.id), now.after(first));
                        Some(Rise::new(health.rise, health.fall, backend.state.probed))
                    }
                };
                let tracked = Tracked {
                    upstream: UpstreamIx(place),
                    ix: BackendIx(ix),
                    state: backend.state,
                    rise,
                };
                self.backends.0.insert(backend.id, tracked);
            }
        }
        for gone in known.into_keys() {
            self.timers.clear(&Due::Probe(gone));
            self.timers.clear(&Due::Passive(gone));
        }
    }

    /// Takes up one piece of news. What concerns a backend that is gone is dropped.
    pub(super) fn hear(&mut self, event: Event) {
        match event {
            Event::Probed { backend, result, took, at } => self.probed(backend, &result, took, at),
            Event::FailuresCrossed { backend, at } => {
                self.judge(backend, |passive, others_left, settings| {
                    let ruling =
                        passive::failures_crossed(passive, others_left, at, settings.fail_timeout);
                    let why = format!(
                        "{} failed requests within {:?}",
                        settings.max_fails, settings.fail_timeout
                    );
                    (ruling, why)
                });
            }
            Event::TrialEnded { backend, ok, at } => {
                self.judge(backend, |passive, others_left, settings| {
                    let pause = settings.fail_timeout;
                    let why = match (ok, others_left) {
                        (true, _) => "the trial request succeeded",
                        (false, true) => "the trial request failed",
                        (false, false) => "the trial request failed, but no other backend is left",
                    };
                    let ruling = passive::trial_ended(passive, ok, others_left, at, pause);
                    (ruling, why.to_owned())
                });
            }
        }
    }

    /// A pause is over; or a trial was offered and nothing was heard of it.
    pub(super) fn pause_ended(&mut self, id: BackendId, now: Tick) {
        if self.backends.state(id).is_some_and(|state| state.passive == PassiveState::Trial) {
            return self.offer_trial(id, now);
        }
        self.judge(id, |passive, _, settings| {
            let why = format!("parked for {:?}", settings.fail_timeout);
            (passive::pause_ended(passive, now), why)
        });
    }

    /// Asks `rule` what becomes of a backend by its requests, and does it. `rule` is told the
    /// passive state, whether others are left, and the backend's limits; it gives its reason too.
    fn judge(
        &mut self,
        id: BackendId,
        rule: impl FnOnce(PassiveState, bool, Limits) -> (Ruling, String),
    ) {
        let Some(tracked) = self.backends.0.get(&id) else {
            return;
        };
        let (place, ix) = (tracked.upstream, tracked.ix);
        let upstream = Arc::clone(self.snapshot.upstream(place));
        let others_left = upstream.stands_without(id, |other| self.backends.state(other));
        let limits = upstream.backends[ix.index()].limits;
        let (ruling, why) = rule(tracked.state.passive, others_left, limits);
        let next = match ruling {
            Ruling::Stays => return,
            Ruling::LastOneLeft => {
                let (name, label) = (&upstream.name, &upstream.backends[ix.index()].label);
                return warn!(
                    upstream = name,
                    backend = label,
                    cause = why,
                    "backend not parked: no other is left"
                );
            }
            Ruling::Becomes(next) => next,
        };
        let is_now = match next {
            PassiveState::Ok => "back in service",
            PassiveState::Parked { .. } => "parked",
            PassiveState::Trial => "on trial",
        };
        self.change(id, is_now, Cause::Traffic, why, |state| {
            state.passive = next;
        });
        match next {
            PassiveState::Ok => self.timers.clear(&Due::Passive(id)),
            PassiveState::Parked { until } => self.timers.set(Due::Passive(id), until),
            PassiveState::Trial => self.offer_trial(id, Clock::now()),
        }
    }

    /// Puts a trial on offer, and once more if nothing is heard of it within `fail_timeout`.
    fn offer_trial(&mut self, id: BackendId, now: Tick) {
        let Some(tracked) = self.backends.0.get(&id) else {
            return;
        };
        let upstream = self.snapshot.upstream(tracked.upstream);
        upstream.live[tracked.ix.index()].offer_trial();
        let limits = upstream.backends[tracked.ix.index()].limits;
        let patience = limits.fail_timeout.max(SHORTEST_PATIENCE);
        self.timers.set(Due::Passive(id), now.after(patience));
    }

    /// Probes a backend, as a task that reports back.
    pub(super) fn probe(&mut self, id: BackendId) {
        let Some(tracked) = self.backends.0.get(&id) else {
            return;
        };
        let upstream = Arc::clone(self.snapshot.upstream(tracked.upstream));
        let (ix, events) = (tracked.ix.index(), self.events.clone());
        tokio::spawn(async move {
            let (backend, Some(health)) = (&upstream.backends[ix], upstream.health()) else {
                return;
            };
            let started = Clock::now();
            let tls = backend.tls.as_deref();
            let result = probe(&backend.address, &backend.authority, tls, health).await;
            let at = Clock::now();
            let took = at.since(started);
            // The loop is gone only when the process ends.
            let _ = events.send(Event::Probed { backend: id, result, took, at }).await;
        });
    }

    fn probed(&mut self, id: BackendId, result: &Result<(), String>, took: Duration, at: Tick) {
        let Some(tracked) = self.backends.0.get_mut(&id) else {
            return;
        };
        let upstream = Arc::clone(self.snapshot.upstream(tracked.upstream));
        let (Some(rise), Some(health)) = (&mut tracked.rise, upstream.health()) else {
            return;
        };
        upstream.backends[tracked.ix.index()].series.probe(result.is_ok(), took);
        let first = tracked.state.probed == ProbedState::Checking;
        let verdict = rise.observe(result.is_ok());
        // Counted from the start of the last one, but never before its end.
        let pause = rise.pause(&pace(health), self.random.f64()).saturating_sub(took);
        self.timers.set(Due::Probe(id), at.after(pause));
        let Some(verdict) = verdict else { return };
        let why = match result {
            Ok(()) if first => "probe: passed".to_owned(),
            Ok(()) => format!("probe: passed ({} in a row)", health.rise),
            Err(reason) => format!("probe: {reason} ({} in a row)", health.fall),
        };
        self.change(id, verdict.name(), Cause::Probe, why, |state| {
            state.probed = verdict;
        });
    }

    /// Writes a change into a backend's state and notes it for the next snapshot.
    fn change(
        &mut self,
        id: BackendId,
        is_now: &'static str,
        cause: Cause,
        why: String,
        write: impl FnOnce(&mut BackendState),
    ) {
        let Some(tracked) = self.backends.0.get_mut(&id) else {
            return;
        };
        write(&mut tracked.state);
        let (upstream, ix) = (tracked.upstream, tracked.ix);
        let series = &self.snapshot.upstream(upstream).backends[ix.index()].series;
        series.state_change(Status::of(tracked.state), cause);
        self.changes.push(Change { upstream, ix, is_now, why });
    }
}

fn pace(health: &Health) -> Pace {
    Pace { interval: health.interval, fast_interval: health.fast_interval, jitter: health.jitter }
}
