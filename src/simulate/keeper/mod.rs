//! What is known of the backends, and the snapshot that says so: the part of `control`, in virtual time. The
//! books are kept and the rules are asked as there; only who is told, and when, is this room's own.

mod again;

use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering::Relaxed};
use std::time::Duration;

use crate::config::model::Check;
use crate::health::flap::Flap;
use crate::health::rise::{Pace, Rise};
use crate::model::{
    BackendId, BackendIx, BackendState, Found, PassiveState, ProbedState, Tick, UpstreamIx,
};
use crate::policy::breaker::{self, Breaker};
use crate::policy::ejection::{self, Facts};
use crate::policy::failover::Group;
use crate::policy::hung::{self, Group as Silences, Standing};
use crate::policy::parking::{self, Case, Record, Ruling};
use crate::policy::{BUCKETS, Counts, Window};
use crate::simulate::guards::Guards;
use crate::snapshot::build::Offline;
use crate::snapshot::{Barrier, Course, Snapshot, Upstream};

/// In place of a random number: nobody else shares the backends.
const DRAW: f64 = 0.5;

/// Who looks after the backends of one upstream.
pub(super) struct Keeper<'c> {
    offline: Offline<'c>,
    place: UpstreamIx,
    pub(super) snapshot: Snapshot,
    known: Vec<Known>,
    group: Group,
    guard: Option<Guard>,
    course: Course,
    /// What the group and the breaker did.
    pub(super) moves: u64,
    pub(super) opened: u64,
    /// What was counted of requests that the breaker let pass to try.
    tries: Counts,
    silences: Silences,
    /// What refuses requests.
    pub(super) guards: Guards,
    /// Who is to be looked at again, and when.
    dues: Vec<(Tick, BackendIx)>,
}

#[derive(Debug)]
struct Known {
    id: BackendId,
    state: BackendState,
    record: Record,
    rise: Option<Rise>,
    sums: Counts,
    window: Window,
    flap: Flap,
    /// Since when it warms up, if it does.
    since: Option<Tick>,
}

/// The circuit breaker, and how many may pass while it is half-open.
struct Guard {
    rules: breaker::Rules,
    breaker: Breaker,
    permits: Arc<AtomicU32>,
}

/// A backend was parked, or is on trial from then on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum News {
    /// Until then.
    Parked(Tick),
    /// It serves again, or a trial is on offer.
    Back,
}

impl<'c> Keeper<'c> {
    /// Everybody works.
    pub(super) fn new(mut offline: Offline<'c>, name: &str) -> Option<Self> {
        let snapshot = offline.build(&|_| None);
        let place = snapshot.upstreams.iter().position(|one| one.name == name)?;
        let upstream = &snapshot.upstreams[place];
        let check = check(upstream);
        let known = upstream.backends.iter().map(|backend| Known {
            id: backend.id,
            state: backend.state,
            record: Record::default(),
            rise: check.map(|check| {
                let starts_until = Tick(0).after(check.start_period);
                Rise::new(check.rise, check.fall, backend.state.probed, starts_until)
            }),
            sums: Counts::default(),
            window: Window::new(Counts::default()),
            flap: Flap::default(),
            since: None,
        });
        let known = known.collect();
        let guard = upstream.breaker().map(|rules| Guard {
            rules: *rules,
            breaker: Breaker::new(Counts::default()),
            permits: Arc::default(),
        });
        let (course, place) = (upstream.course.clone(), UpstreamIx(place.try_into().ok()?));
        let (group, guards) = (Group::default(), Guards::of(upstream));
        Some(Self {
            offline,
            place,
            snapshot,
            known,
            group,
            guard,
            course,
            moves: 0,
            opened: 0,
            tries: Counts::default(),
            silences: Silences::new(Tick(0)),
            guards,
            dues: Vec::new(),
        })
    }

    pub(super) fn upstream(&self) -> &Upstream {
        self.snapshot.upstream(self.place)
    }

    /// An attempt said something of its backend; it may be one that the circuit breaker let pass to try.
    pub(super) fn count(&mut self, ix: BackendIx, failed: bool, tries: bool) {
        let counts = Counts { judged: 1, failed: failed.into() };
        if tries {
            self.tries = self.tries + counts;
        }
        let sums = &mut self.known[ix.index()].sums;
        sums.judged += 1;
        sums.failed += u64::from(failed);
    }

    /// Too many attempts failed.
    pub(super) fn crossed(&mut self, ix: BackendIx, now: Tick) -> Option<News> {
        self.judge(ix, now, parking::News::FailuresCrossed)
    }

