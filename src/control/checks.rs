//! What the checks of each backend find, and what follows.
//!
//! Results go through `health::rise`, one per check; `health::combine` makes one verdict of them, which
//! `health::flap` may hold down, and `health::warm` says how much of its weight a backend gets that is
//! back.

use std::sync::Arc;
use std::time::Duration;

use crate::config::model::{Check, Probe};
use crate::control::backends::Tracked;
use crate::control::writer::{Control, Due};
use crate::health::combine::{Part, combine};
use crate::health::flap::{Damping, Flap};
use crate::health::probe::{Talk, Target, probe};
use crate::health::rise::{Pace, Rise};
use crate::health::warm::warmth;
use crate::model::{BackendId, Clock, Event, Finding, Found, ProbedState, Share, Tick};
use crate::snapshot::{Backend, Upstream};
use crate::telemetry::{Cause, CheckSeries, LastProbe};

/// The checks of one backend.
#[derive(Debug, Default)]
pub(super) struct Checks {
    each: Vec<Asked>,
    parts: Vec<Part>,
    flap: Flap,
    /// Since when it warms up, if it does.
    warms_since: Option<Tick>,
}

/// One check of one backend.
#[derive(Debug)]
struct Asked {
    /// Given once in the life of the process.
    number: u64,
    rise: Rise,
    /// What the backend wants of its weight.
    share: Option<u8>,
    series: Arc<CheckSeries>,
}

impl Checks {
    /// The combined verdict; those that are made of others are told how they stand.
    fn verdict(&self) -> ProbedState {
        let own: Vec<_> = self.each.iter().map(|one| one.rise.state()).collect();
        let (told, verdict) = combine(&self.parts, &own);
        for ((one, part), told) in self.each.iter().zip(&self.parts).zip(told) {
            if part.of.is_some() {
                one.series.stands(told, None);
            }
        }
        verdict
    }

    /// The part of the weight in effect.
    fn share(&self, slow_start: Option<Duration>, now: Tick) -> (Share, Option<Tick>) {
        let asked = self.each.iter().filter_map(|one| one.share).min();
        let asked = asked.map_or(Share::WHOLE, Share::percent);
        let (warm, next) = match self.warms_since.zip(slow_start) {
            Some((since, time)) => warmth(since, time, now),
            None => (Share::WHOLE, None),
        };
        (asked.min(warm), next)
    }

    /// Nothing of it is due any more.
    pub(super) fn dues(&self, id: BackendId) -> impl Iterator<Item = Due> {
        let probes = self.each.iter().map(move |one| Due::Probe(id, one.number));
        probes.chain([Due::Settle(id), Due::Warm(id)])
    }
}

impl Control {
    /// Takes up the checks of a backend of the present snapshot; those that are as before go on.
    pub(super) fn take_up_checks(
        &mut self,
        upstream: &Upstream,
        backend: &Backend,
        (before, mut known): (&[Check], Checks),
        now: Tick,
    ) -> Checks {
        let checks = upstream.checks();
        if before == checks {
            return known;
        }
        let series = backend.series.set_checks(checks.iter().map(|check| &*check.name));
        let mut each = Vec::with_capacity(checks.len());
        for (check, series) in checks.iter().zip(series) {
            let was = known.each.iter().position(|one| one.series.name() == check.name);
            let was = was.map(|place| known.each.swap_remove(place));
            let same = before.iter().find(|old| old.name == check.name) == Some(check);
            let asked = match was {
                Some(was) if same => was,
                was => {
                    if let Some(was) = &was {
                        self.timers.clear(&Due::Probe(backend.id, was.number));
                    }
                    let state = was.map_or(backend.state.probed, |was| was.rise.state());
                    let starts_until = now.after(check.start_period);
                    let rise = Rise::new(check.rise, check.fall, state, starts_until);
                    self.begin(backend.id, check, rise, series, now)
                }
            };
            each.push(asked);
        }
        for gone in known.each {
            self.timers.clear(&Due::Probe(backend.id, gone.number));
        }
        Checks { each, parts: checks.iter().map(part).collect(), ..known }
    }

    fn begin(
        &mut self,
        id: BackendId,
        check: &Check,
        rise: Rise,
        series: Arc<CheckSeries>,
        now: Tick,
    ) -> Asked {
        self.checks_begun += 1;
        let number = self.checks_begun;
        let next = (!is_made_of_others(check)).then(|| {
            let first = now.after(pace(check).first(self.random.f64()));
            self.timers.set(Due::Probe(id, number), first);
            first
        });
        series.stands(rise.state(), next);
        Asked { number, rise, share: None, series }
    }

