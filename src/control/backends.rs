//! What is known of each backend, and how news changes it.
//!
//! The fate of requests goes through `policy::parking` here, what probes find through `checks`; what
//! they rule is written into the backend's state here and waits as a [`Change`] for the next
//! snapshot.

use std::borrow::Cow;
use std::mem;
use std::sync::Arc;
use std::time::Duration;

use ahash::AHashMap;
use tracing::{info, warn};

use crate::control::checks::Checks;
use crate::control::history::Told;
use crate::control::writer::{Control, Due};
use crate::model::{
    BackendId, BackendIx, BackendState, Clock, Event, Generation, PassiveState, Tick, UpstreamIx,
};
use crate::policy::ejection::most_ejected;
use crate::policy::parking::{Case, News, Record, Ruling, Verdict};
use crate::snapshot::{Limits, Snapshot};
use crate::telemetry::{Cause, Status};

/// A trial that nobody made, or whose client did not wait for its end, is offered again after at least this.
const SHORTEST_PATIENCE: Duration = Duration::from_secs(1);

/// How many of the backends may be out for one to be left alone that asks for it, in percent.
const MOST_RESTING: u32 = 50;

/// Between two events that tell that a backend is not parked.
const AGAIN: Duration = Duration::from_mins(1);

/// The kind of event for what a backend has become.
fn kind_of(is_now: &str) -> &'static str {
    match is_now {
        "up" => "backend.up",
        "down" => "backend.down",
        "checking" => "backend.checking",
        "draining" => "backend.draining",
        "disabled" => "backend.disabled",
        "degraded" => "backend.degraded",
        "standby" => "backend.standby",
        "parked" => "backend.parked",
        "on trial" => "backend.on_trial",
        "back in service" => "backend.back",
        _ => "backend.changed",
    }
}

/// The backends of the present snapshot.
#[derive(Debug, Default)]
pub(super) struct Backends(AHashMap<BackendId, Tracked>);

/// What is known of one backend.
#[derive(Debug)]
pub(super) struct Tracked {
    /// Its place in the present snapshot.
    pub(super) upstream: UpstreamIx,
    pub(super) ix: BackendIx,
    pub(super) state: BackendState,
    /// What is known by probes, where there are any.
    pub(super) checks: Checks,
    /// It is there since the process started.
    pub(super) at_start: bool,
    /// What is known of its requests.
    pub(super) record: Record,
    /// When it was told last that it would be parked, were it not for the others.
    pub(super) kept_at: Option<Tick>,
}

impl Backends {
    pub(super) fn state(&self, id: BackendId) -> Option<BackendState> {
        self.0.get(&id).map(|tracked| tracked.state)
    }

    pub(super) fn get(&self, id: BackendId) -> Option<&Tracked> {
        self.0.get(&id)
    }

    pub(super) fn get_mut(&mut self, id: BackendId) -> Option<&mut Tracked> {
        self.0.get_mut(&id)
    }

    /// Whether it is to be told, once more, that a backend is not parked; it counts as told then.
    pub(super) fn is_told_again(&mut self, id: BackendId, now: Tick) -> bool {
        let Some(tracked) = self.0.get_mut(&id) else { return false };
        let due = tracked.kept_at.is_none_or(|at| now >= at.after(AGAIN));
        if due {
            tracked.kept_at = Some(now);
        }
        due
    }
}

/// What a ruling is told with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Heard {
    others_left: bool,
    pause: Duration,
    /// Trials that have to succeed.
    needed: u32,
}

/// One change of one backend's state.
#[derive(Debug)]
pub(super) struct Change {
    /// Its upstream.
    pub(super) upstream: UpstreamIx,
    pub(super) ix: BackendIx,
    /// What it has become.
    pub(super) is_now: &'static str,
    /// The kind of event.
    pub(super) kind: &'static str,
    /// Who brought it about.
    pub(super) actor: Cow<'static, str>,
    /// The cause in words.
    pub(super) why: String,
    /// What comes next, in words.
    pub(super) next: String,
}

impl Change {
    /// For the journal: `api/10.0.0.1:80 down: probe: connection refused (3 in a row)`.
    pub(super) fn words(&self, snapshot: &Snapshot) -> String {
        let upstream = snapshot.upstream(self.upstream);
        let backend = &upstream.backends[self.ix.index()];
        format!("{}/{} {}: {}", upstream.name, backend.label, self.is_now, self.why)
    }

    /// Where it happened, and what is to be told of it to whoever asks.
    pub(super) fn happened(&self) -> ((UpstreamIx, Option<BackendIx>), Told) {
        let (cause, next) = (self.why.clone(), self.next.clone());
        let told = Told { kind: self.kind, actor: self.actor.clone(), cause, next };
        ((self.upstream, Some(self.ix)), told)
    }

