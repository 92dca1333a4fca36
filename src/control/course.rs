//! What is decided for upstreams as a whole: which tier serves, and whether the circuit breaker is open.
//!
//! `policy` decides; here the facts are gathered and the decisions are put into the next snapshot and told.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};

use ahash::AHashMap;
use tracing::{info, warn};

use crate::control::ejection::Sums;
use crate::control::history::Told;
use crate::control::writer::{Control, Due};
use crate::model::{Tick, UpstreamId, UpstreamIx};
use crate::policy::breaker::{self, Breaker, State};
use crate::policy::failover::{Group, News};
use crate::policy::{BUCKETS, Counts};
use crate::snapshot::{Barrier, Course, Upstream};

/// What is decided, by the upstream's name.
#[derive(Debug, Default)]
pub(super) struct Courses(AHashMap<String, Steered>);

/// An upstream for which something is to be decided.
#[derive(Debug, Default)]
struct Steered {
    group: Group,
    guard: Option<Guard>,
    course: Course,
}

/// A circuit breaker with what it looks at.
#[derive(Debug)]
struct Guard {
    rules: breaker::Rules,
    breaker: Breaker,
    permits: Arc<AtomicU32>,
    sums: Sums,
}

impl Courses {
    /// What is decided for the upstream of that name.
    pub(super) fn course(&self, name: &str) -> Course {
        self.0.get(name).map(|one| one.course.clone()).unwrap_or_default()
    }
}

impl Guard {
    fn new(rules: breaker::Rules) -> Self {
        Self {
            rules,
            breaker: Breaker::new(Counts::default()),
            permits: Arc::default(),
            sums: Sums::default(),
        }
    }

    fn barrier(&self) -> Option<Barrier> {
        match self.breaker.state() {
            State::Closed => None,
            State::Open { until } => Some(Barrier::Open { until }),
            State::HalfOpen { .. } => Some(Barrier::Trials(Arc::clone(&self.permits))),
        }
    }
}

impl Control {
    /// Begins to decide for the upstreams for which that is asked for, and ends it for all others.
    pub(super) fn take_courses(&mut self, now: Tick) {
        let snapshot = Arc::clone(&self.snapshot);
        let wanted =
            |upstream: &Upstream| upstream.failover().is_some() || upstream.breaker().is_some();
        self.courses.0.retain(|name, _| {
            snapshot.upstream_by_name(name).is_some_and(|upstream| wanted(upstream))
        });
        for (place, upstream) in (0..).map(UpstreamIx).zip(&snapshot.upstreams) {
            if !wanted(upstream) {
                self.timers.clear(&Due::Steer(upstream.id));
                self.timers.clear(&Due::Breaker(upstream.id));
                if upstream.course != Course::default() {
                    // It was built by what had been decided before.
                    self.steered.insert(place);
                }
                continue;
            }
            let steered = self.courses.0.entry(upstream.name.clone()).or_default();
            match upstream.breaker() {
                Some(rules) if steered.guard.as_ref().is_some_and(|one| one.rules == *rules) => {}
                Some(rules) => {
                    let mut guard = Guard::new(*rules);
                    guard.sums.count(upstream);
                    steered.guard = Some(guard);
                    let first = now.after(rules.window / BUCKETS as u32);
                    self.timers.set(Due::Breaker(upstream.id), first);
                }
                None => {
                    steered.guard = None;
                    self.timers.clear(&Due::Breaker(upstream.id));
                }
            }
            self.steer(place, now);
        }
    }

    /// Steers all these upstreams, as far as there is something to decide.
    pub(super) fn steer_all(&mut self, places: &BTreeSet<UpstreamIx>, now: Tick) {
        if self.courses.0.is_empty() {
            return;
        }
        for place in places {
            self.steer(*place, now);
        }
    }

    /// It is time to look at an upstream's tiers again.
    pub(super) fn steer_again(&mut self, id: UpstreamId, now: Tick) {
        if let Some(place) = self.place_of(id) {
            self.steer(place, now);
        }
    }

    pub(super) fn place_of(&self, id: UpstreamId) -> Option<UpstreamIx> {
        let mut upstreams = (0..).map(UpstreamIx).zip(&self.snapshot.upstreams);
        upstreams.find(|(_, upstream)| upstream.id == id).map(|(place, _)| place)
    }

    /// Decides which tiers serve.
    pub(super) fn steer(&mut self, place: UpstreamIx, now: Tick) {
        let upstream = Arc::clone(self.snapshot.upstream(place));
        let Some(steered) = self.courses.0.get_mut(&upstream.name) else {
            return;
        };
        let mut course = Course {
            barrier: steered.guard.as_ref().and_then(Guard::barrier),
            ..Course::default()
        };
        let mut news = Vec::new();
        if let Some(rules) = upstream.failover() {
            let mut tiers = upstream.tiers_by(|id| self.backends.state(id));
            let rooms = upstream.room_by(|id| self.backends.state(id)).unwrap_or_default();
            let demand = self.rooms.demand(upstream.id);
            for (tier, room) in tiers.iter_mut().zip(rooms) {
                tier.small = room < demand;
            }
            let look = steered.group.look(&tiers, rules, now);
            course.shares = steered.group.shares(rules, tiers.len());
            course.strict = steered.group.is_strict(rules);
            course.group = steered.group.state().name();
            news = look.news;
            match look.again {
                Some(again) => self.timers.set(Due::Steer(upstream.id), again),
                None => self.timers.clear(&Due::Steer(upstream.id)),
            }
        }
        if course != steered.course {
            steered.course = course;
            self.steered.insert(place);
        }
        for News { kind, cause, next } in news {
            let name = &upstream.name;
            match kind {
                "failover.handed_back"
                | "failover.cleared"
                | "failover.recovering"
                | "failover.released" => info!(upstream = name, cause, next, "{kind}"),
                _ => warn!(upstream = name, cause, next, "{kind}"),
            }
            upstream.series.policy().event(kind);
            self.note((place, None), Told { kind, actor: "policy".into(), cause, next });
        }
    }

    /// A step of a circuit breaker's window is over.
    pub(super) fn look_at_breaker(&mut self, id: UpstreamId, now: Tick) {
        let Some(place) = self.place_of(id) else { return };
        let upstream = Arc::clone(self.snapshot.upstream(place));
        let draw = self.random.f64();
        let Some(guard) = self.courses.0.get_mut(&upstream.name).and_then(|one| one.guard.as_mut())
        else {
            return;
        };
        let (sums, rules) = (guard.sums.count(&upstream), guard.rules);
        let (judged, failed) = upstream.series.tries();
        let look = guard.breaker.look((sums, Counts { judged, failed }), &rules, now, draw);
        if let Some(permits) = look.permits {
            guard.permits.store(permits, Relaxed);
        }
        self.timers.set(Due::Breaker(id), now.after(rules.window / BUCKETS as u32));
        let state = guard.breaker.state();
        let Some(cause) = look.changed else { return };
        let name = &upstream.name;
        let (kind, next) = match state {
            State::Closed => ("breaker.closed", String::new()),
            State::HalfOpen { .. } => {
                ("breaker.half_open", format!("{} requests try", rules.trials))
            }
            State::Open { until } => {
                ("breaker.opened", format!("a few requests try in {:.1?}", until.since(now)))
            }
        };
        if let State::Open { .. } = state {
            warn!(upstream = name, cause, next, "circuit breaker opened");
        } else {
            info!(upstream = name, cause, next, "circuit breaker {}", state.name());
        }
        upstream.series.policy().event(kind);
        self.note((place, None), Told { kind, actor: "policy".into(), cause, next });
        self.steer(place, now);
    }
}