    /// Probes a backend, as a task that reports back.
    pub(super) fn probe(&mut self, id: BackendId, number: u64) {
        let Some(tracked) = self.backends.get(id) else {
            return;
        };
        let Some(place) = tracked.checks.each.iter().position(|one| one.number == number) else {
            return;
        };
        let asked = &tracked.checks.each[place];
        asked.series.stands(asked.rise.state(), None);
        let upstream = Arc::clone(self.snapshot.upstream(tracked.upstream));
        let (ix, events) = (tracked.ix.index(), self.events.clone());
        tokio::spawn(async move {
            let (backend, check) = (&upstream.backends[ix], &upstream.checks()[place]);
            let target = Target {
                upstream: &upstream.name,
                backend: &backend.label,
                address: &backend.address,
                authority: &backend.authority,
                tls: backend.tls.as_deref(),
            };
            let started = Clock::now();
            let finding = probe(&target, check, &mut Talk::default()).await;
            let at = Clock::now();
            let took = at.since(started);
            let told = Event::Probed { backend: id, check: number, finding, took, at };
            // The loop is gone only when the process ends.
            let _ = events.send(told).await;
        });
    }

    /// A probe ended.
    pub(super) fn probed(
        &mut self,
        id: BackendId,
        number: u64,
        finding: &Finding,
        (took, at): (Duration, Tick),
    ) {
        let Some(tracked) = self.backends.get_mut(id) else {
            return;
        };
        let upstream = Arc::clone(self.snapshot.upstream(tracked.upstream));
        let Some(place) = tracked.checks.each.iter().position(|one| one.number == number) else {
            return;
        };
        let (asked, check) = (&mut tracked.checks.each[place], &upstream.checks()[place]);
        upstream.backends[tracked.ix.index()].series.probed(took);
        let verdict = asked.rise.observe(finding.found, at);
        // Counted from the start of the last one, but never before its end.
        let pause = asked.rise.pause(&pace(check), self.random.f64()).saturating_sub(took);
        let next = at.after(pause);
        self.timers.set(Due::Probe(id, number), next);
        asked.series.stands(asked.rise.state(), Some(next));
        let ok = !matches!(finding.found, Found::Down | Found::Nothing);
        asked.series.probed(LastProbe { ok, why: finding.why.clone(), took, at });
        if finding.found != Found::Nothing {
            asked.share = finding.share;
        }
        if let Some((_, results)) = verdict {
            let who = match &*check.name {
                "health" => "probe".to_owned(),
                name => format!("check {name}"),
            };
            let run = if results > 1 { format!(" ({results} in a row)") } else { String::new() };
            self.settle(id, format!("{who}: {}{run}", finding.why), Cause::Probe, at);
        }
        self.weigh(id, at);
    }

    /// Makes one verdict of all that is known by checks, and writes down what changes with it.
    pub(super) fn settle(&mut self, id: BackendId, mut why: String, cause: Cause, now: Tick) {
        let is_kept = self.is_kept_down(id, now);
        let Some(tracked) = self.backends.get_mut(id) else {
            return;
        };
        if tracked.checks.each.is_empty() {
            return;
        }
        let upstream = self.snapshot.upstream(tracked.upstream);
        let before = tracked.state.probed;
        let mut next = tracked.checks.verdict();
        if serves(next) && is_kept {
            next = ProbedState::Down;
        } else if serves(next) {
            tracked.checks.flap.release();
        }
        if next == before {
            return;
        }
        if let (Some(damping), ProbedState::Down, true) = (upstream.flap(), next, serves(before)) {
            let flap = &mut tracked.checks.flap;
            flap.fell(&terms(damping), now);
            if let Some(until) = flap.held(now) {
                let pause = until.since(now);
                why = format!("{why}; it goes down too often and is kept down for {pause:.0?}");
                self.timers.set(Due::Settle(id), until);
            }
        }
        let joins = serves(next) && !serves(before);
        let at_start = tracked.at_start && before == ProbedState::Checking;
        let then = self.what_next(id, next, now);
        self.change((id, next.name(), cause), why, then, |tracked| tracked.state.probed = next);
        if joins && !at_start {
            self.warm_up(id, now);
        }
        if !serves(next) {
            self.relieve(id, now);
        }
    }