    /// Whether an operator brought it about.
    pub(super) fn is_by_hand(&self) -> bool {
        self.kind.starts_with("override.")
    }

    /// Logs and counts it. The place holds in `before`; how many are left is told by `now`.
    pub(super) fn tell(&self, before: &Snapshot, now: &Snapshot) {
        let backend = &before.upstream(self.upstream).backends[self.ix.index()];
        let upstream = now.upstream(self.upstream);
        let left = upstream.eligible.iter().filter(|eligible| **eligible).count();
        let (name, label, is_now) = (&upstream.name, &backend.label, self.is_now);
        let eligible = format!("{left}/{}", upstream.backends.len());
        let generation = now.generation.0;
        let by = &*self.actor;
        if matches!(is_now, "down" | "parked" | "degraded") {
            warn!(
                upstream = name,
                backend = label,
                cause = self.why,
                by,
                eligible,
                generation,
                "backend {is_now}"
            );
        } else {
            info!(
                upstream = name,
                backend = label,
                cause = self.why,
                by,
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
        let at_start = before.generation == Generation::default();
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
                    let cause = "configuration".to_owned();
                    let (kind, next) = (kind_of(status), String::new());
                    let told = Told { kind, actor: Cause::Config.name().into(), cause, next };
                    self.note((UpstreamIx(place), Some(BackendIx(ix))), told);
                }
                let record = was.as_ref().map(|was| was.record).unwrap_or_default();
                let kept_at = was.as_ref().and_then(|was| was.kept_at);
                let at_start = was.as_ref().map_or(at_start, |was| was.at_start);
                let is_new = was.is_none();
                let checked = was.as_ref().map_or(&[][..], |was| {
                    let before = before.upstreams.get(was.upstream.index());
                    before.map_or(&[][..], |before| before.checks())
                });
                let known = (checked, was.map(|was| was.checks).unwrap_or_default());
                let checks = self.take_up_checks(upstream, backend, known, now);
                let tracked = Tracked {
                    upstream: UpstreamIx(place),
                    ix: BackendIx(ix),
                    state: backend.state,
                    checks,
                    at_start,
                    record,
                    kept_at,
                };
                let joins = is_new && tracked.joins();
                self.backends.0.insert(backend.id, tracked);
                if joins {
                    self.warm_up(backend.id, now);
                }
                self.settle(backend.id, "other checks".to_owned(), Cause::Config, now);
                // An agent that is not asked any more has no say in it.
                self.weigh(backend.id, now);
            }
        }
        for (id, gone) in known {
            for due in gone.checks.dues(id) {
                self.timers.clear(&due);
            }
            self.timers.clear(&Due::Passive(id));
        }
        self.watch_outliers(now);
        self.watch_for_silence(now);
        self.watch_loads(now);
        self.watch_rooms(now);
    }

    /// Takes up one piece of news. What concerns a backend that is gone is dropped.
    pub(super) fn hear(&mut self, event: Event) {
        match event {
            Event::Probed { backend, check, finding, took, at } => {
                self.probed(backend, check, &finding, (took, at));
            }
            Event::CertificateStored => self.take_up_certificate(),
            Event::FailuresCrossed { backend, at } => {
                let Limits { max_fails, fail_timeout } = self.limits(backend);
                self.judge(backend, at, News::FailuresCrossed, |_| {
                    format!("{max_fails} failed requests within {fail_timeout:?}")
                });
            }
            Event::AskedToWait { backend, pause, at } if self.may_rest(backend) => {
                self.judge(backend, at, News::AskedToWait(pause), |_| {
                    format!("it asked to be left alone for {pause:.1?} (Retry-After)")
                });
            }
            Event::AskedToWait { .. } => {}
            Event::TrialEnded { backend, ok, at } => {
                self.judge(backend, at, News::TrialEnded { ok }, |heard| {
                    let Heard { needed, others_left, .. } = *heard;
                    match (ok, others_left) {
                        (true, true) if needed > 1 => format!("{needed} trial requests succeeded"),
                        (true, _) => "the trial request succeeded".to_owned(),
                        (false, true) => "the trial request failed".to_owned(),
                        (false, false) => {
                            "the trial request failed, but no other backend is left".to_owned()
                        }
                    }
                });
            }
        }
    }

    /// A pause is over; or a trial was offered and nothing was heard of it.
    pub(super) fn pause_ended(&mut self, id: BackendId, now: Tick) {
        let Some(tracked) = self.backends.0.get_mut(&id) else {
            return;
        };
        if tracked.state.passive == PassiveState::Trial {
            return self.offer_trial(id, now);
        }
        self.judge(id, now, News::PauseEnded, |heard| format!("parked for {:.1?}", heard.pause));
    }

    /// Whether a backend may be left alone that asks for it: where all are asked for too much, the few that
    /// are left would get all of it.
    fn may_rest(&self, id: BackendId) -> bool {
        let Some(tracked) = self.backends.0.get(&id) else { return false };
        let before = |one| {
            let state = self.backends.state(one)?;
            let passive = if one == id { PassiveState::Ok } else { state.passive };
            Some(BackendState { passive, ..state })
        };
        let tiers = self.snapshot.upstream(tracked.upstream).tiers_by(before);
        let all: usize = tiers.iter().map(|tier| tier.total).sum();
        let able: usize = tiers.iter().map(|tier| tier.eligible).sum();
        all - able < most_ejected(all, MOST_RESTING)
    }

    /// How many failures take a backend out, and for how long.
    fn limits(&self, id: BackendId) -> Limits {
        let none = Limits { max_fails: 0, fail_timeout: Duration::ZERO };
        self.backends.0.get(&id).map_or(none, |tracked| {
            self.snapshot.upstream(tracked.upstream).backends[tracked.ix.index()].limits
        })
    }

    /// Rules on what was heard of a backend's requests, and does what follows. `why` tells it in words.
    pub(super) fn judge(
        &mut self,
        id: BackendId,
        now: Tick,
        news: News,
        why: impl FnOnce(&Heard) -> String,
    ) {
        let Limits { fail_timeout, .. } = self.limits(id);
        let Some(tracked) = self.backends.0.get(&id) else {
            return;
        };
        let (place, ix, state) = (tracked.upstream, tracked.ix, tracked.state.passive);
        let upstream = Arc::clone(self.snapshot.upstream(place));
        let others_left = upstream.stands_without(id, |other| self.backends.state(other));
        let (max_pause, trials) = (upstream.passive.max_pause, upstream.passive.trials);
        let draw = self.random.f64();
        let case = Case { state, others_left, now, fail_timeout, max_pause, trials, draw };
        let Some(tracked) = self.backends.0.get_mut(&id) else {
            return;
        };
        let Verdict { ruling, pause } = tracked.record.hear(news, &case);
        let why = why(&Heard { others_left, pause, needed: trials });
        let next = match ruling {
            Ruling::Stays => return,
            Ruling::AnotherTrial => return self.offer_trial(id, now),
            // As long as requests fail, this is heard with every few of them.
            Ruling::LastOneLeft if !self.backends.is_told_again(id, now) => return,
            Ruling::LastOneLeft => {
                let (name, label) = (&upstream.name, &upstream.backends[ix.index()].label);
                warn!(
                    upstream = name,
                    backend = label,
                    cause = why,
                    "backend not parked: no other is left"
                );
                let (kind, actor) = ("backend.not_parked", Cause::Traffic.name());
                let cause = format!("{why}, but no other backend is left");
                let told = Told { kind, actor: actor.into(), cause, next: String::new() };
                return self.note((place, Some(ix)), told);
            }
            Ruling::Becomes(next) => next,
        };
        let (is_now, then) = match next {
            PassiveState::Ok => ("back in service", String::new()),
            PassiveState::Parked { .. } => ("parked", format!("a trial request in {pause:.1?}")),
            PassiveState::Trial => ("on trial", "the next request decides".to_owned()),
        };
        self.change((id, is_now, Cause::Traffic), why, then, |tracked| {
            tracked.state.passive = next;
            tracked.kept_at = None;
        });
        match next {
            PassiveState::Ok => {
                self.timers.clear(&Due::Passive(id));
                self.warm_up(id, Clock::now());
            }
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

    /// Writes a change into a backend's state and notes it for the next snapshot.
    pub(super) fn change(
        &mut self,
        (id, is_now, cause): (BackendId, &'static str, Cause),
        why: String,
        next: String,
        write: impl FnOnce(&mut Tracked),
    ) {
        let Some(tracked) = self.backends.0.get_mut(&id) else {
            return;
        };
        write(tracked);
        let (upstream, ix) = (tracked.upstream, tracked.ix);
        let series = &self.snapshot.upstream(upstream).backends[ix.index()].series;
        series.state_change(Status::of(tracked.state), cause);
        let (kind, actor) = (kind_of(is_now), cause.name().into());
        self.changes.push(Change { upstream, ix, is_now, kind, actor, why, next });
    }
}