    /// A trial ended.
    pub(super) fn trial_ended(&mut self, ix: BackendIx, ok: bool, now: Tick) -> Option<News> {
        self.judge(ix, now, parking::News::TrialEnded { ok })
    }

    /// A pause is over.
    pub(super) fn pause_ended(&mut self, ix: BackendIx, now: Tick) {
        self.judge(ix, now, parking::News::PauseEnded);
    }

    /// How often outliers are looked for, if they are.
    pub(super) fn look(&self) -> Option<Duration> {
        Some(self.upstream().ejection()?.window / BUCKETS as u32)
    }

    /// Looks for outliers; gives those that are parked.
    pub(super) fn outliers(&mut self, now: Tick) -> Vec<(BackendIx, News)> {
        let Some(rules) = self.upstream().ejection().copied() else {
            return Vec::new();
        };
        let facts = self.known.iter_mut().map(|known| {
            known.window.tick(known.sums);
            let out = known.state.passive != PassiveState::Ok;
            if out {
                known.window.clear();
            }
            Facts { out, window: known.window.sum(), in_a_row: known.window.in_a_row() }
        });
        let facts: Vec<_> = facts.collect();
        let mut ejected = Vec::new();
        for outlier in ejection::decide(&facts, &rules) {
            self.known[outlier.place].window.clear();
            let ix = BackendIx(outlier.place as u32);
            if !outlier.capped
                && !rules.dry_run
                && let Some(news) = self.crossed(ix, now)
            {
                ejected.push((ix, news));
            }
        }
        ejected
    }

    /// How often hung backends are looked for, if they are.
    pub(super) fn listen(&self) -> Option<Duration> {
        self.upstream().passive.hung.map(|_| hung::STEP)
    }

    /// Looks for hung backends; gives what becomes of them.
    pub(super) fn silent(&mut self, now: Tick) -> Vec<(BackendIx, News)> {
        let upstream = self.snapshot.upstream(self.place);
        let Some(rules) = upstream.passive.hung else { return Vec::new() };
        let backends = upstream.backends.iter().zip(&*upstream.live).zip(&self.known);
        let facts: Vec<_> = backends
            .map(|((backend, live), known)| {
                let standing = match known.state.passive {
                    PassiveState::Ok => Standing::InService,
                    PassiveState::Parked { .. } => Standing::Parked,
                    PassiveState::Trial => Standing::OnTrial,
                };
                let series = &backend.series;
                hung::Facts {
                    id: backend.id,
                    standing,
                    asked: series.started(),
                    owed: live.in_flight().into(),
                    given: series.answers().0,
                    in_vain: series.in_vain(),
                }
            })
            .collect();
        let own = |place: usize| upstream.backends[place].series.first_bytes();
        let answers = upstream.series.first_bytes();
        let found = self.silences.look(&facts, &answers, own, &rules, now);
        let mut news = Vec::new();
        for (id, found) in found {
            let Some(place) = self.known.iter().position(|one| one.id == id) else { continue };
            let ix = BackendIx(place as u32);
            let heard = match found {
                hung::News::Hangs(_) => parking::News::FailuresCrossed,
                hung::News::TrialHangs(_) => parking::News::TrialEnded { ok: false },
                hung::News::Answers => parking::News::Answered,
            };
            let became = self.judge(ix, now, heard);
            news.extend(became.map(|became| (ix, became)));
        }
        news
    }

    /// The check that is played, if there is one.
    pub(super) fn check(&self) -> Option<&Check> {
        check(self.upstream())
    }

    /// When a backend is probed first.
    pub(super) fn first_probe(&self, draw: f64) -> Option<Duration> {
        Some(pace(self.check()?).first(draw))
    }

    /// A probe found something. Gives how long after its beginning the next one is due, and whether the
    /// backend was taken down.
    pub(super) fn probed(
        &mut self,
        ix: BackendIx,
        found: Found,
        draw: f64,
        now: Tick,
    ) -> (Duration, bool) {
        let Some(pace) = self.check().map(pace) else { return (Duration::MAX, false) };
        let known = &mut self.known[ix.index()];
        let Some(rise) = &mut known.rise else { return (Duration::MAX, false) };
        let verdict = rise.observe(found, now);
        let pause = rise.pause(&pace, draw);
        if verdict.is_some() {
            self.settle(ix, now);
        }
        (pause, verdict.is_some_and(|(state, _)| state == ProbedState::Down))
    }

    /// A step of admission control is over.
    pub(super) fn look_at_gate(&mut self) {
        let sums = self.sums();
        self.guards.look_at_gate(sums);
    }