    /// Whether a backend is kept down whatever its checks say: not, where nobody is left without it.
    fn is_kept_down(&self, id: BackendId, now: Tick) -> bool {
        let Some(tracked) = self.backends.get(id) else { return false };
        let upstream = self.snapshot.upstream(tracked.upstream);
        tracked.checks.flap.held(now).is_some()
            && upstream.flap().is_some()
            && upstream.stands_without(id, |other| self.backends.state(other))
    }

    /// A backend has fallen: if nobody is left, those that are kept down and work are let go.
    fn relieve(&mut self, fallen: BackendId, now: Tick) {
        let Some(place) = self.backends.get(fallen).map(|tracked| tracked.upstream) else { return };
        let upstream = Arc::clone(self.snapshot.upstream(place));
        for other in upstream.backends.iter().map(|one| one.id).filter(|id| *id != fallen) {
            let checks = self.backends.get(other).map(|tracked| &tracked.checks);
            let is_held = checks.is_some_and(|checks| checks.flap.held(now).is_some());
            if is_held && !self.is_kept_down(other, now) {
                let why = "no other backend is left, so it is not kept down any longer";
                self.settle(other, why.to_owned(), Cause::Probe, now);
            }
        }
    }

    /// What would change a backend's verdict next, for people.
    fn what_next(&self, id: BackendId, verdict: ProbedState, now: Tick) -> String {
        let Some(tracked) = self.backends.get(id) else {
            return String::new();
        };
        if let Some(until) = tracked.checks.flap.held(now) {
            return format!("kept down for {:.0?}, then as its checks say", until.since(now));
        }
        let first = self.snapshot.upstream(tracked.upstream).checks().first();
        match (verdict, first) {
            (ProbedState::Down, Some(check)) => {
                format!("up after {} good probes in a row", check.rise)
            }
            (ProbedState::Up | ProbedState::Degraded, Some(check)) => {
                format!("down after {} bad probes in a row", check.fall)
            }
            _ => "as its checks say".to_owned(),
        }
    }

    /// A backend is kept down no longer.
    pub(super) fn let_go(&mut self, id: BackendId, now: Tick) {
        self.settle(id, "it is kept down no longer".to_owned(), Cause::Probe, now);
        self.weigh(id, now);
    }

    /// A backend joins, or is back: it begins with a part of its weight, if it shall.
    pub(super) fn warm_up(&mut self, id: BackendId, now: Tick) {
        let Some(tracked) = self.backends.get_mut(id) else {
            return;
        };
        if self.snapshot.upstream(tracked.upstream).slow_start().is_some() {
            tracked.checks.warms_since = Some(now);
            self.weigh(id, now);
        }
    }

    /// Finds what part of its weight a backend has, and when that changes next.
    pub(super) fn weigh(&mut self, id: BackendId, now: Tick) {
        let Some(tracked) = self.backends.get_mut(id) else {
            return;
        };
        let slow_start = self.snapshot.upstream(tracked.upstream).slow_start();
        let (share, next) = tracked.checks.share(slow_start, now);
        if let Some(next) = next {
            self.timers.set(Due::Warm(id), next);
        } else {
            tracked.checks.warms_since = None;
            self.timers.clear(&Due::Warm(id));
        }
        if tracked.state.share != share {
            tracked.state.share = share;
            self.reweighed.insert(tracked.upstream);
        }
    }
}

impl Tracked {
    /// Whether it is made to warm up when it is first seen: it joins others, and no probe decides.
    pub(super) fn joins(&self) -> bool {
        !self.at_start && self.state.probed == ProbedState::Unprobed
    }
}

fn serves(state: ProbedState) -> bool {
    matches!(state, ProbedState::Up | ProbedState::Degraded)
}

fn is_made_of_others(check: &Check) -> bool {
    matches!(check.probe, Probe::Composite(..))
}

fn part(check: &Check) -> Part {
    let of = match &check.probe {
        Probe::Composite(of, at_least) => Some((of.clone(), *at_least)),
        _ => None,
    };
    Part { of, depends_on: check.depends_on.clone(), counts: check.counts }
}

fn terms(damping: &crate::config::model::FlapDamping) -> Damping {
    Damping {
        half_life: damping.half_life,
        suppress: damping.suppress,
        reuse: damping.reuse,
        max: damping.max,
    }
}

fn pace(check: &Check) -> Pace {
    Pace {
        interval: check.interval,
        fast_interval: check.fast_interval,
        down_interval: check.down_interval,
        jitter: check.jitter,
    }
}