    /// A second is over: a limit that adapts itself takes a sample.
    pub(super) fn sample_load(&mut self, now: Tick) {
        let sums = self.sums();
        self.guards.sample(self.snapshot.upstream(self.place), sums, now);
    }

    /// What was counted of all backends together.
    fn sums(&self) -> Counts {
        self.known.iter().fold(Counts::default(), |sum, known| sum + known.sums)
    }

    /// How often the circuit breaker is looked at, if there is one.
    pub(super) fn breaker_step(&self) -> Option<Duration> {
        Some(self.guard.as_ref()?.rules.window / BUCKETS as u32)
    }

    /// A step of the circuit breaker's window is over. Gives whether it stands otherwise now.
    pub(super) fn look_at_breaker(&mut self, now: Tick) -> bool {
        let sums = self.sums();
        let Some(guard) = &mut self.guard else { return false };
        let look = guard.breaker.look((sums, self.tries), &guard.rules, now, DRAW);
        if let Some(permits) = look.permits {
            guard.permits.store(permits, Relaxed);
        }
        if look.changed.is_none() {
            return false;
        }
        self.course.barrier = match guard.breaker.state() {
            breaker::State::Closed => None,
            breaker::State::Open { until } => {
                self.opened += 1;
                Some(Barrier::Open { until })
            }
            breaker::State::HalfOpen { .. } => Some(Barrier::Trials(Arc::clone(&guard.permits))),
        };
        self.rebuild();
        true
    }

    /// Looks at the tiers, where a failover group decides which of them serve. Gives when to look again.
    pub(super) fn steer(&mut self, now: Tick) -> Option<Tick> {
        let upstream = self.snapshot.upstream(self.place);
        let rules = upstream.failover().copied()?;
        let state = |id| self.known.iter().find(|one| one.id == id).map(|one| one.state);
        let tiers = upstream.tiers_by(state);
        let look = self.group.look(&tiers, &rules, now);
        let course = Course {
            shares: self.group.shares(&rules, tiers.len()),
            strict: self.group.is_strict(&rules),
            group: self.group.state().name(),
            barrier: self.course.barrier.clone(),
        };
        let moved = |news: &&crate::policy::failover::News| {
            ["failover.completed", "failover.spilled", "failover.handed_back"].contains(&news.kind)
        };
        self.moves += look.news.iter().filter(moved).count() as u64;
        if course != self.course {
            self.course = course;
            self.rebuild();
        }
        look.again
    }

    /// Rules on what was heard of a backend, and does what follows.
    fn judge(&mut self, ix: BackendIx, now: Tick, news: parking::News) -> Option<News> {
        let upstream = self.snapshot.upstream(self.place);
        let id = self.known[ix.index()].id;
        let states = |id| self.known.iter().find(|one| one.id == id).map(|one| one.state);
        let case = Case {
            state: self.known[ix.index()].state.passive,
            others_left: upstream.stands_without(id, states),
            now,
            fail_timeout: upstream.backends[ix.index()].limits.fail_timeout,
            max_pause: upstream.passive.max_pause,
            trials: upstream.passive.trials,
            draw: DRAW,
        };
        let known = &mut self.known[ix.index()];
        let next = match known.record.hear(news, &case).ruling {
            Ruling::Stays | Ruling::LastOneLeft => return None,
            Ruling::AnotherTrial => {
                upstream.live[ix.index()].offer_trial();
                return None;
            }
            Ruling::Becomes(next) => next,
        };
        if next == PassiveState::Trial {
            upstream.live[ix.index()].offer_trial();
        }
        known.state.passive = next;
        if next == PassiveState::Ok {
            self.is_back(ix, now);
        }
        self.rebuild();
        match next {
            PassiveState::Parked { until } => Some(News::Parked(until)),
            PassiveState::Ok | PassiveState::Trial => Some(News::Back),
        }
    }

    fn rebuild(&mut self) {
        let states = |id| self.known.iter().find(|one| one.id == id).map(|one| one.state);
        self.snapshot = self.offline.rebuild(&self.snapshot, self.place, &states, &self.course);
    }
}

/// Of several checks the first that asks a backend.
fn check(upstream: &Upstream) -> Option<&Check> {
    upstream.checks().iter().find(|check| check.counts)
}

fn pace(check: &Check) -> Pace {
    Pace {
        interval: check.interval,
        fast_interval: check.fast_interval,
        down_interval: check.down_interval,
        jitter: check.jitter,
    }
}
